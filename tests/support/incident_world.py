"""A small province, and a driver of the incident engine: a clock, the problems of the moment, the notices sent."""

from typing import Any

import msgspec
from msgspec.structs import replace

from alerts.engine import step
from alerts.incident.entities import Command, Incident, Notice
from alerts.incident.problem import ActiveProblem, Cause, PastProblem, Subject
from alerts.incident.state import IncidentState, StepInput, StepResult
from inventory.base.types import Text
from inventory.model.alerting import Alerting
from inventory.model.entities import Agency, Agent, Calendar, Check, Contact, Inventory, Link, Provider, Province, Site

SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

# Thursday 26 November 2026, 10:00 in Việt Nam
START = 1_795_662_000_000

SITES = ("hub", "north", "south")


def same_in_both(text: str) -> Text:
    return Text(text, text)


def check(uid: str, site: str, kind: str = "tcp", **more: Any) -> Check:
    return Check(
        uid=uid,
        name=uid,
        key=uid,
        agent=site,
        agency=site,
        site=site,
        kind=kind,
        interval=60_000,
        timeout=5_000,
        hold=125_000,
        recheck=5_000,
        **more,
    )


def province(alerting: Alerting | None = None, calendars: tuple[Calendar, ...] = (), **more: Any) -> Inventory:
    """Three agencies with a site, a link and three checks each, an admin each, and the operators at the hub."""
    checks = [check(f"{site}-{what}", site, tags=(what,)) for site in SITES for what in ("web", "dns", "mail")]
    people = ("ops", "boss", "night", *(f"{site}-admin" for site in SITES[1:]))
    return Inventory(
        province=Province(id="test", name=same_in_both("Test"), hub="hub"),
        providers={"vnpt": Provider(id="vnpt", name=same_in_both("VNPT"))},
        agencies={
            site: Agency(
                id=site,
                name=same_in_both(site),
                kind="district" if site != "hub" else "centre",
                sites=(site,),
                contacts=("ops",) if site == "hub" else (f"{site}-admin",),
            )
            for site in SITES
        },
        sites={site: Site(id=site, agency=site, name=same_in_both(site), agent=site, links=(site,)) for site in SITES},
        links={site: Link(id=site, site=site, provider="vnpt") for site in SITES},
        agents={site: Agent(id=site, site=site, agency=site) for site in SITES},
        checks={one.uid: one for one in checks},
        contacts={who: Contact(id=who, name=same_in_both(who), email=f"{who}@example.vn") for who in people},
        calendars={calendar.id: calendar for calendar in calendars},
        alerting=alerting if alerting is not None else Alerting(flaps=4),
        **more,
    )


def down(uid: str, since: int, root: str = "", cause: str = "", **more: Any) -> ActiveProblem:
    """A check of the province is down; by default for its own sake."""
    site = uid.partition("-")[0]
    root = root or f"service:{uid}"
    of_root = {"service": "service", "wan": "wan", "power": "power", "agent": "agent", "lan": "lan"}
    values: dict[str, Any] = {
        "key": f"down:{uid}",
        "condition": "down",
        "subject": Subject(agency=site, site=site, agent=site, check=uid, kind="tcp"),
        "severity": "critical",
        "since": since,
        "evidence": since,
        "cause": Cause(root=root, cause=cause or of_root[root.partition(":")[0]]),
        "recover_ms": MINUTE,
    }
    return ActiveProblem(**{**values, **more})


class IncidentDriver:
    """Steps the engine: ``problems`` is what is wrong now, ``notices`` all that went."""

    def __init__(self, inventory: Inventory | None = None, at: int = START) -> None:
        self.inventory = inventory if inventory is not None else province()
        self.book = IncidentState()
        self.at = at
        self.problems: dict[str, ActiveProblem] = {}
        self.silent: frozenset[str] = frozenset()
        self.gone: frozenset[str] = frozenset()
        self.muted = False
        self.notices: list[Notice] = []
        self.turn: StepResult | None = None
        self.step()

    def step(self, *commands: Command, past: tuple[PastProblem, ...] = ()) -> list[Notice]:
        """One step now; the notices that it made. Every step is tried twice: the second must do nothing."""
        situation = StepInput(
            at=self.at,
            problems=tuple(self.problems.values()),
            unknown=self.silent,
            gone=self.gone,
            past=past,
            commands=commands,
            muted=self.muted,
        )
        turn = step(self.book, situation, self.inventory)
        again = step(turn.state, situation, self.inventory)
        assert again.state is turn.state and again.changed == [] and again.notices == []
        if turn.state is not self.book:
            stored = msgspec.json.decode(msgspec.json.encode(turn.state), type=IncidentState)
            assert stored == turn.state
            self.book = stored
        self.turn = turn
        self.notices += turn.notices
        return turn.notices

    def run(self, ms: int, every: int = SECOND) -> list[Notice]:
        """Steps until ``ms`` later; the notices of that time."""
        before = len(self.notices)
        end = self.at + ms
        while self.at < end:
            self.at = min(self.at + every, end)
            self.step()
        return self.notices[before:]

    def fails(self, uid: str, root: str = "", **more: Any) -> None:
        self.problems[f"down:{uid}"] = down(uid, self.at, root, **more)

    def change_root(self, uid: str, root: str, **more: Any) -> None:
        """The root of what is wrong already is revised."""
        old = self.problems[f"down:{uid}"]
        self.problems[old.key] = replace(down(uid, old.since, root, **more), evidence=self.at)

    def recovers(self, *uids: str) -> None:
        for uid in uids:
            del self.problems[f"down:{uid}"]

    def command(self, what: Any, incident: str, who: str = "ops", **more: Any) -> list[Notice]:
        return self.step(Command(incident=incident, what=what, who=who, at=self.at, **more))

    @property
    def open(self) -> list[Incident]:
        return list(self.book.open.values())

    @property
    def closed(self) -> list[Incident]:
        return [*self.book.ended.values(), *self.book.closed.values()]


def recipients(notices: list[Notice]) -> list[tuple[str, str]]:
    """(contact, kind) of each."""
    return [(notice.contact, notice.kind) for notice in notices]
