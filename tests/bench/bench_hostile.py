"""What 16 hostile agents at once do to the others: the time of their acks, the collector's memory, its loop.

The collector has core 0. On core 1 are 8 honest agents that push 20 results each every 40 ms, and in another process
the hostile ones, which send whatever costs most as fast as they are answered. Each attack has a collector of its own.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from inventory.protocol.wire import PUSH_TYPE, Echo, decode_ack, encode_push
from tests.bench.bench_ingest import DRIVER_CORE, SERVER_CORE, certify, connect, on_driver_core, request_for
from tests.bench.hostile_agents import ATTACKS
from tests.support.push_source import PushSource

HONEST, HOSTILE = 8, 16
SECONDS = 3.0
EVERY = 0.04  # seconds between two pushes of an honest agent
MAX_ACK, MAX_MEMORY, MAX_HELD = 250.0, 100.0, 50.0  # ms, MiB, ms
HEADERS = f"Content-Type: {PUSH_TYPE}\r\n"


def memory(pid: int, what: str) -> float:
    """MiB of a process: VmRSS now, VmHWM at most so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what):
            return int(line.split()[1]) / 1024
    raise KeyError(what)


async def honest(directory: Path, port: int, hostile: "subprocess.Popen[str] | None") -> list[float]:
    """The seconds of each ack, while the hostile ones are at it."""
    sources = [PushSource(number) for number in range(HONEST)]
    wires = await connect(directory, port, sources)
    pushes, took = int(SECONDS / EVERY), list[float]()
    requests = []
    for source, wire in zip(sources, wires, strict=True):
        source.begin(pushes + 1)
        status, body = await wire.ask(request_for(source.hello(), "/v1/push", HEADERS))
        assert status == 200, body
        echo = Echo(decode_ack(body).sent_ms, source.now())
        bodies = [encode_push(source.push(1, echo, list(source.results(1)))) for _ in range(pushes)]
        requests.append([request_for(body, "/v1/push", HEADERS) for body in bodies])
    if hostile is not None:
        assert hostile.stdin is not None
        hostile.stdin.write("go\n")
        hostile.stdin.flush()

    async def one(number: int) -> None:
        await asyncio.sleep(EVERY * number / HONEST)
        for request in requests[number]:
            began = time.perf_counter()
            status, body = await wires[number].ask(request)
            took.append(time.perf_counter() - began)
            assert status == 200 and decode_ack(body).verdict == "taken", body
            await asyncio.sleep(max(0.0, EVERY - (time.perf_counter() - began)))

    await asyncio.gather(*(one(number) for number in range(HONEST)))
    for wire in wires:
        assert wire.transport is not None
        wire.transport.close()
    return sorted(took)


def measure(attack: str) -> dict[str, Any]:
    """``ack``: ms, 99th percentile; ``grown``: MiB of memory; ``held``: ms; ``answers``: of the hostile by status."""
    with tempfile.TemporaryDirectory(prefix="haidang-bench-") as scratch:
        directory = Path(scratch)
        for number in range(HONEST + HOSTILE):
            certify(directory, f"agent-{number:03d}")
        command = [sys.executable, "-m", "tests.bench.ingest_server", scratch]
        server = subprocess.Popen(
            [*command, str(HONEST + HOSTILE), str(SERVER_CORE), "watch"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        hostile = None
        try:
            assert server.stdout is not None
            port = int(server.stdout.readline().split()[1])
            if attack:
                arguments = [scratch, str(port), str(HONEST), str(HOSTILE), attack, str(DRIVER_CORE)]
                hostile = subprocess.Popen(
                    [sys.executable, "-m", "tests.bench.hostile_agents", *arguments],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )  # fmt: skip
                assert hostile.stdout is not None and hostile.stdout.readline() == "there\n"
            before = memory(server.pid, "VmRSS")
            took = on_driver_core(lambda: honest(directory, port, hostile))
            grown = memory(server.pid, "VmHWM") - before
            answers = json.loads(hostile.communicate("", timeout=60)[0].splitlines()[-1]) if hostile else {}
            said = json.loads(server.communicate("", timeout=120)[0].strip().splitlines()[-1])
        finally:
            for process in (hostile, server):
                if process is not None and process.poll() is None:
                    process.kill()
                    process.wait()
    ack = took[int(len(took) * 0.99)] * 1000
    return {"ack": ack, "grown": grown, "held": said["held_ms"], "answers": answers}


def run() -> list[dict[str, Any]]:
    rows = []
    for attack in ("", *ATTACKS):
        found = measure(attack)
        name = f"16 hostile: {attack}" if attack else "nobody hostile"
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(found["answers"].items()))
        for what, value, unit, most in (
            ("others' ack, p99", found["ack"], "ms", MAX_ACK),
            ("memory at most", found["grown"], "MiB more", MAX_MEMORY),
            ("loop held", found["held"], "ms", MAX_HELD),
        ):
            rows.append(
                {
                    "name": f"{name}, {what}",
                    "value": value,
                    "unit": unit,
                    "peer": answers if what.startswith("others") else None,
                    "ratio": None,
                    "target": f"< {most:g} {unit.split()[0]}",
                    "met": value < most,
                }
            )
    return rows
