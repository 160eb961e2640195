"""The agent's reading of its clocks for a push, and the watch for a wall clock that was set."""

from typing import Final

from inventory.base.clock import Clock
from inventory.protocol.wire import Reading, Record

STEP_MS: Final = 1_000  # a wall clock that moves this much against the boot clock was set, not disciplined


def reading(clock: Clock) -> Reading:
    """All clocks at one moment, for a push."""
    return Reading(clock.boot_id(), clock.boot_ms(), clock.wall_ms())


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
