"""restic: snapshots with the password or without, locks, and the soundness of what is stored.

Without the password the layout tells (restic's design document, "Repository Format"): one file a snapshot in
``snapshots/``, whose time is when it was made, and every file in ``snapshots``, ``index``, ``keys`` and ``data`` is
named by the SHA-256 of its bytes, so that they can be compared with the name.
"""

import datetime
import os
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

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
)
from agent.backup.integrity.hashes import ResumableHash
from agent.backup.integrity.meter import Meter, MeteredFile
from agent.backup.integrity.read import ReadMarks
from agent.backup.repositories.files import RepositoryDirectory
from agent.backup.repositories.groups import newest_of_each
from inventory.protocol.reasons import pack, sentence, unpack

CHECK_TAKES: Final = 12 * 3600.0  # seconds at most
LISTING: Final = 0.6  # of a look's time that restic has: it tries damaged files again and again
_HASHED: Final = re.compile(r"[0-9a-f]{64}")
_TELLING: Final = ("error", "unexpected", "does not match", "not found")


class _Snapshot(msgspec.Struct):
    time: str
    id: str = ""
    hostname: str = ""
    paths: tuple[str, ...] = ()
    summary: dict[str, Any] = {}


def scan(query: BackupQuery, now: float) -> BackupFacts:
    """The snapshots, newest first, and the locks. Raises Refused."""
    with RepositoryDirectory(query) as tree:
        if not tree.has("config"):
            raise BackupRefused(
                sentence("{path} is not a restic repository: it has no config", path=query.path), gone=True
            )
        facts = BackupFacts(now=now, locks=tree.locks("locks"))
        if "password" in query.secret:
            try:
                copies = _list_snapshots(query)
            except ListingFailed as error:
                if query.hosts or query.sources:
                    raise
                facts.notes.append(error.reason)
                copies = _copies_by_layout(tree, now)
        elif query.hosts or query.sources:
            raise BackupRefused(
                sentence("which host and path a snapshot is of can only be told with the repository's password")
            )
        else:
            copies = _copies_by_layout(tree, now)
    facts.count = len(copies)
    if query.hosts or query.sources:
        facts.copies, facts.missing = newest_of_each(copies, query, now)
    else:
        facts.copies = sorted(copies, key=lambda copy: -copy.at)[:MOST_COPIES]
    return facts


def _copies_by_layout(tree: RepositoryDirectory, now: float) -> list[BackupCopy]:
    """By the files of the snapshots."""
    return [
        BackupCopy(name=os.fsencode(name[:8]), at=status.st_mtime, future=max(0.0, status.st_mtime - now))
        for name, status in tree.entries("snapshots")
    ]


def _list_snapshots(query: BackupQuery) -> list[BackupCopy]:
    """By restic itself."""
    result = _restic(query, "snapshots", "--json", seconds=query.timeout * LISTING)
    try:
        snapshots = msgspec.json.decode(result.out or b"[]", type=list[_Snapshot] | None) or []
    except msgspec.DecodeError:
        raise BackupRefused(sentence("restic's list of snapshots makes no sense")) from None
    return [_copy(snapshot) for snapshot in snapshots]


def _copy(snapshot: _Snapshot) -> BackupCopy:
    try:
        at = datetime.datetime.fromisoformat(snapshot.time[:19] + "+00:00").timestamp() - _offset(snapshot.time)
    except ValueError:
        raise BackupRefused(sentence("restic's list of snapshots has a time that makes no sense")) from None
    seconds = None
    started, ended = (snapshot.summary.get(key) for key in ("backup_start", "backup_end"))
    if isinstance(started, str) and isinstance(ended, str):
        seconds = _parse_time(ended) - _parse_time(started)
    size = snapshot.summary.get("total_bytes_processed")
    return BackupCopy(
        name="\n".join((snapshot.id[:8], snapshot.hostname, *snapshot.paths)).encode("utf-8", "replace"),
        at=at,
        size=size if isinstance(size, int) else None,
        seconds=seconds,
        future=max(0.0, at - time.time()),
    )


def _parse_time(text: str) -> float:
    return datetime.datetime.fromisoformat(text[:19] + "+00:00").timestamp() - _offset(text)


def _offset(text: str) -> float:
    """Seconds east of Greenwich of a time such as 2026-11-23T08:00:00.123456789+07:00."""
    tail = text[19:]
    for sign in "+-":
        if sign in tail:
            hours, _, minutes = tail.partition(sign)[2].partition(":")
            return (1 if sign == "+" else -1) * (int(hours) * 3600 + int(minutes or 0) * 60)
    return 0.0


def verify(query: BackupQuery, meter: Meter, marks: ReadMarks, stage: list[str]) -> ReadVerdict:
    """``restic check`` where there is a password, else every file against its name. Raises Refused, Stopped."""
    started = time.monotonic()
    stage[:] = ["repository"]
    if "password" in query.secret:
        try:
            state, reason, by = _run_check(query, meter)
        except ListingFailed:
            state, reason, by = _compare_hashes(query, meter, marks)
    else:
        state, reason, by = _compare_hashes(query, meter, marks)
    return ReadVerdict(
        state=state, reason=reason, at=time.time(), seconds=time.monotonic() - started, read=meter.done, by=by
    )


