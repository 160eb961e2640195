"""The timeline of a check, moment by moment: the ledger as pages show it and as goals combine it.

A timeline covers the whole window without a gap: where no evidence is, it says unknown, where time does not count,
excluded. A figure made from a timeline is the figure made from the spans.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from collector.ledger.counted import Counted, Interval
from collector.ledger.figures import Figure, proven
from collector.ledger.state_step import Span
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

EXCLUDED: Final = 4  # not a state that a look can have: it never leaves the collector's reading side


class TimelineSegment(msgspec.Struct, array_like=True, frozen=True):
    """[start, end) in ``state`` (states, or EXCLUDED). ``sure``: proven, as far as up (or degraded) or down goes."""

    start: int
    end: int
    state: int
    sure: bool = False


def timeline(spans: Sequence[Span], counted: Counted) -> list[TimelineSegment]:
    """The window that ``counted`` was made for, clipped to now and life, in segments that touch and differ."""
    sure = _clipped(((a, b, True) for _, a, b in proven(spans)), counted)
    best = _clipped(((span.start, span.end, span.state) for span in spans), counted)
    holes = ((a, b, True) for a, b in counted.holes)
    cuts = _cuts(counted, best, sure, counted.holes)
    states = _at(cuts, best, UNKNOWN)
    proofs = _at(cuts, sure, False)
    excluded = _at(cuts, list(holes), False)
    segments: list[TimelineSegment] = []
    rows = zip(cuts, cuts[1:], states, proofs, excluded, strict=False)
    for start, end, state, proof, out in rows:
        kind = (EXCLUDED, False) if out else (state, bool(proof) and state != UNKNOWN)
        if segments and (segments[-1].state, segments[-1].sure) == kind:
            segments[-1] = TimelineSegment(segments[-1].start, end, *kind)
        else:
            segments.append(TimelineSegment(start, end, *kind))
    return segments


def _clipped(pieces: Iterable[tuple[int, int, int]], counted: Counted) -> list[tuple[int, int, int]]:
    clipped = ((max(a, counted.start), min(b, counted.end), what) for a, b, what in pieces)
    return [(a, b, what) for a, b, what in clipped if a < b]


def _cuts(
    counted: Counted, best: list[tuple[int, int, int]], sure: list[tuple[int, int, int]], holes: list[Interval]
) -> list[int]:
    """Every moment at which something may change, both ends of the window included; [] for an empty window."""
    if counted.start >= counted.end:
        return []
    pieces: Iterator[tuple[int, ...]] = iter((*best, *sure, *holes))
    return sorted({counted.start, counted.end, *(at for piece in pieces for at in piece[:2])})


def _at(cuts: list[int], pieces: list[tuple[int, int, int]], otherwise: int) -> list[int]:
    """What each stretch between two cuts is, from pieces in order that do not overlap and end at cuts."""
    values, i = [], 0
    for cut in cuts:
        while i < len(pieces) and pieces[i][1] <= cut:
            i += 1
        values.append(pieces[i][2] if i < len(pieces) and pieces[i][0] <= cut else otherwise)
    return values


def measure(segments: Iterable[TimelineSegment]) -> Figure:
    """The figure of a timeline."""
    by_state, sure_up, sure_down = [0, 0, 0, 0, 0], 0, 0
    for segment in segments:
        length = segment.end - segment.start
        by_state[segment.state] += length
        if segment.sure and segment.state in (UP, DEGRADED):
            sure_up += length
        elif segment.sure and segment.state == DOWN:
            sure_down += length
    up, degraded, down, unknown, excluded = by_state
    return Figure(sum(by_state[:EXCLUDED]), up, degraded, down, unknown, excluded, sure_up, sure_down)
