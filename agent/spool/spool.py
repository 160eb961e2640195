"""The spool: every result is kept on disk until every collector has it, and a week longer.

Append buffers, sync makes it last (one write, one fdatasync), next_batch cuts what a collector lacks, and only an
acknowledgement moves its cursor. Everything that is lost on the way is declared.
"""

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.spool import cursors, files
from agent.spool.delivery import Delivery
from agent.spool.files import FileOps, SpoolBroken
from agent.spool.fold import Holds, fold
from agent.spool.frames import (
    FOLD,
    MAX_SEQ,
    RECORD,
    RESULT,
    CheckResult,
    FrameContext,
    SpoolFrame,
    decode_fold,
    decode_record,
    decode_result,
    record_frame,
    result_frame,
)
from agent.spool.log import SegmentLog
from agent.spool.space import Space
from inventory.protocol.wire import Batch, Position, Record, Scalar

DEFAULT_LIMIT = 64 << 20
WEEK_MS = 7 * 86_400_000
MAX_BUFFERED = 20_000  # frames in memory while the disk refuses them
SAVE_EVERY_MS = 10_000
MAX_BATCH_BYTES = 512 << 10


def _no_holds(plan: bytes) -> None:
    """Without holds nothing can be folded: a gap might be bridged that the ledger must see."""
    return None


