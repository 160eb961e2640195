"""The segments of one spool as one log: append, sync, read on from a position, replace, drop the oldest.

The chain is the order of epochs with the last seq of each, as far as this disk knows it.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agent.spool import files, segments
from agent.spool.files import FileOps
from agent.spool.frames import MAGIC, FrameContext, Heading, SpoolFrame, write_frame, write_heading
from agent.spool.segments import SpoolSegment
from inventory.protocol.wire import Position

AHEAD = 64 << 10


class LogMark(NamedTuple):
    """Where in the files a position was read, so that reading on needs no search."""

    number: int
    version: int
    offset: int
    context: FrameContext | None


class EpochChain:
    """Epochs in order, each with the last seq known."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self._rank: dict[int, int] = {}

    def record(self, epoch: int, seq: int) -> None:
        if epoch not in self._rank:
            self._rank[epoch] = len(self._rank)
        self._last[epoch] = max(seq, self._last.get(epoch, 0))

    def last(self, epoch: int) -> int:
        """The highest seq of this epoch; 0 when this disk never had the epoch."""
        return self._last.get(epoch, 0)

    def key(self, position: Position | None) -> tuple[int, int]:
        """Sorts positions as the chain does; what is not in it comes before everything."""
        return (self._rank.get(position.epoch, -1), position.seq) if position else (-1, 0)

    def items(self) -> list[tuple[int, int]]:
        return list(self._last.items())

    def end(self) -> Position | None:
        for epoch, last in reversed(self._last.items()):
            return Position(epoch, last)
        return None

    def next(self, epoch: int) -> int | None:
        """The epoch after this one."""
        epochs = list(self._rank)
        place = self._rank.get(epoch, -2) + 1
        return epochs[place] if 0 <= place < len(epochs) else None


