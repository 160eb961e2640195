"""Sums of measures as they are stored: a cell is [n, sum, least, most] of one measure of one check in one bucket."""

from collections.abc import Sequence
from typing import Final

import msgspec

FIVE_MINUTES: Final = 300_000  # ms
HOUR: Final = 3_600_000
MOST: Final = 2**62  # a sum stands still there: the integers of SQLite and msgpack end a little later

Cell = list[int]
Cells = dict[int, list[Cell]]  # check's row -> latency's cell, then one for each value column

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Cells).decode


def add(cell: Cell, seen: Sequence[int | None]) -> None:
    """Values into a cell; None was not measured."""
    if None in seen:
        seen = [value for value in seen if value is not None]
        if not seen:
            return
    known: Sequence[int] = seen  # type: ignore[assignment]  # None is not in it
    merge(cell, [len(known), sum(known), min(known), max(known)])


def merge(cell: Cell, other: Cell) -> None:
    """``other`` into ``cell``."""
    if not other[0]:
        return
    if not cell[0]:
        cell[2], cell[3] = other[2], other[3]
    else:
        if other[2] < cell[2]:
            cell[2] = other[2]
        if other[3] > cell[3]:
            cell[3] = other[3]
    cell[0] += other[0]
    cell[1] = max(-MOST, min(MOST, cell[1] + other[1]))


def merged(bodies: Sequence[Cells]) -> Cells:
    """Buckets of one agent and plan added up."""
    total: Cells = {}
    for body in bodies:
        for row, cells in body.items():
            into = total.setdefault(row, [[0, 0, 0, 0] for _ in cells])
            for cell, other in zip(into, cells, strict=True):
                merge(cell, other)
    return total
