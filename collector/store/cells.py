"""Sums of measures as they are kept: of one check in one bucket, latency and then its value columns, each as four
integers: n, sum, least, most. Flat arrays: there are many of them, and the garbage collector does not walk these.
"""

from array import array
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

FIVE_MINUTES: Final = 300_000  # ms
HOUR: Final = 3_600_000
MOST: Final = 2**62  # a sum or a count stands still there: the integers of arrays and of msgpack end a little later

Cells = dict[int, "array[int]"]  # by check's row

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[int, list[int]]).decode


def empty(columns: int) -> "array[int]":
    """For latency and so many value columns."""
    return array("q", bytes(32 * (1 + columns)))


def encode(cells: Mapping[int, "array[int]"]) -> bytes:
    return _encode({row: cell.tolist() for row, cell in cells.items()})


def decode(body: bytes) -> Cells:
    return {row: array("q", cell) for row, cell in _decode(body).items()}


def add(cell: "array[int]", at: int, values: Sequence[int | None]) -> None:
    """Values into the four integers from ``at`` on; None was not measured."""
    try:
        total, least, most = sum(values), min(values), max(values)  # type: ignore[arg-type, type-var]
    except (TypeError, ValueError):  # there is a None, or nothing
        measured = [value for value in values if value is not None]
        if measured:
            add(cell, at, measured)
        return
    put(cell, at, len(values), total, least, most)  # type: ignore[arg-type]


def put(cell: "array[int]", at: int, count: int, total: int, least: int, most: int) -> None:
    """What was added up elsewhere."""
    before = cell[at]
    if before:
        count += before
        total += cell[at + 1]
        least, most = min(least, cell[at + 2]), max(most, cell[at + 3])
    if count > MOST or not -MOST <= total <= MOST:  # comparisons, not calls: every push makes some of these
        count, total = min(MOST, count), max(-MOST, min(MOST, total))
    cell[at], cell[at + 1], cell[at + 2], cell[at + 3] = count, total, least, most


def merged(bodies: Sequence[Cells]) -> Cells:
    """Buckets of one agent and plan added up."""
    total: Cells = {}
    for body in bodies:
        for row, cell in body.items():
            into = total.setdefault(row, empty(len(cell) // 4 - 1))
            for at in range(0, len(cell), 4):
                if cell[at]:
                    put(into, at, *cell[at : at + 4])
    return total


def measures_of_cell(cell: "array[int]") -> list[list[int]]:
    """A cell's integers, four for latency and for each column."""
    return [list(cell[at : at + 4]) for at in range(0, len(cell), 4)]
