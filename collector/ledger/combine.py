"""Several timelines made one, moment by moment: up while at least so many members are up. Three-valued.

At a moment members that are excluded, or outside their life, are not asked: of those present, at least k (or all of
them, where fewer than k are present) have to be up. Up is what enough members are; down what too few can still be,
even if every unknown one were up; anything else is unknown. Proven likewise, from what is proven of the members.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from collector.ledger.timeline import EXCLUDED, TimelineSegment
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

ALL = 1 << 30  # k for "all of them"


def combine(timelines: Iterable[Sequence[TimelineSegment]], k: int) -> list[TimelineSegment]:
    """The timeline of "at least ``k`` up": any is 1, all is ALL. Where nobody is present it says excluded."""
    changes: dict[int, list[int]] = {}
    for timeline in timelines:
        for segment in timeline:
            if segment.start >= segment.end:
                continue
            kind = _kind(segment)
            for at, by in ((segment.start, 1), (segment.end, -1)):
                change = changes.setdefault(at, [0] * _KINDS)
                change[kind] += by
    counts = [0] * _KINDS
    joined: list[TimelineSegment] = []
    for at, until in pairwise(sorted(changes)):
        for kind, by in enumerate(changes[at]):
            counts[kind] += by
        state, sure = _state(counts, k)
        if joined and (joined[-1].state, joined[-1].sure) == (state, sure):
            joined[-1] = TimelineSegment(joined[-1].start, until, state, sure)
        else:
            joined.append(TimelineSegment(at, until, state, sure))
    return joined


# places in the counts: up, degraded, down, each unproven then proven; unknown; excluded
_KINDS = 8


def _kind(segment: TimelineSegment) -> int:
    if segment.state in (UP, DEGRADED, DOWN):
        return 2 * segment.state + segment.sure
    return 6 if segment.state == UNKNOWN else 7


def _state(counts: list[int], k: int) -> tuple[int, bool]:
    up, sure_up, degraded, sure_degraded, down, sure_down, unknown, _ = counts
    present = up + sure_up + degraded + sure_degraded + down + sure_down + unknown
    if present == 0:
        return EXCLUDED, False
    k = min(k, present)
    working = up + sure_up + degraded + sure_degraded
    if working >= k:
        return (UP if up + sure_up >= k else DEGRADED), sure_up + sure_degraded >= k
    if present - down - sure_down < k:
        return DOWN, present - sure_down < k
    return UNKNOWN, False