def _run_check(query: BackupQuery, meter: Meter) -> tuple[str, str, str]:
    with RepositoryDirectory(query) as tree:
        if tree.locks("locks"):
            raise BackupRefused(sentence("the repository is locked: it is checked later"), gone=True)
    # what stands in the index first: it fails at once on what reading would try again for an hour
    for share in ([], [f"--read-data-subset={query.check_share:.3%}"])[: 2 if query.check_share else 1]:
        result = _restic(query, "check", *share, seconds=CHECK_TAKES, bad=(1,), tick=lambda: meter.consume(0))
        if result.code != 0:
            break
    else:
        return GOOD, "", "restic check"
    lines = [line.strip() for line in (result.out.decode("utf-8", "replace") + "\n" + result.words).splitlines()]
    first = next((line for line in lines if any(word in line for word in _TELLING)), result.last_error)
    return BROKEN, sentence("restic check says: {first}", first=first[:160]), "restic check"


def _compare_hashes(query: BackupQuery, meter: Meter, marks: ReadMarks) -> tuple[str, str, str]:
    saved = marks.state("repository") or {}
    passed, wrong, count = str(saved.get("passed", "")), list(saved.get("wrong", ())), int(saved.get("count", 0))
    with RepositoryDirectory(query) as tree:
        folders = ["index", "keys", "snapshots", *(f"data/{name}" for name in tree.names("data") if name.isascii())]
        for folder in sorted(folders):
            for name in tree.names(folder):
                file = f"{folder}/{name}"
                if file <= passed or not _HASHED.fullmatch(name):
                    continue
                if (bad := _wrong(tree, file, name, meter)) != "":
                    wrong.append(pack(sentence("{who} {what}", who=f"{folder.partition('/')[0]}/{name[:8]}", what=bad)))
                passed, count = file, count + 1
                if meter.mark_due:
                    meter.save_mark({"passed": passed, "wrong": wrong[:10], "count": count})
    if wrong:
        words = unpack(wrong[0])
        if len(wrong) > 1:
            words = sentence("{so} and {gone} more", so=words, gone=len(wrong) - 1)
        return BROKEN, words, f"{count} files against their names"
    if not count:
        return CANNOT, sentence("it holds nothing to compare"), ""
    return GOOD, "", f"{count} files against their names"


def _wrong(tree: RepositoryDirectory, file: str, name: str, meter: Meter) -> str:
    """What is wrong with one file, or ""."""
    try:
        descriptor = tree.open(file)
    except FileNotFoundError:
        return ""  # pruned since
    except (OSError, place.PathEscapes) as error:
        raise BackupRefused(
            sentence(
                "{file} cannot be read: {error}",
                file=file,
                error=place.error_text(error) if isinstance(error, OSError) else error,
            )
        ) from None
    try:
        digest = ResumableHash("sha256")
        source = MeteredFile(descriptor, meter)
        while piece := source.read():
            digest.update(piece)
    except OSError as error:
        raise BackupRefused(
            sentence("{file} cannot be read: {error}", file=file, error=place.error_text(error))
        ) from None
    finally:
        os.close(descriptor)
    return "" if digest.hexdigest() == name else "is not what its name says"


def _restic(
    query: BackupQuery, *words: str, seconds: float, bad: Sequence[int] = (), tick: Any = None
) -> commands.CommandResult:
    """Run restic, which is not to write: no lock, no cache. The password goes through a pipe. Raises Refused."""
    program = commands.find_program("restic")
    if program is None:
        raise BackupRefused(sentence("this machine has no restic to look into the repository with"))
    read, write = os.pipe()
    try:
        os.write(write, query.secret["password"].encode() + b"\n")
        os.close(write)
        argv = [
            program,
            "--repo",
            query.path,
            "--password-file",
            f"/dev/fd/{read}",
            "--no-lock",
            "--no-cache",
            *words,
        ]
        environment: Mapping[str, str] = {"TMPDIR": "/tmp", "GOMAXPROCS": "1"}  # noqa: S108 with --no-cache it stays empty
        result = commands.run(
            argv, seconds=seconds, environment=environment, descriptors=(read,), tick=tick or (lambda: None)
        )
    except commands.CommandTimeout:
        raise ListingFailed(sentence("restic did not end within {seconds:n} s", seconds=seconds)) from None
    except commands.CommandOutputTooLarge:
        raise BackupRefused(sentence("restic said too much")) from None
    except OSError as error:
        raise BackupRefused(sentence("restic does not start: {error}", error=place.error_text(error))) from None
    finally:
        os.close(read)
    if result.code == 0 or (
        result.code in bad and "wrong password" not in result.words and "Fatal: unable" not in result.words
    ):
        return result
    if "wrong password" in result.words:
        raise BackupRefused(sentence("the password in this agent's file does not open the repository"))
    error_line = result.last_error.replace(query.secret["password"], "…")
    raise ListingFailed(sentence("restic cannot look into it: {error_line}", error_line=error_line))
