"""A check's measures over time: the kept sums, as mean, least and most of buckets.

The newest minutes stand in the agent's checkpoint until their bucket is over; both are read in one snapshot.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated

import msgspec

from collector.ingest.state import checkpoint_sums
from collector.queries.reading import CheckEntry, LedgerReader
from collector.store import cells
from collector.store.cells import FIVE_MINUTES, HOUR
from collector.store.interfaces.store import Transaction
from collector.store.records import SumBucket
from collector.web.query_params import BadRequest, window

FINE = 2 * 86_400_000  # ms: up to so long in buckets of five minutes, longer in hours
FINE_FOR = 34 * 86_400_000  # ms that buckets of five minutes are kept, less a day
LATENCY = "latency"
MICROSECONDS = 1_000_000


class PointAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One bucket, [start, start + width) in ms. Values in the measure's base unit."""

    start: int
    width: int
    looks: Annotated[int, msgspec.Meta(description="that measured it")]
    mean: float
    least: float
    most: float


class HistoryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Buckets in which nothing was measured are left out."""

    uid: str
    measure: str
    points: list[PointAnswer]


async def check_history(reader: LedgerReader, entry: CheckEntry, query: Mapping[str, str]) -> HistoryAnswer:
    """The answer to a query with ``measure``, ``from`` and ``to``. Raises Wrong."""
    now = reader.wall()
    measure = query.get("measure", LATENCY)
    begin, end = window(query, now)
    fine = end - begin <= FINE and begin >= now - FINE_FOR
    width = FIVE_MINUTES if fine else HOUR
    begin -= begin % width
    state = reader.fleet.agents.get(entry.agent)
    if state is None:
        return HistoryAnswer(uid=entry.uid, measure=measure, points=[])
    stream = state.stream

    def work(tx: Transaction) -> list[SumBucket]:
        written = tx.sums.history(stream, entry.row, begin, end, width)
        return written + [one for one in _open_sums(tx, stream, entry.row) if begin <= one.start < end]

    sums = await reader.read(work)
    if measure not in _names(reader, entry, sums):
        names = ", ".join(sorted(_names(reader, entry, sums)))
        raise BadRequest(f"the kind {entry.kind} does not measure {measure[:60]!r}; it has: {names}")
    return HistoryAnswer(uid=entry.uid, measure=measure, points=_points(reader, entry, measure, width, sums))


def _open_sums(tx: Transaction, stream: int, check: int) -> Iterator[SumBucket]:
    """What the agent's checkpoint has of a check."""
    body = tx.checkpoints.body(stream)
    for start, plan, packed in checkpoint_sums(body) if body is not None else ():
        cell = cells.decode(packed).get(check)
        if cell is not None:
            yield SumBucket(start, FIVE_MINUTES, plan, cells.measures_of_cell(cell))


def _names(reader: LedgerReader, entry: CheckEntry, sums: list[SumBucket]) -> set[str]:
    """What the kind measures now, and what it measured under the plans that these sums are of."""
    names = {LATENCY, *reader.measures_of(entry.kind)}
    for plan in {one.plan for one in sums}:
        names |= {column.name for column in reader.fleet.columns(plan, entry.kind)}
    return names


def _points(
    reader: LedgerReader, entry: CheckEntry, measure: str, width: int, sums: list[SumBucket]
) -> list[PointAnswer]:
    """Added up by bucket, in units."""
    total: dict[int, tuple[int, float, float, float]] = {}
    for one in sums:
        columns = reader.fleet.columns(one.plan, entry.kind)
        places = {LATENCY: (0, MICROSECONDS)} | {c.name: (n, c.per) for n, c in enumerate(columns, 1)}
        place, per = places.get(measure, (len(one.measures), 1))
        if place >= len(one.measures) or not one.measures[place][0]:
            continue
        count, summed, least, most = one.measures[place]
        start = one.start - one.start % width
        n, s, low, high = total.get(start, (0, 0.0, float("inf"), float("-inf")))
        total[start] = (n + count, s + summed / per, min(low, least / per), max(high, most / per))
    return [
        PointAnswer(start=start, width=width, looks=n, mean=s / n, least=low, most=high)
        for start, (n, s, low, high) in sorted(total.items())
    ]
