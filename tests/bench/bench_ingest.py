"""Ingest on one core, durable and accounted, beside Prometheus's remote-write receiver given the same results.

The collector has core 0, what drives it core 1. Both are asked over mutual TLS on 200 kept connections. Every push and
every write request is ready before the clock starts.
"""

import asyncio
import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from inventory.protocol.wire import PUSH_TYPE, Echo, decode_ack, encode_push
from tests.bench import remote_write
from tests.support.push_source import CHECKS, PushSource

AGENTS = 200
SERVER_CORE, DRIVER_CORE = 0, min(1, (os.cpu_count() or 1) - 1)
SHAPES = {  # name: (looks a check in a push, pushes an agent, pushes under way at once)
    "20": (1, 200, 64),
    "1,000": (50, 12, 12),
}
TARGETS = {"20": (80_000, 2.0), "1,000": (300_000, 1.0)}


class Wire(asyncio.Protocol):
    """One kept connection that sends ready requests and tells apart the answers. One request at a time."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        assert self.transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._buffer[:end]).lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        self._buffer.clear()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result((int(head[9:12]), body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionError("closed"))


def request_for(body: bytes, path: str, headers: str) -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def drive(
    wires: list[Wire], requests: list[list[bytes]], at_once: int, check: Callable[[int, bytes], None]
) -> tuple[float, list[float]]:
    """All requests, each connection's in its order. Gives the seconds taken and the seconds of each answer."""
    took: list[float] = []
    slots = asyncio.Semaphore(at_once)

    async def one(wire: Wire, mine: list[bytes]) -> None:
        for request in mine:
            async with slots:
                began = time.perf_counter()
                status, body = await wire.ask(request)
                took.append(time.perf_counter() - began)
                check(status, body)

    began = time.perf_counter()
    await asyncio.gather(*(one(wire, mine) for wire, mine in zip(wires, requests, strict=True)))
    return time.perf_counter() - began, took


