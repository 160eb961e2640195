"""Size and checksum of a directory tree: how much space it takes, and whether it is the same."""

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path


def measure_tree(directory: Path, until: float) -> tuple[int, int, str]:
    """(files, bytes, checksum) of a tree; past ``until`` (time.monotonic()) the checksum is given up and is "".

    The checksum is SHA-256 over each path, directory by directory in the order of names, with its length and the
    SHA-256 of what it holds, or for a link where it leads. Links are not followed.
    """
    whole, count, size, sound = sha256(), 0, 0, True
    for name, entry in _entries(os.fsencode(directory), b""):
        with contextlib.suppress(FileNotFoundError):  # gone meanwhile
            entry_stat = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(entry_stat.st_mode):
                content: bytes | None = os.fsencode(Path(os.fsdecode(entry.path)).readlink())
            elif stat.S_ISREG(entry_stat.st_mode):
                content = _digest(entry.path, until) if sound else None
                size += entry_stat.st_size
            else:
                continue
            count += 1
            sound = sound and content is not None
            content = content or b""
            whole.update(b"%d:%b%d:%d:%b" % (len(name), name, entry_stat.st_size, len(content), content))
    return count, size, whole.hexdigest() if sound and count else ""


def _entries(directory: bytes, prefix: bytes) -> Iterator[tuple[bytes, "os.DirEntry[bytes]"]]:
    """Everything but directories, with its path below the root; one directory's names in memory at a time."""
    try:
        with os.scandir(directory) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path, prefix + entry.name + b"/")
        else:
            yield prefix + entry.name, entry


def _digest(path: bytes, until: float) -> bytes | None:
    """None when it cannot be read, or not in time."""
    digest = sha256()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        while data := os.read(descriptor, 1 << 20):
            if time.monotonic() >= until:
                return None
            digest.update(data)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return digest.digest()


def space_used(directory: Path, enough: int) -> int:
    """Bytes that a tree takes on the disk; counting stops past ``enough``."""
    total, pending = 0, [os.fsencode(directory)]
    while pending and total <= enough:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
        except OSError:
            pass  # gone meanwhile, or closed to us: what is inside cannot be told
    return total
