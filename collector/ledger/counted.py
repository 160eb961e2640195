"""The time of a window that counts: not past now, inside the check's life, without what is excluded."""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import Final

Interval = tuple[int, int]  # [from, to), ms
FOREVER: Final = 1 << 62  # ms, after every moment there is


class Counted:
    """The ms that count, as sorted intervals that do not touch. Made once, it serves every check with the same life.

    ``start`` and ``end``: the window clipped to now and life; ``holes``: what is excluded inside it; ``intervals``:
    the rest; ``total`` and ``excluded``: ms of both.
    """

    __slots__ = ("_before", "_starts", "end", "excluded", "holes", "intervals", "start", "total")

    def __init__(self, start: int, end: int, holes: list[Interval]) -> None:
        self.start, self.end, self.holes = start, end, holes
        edges = [start, *(at for hole in holes for at in hole), end]
        self.intervals = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]
        self.total = sum(b - a for a, b in self.intervals)
        self.excluded = end - start - self.total
        self._starts = [a for a, _ in self.intervals]
        self._before = list(accumulate((b - a for a, b in self.intervals), initial=0))

    def until(self, at: int) -> int:
        """How many ms before ``at`` count."""
        i = bisect_right(self._starts, at) - 1
        if i < 0:
            return 0
        a, b = self.intervals[i]
        return self._before[i] + (at if at < b else b) - a

    def within(self, a: int, b: int) -> int:
        """How many ms of [a, b) count."""
        return self.until(b) - self.until(a) if a < b else 0


def count(
    window: Interval,
    now: int,
    life: tuple[int | None, int | None] = (None, None),
    exclusions: Iterable[Interval] = (),
) -> Counted:
    """The time of ``window`` that counts. Exclusions may overlap and come in any order; None in a life is open."""
    born, died = life
    start = max(window[0], -FOREVER if born is None else born)
    end = max(min(window[1], now, FOREVER if died is None else died), start)
    return Counted(start, end, merged(exclusions, start, end))


def merged(intervals: Iterable[Interval], start: int, end: int) -> list[Interval]:
    """Sorted, clipped to [start, end), none empty, none touching another."""
    joined: list[Interval] = []
    for a, b in sorted((max(a, start), min(b, end)) for a, b in intervals):
        if a >= b:
            continue
        if joined and a <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], b))
        else:
            joined.append((a, b))
    return joined
