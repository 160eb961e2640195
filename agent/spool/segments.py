"""Segment files: which frames each holds, found by reading it, kept as a few stretches in memory."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from agent.spool import frames
from agent.spool.files import FileOps, SpoolError, read_what_is_left
from agent.spool.frames import MAGIC, Context, Frame, Heading, scan


class Stretch(msgspec.Struct):
    """Frames ``first`` to ``last`` under one context, none missing between."""

    context: Context
    first: int
    last: int


class Segment:
    """One file. ``size``: bytes that hold (synced) frames. ``version`` changes when the file is replaced.

    ``life``: ms the spool had lived when its last frames were written. ``head``: seq its first frame ought to have.
    ``folds``: how often space was won from it.
    """

    def __init__(self, number: int, path: Path) -> None:
        self.number = number
        self.path = path
        self.size = 0
        self.version = 0
        self.life = 0
        self.head: int | None = None
        self.stretches: list[Stretch] = []
        self.folds = 0

    def note(self, context: Context, first: int, last: int) -> None:
        """Frames were added at its end."""
        if self.stretches:
            end = self.stretches[-1]
            if end.context == context and end.last + 1 == first:
                end.last = last
                return
        self.stretches.append(Stretch(context, first, last))

    def read(
        self, ops: FileOps, offset: int = 0, context: Context | None = None
    ) -> Iterator[tuple[Frame | Heading, int]]:
        """What survives from ``offset`` on, with the offset of each one's end in the file."""
        data = read_what_is_left(ops, self.path, offset, self.size - offset)
        for frame, end in scan(data, context):
            yield frame, offset + end

    def frames(self, ops: FileOps) -> Iterator[Frame]:
        for frame, _ in self.read(ops):
            if isinstance(frame, Frame):
                yield frame


def path_of(directory: Path, number: int) -> Path:
    return directory / f"{number:010}.seg"


def found_in(directory: Path) -> list[tuple[int, Path]]:
    """Segment files, oldest first. What an interrupted replacement left behind is removed."""
    for leftover in directory.glob("*.tmp"):
        leftover.unlink()
    return sorted((int(path.stem), path) for path in directory.glob("*.seg") if path.stem.isdigit())


def survey(ops: FileOps, number: int, path: Path) -> tuple[Segment, Frame | None]:
    """Read a whole file; also its last frame. Its ``size`` ends at the last valid one.

    Raises SpoolError when a newer version of the program wrote it.
    """
    segment = Segment(number, path)
    data = read_what_is_left(ops, path, 0, path.stat().st_size)
    last: Frame | None = None
    for item, end in scan(data):
        if isinstance(item, Heading):
            segment.life = max(segment.life, item.life)
            if segment.head is None and last is None:
                segment.head = item.seq
        else:
            last = item
            segment.note(item.context, item.seq, item.last)
        segment.size = end
    foreign = len(data) >= len(MAGIC) and data[: len(MAGIC)] != MAGIC and data.startswith(MAGIC[:-1])
    if foreign and not segment.size:
        raise SpoolError(f"{path} was written by another version of haidang-agent; run that, or move the file away")
    return segment, last


def image(segment_frames: list[Frame], life: int) -> bytes:
    """The bytes of a segment that holds these frames, as :func:`frames.scan` reads them."""
    parts = [MAGIC]
    context: Context | None = None
    for frame in segment_frames:
        if frame.context != context:
            context = frame.context
            parts += [frames.write_heading(context, frame.seq, life)] * 2
        parts.append(frames.write_frame(frame))
    return b"".join(parts)
