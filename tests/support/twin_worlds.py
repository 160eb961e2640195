"""Two whole collectors in this process on one clock moved by hand, with the same inventory and keys, which hear the
same of the same agents: what differs between their answers is what only one of them was told.
"""

import asyncio
import os
import re
import shutil
import types
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec
import pytest

from alerts.channels.config import ChannelSettings, RelaySettings
from collector.app.run import CollectorService
from collector.budgets import BudgetsConfig
from collector.commands import offline
from collector.config import AgentsConfig, CollectorConfig, OperatorsConfig
from collector.keys import files as keys_files
from collector.store.interfaces.store import Transaction
from collector.store.opening import open_store
from collector.store.records import RegisteredCheck
from inventory.protocol.plan import Plan, decode
from inventory.protocol.states import UP
from tests.support.clock import FakeClock
from tests.support.evaluator_world import DAY, HOUR, PunctualAgent
from tests.support.ingest_world import collector_clock

# agb has what can be asked for: a goal, a contact, a check that goes down
INVENTORY: Final = """\
province: {id: st, name: {vi: Tỉnh, en: Province}}
contacts:
  a: {name: {vi: Bà A, en: Ms A}, email: a@example.vn}
  b: {name: {vi: Bà B, en: Ms B}, email: b@example.vn, language: en}
routes: {of-b: {select: {agencies: [agb]}, to: [b], only: true}, rest: {to: [a]}}
agencies:
  aga:
    name: {vi: Sở A, en: Agency A}
    site:
      agent: agent-a
      checks:
        web: {kind: icmp, params: {host: 192.0.2.1}, interval: 30s}
        old: {kind: icmp, params: {host: 192.0.2.9}, interval: 30s}
  agb:
    name: {vi: Sở B, en: Agency B}
    contacts: [b]
    site:
      agent: agent-b
      checks:
        web: {kind: icmp, params: {host: 198.51.100.1}, interval: 30s}
        mail: {kind: icmp, params: {host: 198.51.100.2}, interval: 30s}
        power: {kind: icmp, params: {host: 198.51.100.3}, interval: 30s}
  agc:
    name: {vi: Sở C, en: Agency C}
    site: {agent: agent-c, checks: {web: {kind: icmp, params: {host: 203.0.113.1}, interval: 30s}}}
goals:
  goal-b:
    name: {vi: Chỉ tiêu B, en: Goal B}
    select: {agencies: [agb]}
    combine: mean
    objective: 99%
    windows: [rolling-30d, month]
"""
WITHOUT_OLD: Final = INVENTORY.replace("        old: {kind: icmp, params: {host: 192.0.2.9}, interval: 30s}\n", "")
ABOUT_B: Final = re.compile(r"agb|agent-b|goal-b")
ITEMS: Final = ("agencies", "goals", "incidents", "troubles", "agents", "checks")
NAMES: Final = ("told", "quiet")


