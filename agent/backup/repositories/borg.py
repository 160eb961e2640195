"""borg 1.x: archives with the passphrase or without, locks, and the soundness of what is stored.

Without the passphrase the layout tells (borg's internals, "Repository"): segments in ``data/N/M``, each a log of
entries with a CRC-32; the newest segment's time is that of the repository's last change, which pruning also makes.
``borg check`` writes the repository's config and its counter of nonces anew, nothing else; where it may not, the
entries' checksums are compared instead.
"""

import datetime
import os
import re
import struct
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from agent.backup import commands, place
from agent.backup.facts import (
    BROKEN,
    CANNOT,
    GOOD,
    MOST_COPIES,
    BackupCopy,
    BackupFacts,
    BackupQuery,
    BackupRefused,
    ListingFailed,
    ReadVerdict,
    RepositoryLock,
)
from agent.backup.integrity.meter import BrokenCopy, Meter, MeteredFile
from agent.backup.integrity.read import ReadMarks
from agent.backup.repositories.files import RepositoryDirectory
from agent.backup.repositories.groups import newest_of_each
from inventory.protocol.reasons import sentence

CHECK_TAKES: Final = 12 * 3600.0  # seconds at most
LISTING: Final = 0.6  # of a look's time that borg has
MAGIC: Final = b"BORG_SEG"
LARGEST_ENTRY: Final = 64 << 20
_HEADER: Final = struct.Struct("<IIB")


class _Archive(msgspec.Struct):
    name: str
    time: str = ""
    start: str = ""
    hostname: str = ""


class _Archives(msgspec.Struct):
    archives: list[_Archive] = []


def scan(query: BackupQuery, now: float) -> BackupFacts:
    """The archives, newest first, and the locks. Raises Refused."""
    with RepositoryDirectory(query) as tree:
        if not tree.has("README") or not tree.has("config"):
            raise BackupRefused(
                sentence("{path} is not a borg repository: it has no config", path=query.path), gone=True
            )
        facts = BackupFacts(now=now, locks=_locks(tree))
        if not query.secret:
            if query.hosts or query.sources:
                raise BackupRefused(
                    sentence("which host an archive is of can only be told with the repository's passphrase")
                )
            return _copies_by_layout(tree, facts)
        try:
            copies = _list_archives(query, now)
        except ListingFailed as error:
            if query.hosts or query.sources:
                raise
            facts.notes.append(error.reason)
            return _copies_by_layout(tree, facts)
    facts.count = len(copies)
    if query.hosts or query.sources:
        facts.copies, facts.missing = newest_of_each(
            copies, query, now, lambda prefix, names: names[0].startswith(prefix)
        )
    else:
        facts.copies = sorted(copies, key=lambda copy: -copy.at)[:MOST_COPIES]
    return facts


def _copies_by_layout(tree: RepositoryDirectory, facts: BackupFacts) -> BackupFacts:
    """By the newest segment."""
    facts.copies = [
        BackupCopy(name=b"the repository's last change", at=at, future=max(0.0, at - facts.now))
        for _, at in _segments(tree)[-1:]
    ]
    facts.count = len(facts.copies)
    return facts


def _locks(tree: RepositoryDirectory) -> list[RepositoryLock]:
    return [RepositoryLock(name, status.st_mtime) for name, status in tree.entries() if name == "lock.exclusive"]


def _segments(tree: RepositoryDirectory) -> list[tuple[str, float]]:
    """(file, time) of every segment, in the order of their writing."""
    segments = [
        (int(name), f"data/{folder}/{name}", status.st_mtime)
        for folder in tree.names("data")
        for name, status in tree.entries(f"data/{folder}")
        if name.isascii() and name.isdigit()
    ]
    return [(file, at) for _, file, at in sorted(segments)]


def _list_archives(query: BackupQuery, now: float) -> list[BackupCopy]:
    result = _borg(query, "list", "--json", "--format", "{hostname}", seconds=query.timeout * LISTING)
    try:
        archives = msgspec.json.decode(result.out, type=_Archives).archives
        return [_copy(archive, now) for archive in archives if not archive.name.endswith(".checkpoint")]
    except (msgspec.DecodeError, ValueError):
        raise BackupRefused(sentence("borg's list of archives makes no sense")) from None


def _copy(archive: _Archive, now: float) -> BackupCopy:
    at = datetime.datetime.fromisoformat(archive.start or archive.time).timestamp()  # borg tells this machine's time
    name = "\n".join((archive.name, archive.hostname, archive.name))
    return BackupCopy(name=name.encode("utf-8", "replace"), at=at, future=max(0.0, at - now))


def verify(query: BackupQuery, meter: Meter, marks: ReadMarks, stage: list[str]) -> ReadVerdict:
    """``borg check`` where there is a passphrase, else every entry's checksum. Raises Refused, Stopped."""
    started = time.monotonic()
    stage[:] = ["repository"]
    if query.secret:
        try:
            state, reason, by = _run_check(query, meter)
        except ListingFailed:
            state, reason, by = _compare_checksums(query, meter, marks)
    else:
        state, reason, by = _compare_checksums(query, meter, marks)
    return ReadVerdict(
        state=state, reason=reason, at=time.time(), seconds=time.monotonic() - started, read=meter.done, by=by
    )


def _run_check(query: BackupQuery, meter: Meter) -> tuple[str, str, str]:
    with RepositoryDirectory(query) as tree:
        if _locks(tree):
            raise BackupRefused(sentence("the repository is locked: it is checked later"), gone=True)
    result = _borg(query, "check", seconds=CHECK_TAKES, bad=True, tick=lambda: meter.consume(0))
    if result.code == 0:
        return GOOD, "", "borg check"
    return BROKEN, sentence("borg check says: {words}", words=_first_error_line(result.words)[:160]), "borg check"


