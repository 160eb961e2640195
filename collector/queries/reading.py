"""Reading the ledger for people: which checks there are, their histories, figures and goals, as of one moment.

What is closed is in the store, what is open in the published states. A state is taken first and the store read after,
so a span that the store has beyond the state is left out: every answer is of one moment.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol, TypeVar

import apsw
import msgspec

from alerts.incident.problem import Cause
from alerts.notify.memo import cached_by_inventory
from collector.causes.topology import Topology
from collector.causes.verdicts import CauseAnalysis, CauseVerdict, goal_cause
from collector.goals import evaluate
from collector.ingest.fleet import CheckStatus, Fleet
from collector.ingest.plans import Lifespan
from collector.ingest.plans import RegisteredCheck as Registered
from collector.ledger.counted import Counted, Interval, count
from collector.ledger.figures import Figure, figure, history
from collector.ledger.steps import LedgerTail, Span
from collector.ledger.timeline import TimelineSegment, timeline
from collector.ledger.windows import Window, window_at
from collector.queries import evidence
from collector.queries.exclusions import Exclusions, declared_exclusions
from collector.store import queries
from collector.store.database import Database
from inventory.model import goals as members
from inventory.model.entities import Check, Goal, Inventory
from inventory.protocol import kinds
from inventory.protocol.reasons import template
from inventory.protocol.states import UNKNOWN, UP

DAY = 86_400_000
T = TypeVar("T")


class CheckEntry(msgspec.Struct, frozen=True):
    """A check that is registered. ``check`` is the inventory's, None for one that is no longer there."""

    row: int
    uid: str
    name: str
    kind: str
    agent: str
    check: Check | None


class TroubleSpan(msgspec.Struct, frozen=True):
    """A span that was not up. ``end`` is None while it is open. Its cause: :meth:`Reader.trouble_causes`."""

    known: CheckEntry
    state: int
    start: int
    end: int | None
    reason: str


NO_STATUS_YET = CheckStatus(UNKNOWN, 0, 0, template("no look yet"))


class InventorySource(Protocol):
    """Where the inventory comes from; ``version`` grows when another comes into force."""

    current: Inventory
    version: int


