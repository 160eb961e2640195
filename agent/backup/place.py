"""Open files so that no link, swapped at whatever moment, leads out of the directories that are allowed.

A file is first opened as a mere place (O_PATH: nothing is read, no device or pipe is touched), then the kernel is
asked where that place really is, and only then it is opened for reading, by way of the same descriptor.
"""

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from agent.backup.facts import BackupRefused
from inventory.protocol.reasons import sentence

_WORDS = {
    errno.EACCES: sentence("this agent's user may not read it"),
    errno.EPERM: sentence("this agent's user may not read it"),
    errno.EIO: sentence("the disk or the mount reports an input/output error"),
    errno.ESTALE: sentence("the network mount is stale"),
    errno.ENOTCONN: sentence("the mount's other end is gone"),
    errno.EHOSTDOWN: sentence("the mount's server is down"),
    errno.ETIMEDOUT: sentence("the mount's server does not answer"),
    errno.ELOOP: sentence("its links lead in a circle"),
    errno.ENAMETOOLONG: sentence("the path is too long"),
    errno.EMFILE: sentence("this agent has too many files open"),
}


class PathEscapes(Exception):
    """A link leads out of the allowed directories, or to something that is no plain file."""


def error_text(error: OSError) -> str:
    """An error of the file system in words."""
    return _WORDS.get(error.errno or 0) or error.strerror or type(error).__name__


def path_text(name: str) -> str:
    """A name from a disk as text that can be written anywhere."""
    return name.encode("utf-8", "replace").decode()


def open_directory(path: str, allowed: Sequence[str]) -> int:
    """A descriptor of the directory. Raises Refused: outside the limits, not there, not readable."""
    if not path.startswith("/"):
        raise BackupRefused(sentence("{path} is not a whole path: it has to begin with /", path=path))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise BackupRefused(sentence("there is no directory {path}", path=path), gone=True) from None
    except (OSError, ValueError) as error:
        words = error_text(error) if isinstance(error, OSError) else str(error)
        raise BackupRefused(sentence("{path} cannot be looked at: {words}", path=path, words=words)) from None
    if allowed and not within(real_path(descriptor), real_roots(allowed)):
        os.close(descriptor)
        raise BackupRefused(sentence("{path} is outside the directories this agent may read", path=path))
    return descriptor


def real_roots(allowed: Sequence[str]) -> tuple[str, ...]:
    """The allowed directories as they really are."""
    return tuple(os.path.realpath(directory) for directory in allowed)


def real_path(descriptor: int) -> str:
    """Where an open descriptor really is."""
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def within(place: str, directories: Sequence[str]) -> bool:
    return any(place == root or place.startswith(root.rstrip("/") + "/") for root in directories)


def stat_file(name: bytes | str, directory: int, inside: Sequence[str]) -> os.stat_result:
    """What a name leads to. Raises LeadsOut, OSError."""
    descriptor = _open_path(name, directory, inside)
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def open_file(name: bytes | str, directory: int, inside: Sequence[str]) -> int:
    """A descriptor to read from. Raises LeadsOut, OSError."""
    descriptor = _open_path(name, directory, inside)
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(descriptor)


def _open_path(name: bytes | str, directory: int, inside: Sequence[str]) -> int:
    descriptor = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PathEscapes(sentence("not a plain file"))
        if not within(real_path(descriptor).removesuffix(" (deleted)"), inside):
            raise PathEscapes(sentence("outside the allowed directories"))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
