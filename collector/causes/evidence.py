"""The evidence that cause verdicts are made from, and what it proves at which moments.

A span proves its state between its first and its last look, less what these may be off in time. Between spans that meet
and are both up or degraded it was not down either.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from collector.ledger.counted import FOREVER, Interval
from collector.ledger.state_step import Span
from inventory.protocol.states import DEGRADED, UNKNOWN, UP


class AgentStart(msgspec.Struct, frozen=True):
    """A start of an agent's process. Times are ms of the collector's time, as placed."""

    at: int
    booted: int  # when its machine booted
    clean: bool | None = None  # whether the run before had ended by a clean stop; None: there was none
    error: int = 0  # how far off they may be placed


class AgentLife(msgspec.Struct, frozen=True):
    """When an agent ran."""

    starts: tuple[AgentStart, ...] = ()  # in order
    stops: tuple[int, ...] = ()  # clean ones, in order
    # No evidence from before this is still to come: the newest look that was placed, less the longest timeout (a look
    # is recorded when it ends); of an agent that has ended its life, FOREVER.
    heard: int = FOREVER


def agent_life(events: Iterable[tuple[int, str, Mapping[str, Any]]], heard: int = FOREVER) -> AgentLife:
    """From the store's events (at, kind, data) of one agent, in any order."""
    starts, stops = [], []
    for at, kind, data in events:
        if kind == "agent stop":
            stops.append(at)
        elif kind == "agent start":
            clean = data.get("clean")
            boot_ms = data.get("boot_ms")
            since_boot = boot_ms if isinstance(boot_ms, int) else 0
            starts.append(AgentStart(at, at - since_boot, clean if isinstance(clean, bool) else None))
    return AgentLife(tuple(sorted(starts, key=lambda start: start.at)), tuple(sorted(stops)), heard)


class CauseEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What causes are told from, up to ``now``."""

    # A check's history up to ``now`` in order (ledger.figures.history), at least the whole stretches not up that touch
    # the window, and of the checks related to it all that touches these stretches; more changes nothing.
    spans: Callable[[str], Sequence[Span]]
    life: Callable[[str], AgentLife]  # of an agent
    now: int
    collector: tuple[Interval, ...] = ()  # when the collector ran, in order; () if that is not known
    ended: Callable[[str], int | None] = lambda uid: None  # when a check's life ended, ms; None while it goes on

    def collector_off(self, start: int, end: int) -> Interval | None:
        """The longest time within [start, end] in which the collector was off."""
        if not self.collector:
            return None
        edges = [start, *(at for life in self.collector for at in life if start < at < end), end]
        off = [
            (a, b)
            for a, b in pairwise(edges)
            if a < b and not any(begun <= a and b <= ended for begun, ended in self.collector)
        ]
        return max(off, key=lambda one: one[1] - one[0], default=None)


class Proofs:
    """Of one check: what its state was proven to be, and when. Made from its spans once.

    ``exact``: as its agent placed it. What one agent saw together was together, whatever its clock; only what is told
    to another's looks has to allow for the error.
    """

    __slots__ = ("_ends", "_errors", "_looked", "_onsets", "_starts", "_states")

    def __init__(self, spans: Sequence[Span], *, exact: bool = False) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._states: list[int] = []
        self._onsets: list[int] = []
        evidenced = [span for span in spans if span.state != UNKNOWN]
        self._looked = [(span.sure_from, span.sure_to) for span in evidenced]
        self._errors = [max(span.error_from, span.error_to) for span in evidenced]
        previous: Span | None = None
        for span in spans:
            if span.state == UNKNOWN:
                previous = None
                continue
            error_from, error_to = (0, 0) if exact else (span.error_from, span.error_to)
            start, end = span.sure_from + error_from, span.sure_to - error_to
            working = span.state in (UP, DEGRADED)
            if previous is not None and working and previous.state in (UP, DEGRADED) and previous.end == span.start:
                gap_from = previous.sure_to - (0 if exact else previous.error_to)
                if gap_from + 1 < start:  # between the two it worked: out of its thresholds or not, nobody knows
                    self._add(gap_from + 1, start - 1, UP, gap_from)
            if start <= end:
                self._add(start, end, span.state, span.sure_from)
            previous = span

    def _add(self, start: int, end: int, state: int, onset: int) -> None:
        self._starts.append(start)
        self._ends.append(end)
        self._states.append(state)
        self._onsets.append(onset)

    def _at(self, low: int, high: int) -> tuple[int | None, int]:
        """The state proven all through [low, high], and its onset."""
        i = bisect_right(self._starts, low) - 1
        if i < 0:
            return None, 0
        if self._ends[i] >= high:
            return self._states[i], self._onsets[i]
        # proofs of up and degraded may follow each other without a gap
        state, onset, end = self._states[i], self._onsets[i], self._ends[i]
        if end < low or state not in (UP, DEGRADED):
            return None, 0
        while end < high:
            i += 1
            if i == len(self._starts) or self._starts[i] > end + 1 or self._states[i] not in (UP, DEGRADED):
                return None, 0
            state, end = UP, self._ends[i]
        return state, onset

    def state(self, low: int, high: int) -> int | None:
        return self._at(low, high)[0]

    def onset(self, low: int, high: int) -> int:
        return self._at(low, high)[1]

    def proves(self, state: int, start: int, end: int) -> bool:
        """Whether this state is proven at some time within [start, end]."""
        first = bisect_left(self._ends, start)
        last = bisect_right(self._starts, end)
        return state in self._states[first:last]

    def edges(self, start: int, end: int) -> list[int]:
        """Moments inside (start, end) at which what is proven changes."""
        return [
            at
            for times in (self._starts, self._ends)  # proofs do not overlap: both are in order
            for at in times[bisect_right(times, start) : bisect_left(times, end)]
        ]

    def worked_within(self, start: int, end: int) -> bool:
        """Whether it is proven to have worked at some moment in [start, end]."""
        return (at := self.works_from(start)) is not None and at <= end

    def works_from(self, start: int) -> int | None:
        """The first moment from ``start`` on at which it is proven to work."""
        for i in range(bisect_left(self._ends, start), len(self._starts)):
            if self._states[i] in (UP, DEGRADED):
                return max(self._starts[i], start)
        return None

    def error_at(self, at: int) -> int:
        """How far off the look at this moment may be placed, ms; 0 where there is none."""
        i = bisect_right(self._looked, (at, FOREVER)) - 1
        return self._errors[i] if i >= 0 and self._looked[i][1] >= at else 0

    def look_times(self) -> list[Interval]:
        """When somebody looked, whatever was seen; as placed, for that somebody did is sure whatever the error."""
        return self._looked