class TwinWorlds:
    """``told`` hears what a test makes of agent-a, ``quiet`` does not; both hear agent-b and agent-c. ``started`` by
    :meth:`start`; nothing runs by itself but commits."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.clock: FakeClock = collector_clock()
        self.services: dict[str, CollectorService] = {}
        self.agents: dict[tuple[str, str], PunctualAgent] = {}
        self.first_plans: dict[str, Plan] = {}  # agents' plans before the check "old" was taken out
        self.made_up_before: Plan | None = None  # one that ``told`` took before plans were signed
        patch.setattr("collector.commands.offline.time", types.SimpleNamespace(time_ns=self._now_ns))

    def _now_ns(self) -> int:
        return self.clock.wall_ms() * 1_000_000

    def config(self, name: str) -> CollectorConfig:
        return CollectorConfig(
            state_dir=self.folder / name,
            inventory=self.folder / "inventory",
            agents=AgentsConfig(listen="127.0.0.1:0"),
            operators=OperatorsConfig(listen="127.0.0.1:0"),
            budgets=BudgetsConfig(plans_per_hour=100_000),  # how many is not what is tried
            alerts=ChannelSettings(
                from_="haidang@example.vn",
                relays=(RelaySettings(host="127.0.0.1", tls="none"),),
                url="https://hd.example",
            ),
        )

    async def start(self) -> None:
        """Both, an hour after "old" was taken out of the inventory; every agent has been heard since then."""
        (self.folder / "inventory").mkdir()
        self._write(INVENTORY)
        keys_files.authority(self.folder / "pki", self.clock.wall_ms())
        for name in NAMES:
            (self.folder / name).mkdir()
            shutil.copytree(self.folder / "pki", self.folder / name / "pki")
            (self.folder / name / "links.key").write_bytes(b"k" * 32)
            if name == "told" and self.made_up_before is not None:
                await self._take_as_before(self.made_up_before)
            await self._open(name)
        for name, service in self.services.items():
            for agent in ("agent-a", "agent-b", "agent-c"):
                plan = self.first_plans[agent] = self.plan(name, agent)
                self.agents[name, agent] = PunctualAgent(service.ingest, self.clock, plan)
                self.agents[name, agent].boot = agent.encode().ljust(8, b"-")
                await self.agents[name, agent].push()
        await self.look(a=True)
        self.clock.advance(HOUR)
        self._write(WITHOUT_OLD)
        for service in self.services.values():
            assert await service.inventories.refresh()
        for (name, agent), one in self.agents.items():
            one.plan = self.plan(name, agent)
        await self.look(a=True)

    async def _take_as_before(self, plan: Plan) -> None:
        """What a program that asked for no signature kept of a plan that an agent had made up."""
        store = open_store(self.config("told").database)
        checks = [
            RegisteredCheck(id=0, agent=plan.agent, uid=one.uid, name=one.name, kind=one.kind, born=None, ended=None)
            for one in plan.checks
        ]

        def take(tx: Transaction) -> None:
            tx.plans.add(plan.digest, plan.agent, plan.encode(), self.clock.wall_ms())
            for check in checks:
                tx.checks.save(check)

        await store.write(take)
        await store.close()

    async def stop(self) -> None:
        await asyncio.gather(*(service.stop() for service in self.services.values()))

    async def restart(self) -> None:
        """Both come up again over what they have."""
        await self.stop()
        for name in NAMES:
            await self._open(name)
            for agent in ("agent-a", "agent-b", "agent-c"):
                self.agents[name, agent].ingest = self.services[name].ingest

    async def _open(self, name: str) -> None:
        service = self.services[name] = CollectorService(self.config(name), self.clock)
        await service.start()
        by_itself = [task for task in service.ingest._tasks if task.get_name() == "ingest-maintenance"]
        by_itself += service._tasks  # what would look at the clock at a moment of its own
        for task in by_itself:
            task.cancel()
        await asyncio.gather(*by_itself, return_exceptions=True)

    def plan(self, name: str, agent: str) -> Plan:
        served = self.services[name].inventories.plan(agent)
        assert served is not None
        return decode(served[1])

    async def look(self, *, web: int = UP, step: int = 30_000, a: bool = False) -> None:
        """Time passes; agent-b (whose check web is as given) and agent-c look, agent-a too if ``a``; all is judged."""
        self.clock.advance(step)
        for (_, agent), one in self.agents.items():
            if agent != "agent-a" or a:
                codes = [web if agent == "agent-b" and check.name == "web" else UP for check in one.plan.checks]
                ack = await one.push(
                    one.batch(list(zip(range(len(codes)), [one.now()] * len(codes), codes, strict=True)))
                )
                assert ack.verdict == "taken"
        await self.judge()

    async def judge(self) -> None:
        """All that runs beside pushes has its turn."""
        for service in self.services.values():
            await service.ingest.committer.save_all()  # a check's newest measures are read from its checkpoint
            await service.goal_cache.refresh()
            await service.site_power.refresh()
            await service.alerting.circuits.count()
            for _ in range(2):
                await service.alerting.evaluator.evaluate()

    async def answers_about_b(self, name: str) -> dict[str, bytes]:
        """All that the collector says of agency agb, its agent, its checks and its goal, by where it says it."""
        service = self.services[name]
        base = f"http://127.0.0.1:{service.operators_port}"
        said: dict[str, bytes] = {}
        async with aiohttp.ClientSession(base) as session:

            async def get(path: str) -> bytes:
                async with session.get(path) as response:
                    body = await response.read()
                    assert response.status == 200, (path, body)
                    return body

            uids = [check.uid for check in self.first_plans["agent-b"].checks]
            for path in (
                "/api/v1/checks?agency=agb&window=24h",
                "/api/v1/checks?agent=agent-b",
                "/api/v1/backups?agency=agb",
                "/agencies/agb",
                "/agencies/agb?lang=en",
                *(
                    f"/api/v1/checks/{uid}{rest}"
                    for uid in uids
                    for rest in ("", "/availability", "/history?measure=latency")
                ),
            ):
                said[path] = await get(path)
            for path in ITEMS:
                said[f"items of {path}"] = _about_b(await get(f"/api/v1/{path}"))
            lines = (await get("/metrics")).decode().splitlines()
            said["metrics"] = "\n".join(line for line in lines if ABOUT_B.search(line)).encode()
            assert b"haidang_check_up" in said["metrics"] and b"haidang_goal" in said["metrics"]
        config = self.config(name)
        said["report"] = "\n".join(await offline.report(config, "", csv=True, agency="agb")).encode()
        said["goals"] = "\n".join(line for line in await offline.goals(config, "") if "goal-b" in line).encode()
        letters = await service.alerting.outbox.due(self.clock.wall_ms() + 30 * DAY, 1_000)
        said["mails"] = b"\n\n".join(letter.body for letter in letters if letter.contact == "b")
        return said

    def _write(self, text: str) -> None:
        file = self.folder / "inventory" / "all.yaml"
        file.write_text(text, "utf-8")
        os.utime(file, ns=(0, len(text)))  # another time for another text


def _about_b(body: bytes) -> bytes:
    """Of a JSON list (or an object of lists) the items that name agency B or what is its."""
    content: Any = msgspec.json.decode(body)
    lists = content.values() if isinstance(content, dict) else [content]
    encoded = [msgspec.json.encode(item) for items in lists if isinstance(items, list) for item in items]
    return b"\n".join(item for item in encoded if ABOUT_B.search(item.decode()))
