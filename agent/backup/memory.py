"""Keep state for a backup check between scans, in small files: sizes, growing files, verdicts, marks.

Two processes write, each its own files: the look ``KEY.seen``, the background read ``KEY.verdicts`` and ``KEY.mark``.
A file that is not there or not whole is forgotten, never an error.
"""

from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from agent.backup.facts import MAX_CLOCK_DIFFERENCE, BackupCopy, BackupFacts, ReadVerdict
from inventory.base import files
from inventory.protocol.reasons import packed

MOST_SIZES: Final = 100
MOST_VERDICTS: Final = 100
REPOSITORY: Final = ""  # the stamp of a repository as a whole
T = TypeVar("T")


class ScanHistory(msgspec.Struct):
    """Of the newest files: (size, mtime, since when they are so); of complete ones: name, (at, size)."""

    began: float = 0.0
    lately: dict[str, tuple[int, int, float]] = {}
    sizes: dict[str, tuple[float, int]] = {}
    contents: dict[str, tuple[float, int]] = {}  # as sizes, of what came out when a copy was read through


class ReadMark(msgspec.Struct):
    """Where the read of one copy stands. ``read``: bytes of it that are done, by all lives of the reader."""

    stamp: str
    state: dict[str, Any]
    read: int = 0


class BackupMemory:
    """One check's files. Without a directory nothing is remembered."""

    def __init__(self, store: str, key: str) -> None:
        self._base = Path(store) / key if store else None

    def history(self) -> ScanHistory:
        return self._get("seen", ScanHistory) or ScanHistory()

    def save_history(self, history: ScanHistory) -> None:
        self._put("seen", history)

    def verdicts(self) -> dict[str, ReadVerdict]:
        """By stamp of the copy."""
        return self._get("verdicts", dict[str, ReadVerdict]) or {}

    def add_verdict(self, stamp: str, verdict: ReadVerdict) -> None:
        """The newest last; the oldest are forgotten."""
        verdicts = self.verdicts()
        verdicts.pop(stamp, None)
        verdicts[stamp] = verdict
        for old in list(verdicts)[:-MOST_VERDICTS]:
            del verdicts[old]
        self._put("verdicts", verdicts)

    def mark(self, stamp: str) -> ReadMark | None:
        mark = self._get("mark", ReadMark)
        return mark if mark is not None and mark.stamp == stamp else None

    def save_mark(self, mark: ReadMark) -> None:
        self._put("mark", mark)

    def forget_mark(self) -> None:
        if self._base is not None:
            self._base.with_suffix(".mark").unlink(missing_ok=True)

    def _get(self, name: str, kind: type[T]) -> T | None:
        if self._base is None:
            return None
        try:
            return msgspec.msgpack.decode(self._base.with_suffix(f".{name}").read_bytes(), type=kind)
        except (OSError, msgspec.DecodeError):
            return None

    def _put(self, name: str, value: object) -> None:
        if self._base is not None:
            try:
                self._base.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                files.replace(
                    self._base.with_suffix(f".{name}"), msgspec.msgpack.encode(value, enc_hook=packed), mode=0o600
                )
            except OSError:
                pass  # the disk is full: it is looked at again next time, from less


def apply_history(facts: BackupFacts, memory: BackupMemory, settle: float) -> None:
    """Add to what a look found what was known before: growing files, sizes, verdicts; and remember it."""
    history = memory.history()
    history.began = history.began or facts.now
    facts.began = history.began
    facts.copies = [
        msgspec.structs.replace(copy, growing=_growing(copy, history, facts.now, settle)) if copy.mtime_ns else copy
        for copy in facts.copies
    ]
    history.lately = {
        name: entry for copy in facts.copies for name, entry in [_history_entry(copy, history, facts.now)]
    }
    for copy in facts.copies:
        if not copy.growing and not copy.wrong and copy.size is not None and not copy.future:
            history.sizes[copy.name.hex()] = (copy.at, copy.size)
    verdicts = memory.verdicts()
    facts.copies = [msgspec.structs.replace(copy, verdict=verdicts.get(copy.stamp)) for copy in facts.copies]
    for copy in facts.copies:
        if copy.verdict is not None and copy.verdict.content is not None and copy.name.hex() in history.sizes:
            history.contents[copy.name.hex()] = (copy.at, copy.verdict.content)
    history.sizes, history.contents = _newest(history.sizes), _newest(history.contents)
    facts.sizes, facts.contents = list(history.sizes.values()), list(history.contents.values())
    memory.save_history(history)
    facts.check = facts.check or verdicts.get(REPOSITORY)


def _newest(sizes: dict[str, tuple[float, int]]) -> dict[str, tuple[float, int]]:
    return dict(sorted(sizes.items(), key=lambda item: item[1])[-MOST_SIZES:])


def _history_entry(copy: BackupCopy, history: ScanHistory, now: float) -> tuple[str, tuple[int, int, float]]:
    name = copy.name.hex()
    before = history.lately.get(name)
    same = before is not None and before[:2] == (copy.size or 0, copy.mtime_ns)
    return name, (copy.size or 0, copy.mtime_ns, before[2] if same and before is not None else now)


def _growing(copy: BackupCopy, history: ScanHistory, now: float, settle: float) -> bool:
    """Written to within ``settle`` seconds: by its time, or because it grew between looks though its time stayed."""
    before = history.lately.get(copy.name.hex())
    if before is not None and before[:2] == (copy.size or 0, copy.mtime_ns):
        # unchanged since we first saw it so; its own clock may be another
        if now - before[2] >= settle:
            return False
    elif before is not None and before[1] == copy.mtime_ns:
        return True  # its time says nothing: it is kept by who writes
    # a time far ahead is that of another clock, and says nothing
    return -MAX_CLOCK_DIFFERENCE < now - copy.mtime_ns / 1e9 < settle
