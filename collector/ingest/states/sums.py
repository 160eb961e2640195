"""Sums of latency and measures in buckets of five minutes: n, sum, least, most, as integers of the wire.

The results of a push are only set aside here; they are added up column by column once there are enough of them,
or when a checkpoint is due. Sums are integers, so when that happens changes nothing.
"""

from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate, islice
from typing import Final

import msgspec

from collector.ingest.plans import CompiledPlan
from collector.ledger.placement import Placement
from collector.store.cells import FIVE_MINUTES, Cells, add, empty, put
from inventory.protocol.wire import Batch, Run

WIDTH: Final = FIVE_MINUTES
FLUSH_AT: Final = 600  # results set aside before they are added up
BUCKET_BYTES: Final = 64  # of the store, for a row of sums
CELL_BYTES: Final = 8  # for a check in it
NUMBER_BYTES: Final = 3  # for a number of that, which is mostly small


SumColumn = Sequence[int | None]


class Bucket(msgspec.Struct, frozen=True):
    """All of one agent's checks in one stretch of time under one plan."""

    start: int  # ms; it ends WIDTH later
    plan: bytes  # digest: names the columns
    cells: Cells = {}


class Block(msgspec.Struct, frozen=True):
    """A batch of one look a check, set aside."""

    plan: CompiledPlan
    base: int  # ms: the batch's base as placed
    batch: Batch

    def same_checks(self, other: "Block") -> bool:
        return self.plan is other.plan and self.batch.checks == other.batch.checks


class Sums:
    """The open buckets of one agent. Only ever changed after the commit of what it is given."""

    def __init__(self, buckets: Sequence[Bucket] = ()) -> None:
        self._open = {(bucket.start, bucket.plan): bucket.cells for bucket in buckets}
        self._blocks: list[Block] = []
        self._pending = 0
        self.made = 0  # bytes of the store that buckets and cells take, about, since the start

    @property
    def open_buckets(self) -> int:
        return len(self._open)

    def add(self, plan: CompiledPlan, batch: Batch, placement: Placement, skips: Mapping[int, int]) -> None:
        """The results of a batch as placed, less the first ``skips`` (by place) of a check."""
        if not skips and len(batch.counts) == len(batch.states) and placement.steady:
            self._blocks.append(Block(plan, batch.base + placement.offset_first, batch))
            self._pending += len(batch.counts)
            if self._pending >= FLUSH_AT:
                self._flush()
            return
        at = value = 0
        for place, n in zip(batch.places(), batch.counts, strict=True):
            width, skip = plan.widths[place], skips.get(place, 0)
            first, deltas = placement.place_slice(batch.base + batch.at[at], batch.at[at + 1 : at + n])
            times = list(accumulate(deltas, initial=first))
            values = batch.values[value + skip * width : value + n * width]
            columns = [batch.latency[at + skip : at + n], *(values[column::width] for column in range(width))]
            self._add_columns(plan, place, times[skip:], columns)
            at, value = at + n, value + n * width

    def add_run(self, plan: CompiledPlan, run: Run, placement: Placement) -> None:
        """A fold's latency: it stands in the bucket where it began."""
        if run.latency_count:
            first = placement.at(run.first)
            cell = self._cell(first - first % WIDTH, plan, run.check)
            put(cell, 0, run.latency_count, run.latency_sum, run.latency_min, run.latency_max)

    def buckets(self) -> list[Bucket]:
        """Everything open, added up."""
        self._flush()
        return [Bucket(start, plan, cells) for (start, plan), cells in sorted(self._open.items())]

    def drop(self, buckets: Sequence[Bucket]) -> None:
        """These are in the store now."""
        for bucket in buckets:
            del self._open[bucket.start, bucket.plan]

    def _add_columns(self, plan: CompiledPlan, place: int, at: Sequence[int], columns: Sequence[SumColumn]) -> None:
        """One check's looks at ``at``, in order: latency, then its value columns."""
        begin, total = 0, len(at)
        while begin < total:
            start = at[begin] - at[begin] % WIDTH
            whole = begin == 0 and at[-1] < start + WIDTH
            end = total if whole else max(bisect_left(at, start + WIDTH, begin), begin + 1)
            cell = self._cell(start, plan, place)
            for number, column in enumerate(columns):
                add(cell, 4 * number, column if whole else column[begin:end])
            begin = end

    def _cell(self, start: int, plan: CompiledPlan, place: int) -> "array[int]":
        bucket = self._open.get((start, plan.digest))
        if bucket is None:
            bucket = self._open[start, plan.digest] = {}
            self.made += BUCKET_BYTES
        row = plan.rows[place]
        cell = bucket.get(row)
        if cell is None:
            cell = bucket[row] = empty(plan.widths[place])
            self.made += CELL_BYTES + NUMBER_BYTES * len(cell)
        return cell

    def _flush(self) -> None:
        blocks, self._blocks, self._pending = self._blocks, [], 0
        while blocks:
            first_block = blocks[0]
            same = [block for block in blocks if block.same_checks(first_block)]
            blocks = [block for block in blocks if not block.same_checks(first_block)]
            times = zip(*([block.base + at for at in block.batch.at] for block in same), strict=True)
            latency = zip(*(block.batch.latency for block in same), strict=True)
            values = zip(*(block.batch.values for block in same), strict=True)
            for place, at, delays in zip(first_block.batch.places(), times, latency, strict=True):
                columns: list[SumColumn] = [delays, *islice(values, first_block.plan.widths[place])]
                self._add_columns(first_block.plan, place, at, columns)