def certify(directory: Path, agent: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (directory / f"{agent}.key").write_bytes(pem)
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    (directory / f"{agent}.csr").write_bytes(csr.public_bytes(serialization.Encoding.PEM))


@contextlib.contextmanager
def collector(directory: Path, agents: int = AGENTS) -> Iterator[tuple[int, Callable[[], dict[str, Any]]]]:
    """(its port, a function that ends it and gives what it says of itself)."""
    for number in range(agents):
        certify(directory, f"agent-{number:03d}")
    command = [sys.executable, "-m", "tests.bench.ingest_server", str(directory), str(agents), str(SERVER_CORE)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None

    def end() -> dict[str, Any]:
        said, _ = process.communicate("", timeout=60)
        result: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
        return result

    try:
        yield int(process.stdout.readline().split()[1]), end
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


async def connect(directory: Path, port: int, sources: list[PushSource]) -> list[Wire]:
    """A kept connection an agent, with its certificate."""
    loop, wires = asyncio.get_running_loop(), []
    for source in sources:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(directory / "ca.pem")
        context.load_cert_chain(directory / f"{source.agent}.crt", directory / f"{source.agent}.key")
        _, wire = await loop.create_connection(
            Wire, "127.0.0.1", port, ssl=context, server_hostname="haidang-collector"
        )
        wires.append(wire)
    return wires


def _taken(status: int, body: bytes) -> None:
    if status != 200 or decode_ack(body).verdict != "taken":
        raise RuntimeError(f"not taken: {status} {body[:200]!r}")


async def ours(directory: Path, port: int) -> dict[str, tuple[float, float]]:
    """By shape: results a second, and the 99th percentile of an ack in seconds."""
    found = {}
    sources = [PushSource(number) for number in range(AGENTS)]
    wires = await connect(directory, port, sources)
    headers = f"Content-Type: {PUSH_TYPE}\r\n"
    for source in sources:  # the story starts where all of it is over by now
        source.begin(sum(looks * (pushes + 1) for looks, pushes, _ in SHAPES.values()))
    for name, (looks, pushes, at_once) in SHAPES.items():
        requests = []
        for source, wire in zip(sources, wires, strict=True):
            status, body = await wire.ask(request_for(source.hello(), "/v1/push", headers))
            assert status == 200, body
            echo = Echo(decode_ack(body).sent_ms, source.now())
            bodies = [encode_push(source.push(looks, echo, list(source.results(looks)))) for _ in range(pushes + 1)]
            requests.append([request_for(body, "/v1/push", headers) for body in bodies])
        await drive(wires, [mine[:1] for mine in requests], at_once, _taken)  # warm
        seconds, took = await drive(wires, [mine[1:] for mine in requests], at_once, _taken)
        found[name] = (AGENTS * pushes * looks * CHECKS / seconds, sorted(took)[int(len(took) * 0.99)])
    for wire in wires:
        assert wire.transport is not None
        wire.transport.close()
    return found


@contextlib.contextmanager
def prometheus(directory: Path) -> Iterator[int]:
    """Prometheus as a remote-write receiver on one core."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (directory / "prometheus.yml").write_text("global: {}\n")
    (directory / "web.yml").write_text(
        f"tls_server_config:\n  cert_file: {directory / 'pki' / 'server.pem'}\n"
        f"  key_file: {directory / 'pki' / 'server.key'}\n  client_ca_file: {directory / 'ca.pem'}\n"
        "  client_auth_type: RequireAndVerifyClientCert\nhttp_server_config:\n  http2: false\n"
    )
    command = [
        "taskset", "-c", str(SERVER_CORE), "prometheus", "--web.enable-remote-write-receiver",
        f"--config.file={directory / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.config.file={directory / 'web.yml'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
                break
            time.sleep(0.1)
        time.sleep(1)  # it refuses writes until its head is ready
        yield port
    finally:
        process.terminate()
        process.wait()


def _written(status: int, body: bytes) -> None:
    if status not in (200, 204):
        raise RuntimeError(f"not written: {status} {body[:200]!r}")


async def theirs(directory: Path, port: int) -> dict[str, float]:
    """By shape: results (of four samples each) a second."""
    found = {}
    sources = [PushSource(number) for number in range(AGENTS)]
    wires = await connect(directory, port, sources)
    writers = [remote_write.Writer(source) for source in sources]
    headers = remote_write.HEADERS
    for source in sources:
        source.begin(sum(looks * (pushes + 1) for looks, pushes, _ in SHAPES.values()))
    for name, (looks, pushes, at_once) in SHAPES.items():
        pushes = pushes if looks > 1 else pushes // 2  # as many seconds; its requests are large
        requests = [
            [request_for(writer.request(looks), "/api/v1/write", headers) for _ in range(pushes + 1)]
            for writer in writers
        ]
        await drive(wires, [mine[:1] for mine in requests], at_once, _written)
        seconds, _ = await drive(wires, [mine[1:] for mine in requests], at_once, _written)
        found[name] = AGENTS * pushes * looks * CHECKS / seconds
    for wire in wires:
        assert wire.transport is not None
        wire.transport.close()
    return found


def on_driver_core(work: Callable[[], Awaitable[Any]]) -> Any:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {DRIVER_CORE})
    try:
        return asyncio.run(work())  # type: ignore[arg-type]
    finally:
        os.sched_setaffinity(0, before)


def run() -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="haidang-bench-") as scratch:
        directory = Path(scratch)
        with collector(directory) as (port, end):
            measured = on_driver_core(lambda: ours(directory, port))
            said = end()
        if said["letters"] or said["results"] != sum(
            AGENTS * (pushes + 1) * looks * CHECKS for looks, pushes, _ in SHAPES.values()
        ):
            raise RuntimeError(f"not everything was accounted for: {said}")
        peer: dict[str, float] = {}
        if shutil.which("prometheus") and shutil.which("taskset"):
            with prometheus(directory) as port:
                peer = on_driver_core(lambda: theirs(directory, port))
    rows = []
    for name, (rate, p99) in measured.items():
        least, times = TARGETS[name]
        ratio = rate / peer[name] if name in peer else None
        rows.append(
            {
                "name": f"ingest, one core, durable, batches of {name}",
                "value": rate,
                "unit": "results/s",
                "peer": f"prometheus remote write {peer[name]:,.0f}" if name in peer else None,
                "ratio": ratio,
                "target": f">= {least:,} and >= {times:g} x Prometheus",
                "met": rate >= least and (ratio is None or ratio >= times),
            }
        )
        rows.append(
            {
                "name": f"ack, 99th percentile, batches of {name}",
                "value": p99 * 1000,
                "unit": "ms",
                "peer": None,
                "ratio": None,
                "target": "< 100 ms",
                "met": p99 < 0.1,
            }
        )
    return rows
