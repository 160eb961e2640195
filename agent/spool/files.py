"""Disk operations of the spool: positioned writes, syncs, a lock, a file replaced whole.

A failed write can be tried again. A failed sync cannot: the kernel may have forgotten the data, so it ends the
process (SpoolBroken) and the next one reads what is really there.
"""

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import BinaryIO

from inventory.base.files import open_to_append

SECTOR = 4096


class SpoolError(Exception):
    """Something is wrong with the spool; the text says what, for people."""


class SpoolLocked(SpoolError):
    """Another process is the writer of this spool."""


class SpoolBroken(SpoolError):
    """A sync failed: what is on disk is not known any more. End the process; the next start reads the disk anew."""


class FileOps:
    """The calls that can fail when a disk does; tests pass one in that fails."""

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        """Bytes written, which may be fewer than given."""
        if sys.platform == "win32":
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.write(descriptor, data)
        return os.pwrite(descriptor, data, offset)

    def read(self, path: Path, offset: int, size: int) -> bytes:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def sync(self, descriptor: int) -> None:
        """Data, and the length that reading it back needs."""
        if sys.platform == "linux":
            os.fdatasync(descriptor)
        else:
            os.fsync(descriptor)

    def sync_directory(self, directory: Path) -> None:
        """Makes creations, renamings and deletions in it last."""
        if sys.platform == "win32":
            return  # NTFS journals them; a directory cannot be opened for this
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def open_for_writing(path: Path, *, new: bool) -> int:
    flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    return os.open(path, flags | (os.O_CREAT | os.O_EXCL if new else 0), 0o600)


def write_all(ops: FileOps, descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = ops.write(descriptor, bytes(view) if len(view) != len(data) else data, offset)
        view = view[written:]
        offset += written


def read_readable(ops: FileOps, path: Path, offset: int, size: int) -> bytes:
    """What can be read; zeros stand for the sectors that cannot. Raises OSError when the fault is not the disk's."""
    try:
        return ops.read(path, offset, size)
    except FileNotFoundError:
        return b""
    except OSError as error:
        if error.errno != errno.EIO:  # no descriptors left, say: nothing is lost, and nothing may be taken for lost
            raise
    parts = []
    for start in range(offset, offset + size, SECTOR):
        length = min(SECTOR, offset + size - start)
        try:
            parts.append(ops.read(path, start, length))
        except OSError:
            parts.append(bytes(length))
    return b"".join(parts)


def replace(ops: FileOps, path: Path, data: bytes) -> None:
    """The file is the old one or the new one, whatever happens. OSError: it is still the old one."""
    temporary = path.with_suffix(".tmp")
    temporary.unlink(missing_ok=True)
    descriptor = open_for_writing(temporary, new=True)
    try:
        write_all(ops, descriptor, data, 0)
        sync(ops, descriptor, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    finally:
        os.close(descriptor)
    temporary.replace(path)
    sync_directory(ops, path.parent)


def sync(ops: FileOps, descriptor: int, path: Path) -> None:
    try:
        ops.sync(descriptor)
    except OSError as error:
        raise SpoolBroken(f"{path}: sync failed ({error.strerror}); the disk may be failing") from error


def sync_directory(ops: FileOps, directory: Path) -> None:
    try:
        ops.sync_directory(directory)
    except OSError as error:
        raise SpoolBroken(f"{directory}: sync failed ({error.strerror}); the disk may be failing") from error


class SpoolLock:
    """One writer a spool. The system gives it back however the process ends."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = os.fdopen(open_to_append(path), "ab")
        try:
            self._acquire()
        except OSError:
            self._file.close()
            raise SpoolLocked(f"{path.parent}: another haidang-agent is running on this spool; stop it first") from None

    def _acquire(self) -> None:
        if sys.platform == "win32":
            import msvcrt

            self._file.seek(0)
            msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(self._file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        self._file.close()
