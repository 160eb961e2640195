"""Keeping a spool within its size: what goes first, what is folded, what is given up.

In this order: segments that every collector has; folding the oldest; merging folds; dropping the oldest, declared.
A collector that lags alone may hold back at most its share, so that a dead one costs the others nothing.
"""

import itertools
from collections.abc import Callable, Iterable

from agent.spool import segments
from agent.spool.cursors import SpoolReader
from agent.spool.fold import Holds, fold
from agent.spool.frames import FOLD, SpoolFrame
from agent.spool.log import SegmentLog
from agent.spool.segments import SpoolSegment
from inventory.protocol.wire import Position

Key = tuple[int, int]


class Space:
    """``lost`` is told of every (epoch, first, last) that is given up."""

    def __init__(
        self,
        log: SegmentLog,
        readers: dict[str, SpoolReader],
        holds: Holds,
        limit: int,
        keep_acked_ms: int,
        on_dropped: Callable[[int, int, int], None],
    ) -> None:
        self._log = log
        self._readers = readers
        self._holds = holds
        self._limit = limit
        self._keep_acked_ms = keep_acked_ms
        self._on_dropped = on_dropped
        self._unmergeable: set[tuple[int, int]] = set()  # pairs whose merging won nothing
        self.folded = 0  # frames since the start

    def make_room(self, life: int) -> None:
        """Prune by age, then win space until the limits hold. OSError: the disk is full, try later."""
        acknowledged = self._acknowledged_key()
        while (sealed := self._sealed()) and self._log.end_of(sealed[0]) <= acknowledged:
            if life - sealed[0].life <= self._keep_acked_ms and self._log.bytes() <= self._limit:
                break
            self._log.remove(sealed[0])
        while self._log.bytes() > self._limit and self._free_some(self._sealed()):
            pass
        while self._free_some(self._held_back()):
            pass

    def remove_acknowledged(self) -> bool:
        """The disk is full: give back what every collector has. False when there is nothing of the sort."""
        sealed = self._sealed()
        if not sealed or self._log.end_of(sealed[0]) > self._acknowledged_key():
            return False
        self._log.remove(sealed[0])
        return True

    def _sealed(self) -> list[SpoolSegment]:
        return self._log.segments[:-1]

    def _acknowledged_key(self) -> Key:
        """Up to here every collector has everything."""
        return min((self._log.chain.key(reader.cursor) for reader in self._readers.values()), default=(-1, 0))

    def _held_back(self) -> list[SpoolSegment]:
        """Segments that only the slowest collector still lacks, when they are more than its share."""
        keys = sorted(self._log.chain.key(reader.cursor) for reader in self._readers.values())
        if len(keys) < 2:
            return []
        held = [segment for segment in self._sealed() if keys[0] < self._log.end_of(segment) <= keys[1]]
        return held if sum(segment.size for segment in held) > self._limit // len(keys) else []

    def _free_some(self, candidates: list[SpoolSegment]) -> bool:
        """One step among these segments, the mildest that there is. False when there are none."""
        if not candidates:
            return False
        for place, segment in enumerate(candidates):
            if not segment.folds:
                self._fold(segment)
                if place:
                    self._merge(candidates[place - 1], segment)  # or there would be ever more small files
                return True
        for first, second in itertools.pairwise(candidates):
            if self._merge(first, second):
                return True
        self._drop(candidates[0])
        return True

    def _fold(self, segment: SpoolSegment) -> None:
        frames = list(segment.frames(self._log.ops))
        folded = self._fold_frames(frames)
        segment.folds += 1
        if len(folded) < len(frames):
            self._log.rewrite(segment, folded)
            self._count_folded(frames, folded)

    def _merge(self, first: SpoolSegment, second: SpoolSegment) -> bool:
        """Both into the first. A crash before the second is gone leaves its frames twice: the next start sees that."""
        pair = (first.number, second.number)
        together = first.size + second.size
        small = together <= self._log.segment_bytes
        if pair in self._unmergeable or (not small and together > self._limit // 8):
            return False
        ops = self._log.ops
        frames = [*first.frames(ops), *second.frames(ops)]
        folded = self._fold_frames(frames)
        if not small and len(segments.encode_segment(folded, second.life)) > together * 0.9:
            self._unmergeable.add(pair)
            return False
        first.life = second.life
        self._log.rewrite(first, folded)
        self._log.remove(second)
        self._count_folded(frames, folded)
        return True

    def _drop(self, segment: SpoolSegment) -> None:
        acknowledged = self._acknowledged_key()
        key = self._log.chain.key
        self._log.remove(segment)
        for frame_range in segment.ranges:
            epoch = frame_range.context.epoch
            if key(Position(epoch, frame_range.last)) > acknowledged:
                first = (
                    max(frame_range.first, acknowledged[1] + 1)
                    if key(Position(epoch, 0))[0] == acknowledged[0]
                    else frame_range.first
                )
                self._on_dropped(epoch, first, frame_range.last)

    def _fold_frames(self, frames: Iterable[SpoolFrame]) -> list[SpoolFrame]:
        key = self._log.chain.key
        flights = [
            (key(Position(flight.epoch, flight.start)), key(Position(flight.epoch, flight.last)))
            for reader in self._readers.values()
            if (flight := reader.in_flight)
        ]
        cuts: set[Position] = set()
        for reader in self._readers.values():
            cuts |= reader.ends | {place for place in (reader.cursor, reader.skipped) if place}

        def in_flight(frame: SpoolFrame) -> bool:
            first, last = key(Position(frame.context.epoch, frame.seq)), key(Position(frame.context.epoch, frame.last))
            return any(first <= end and last >= start for start, end in flights)

        return list(fold(frames, self._holds, cuts, in_flight))

    def _count_folded(self, before: list[SpoolFrame], after: list[SpoolFrame]) -> None:
        raw = sum(1 for frame in before if frame.kind != FOLD)
        self.folded += raw - sum(1 for frame in after if frame.kind != FOLD)
