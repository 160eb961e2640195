"""Availability of checks over windows: figures with their bounds, the spans they are made from, timelines."""

from collections.abc import Callable, Sequence
from typing import Any

from collector.ledger.counted import Counted, Interval, count
from collector.ledger.figures import Figure, figure
from collector.ledger.state_step import Span
from collector.ledger.timeline import TimelineSegment, timeline
from collector.queries.exclusions import Exclusions, exclusions_in_force
from collector.queries.reader import CheckEntry, LedgerReader
from collector.store.interfaces.store import Transaction
from collector.store.records import Lifespan


async def figures(
    reader: LedgerReader, of: Sequence[CheckEntry], windows: Sequence[Interval]
) -> dict[int, list[Figure]]:
    """By the check's row, the figure over each window up to now, with what is excluded left out."""
    if not of:
        return {}
    now, tails = reader.wall(), reader.tails(of)
    counted = CountedTime(await exclusions_in_force(reader), reader.lifespan, now)
    begin = min(window[0] for window in windows)

    def work(tx: Transaction) -> dict[int, list[Figure]]:
        by_row = {}
        for entry in of:
            spans = reader.history(tx, entry, tails.get(entry.row), begin, now)
            by_row[entry.row] = [figure(spans, counted.of(entry, window)) for window in windows]
        return by_row

    return await reader.read(work)


async def figure_with_evidence(
    reader: LedgerReader, entry: CheckEntry, window: Interval
) -> tuple[Figure, list[Span], list[TimelineSegment]]:
    """The figure of one check over a window, the spans it is made from, and its timeline."""
    now, tails = reader.wall(), reader.tails([entry])
    counted_time = CountedTime(await exclusions_in_force(reader), reader.lifespan, now)

    def work(tx: Transaction) -> tuple[Figure, list[Span], list[TimelineSegment]]:
        spans = reader.history(tx, entry, tails.get(entry.row), window[0], now)
        spans = [span for span in spans if span.start <= window[1]]
        counted = counted_time.of(entry, window)
        return figure(spans, counted), spans, timeline(spans, counted)

    return await reader.read(work)


async def spans_since(reader: LedgerReader, of: Sequence[CheckEntry], begin: int) -> dict[int, list[Span]]:
    """By the check's row, all that touches time from ``begin`` on, the open span as it stands."""
    now, tails = reader.wall(), reader.tails(of)

    def work(tx: Transaction) -> dict[int, list[Span]]:
        return {one.row: reader.history(tx, one, tails.get(one.row), begin, now) for one in of}

    return await reader.read(work)


async def timelines(
    reader: LedgerReader, of: Sequence[CheckEntry], window: Interval
) -> dict[int, list[TimelineSegment]]:
    """By the check's row, what each check was over a window up to now, moment by moment, what is excluded marked."""
    if not of:
        return {}
    now, tails = reader.wall(), reader.tails(of)
    counted = CountedTime(await exclusions_in_force(reader), reader.lifespan, now)

    def work(tx: Transaction) -> dict[int, list[TimelineSegment]]:
        by_row = {}
        for entry in of:
            spans = reader.history(tx, entry, tails.get(entry.row), window[0], now)
            by_row[entry.row] = timeline(spans, counted.of(entry, window))
        return by_row

    return await reader.read(work)


class CountedTime:
    """The time that counts, made once for all checks that share life and exclusions."""

    def __init__(self, exclusions: Exclusions, lifespan: Callable[[CheckEntry], Lifespan], now: int) -> None:
        self._exclusions = exclusions
        self._lifespan = lifespan
        self._now = now
        self._counted: dict[Any, Counted] = {}

    def of(self, entry: CheckEntry, window: Interval) -> Counted:
        excluded = self._exclusions.of(entry.check, window)
        lifespan = self._lifespan(entry)
        key = (window, lifespan, excluded)
        if key not in self._counted:
            self._counted[key] = count(window, self._now, lifespan, excluded)
        return self._counted[key]
