"""Finds directories that seem to receive backups but that no check watches, for ``doctor``.

A candidate has several files named like backups (by ending, or with a date), made on several days, the last one not
long ago. The search is bounded in depth, directories and names; links are not followed.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from inventory.protocol import kinds
from inventory.protocol.plan import Plan

USUAL: Final = (
    "/var/backups", "/backup", "/backups", "/srv/backup", "/srv/backups", "/home/backup", "/home/backups",
    "/mnt/backup", "/mnt/backups", "/opt/backup", "/opt/backups", "/var/lib/backup", "/var/lib/backups",
)  # fmt: skip
MAX_DEPTH: Final = 3  # directories below the first
MOST_DIRECTORIES: Final = 300
MOST_NAMES: Final = 5_000  # of one directory
LEAST: Final = 3  # files, and days on which they were made
RECENT: Final = 40 * 86_400.0  # seconds
_LIKE: Final = re.compile(
    r"\.(gz|bz2|xz|zst|lz4|zip|7z|tar|tgz|txz|dump|sql|bak|bkp|backup|vbk|vib|img|qcow2|vma)(\.(gpg|enc|age))?$"
    r"|(?<!\d)20\d\d[-_.]?(0[1-9]|1[0-2])[-_.]?([0-2]\d|3[01])(?!\d)",
    re.IGNORECASE | re.ASCII,
)
_SYSTEM: Final = re.compile(r"(dpkg|apt|alternatives)\.")  # what Debian itself keeps in /var/backups


class Candidate(msgspec.Struct, frozen=True):
    """``newest``: when its newest file was made, seconds since the Unix epoch."""

    path: str
    files: int
    newest: float


def candidates(plan: Plan | None, directories: Sequence[str], now: float) -> list[Candidate]:
    """Below ``directories`` (what this agent may read; none: the usual places), without what the plan's checks read."""
    watched_paths = _watched_paths(plan)
    unwatched = []
    for directory in _below(directories or USUAL):
        if any(_within(directory, path) for path in watched_paths):
            continue
        if (candidate := _candidate(directory, now)) is not None:
            unwatched.append(candidate)
    return unwatched


def _watched_paths(plan: Plan | None) -> list[str]:
    checks = plan.checks if plan is not None else ()
    paths = [check.params.get("path") for check in checks if kinds.of(check.kind).looks_at == "directories"]
    return [os.path.realpath(path) for path in paths if isinstance(path, str) and path]


def _within(directory: str, path: str) -> bool:
    """One lies in the other: a check of a directory's parent or of a part of it knows of it."""
    here = os.path.realpath(directory)
    return here == path or here.startswith(path.rstrip("/") + "/") or path.startswith(here.rstrip("/") + "/")


def _below(roots: Sequence[str]) -> Iterator[str]:
    pending = [(str(root), 0) for root in roots]
    for _ in range(MOST_DIRECTORIES):
        if not pending:
            return
        directory, depth = pending.pop(0)
        yield directory
        if depth < MAX_DEPTH:
            entries = _entries(directory)
            pending += [(entry.path, depth + 1) for entry in entries if entry.is_dir(follow_symlinks=False)]


def _entries(directory: str) -> list["os.DirEntry[str]"]:
    listed: list[os.DirEntry[str]] = []
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            listed.append(entry)
            if len(listed) >= MOST_NAMES:
                break
    return sorted(listed, key=lambda entry: entry.name)


def _candidate(directory: str, now: float) -> Candidate | None:
    mtimes = []
    for entry in _entries(directory):
        if _LIKE.search(entry.name) and not _SYSTEM.match(entry.name):
            with contextlib.suppress(OSError):
                if entry.is_file(follow_symlinks=False):
                    mtimes.append(entry.stat(follow_symlinks=False).st_mtime)
    days = {int(moment // 86_400) for moment in mtimes}
    if len(days) < LEAST or max(mtimes) < now - RECENT:
        return None
    return Candidate(Path(directory).as_posix(), len(mtimes), max(mtimes))
