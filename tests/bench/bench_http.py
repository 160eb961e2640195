"""Looks of the kind http per CPU second, beside Prometheus's blackbox_exporter: same server, a new connection each.

The server, our looks and the exporter are three processes; each side's own CPU time is counted (user and system, the
exporter's from /proc), so that what else the machine does matters little. The exporter is asked over kept connections.
"""

import asyncio
import contextlib
import datetime
import http.client
import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

LOOKS = {"http": 6_000, "https": 1_200}
AT_ONCE = 8
ANSWER = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2048\r\nConnection: close\r\n\r\n" + b"x" * 2048
)
EXPORTER = "prometheus-blackbox-exporter"


def run() -> list[dict[str, Any]]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        certificate = _certificate(Path(folder))
        for scheme, looks in LOOKS.items():
            with _server(certificate if scheme == "https" else None) as port:
                url = f"{scheme}://127.0.0.1:{port}/"
                ours = _ours(url, looks)
                theirs = _exporters(url, looks // 3, Path(folder)) if shutil.which(EXPORTER) else None
            ratio = ours / theirs if theirs else None
            rows.append(
                {
                    "name": f"{scheme} looks, new connection each, {AT_ONCE} at once",
                    "value": round(ours),
                    "unit": "looks/CPU s",
                    "peer": f"blackbox_exporter {theirs:,.0f}" if theirs else None,
                    "ratio": ratio,
                    "target": "at least 2 x blackbox_exporter" if scheme == "http" else "at least blackbox_exporter",
                    "met": ratio is None or ratio >= (2 if scheme == "http" else 1),
                }
            )
    return rows


@contextlib.contextmanager
def _server(certificate: Path | None) -> Iterator[int]:
    command = [sys.executable, __file__, "serve", *([str(certificate)] if certificate else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def _ours(url: str, looks: int) -> float:
    """Looks per CPU second of a process that does nothing else; the first few warm it up and do not count."""
    root = ROOT
    command = [sys.executable, __file__, "look", url, str(looks)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=True, timeout=100, env={**os.environ, "PYTHONPATH": str(root)}
    )
    return float(done.stdout)


def _exporters(url: str, looks: int, folder: Path) -> float:
    config = folder / "blackbox.yml"
    module = {"prober": "http", "timeout": "5s", "http": {"tls_config": {"insecure_skip_verify": True}}}
    config.write_text(json.dumps({"modules": {"fetch": module}}))  # JSON is YAML
    port = _free_port()
    command = [EXPORTER, f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            path = f"/probe?module=fetch&target={urllib.parse.quote(url, safe='')}"
            _ask(port, path, 80)
            before = _cpu_of(process.pid)
            _ask(port, path, looks)
            return looks / (_cpu_of(process.pid) - before)
        finally:
            process.kill()


def _ask(port: int, path: str, looks: int) -> None:
    """Drive the exporter from AT_ONCE threads; every look must have succeeded."""
    failed: list[object] = []

    def ask() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(looks // AT_ONCE):
            connection.request("GET", path)
            answer = connection.getresponse().read()
            if b"\nprobe_success 1" not in answer:
                failed.append(answer)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise RuntimeError(f"{len(failed)} of the exporter's probes failed")


def _cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise RuntimeError("the exporter did not start")


def _certificate(folder: Path) -> Path:
    """A self-signed one on P-256, as most public sites have by now; neither side judges it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "server.pem"
    file.write_bytes(private + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return file


async def _serve(certificate: str | None) -> None:
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)

    class Answer(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport: Any = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(ANSWER)
            self.transport.close()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Answer, "127.0.0.1", 0, ssl=context, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until the benchmark ends


async def _look(url: str, looks: int) -> float:
    from agent.probe import Limits, ProbeContext
    from agent.probes import build

    probe = build("http", {"url": url, "verify": False})
    clients: dict[type[Any], Any] = {}

    async def some(count: int) -> None:
        for _ in range(count):
            outcome = await probe.run(ProbeContext(5, Limits(), clients))
            if outcome.state:
                raise RuntimeError(outcome.reason)

    await asyncio.gather(*(some(10) for _ in range(AT_ONCE)))
    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(some(looks // AT_ONCE) for _ in range(AT_ONCE)))
    after = resource.getrusage(resource.RUSAGE_SELF)
    return looks / (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(_serve(sys.argv[2] if len(sys.argv) > 2 else None))
    else:
        print(asyncio.run(_look(sys.argv[2], int(sys.argv[3]))))