class LedgerReader:
    """Answers questions about the fleet; ``wall`` is ms of the collector's time.

    ``live``: the fleet's states were published by this process. Else they were read from a store that goes on
    changing, and where it is past a state, the store is right.
    """

    def __init__(
        self,
        database: Database,
        fleet: Fleet,
        inventories: InventorySource,
        wall: Callable[[], int],
        *,
        live: bool = True,
    ) -> None:
        self.wall = wall
        self.fleet = fleet
        self._database = database
        self._live = live
        self._inventories = inventories
        self._entries: tuple[Any, list[CheckEntry], dict[str, CheckEntry]] = (None, [], {})

    @property
    def inventory(self) -> Inventory:
        return self._inventories.current

    def today(self, now: int) -> date:
        """The day it is in the province at a moment."""
        return datetime.fromtimestamp(now / 1000, self.inventory.province.zone).date()

    @property
    def version(self) -> int:
        """Grows when another inventory comes into force."""
        return self._inventories.version

    def all_checks(self) -> list[CheckEntry]:
        """Every check ever registered, the inventory's in its order first."""
        return self._register()[1]

    def current_checks(self) -> list[CheckEntry]:
        """The checks that the inventory has and that have not ended."""
        return [
            entry for entry in self.all_checks() if entry.check is not None and self.registered(entry).ended is None
        ]

    def by_uid(self, uid: str) -> CheckEntry | None:
        return self._register()[2].get(uid)

    def status(self, entry: CheckEntry, at: int) -> CheckStatus:
        """The check's state at this moment; ``since`` and ``at`` are 0 before its first look."""
        return self.fleet.status(self.registered(entry), at) or NO_STATUS_YET

    def registered(self, entry: CheckEntry) -> Registered:
        """The check's row in the register as it is now."""
        return self.fleet.checks[entry.row]

    async def figures(self, of: Sequence[CheckEntry], windows: Sequence[Interval]) -> dict[str, list[Figure]]:
        """By uid, the figure over each window up to now, with what is excluded left out."""
        now, tails = self.wall(), self._tails(of)
        counted = _Counting(await self.exclusions(), self._life, now)
        begin = min(window[0] for window in windows)

        def work(db: apsw.Connection) -> dict[str, list[Figure]]:
            figures = {}
            for entry in of:
                spans = self._history(db, entry, tails.get(entry.row), begin, now)
                figures[entry.uid] = [figure(spans, counted.of(entry, window)) for window in windows]
            return figures

        return await self._database.read(work)

    async def figure_with_evidence(
        self, entry: CheckEntry, window: Interval
    ) -> tuple[Figure, list[Span], list[TimelineSegment]]:
        """The figure of one check over a window, the spans it is made from, and its timeline."""
        now, tails = self.wall(), self._tails([entry])
        counting = _Counting(await self.exclusions(), self._life, now)

        def work(db: apsw.Connection) -> tuple[Figure, list[Span], list[TimelineSegment]]:
            spans = self._history(db, entry, tails.get(entry.row), window[0], now)
            spans = [span for span in spans if span.start <= window[1]]
            counted = counting.of(entry, window)
            return figure(spans, counted), spans, timeline(spans, counted)

        return await self._database.read(work)

    async def spans(self, of: Sequence[CheckEntry], begin: int) -> dict[str, list[Span]]:
        """By uid, all that touches time from ``begin`` on, the open span as it stands."""
        now, tails = self.wall(), self._tails(of)

        def work(db: apsw.Connection) -> dict[str, list[Span]]:
            return {one.uid: self._history(db, one, tails.get(one.row), begin, now) for one in of}

        return await self._database.read(work)

    async def timelines(self, of: Sequence[CheckEntry], window: Interval) -> dict[str, list[TimelineSegment]]:
        """By uid, what each check was over a window up to now, moment by moment, what is excluded marked."""
        now, tails = self.wall(), self._tails(of)
        counting = _Counting(await self.exclusions(), self._life, now)

        def work(db: apsw.Connection) -> dict[str, list[TimelineSegment]]:
            timelines = {}
            for entry in of:
                spans = self._history(db, entry, tails.get(entry.row), window[0], now)
                timelines[entry.uid] = timeline(spans, counting.of(entry, window))
            return timelines

        return await self._database.read(work)

    async def evaluations(self, at: int | None = None) -> list[evaluate.Evaluation]:
        """Every goal over each of its windows that holds the moment ``at`` (now, if not given)."""
        moment = self.wall() if at is None else at
        zone = self.inventory.province.zone
        return await self.evaluate_goals(
            [(goal, window_at(name, moment, zone)) for goal in self.inventory.goals.values() for name in goal.windows]
        )

    async def evaluate_goals(self, goal_windows: Sequence[tuple[Goal, Window]]) -> list[evaluate.Evaluation]:
        """Each goal over its window, up to now."""
        now, inventory = self.wall(), self.inventory
        zone = inventory.province.zone
        groups = {goal.id: members.members(goal, inventory) for goal, _ in goal_windows}
        needed = {uid for group in groups.values() for member in group for uid in member.checks}
        of = [entry for entry in self.all_checks() if entry.uid in needed]
        tails = self._tails(of)
        exclusions = await self.exclusions()
        begin = min((window.start for _, window in goal_windows), default=now)

        def work(db: apsw.Connection) -> list[evaluate.Evaluation]:
            entries = {entry.uid: entry for entry in of}
            spans = {entry.uid: self._history(db, entry, tails.get(entry.row), begin, now) for entry in of}
            evaluations = []
            cause = (
                goal_cause(self._analysis(db, now, begin))
                if any(goal.causes for goal, _ in goal_windows)
                else evaluate.no_cause
            )
            for goal, window in goal_windows:
                goal_evidence = self._evidence(goal, entries, spans, exclusions, (window.start, window.end), cause)
                evaluations.append(evaluate.evaluate(goal, groups[goal.id], window, now, zone, goal_evidence))
            return evaluations

        return await self._database.read(work)

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """What a function finds in the store."""
        return await self._database.read(work)

    def measures_of(self, kind: str) -> list[str]:
        """The names of what a kind measures, by the kinds that this software has."""
        kind_info = kinds.load().get(kind)
        return [measure.name for measure in kind_info.measures] if kind_info is not None else []

    @property
    def topology(self) -> Topology:
        """What lies on the way of each check, by the inventory in force."""
        return cached_by_inventory(self.inventory, Topology)

    async def verdicts(self, of: Sequence[str], window: Interval) -> dict[str, list[CauseVerdict]]:
        """By uid, why the check was not up, stretch by stretch of the window."""
        return await self.causes(lambda analysis: {uid: analysis.verdicts(uid, window) for uid in of}, window[0])

    async def trouble_causes(self, troubles: Sequence[TroubleSpan]) -> dict[tuple[str, int], Cause]:
        """By uid and start, why each check was not up for most of the time."""
        if not troubles:
            return {}
        now = self.wall()

        def work(analysis: CauseAnalysis) -> dict[tuple[str, int], Cause]:
            causes = {}
            for one in troubles:
                verdicts = analysis.verdicts(one.known.uid, (one.start, now if one.end is None else one.end))
                causes[one.known.uid, one.start] = evidence.leading_cause(verdicts, one.known.uid)
            return causes

        return await self.causes(work, min(one.start for one in troubles))

    async def causes(self, work: Callable[[CauseAnalysis], T], begin: int) -> T:
        """``work`` over the evidence for causes from ``begin`` (ms) on, in a thread, as of one moment."""
        now = self.wall()
        return await self._database.read(lambda db: work(self._analysis(db, now, begin)))

    def _analysis(self, db: apsw.Connection, now: int, begin: int) -> CauseAnalysis:
        def history_of(uid: str, since: int) -> list[Span]:
            entry = self.by_uid(uid)
            if entry is None:
                return []
            return self._history(db, entry, self.fleet.tail(self.registered(entry)), since, now)

        def ended(uid: str) -> int | None:
            entry = self.by_uid(uid)
            return None if entry is None else self.registered(entry).ended

        return evidence.cause_analysis(db, self.topology, self.fleet, history_of, ended, begin, now, live=self._live)

    def open_troubles(self) -> list[TroubleSpan]:
        """What is not up at this moment, newest first. What was never looked at is not in trouble yet."""
        now = self.wall()
        troubles = []
        for entry in self.current_checks():
            status = self.status(entry, now)
            if status.state != UP and status.since:
                troubles.append(TroubleSpan(entry, status.state, status.since, None, status.reason))
        return sorted(troubles, key=lambda trouble: -trouble.start)

    async def past_troubles(self, limit: int, before: int | None = None) -> list[TroubleSpan]:
        """Closed spans that were not up, by their end, newest first."""
        by_row = {entry.row: entry for entry in self.all_checks()}
        rows = await self._database.read(lambda db: _closed_trouble_rows(db, limit, before))
        return [
            TroubleSpan(by_row[row], state, start, end, reason)
            for row, state, start, end, reason in rows
            if row in by_row
        ]

    async def exclusions(self) -> Exclusions:
        """What does not count: the inventory's and those that people declared since."""
        declarations = await self._database.read(declared_exclusions)
        return Exclusions(self.inventory, declarations)

    def _evidence(
        self,
        goal: Goal,
        entries: Mapping[str, CheckEntry],
        spans: Mapping[str, list[Span]],
        exclusions: Exclusions,
        window: Interval,
        cause: Callable[[str, Span], str],
    ) -> evaluate.GoalEvidence:
        def life(uid: str) -> Lifespan:
            # a check that no agent was ever told of has no time yet
            return self._life(entries[uid]) if uid in entries else (0, 0)

        def excluded(uid: str) -> tuple[Interval, ...]:
            check = entries[uid].check if uid in entries else None
            return exclusions.of(check, window, goal.calendar)

        return evaluate.GoalEvidence(spans=lambda uid: spans.get(uid, []), life=life, exclusions=excluded, cause=cause)

    def _history(
        self, db: apsw.Connection, entry: CheckEntry, tail: LedgerTail | None, begin: int, now: int
    ) -> list[Span]:
        """All that touches time from ``begin`` on, the open span as it stands."""
        closed = queries.spans(db, [entry.row], begin - 1, now + DAY)[entry.row]
        if tail is None:
            return closed
        if self._live:
            closed = [span for span in closed if span.sure_from < tail.sure_from]
        elif closed and closed[-1].sure_from >= tail.sure_from:
            return closed
        return history(closed, tail, now)

    def _life(self, entry: CheckEntry) -> Lifespan:
        registered = self.registered(entry)
        return registered.born, registered.ended

    def _tails(self, of: Iterable[CheckEntry]) -> dict[int, LedgerTail]:
        return {entry.row: tail for entry in of if (tail := self.fleet.tail(self.registered(entry))) is not None}

    def _register(self) -> tuple[Any, list[CheckEntry], dict[str, CheckEntry]]:
        """Made anew when the inventory or the register of checks has changed."""
        key = (self._inventories.version, len(self.fleet.checks))
        if self._entries[0] != key:
            checks = self.inventory.checks
            order = {uid: place for place, uid in enumerate(checks)}
            registered = list(self.fleet.checks.items())  # a copy: a scrape asks from its thread
            entries = [CheckEntry(row, c.uid, c.name, c.kind, c.agent, checks.get(c.uid)) for row, c in registered]
            entries.sort(key=lambda entry: (order.get(entry.uid, len(order)), entry.row))
            self._entries = (key, entries, {entry.uid: entry for entry in reversed(entries)})
        return self._entries


class _Counting:
    """The time that counts, made once for all checks that share life and exclusions."""

    def __init__(self, exclusions: Exclusions, life: Callable[[CheckEntry], Lifespan], now: int) -> None:
        self._exclusions = exclusions
        self._life = life
        self._now = now
        self._made: dict[Any, Counted] = {}

    def of(self, entry: CheckEntry, window: Interval) -> Counted:
        excluded = self._exclusions.of(entry.check, window)
        life = self._life(entry)
        key = (window, life, excluded)
        if key not in self._made:
            self._made[key] = count(window, self._now, life, excluded)
        return self._made[key]


def _closed_trouble_rows(db: apsw.Connection, limit: int, before: int | None) -> list[tuple[Any, ...]]:
    sql = "SELECT check_id, state, start, end, reason FROM spans WHERE state > 0 AND end < ? ORDER BY id DESC LIMIT ?"
    return sorted(db.execute(sql, (before or 1 << 62, limit)).fetchall(), key=lambda row: -int(row[3] or 0))
