"""Clocks that go on when a test tells them to."""

from datetime import UTC, datetime

MINUTE, HOUR, DAY = 60, 3_600, 86_400
BEGIN = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)  # a Sunday


class HandClock:
    """In its first boot for 1000 s, at BEGIN."""

    def __init__(self) -> None:
        self.wall = int(BEGIN.timestamp()) * 1000
        self.boot = 1_000_000
        self.name = b"boot-one"

    def boot_ms(self) -> int:
        return self.boot

    def wall_ms(self) -> int:
        return self.wall

    def boot_id(self) -> bytes:
        return self.name

    def on(self, seconds: float) -> None:
        """Time passes."""
        self.boot += round(seconds * 1000)
        self.wall += round(seconds * 1000)

    def set(self, seconds: float) -> None:
        """Somebody moves the wall clock."""
        self.wall += round(seconds * 1000)

    def reboot(self, off: float = 60) -> None:
        """Off for so many seconds, then up for 30."""
        self.wall += round((off + 30) * 1000)
        self.boot = 30_000
        self.name = b"boot-two" if self.name == b"boot-one" else b"boot-333"
