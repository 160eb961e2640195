"""Past problems: closed spans as they are committed, each read once, by the row up to which they were read.

Live, an incident has seen them come and go. What came late (a backlog, a collector that was down) is in the digest
alone, with the cause that the whole evidence gives.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

from alerts.incident.entities import Incident
from alerts.incident.problem import ActiveProblem, Cause, PastProblem
from alerts.notify.conditions import condition_of, condition_state
from collector.causes.verdicts import CauseAnalysis
from collector.evaluator.problems.check_problems import ON, subject_of
from collector.ingest.quarantine import EVALUATION
from collector.ledger.counted import FOREVER
from collector.ledger.state_step import Span
from collector.queries.causes import analyse_causes, check_cause
from collector.queries.exclusions import Exclusions
from collector.queries.reader import CheckEntry, LedgerReader
from collector.store.records import ClosedSpan
from inventory.model.alerting import Condition
from inventory.protocol.refs import Ref
from inventory.protocol.states import CheckStatus

MetCondition = tuple[CheckEntry, Span, Condition]
MAX_SPANS: Final = 200  # spans an evaluation: a backlog of weeks must not hold up what is wrong now


async def past_problems(
    reader: LedgerReader, spans: Sequence[ClosedSpan], exclusions: Exclusions, now: int
) -> list[PastProblem]:
    """Those that met their condition, with their causes."""
    quarantine = reader.fleet.quarantine
    meeting = [
        one
        for met in quarantine.rows(EVALUATION, spans, partial(_agent, reader), partial(_meeting_condition, reader))
        for one in met
    ]
    if not meeting:
        return []
    begin = min(span.start for _, span, _ in meeting)

    def problems(analysis: CauseAnalysis) -> list[PastProblem]:
        def problem(met: MetCondition) -> PastProblem:
            entry, span, condition = met
            cause = check_cause(analysis, entry, (span.start, span.end))
            return _past_problem(entry, span, condition, cause, exclusions, now)

        return quarantine.rows(EVALUATION, meeting, lambda met: met[0].agent, problem)

    return await analyse_causes(reader, problems, begin)


def without_reported(problems: Sequence[PastProblem], incidents: Iterable[Incident]) -> list[PastProblem]:
    """Without what an incident of the same root was about at the time: it is that incident's other side, come late."""
    periods: dict[str, list[tuple[int, int]]] = {}
    for incident in incidents:
        end = incident.ended or incident.closed or FOREVER
        for root in (incident.cause.root, *incident.roots):
            periods.setdefault(root, []).append((incident.opened, end))
    return [
        one
        for one in problems
        if not any(
            begin <= one.until and one.problem.since <= end for begin, end in periods.get(one.problem.cause.root, ())
        )
    ]


def _agent(reader: LedgerReader, one: ClosedSpan) -> str:
    registered = reader.fleet.checks.get(one.check)
    return "" if registered is None else registered.agent


def _meeting_condition(reader: LedgerReader, one: ClosedSpan) -> list[MetCondition]:
    """With the condition that it met, if it did."""
    entry = reader.of_row(one.check)
    if entry is None or entry.check is None:
        return []
    condition = condition_of(reader.inventory, entry.check, ON[one.span.state])
    if condition is None or condition_state(condition, _status_at_end(one.span)) != "met":
        return []
    return [(entry, one.span, condition)]


def _status_at_end(span: Span) -> CheckStatus:
    """What the check was when the span ended."""
    return CheckStatus(
        state=span.state,
        since=span.start,
        first_look=span.sure_from,
        last_look=max(span.sure_to, span.end),
        last_state=span.state,
        looks=span.looks,
        reason=span.reason,
    )


def _past_problem(
    entry: CheckEntry, span: Span, condition: Condition, cause: Cause, exclusions: Exclusions, now: int
) -> PastProblem:
    check = entry.check
    assert check is not None
    problem = ActiveProblem(
        key=str(Ref(ON[span.state], check.uid)),
        condition=condition.id,
        subject=subject_of(check),
        severity=condition.severity,
        since=span.start,
        evidence=span.end,
        cause=cause,
        excluded=bool(exclusions.of(check, (span.start, span.end))),
        state=span.state,
        reason=span.reason,
    )
    return PastProblem(problem=problem, until=span.end, late_ms=max(0, now - span.end))
