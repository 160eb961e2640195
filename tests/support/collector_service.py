"""A whole collector in this process, on free ports of loopback, and an agent that pushes straight into its ingest."""

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from collector.app.run import CollectorService
from collector.budgets import BudgetsConfig
from collector.config import AgentsConfig, CollectorConfig, OperatorsConfig
from inventory.protocol.plan import Plan, decode
from inventory.protocol.wire import Ack, Batch, Echo, Position, Push, Reading, encode_push

INVENTORY = """\
province: {id: st, name: {vi: Tỉnh Sóc Trăng, en: Soc Trang}, hub: so-ttt, push_every: 5s}
contacts:
  truc: {name: {vi: Trực, en: Desk}, email: truc@soctrang.example}
agencies:
  so-ttt:
    name: {vi: Sở Thông tin, en: Department of Information}
    contacts: [truc]
    site:
      agent: so-ttt
      checks:
        portal: {kind: tcp, params: {host: 192.0.2.1, port: 443}, interval: 30s}
        mail: {kind: tcp, params: {host: 192.0.2.2, port: 25}, interval: 30s}
        ping: {kind: icmp, params: {host: 192.0.2.3}, interval: 30s}
  so-tc:
    name: {vi: Sở Tài chính, en: Department of Finance}
    contacts: [truc]
    site: {agent: so-tc, checks: {gate: {kind: tcp, params: {host: 192.0.2.3, port: 80}, interval: 30s}}}
goals:
  g1: {name: {vi: Dịch vụ, en: Services}, combine: mean, objective: 99%, windows: [rolling-30d]}
"""
PATHS = (
    "/",
    "/?lang=en",
    "/agencies/so-ttt",
    "/agencies/so-tc",
    "/incidents",
    "/api/v1/checks?window=30d",
    "/api/v1/agencies",
    "/api/v1/goals",
    "/api/v1/troubles",
    "/api/v1/agents",
    "/api/v1/incidents",
    "/api/v1/links",
    "/api/v1/backups",
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class CollectorHouse:
    """A directory with an inventory and a state, and the collector that runs there."""

    def __init__(self, directory: Path, inventory: str = INVENTORY) -> None:
        self.directory = directory
        folder = directory / "inventory"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "all.yaml").write_text(inventory, "utf-8")
        self.config = CollectorConfig(
            state_dir=directory / "state",
            inventory=folder,
            agents=AgentsConfig(listen="127.0.0.1:0"),
            operators=OperatorsConfig(listen="127.0.0.1:0"),
            budgets=BudgetsConfig(plans_per_hour=100_000),  # how many is not what is tried
        )
        self.service: CollectorService

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["CollectorHouse"]:
        self.service = CollectorService(self.config)
        await self.service.start()
        try:
            yield self
        finally:
            await self.service.stop()

    def killed_copy(self, name: str) -> "CollectorHouse":
        """The house as a kill would leave it at this moment: what the disk holds, the log of the store included."""
        copy = CollectorHouse(self.directory.parent / name)
        shutil.copytree(self.config.state_dir, copy.config.state_dir)
        return copy

    async def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.service.operators_port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()

    async def broken_answers(self) -> list[str]:
        """Paths that do not answer 200 and whole, with what they say."""
        broken = []
        for path in PATHS:
            status, text = await self.get(path)
            if status != 200 or (path.startswith("/api") and not text.rstrip().endswith(("]", "}"))):
                broken.append(f"{path}: {status} {text[:200]}")
        status, text = await self.get("/metrics")
        families = {family.name for family in text_string_to_metric_families(text)}
        if status != 200 or "haidang_collector_pushes" not in families:
            broken.append(f"/metrics: {status}, {len(families)} families")
        return broken

    @property
    def held(self) -> set[str]:
        """Agents in quarantine."""
        return set(self.service.ingest.fleet.quarantine.agents)

    async def metric(self, name: str) -> float:
        _, text = await self.get("/metrics")
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


class PushingAgent:
    """An agent's chain of pushes; every batch is of an epoch of its own, so that none depends on the one before."""

    def __init__(self, house: CollectorHouse, name: str, boot: bytes = b"bootboot") -> None:
        self.house = house
        self.name = name
        self.boot = boot
        self.boot0 = now_ms() - 3 * 3_600_000  # its machine began then
        self.echo: Echo | None = None
        self.watermark: Position | None = None
        self.epoch = 1_000

    @property
    def encoded_plan(self) -> bytes:
        plan = self.house.service.inventories.plan(self.name)
        assert plan is not None
        return plan[1]

    @property
    def plan(self) -> Plan:
        return decode(self.encoded_plan)

    @property
    def widths(self) -> tuple[int, ...]:
        plan = self.plan
        return tuple(len(plan.columns[check.kind]) for check in plan.checks)

    def now(self) -> int:
        return now_ms() - self.boot0

    def reading(self) -> Reading:
        return Reading(self.boot, self.now(), now_ms())

    def rebooted(self) -> None:
        number = int.from_bytes(self.boot) + 1
        self.boot, self.echo = number.to_bytes(8), None

    async def send(self, body: bytes) -> Ack:
        ack = await self.house.service.ingest.push(self.name, body)
        self.echo = Echo(ack.sent_ms, self.now())
        self.watermark = ack.watermark
        return ack

    async def push(self, batch: Batch | None = None, **more: Any) -> Ack:
        push = Push(version=2, sent=self.reading(), echo=self.echo, batch=batch, **more)
        return await self.send(encode_push(push))

    async def look(self, states: Sequence[int], **more: Any) -> Ack:
        """One look of every check now."""
        await self.push()
        self.epoch += 1
        plan, count = self.plan, len(states)
        batch = Batch(
            epoch=self.epoch,
            previous=self.watermark,
            last=count,
            plan=plan.digest,
            boot=self.boot,
            base=self.now(),
            checks=[0, *[1] * (count - 1)],
            counts=[1] * count,
            at=[0] * count,
            states=bytes(states),
            latency=[None] * count,
            values=[None] * sum(self.widths),
        )
        return await self.push(batch, **more)


async def evaluated(house: CollectorHouse, times: int = 3) -> None:
    """The evaluator's next turns, each of which has to come to its end."""
    for _ in range(times):
        await house.service.alerting.evaluator.evaluate()
        await asyncio.sleep(0)
