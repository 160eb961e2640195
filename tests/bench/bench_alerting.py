"""What watching a province for troubles costs beside ingest: a turn of the evaluator over 10,000 sites, 20 checks each.

Turns are made on the loop that takes pushes, once a second. Steady: a thirtieth of the agents pushed since the last
turn, all is well. Outage: a provider's 500 lines go at once, as 500 silent sites and what the hub's agent sees of them.
"""

import asyncio
import logging
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from alerts.channels.config import ChannelSettings, RelaySettings
from alerts.mail.signed_urls import LinkSigner
from collector.evaluator.evaluator import Evaluator
from collector.evaluator.outgoing_mail import MailWriter
from collector.evaluator.problems.goal_problems import GoalProblems
from collector.evaluator.problems.self_checks import SelfChecks
from collector.ingest.ingest import Ingest
from collector.ingest.states.fast_path import Ledger
from collector.ingest.states.state import AgentState
from collector.ingest.states.timing import Timing
from collector.ledger.state_step import LedgerTail
from collector.queries.reader import LedgerReader
from collector.store.opening import open_store
from collector.store.records import RegisteredCheck
from collector.store.unsubscribed import Unsubscribed
from inventory.assembly import load
from inventory.model.entities import Inventory
from inventory.protocol.states import DOWN, UP

SITES, CUT, TURNS = 10_000, 500, 20
HUB = """\
province: {id: p, name: {vi: P, en: P}, hub: hub}
providers: {a: {name: {vi: A, en: A}}}
contacts: {desk: {name: {vi: Trực, en: Desk}, email: desk@p.example}}
templates:
  lan:
    checks:
      gateway: {kind: icmp, params: {host: "{gateway}"}, interval: 30s}
      hub: {kind: icmp, params: {host: 192.0.2.2}, interval: 30s, link: true}
      from-hub: {kind: icmp, params: {host: "{wan}"}, interval: 30s, link: true, agent: hub}
"""


def inventory_of(directory: Path) -> Inventory:
    lines = [
        HUB + "".join(f"      c{n}: {{kind: tcp, params: {{host: '{{gateway}}', port: {n}}}}}\n" for n in range(1, 18))
    ]
    hub = "{agent: hub-agent, gateway: 192.0.2.1, wan: 192.0.2.2}"
    lines.append(f"agencies:\n  hub: {{name: Hub, contacts: [desk], site: {hub}}}\n")
    for n in range(SITES):
        address = f"10.{n // 250}.{n % 250}"
        lines.append(
            f"  s{n}: {{name: Site {n}, template: lan, site: {{agent: a{n}, gateway: {address}.1, wan: {address}.2, "
            f"lan: {address}.0/24, link: {{provider: a}}}}}}\n"
        )
    (directory / "all.yaml").write_text("".join(lines), "utf-8")
    return load.load(directory)


class Fixed(msgspec.Struct):
    current: Inventory
    version: int = 1


class Watched:
    """A collector as far as the evaluator sees it. States are published by hand, as ingest publishes them."""

    def __init__(self, directory: Path) -> None:
        self.inventory = inventory_of(directory)
        self.store = open_store(directory / "collector.db")
        self.ingest = Ingest(self.store)
        self.wall = self.ingest.clock.wall_ms
        rows: dict[str, list[int]] = {name: [] for name in self.inventory.agents}
        registered = []
        for row, check in enumerate(self.inventory.checks.values(), 1):
            registered.append(
                RegisteredCheck(
                    id=row, agent=check.agent, uid=check.uid, name=check.name, kind=check.kind, born=1, ended=None
                )
            )
            rows[check.agent].append(row)
        self.ingest.plans._register(registered)
        self.rows = rows
        self.by_link = {
            check.link: row
            for row, check in enumerate(self.inventory.checks.values(), 1)
            if check.link and check.agent == "hub-agent"
        }
        reader = LedgerReader(self.store, self.ingest.fleet, Fixed(self.inventory), self.wall)
        objectives = GoalProblems(reader, list)
        ways = ChannelSettings(from_="hd@p.example", relays=(RelaySettings(host="127.0.0.1", tls="none"),))
        writer = MailWriter(reader, Unsubscribed(self.store), ways, LinkSigner(b"k" * 32), list)
        self.evaluator = Evaluator(
            self.store,
            reader,
            self.ingest.trust,
            loaded=lambda: True,
            goal_problems=objectives,
            self_checks=SelfChecks([]),
            mail_writer=writer,
        )

    def publish(self, agent: str, down: frozenset[int] = frozenset(), *, ago: int = 0) -> None:
        now = self.wall() - ago
        tails = {
            row: LedgerTail(DOWN if row in down else UP, now - 60_000, now - 60_000, now, 65_000, 0, 0, 5)
            for row in self.rows[agent]
        }
        self.ingest.fleet.publish(
            AgentState(agent=agent, stream=0, contact=now, ledger=Ledger(tails, {}), timing=Timing())
        )

    async def turns(self, pushes: int, down: frozenset[int] = frozenset(), skip: int = 0) -> list[float]:
        found = []
        for turn in range(TURNS):
            self.publish("hub-agent", down)
            for n in range(pushes):
                self.publish(f"a{skip + (turn * pushes + n) % (SITES - skip)}")
            started = time.perf_counter()
            await self.evaluator.evaluate()
            found.append(time.perf_counter() - started)
        return found


async def _measure(directory: Path) -> tuple[list[float], list[float], list[float]]:
    watched = Watched(directory)
    watched.ingest.trust.recheck()
    await watched.evaluator.start()
    watched.evaluator._problems.listening_since = 0
    for agent in watched.inventory.agents:
        watched.publish(agent)
    await watched.turns(SITES // 30)
    steady = await watched.turns(SITES // 30)
    down = frozenset(watched.by_link[f"s{n}"] for n in range(CUT))
    for n in range(CUT):
        watched.publish(f"a{n}", ago=240_000)
    first = await watched.turns(SITES // 30, down, skip=CUT)
    after = await watched.turns(SITES // 30, down, skip=CUT)
    assert len(watched.evaluator.incidents.open) >= CUT / 2, len(watched.evaluator.incidents.open)
    await watched.store.close()
    return steady, first, after


def run() -> list[dict[str, Any]]:
    logging.getLogger("collector.evaluator").setLevel(logging.ERROR)  # not a line for each of 500 incidents
    with tempfile.TemporaryDirectory() as directory:
        steady, first, after = asyncio.run(_measure(Path(directory)))

    def row(name: str, seconds: float, target: float) -> dict[str, Any]:
        ms = seconds * 1000
        return {
            "name": name, "value": ms, "unit": "ms", "peer": None, "ratio": None,
            "target": f"under {target:.0f} ms", "met": ms < target,
        }  # fmt: skip

    half = len(steady) // 2
    return [
        row("a turn over 10,000 sites, all well, median", sorted(steady)[half], 50),
        row("the same while 500 lines are down, median", sorted(after)[half], 250),
        row("the turn in which 500 lines went, with its mails", max(first), 2_000),
    ]
