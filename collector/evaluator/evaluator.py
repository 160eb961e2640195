"""The evaluation loop: one evaluation a second, and one transaction for each that changed something.

A crash before the commit repeats the turn and nothing of it went out; a crash after it finds incidents, cursors and
letters together. What was really sent is in a journal outside of the store, so that a store that was put back from a
copy does not say it again (alerts.incident.reconcile).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from alerts.channels.outbox import OutgoingMail
from alerts.engine import step
from alerts.incident.entities import Command, Incident
from alerts.incident.finding import IngestFinding
from alerts.incident.problem import ActiveProblem, PastProblem, Subject
from alerts.incident.reconcile import SentNotice, reconcile
from alerts.incident.state import IncidentState, StepInput, with_incidents, without_incidents
from alerts.notify.conditions import condition_for
from collector.evaluator import past, revising
from collector.evaluator.letters import MailWriter
from collector.evaluator.objectives import GoalProblems
from collector.evaluator.own import SelfChecks
from collector.evaluator.troubles import CurrentProblems
from collector.evaluator.why import causes_now
from collector.ingest.clock import ClockTrust
from collector.queries.exclusions import exclusions_in_force
from collector.queries.reader import LedgerReader
from collector.store.errors import StoreError
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import ClosedSpan, EvaluatorCursor
from inventory.model.alerting import Condition
from inventory.model.entities import Goal
from inventory.protocol.refs import Ref

log = logging.getLogger("collector.evaluator")

EVERY: Final = 1.0  # seconds between two turns
UNCONFIRMED_EVERY: Final = 0.25  # while a check is wrong that is no incident yet
MIN_DELAY: Final = 0.05
MAX_FINDINGS: Final = 1_000  # a turn
MAX_CLOSED: Final = 100_000  # closed incidents that a start looks at
REMEMBER_CLOSED_MS: Final = 27 * 3_600_000  # ms: closed incidents that the machine may still ask for
REVISE_EVERY: Final = 60_000  # ms between two looks at causes that may be known better
STUCK_AFTER: Final = 30.0  # seconds without a turn that came to its end after which not all is well

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(IncidentState)


class Evaluator:
    """``muted``: whether this is a standby whose primary is well. ``wake``: called when letters were committed.

    ``book``: what was committed last; to read only.
    """

    def __init__(
        self,
        store: Store,
        reader: LedgerReader,
        trust: ClockTrust,
        *,
        loaded: Callable[[], bool],
        goal_problems: GoalProblems,
        self_checks: SelfChecks,
        mail_writer: MailWriter | None,
        muted: Callable[[], bool] = lambda: False,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self.incidents = IncidentState()
        self.evaluations = 0
        self.seconds = 0.0  # that the last turn took
        self._store = store
        self._reader = reader
        self._trust = trust
        self._loaded = loaded
        self._goal_problems = goal_problems
        self._self_checks = self_checks
        self._mail_writer = mail_writer
        self._muted = muted
        self._wake = wake
        self._cursor = EvaluatorCursor(0, 0)
        self._commands: list[tuple[Command, asyncio.Future[Incident | None]]] = []
        self._due = asyncio.Event()
        self._problems = CurrentProblems(reader, reader.wall())
        self._last_finished = time.monotonic()
        self._failing = ""
        self._open_to_revision: dict[str, Incident] = {}
        self._revised = 0
        self._due_at: int | None = None
        self._unconfirmed = False

    async def start(self, sent: Iterable[SentNotice] = ()) -> None:
        """Take up where the store says, corrected by what was ``sent`` since (a store put back from a copy)."""
        cursor, opened = await self._store.read(lambda tx: (tx.cursor.load(), tx.incidents.open()))
        if cursor is None:  # what was before anybody was to be told is nobody's news
            self._cursor = await self._store.read(lambda tx: EvaluatorCursor(tx.events.last(), tx.spans.last()))
            self.incidents = IncidentState()
        else:
            self._cursor = cursor
            incidents = _decoder.decode(cursor.book) if cursor.book else IncidentState()
            since = max(0, cursor.at - REMEMBER_CLOSED_MS)
            recent = await self._closed_since(since)
            self.incidents = with_incidents(incidents, (*opened, *recent))
        reconciled = reconcile(self.incidents, sent)
        if reconciled is not self.incidents:
            log.warning("mails were sent that this store does not know of: what they said is taken up")
            before = {one.key: one for one in _all_incidents(self.incidents)}
            changed = [one for one in _all_incidents(reconciled) if before.get(one.key) != one]
            await self._commit(reconciled, self._cursor, changed, [])
        now = self._reader.wall()
        closed = await self._closed_since(now - revising.REVISABLE_FOR)
        self._open_to_revision = {one.key: one for one in closed if revising.open_to_revision(one, now)}
        recent_findings = await self._store.read(lambda tx: tx.events.findings_since(now - 3_600_000))
        self._problems.add_findings(recent_findings)

    async def _closed_since(self, begin: int) -> list[Incident]:
        return await self._store.read(lambda tx: tx.incidents.closed(MAX_CLOSED, since=begin))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.evaluate_safely()
            try:
                async with asyncio.timeout(self._delay()):
                    await self._due.wait()
            except TimeoutError:
                pass
            self._due.clear()

    def _delay(self) -> float:
        """Seconds until the next turn: sooner where something that waits is due before, or may soon be an incident."""
        delay = min(EVERY, max(UNCONFIRMED_EVERY, 3 * self.seconds)) if self._unconfirmed else EVERY
        now = self._trust.now_ms()
        if self._due_at is None or now is None:
            return delay
        return min(delay, max(MIN_DELAY, (self._due_at - now) / 1000))

    async def evaluate_safely(self) -> None:
        """A turn; what goes wrong is said once, and the next turn tries again."""
        try:
            await self.evaluate()
        except Exception as error:
            if (message := f"{type(error).__name__}: {error}") != self._failing:
                self._failing = message
                if isinstance(error, StoreError):
                    log.error("incidents cannot be kept: %s", error)
                else:
                    log.exception("a turn of the evaluator failed")
            self._fail_commands(error)
        else:
            if self._failing:
                log.info("the evaluator works again")
            self._failing = ""
            self._last_finished = time.monotonic()

    def health_problem(self) -> str:
        """Why not all is well with it, or ""."""
        if self._failing:
            return f"the evaluator fails: {self._failing}"
        if time.monotonic() - self._last_finished > STUCK_AFTER:
            return "the evaluator stands still"
        return "" if self._trust.trusted else f"the clock is not believed: {self._trust.why}"

    async def command(self, command: Command) -> Incident | None:
        """What a person wants, taken in the next turn; the incident as it is then, None if there is none open of that
        key. Durable when it returns. Raises StoreError."""
        future: asyncio.Future[Incident | None] = asyncio.get_running_loop().create_future()
        self._commands.append((command, future))
        self._due.set()
        return await future

    async def evaluate(self) -> None:
        """One evaluation. Raises StoreError; nothing of it is kept then."""
        started = time.perf_counter()
        now = self._trust.now_ms()
        if now is None or not self._loaded():
            return
        commands, self._commands = self._commands, []
        try:
            await self._evaluate(now, [command for command, _ in commands])
            if self._trust.trusted and now - self._revised >= REVISE_EVERY:
                self._revised = now
                await self._revise(now)
        except BaseException:
            self._commands = commands + self._commands
            raise
        for command, future in commands:
            if not future.done():
                future.set_result(self._commanded_incident(command.incident))
        self.evaluations += 1
        self.seconds = time.perf_counter() - started

    def _commanded_incident(self, key: str) -> Incident | None:
        """The open incident of that key, or the one that it was merged into."""
        incident = self.incidents.incident(key)
        while incident is not None and incident.into and (into := self.incidents.incident(incident.into)) is not None:
            incident = into
        return incident if incident is not None and incident.open else None

    async def _evaluate(self, now: int, commands: Sequence[Command]) -> None:
        inventory = self._reader.inventory
        cursor, findings, closed = await self._new_evidence()
        problems: list[ActiveProblem] = []
        past_problems: list[PastProblem] = []
        if self._trust.trusted:
            problems, past_problems = await self._check_problems(now, findings, closed)
        self._unconfirmed = any(not problem.confirmed for problem in problems)
        hub = inventory.sites.get(inventory.province.hub)
        problems += self._self_checks.current(now, self._own_condition, hub.agency if hub is not None else "")
        situation = StepInput(
            at=now,
            problems=tuple(problems),
            unknown=lambda key: self._unknown(key, now),
            gone=self._problems.is_gone,
            past=tuple(past_problems),
            commands=tuple(commands),
            muted=self._muted(),
        )
        step_result = await asyncio.to_thread(step, self.incidents, situation, inventory)
        self._due_at = step_result.wake_at
        if step_result.state is self.incidents and cursor == self._cursor:
            return
        mails = (
            await self._mail_writer.write(step_result.notices, step_result.state)
            if self._mail_writer is not None
            else []
        )
        await self._commit(step_result.state, cursor, step_result.changed, mails)
        self._open_to_revision |= {one.key: one for one in step_result.changed if revising.open_to_revision(one, now)}
        if mails:
            self._wake()

    async def _revise(self, now: int) -> None:
        """Closed incidents whose causes are known better by now."""
        waiting = {key: one for key, one in self._open_to_revision.items() if revising.open_to_revision(one, now)}
        revised_incidents = await revising.revised_incidents(self._reader, list(waiting.values()), now)
        self._open_to_revision = {key: waiting[key] for key in waiting.keys() - {one.key for one in revised_incidents}}
        changed = [one for one in revised_incidents if one is not waiting[one.key]]
        if changed:
            await self._commit(with_revised(self.incidents, changed), self._cursor, changed, [])

    async def _check_problems(
        self, now: int, findings: Sequence[IngestFinding], closed: Sequence[ClosedSpan]
    ) -> tuple[list[ActiveProblem], list[PastProblem]]:
        """What is wrong now, and what was and came to light."""
        exclusions = await exclusions_in_force(self._reader)
        self._problems.add_findings(findings)

        def find_problems() -> list[ActiveProblem]:
            self._problems.refresh(now)
            causes = causes_now(self._reader, now, self._problems.listening_since)
            problems = self._problems.current(now, causes, exclusions, self.incidents.open.values())
            return problems + self._goal_problems.current(now, problems, self._goal_condition)

        # of a whole provider's outage this is a good part of a second: pushes go on meanwhile
        problems = await asyncio.to_thread(find_problems)
        past_problems = await past.past_problems(self._reader, closed, exclusions, now)
        return problems, past.without_reported(past_problems, _all_incidents(self.incidents))

    async def _new_evidence(self) -> tuple[EvaluatorCursor, list[IngestFinding], list[ClosedSpan]]:
        """Findings and closed spans since the last turn, and the place after them."""
        cursor = self._cursor

        def work(tx: Transaction) -> tuple[list[tuple[int, IngestFinding]], tuple[list[ClosedSpan], int]]:
            findings = tx.events.findings_after(cursor.events, MAX_FINDINGS)
            return findings, tx.spans.problems_after(cursor.spans, past.MAX_SPANS)

        finding_rows, (closed, spans) = await self._store.read(work)
        events = finding_rows[-1][0] if finding_rows else cursor.events
        return msgspec.structs.replace(cursor, events=events, spans=spans), [one for _, one in finding_rows], closed

    async def _commit(
        self,
        incidents: IncidentState,
        cursor: EvaluatorCursor,
        changed: Sequence[Incident],
        mails: Sequence[OutgoingMail],
    ) -> None:
        cursor = EvaluatorCursor(cursor.events, cursor.spans, incidents.at, _encode(without_incidents(incidents)))

        def work(tx: Transaction) -> None:
            tx.cursor.save(cursor)
            tx.incidents.put(changed)
            tx.outbox.put(mails)

        await self._store.write(work)
        for incident in changed:
            _log_change(incident, self.incidents.incident(incident.key))
        self.incidents, self._cursor = incidents, cursor

    def _unknown(self, key: str, now: int) -> bool:
        if not self._trust.trusted:
            return Ref.parse(key).kind != "collector"
        if Ref.parse(key).kind in ("risk", "missed"):
            return not self._goal_problems.evaluated
        return self._problems.is_unknown(key, now)

    def _own_condition(self, what: str) -> Condition | None:
        return condition_for(self._reader.inventory, "collector", Subject(), what)

    def _goal_condition(self, on: str, goal: Goal) -> Condition | None:
        return condition_for(
            self._reader.inventory, "risk" if on == "risk" else "missed", Subject(goal=goal.id), goal.id
        )

    def _fail_commands(self, error: Exception) -> None:
        commands, self._commands = self._commands, []
        for _, future in commands:
            if not future.done():
                future.set_exception(error)


def _all_incidents(incidents: IncidentState) -> list[Incident]:
    return [one for group in (incidents.open, incidents.ended, incidents.closed) for one in group.values()]


def with_revised(incidents: IncidentState, revised: Sequence[Incident]) -> IncidentState:
    """The book with what is known better of closed incidents, where it still remembers them."""
    updates = {
        name: {**kept, **{one.key: one for one in revised if one.key in kept}}
        for name, kept in (("ended", incidents.ended), ("closed", incidents.closed))
    }
    return msgspec.structs.replace(incidents, **updates)


def _log_change(incident: Incident, before: Incident | None) -> None:
    """A line in the log when an incident is opened or closed: the change, not the state."""
    if before is None and incident.open:
        log.warning("incident %s opened: %s (%s)", incident.key, incident.cause.root, incident.severity)
    elif not incident.open and (before is None or before.open):
        log.info("incident %s closed: %s (%s)", incident.key, incident.cause.root, incident.resolution)
