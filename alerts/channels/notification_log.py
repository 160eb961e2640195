"""The notification log: files of what was sent, so that no kill or restored database sends it twice.

One line of JSON for each mail, synced right after the relay's "yes" and before the outbox learns of it. A file a day
(UTC), ``sent-2026-11-27.jsonl``; the newest ``keep_days`` files are kept. A line that a power cut tore is no line.
"""

import os
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, get_args

import msgspec

from alerts.channels.outbox import OutgoingMail
from alerts.incident.about import About
from alerts.incident.entities import NoticeKind
from alerts.incident.reconcile import SentNotice
from inventory.base.files import sync
from inventory.model.alerting import DAY

MAX_IN_MEMORY: Final = 100_000  # idents; what is older is looked up in the files
WEBHOOK: Final = "webhook"
_NOTICE_KINDS: Final = frozenset(get_args(NoticeKind))  # a trial mail is no notice
_NAME = re.compile(r"sent-(\d{4}-\d\d-\d\d)\.jsonl", re.ASCII)


class NotificationLogEntry(
    About, frozen=True, kw_only=True, omit_defaults=True, rename={"decided_at": "made", "channel": "way"}
):
    """A mail that went out. Files of earlier versions are read: ``rename`` has the names that stand in them."""

    at: int  # when it went out (ms of the collector's time)
    decided_at: int
    channel: str  # the relay's name, or WEBHOOK (the mail of it was then still to be sent)


def log_entry(mail: OutgoingMail, at: int, channel: str) -> NotificationLogEntry:
    return NotificationLogEntry(**mail.about(), at=at, decided_at=mail.made, channel=channel)


def sent_notices(entries: Iterable[NotificationLogEntry]) -> Iterator[SentNotice]:
    """The notices that were mailed, for the incident engine: each once, as it was decided. What only the webhook
    took is still to be mailed."""
    sent_idents = set()
    for logged in entries:
        if logged.kind in _NOTICE_KINDS and logged.channel != WEBHOOK and logged.ident not in sent_idents:
            sent_idents.add(logged.ident)
            yield SentNotice(**logged.about(), at=logged.decided_at)


class NotificationLog:
    """One writer a directory. Every call does file work: not for the loop's own thread. Raises OSError."""

    def __init__(self, directory: Path, keep_days: int = 30, in_memory: int = MAX_IN_MEMORY) -> None:
        self.directory = directory
        self._keep_days = keep_days
        self._max_in_memory = in_memory
        self._recent_keys: dict[str, None] = {}  # oldest first
        self._evicted = False
        self._pending: list[NotificationLogEntry] = []  # after a failure
        self._open: tuple[str, BinaryIO] | None = None
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for line in self._lines(self._files()):
            logged = _decoded(line)
            if logged is not None:
                self._index(logged)

    def add(self, new_entry: NotificationLogEntry) -> None:
        """On disk when it returns. When that fails it is remembered all the same, and written with the next one."""
        self._index(new_entry)
        self._pending = [*self._pending, new_entry][-self._max_in_memory :]
        file = self._file_of(new_entry.at)
        try:
            file.write(b"".join(msgspec.json.encode(each) + b"\n" for each in self._pending))
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            self.close()  # the next one looks at what is on disk anew
            raise
        self._pending = []

    def contains(self, ident: str, decided_at: int, channel: str = "") -> bool:
        """Whether a mail decided at that time went out by mail (or, with ``channel``, by the webhook)."""
        key = _key(ident, channel)
        if key in self._recent_keys:
            return True
        if not self._evicted:
            return False
        begin = _day(decided_at - DAY)  # a day more, for a clock that was set back
        files = [file for file in self._files() if file.name >= f"sent-{begin}"]
        return any(_key(logged.ident, logged.channel) == key for logged in self._read(files))

    def mail_entries(self, since: int = 0) -> Iterator[NotificationLogEntry]:
        """What went out by mail at or after ``since``, oldest first: the incident engine takes up its threads from
        these when the database is older than they are."""
        for logged in self._read(self._files()):
            if logged.at >= since and logged.channel != WEBHOOK:
                yield logged

    def webhook_entries(self, since: int = 0) -> Iterator[NotificationLogEntry]:
        """What went out by the webhook at or after ``since``."""
        for logged in self._read(self._files()):
            if logged.at >= since and logged.channel == WEBHOOK:
                yield logged

    def close(self) -> None:
        if self._open is not None:
            file, self._open = self._open[1], None
            try:
                file.close()
            except OSError:
                pass  # nothing is left in its buffer that anyone relies on

    def _index(self, new_entry: NotificationLogEntry) -> None:
        self._recent_keys[_key(new_entry.ident, new_entry.channel)] = None
        while len(self._recent_keys) > self._max_in_memory:
            del self._recent_keys[next(iter(self._recent_keys))]
            self._evicted = True

    def _file_of(self, at: int) -> BinaryIO:
        name = f"sent-{_day(at)}.jsonl"
        if self._open is not None and self._open[0] == name:
            return self._open[1]
        self.close()
        path = self.directory / name
        file = path.open("ab+")
        self._open = (name, file)
        if _ends_mid_line(file):
            file.write(b"\n")
        sync(self.directory)
        for old in self._files()[: -self._keep_days]:
            old.unlink(missing_ok=True)
        return file

    def _files(self) -> list[Path]:
        """Oldest first."""
        return sorted(path for path in self.directory.iterdir() if _NAME.fullmatch(path.name))

    def _read(self, files: list[Path]) -> Iterator[NotificationLogEntry]:
        return (one for line in self._lines(files) if (one := _decoded(line)) is not None)

    def _lines(self, files: list[Path]) -> Iterator[bytes]:
        for path in files:
            with path.open("rb") as file:
                yield from (line for line in file if line.strip())


_decode = msgspec.json.Decoder(NotificationLogEntry).decode


def _decoded(line: bytes) -> NotificationLogEntry | None:
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _key(ident: str, channel: str) -> str:
    return f"{WEBHOOK}:{ident}" if channel == WEBHOOK else ident


def _day(ms: int) -> str:
    return f"{datetime.fromtimestamp(max(ms, 0) / 1000, UTC):%Y-%m-%d}"


def _ends_mid_line(file: BinaryIO) -> bool:
    """Whether the file ends within a line."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"
