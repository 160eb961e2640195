"""Sums of latency and measures in buckets of five minutes: n, sum, least, most, as integers of the wire.

The results of a push are only set aside here; they are added up column by column once there are enough of them,
or when a checkpoint is due. Sums are integers, so when that happens changes nothing.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Final

import msgspec

from collector.ingest.plans import View
from collector.ledger.placement import Placing
from collector.store.cells import FIVE_MINUTES, Cell, Cells, add, merge
from inventory.wire import Batch, Run

WIDTH: Final = FIVE_MINUTES
ENOUGH: Final = 256  # results set aside before they are added up


class Bucket(msgspec.Struct, array_like=True, frozen=True):
    """All of one agent's checks in [start, start + WIDTH) under one plan (which names the columns)."""

    start: int
    plan: bytes
    cells: Cells = {}


class Block(msgspec.Struct, frozen=True):
    """One result of each of several checks (as in Batch.checks), all in one bucket."""

    start: int
    view: View
    checks: Sequence[int]
    latency: Sequence[int | None]
    values: Sequence[int | None]

    def alike(self, other: "Block") -> bool:
        return self.start == other.start and self.view is other.view and self.checks == other.checks


class Sums:
    """The open buckets of one agent. Only ever changed after the commit of what it is given."""

    def __init__(self, buckets: Sequence[Bucket] = ()) -> None:
        self._open = {(bucket.start, bucket.plan): bucket.cells for bucket in buckets}
        self._blocks: list[Block] = []
        self._aside = 0

    def add(self, view: View, batch: Batch, placing: Placing, skips: Mapping[int, int]) -> None:
        """The results of a batch as placed, less the first ``skips`` (by place) of a check."""
        if not skips and len(batch.counts) == len(batch.states) and placing.steady:
            begin = batch.base + placing.offset_first + min(batch.at)
            end = batch.base + placing.offset_first + max(batch.at)
            if begin // WIDTH == end // WIDTH:  # one result a check, all in one bucket: most pushes
                self._blocks.append(Block(begin - begin % WIDTH, view, batch.checks, batch.latency, batch.values))
                self._aside += len(batch.counts)
                if self._aside >= ENOUGH:
                    self._fold()
                return
        at = value = 0
        for place, n in zip(batch.places(), batch.counts, strict=True):
            width, skip = view.widths[place], skips.get(place, 0)
            first, deltas = placing.slice(batch.base + batch.at[at], batch.at[at + 1 : at + n])
            times = list(accumulate(deltas, initial=first))
            values = batch.values[value + skip * width : value + n * width]
            self._add_slice(view, place, times[skip:], batch.latency[at + skip : at + n], values)
            at, value = at + n, value + n * width

    def add_run(self, view: View, run: Run, placing: Placing) -> None:
        """A fold's latency: it stands in the bucket where it began."""
        if run.latency_count:
            first = placing.at(run.first)
            cells = self._cells(first - first % WIDTH, view, run.check)
            merge(cells[0], [run.latency_count, run.latency_sum, run.latency_min, run.latency_max])

    def buckets(self) -> list[Bucket]:
        """Everything open, added up."""
        self._fold()
        return [Bucket(start, plan, cells) for (start, plan), cells in sorted(self._open.items())]

    def drop(self, buckets: Sequence[Bucket]) -> None:
        """These are in the store now."""
        for bucket in buckets:
            del self._open[bucket.start, bucket.plan]

    def _add_slice(
        self, view: View, place: int, at: list[int], latency: Sequence[int | None], values: Sequence[int | None]
    ) -> None:
        begin, total, width = 0, len(at), view.widths[place]
        while begin < total:
            start = at[begin] - at[begin] % WIDTH
            end = total if at[-1] < start + WIDTH else bisect_left(at, start + WIDTH, begin)
            cells = self._cells(start, view, place)
            add(cells[0], latency[begin:end])
            for column in range(width):
                add(cells[1 + column], values[begin * width + column : end * width : width])
            begin = end

    def _cells(self, start: int, view: View, place: int) -> list[Cell]:
        bucket = self._open.setdefault((start, view.digest), {})
        row = view.rows[place]
        cells = bucket.get(row)
        if cells is None:
            cells = bucket[row] = [[0, 0, 0, 0] for _ in range(1 + view.widths[place])]
        return cells

    def _fold(self) -> None:
        blocks, self._blocks, self._aside = self._blocks, [], 0
        while blocks:
            like = blocks[0]
            same = [block for block in blocks if block.alike(like)]
            blocks = [block for block in blocks if not block.alike(like)]
            latency = zip(*(block.latency for block in same), strict=True)
            values: Iterator[tuple[int | None, ...]] = zip(*(block.values for block in same), strict=True)
            for place, seen in zip(accumulate(like.checks), latency, strict=True):
                cells = self._cells(like.start, like.view, place)
                add(cells[0], seen)
                for column in range(like.view.widths[place]):
                    add(cells[1 + column], next(values))
