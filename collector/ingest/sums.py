"""Sums of latency and measures in buckets of five minutes: n, sum, least, most, as integers of the wire.

The results of a push are only set aside here; they are added up column by column once there are enough of them,
or when a checkpoint is due. Sums are integers, so when that happens changes nothing.
"""

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

import msgspec

WIDTH: Final = 300_000  # ms
ENOUGH: Final = 256  # results set aside before they are added up
MOST: Final = 2**62  # a sum stands still there: SQLite's and msgpack's integers end a little later

Cell = list[int]  # n, sum, least, most
Cells = dict[int, list[Cell]]  # check's row -> latency's cell, then one for each value column


class Aside(msgspec.Struct, array_like=True, frozen=True):
    """A slice of one check: results at ``at`` (placed, ms), latencies, values row by row."""

    row: int
    at: Sequence[int]
    latency: Sequence[int | None]
    values: Sequence[int | None]


class Bucket(msgspec.Struct, array_like=True, frozen=True):
    """All of one agent's checks in [start, start + WIDTH) under one plan (which names the columns)."""

    start: int
    plan: bytes
    cells: Cells = {}


class Block(msgspec.Struct, frozen=True):
    """One result of each of several checks, all in one bucket."""

    start: int
    plan: bytes
    rows: Sequence[int]
    widths: Sequence[int]
    latency: Sequence[int | None]
    values: Sequence[int | None]


class Sums:
    """The open buckets of one agent. Only ever changed after the commit of what it is given."""

    def __init__(self, buckets: Sequence[Bucket] = ()) -> None:
        self._open = {(bucket.start, bucket.plan): bucket.cells for bucket in buckets}
        self._blocks: list[Block] = []
        self._aside = 0

    def add_block(self, block: Block) -> None:
        """The common push: one result a check, one bucket."""
        self._blocks.append(block)
        self._aside += len(block.rows)
        if self._aside >= ENOUGH:
            self._fold()

    def add_slice(self, plan: bytes, piece: Aside, width: int) -> None:
        """Several results of one check, over any number of buckets."""
        at, total, begin = piece.at, len(piece.at), 0
        while begin < total:
            start = at[begin] - at[begin] % WIDTH
            end = begin + 1
            if at[-1] < start + WIDTH:
                end = total
            else:
                while end < total and at[end] < start + WIDTH:
                    end += 1
            cells = self._cells(start, plan, piece.row, width)
            _add(cells[0], piece.latency[begin:end])
            for column in range(width):
                _add(cells[1 + column], piece.values[begin * width + column : end * width : width])
            begin = end

    def add_run(self, plan: bytes, row: int, width: int, at: int, cell: Cell) -> None:
        """A fold's latency: it stands in the bucket where it began."""
        if cell[0]:
            _merge(self._cells(at - at % WIDTH, plan, row, width)[0], cell)

    def buckets(self) -> list[Bucket]:
        """Everything open, added up."""
        self._fold()
        return [Bucket(start, plan, cells) for (start, plan), cells in sorted(self._open.items())]

    def drop(self, buckets: Sequence[Bucket]) -> None:
        """These are in the store now."""
        for bucket in buckets:
            del self._open[bucket.start, bucket.plan]

    def _cells(self, start: int, plan: bytes, row: int, width: int) -> list[Cell]:
        bucket = self._open.setdefault((start, plan), {})
        cells = bucket.get(row)
        if cells is None:
            cells = bucket[row] = [[0, 0, 0, 0] for _ in range(1 + width)]
        return cells

    def _fold(self) -> None:
        blocks, self._blocks, self._aside = self._blocks, [], 0
        while blocks:
            like = blocks[0]
            same = [b for b in blocks if b.start == like.start and b.plan == like.plan and b.rows == like.rows]
            blocks = [b for b in blocks if not (b.start == like.start and b.plan == like.plan and b.rows == like.rows)]
            latency = zip(*(block.latency for block in same), strict=True)
            values: Iterator[tuple[int | None, ...]] = zip(*(block.values for block in same), strict=True)
            for row, width, seen in zip(like.rows, like.widths, latency, strict=True):
                cells = self._cells(like.start, like.plan, row, width)
                _add(cells[0], seen)
                for column in range(width):
                    _add(cells[1 + column], next(values))


def _add(cell: Cell, seen: Sequence[int | None]) -> None:
    if None in seen:
        known = [value for value in seen if value is not None]
        if not known:
            return
    else:
        known = seen  # type: ignore[assignment]
    least, most = min(known), max(known)
    if not cell[0]:
        cell[2], cell[3] = least, most
    else:
        if least < cell[2]:
            cell[2] = least
        if most > cell[3]:
            cell[3] = most
    cell[0] += len(known)
    cell[1] = _bounded(cell[1] + sum(known))


def _merge(cell: Cell, other: Cell) -> None:
    if not other[0]:
        return
    cell[2] = min(cell[2], other[2]) if cell[0] else other[2]
    cell[3] = max(cell[3], other[3]) if cell[0] else other[3]
    cell[0] = _bounded(cell[0] + other[0])
    cell[1] = _bounded(cell[1] + other[1])


def _bounded(value: int) -> int:
    return max(-MOST, min(MOST, value))


def merged(bodies: Sequence[Cells]) -> Cells:
    """Buckets of one agent and plan added up: the hourly from the 5-minute ones."""
    total: Cells = {}
    for body in bodies:
        for row, cells in body.items():
            if row not in total:
                total[row] = [list(cell) for cell in cells]
            else:
                for cell, other in zip(total[row], cells, strict=True):
                    _merge(cell, other)
    return total


def times(first: int, deltas: Sequence[int]) -> list[int]:
    """When each look was, from the first and the wire's deltas (the first of which is ignored)."""
    return list(accumulate(deltas[1:], initial=first))
