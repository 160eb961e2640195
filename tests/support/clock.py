"""A machine's clocks that stand still until a test moves them."""

from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3_600, 86_400  # seconds
BEGIN = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)  # a Sunday


class FakeClock:
    """Fits wherever a clock of the agent or of the collector does; its methods fit where only a function is wanted.

    ``wall`` and ``boot`` are milliseconds: since 1970, and since the machine's start. ``boot_id``: its name for that.
    """

    def __init__(
        self, wall: int = int(BEGIN.timestamp()) * 1000, boot: int = 1_000_000, boot_id: bytes = b"bootboot"
    ) -> None:
        self._wall_ms, self._boot_ms, self._boot_id = wall, boot, boot_id
        self._seconds = boot / 1000
        self._boots = 0

    def wall_ms(self) -> int:
        return self._wall_ms

    def boot_ms(self) -> int:
        return self._boot_ms

    def boot_id(self) -> bytes:
        return self._boot_id

    def seconds(self) -> float:
        """The boot-time clock as time.monotonic counts, not rounded."""
        return self._seconds

    def wall_seconds(self) -> float:
        return self._wall_ms / 1000

    def advance(self, ms: int = 0, *, seconds: float = 0) -> None:
        """Time passes."""
        passed = ms + round(seconds * 1000)
        self._boot_ms += passed
        self._wall_ms += passed
        self._seconds += ms / 1000 + seconds

    def step_wall(self, ms: int = 0, *, seconds: float = 0) -> None:
        """Somebody moves the wall clock."""
        self._wall_ms += ms + round(seconds * 1000)

    def set_wall(self, ms: int) -> None:
        self._wall_ms = ms

    def reboot(self, off: float = 60, up: float = 30) -> None:
        """Off for so many seconds, then up for so many."""
        self._wall_ms += round((off + up) * 1000)
        self._boot_ms, self._seconds = round(up * 1000), up
        self._boots += 1
        self._boot_id = b"boot%04d" % self._boots
