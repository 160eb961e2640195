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
    try:
        total, least, most = sum(seen), min(seen), max(seen)  # type: ignore[arg-type, type-var]
    except (TypeError, ValueError):  # there is a None, or nothing
        known = [value for value in seen if value is not None]
        if known:
            add(cell, known)
        return
    count, before, lowest, highest = cell
    if count:
        least, most = min(least, lowest), max(most, highest)  # type: ignore[type-var]
    cell[:] = count + len(seen), before + total, least, most  # type: ignore[assignment]
    if not -MOST < cell[1] < MOST:
        cell[1] = max(-MOST, min(MOST, cell[1]))


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
