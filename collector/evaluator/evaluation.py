"""One evaluation, top to bottom: from what was published to incidents and mails in one commit.

A crash before the commit repeats the evaluation and nothing of it went out; a crash after it finds incidents, cursor
and mails together.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from alerts.channels.outbox import OutgoingMail
from alerts.engine import step
from alerts.incident.entities import Command, Incident
from alerts.incident.finding import IngestFinding
from alerts.incident.problem import ActiveProblem, PastProblem
from alerts.incident.state import IncidentState, StepInput, StepResult, without_incidents
from alerts.incident.tally import count_change, count_mails
from collector.evaluator.context import EvaluationContext
from collector.evaluator.outgoing_mail import MailWriter
from collector.evaluator.present_view import causes_now
from collector.evaluator.problems.current import CurrentProblems
from collector.evaluator.problems.past import MAX_SPANS, past_problems, without_reported
from collector.ingest.clock import ClockTrust
from collector.queries.exclusions import Exclusions, exclusions_in_force
from collector.queries.reader import LedgerReader
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import ClosedSpan, EvaluatorCursor
from inventory.protocol.refs import Ref

log = logging.getLogger("collector.evaluator")

MAX_FINDINGS: Final = 1_000  # an evaluation

_encode = msgspec.msgpack.Encoder().encode


class EvaluationParts(NamedTuple):
    """What an evaluation works with."""

    store: Store
    reader: LedgerReader
    trust: ClockTrust
    problems: CurrentProblems
    mail_writer: MailWriter | None
    muted: Callable[[], bool]  # whether this is a standby whose primary is well
    # from fault to mail, seconds, of each first mail that a relay accepted since the last call
    accepted: Callable[[], Sequence[float]] = tuple


class NewEvidence(NamedTuple):
    """What was committed since the last evaluation, and the place after it."""

    cursor: EvaluatorCursor
    findings: list[IngestFinding]
    closed: list[ClosedSpan]


class EvaluationOutcome(NamedTuple):
    """What an evaluation made."""

    changed: Sequence[Incident] = ()
    mails: Sequence[OutgoingMail] = ()
    wake_at: int | None = None  # when something that waits is due (ms)
    unconfirmed: bool = False  # whether something is wrong that is no incident yet


class EvaluationPipeline:
    """Holds what was committed last; :meth:`run` is one evaluation."""

    def __init__(self, parts: EvaluationParts) -> None:
        self.incidents = IncidentState()
        self.cursor = EvaluatorCursor(0, 0)
        self._parts = parts
        self._accepted: list[float] = []  # told by the sender, and not committed yet

    async def run(self, now: int, commands: Sequence[Command]) -> EvaluationOutcome:
        """One evaluation. Raises StoreError; nothing of it is kept then."""
        inventory = self._parts.reader.inventory
        problems: list[ActiveProblem] = []
        past: list[PastProblem] = []

        # 1. Read what is new: findings and closed spans past the cursor.
        evidence = await self._new_evidence()

        if self._parts.trust.trusted:
            # 2. Problems now: checks, agents and findings, with their causes; 3. goals, beside those.
            exclusions = await exclusions_in_force(self._parts.reader)
            problems = await asyncio.to_thread(self._problems_now, now, evidence.findings, exclusions)

            # 4. Past problems: over when their evidence came, and part of no incident.
            past = await past_problems(self._parts.reader, evidence.closed, exclusions, now)
            past = without_reported(past, self.incidents.incidents())

        # 5. The collector's own problems.
        unconfirmed = any(not problem.confirmed for problem in problems)
        problems += self._parts.problems.of_collector(now)

        # 6. The step: problems become incidents and notices.
        step_input = StepInput(
            at=now,
            problems=tuple(problems),
            unknown=lambda key: self._is_unknown(key, now),
            gone=self._parts.problems.is_gone,
            past=tuple(past),
            commands=tuple(commands),
            muted=self._parts.muted(),
        )
        result = await asyncio.to_thread(step, self.incidents, step_input, inventory)
        self._accepted += self._parts.accepted()
        if result.state is self.incidents and evidence.cursor == self.cursor and not self._accepted:
            return EvaluationOutcome(wake_at=result.wake_at, unconfirmed=unconfirmed)

        # 7. The mails of the notices.
        mails = await self._written(result)

        # 8. One commit: cursor, incidents, mails and what people did together.
        await self.commit(result.state, evidence.cursor, result.changed, mails, commands)
        return EvaluationOutcome(result.changed, mails, result.wake_at, unconfirmed)

    async def _new_evidence(self) -> NewEvidence:
        cursor = self.cursor

        def work(tx: Transaction) -> tuple[list[tuple[int, IngestFinding]], tuple[list[ClosedSpan], int]]:
            findings = tx.events.findings_after(cursor.events, MAX_FINDINGS)
            return findings, tx.spans.problems_after(cursor.spans, MAX_SPANS)

        finding_rows, (closed, spans) = await self._parts.store.read(work)
        events = finding_rows[-1][0] if finding_rows else cursor.events
        cursor = msgspec.structs.replace(cursor, events=events, spans=spans)
        return NewEvidence(cursor, [finding for _, finding in finding_rows], closed)

    def _problems_now(self, now: int, findings: Sequence[IngestFinding], exclusions: Exclusions) -> list[ActiveProblem]:
        """In a thread: of a whole provider's outage this is a good part of a second, and pushes go on meanwhile."""
        problems, reader = self._parts.problems, self._parts.reader
        problems.refresh(now, findings)
        context = EvaluationContext(
            now=now,
            listening_since=problems.listening_since,
            inventory=reader.inventory,
            reader=reader,
            causes=causes_now(reader, now, problems.listening_since),
            exclusions=exclusions,
            met_since=problems.met_since,
        )
        present = problems.present(context, self.incidents.open.values())
        return present + problems.of_goals(context, present)

    async def _written(self, result: StepResult) -> list[OutgoingMail]:
        writer = self._parts.mail_writer
        return await writer.write(result.notices, result.state) if writer is not None else []

    async def commit(
        self,
        incidents: IncidentState,
        cursor: EvaluatorCursor,
        changed: Sequence[Incident],
        mails: Sequence[OutgoingMail] = (),
        commands: Sequence[Command] = (),
    ) -> None:
        """Durable when it returns, all of it or nothing. Raises StoreError."""
        accepted = tuple(self._accepted)
        tally = count_mails(self.incidents.tally, accepted)
        for incident in changed:
            tally = count_change(tally, self.incidents.incident(incident.key), incident, self.incidents.at)
        incidents = msgspec.structs.replace(incidents, tally=tally)
        cursor = EvaluatorCursor(cursor.events, cursor.spans, incidents.at, _encode(without_incidents(incidents)))

        def work(tx: Transaction) -> None:
            tx.cursor.save(cursor)
            tx.incidents.put(changed)
            tx.outbox.put(mails)
            for command in commands:
                tx.audit.add(command.at, command.who, command.what, _audited(command))

        await self._parts.store.write(work)
        for incident in changed:
            _log_change(incident, self.incidents.incident(incident.key))
        self.incidents, self.cursor = incidents, cursor
        del self._accepted[: len(accepted)]

    def _is_unknown(self, key: str, now: int) -> bool:
        """While the clock is not trusted, nothing is known but what the collector knows of itself."""
        if not self._parts.trust.trusted:
            return Ref.parse(key).kind != "collector"
        return self._parts.problems.is_unknown(key, now)


def _audited(command: Command) -> dict[str, Any]:
    """What the audit keeps of a command besides who gave it and when."""
    more = {"until": command.until, "text": command.text, "by": command.by}
    return {"incident": command.incident, **{name: value for name, value in more.items() if value}}


def _log_change(incident: Incident, before: Incident | None) -> None:
    """A line in the log when an incident is opened or closed: the change, not the state."""
    if before is None and incident.open:
        log.warning("incident %s opened: %s (%s)", incident.key, incident.cause.root, incident.severity)
    elif not incident.open and (before is None or before.open):
        log.info("incident %s closed: %s (%s)", incident.key, incident.cause.root, incident.resolution)
