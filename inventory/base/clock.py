"""The machine's clocks.

Durations and the times of results come from the boot-time clock, which counts while the machine sleeps and which
nobody sets. The wall clock may say 1970, and it may be stepped at any moment.
"""

import hashlib
import sys
import time
from pathlib import Path
from typing import Final, Protocol

# A machine that boots without a clock says 1970, or its image's date: such a wall clock judges nobody's dates.
CLOCK_FLOOR: Final = 1_767_225_600  # 1 January 2026, seconds

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_BOOTTIME: Final = getattr(time, "CLOCK_BOOTTIME", None)  # Windows' monotonic clock (GetTickCount64) counts sleep too


class Clock(Protocol):
    """What programs ask of time. Everything that needs a clock is given one."""

    def boot_ms(self) -> int:
        """Milliseconds since the machine started, sleep included."""

    def wall_ms(self) -> int:
        """Milliseconds since the Unix epoch, as the machine believes."""

    def boot_id(self) -> bytes:
        """Eight bytes that name this boot."""


class SystemClock:
    """The machine's own clocks. ``note`` says where they are less than promised, or is empty."""

    def __init__(self, boot_id_file: Path = BOOT_ID) -> None:
        self.note = ""
        if _BOOTTIME is None and sys.platform != "win32":
            self.note = "this system has no boot-time clock: time asleep is not counted"
        try:
            boot_name = boot_id_file.read_bytes().strip()
        except OSError:
            # the moment of boot, to ten seconds, is as good a name as this system gives
            boot_name = str((self.wall_ms() - self.boot_ms()) // 10_000).encode()
        self._boot_id = hashlib.sha256(boot_name).digest()[:8]

    def boot_ms(self) -> int:
        nanoseconds = time.monotonic_ns() if _BOOTTIME is None else time.clock_gettime_ns(_BOOTTIME)
        return nanoseconds // 1_000_000

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def boot_id(self) -> bytes:
        return self._boot_id


def boottime() -> float:
    """Seconds since the machine started, the time it slept included: devices count on while it sleeps."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
