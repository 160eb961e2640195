"""A whole collector with many checks, for the benchmark of /metrics.

    python -m tests.bench.metrics_server DIRECTORY AGENTS CHECKS PUSHERS CORE

Every check has had one result. PUSHERS more agents have 20 checks each and a certificate in DIRECTORY, for the
benchmark to push as. Says "ready AGENTS_PORT OPERATORS_PORT" and serves until its standard input ends.
"""

import asyncio
import os
import sys
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from collector.app.run import CollectorService, tune_interpreter
from collector.config import AgentsConfig, CollectorConfig, OperatorsConfig
from collector.keys import pki
from inventory.protocol import wire
from inventory.protocol.plan import Plan, decode
from inventory.protocol.wire import Batch, Echo, Push, Reading

PUSHER_CHECKS = 20


def inventory(agents: int, checks: int, pushers: int) -> str:
    """YAML: an agency, site and agent each."""
    lines = ["agencies:"]
    for number in range(agents + pushers):
        name = f"body-{number}" if number < agents else f"pusher-{number - agents}"
        lines += [f"  {name}:", f"    name: Body {number}", "    site:", f"      agent: {name}", "      checks:"]
        lines += [
            f"        check-{n}: {{kind: tcp, params: {{host: 192.0.2.1, port: {1000 + n}}}, interval: 30s}}"
            for n in range(checks if number < agents else PUSHER_CHECKS)
        ]
    return "\n".join(lines) + "\n"


def batch_of(plan: Plan, epoch: int, previous: wire.Position | None, base: int, state: int = 0) -> Batch:
    """One result of every check, all at boot-time ms ``base``."""
    count = len(plan.checks)
    return Batch(
        epoch=epoch,
        previous=previous,
        last=(previous.seq if previous else 0) + count,
        plan=plan.digest,
        boot=b"bootboot",
        base=base,
        checks=[0, *([1] * (count - 1))],
        counts=[1] * count,
        at=[0] * count,
        states=bytes([state] * count),
        latency=[1_234] * count,
        values=[100] * sum(len(plan.columns[check.kind]) for check in plan.checks),
    )


async def tell(service: CollectorService, agent: str) -> None:
    """One result of each of an agent's checks."""
    found = service.inventories.plan(agent)
    assert found is not None
    plan, boot_ms = decode(found[1]), 3_600_000
    echo = None
    for batch in (None, batch_of(plan, 7, None, boot_ms - 1_000)):
        now = time.time_ns() // 1_000_000
        push = Push(version=1, sent=Reading(b"bootboot", boot_ms, now), echo=echo, batch=batch)
        ack = await service.ingest.push(agent, wire.encode_push(push))
        echo = Echo(ack.sent_ms, boot_ms)
    assert ack.verdict == "taken", ack


def certify(service: CollectorService, directory: Path, agent: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    request = csr.public_bytes(serialization.Encoding.PEM).decode()
    now = time.time_ns() // 1_000_000
    issued = service.authority.sign_agent(request, agent, pki.new_serial(now), now, 1)
    (directory / f"{agent}.pem").write_text(issued.pem + pem.decode())


async def main(directory: Path, agents: int, checks: int, pushers: int) -> None:
    (directory / "inventory").mkdir()
    (directory / "inventory" / "all.yaml").write_text(inventory(agents, checks, pushers))
    service = CollectorService(
        CollectorConfig(
            state_dir=directory / "state",
            inventory=directory / "inventory",
            agents=AgentsConfig(listen="127.0.0.1:0"),
            operators=OperatorsConfig(listen="127.0.0.1:0"),
        )
    )
    await service.start()
    for begin in range(0, agents, 50):
        await asyncio.gather(*(tell(service, f"body-{n}") for n in range(begin, min(begin + 50, agents))))
    for number in range(pushers):
        certify(service, directory, f"pusher-{number}")
    (directory / "ca.pem").write_text(service.authority.pem)
    tune_interpreter()
    print("ready", service.listener.port, service.operators_port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await service.stop()


if __name__ == "__main__":
    if len(os.sched_getaffinity(0)) > 1:
        os.sched_setaffinity(0, {int(sys.argv[5])})
    asyncio.run(main(Path(sys.argv[1]), *map(int, sys.argv[2:5])))