class Spool:
    """Use :meth:`open`. Not thread-safe: one caller at a time."""

    def __init__(
        self,
        directory: Path,
        log: SegmentLog,
        lock: files.SpoolLock,
        saved: cursors.SavedCursors,
        boot: bytes,
        boot_ms: int,
    ) -> None:
        self._directory = directory
        self._log = log
        self._lock = lock
        self._delivery = Delivery(log, saved.cursors)
        self._declared = saved.declared
        self._boot = boot
        self._began = boot_ms
        self._now = boot_ms
        self._buffer: list[SpoolFrame] = []
        self._broken = ""
        self._failing = ""
        self._dirty = True
        self._last_save: int | None = None
        self._dropped = 0
        self._last_dropped: tuple[int, int, int] | None = None
        self._damaged = 0
        self._space: Space
        self._context: FrameContext
        self._seq = 0
        self.epoch = 0

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        boot: bytes,
        boot_ms: int,
        plan: bytes,
        start: Mapping[str, Scalar],
        collectors: Sequence[str],
        limit_bytes: int = DEFAULT_LIMIT,
        keep_acked_ms: int = WEEK_MS,
        holds: Holds = _no_holds,
        ops: FileOps | None = None,
        segment_bytes: int | None = None,
    ) -> "Spool":
        """Take the lock, read what survived, declare what did not, begin a new epoch with a "start" record.

        ``holds`` gives each check's hold (ms) by plan digest, None for a plan that is not known (then not folded).
        Raises SpoolLocked, SpoolError (files of another version), OSError (the directory cannot be used).
        """
        directory.mkdir(parents=True, exist_ok=True)
        lock = files.SpoolLock(directory / "lock")
        try:
            saved = cursors.load(directory / "cursors")
            log = SegmentLog(directory, ops or FileOps(), segment_bytes or max(4096, min(512 << 10, limit_bytes // 16)))
            log.load(saved.history)
            spool = cls(directory, log, lock, saved, boot, boot_ms)
            spool._space = Space(
                log, spool._delivery.readers, holds, limit_bytes, keep_acked_ms, spool._declare_dropped
            )
            spool._holds = holds
            spool.serve(collectors)
            spool._begin_epoch(plan, log.chain.end())
            spool.append(Record(boot_ms, "start", {**start, "clean": spool._ended_clean()}))
            spool._declare_damage()
        except BaseException:
            lock.release()
            raise
        return spool

    _holds: Holds

    # -- writing

    def use_plan(self, digest: bytes) -> None:
        """Frames from now on are made under this plan."""
        if digest != self._context.plan:
            self._context = self._context.under(digest)

    def serve(self, collectors: Sequence[str]) -> None:
        """From now on these are the collectors; what only others lacked is no longer held for them."""
        self._delivery.serve(collectors)
        self._dirty = True

    def append(self, item: CheckResult | Record) -> int:
        """Its seq. Kept in memory until the next sync. Raises ValueError or TypeError for what cannot be stored."""
        self._check_broken()
        if self._seq >= MAX_SEQ - 1:
            self.new_epoch("the epoch was full")
        seq = self._seq + 1
        if isinstance(item, Record):
            frame = record_frame(self._context, seq, item)
        elif 0 <= item.state <= 3 and item.check >= 0:
            frame = result_frame(self._context, seq, item)
        else:
            raise ValueError(f"a result with state {item.state} of check {item.check}")
        self._seq = seq
        self._buffer.append(frame)
        self._now = max(self._now, item.at)
        if len(self._buffer) > MAX_BUFFERED:
            self._shrink_buffer()
        return seq

    def sync(self) -> None:
        """Make everything appended last. Raises SpoolBroken when the disk does not confirm it.

        A write that fails (disk full) leaves everything in memory for the next sync, and is declared.
        """
        self._check_broken()
        try:
            if self._buffer:
                self._sync()
            if (
                self._dirty
                and not self._failing
                and (self._last_save is None or self._now - self._last_save >= SAVE_EVERY_MS)
            ):
                self._save()
        except SpoolBroken as error:
            self._broken = str(error)
            raise

    def _sync(self) -> None:
        life = self._lifetime_ms()
        try:
            self._space.make_room(life)  # first, so that what it has to give up is declared by this very sync
        except OSError:
            pass  # no room even for folding: the write below will say so
        while True:
            try:
                pending = self._log.write(self._buffer, life)
                break
            except OSError as error:
                if not self._space.remove_acknowledged():
                    self._write_failed(error)
                    return
        self._log.sync(pending)
        self._buffer = []
        self._dirty = True
        if self._failing:
            self._failing = ""
            self.append(Record(self._now, "disk", {"state": "ok", "why": ""}))

    def _write_failed(self, error: OSError) -> None:
        why = error.strerror or str(error)
        if not self._failing:
            self._failing = why
            self.append(Record(self._now, "disk", {"state": "failing", "why": why}))

    def _shrink_buffer(self) -> None:
        """The disk has refused writes for long: fold in memory; what is still too much goes, oldest first."""
        self._buffer = list(fold(self._buffer, self._holds))
        if len(self._buffer) <= MAX_BUFFERED // 2:
            return
        old, self._buffer = self._buffer[: -MAX_BUFFERED // 4], self._buffer[-MAX_BUFFERED // 4 :]
        self._buffer = [frame for frame in old if frame.kind == RECORD][-MAX_BUFFERED // 4 :] + self._buffer
        for epoch in dict.fromkeys(frame.context.epoch for frame in old):
            seqs = [seq for frame in old if frame.context.epoch == epoch for seq in (frame.seq, frame.last)]
            self._declared.append((epoch, min(seqs), max(seqs)))  # not to be taken for damage
            self._declare_dropped(epoch, min(seqs), max(seqs))

    def new_epoch(self, why: str) -> None:
        """Go on under new positions: the old ones are taken elsewhere. Then call reposition with the watermark."""
        self._check_broken()
        self._begin_epoch(self._context.plan, Position(self.epoch, self._seq))
        self.append(Record(self._now, "epoch", {"why": why}))

    def close(self) -> None:
        """Give the files back without a word; what was not synced is gone, as in a crash."""
        if not self._broken and not self._buffer:
            self._save()
        self._log.close()
        self._lock.release()
        self._broken = self._broken or "the spool is closed"

    # -- reading

    def next_batch(self, collector: str, *, max_results: int = 1000, max_bytes: int = MAX_BATCH_BYTES) -> Batch | None:
        """What this collector lacks next: synced frames of one epoch, boot and plan; None when it has everything.

        The same batch again until it is acknowledged or asked for with other limits. ``max_bytes``: as on disk.
        """
        self._check_broken()
        return self._delivery.next_batch(collector, max_results, max_bytes)

    def cursor(self, collector: str) -> Position | None:
        """Up to here this collector has everything, as far as this disk knows."""
        return self._delivery.readers[collector].cursor

    def acknowledged(self, collector: str, watermark: Position) -> None:
        """The collector holds everything up to here."""
        if self._delivery.acknowledge(collector, watermark):
            self._dirty = True
        else:
            self.reposition(collector, watermark)

    def reposition(self, collector: str, watermark: Position | None) -> None:
        """The collector says where it is. Go on from there, or say in the next batch why that cannot be.

        Where another machine wrote under this epoch's positions (a clone, a snapshot put back), ours there cannot be
        delivered: they are declared, and a new epoch begins.
        """
        self._check_broken()
        lost = self._delivery.reposition(collector, watermark, self.epoch)
        self._dirty = True
        if lost:
            epoch, first, last = self.epoch, lost[0], min(self._seq, lost[1])
            self.new_epoch("another machine goes on from the same state")
            if first <= last:
                self._declare_dropped(epoch, first, last)

    def skip(self, collector: str, position: Position) -> None:
        """Give up what this collector refuses to take, up to here: the next batch says that it is missing."""
        first = self._delivery.skip(collector, position)
        self._declare_dropped(position.epoch, first, position.seq)

    def backlog(self, collector: str) -> int:
        """Synced frames past the cursor."""
        return self._log.count_after(self._delivery.readers[collector].cursor)

    def referenced_plans(self) -> set[bytes]:
        """Digests of the plans under which frames still here were made."""
        contexts = (frame_range.context for segment in self._log.segments for frame_range in segment.ranges)
        return {context.plan for context in (*contexts, *(frame.context for frame in self._buffer), self._context)}

    def stats(self) -> dict[str, float]:
        """The spool about itself: bytes, frames and segments on disk, frames in memory; since the start: frames
        folded, dropped, found damaged; ms for which the oldest unacknowledged frame has waited; 1 while writes fail."""
        return {
            "bytes": self._log.bytes(),
            "segments": len(self._log.segments),
            "frames": self._log.count_after(None),
            "buffered": len(self._buffer),
            "folded": self._space.folded,
            "dropped": self._dropped,
            "damaged": self._damaged,
            "oldest_unacked_ms": self._oldest_unacked_ms(),
            "failing": int(bool(self._failing)),
        }

    def _oldest_unacked_ms(self) -> int:
        oldest = self._delivery.oldest_unacked()
        if oldest is None:
            return 0
        frame, life = oldest
        if frame.context.boot == self._boot:
            return max(0, self._now - _time_of(frame))
        return self._lifetime_ms() - life

    def _lifetime_ms(self) -> int:
        """Ms that agents on this spool have run, this one included: an age that no wall clock can spoil."""
        return self._log.life_at_start + self._now - self._began

    # -- what is said about losses

    def _begin_epoch(self, plan: bytes, after: Position | None) -> None:
        self.epoch = secrets.randbits(62) + 1
        self._seq = 0
        self._context = FrameContext(self.epoch, self._boot, plan, self._now, after)

    def _ended_clean(self) -> bool:
        frame = self._log.last_frame
        if frame is None:
            return self._log.chain.end() is None
        if frame.kind == FOLD:
            records = decode_fold(frame.body).records
            return bool(records) and records[-1].kind == "stop"
        return frame.kind == RECORD and decode_record(frame.body).kind == "stop"

    def _declare_damage(self) -> None:
        for epoch, first, last in self._log.gaps():
            for begin, end in sorted((begin, end) for at, begin, end in self._declared if at == epoch):
                if begin <= first <= end:
                    first = end + 1
            if first <= last:
                self._declared.append((epoch, first, last))
                self._damaged += last - first + 1
                self.append(Record(self._now, "damaged", {"epoch": epoch, "first": first, "last": last}))

    def _declare_dropped(self, epoch: int, first: int, last: int) -> None:
        self._dropped += last - first + 1
        before = self._last_dropped
        if before and before[0] == epoch and before[1] <= first <= before[2] + 1:
            first = before[1]  # what said so earlier may have been dropped as well
        self._last_dropped = (epoch, first, last)
        self.append(Record(self._now, "dropped", {"epoch": epoch, "first": first, "last": last}))

    def _save(self) -> None:
        """The cursors, now and then. A disk that is full keeps the old ones: they cost a question, no result."""
        names = {name: reader.cursor for name, reader in self._delivery.readers.items() if reader.cursor}
        self._declared = self._declared[-cursors.MAX_DECLARED :]
        history = self._log.chain.items()[-cursors.MAX_HISTORY :]
        try:
            cursors.save(self._directory / "cursors", cursors.SavedCursors(names, history, self._declared))
        except OSError:
            return
        self._dirty = False
        self._last_save = self._now

    def _check_broken(self) -> None:
        if self._broken:
            raise SpoolBroken(self._broken)


def _time_of(frame: SpoolFrame) -> int:
    """Boot ms of the first thing that a frame holds."""
    if frame.kind == RESULT:
        return decode_result(frame.body).at + frame.context.base
    if frame.kind == RECORD:
        return decode_record(frame.body).at
    fold = decode_fold(frame.body)
    return min([run.first for run in fold.runs] + [record.at for record in fold.records])
