"""Find the newest files that fit a pattern: names walked one by one, only the newest few kept in memory."""

import heapq
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from agent.backup import place
from agent.backup.facts import MOST_COPIES, BackupCopy, BackupFacts
from inventory.base.forms import one_form
from inventory.grammars.file_patterns import MAX_DEPTH, FilePattern
from inventory.protocol.reasons import sentence

MOST_FILES: Final = 2_000_000  # looked at in one look


class PendingDirectory(msgspec.Struct, frozen=True):
    """A directory to be walked: what of the pattern is left for it, how deep ** has led, what the names said so far."""

    path: str = ""
    segment: int = 0
    depth: int = 0
    parts: Mapping[str, str] = {}


class FoundFile(msgspec.Struct):
    """One file that fits."""

    name: str
    status: os.stat_result
    parts: Mapping[str, str]


def scan(path: str, pattern: FilePattern, allowed: Sequence[str], now: float) -> BackupFacts:
    """What there is below a directory. Raises Refused."""
    facts = BackupFacts(now=now)
    top = place.open_directory(path, allowed)
    try:
        inside = place.real_roots(allowed) if allowed else (place.real_path(top),)
        newest: list[tuple[float, int, BackupCopy]] = []
        for number, file in enumerate(_Walk(top, pattern, inside, facts).files()):
            if number >= MOST_FILES:
                facts.notes.append(
                    sentence(
                        "there are more than {most_files} files; the rest was not looked at", most_files=MOST_FILES
                    )
                )
                break
            copy = _copy(file, pattern, now)
            if copy is None:
                continue
            facts.count += 1
            facts.total += file.status.st_size
            if len(newest) < MOST_COPIES:
                heapq.heappush(newest, (copy.at, number, copy))
            elif copy.at > newest[0][0]:
                heapq.heapreplace(newest, (copy.at, number, copy))
        facts.copies = [copy for _, _, copy in sorted(newest, key=lambda entry: (-entry[0], entry[1]))]
    finally:
        os.close(top)
    return facts


def _copy(file: FoundFile, pattern: FilePattern, now: float) -> BackupCopy | None:
    """A file as a copy with its time: the modification, kept within what its name says."""
    at = file.status.st_mtime
    if pattern.dated:
        bounds = pattern.bounds(file.parts)
        if bounds is None:
            return None  # 31 February: not a name of ours
        at = min(max(at, bounds[0]), bounds[1])
    return BackupCopy(
        name=os.fsencode(file.name),
        at=at,
        size=file.status.st_size,
        mtime_ns=file.status.st_mtime_ns,
        inode=file.status.st_ino,
        future=max(0.0, at - now),
    )


class _Walk:
    """Directory after directory, one descriptor at a time. Links to directories are not followed."""

    def __init__(self, top: int, pattern: FilePattern, inside: Sequence[str], facts: BackupFacts) -> None:
        self._top = top
        self._pattern = pattern
        self._inside = inside
        self._facts = facts
        self._pending = [PendingDirectory()]

    def files(self) -> Iterator[FoundFile]:
        """Every file that fits."""
        while self._pending:
            pending = self._pending.pop()
            try:
                directory = self._open(pending.path)
            except OSError as error:
                self._note_unreadable(pending.path, error)
                continue
            try:
                if not place.within(place.real_path(directory), self._inside):
                    self._facts.outside += 1  # a directory above it was swapped for a link
                    continue
                with os.scandir(directory) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            self._pending.extend(self._subdirectories(entry.name, pending))
                        elif (file := self._file(entry, directory, pending)) is not None:
                            yield file
            except OSError as error:
                self._note_unreadable(pending.path, error)
            finally:
                os.close(directory)

    def _open(self, path: str) -> int:
        if not path:
            return os.dup(self._top)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._top)

    def _next_segment(self, pending: PendingDirectory) -> int:
        """The segment that a name here has to fit: ** also stands for no directory at all."""
        return pending.segment + 1 if self._pattern.segments[pending.segment] is None else pending.segment

    def _subdirectories(self, name: str, pending: PendingDirectory) -> Iterator[PendingDirectory]:
        """On into a directory, by ** or because its name fits."""
        path = f"{pending.path}/{name}" if pending.path else name
        next_segment = self._next_segment(pending)
        if next_segment != pending.segment and pending.depth < MAX_DEPTH and not name.startswith("."):
            yield PendingDirectory(path, pending.segment, pending.depth + 1, pending.parts)
        if next_segment + 1 < len(self._pattern.segments) and (parts := self._fits(name, next_segment)) is not None:
            yield PendingDirectory(path, next_segment + 1, pending.depth, {**pending.parts, **parts})

    def _fits(self, name: str, segment: int) -> Mapping[str, str] | None:
        regex = self._pattern.segments[segment]
        matched = regex.fullmatch(one_form(name)) if regex is not None else None
        return matched.groupdict() if matched is not None else None

    def _file(self, entry: "os.DirEntry[str]", directory: int, pending: PendingDirectory) -> FoundFile | None:
        next_segment = self._next_segment(pending)
        if next_segment + 1 != len(self._pattern.segments) or (parts := self._fits(entry.name, next_segment)) is None:
            return None
        name = f"{pending.path}/{entry.name}" if pending.path else entry.name
        try:
            if entry.is_symlink():
                status = place.stat_file(entry.name, directory, self._inside)
            else:
                status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None  # gone since, or a link to nothing
        except place.PathEscapes:
            self._facts.outside += 1
            return None
        except OSError as error:
            self._note_unreadable(name, error)
            return None
        return FoundFile(name, status, {**pending.parts, **parts}) if stat.S_ISREG(status.st_mode) else None

    def _note_unreadable(self, path: str, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # what went while we looked is simply not there
            self._facts.unreadable += 1
            self._facts.why_unreadable = self._facts.why_unreadable or sentence(
                "{path}: {error}",
                path=place.path_text(path) or sentence("the directory"),
                error=place.error_text(error),
            )
