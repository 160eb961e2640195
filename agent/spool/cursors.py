"""Cursors: how far each collector has got, and the chain of epochs, in one small file.

Its loss costs a question: the collector's answer says where it is. So it is written now and then, replaced whole,
never synced; a CRC tells a torn one from a good one.
"""

from pathlib import Path
from zlib import crc32

import msgspec

from agent.spool.log import LogMark
from inventory.base import files
from inventory.protocol.wire import Batch, Position

MAX_HISTORY = 500  # epochs, one for each start of the agent
MAX_DECLARED = 500


class SavedCursors(msgspec.Struct):
    """``history``: (epoch, last seq) in order. ``declared``: (epoch, first, last) of losses already reported."""

    cursors: dict[str, Position] = {}
    history: list[tuple[int, int]] = []
    declared: list[tuple[int, int, int]] = []
    version: int = 1


class SpoolReader:
    """One collector's place.

    ``cursor``: all up to it is done with. ``previous``: where the collector says it stands, when that is not the
    cursor, and ``breach`` why. ``skipped``: frames up to this one are given up, and said to be missing.
    ``sent``: the furthest position cut since the start. ``flight``: the batch cut last, unless it is acknowledged,
    with ``limits`` it was cut by and ``landing``, where reading goes on after it. ``ends``: of every batch cut since
    the collector last said where it is: one may have arrived although no answer did. ``mark``: where to read on.
    """

    def __init__(self, cursor: Position | None) -> None:
        self.cursor = cursor
        self.previous: Position | None = None
        self.breach = ""
        self.skipped: Position | None = None
        self.sent: Position | None = None
        self.in_flight: Batch | None = None
        self.ends: set[Position] = set()
        self.limits = (0, 0)
        self.mark_after: LogMark | None = None
        self.mark: LogMark | None = None

    def acknowledge(self) -> None:
        """What is in flight has arrived."""
        flight, mark = self.in_flight, self.mark_after
        if flight:
            self.move(Position(flight.epoch, flight.last))
            self.mark = mark

    def move(self, cursor: Position | None, breach: str = "", previous: Position | None = None) -> None:
        self.cursor = cursor
        self.breach = breach
        self.previous = previous
        self.in_flight = None
        self.mark = None
        self.ends = set()
        if self.skipped and cursor and (self.skipped.epoch != cursor.epoch or self.skipped.seq <= cursor.seq):
            self.skipped = None


def load(path: Path) -> SavedCursors:
    """What was saved; nothing when the file is not there or not whole."""
    try:
        data = files.read(path)
        if int.from_bytes(data[:4], "little") == crc32(data[4:]):
            return msgspec.msgpack.decode(data[4:], type=SavedCursors)
    except (OSError, msgspec.DecodeError):
        pass
    return SavedCursors()


def save(path: Path, saved: SavedCursors) -> None:
    """Raises OSError when the disk is full; the file is then as it was."""
    data = msgspec.msgpack.encode(saved)
    # not durable: what a power cut takes costs pushes of what the collector has, no result
    files.replace(path, crc32(data).to_bytes(4, "little") + data, mode=0o600, durable=False)