def _traceback_line(words: str) -> str:
    """The telling line of a traceback, or the last one."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    telling = (line for line in lines if re.match(r"[\w.]*(Error|Exception|Integrity\w*|NotFound\w*)\b", line))
    return next(telling, lines[-1] if lines else "it failed")[:160]


def _first_error_line(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    telling = (
        line for line in lines if any(word in line.lower() for word in ("mismatch", "missing", "error", "corrupt"))
    )
    return next(telling, lines[-1] if lines else sentence("it failed"))


def _compare_checksums(query: BackupQuery, meter: Meter, marks: ReadMarks) -> tuple[str, str, str]:
    saved = marks.state("repository") or {}
    passed, wrong, count = int(saved.get("passed", -1)), list(saved.get("wrong", ())), int(saved.get("count", 0))
    with RepositoryDirectory(query) as tree:
        for file, _ in _segments(tree):
            number = int(file.rpartition("/")[2])
            if number <= passed:
                continue
            try:
                descriptor = tree.open(file)
            except FileNotFoundError:
                continue  # compacted since
            except (OSError, place.PathEscapes) as error:
                raise BackupRefused(
                    sentence(
                        "{file} cannot be read: {error}",
                        file=file,
                        error=place.error_text(error) if isinstance(error, OSError) else error,
                    )
                ) from None
            try:
                count += sum(1 for _ in entries(MeteredFile(descriptor, meter)))
            except BrokenCopy as error:
                wrong.append(f"{file}: {error}")
            except OSError as error:
                raise BackupRefused(
                    sentence("{file} cannot be read: {error}", file=file, error=place.error_text(error))
                ) from None
            finally:
                os.close(descriptor)
            passed = number
            if meter.mark_due:
                meter.save_mark({"passed": passed, "wrong": wrong[:10], "count": count})
    if wrong:
        return BROKEN, wrong[0], f"{count} entries"
    return (GOOD, "", f"{count} entries") if count else (CANNOT, sentence("it holds nothing to compare"), "")


def entries(source: MeteredFile) -> Iterator[int]:
    """The tag of every entry of a segment, its checksum compared. Raises Broken."""
    if source.read_at(0, min(len(MAGIC), source.size)) != MAGIC:
        raise BrokenCopy(sentence("it does not begin as a segment does"))
    held, at = b"", len(MAGIC)
    source.offset = at

    def more(count: int) -> bool:
        nonlocal held
        while len(held) < count:
            piece = source.read()
            if not piece:
                return False
            held += piece
        return True

    while more(1):
        if not more(_HEADER.size):
            raise BrokenCopy(sentence("it ends in the middle of an entry, at byte {at}", at=at))
        crc, size, tag = _HEADER.unpack_from(held)
        if not _HEADER.size <= size <= LARGEST_ENTRY:
            raise BrokenCopy(sentence("the entry at byte {at} makes no sense", at=at))
        if not more(size):
            raise BrokenCopy(sentence("it ends in the middle of an entry, at byte {at}", at=at))
        if zlib.crc32(memoryview(held)[4:size]) != crc:
            raise BrokenCopy(sentence("the entry at byte {at} does not match its checksum", at=at))
        yield tag
        held, at = held[size:], at + size


def _borg(
    query: BackupQuery, *words: str, seconds: float, bad: bool = False, tick: Callable[[], None] = lambda: None
) -> commands.CommandResult:
    """Run borg, which is not to write into the repository. The passphrase goes through a pipe. Raises Refused."""
    program = commands.find_program("borg", "borgbackup")
    if program is None:
        raise BackupRefused(sentence("this machine has no borg to look into the repository with"))
    secret = query.secret.get("password", "") or query.secret.get("passphrase", "")
    read, write = os.pipe()
    os.write(write, secret.encode() + b"\n")
    os.close(write)
    if query.store:
        os.makedirs(query.store, mode=0o700, exist_ok=True)  # noqa: PTH103 the path is text on its way through
    with tempfile.TemporaryDirectory(prefix="haidang-borg-", dir=query.store or None) as base:
        environment = {
            "BORG_BASE_DIR": base,
            "BORG_PASSPHRASE_FD": str(read),
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
            "BORG_CHECK_I_KNOW_WHAT_I_AM_DOING": "NO",
        }
        argv = [program, "--bypass-lock", *words, query.path]
        try:
            result = commands.run(argv, seconds=seconds, environment=environment, descriptors=(read,), tick=tick)
        except commands.CommandTimeout:
            raise ListingFailed(sentence("borg did not end within {seconds:n} s", seconds=seconds)) from None
        except commands.CommandOutputTooLarge:
            raise BackupRefused(sentence("borg said too much")) from None
        except OSError as error:
            raise BackupRefused(sentence("borg does not start: {error}", error=place.error_text(error))) from None
        finally:
            os.close(read)
    if "passphrase supplied" in result.words or "passphrase is incorrect" in result.words.lower():
        raise BackupRefused(sentence("the password in this agent's file does not open the repository"))
    if result.code == 0 or (bad and not re.search(r"Permission denied|Read-only file system|Traceback", result.words)):
        return result
    error_line = _traceback_line(result.words).replace(secret, "…") if secret else _traceback_line(result.words)
    raise ListingFailed(sentence("borg cannot look into it: {error_line}", error_line=error_line))
