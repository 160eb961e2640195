"""A collector's ingest, ledger, evaluator and outbox over a real store, for the tests of alerting as a whole.

On a clock moved by hand, with agencies whose agents look at what the test says. Sockets, pages, relays are left out.
"""

import email
import email.policy
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec

from alerts.channels.config import ChannelSettings, RelaySettings
from alerts.channels.notification_log import NotificationLogEntry, log_entry, sent_notices
from alerts.channels.outbox import OutgoingMail
from alerts.incident.entities import Incident
from alerts.mail.signed_urls import LinkSigner
from collector.evaluator.evaluator import Evaluator
from collector.evaluator.outgoing_mail import MailWriter
from collector.evaluator.problems.goal_problems import GoalProblems
from collector.evaluator.problems.self_checks import SelfCheck, SelfChecks
from collector.goals.evaluate import Evaluation
from collector.ingest import recovery
from collector.ingest.ingest import Ingest
from collector.queries.reader import LedgerReader
from collector.services.circuits import Circuits
from collector.store.opening import open_store
from collector.store.outbox import StoredOutbox
from collector.store.unsubscribed import Unsubscribed
from inventory.assembly import load, planning
from inventory.model.entities import Inventory
from inventory.protocol.states import DOWN, UP
from inventory.protocol.wire import Present, Reading, Record
from tests.support.ingest_world import ChainAgent, collector_clock

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000

INVENTORY = """\
province: {id: st, name: {vi: Tỉnh Sóc Trăng, en: Soc Trang}, hub: so-ttt}
providers: {nha-mang-a: {name: {vi: Nhà mạng A, en: Provider A}, contact: "1900 0001"}}
contacts:
  truc: {name: {vi: Trực trung tâm, en: Duty desk}, email: truc@soctrang.example}
  an: {name: {vi: Chị An, en: An}, email: an@soctrang.example, language: en}
agencies:
  so-ttt:
    name: {vi: Sở Thông tin và Truyền thông, en: Department of Information}
    contacts: [truc]
    site:
      agent: hub-agent
      gateway: 192.0.2.1
      wan: 192.0.2.2
      lan: 192.0.2.0/24
      checks:
        gateway: {kind: icmp, params: {host: 192.0.2.1}, interval: 10s}
        web: {kind: icmp, params: {host: 192.0.2.80}, interval: 30s, name: {vi: Cổng thông tin, en: Portal}}
        mail: {kind: icmp, params: {host: 192.0.2.25}, interval: 30s, name: {vi: Thư điện tử, en: Mail}}
  so-a:
    name: {vi: Sở Tư pháp, en: Department of Justice}
    contacts: [an]
    site:
      agent: a
      gateway: 198.51.100.1
      wan: 203.0.113.1
      link: {provider: nha-mang-a, circuit: TSLCD-001}
      checks:
        gateway: {kind: icmp, params: {host: 198.51.100.1}, interval: 30s}
        hub: {kind: icmp, params: {host: 192.0.2.2}, interval: 30s, link: true}
        printer: {kind: icmp, params: {host: 198.51.100.9}, interval: 30s, name: {vi: Máy in, en: Printer}}
        from-hub: {kind: icmp, params: {host: 203.0.113.1}, interval: 30s, link: true, agent: hub}
  so-b:
    name: {vi: Sở Tài chính, en: Department of Finance}
    site:
      agent: b
      gateway: 198.51.100.2
      wan: 203.0.113.2
      link: {provider: nha-mang-a, circuit: TSLCD-002}
      checks:
        gateway: {kind: icmp, params: {host: 198.51.100.2}, interval: 30s}
        hub: {kind: icmp, params: {host: 192.0.2.2}, interval: 30s, link: true}
        from-hub: {kind: icmp, params: {host: 203.0.113.2}, interval: 30s, link: true, agent: hub}
"""


