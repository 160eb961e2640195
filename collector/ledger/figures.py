"""Availability of one check over a window: the best figure, what is proven either way, and how much was seen.

    best      up / (up + down), where degraded counts as up; None when nothing was seen
    lower     what is proven up: unknown time, edges' gaps and held tails count as down
    upper     all that is not proven down
    coverage  (up + down) / all the time that counts

The gap between two looks that are up and degraded is proven up: spans that meet prove the time between them. A look
placed with an error proves that much less at its end of the span. Exclusions are applied here, when reading.
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from collector.ledger.counted import Counted
from collector.ledger.state_step import LedgerTail, Span, open_span
from inventory.protocol.states import DOWN, UNKNOWN


class Figure(msgspec.Struct, frozen=True):
    """Milliseconds: total = up + degraded + down + unknown is the time that counts, ``excluded`` the time that does
    not. ``sure_up`` (up or degraded) and ``sure_down`` are the proven parts. A ratio without a denominator is None.
    """

    total: int = 0
    up: int = 0
    degraded: int = 0
    down: int = 0
    unknown: int = 0
    excluded: int = 0
    sure_up: int = 0
    sure_down: int = 0

    @property
    def seen(self) -> int:
        """Time with evidence, ms."""
        return self.up + self.degraded + self.down

    @property
    def best(self) -> float | None:
        return (self.up + self.degraded) / self.seen if self.seen else None

    @property
    def lower(self) -> float | None:
        return self.sure_up / self.total if self.total else None

    @property
    def upper(self) -> float | None:
        return (self.total - self.sure_down) / self.total if self.total else None

    @property
    def coverage(self) -> float | None:
        return self.seen / self.total if self.total else None


def history(spans: Iterable[Span], tail: LedgerTail | None, now: int) -> list[Span]:
    """Closed spans and the open one as it stands at ``now``: what figures and timelines are made from."""
    return [*spans, open_span(tail, now)] if tail is not None else list(spans)


def figure(spans: Sequence[Span], counted: Counted) -> Figure:
    """The figure of one check from its spans in order (:func:`history`).

    Give every span that touches the window, ends included: one that ends where the window begins may prove the
    first moments of it.
    """
    best = [0, 0, 0, 0]
    for span in spans:
        best[span.state] += counted.within(span.start, span.end)
    sure_up = sure_down = 0
    for down, start, end in proven(spans):
        if down:
            sure_down += counted.within(start, end)
        else:
            sure_up += counted.within(start, end)
    up, degraded, down_ms, _ = best
    unknown = counted.total - up - degraded - down_ms
    return Figure(counted.total, up, degraded, down_ms, unknown, counted.excluded, sure_up, sure_down)


def proven(spans: Iterable[Span]) -> Iterator[tuple[bool, int, int]]:
    """(whether down, from, to) of each stretch that is proven, in order. Spans that meet and agree prove as one."""
    down, start, end, met = False, 0, 0, None  # met: where the stretch so far ends as a figure
    for span in spans:
        if span.state == UNKNOWN or span.sure_from > span.sure_to:  # the latter proves nothing, nor joins
            if met is not None and start < end:
                yield down, start, end
            met = None
            continue
        is_down = span.state == DOWN
        if met is not None and is_down == down and span.start == met:
            start = min(start, span.sure_from + span.error_from)
            end = max(end, span.sure_to - span.error_to)
        else:
            if met is not None and start < end:
                yield down, start, end
            down, start, end = is_down, span.sure_from + span.error_from, span.sure_to - span.error_to
        met = span.end
    if met is not None and start < end:
        yield down, start, end
