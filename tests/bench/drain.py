"""A week of an agent's results through its own spool and pusher into a collector, over mutual TLS.

    python -m tests.bench.drain DAYS

prints {"seconds", "bytes" (of push bodies), "pushes", "results"} as JSON.
"""

import asyncio
import json
import ssl
import sys
import tempfile
import time
from pathlib import Path

from agent.spool import CheckResult, FileOps, Spool
from agent.uplink.connection import CollectorResponse, Uplink
from agent.uplink.plans import SignedPlan
from agent.uplink.push import Pusher
from inventory.protocol.wire import Ack, Present
from tests.bench import bench_ingest
from tests.support.push_source import CHECKS, INTERVAL, PushSource

TURN = 5_000  # results a sync while the spool is filled


class Quick(FileOps):
    """Filling takes place before the clock is started: its syncs are not what is measured."""

    filling = True

    def sync(self, descriptor: int) -> None:
        if not self.filling:
            super().sync(descriptor)


class Machine:
    """The clock and the duties of the agent."""

    def __init__(self, source: PushSource) -> None:
        self._source = source

    def boot_ms(self) -> int:
        return self._source.now()

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def boot_id(self) -> bytes:
        return self._source.boot

    def present(self) -> Present | None:
        checks = len(self._source.plan.checks)
        now = self.boot_ms()
        return Present(self._source.plan.digest, self._source.boot, now, bytes(checks), [now] * checks, [1] * checks)

    def plan(self, digest: bytes) -> SignedPlan | None:
        return SignedPlan(self._source.plan.encode(), b"") if digest == self._source.plan.digest else None

    def health(self, collector: str) -> dict[str, float]:
        return {}

    def acknowledged(self, collector: str, ack: Ack) -> None: ...


class Counted(Uplink):
    sent = 0
    pushes = 0

    async def request(
        self, method: str, path: str, body: bytes | None = None, headers: object = None
    ) -> CollectorResponse:
        self.sent += len(body or b"")
        self.pushes += 1
        return await super().request(method, path, body, headers)  # type: ignore[arg-type]


def fill(source: PushSource, looks: int, directory: Path, ops: Quick) -> Spool:
    """The spool as it is after so many looks of every check without a collector."""
    source.begin(looks)
    told = list(source.results(looks))
    start = min(times[0] for _, times, *_ in told)
    spool = Spool.open(
        directory,
        boot=source.boot,
        boot_ms=start,
        plan=source.plan.digest,
        start={"wall_ms": 0},
        collectors=["c"],
        limit_bytes=1 << 30,
        ops=ops,
    )
    for look in range(looks):
        for place, times, states, latency, values in told:
            spool.append(
                CheckResult(place, times[look], states[look], latency[look], tuple(values[2 * look : 2 * look + 2]))
            )
        if look % (TURN // CHECKS) == 0:
            spool.sync()
    spool.sync()
    return spool


async def drain(directory: Path, port: int, days: float) -> dict[str, float]:
    source = PushSource(0)
    ops = Quick()
    spool = fill(source, int(days * 86_400_000 / INTERVAL), directory / "spool", ops)
    ops.filling = False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(directory / "ca.pem")
    context.load_cert_chain(directory / f"{source.agent}.crt", directory / f"{source.agent}.key")
    uplink = Counted(f"https://127.0.0.1:{port}", context)
    machine = Machine(source)
    results = spool.backlog("c")
    pusher = Pusher("c", uplink, spool, machine, machine)
    began = time.perf_counter()
    while spool.backlog("c"):
        if not await pusher.attempt():
            raise RuntimeError(pusher.contact.why)
    seconds = time.perf_counter() - began
    await uplink.close()
    spool.close()
    return {"seconds": seconds, "bytes": uplink.sent, "pushes": uplink.pushes, "results": results}


def main(days: float) -> None:
    with tempfile.TemporaryDirectory(prefix="haidang-drain-") as scratch:
        directory = Path(scratch)
        with bench_ingest.collector(directory, agents=1) as (port, end):
            found = asyncio.run(drain(directory, port, days))
            said = end()
        if said["letters"] or said["results"] != found["results"] - 1:  # the start record is no result
            raise RuntimeError(f"not everything was accounted for: {said}")
        print(json.dumps(found))


if __name__ == "__main__":
    main(float(sys.argv[1]))
