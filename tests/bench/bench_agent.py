"""The agent's footprint: a real process with 20 checks at 30 s against a collector that takes everything."""

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from agent import identity as identities
from agent import plans, probes
from agent.plans import PlanStore
from inventory.plan import Column, Plan, PlannedCheck
from tests.bench.desk import Authority, Desk

CHECKS = 20
INTERVAL = 30_000
WARM_UP = 40.0  # seconds: every check has been looked at, every library it needs is there
MEASURED = 60.0
MAX_RSS = 45.0  # MiB
MAX_CPU = 0.5  # % of one core


def run() -> list[dict[str, Any]]:
    return asyncio.run(_run())


async def _run() -> list[dict[str, Any]]:
    authority = Authority()
    with tempfile.TemporaryDirectory() as name:
        state_dir = Path(name)
        desk = await Desk(authority).open(state_dir)
        web = await asyncio.start_server(_web, "127.0.0.1", 0)
        identities.store(state_dir, authority.identity(desk.url))
        made = plan(web.sockets[0].getsockname()[1], desk.port)
        desk.plan = made.encode()
        PlanStore(state_dir, made.agent).keep(plans.read(desk.plan))
        agent = subprocess.Popen(  # noqa: ASYNC220  # it only has to begin
            [sys.executable, "-m", "agent.cli", "run", "--state-dir", name],
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        try:
            await asyncio.sleep(WARM_UP)
            before, begun, had = _cpu(agent.pid), time.monotonic(), len(desk.results())
            await asyncio.sleep(MEASURED)
            cpu = 100 * (_cpu(agent.pid) - before) / (time.monotonic() - begun)
            rss, looks = _rss(agent.pid), len(desk.results()) - had
        finally:
            agent.terminate()
            _, said = await asyncio.to_thread(agent.communicate, timeout=20)
            web.close()
            await desk.close()
    if agent.returncode != 0 or looks < CHECKS:
        raise RuntimeError(f"the agent did not do its work ({looks} looks): {said.decode()}")
    what = f"agent, {CHECKS} checks at {INTERVAL // 1000} s"
    return [
        _row(f"{what}: resident memory", rss, "MiB", f"at most {MAX_RSS:g} MiB", rss <= MAX_RSS),
        _row(f"{what}: one core", cpu, "%", f"at most {MAX_CPU:g} %", cpu <= MAX_CPU),
    ]


def plan(web_port: int, tls_port: int) -> Plan:
    """A site's mix: pings, TCP, HTTP, certificates, names; on loopback."""
    kinds: list[tuple[str, dict[str, Any]]] = [("icmp", {"host": f"127.0.0.{number}"}) for number in range(1, 11)]
    kinds += [("tcp", {"host": "127.0.0.1", "port": web_port})] * 4
    kinds += [("http", {"url": f"http://127.0.0.1:{web_port}/"})] * 4
    kinds += [("tls", {"host": "127.0.0.1", "port": tls_port, "verify": False})]
    kinds += [("dns", {"server": "127.0.0.1", "name": "example.org"})]  # nobody answers, so it is looked at more often
    checks = tuple(
        PlannedCheck(
            uid=hashlib.sha256(f"{place}".encode()).hexdigest()[:16], name=f"{kind}-{place}", kind=kind,
            interval=INTERVAL, timeout=10_000, hold=2 * INTERVAL + 10_000, recheck=5_000, params=params,
        )
        for place, (kind, params) in enumerate(kinds)
    )  # fmt: skip
    assert len(checks) == CHECKS
    columns = {
        kind: tuple(Column(measure.name, measure.per) for measure in probes.load(kind).measures)
        for kind in sorted({check.kind for check in checks})
    }
    return Plan(agent="site-1", agency="a", site="s", checks=checks, columns=columns)


async def _web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    writer.close()


def _cpu(pid: int) -> float:
    """Seconds of CPU, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss(pid: int) -> float:
    """MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def _row(name: str, value: float, unit: str, target: str, met: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": None, "ratio": None, "target": target, "met": met}
