"""Limit costly measurements: so many runs a day, within certain hours, whatever plans, clocks and restarts do.

The allowed hours of a day, put end to end, are cut into as many equal parts as there may be runs, and each part has
one. The part in which the keeping of records began counts as used: a run before may have used it. Where a directory
is given they are kept in a file there, else they begin anew with each process; either way no number of restarts makes
more runs than the plan allows.

What happened is kept by the boot-time clock and put onto the wall clock as it is now: a wall clock that is stepped
moves the past along with the present, so a step alone makes no part unused. However often it is stepped, a day's
runs never fit into less than half a day. A wall clock that cannot be right allows nothing.
"""

import logging
import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec

from inventory.base import files
from inventory.base.clock import CLOCK_FLOOR, boottime
from inventory.protocol.reasons import Why, sentence

log = logging.getLogger("agent.ration")

DAY: Final = 86_400
HALF_DAY: Final = DAY // 2
RETENTION: Final = 2 * DAY  # seconds; no part of a day is longer than one
_RANGE: Final = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)")


class DailyHours(msgspec.Struct, frozen=True):
    """Parts of the day, as (from, to) seconds after midnight: in order, apart, none over midnight."""

    ranges: tuple[tuple[int, int], ...]

    @property
    def total(self) -> int:
        return sum(end - start for start, end in self.ranges)

    def elapsed(self, second: int) -> int:
        """Allowed seconds from midnight up to this second of the day."""
        return sum(min(second, end) - start for start, end in self.ranges if start < second)

    def within(self, second: int) -> bool:
        return any(start <= second < end for start, end in self.ranges)

    def __str__(self) -> str:
        return ", ".join(f"{_hour_minute(start)}-{_hour_minute(end)}" for start, end in self.ranges)


def parse_hours(texts: tuple[str, ...]) -> DailyHours:
    """From texts such as "17:30-06:30", which is over midnight. Raises ValueError, in words."""
    ranges = []
    for text in texts:
        matched = _RANGE.fullmatch(text)
        if not matched:
            raise ValueError(sentence("{text} is not a part of the day such as '17:30-06:30'", text=repr(text)))
        start, end = (int(matched[at]) * 3600 + int(matched[at + 1]) * 60 for at in (1, 3))
        if end > DAY:
            raise ValueError(sentence("{text} ends after 24:00", text=repr(text)))
        if start == end:
            raise ValueError(sentence("{text} is no time at all; the whole day is '00:00-24:00'", text=repr(text)))
        ranges += [(start, end)] if start < end else [(start, DAY), (0, end)]
    ordered = sorted(one_range for one_range in ranges if one_range[0] < one_range[1])
    for (_, end), (start, _) in pairwise(ordered):
        if start < end:
            raise ValueError(sentence("the parts of the day overlap at {start}", start=_hour_minute(start)))
    return DailyHours(tuple(ordered))


class _QuotaFile(msgspec.Struct):
    """The file: seconds since the Unix epoch, of its beginning and of each target's runs."""

    since: float
    runs: dict[str, list[float]]


class RunQuota:
    """Who ran when, for all targets (a shared client: ``look.client(Ration, Ration)``; it outlives plans).

    ``running``: the target of the run in progress, or "": two at a time would measure each other.
    """

    def __init__(
        self,
        boot: Callable[[], float] | None = None,
        wall: Callable[[], float] = time.time,
        local: Callable[[float], time.struct_time] = time.localtime,
    ) -> None:
        self._boot = boot or boottime
        self._wall = wall
        self._local = local
        self._records_began = self._boot()
        self._runs: dict[str, list[float]] = {}
        self._file: Path | None = None
        self.running = ""

    def load_from(self, directory: Path | None) -> None:
        """Read what was kept there and keep it there from now on. The wall clock must be right: ``clock_is_wrong``."""
        if directory is None or self._file is not None:
            return
        self._file = directory / "runs.json"
        try:
            stored = msgspec.json.decode(self._file.read_bytes(), type=_QuotaFile)
        except (OSError, msgspec.DecodeError):
            self._write()  # nothing, or nothing that can be read: the records begin with this process
            return
        now, ahead = self._boot(), self._wall() - self._boot()
        self._records_began = min(stored.since - ahead, self._records_began)
        for target, runs in stored.runs.items():
            # a run of tomorrow was made by a clock that was ahead: as good as now
            self._runs[target] = sorted([*(min(run - ahead, now) for run in runs), *self._runs.get(target, ())])

    def _write(self) -> None:
        """Should this fail, a restart costs a run at most."""
        if self._file is None:
            return
        ahead = self._wall() - self._boot()
        runs = {target: [run + ahead for run in runs] for target, runs in self._runs.items()}
        content = msgspec.json.encode(_QuotaFile(self._records_began + ahead, runs))
        try:
            files.make_directory(self._file.parent)
            files.replace(self._file, content, mode=0o600)
        except OSError as error:
            log.warning("cannot keep the record of measurements in %s: %s", self._file, error.strerror)

    @property
    def clock_is_wrong(self) -> bool:
        """The wall clock was never set: what hour it is cannot be told."""
        return self._wall() < CLOCK_FLOOR

    def why_not_due(self, target: str, per_day: int, allowed: DailyHours, at_start: bool) -> Why:
        """Why no run is due now, or "". ``at_start``: the part in which the records begin may be used once too."""
        if self.running:
            return sentence("{running} is being measured just now", running=self.running)
        wall = self._wall()
        current_part = self._day_part(wall, per_day, allowed)
        if current_part is None:
            local = self._local(wall)
            return sentence(
                "not due: it is {tm_hour}:{tm_min} here, the hours for it are {allowed}",
                tm_hour=f"{local.tm_hour:02}",
                tm_min=f"{local.tm_min:02}",
                allowed=allowed,
            )
        now, runs = self._boot(), self._runs.get(target, [])
        ahead = wall - now
        if any(self._day_part(run + ahead, per_day, allowed) == current_part for run in runs):
            return sentence("not due: this part of the day has had its run")
        if len(runs) >= per_day and now - runs[-per_day] < HALF_DAY:
            return sentence("not due: it ran {per_day} times within half a day", per_day=per_day)
        if not at_start and self._day_part(self._records_began + ahead, per_day, allowed, begun=True) == current_part:
            return sentence("not due: it may have run in this part of the day before this agent's records begin")
        return ""

    def record_run(self, target: str) -> None:
        """A run begins to cost something."""
        now = self._boot()
        self._runs[target] = [*self._runs.get(target, ()), now]
        recent = {
            other_target: [run for run in runs if now - run < RETENTION] for other_target, runs in self._runs.items()
        }
        self._runs = {other_target: runs for other_target, runs in recent.items() if runs}
        self._write()

    def _day_part(
        self, wall: float, per_day: int, allowed: DailyHours, begun: bool = False
    ) -> tuple[int, int, int] | None:
        """Which part of which day a moment lies in: (year, day of the year, part); None outside the hours.

        ``begun``: or, outside, the part that began before the moment and goes on after it.
        """
        local = self._local(wall)
        second = local.tm_hour * 3600 + local.tm_min * 60 + min(local.tm_sec, 59)
        elapsed = allowed.elapsed(second)
        part = elapsed * per_day // allowed.total
        if not allowed.within(second):
            goes_on = 0 < elapsed < allowed.total and (elapsed - 1) * per_day // allowed.total == part
            if not (begun and goes_on):
                return None
        return local.tm_year, local.tm_yday, part

    async def close(self) -> None:
        self._runs.clear()


def _hour_minute(second: int) -> str:
    return f"{second // 3600:02}:{second % 3600 // 60:02}"
