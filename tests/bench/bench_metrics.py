"""/metrics of 100,000 checks: how long a scrape takes, and what an acknowledgement takes meanwhile.

A whole collector on one core: its store, its listeners, 1,000 agents of 100 checks. From the other core 40 agents push
a batch of 20 results 200 times a second over mutual TLS (more than 100,000 checks make at one look in 30 s), first
alone, then while /metrics is scraped over and over, plain and compressed.
"""

import asyncio
import os
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import aiohttp

from inventory.base.trust import NO_CHECK_TIME
from inventory.protocol import wire
from inventory.protocol.authority import SERVER_NAME
from inventory.protocol.plan import decode
from inventory.protocol.wire import Position, Push, Reading
from tests.bench.metrics_server import batch_of
from tests.support.paths import ROOT

AGENTS, CHECKS, PUSHERS = 1_000, 100, 40
RATE = 200  # pushes a second
SCRAPES = 8
BOOT0 = time.time_ns() // 1_000_000 - 86_400_000


class Pusher:
    """One agent on a kept connection."""

    def __init__(self, directory: Path, number: int, port: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(directory / "ca.pem")
        context.verify_flags |= NO_CHECK_TIME
        context.load_cert_chain(directory / f"pusher-{number}.pem")
        connector = aiohttp.TCPConnector(ssl=context, keepalive_timeout=600)
        self.session = aiohttp.ClientSession(f"https://127.0.0.1:{port}", connector=connector, auto_decompress=False)
        self.at: Position | None = None
        self.epoch = 100 + number
        self.echo: wire.Echo | None = None

    async def start(self) -> None:
        async with self.session.get("/v1/plan", server_hostname=SERVER_NAME) as response:
            self.plan = decode(await response.read())
        await self.push(empty=True)

    async def push(self, *, empty: bool = False) -> float:
        """Seconds to the acknowledgement."""
        now = time.time_ns() // 1_000_000
        batch = None if empty else batch_of(self.plan, self.epoch, self.at, now - BOOT0)
        push = Push(version=1, sent=Reading(b"bootboot", now - BOOT0, now), echo=self.echo, batch=batch)
        body = wire.encode_push(push)
        started = time.perf_counter()
        async with self.session.post(
            "/v1/push", data=body, headers={"Content-Type": wire.PUSH_TYPE}, server_hostname=SERVER_NAME
        ) as response:
            ack = wire.decode_ack(await response.read())
        took = time.perf_counter() - started
        assert empty or ack.verdict == "taken", ack
        self.at, self.echo = ack.watermark, wire.Echo(ack.sent_ms, time.time_ns() // 1_000_000 - BOOT0)
        return took


async def load(pushers: list[Pusher], stop: asyncio.Event, took: list[float]) -> None:
    """RATE pushes a second, spread, each agent one at a time."""

    async def one(pusher: Pusher, number: int) -> None:
        period = len(pushers) / RATE
        next_at = time.perf_counter() + period * number / len(pushers)
        while not stop.is_set():
            await asyncio.sleep(max(next_at - time.perf_counter(), 0))
            # a late one counts from when it was due: waiting behind another is waiting too
            due = next_at
            await pusher.push()
            took.append(time.perf_counter() - due)
            next_at += period

    await asyncio.gather(*(one(pusher, number) for number, pusher in enumerate(pushers)))


SCRAPER = """
import socket, sys, time, zlib
port, packed = int(sys.argv[1]), sys.argv[2] == "gzip"
started = time.perf_counter()
with socket.create_connection(("127.0.0.1", port)) as there:
    head = b"GET /metrics HTTP/1.0\\r\\nHost: localhost\\r\\nAccept-Encoding: %s\\r\\n\\r\\n"
    there.sendall(head % sys.argv[2].encode())
    parts = []
    while part := there.recv(1 << 20):
        parts.append(part)
seconds = time.perf_counter() - started
body = b"".join(parts).partition(b"\\r\\n\\r\\n")[2]
text = zlib.decompress(body, 31) if packed else body
print(seconds, text.count(b"\\n") - text.count(b"\\n#") - 1)
"""


async def scrape(port: int, packed: bool) -> tuple[float, int]:
    """(seconds, samples). By a process of its own: what is measured beside it is the collector, not this loop."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRAPER, str(port), "gzip" if packed else "identity", stdout=subprocess.PIPE
    )
    out, _ = await process.communicate()
    seconds, samples = out.split()
    return float(seconds), int(samples)


async def measure(directory: Path, agents_port: int, operators_port: int) -> dict[str, Any]:
    pushers = [Pusher(directory, number, agents_port) for number in range(PUSHERS)]
    for pusher in pushers:
        await pusher.start()
        await pusher.push()
    found: dict[str, Any] = {"plain": [], "packed": [], "lines": 0}
    await scrape(operators_port, False)  # labels are made once
    for name in ("alone", "meanwhile"):
        stop, took = asyncio.Event(), []
        loading = asyncio.create_task(load(pushers, stop, took))
        if name == "alone":
            await asyncio.sleep(4)
        for number in range(SCRAPES if name == "meanwhile" else 0):
            seconds, found["lines"] = await scrape(operators_port, number % 2 == 1)
            found["packed" if number % 2 else "plain"].append(seconds)
        stop.set()
        await loading
        found[name] = sorted(took)
    for pusher in pushers:
        await pusher.session.close()
    return found


def run() -> list[dict[str, Any]]:
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as text:
        directory = Path(text)
        arguments = [str(directory), str(AGENTS), str(CHECKS), str(PUSHERS), str(cores[0])]
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.metrics_server", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        try:
            assert child.stdout is not None
            words = child.stdout.readline().split()
            os.sched_setaffinity(0, {cores[-1]})
            found = asyncio.run(measure(directory, int(words[1]), int(words[2])))
        finally:
            os.sched_setaffinity(0, set(cores))
            child.communicate()
    return _rows(found)


def _rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    alone, meanwhile = (quantile(found[name], 0.99) * 1000 for name in ("alone", "meanwhile"))
    plain, packed = sorted(found["plain"]), sorted(found["packed"])

    def row(
        name: str, value: float, unit: str, target: str, met: bool, peer: str | None = None, ratio: Any = None
    ) -> Any:
        return {"name": name, "value": value, "unit": unit, "peer": peer, "ratio": ratio, "target": target, "met": met}

    series = f"{found['lines']:,} series of {AGENTS * CHECKS:,} checks"
    return [
        row(f"/metrics, {series}", plain[-1], "s, slowest", "< 2 s", plain[-1] < 2),
        row("/metrics, the same, gzip", packed[-1], "s, slowest", "< 2 s", packed[-1] < 2),
        row(
            f"ack while scraped, {RATE} pushes/s, p99", meanwhile, "ms", "< 250 ms", meanwhile < 250,
            "ack without a scrape, p99", meanwhile / alone,
        ),
    ]  # fmt: skip


def quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
