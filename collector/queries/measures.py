"""A check's measures over time: the kept sums, as mean, least and most of buckets.

The newest minutes stand in the agent's checkpoint until their bucket is over; both are read in one snapshot.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from collector.ingest.states.state import checkpoint_sums
from collector.ledger.counted import Interval
from collector.queries.reader import CheckEntry, LedgerReader
from collector.store import cells
from collector.store.cells import FIVE_MINUTES, HOUR
from collector.store.interfaces.store import Transaction
from collector.store.records import SumBucket
from inventory.protocol import kinds

FINE: Final = 2 * 86_400_000  # ms: up to so long in buckets of five minutes, longer in hours
FINE_FOR: Final = 34 * 86_400_000  # ms that buckets of five minutes are kept, less a day
LATENCY: Final = "latency"
MICROSECONDS: Final = 1_000_000


class MeasurePoint(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket, [start, start + width) in ms; values in the measure's base unit."""

    start: int
    width: int
    looks: int  # that measured it
    mean: float
    least: float
    most: float


class NotMeasured(Exception):
    """The check does not have that measure; ``known``: those that it has."""

    def __init__(self, known: Sequence[str]) -> None:
        super().__init__(f"known are: {', '.join(known)}")
        self.known = known


async def measure_history(
    reader: LedgerReader, entry: CheckEntry, measure: str, window: Interval
) -> list[MeasurePoint]:
    """The buckets of a window in which it was measured, in order. Raises NotMeasured."""
    begin, end = window
    fine = end - begin <= FINE and begin >= reader.wall() - FINE_FOR
    width = FIVE_MINUTES if fine else HOUR
    begin -= begin % width
    state = reader.fleet.agents.get(entry.agent)
    if state is None:
        return []
    stream = state.stream

    def work(tx: Transaction) -> list[SumBucket]:
        written = tx.sums.history(stream, entry.row, begin, end, width)
        return written + [one for one in _open_sums(tx, stream, entry.row) if begin <= one.start < end]

    sums = await reader.read(work)
    known = _measures(reader, entry, sums)
    if measure not in known:
        raise NotMeasured(sorted(known))
    return _points(reader, entry, measure, width, sums)


def _open_sums(tx: Transaction, stream: int, check: int) -> Iterator[SumBucket]:
    """What the agent's checkpoint has of a check."""
    body = tx.checkpoints.body(stream)
    for start, plan, packed in checkpoint_sums(body) if body is not None else ():
        cell = cells.decode(packed).get(check)
        if cell is not None:
            yield SumBucket(start, FIVE_MINUTES, plan, cells.measures_of_cell(cell))


def _measures(reader: LedgerReader, entry: CheckEntry, sums: Sequence[SumBucket]) -> set[str]:
    """What the kind measures now, and what it measured under the plans that these sums are of."""
    kind = kinds.load().get(entry.kind)
    names = {LATENCY, *(measure.name for measure in (kind.measures if kind is not None else ()))}
    for plan in {one.plan for one in sums}:
        names |= {column.name for column in reader.fleet.columns(entry.agent, plan, entry.kind)}
    return names


def _points(
    reader: LedgerReader, entry: CheckEntry, measure: str, width: int, sums: Sequence[SumBucket]
) -> list[MeasurePoint]:
    """Added up by bucket, in units."""
    total: dict[int, tuple[int, float, float, float]] = {}
    for one in sums:
        columns = reader.fleet.columns(entry.agent, one.plan, entry.kind)
        places = {LATENCY: (0, MICROSECONDS)} | {c.name: (n, c.per) for n, c in enumerate(columns, 1)}
        place, per = places.get(measure, (len(one.measures), 1))
        if place >= len(one.measures) or not one.measures[place][0]:
            continue
        count, summed, least, most = one.measures[place]
        start = one.start - one.start % width
        n, s, low, high = total.get(start, (0, 0.0, float("inf"), float("-inf")))
        total[start] = (n + count, s + summed / per, min(low, least / per), max(high, most / per))
    return [
        MeasurePoint(start=start, width=width, looks=n, mean=s / n, least=low, most=high)
        for start, (n, s, low, high) in sorted(total.items())
    ]
