"""The agent's footprint: a real process against a collector that takes everything, at a LAN and a data centre."""

import asyncio
import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from agent import probes
from agent.uplink import identity as identities
from agent.uplink import plans
from agent.uplink.plans import PlanStore
from inventory.protocol.plan import Column, Plan, PlannedCheck
from inventory.protocol.states import UP
from tests.support.fake_collector import FakeAuthority, FakeCollector
from tests.support.nut import MAINS, nut_server
from tests.support.paths import ROOT
from tests.support.snmp import device, switch

INTERVAL = 30_000
PORTS = 24
SILENT = "dns"  # the kind of check that nobody answers here


class Case(msgspec.Struct, frozen=True):
    """``checks``: the usual mix of this many. ``warm_up``: seconds until every check has been looked at and every
    library it needs is there. ``max_rss`` in MiB, ``max_cpu`` in % of one core.
    """

    name: str
    checks: int
    warm_up: float
    measured: float
    max_rss: float
    max_cpu: float
    switches: int = 0
    upses: int = 0


CASES = (
    Case("20 checks at 30 s", 20, 40.0, 60.0, 45.0, 0.5),
    Case("40 switches of 24 ports at 60 s, 2 UPS, 100 other checks", 100, 75.0, 120.0, 90.0, 10.0, 40, 2),
)


def run() -> list[dict[str, Any]]:
    return [row for case in CASES for row in asyncio.run(_run(case))]


async def _run(case: Case) -> list[dict[str, Any]]:
    authority = FakeAuthority()
    async with contextlib.AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory())
        state_dir = Path(name)
        desk = await FakeCollector(authority).open(state_dir)
        stack.push_async_callback(desk.close)
        made = await stack.enter_async_context(_surroundings(case, desk.port))
        identities.store(state_dir, authority.identity(desk.url))
        desk.plan = made.encode()
        PlanStore(state_dir, made.agent).keep(plans.read(desk.plan))
        agent = subprocess.Popen(  # noqa: ASYNC220  # it only has to begin
            [sys.executable, "-m", "agent.cli.main", "run", "--state-dir", name],
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
        try:
            await asyncio.sleep(case.warm_up)
            before, begun = _cpu(agent.pid), time.monotonic()
            desk.accepted.clear()
            await asyncio.sleep(case.measured)
            cpu = 100 * (_cpu(agent.pid) - before) / (time.monotonic() - begun)
            rss = _rss(agent.pid)
        finally:
            agent.terminate()
            _, said = await asyncio.to_thread(agent.communicate, timeout=20)
    if agent.returncode != 0 or (idle := _idle(made, desk)):
        raise RuntimeError(f"the agent did not do its work ({agent.returncode}, {idle[:5]}): {said.decode()[-2000:]}")
    what = f"agent, {case.name}"
    return [
        _row(f"{what}: resident memory", rss, "MiB", f"at most {case.max_rss:g} MiB", rss <= case.max_rss),
        _row(f"{what}: one core", cpu, "%", f"at most {case.max_cpu:g} %", cpu <= case.max_cpu),
    ]


def _idle(made: Plan, desk: FakeCollector) -> list[str]:
    """The checks that were not looked at, or did not see their target as it is."""
    seen = set()
    for batch in desk.accepted:
        states = iter(batch.states)
        for place, count in zip(batch.places(), batch.counts, strict=True):
            if {next(states) for _ in range(count)} == {UP}:
                seen.add(place)
    return [check.name for place, check in enumerate(made.checks) if place not in seen and check.kind != SILENT]


@contextlib.asynccontextmanager
async def _surroundings(case: Case, tls_port: int) -> AsyncIterator[Plan]:
    """What the case's plan looks at, running, and the plan."""
    async with contextlib.AsyncExitStack() as stack:
        web = await asyncio.start_server(_web, "127.0.0.1", 0)
        stack.callback(web.close)
        kinds = mix(web.sockets[0].getsockname()[1], tls_port) * (case.checks // len(mix(0, 0)))
        for _ in range(case.switches):
            port = (await stack.enter_async_context(device(switch(PORTS)))).port
            kinds.append(("snmp", {"host": "127.0.0.1", "port": port, "interfaces": ["*"]}))
        served = await stack.enter_async_context(nut_server(**{f"ups{number}": MAINS for number in range(case.upses)}))
        for name in served.upses:
            kinds += [(kind, {"host": "127.0.0.1", "port": served.port, "ups": name}) for kind in ("ups", "power")]
        yield plan(kinds)


def mix(web_port: int, tls_port: int) -> list[tuple[str, dict[str, Any]]]:
    """20 checks of a site: pings, TCP, HTTP, certificates, names; on loopback."""
    kinds: list[tuple[str, dict[str, Any]]] = [("icmp", {"host": f"127.0.0.{number}"}) for number in range(1, 11)]
    kinds += [("tcp", {"host": "127.0.0.1", "port": web_port})] * 4
    kinds += [("http", {"url": f"http://127.0.0.1:{web_port}/"})] * 4
    kinds += [("tls", {"host": "127.0.0.1", "port": tls_port, "verify": False})]
    kinds += [("dns", {"server": "127.0.0.1", "name": "example.org"})]  # nobody answers, so it is looked at more often
    return kinds


def plan(kinds: list[tuple[str, dict[str, Any]]]) -> Plan:
    """A plan of these checks; devices are asked every minute, all else every 30 s."""
    checks = []
    for place, (kind, params) in enumerate(kinds):
        interval = 2 * INTERVAL if kind == "snmp" else INTERVAL
        checks.append(
            PlannedCheck(
                uid=hashlib.sha256(f"{place}".encode()).hexdigest()[:16], name=f"{kind}-{place}", kind=kind,
                interval=interval, timeout=10_000, hold=2 * interval + 10_000, recheck=5_000, params=params,
            )
        )  # fmt: skip
    columns = {
        kind: tuple(Column(measure.name, measure.per) for measure in probes.load(kind).measures)
        for kind in sorted({check.kind for check in checks})
    }
    return Plan(agent="site-1", agency="a", site="s", checks=tuple(checks), columns=columns)


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
