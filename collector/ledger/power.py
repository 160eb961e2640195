"""The power timeline of a site as a whole, from the ledgers of the UPSs that feed it.

A feed is a set of UPSs of which each can carry what hangs on it: it has what the best of them has. A place is as well
off as its worst feed: on mains while every feed is, without power while any feed is, on battery in between. What the
evidence does not decide is unknown: a UPS that was not heard may have been on mains, or off.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

import msgspec

from collector.ledger.combine import ALL, combine
from collector.ledger.timeline import EXCLUDED, TimelineSegment
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

Timeline = Sequence[TimelineSegment]  # of a check of kind power: UP mains, DEGRADED battery, DOWN none

_POWERED: Final = {DEGRADED: UP}
_ON_MAINS: Final = {DEGRADED: DOWN}


def site_timeline(feeds: Sequence[Sequence[Timeline]]) -> list[TimelineSegment]:
    """The timeline of a place whose feeds have these UPSs: the states mean what they mean for one UPS.

    A UPS outside its life counts for nothing; where no UPS of any feed is, it says excluded.
    """
    powered, mains = _combined(feeds, _POWERED), _combined(feeds, _ON_MAINS)
    cuts = sorted({at for segment in (*powered, *mains) for at in (segment.start, segment.end)})
    rows = zip(pairwise(cuts), _at(powered, cuts), _at(mains, cuts), strict=True)
    return [TimelineSegment(*between, _state(has, on)) for between, has, on in rows]


def durations_by_source(segments: Iterable[TimelineSegment]) -> list[int]:
    """ms on mains, on battery, without power, unknown."""
    totals = [0, 0, 0, 0]
    for segment in segments:
        if segment.state != EXCLUDED:
            totals[segment.state] += segment.end - segment.start
    return totals


def _combined(feeds: Sequence[Sequence[Timeline]], meaning: Mapping[int, int]) -> list[TimelineSegment]:
    """Every feed up at once, any of its UPSs being enough, with battery taken as ``meaning`` says."""
    return combine((combine(([_with_meaning(s, meaning) for s in ups] for ups in feed), 1) for feed in feeds), ALL)


def _with_meaning(segment: TimelineSegment, meaning: Mapping[int, int]) -> TimelineSegment:
    return msgspec.structs.replace(segment, state=meaning.get(segment.state, segment.state))


def _at(segments: Sequence[TimelineSegment], cuts: Sequence[int]) -> list[int]:
    """The state in each stretch between two cuts."""
    states, i = [], 0
    for cut in cuts[:-1]:
        while segments[i].end <= cut:
            i += 1
        states.append(segments[i].state)
    return states


def _state(powered: int, mains: int) -> int:
    if EXCLUDED in (powered, mains):
        return EXCLUDED
    if powered == DOWN or mains == UP:
        return DOWN if powered == DOWN else UP
    return DEGRADED if (powered, mains) == (UP, DOWN) else UNKNOWN
