"""Ticks: when a check runs next. Pure: times are boot-time ms, nothing here waits.

Steady, a check keeps to its grid: every boot time that is ``phase`` modulo ``interval``. The phase comes from the
check's uid, so checks are spread, and a restart of the agent does not move them.
After a change of state it is looked at again after ``recheck``, then 1.5 times as long, and so on until the delay
reaches the interval. While it is down the delay stays within 2 x recheck: the end of an outage lies then in a gap
that is at most that (or one look that ran into its timeout), so its midpoint is off by at most recheck + timeout.
"""

from typing import Final

from inventory.protocol.plan import PlannedCheck
from inventory.protocol.states import DOWN

BACK_OFF: Final = 1.5
FIRST_WITHIN: Final = 15_000  # a new check is not kept waiting for its grid, which may be an hour away
PAUSE: Final = 1_000  # between the end of a look and a re-check


class Ticks:
    """The ticks of one check. ``due`` is the boot time of the next one."""

    def __init__(self, check: PlannedCheck, now: int) -> None:
        self._set_times(check)
        self.due = now + int(check.uid, 16) % min(self._interval, FIRST_WITHIN)
        self._delay: int | None = None  # None: on the grid

    def _set_times(self, check: PlannedCheck) -> None:
        self._interval = max(check.interval, 1_000)
        self._recheck = min(max(check.recheck, 1_000), self._interval)
        self._phase = int(check.uid, 16) % self._interval

    @property
    def rechecking(self) -> bool:
        """Whether it is looked at more often than its interval, after a change or while down."""
        return self._delay is not None

    def reschedule(self, check: PlannedCheck, now: int) -> None:
        """The plan gives this check other times: the next look comes by the sooner of the old and the new ones."""
        self._set_times(check)
        if self._delay is not None:
            self._delay = min(self._delay, self._interval)
        self.due = min(self.due, self._grid_after(now))

    def record(self, state: int, changed: bool, started: int, ended: int) -> None:
        """Set ``due`` after a look. Ticks that passed meanwhile, in a long look or a sleep, are skipped."""
        if changed:
            self._delay = self._recheck
        elif self._delay is not None:
            self._delay = int(self._delay * BACK_OFF)
        if state == DOWN:
            bound = min(2 * self._recheck, self._interval)
            self._delay = bound if self._delay is None else min(self._delay, bound)
        elif self._delay is not None and self._delay >= self._interval:
            self._delay = None
        if self._delay is None:
            # not right after a look that came off the grid
            self.due = self._grid_after(max(ended, started + self._interval // 2))
        else:
            self.due = max(started + self._delay, ended + min(self._recheck, PAUSE))

    def _grid_after(self, moment: int) -> int:
        return moment + self._interval - (moment - self._phase) % self._interval
