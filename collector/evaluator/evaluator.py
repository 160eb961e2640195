"""The evaluator: one evaluation a second, commands of people between, and revisions of closed incidents.

What was really sent is in a log outside of the store, so that a store that was put back from a copy does not send it
again (alerts.incident.reconcile).
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from alerts.incident.entities import Command, Incident
from alerts.incident.reconcile import SentNotice, reconcile
from alerts.incident.state import IncidentState, with_incidents
from collector.evaluator import revising
from collector.evaluator.evaluation import EvaluationParts, EvaluationPipeline
from collector.evaluator.outgoing_mail import MailWriter
from collector.evaluator.problems.current import CurrentProblems
from collector.evaluator.problems.goal_problems import GoalProblems
from collector.evaluator.problems.self_checks import SelfChecks
from collector.ingest.clock import ClockTrust
from collector.queries.reader import LedgerReader
from collector.store.errors import StoreError
from collector.store.interfaces.store import Store
from collector.store.records import EvaluatorCursor

log = logging.getLogger("collector.evaluator")

EVERY: Final = 1.0  # seconds between two evaluations
UNCONFIRMED_EVERY: Final = 0.25  # while a check is wrong that is no incident yet
MIN_DELAY: Final = 0.05
MAX_CLOSED: Final = 100_000  # closed incidents that a start looks at
REMEMBER_CLOSED_MS: Final = 27 * 3_600_000  # ms: closed incidents that the engine may still ask for
REVISE_EVERY: Final = 60_000  # ms between two looks at causes that may be known better
STUCK_AFTER: Final = 30.0  # seconds without an evaluation that came to its end after which not all is well

_decoder = msgspec.msgpack.Decoder(IncidentState)


class Evaluator:
    """Runs evaluations one after the other; only it changes incidents."""

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
        muted: Callable[[], bool] = lambda: False,  # whether this is a standby whose primary is well
        wake: Callable[[], None] = lambda: None,  # called when mails were committed
        accepted: Callable[[], Sequence[float]] = tuple,  # as EvaluationParts has it
    ) -> None:
        self.evaluations = 0
        self.seconds = 0.0  # that the last evaluation took
        self._store = store
        self._reader = reader
        self._trust = trust
        self._loaded = loaded
        self._wake = wake
        self._problems = CurrentProblems(reader, goal_problems, self_checks)
        self._pipeline = EvaluationPipeline(
            EvaluationParts(store, reader, trust, self._problems, mail_writer, muted, accepted)
        )
        self._commands: list[tuple[Command, asyncio.Future[Incident | None]]] = []
        self._due = asyncio.Event()
        self._last_finished = time.monotonic()
        self._failing = ""
        self._open_to_revision: dict[str, Incident] = {}
        self._revised = 0
        self._due_at: int | None = None
        self._unconfirmed = False

    @property
    def incidents(self) -> IncidentState:
        """What was committed last."""
        return self._pipeline.incidents

    async def start(self, sent: Iterable[SentNotice] = ()) -> None:
        """Resume where the store is, corrected by what was ``sent`` since (a store put back from a copy)."""
        pipeline = self._pipeline
        cursor, opened = await self._store.read(lambda tx: (tx.cursor.load(), tx.incidents.open()))
        if cursor is None:  # what was before anybody was to be notified is nobody's news
            pipeline.cursor = await self._store.read(lambda tx: EvaluatorCursor(tx.events.last(), tx.spans.last()))
            pipeline.incidents = IncidentState()
        else:
            pipeline.cursor = cursor
            state = _decoder.decode(cursor.book) if cursor.book else IncidentState()
            recent = await self._closed_since(max(0, cursor.at - REMEMBER_CLOSED_MS))
            pipeline.incidents = with_incidents(state, (*opened, *recent))
        reconciled = reconcile(pipeline.incidents, sent)
        if reconciled is not pipeline.incidents:
            log.warning("mails were sent that this store does not know of: its incidents are reconciled with them")
            before = {one.key: one for one in pipeline.incidents.incidents()}
            changed = [one for one in reconciled.incidents() if before.get(one.key) != one]
            await pipeline.commit(reconciled, pipeline.cursor, changed)
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
        """Seconds until the next evaluation: sooner where something that waits is due, or may soon be an incident."""
        delay = min(EVERY, max(UNCONFIRMED_EVERY, 3 * self.seconds)) if self._unconfirmed else EVERY
        now = self._trust.now_ms()
        if self._due_at is None or now is None:
            return delay
        return min(delay, max(MIN_DELAY, (self._due_at - now) / 1000))

    async def evaluate_safely(self) -> None:
        """An evaluation; what goes wrong is logged once, and the next one tries again."""
        try:
            await self.evaluate()
        except Exception as error:
            if (message := f"{type(error).__name__}: {error}") != self._failing:
                self._failing = message
                if isinstance(error, StoreError):
                    log.error("incidents cannot be kept: %s", error)
                else:
                    log.exception("an evaluation failed")
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
        """What a person wants, applied in the next evaluation; the incident as it is then, None if there is none open
        of that key. Durable when it returns. Raises StoreError."""
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
            outcome = await self._pipeline.run(now, [command for command, _ in commands])
            self._due_at, self._unconfirmed = outcome.wake_at, outcome.unconfirmed
            self._open_to_revision |= {one.key: one for one in outcome.changed if revising.open_to_revision(one, now)}
            if outcome.mails:
                self._wake()
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

    async def _revise(self, now: int) -> None:
        """Closed incidents whose causes are known better by now."""
        waiting = {key: one for key, one in self._open_to_revision.items() if revising.open_to_revision(one, now)}
        revised_incidents = await revising.revised_incidents(self._reader, list(waiting.values()), now)
        self._open_to_revision = {key: waiting[key] for key in waiting.keys() - {one.key for one in revised_incidents}}
        changed = [one for one in revised_incidents if one is not waiting[one.key]]
        if changed:
            await self._pipeline.commit(with_revised(self.incidents, changed), self._pipeline.cursor, changed)

    def _fail_commands(self, error: Exception) -> None:
        commands, self._commands = self._commands, []
        for _, future in commands:
            if not future.done():
                future.set_exception(error)


def with_revised(incidents: IncidentState, revised: Sequence[Incident]) -> IncidentState:
    """The state with what is known better of closed incidents, where it still remembers them."""
    updates = {
        name: {**kept, **{one.key: one for one in revised if one.key in kept}}
        for name, kept in (("ended", incidents.ended), ("closed", incidents.closed))
    }
    return msgspec.structs.replace(incidents, **updates)
