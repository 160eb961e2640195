"""Timestamps that outlive a boot, and how long ago they were.

A moment is kept by both clocks. Within the boot the boot clock tells how long ago it was, whatever has been done to
the wall clock since. Across a boot only the wall clock can tell, and only if it is plausible: a moment of an earlier
boot was before this one began.
"""

from datetime import datetime, tzinfo
from typing import Final

import msgspec

from inventory.base.clock import Clock

FLOOR_MS: Final = 1_767_225_600_000  # 1 January 2026: a wall clock before it was never set
SLACK_MS: Final = 60_000  # by which the wall clock may be disciplined, and its boot be off


class Stamp(msgspec.Struct, frozen=True, array_like=True):
    """One moment: the boot's id in hex, ms since that boot, ms since the Unix epoch as the machine believed."""

    boot: str
    boot_ms: int
    wall_ms: int


class WallTime(msgspec.Struct, frozen=True):
    """A stamp on the wall clock as it is now. Not ``sure``: it was then or earlier, no later."""

    at_ms: int
    sure: bool = True

    @property
    def at(self) -> float:
        return self.at_ms / 1000


def stamp(clock: Clock) -> Stamp:
    """Now."""
    return Stamp(clock.boot_id().hex(), clock.boot_ms(), clock.wall_ms())


def to_wall_time(now: Stamp, then: Stamp) -> WallTime:
    """Where ``then`` lies on the wall clock as it is ``now``."""
    if then.boot == now.boot:
        return WallTime(now.wall_ms - (now.boot_ms - then.boot_ms))
    began = now.wall_ms - now.boot_ms
    if FLOOR_MS <= then.wall_ms <= began + SLACK_MS:
        return WallTime(min(then.wall_ms, began))
    return WallTime(began, sure=False)


def seconds_between(earlier: Stamp, later: Stamp) -> float | None:
    """Seconds from one stamp to the other; None when the clocks do not tell."""
    if earlier.boot == later.boot:
        ms = later.boot_ms - earlier.boot_ms
    elif earlier.wall_ms < FLOOR_MS or later.wall_ms < FLOOR_MS:
        return None
    else:
        ms = later.wall_ms - earlier.wall_ms
    return ms / 1000 if ms >= 0 else None


def restamp(then: Stamp, now: Stamp) -> Stamp:
    """The same moment by the wall clock as it is now, if it was set since in the same boot."""
    return Stamp(then.boot, then.boot_ms, to_wall_time(now, then).at_ms) if then.boot == now.boot else then


def comes_before(left: Stamp, right: Stamp) -> bool:
    if left.boot == right.boot:
        return left.boot_ms < right.boot_ms
    return left.wall_ms < right.wall_ms


def time_text(at: float, zone: tzinfo | None) -> str:
    """A moment for a sentence, with its zone: 2026-11-22 23:12 +07."""
    local = datetime.fromtimestamp(at, zone) if zone is not None else datetime.fromtimestamp(at).astimezone()
    offset = local.strftime("%z")
    return f"{local:%Y-%m-%d %H:%M} {offset[:3] if offset.endswith('00') else offset}"
