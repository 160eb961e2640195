"""Segment files: which frames each holds, found by reading it, kept as a few stretches in memory."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.spool import frames
from agent.spool.files import FileOps, SpoolError, read_readable
from agent.spool.frames import MAGIC, READABLE, FrameContext, Heading, SpoolFrame, scan


class FrameRange(msgspec.Struct):
    """Frames ``first`` to ``last`` under one context, none missing between."""

    context: FrameContext
    first: int
    last: int


class SpoolSegment:
    """One file. ``size``: bytes that hold (synced) frames. ``version`` changes when the file is replaced.

    ``life``: ms the spool had lived when its last frames were written. ``head``: seq its first frame ought to have.
    ``folds``: how often space was won from it. ``older``: of an older format; it is read, and not written on.
    """

    def __init__(self, number: int, path: Path) -> None:
        self.number = number
        self.path = path
        self.size = 0
        self.version = 0
        self.life = 0
        self.head: int | None = None
        self.ranges: list[FrameRange] = []
        self.folds = 0
        self.older = False

    def add_frames(self, context: FrameContext, first: int, last: int) -> None:
        """Frames were added at its end."""
        if self.ranges:
            end = self.ranges[-1]
            if end.context == context and end.last + 1 == first:
                end.last = last
                return
        self.ranges.append(FrameRange(context, first, last))

    def read(
        self, ops: FileOps, offset: int = 0, context: FrameContext | None = None
    ) -> Iterator[tuple[SpoolFrame | Heading, int]]:
        """What survives from ``offset`` on, with the offset of each one's end in the file."""
        data = read_readable(ops, self.path, offset, self.size - offset)
        for frame, end in scan(data, context):
            yield frame, offset + end

    def frames(self, ops: FileOps) -> Iterator[SpoolFrame]:
        for frame, _ in self.read(ops):
            if isinstance(frame, SpoolFrame):
                yield frame


def path_of(directory: Path, number: int) -> Path:
    return directory / f"{number:010}.seg"


def list_segments(directory: Path) -> list[tuple[int, Path]]:
    """Segment files, oldest first. What an interrupted replacement left behind is removed."""
    for leftover in directory.glob("*.tmp"):
        leftover.unlink()
    return sorted((int(path.stem), path) for path in directory.glob("*.seg") if path.stem.isdigit())


def read_segment(ops: FileOps, number: int, path: Path) -> tuple[SpoolSegment, SpoolFrame | None]:
    """Read a whole file; also its last frame. Its ``size`` ends at the last valid one.

    Raises SpoolError when a newer version of the program wrote it.
    """
    segment = SpoolSegment(number, path)
    data = read_readable(ops, path, 0, path.stat().st_size)
    last: SpoolFrame | None = None
    for item, end in scan(data):
        if isinstance(item, Heading):
            segment.life = max(segment.life, item.life)
            if segment.head is None and last is None:
                segment.head = item.seq
        else:
            last = item
            segment.add_frames(item.context, item.seq, item.last)
        segment.size = end
    begins = data[: len(MAGIC)]
    segment.older = begins in READABLE and begins != MAGIC
    foreign = len(data) >= len(MAGIC) and begins not in READABLE and data.startswith(MAGIC[:-1])
    if foreign and not segment.size:
        raise SpoolError(f"{path} was written by another version of haidang-agent; run that, or move the file away")
    return segment, last


def encode_segment(segment_frames: list[SpoolFrame], life: int) -> bytes:
    """The bytes of a segment that holds these frames, as :func:`frames.scan` reads them."""
    parts = [MAGIC]
    context: FrameContext | None = None
    for frame in segment_frames:
        if frame.context != context:
            context = frame.context
            parts += [frames.write_heading(context, frame.seq, life)] * 2
        parts.append(frames.write_frame(frame))
    return b"".join(parts)
