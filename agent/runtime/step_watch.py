"""Notices steps of the wall clock, which go into the spool as records."""

from typing import Final

from inventory.base.clock import Clock
from inventory.protocol.wire import Record

STEP_MS: Final = 1_000  # a wall clock that moves this much against the boot clock was set, not disciplined


class StepWatch:
    """Notices when somebody sets the wall clock: wall minus boot time jumps by more than a second."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset = clock.wall_ms() - clock.boot_ms()

    def check(self) -> Record | None:
        """The record of a step since the last look, or None. Slow drift is followed, not reported."""
        boot, wall = self._clock.boot_ms(), self._clock.wall_ms()
        offset = wall - boot
        step = offset - self._offset
        self._offset = offset
        if abs(step) <= STEP_MS:
            return None
        return Record(boot, "clock", {"wall_ms": wall, "step_ms": step})