def site(name: str, number: int) -> str:
    """One more agency like so-b, for the inventory above."""
    return f"""\
  so-{name}:
    name: {{vi: Sở {name}, en: Department {name}}}
    site:
      agent: {name}
      gateway: 198.51.100.{number}
      wan: 203.0.113.{number}
      link: {{provider: nha-mang-a}}
      checks:
        gateway: {{kind: icmp, params: {{host: 198.51.100.{number}}}, interval: 30s}}
        hub: {{kind: icmp, params: {{host: 192.0.2.2}}, interval: 30s, link: true}}
        from-hub: {{kind: icmp, params: {{host: 203.0.113.{number}}}, interval: 30s, link: true, agent: hub}}
"""


Looks = Mapping[str, int]


class FixedInventory(msgspec.Struct):
    """An inventory in force."""

    current: Inventory
    version: int = 1


class PunctualAgent(ChainAgent):
    """An agent whose own clock is right."""

    def reading(self) -> Reading:
        return Reading(self.boot, self.now(), self.clock.wall_ms())


class EvaluatorWorld:
    """``step`` lets time pass: every agent that is there looks and pushes, the evaluator takes its turns."""

    def __init__(
        self,
        directory: Path,
        inventory: str = INVENTORY,
        sources: Iterable[SelfCheck] = (),
        accepted: Callable[[], Sequence[float]] = tuple,
    ) -> None:
        self.directory = directory
        self.clock = collector_clock()
        folder = directory / "inventory"
        folder.mkdir(exist_ok=True)
        (folder / "all.yaml").write_text(inventory, "utf-8")
        self.source = FixedInventory(load.load(folder))
        self.states: dict[str, int] = {}  # by check's name, or AGENT/NAME; what is not there is up
        self.disconnected: set[str] = set()  # agents that cannot push (they look, and keep it)
        self.stopped: set[str] = set()  # agents that do not look
        self.backlogs: dict[str, list[tuple[int, int, int]]] = {}
        self.notification_log: list[NotificationLogEntry] = []
        self.mails: list[EmailMessage] = []
        self.outgoing: list[OutgoingMail] = []
        self.muted = False
        self._sources = list(sources)
        self._accepted = accepted

    @property
    def inventory(self) -> Inventory:
        return self.source.current

    @property
    def now(self) -> int:
        return self.clock.wall_ms()

    async def start(self) -> None:
        await self._open()
        self.agents: dict[str, ChainAgent] = {}
        for name, plan in planning.plans_of(self.inventory).items():
            await self.ingest.serve_plan(name, plan.encode())
            self.agents[name] = PunctualAgent(self.ingest, self.clock, plan, epoch=hash(name) % 1000 + 1)
            self.agents[name].boot = name.encode().ljust(8, b"-")[:8]
            await self.agents[name].push()

    async def _open(self) -> None:
        self.store = open_store(self.directory / "collector.db")
        self.ingest = Ingest(self.store, self.clock)
        await self.ingest.start()
        self.reader = LedgerReader(self.store, self.ingest.fleet, self.source, self.clock.wall_ms)
        self.outbox = StoredOutbox(self.store)
        self.circuits = Circuits(self.store, self.reader)
        await self.circuits.start()
        evaluations: list[Evaluation] = []
        unsubscribed = Unsubscribed(self.store)
        await unsubscribed.load()
        ways = ChannelSettings(
            from_="haidang@soctrang.example",
            relays=(RelaySettings(host="127.0.0.1", tls="none"),),
            url="https://hd.example",
        )
        objectives = GoalProblems(self.reader, lambda: evaluations)
        objectives.evaluated = True
        writer = MailWriter(self.reader, unsubscribed, ways, LinkSigner(b"k" * 32), lambda: evaluations)
        self.evaluator = Evaluator(
            self.store,
            self.reader,
            self.ingest.trust,
            loaded=lambda: True,
            goal_problems=objectives,
            self_checks=SelfChecks(self._sources),
            mail_writer=writer,
            muted=lambda: self.muted,
            accepted=self._accepted,
        )
        await self.evaluator.start(sent_notices(self.notification_log))

    async def stop(self) -> None:
        """As after a clean stop of the collector."""
        await self.ingest.stop()
        await self.store.close()

    async def restart(self, *, off: int = 0) -> None:
        """The collector is off for ``off`` ms; the agents look on and keep it."""
        await self.stop()
        before = set(self.disconnected)
        self.disconnected |= self.agents.keys()
        await self._let_time_pass(off)
        self.disconnected = before
        await self._open()
        for agent in self.agents.values():
            agent.ingest = self.ingest

    def back_up(self) -> Path:
        """A copy of the store as it is (with what its WAL holds)."""
        copy = self.directory / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for file in self.directory.glob("collector.db*"):
            shutil.copy(file, copy)
        return copy

    async def restore(self, copy: Path) -> None:
        """The store is lost and restored from a copy, as ``haidang-collector restore`` does it."""
        await self.stop()
        for file in self.directory.glob("collector.db*"):
            file.unlink()
        for file in copy.iterdir():
            shutil.copy(file, self.directory)
        recovery.mark_restored(self.directory / "collector.db", now_ms=self.now)
        await self._open()
        for name, agent in self.agents.items():
            agent.ingest = self.ingest
            await self.ingest.serve_plan(name, agent.plan.encode())
            state = self.ingest.fleet.agents.get(name)
            agent.watermark = state.watermark if state is not None else None  # they send again what came after
            agent.seq = agent.watermark.seq if agent.watermark is not None else 0

    # -- time

    async def step(self, ms: int = 5 * SECOND, **states: int) -> None:
        """Time passes in steps of 5 s: looks, pushes, a turn of the evaluator after each."""
        self.states.update({name.replace("_", "-").replace("--", "."): state for name, state in states.items()})
        await self._let_time_pass(ms, self._evaluate)

    async def _let_time_pass(self, ms: int, then: Callable[[], Any] | None = None) -> None:
        left = ms
        while left > 0:
            elapsed = min(left, 5 * SECOND)
            self.clock.advance(elapsed)
            left -= elapsed
            await self._run_checks()
            if then is not None:
                await then()

    async def _run_checks(self) -> None:
        for name, agent in self.agents.items():
            if name in self.stopped:
                continue
            checks = agent.plan.checks
            looks = [(place, agent.now(), self._state(name, check.name)) for place, check in enumerate(checks)]
            if name in self.disconnected:
                self.backlogs.setdefault(name, []).extend(looks)
            else:
                looks = self.backlogs.pop(name, []) + looks
                for begin in range(0, len(looks), 900):
                    await agent.push(agent.batch(looks[begin : begin + 900]))

    def _state(self, agent: str, check: str) -> int:
        return self.states.get(f"{agent}/{check}", self.states.get(check, UP))

    async def _evaluate(self) -> None:
        await self.evaluator.evaluate()
        await self.deliver()

    async def deliver(self) -> None:
        """The relay takes everything that waits."""
        for letter in await self.outbox.due(self.now + DAY, 1_000):
            self.notification_log.append(log_entry(letter, self.now, "relay"))
            self.outgoing.append(letter)
            self.mails.append(email.message_from_bytes(letter.body, policy=email.policy.default))  # type: ignore[arg-type]
            await self.outbox.sent(letter, self.now, "relay")

    # -- questions

    def sent_kinds(self, contact: str = "") -> list[tuple[str, str]]:
        """(contact, kind) of every letter so far, in order; of one contact only the kinds' part counts."""
        return [(one.contact, one.kind) for one in self.outgoing if not contact or one.contact == contact]

    @property
    def open(self) -> list[Incident]:
        return list(self.evaluator.incidents.open.values())

    def only_incident(self) -> Incident:
        """The only open incident."""
        [incident] = self.open
        return incident

    async def push_present(self, name: str, **states: int) -> None:
        """The agent has a backlog: it says only how things are now."""
        agent = self.agents[name]
        checks = agent.plan.checks
        codes = bytes(states.get(check.name.replace("-", "_"), UP) for check in checks)
        since = [agent.now() - 10 * MINUTE if code == DOWN else 0 for code in codes]
        present = Present(agent.plan.digest, agent.boot, agent.now(), codes, since, [9] * len(checks))
        await agent.push(present=present, backlog=5_000)

    def start_record(self, name: str, *, clean: bool) -> Record:
        """What an agent says when it starts."""
        agent = self.agents[name]
        return Record(agent.now(), "start", {"clean": clean, "version": "1", "wall_ms": self.now})
