"""The next batch for each collector: its cursor, the batch in flight, and chains that do not match."""

from collections.abc import Sequence

from agent.spool.cursors import SpoolReader
from agent.spool.cut import make_batch
from agent.spool.frames import FOLD, RESULT, SpoolFrame, rows_of, size_of
from agent.spool.log import SegmentLog
from inventory.protocol.wire import Batch, Position

MAX_BATCH_ROWS = 1_500  # runs and records, unless one fold has more: what any collector takes of any agent


class Delivery:
    """The readers of one log, by collector."""

    def __init__(self, log: SegmentLog, saved: dict[str, Position]) -> None:
        self.readers: dict[str, SpoolReader] = {}
        self._log = log
        self._saved = saved

    def serve(self, collectors: Sequence[str]) -> None:
        for name in collectors:
            if name not in self.readers:
                self.readers[name] = SpoolReader(self._saved.get(name))
        for name in set(self.readers) - set(collectors):
            del self.readers[name]

    def next_batch(self, collector: str, max_results: int, max_bytes: int) -> Batch | None:
        reader = self.readers[collector]
        if reader.in_flight and reader.limits == (max_results, max_bytes):
            return reader.in_flight
        head: SpoolFrame | None = None
        frames: list[SpoolFrame] = []
        last, landing, size, rows = 0, reader.mark, 0, 0
        for frame, mark in self._log.after(reader.cursor, reader.mark):
            head = head or frame
            if frame.context != head.context:
                break
            if not _is_skipped(reader, frame):
                size += size_of(frame)
                rows += rows_of(frame)
                full = len(frames) >= max_results or size > max_bytes or rows > MAX_BATCH_ROWS
                # a batch's runs are older than its results
                if frames and (full or (frame.kind == FOLD and any(each.kind == RESULT for each in frames))):
                    break
                frames.append(frame)
            last, landing = frame.last, mark
        if head is None:
            return None
        previous, first, breach = self._continues(reader, head)
        reader.in_flight = make_batch(head.context, frames, previous=previous, first=first, last=last, breach=breach)
        reader.limits, reader.mark_after = (max_results, max_bytes), landing
        end = Position(head.context.epoch, last)
        reader.ends.add(end)
        reader.sent = max(reader.sent, end, key=self._log.chain.key)
        return reader.in_flight

    def _continues(self, reader: SpoolReader, head: SpoolFrame) -> tuple[Position | None, int, str]:
        """(previous, first seq, breach) of the batch that begins with this frame."""
        cursor, epoch, chain = reader.cursor, head.context.epoch, self._log.chain
        if reader.breach:
            return reader.previous, head.seq, reader.breach
        if cursor is None:
            return (None, 1, "") if head.context.after is None else (None, head.seq, "lost")
        if cursor.epoch == epoch:
            return cursor, cursor.seq + 1, ""
        if chain.next(cursor.epoch) == epoch and cursor.seq >= chain.last(cursor.epoch):
            return cursor, 1, ""
        return cursor, head.seq, "lost"

    def acknowledge(self, collector: str, watermark: Position) -> bool:
        """True when this is the end of the batch in flight."""
        reader = self.readers[collector]
        if reader.in_flight is None or watermark != Position(reader.in_flight.epoch, reader.in_flight.last):
            return False
        reader.acknowledge()
        return True

    def reposition(self, collector: str, watermark: Position | None, current: int) -> tuple[int, int] | None:
        """Move to where the collector is. ``current``: the epoch being written.

        (first, last) when the watermark lies where only someone else can have written under the current epoch: the
        seqs that are not ours to deliver any more (the last one may not have been written here).
        """
        reader = self.readers[collector]
        if watermark == (reader.previous if reader.breach else reader.cursor):
            return None
        if watermark is None:
            reader.move(None)
            return None
        key = self._log.chain.key
        cursor, last = reader.cursor, self._log.chain.last(watermark.epoch)
        mine = watermark.epoch == current
        if not last and not mine:  # an epoch that this disk never had
            reader.move(cursor, "rolled back", watermark)
            return None
        if watermark.seq <= last and not (mine and key(watermark) > key(reader.sent)):
            reader.move(watermark)
            return None
        reader.move(watermark, "rolled back", watermark)
        if not mine:
            return None
        return (cursor.seq + 1 if cursor and cursor.epoch == current else 1), watermark.seq

    def skip(self, collector: str, position: Position) -> int:
        """Leave out what follows the cursor, up to here; the first seq left out."""
        reader = self.readers[collector]
        reader.skipped = position
        reader.in_flight = None
        return reader.cursor.seq + 1 if reader.cursor and reader.cursor.epoch == position.epoch else 1

    def oldest_unacked(self) -> tuple[SpoolFrame, int] | None:
        """The oldest frame that a collector lacks, and the life of its segment."""
        reader = min(self.readers.values(), key=lambda each: self._log.chain.key(each.cursor), default=None)
        if reader is None:
            return None
        for frame, mark in self._log.after(reader.cursor, reader.mark):
            return frame, next(segment.life for segment in self._log.segments if segment.number == mark.number)
        return None


def _is_skipped(reader: SpoolReader, frame: SpoolFrame) -> bool:
    skipped = reader.skipped
    return skipped is not None and frame.context.epoch == skipped.epoch and frame.last <= skipped.seq
