"""Stretches in which checks were not up, open and past, with their causes."""

from collections.abc import Sequence

import msgspec

from alerts.incident.problem import Cause
from collector.causes.verdicts import CauseAnalysis
from collector.ledger.counted import FOREVER
from collector.queries.causes import analyse_causes, check_cause
from collector.queries.reader import CheckEntry, LedgerReader
from inventory.protocol.states import UP


class ProblemSpan(msgspec.Struct, frozen=True):
    """A span that was not up. Its cause: :func:`problem_span_causes`."""

    entry: CheckEntry
    state: int
    start: int
    end: int | None  # None while it is open
    reason: str


def open_problem_spans(reader: LedgerReader) -> list[ProblemSpan]:
    """What is not up at this moment, newest first. What was never looked at is not in trouble yet."""
    now = reader.wall()
    spans = []
    for entry in reader.current_checks():
        status = reader.status(entry, now)
        if status.state != UP and status.since:
            spans.append(ProblemSpan(entry, status.state, status.since, None, status.reason))
    return sorted(spans, key=lambda one: -one.start)


async def past_problem_spans(reader: LedgerReader, limit: int, before: int | None = None) -> list[ProblemSpan]:
    """Closed spans that were not up, by their end, newest first."""
    spans = await reader.read(lambda tx: tx.spans.not_up(limit, before or FOREVER))
    return [
        ProblemSpan(entry, one.span.state, one.span.start, one.span.end, one.span.reason)
        for one in spans
        if (entry := reader.of_row(one.check)) is not None
    ]


async def problem_span_causes(reader: LedgerReader, spans: Sequence[ProblemSpan]) -> dict[tuple[int, int], Cause]:
    """By the check's row and start, why each check was not up for most of the time."""
    if not spans:
        return {}
    now = reader.wall()

    def work(analysis: CauseAnalysis) -> dict[tuple[int, int], Cause]:
        return {
            (one.entry.row, one.start): check_cause(
                analysis, one.entry, (one.start, now if one.end is None else one.end)
            )
            for one in spans
        }

    return await analyse_causes(reader, work, min(one.start for one in spans))
