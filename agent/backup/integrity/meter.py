"""Meter a read: bytes per second, bytes and seconds per grant; and keep its position for a restart."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from inventory.protocol.reasons import sentence

PIECE: Final = 256 * 1024  # bytes read at once
REPORT_EVERY: Final = 1.0  # seconds between lines of progress
MARK_EVERY: Final = 10.0  # seconds between marks
MARK_BYTES: Final = 64 << 20  # bytes between marks
BOMB_FROM: Final = 1 << 30  # bytes; what unfolds to less harms nobody

State = Mapping[str, Any]


class BrokenCopy(Exception):
    """The copy is damaged; the text says how."""


class BrokenStructure(BrokenCopy):
    """The container does not fit together by our reading; a program that is used to restore may see it otherwise."""


class CannotVerify(Exception):
    """Nothing here can tell; the text says why."""


class SuspectCopy(Exception):
    """It reads, but not like a backup; the text says why."""


class ReadStopped(Exception):
    """The read is to end now and to go on another time."""


class Meter:
    """Counts and bounds one read.

    ``more(done)`` is called when the grant is used up: it waits for the next one, (bytes, seconds), or raises Stopped.
    ``tell(done)`` is called now and then. ``save(state)`` keeps a mark.
    """

    def __init__(
        self,
        *,
        rate: int = 0,
        most_unpacked: int = 0,
        grant: tuple[int, float] = (0, 0.0),
        next_grant: Callable[[int], tuple[int, float]] | None = None,
        report: Callable[[int], None] = lambda done: None,
        save: Callable[[State], None] = lambda state: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.done = 0  # bytes read, in this life
        self.unpacked = 0
        self._rate = rate
        self._most_unpacked = most_unpacked
        self._next_grant = next_grant
        self._report = report
        self._save = save
        self._clock = clock
        self._sleep = sleep
        self._next_free = self._reported_at = self._mark_time = self._grant_started = clock()
        self._granted, self._seconds = grant
        self._used = 0
        self._mark_bytes = 0  # bytes

    def consume(self, count: int) -> None:
        """Before ``count`` bytes are read: wait for their turn. Raises Stopped."""
        now = self._clock()
        used_up = (self._granted and self._used + count > self._granted and self._used > 0) or (
            self._seconds and now - self._grant_started >= self._seconds
        )
        if used_up and self._next_grant is not None:
            self._granted, self._seconds = self._next_grant(self.done)
            self._used = 0
            now = self._grant_started = self._next_free = self._clock()
        if self._rate:
            if self._next_free > now:
                self._sleep(self._next_free - now)
                now = self._clock()
            self._next_free = max(self._next_free, now - 1.0) + count / self._rate
        self._used += count
        self.done += count
        if now - self._reported_at >= REPORT_EVERY:
            self._reported_at = now
            self._report(self.done)

    def count_unpacked(self, count: int, size: int) -> None:
        """``count`` more bytes came out of a file of ``size``. Raises Suspect for a bomb."""
        self.unpacked += count
        if self._most_unpacked and self.unpacked > max(BOMB_FROM, self._most_unpacked * size):
            raise SuspectCopy(
                sentence(
                    "it unfolds to more than {most_unpacked} times its size, as a bomb does; it was not read on",
                    most_unpacked=self._most_unpacked,
                )
            )

    @property
    def mark_due(self) -> bool:
        """Time, or bytes, enough since the last mark; several times within a grant, since the next may never come."""
        bytes_each = min(MARK_BYTES, self._granted // 4 or MARK_BYTES)
        return self.done - self._mark_bytes >= bytes_each or self._clock() - self._mark_time >= MARK_EVERY

    def save_mark(self, state: State) -> None:
        """Keep from where to go on."""
        self._mark_time, self._mark_bytes = self._clock(), self.done
        self._save(state)


class MeteredFile:
    """A file, read in order, on a meter."""

    def __init__(self, descriptor: int, meter: Meter, offset: int = 0) -> None:
        self.descriptor = descriptor
        self.meter = meter
        self.size = os.fstat(descriptor).st_size
        self.offset = offset

    def read(self, most: int = PIECE) -> bytes:
        """The next bytes; b"" at the end."""
        most = min(most, max(self.size - self.offset, 0))
        if most == 0:
            return b""
        self.meter.consume(most)
        piece = os.pread(self.descriptor, most, self.offset)
        self.offset += len(piece)
        return piece

    def read_at(self, offset: int, count: int) -> bytes:
        """Exactly ``count`` bytes from somewhere. Raises Broken when the file ends before."""
        self.meter.consume(count)
        piece = os.pread(self.descriptor, count, offset)
        if len(piece) != count:
            raise BrokenCopy(sentence("the file ends too early"))
        return piece

    def count_unpacked(self, count: int) -> None:
        self.meter.count_unpacked(count, self.size)
