"""Whether the collector's own wall clock is to be believed.

The wall clock is believed as long as it runs with the boot-time clock, is not before what was recorded last, and not
before this program was built. While it is not, batches are stored and acknowledged, and placed in time later.
"""

import time
from typing import Final

import msgspec

from inventory.base.clock import Clock

EARLIEST_WALL: Final = 1_793_491_200_000  # 1 Nov 2026: no clock of a running collector shows less
STEP_TOLERANCE: Final = 1_000  # ms between two looks that are a step; time daemons slew less
TRUST_AGAIN_AFTER: Final = 600_000  # ms for which a stepped clock has to run straight to be believed again
BACKWARD_TOLERANCE: Final = 2_000  # ms that the wall clock may be before the last recorded time


class ClockStep(msgspec.Struct, frozen=True):
    """A step of the clock that is now believed."""

    ms: int | None  # by how much; None: from a time that never was believed


class ClockTrust:
    """Whether the wall clock is believed. Ask :meth:`recheck` before every use; it is cheap."""

    def __init__(self, clock: Clock, recorded: int = 0, offset: int | None = None) -> None:
        self._clock = clock
        self._candidate = 0  # ms of the wall clock less the boot-time clock, as it may come to be believed
        self._since = 0  # boot ms since when it has run straight
        self.why = "not looked at yet"  # why it is not believed, in words; "" when it is
        self.accepted_steps: list[ClockStep] = []
        self.restore(recorded, offset)

    def restore(self, recorded: int, offset: int | None) -> None:
        """What an earlier run left in the store: the last wall time that was believed, and the wall clock less the
        boot-time clock, if that was in this boot of the machine."""
        self._floor = max(EARLIEST_WALL, recorded - BACKWARD_TOLERANCE)
        self._offset = offset

    @property
    def trusted(self) -> bool:
        return not self.why

    def recheck(self) -> bool:
        boot, wall = self._clock.boot_ms(), self._clock.wall_ms()
        offset = wall - boot
        if self._offset is not None and abs(offset - self._offset) <= STEP_TOLERANCE:
            self._offset = offset  # slewing is what time daemons do
            self.why = ""
            return True
        if self.trusted or abs(offset - self._candidate) > STEP_TOLERANCE:
            self._since = boot
        self._candidate = offset
        if wall < self._floor:
            self.why = f"the clock shows {_when(wall)}, before {_when(self._floor)}, a time already past"
        elif self._offset is None:
            self._offset, self.why = offset, ""
        elif boot - self._since >= TRUST_AGAIN_AFTER:
            self.accepted_steps.append(ClockStep(offset - self._offset))
            self._offset, self.why = offset, ""
        else:
            self.why = f"the clock was stepped by {(offset - self._offset) / 1000:+.0f} s"
        return self.trusted

    def now_ms(self) -> int | None:
        """The time as it was last believed, carried on by the boot-time clock; None if it never was believed."""
        return None if self._offset is None else self._clock.boot_ms() + self._offset

    def record(self, wall: int) -> None:
        """A believed time that is now in the store: the clock may not go behind it."""
        self._floor = max(self._floor, wall - BACKWARD_TOLERANCE)


def _when(ms: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(ms / 1000))
    except (OverflowError, ValueError, OSError):
        return f"{ms} ms"