class SegmentLog:
    """``segments`` are oldest first; the last one is written to. Everything indexed is synced."""

    def __init__(self, directory: Path, ops: FileOps, segment_bytes: int) -> None:
        self.directory = directory
        self.ops = ops
        self.segment_bytes = segment_bytes
        self.segments: list[SpoolSegment] = []
        self.chain = EpochChain()
        self.last_frame: SpoolFrame | None = None
        self.life_at_start = 0
        self._ahead = min(AHEAD, segment_bytes)
        self._allocated = 0  # bytes of the file being written, zeros included
        self._descriptor: int | None = None
        self._written: FrameContext | None = None  # what the end of the file being written is under

    # -- opening

    def load(self, history: list[tuple[int, int]]) -> None:
        """Read every segment. ``history``: the chain as last saved, for what is no longer here."""
        for epoch, last in history:
            self.chain.record(epoch, last)
        last_seqs: dict[int, int] = {}
        for number, path in segments.list_segments(self.directory):
            segment, last_frame = segments.read_segment(self.ops, number, path)
            # an interrupted merge leaves a segment whose frames are also in the one before it
            fresh = [
                frame_range
                for frame_range in segment.ranges
                if frame_range.last > last_seqs.get(frame_range.context.epoch, 0)
            ]
            if segment.ranges and not fresh:
                path.unlink()
                continue
            for frame_range in fresh:
                context = frame_range.context
                if context.after and context.epoch not in last_seqs:
                    self.chain.record(*_pair(context.after))
                self.chain.record(context.epoch, frame_range.last)
                last_seqs[context.epoch] = frame_range.last
            self.life_at_start = max(self.life_at_start, segment.life)
            self.last_frame = last_frame or self.last_frame
            self.segments.append(segment)
        self._reopen_last()

    def _reopen_last(self) -> None:
        """Go on writing the newest file: what lies after its last valid frame was never synced, or is lost."""
        if not self.segments:
            return
        segment = self.segments[-1]
        self._descriptor = files.open_for_writing(segment.path, new=False)
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, segment.size)
        self._allocated = segment.size

    def gaps(self) -> list[tuple[int, int, int]]:
        """(epoch, first, last) of frames that were written and are not here, though older ones are."""
        missing: list[tuple[int, int, int]] = []
        upto: dict[int, int] = {}
        for place, segment in enumerate(self.segments):
            for index, frame_range in enumerate(segment.ranges):
                epoch, before = frame_range.context.epoch, frame_range.context.after
                if place == index == 0:  # older ones may have been given up on purpose
                    expected = segment.head or frame_range.first
                else:
                    expected = upto.get(epoch, 0) + 1
                    if before and epoch not in upto and before.epoch not in upto:
                        missing.append((before.epoch, 1, before.seq))
                if frame_range.first > expected:
                    missing.append((epoch, expected, frame_range.first - 1))
                upto[epoch] = max(frame_range.last, upto.get(epoch, 0))
        for epoch, last in upto.items():
            if self.chain.last(epoch) > last:
                missing.append((epoch, last + 1, self.chain.last(epoch)))
        return missing

    # -- writing

    def write(self, batch: list[SpoolFrame], life: int) -> "PendingWrite":
        """One write at the end of the log, not yet synced. OSError: nothing of it counts, try again later."""
        if self._descriptor is None or self.segments[-1].older or self.segments[-1].size >= self.segment_bytes:
            self._roll()
        segment = self.segments[-1]
        assert self._descriptor is not None
        context = None if segment.size == 0 else self._written
        parts = [b"" if segment.size else MAGIC]
        for place, frame in enumerate(batch):
            if frame.context is not context and frame.context != context:
                context = frame.context
                parts += [write_heading(context, frame.seq, life)] * 2
            elif place == 0:
                parts.append(write_heading(context, frame.seq, life))
            parts.append(write_frame(frame))
        data = b"".join(parts)
        self._put(segment, data)
        return PendingWrite(segment, batch, len(data), life)

    def _put(self, segment: SpoolSegment, data: bytes) -> None:
        """Write at the end, and zeros ahead: a sync that finds the file no longer than before costs no journal."""
        assert self._descriptor is not None
        end = segment.size + len(data)
        for ahead in (self._ahead, 0) if end > self._allocated else (0,):
            try:
                files.write_all(self.ops, self._descriptor, data + bytes(ahead), segment.size)
                self._allocated = max(self._allocated, end + ahead)
                return
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, segment.size)
                self._allocated = segment.size
                if not ahead:
                    raise

    def sync(self, pending: "PendingWrite") -> None:
        """Make a write last, then count it. SpoolBroken when the disk does not say that it did."""
        segment = pending.segment
        assert self._descriptor is not None
        files.sync(self.ops, self._descriptor, segment.path)
        if segment.size == 0:
            files.sync_directory(self.ops, self.directory)
            segment.head = pending.frames[0].seq
        segment.size += pending.size
        segment.life = pending.life
        for context, first, last in _frame_ranges(pending.frames):
            segment.add_frames(context, first, last)
            if context.after and not self.chain.last(context.epoch):
                self.chain.record(*_pair(context.after))
            self.chain.record(context.epoch, last)
        self._written = pending.frames[-1].context

    def _roll(self) -> None:
        """Begin a new file; where none can be made, go on in the old one."""
        number = self.segments[-1].number + 1 if self.segments else 1
        path = segments.path_of(self.directory, number)
        try:
            descriptor = files.open_for_writing(path, new=True)
        except OSError:
            if self._descriptor is None:
                raise
            return
        self.close()
        self._descriptor = descriptor
        self._allocated = 0
        self.segments.append(SpoolSegment(number, path))

    def close(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self.segments[-1].size)
            os.close(self._descriptor)
            self._descriptor = None

    # -- reading

    def after(self, position: Position | None, mark: LogMark | None = None) -> Iterator[tuple[SpoolFrame, LogMark]]:
        """Synced frames past a position, in order, each with the mark from which reading goes on after it."""
        key = self.chain.key(position)
        if mark and not any((mark.number, mark.version) == (each.number, each.version) for each in self.segments):
            mark = None
        for segment in list(self.segments):
            if mark and mark.number > segment.number:
                continue
            hint = mark if mark and mark.number == segment.number else None
            if hint is None and not any(self._end_key(stretch) > key for stretch in segment.ranges):
                continue
            offset, context = (hint.offset, hint.context) if hint else (0, None)
            if offset >= segment.size:
                continue
            for frame, end in segment.read(self.ops, offset, context):
                if isinstance(frame, Heading):
                    continue
                here = self.chain.key(Position(frame.context.epoch, frame.seq))
                if here > key:
                    yield frame, LogMark(segment.number, segment.version, end, frame.context)
                    key = (here[0], frame.last)

    def _end_key(self, frame_range: segments.FrameRange) -> tuple[int, int]:
        return self.chain.key(Position(frame_range.context.epoch, frame_range.last))

    def end_of(self, segment: SpoolSegment) -> tuple[int, int]:
        """The chain's key of its last frame."""
        return max((self._end_key(stretch) for stretch in segment.ranges), default=(-1, 0))

    def count_after(self, position: Position | None) -> int:
        """How many seqs past a position are here."""
        rank, seq = self.chain.key(position)
        count = 0
        for segment in self.segments:
            for frame_range in segment.ranges:
                here, last = self._end_key(frame_range)
                if here > rank:
                    count += last - frame_range.first + 1
                elif here == rank and last > seq:
                    count += last - max(frame_range.first, seq + 1) + 1
        return count

    def bytes(self) -> int:
        return sum(segment.size for segment in self.segments)

    # -- changing what is old

    def rewrite(self, segment: SpoolSegment, frames: list[SpoolFrame]) -> None:
        """Replace a sealed segment's content. OSError: it is as it was."""
        data = segments.encode_segment(frames, segment.life)
        files.replace(self.ops, segment.path, data)
        segment.size = len(data)
        segment.version += 1
        segment.older = False
        segment.ranges = []
        for frame in frames:
            segment.add_frames(frame.context, frame.seq, frame.last)

    def remove(self, segment: SpoolSegment) -> None:
        """Forget a sealed segment. OSError: it is as it was."""
        segment.path.unlink(missing_ok=True)
        self.segments.remove(segment)


class PendingWrite(NamedTuple):
    """A write that no sync has followed yet."""

    segment: SpoolSegment
    frames: list[SpoolFrame]
    size: int
    life: int


def _frame_ranges(batch: list[SpoolFrame]) -> Iterator[tuple[FrameContext, int, int]]:
    """(context, first, last) of what follows on without a gap."""
    context, first, last = batch[0].context, batch[0].seq, batch[0].last
    for frame in batch[1:]:
        if frame.context is context and frame.seq == last + 1:
            last = frame.last
        else:
            yield context, first, last
            context, first, last = frame.context, frame.seq, frame.last
    yield context, first, last


def _pair(position: Position) -> tuple[int, int]:
    return position.epoch, position.seq
