"""Small files, made and replaced: whole or not there, and never by way of a link that somebody else laid.

Everything is done below an open directory. Root walks to it name by name, and where others may write it follows no
link; new files have names that nobody can know before. What root puts into another user's directory is that user's, or
the owner's programs could not use it; who commands there is better that user himself (``inventory/base/owner.py``).
"""

import errno
import os
import secrets
import stat
import time
from pathlib import Path
from types import TracebackType
from typing import Final

MOST_LINKS: Final = 40
LEFT_OVER: Final = 3600.0  # seconds after which a file that was never put in its place was left by a crash
# of the system's calls, where there are such (not on Windows)
_NO_LINK: Final[int] = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_WAIT: Final[int] = getattr(os, "O_NONBLOCK", 0)  # a pipe that lies in a file's place keeps nobody waiting
_DIRECTORY: Final[int] = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_BELOW: Final = os.open in os.supports_dir_fd  # whether files can be named below an open directory


class Directory:
    """An open directory: what is made, renamed and removed here stays here, whatever becomes of the names above."""

    def __init__(self, path: Path) -> None:
        """Raises OSError; ELOOP where a link lies in the way that this user is not to follow."""
        self.path = path
        self.descriptor = open_directory(path) if _BELOW else -1

    def __enter__(self) -> "Directory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)

    def create(self, name: str, mode: int = 0o600) -> int:
        """A descriptor of a new file for reading and writing. Raises FileExistsError and other OSError."""
        descriptor = self._open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)  # whatever the umask
        return descriptor

    def open_regular(self, name: str, flags: int, mode: int = 0o600) -> int:
        """A descriptor of a file that is no link, no device and no pipe; for root also no second name of another file.

        Raises OSError: ELOOP for what is not such a file.
        """
        descriptor = self._open(name, flags | _NO_WAIT, mode)
        found = os.fstat(descriptor)
        others = is_root() and found.st_nlink > 1 and not _of_root_alone(self._status())
        if not stat.S_ISREG(found.st_mode) or others:
            os.close(descriptor)
            raise OSError(errno.ELOOP, "not a plain file of its own", str(self.path / name))
        return descriptor

    def rename(self, old: str, new: str) -> None:
        """What bore the new name is gone."""
        if _BELOW:
            os.replace(old, new, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        else:
            (self.path / old).replace(self.path / new)

    def unlink(self, name: str) -> None:
        """It may be gone already."""
        try:
            os.unlink(name, dir_fd=self.descriptor) if _BELOW else os.unlink(self.path / name)  # noqa: PTH108
        except FileNotFoundError:
            pass

    def exists(self, name: str) -> bool:
        """Whether there is anything of that name, a link that leads nowhere included."""
        try:
            os.stat(name, dir_fd=self.descriptor, follow_symlinks=False) if _BELOW else (self.path / name).lstat()
        except FileNotFoundError:
            return False
        return True

    def make_directory(self, name: str) -> None:
        """For its owner alone. Raises OSError, FileExistsError among them."""
        if not _BELOW:
            (self.path / name).mkdir(mode=0o700)
            return
        os.mkdir(name, 0o700, dir_fd=self.descriptor)
        made = os.open(name, _DIRECTORY | _NO_LINK, dir_fd=self.descriptor)
        try:
            self.hand_over(made)
        finally:
            os.close(made)

    def hand_over(self, descriptor: int) -> None:
        """What root has just made here belongs to whom the directory belongs."""
        if is_root():
            owner = self._status()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def sync(self) -> None:
        """Names made, changed and gone survive a power cut, where the system can do that."""
        if self.descriptor >= 0:
            os.fsync(self.descriptor)

    def _open(self, name: str, flags: int, mode: int) -> int:
        if not _BELOW:
            return os.open(self.path / name, flags | _NO_LINK, mode)
        return os.open(name, flags | _NO_LINK, mode, dir_fd=self.descriptor)

    def _status(self) -> os.stat_result:
        return os.fstat(self.descriptor)


def is_root() -> bool:
    """Whether this process may do everything with everybody's files."""
    return hasattr(os, "geteuid") and os.geteuid() == 0


def open_directory(path: Path) -> int:
    """A descriptor. Root follows no link that lies where another user may write: ELOOP. Raises OSError."""
    if not is_root() or not _BELOW:
        return os.open(path, _DIRECTORY)
    text = os.fspath(path)
    here = os.open("/" if text.startswith("/") else ".", _DIRECTORY)
    names, links = _names(text), 0
    try:
        while names:
            name = names.pop()
            try:
                there = os.open(name, _DIRECTORY | _NO_LINK, dir_fd=here)
            except OSError as error:
                if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise OSError(error.errno, error.strerror, text) from None
                target, links = _target(name, here, text), links + 1
                if links > MOST_LINKS or not _of_root_alone(os.fstat(here)):
                    message = "a link lies in the way, where others than root may write"
                    raise OSError(errno.ELOOP, message, text) from None
                there = os.open("/" if target.startswith("/") else ".", _DIRECTORY, dir_fd=here)
                names += _names(target)
            os.close(here)
            here = there
    except BaseException:
        os.close(here)
        raise
    return here


def make_directory(path: Path) -> Path:
    """Make a directory, and those above it, with the owner of what was there before. Raises OSError."""
    try:
        with Directory(path):
            return path
    except FileNotFoundError:
        pass
    if not _BELOW and path.is_dir():
        return path
    make_directory(path.parent)
    with Directory(path.parent) as above:
        try:
            above.make_directory(path.name)
        except FileExistsError:  # somebody else was quicker
            pass
    return path


def replace(path: Path, content: bytes, *, mode: int = 0o644, durable: bool = True, group: int | None = None) -> None:
    """Put ``content`` at ``path`` in one step. With ``durable`` it is on the disk when this returns. ``group``: whose
    it is besides its owner's, the directory's where none is given. Raises OSError."""
    with Directory(path.parent) as directory:
        beside = fresh_name(path.name)
        descriptor = directory.create(beside, mode)
        try:
            try:
                with os.fdopen(descriptor, "wb", closefd=False) as file:
                    file.write(content)
                directory.hand_over(descriptor)  # root enrols, the agent's own user reads
                if group is not None:
                    os.fchown(descriptor, -1, group)
                if durable:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            directory.rename(beside, path.name)
        except BaseException:
            directory.unlink(beside)
            raise
        if durable:
            directory.sync()


def fresh_name(name: str) -> str:
    """A name beside ``name`` that nobody can know before."""
    return f".{name}.{secrets.token_hex(8)}.new"


def remove_left_over(directory: Path) -> None:
    """Remove what a crash left of files that were being made. Raises nothing: it is only room."""
    try:
        before = time.time() - LEFT_OVER
        for path in directory.glob(".*.new"):
            if path.lstat().st_mtime < before and not path.is_dir():
                path.unlink()
    except OSError:
        pass


def check_writable(directory: Path) -> None:
    """Whether a file of 4 KiB can be made there; it is gone again when this returns. Raises OSError."""
    with Directory(directory) as opened:
        name = fresh_name("writable")
        descriptor = opened.create(name)
        try:
            os.write(descriptor, b"x" * 4096)
        finally:
            os.close(descriptor)
            opened.unlink(name)


def read(path: Path) -> bytes:
    """What a plain file holds, reached as ``open_to_read`` does. Raises OSError."""
    descriptor = open_to_read(path)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        return file.read()


def open_to_read(path: Path) -> int:
    """A descriptor for reading. Root follows another's links neither on the way nor in the end. Raises OSError."""
    if not is_root() or not _BELOW:
        return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | _NO_WAIT)
    with Directory(path.parent) as directory:
        if _of_root_alone(os.fstat(directory.descriptor)):
            return os.open(path.name, os.O_RDONLY | _NO_WAIT, dir_fd=directory.descriptor)
        return directory.open_regular(path.name, os.O_RDONLY)


def open_to_append(path: Path, mode: int = 0o600) -> int:
    """A descriptor that writes at the end of a plain file, made where there is none. Raises OSError."""
    with Directory(path.parent) as directory:
        new = not directory.exists(path.name)
        descriptor = directory.open_regular(path.name, os.O_WRONLY | os.O_APPEND | os.O_CREAT, mode)
        if new:
            directory.hand_over(descriptor)
            directory.sync()
        return descriptor


def sync(path: Path) -> None:
    """Make a file's content, or the names in a directory, survive a power cut, where the system can. Raises OSError."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _of_root_alone(directory: os.stat_result) -> bool:
    """Whether only root can lay something there."""
    return directory.st_uid == 0 and not directory.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _names(path: str) -> list[str]:
    """Last first."""
    return [name for name in path.split("/") if name not in ("", ".")][::-1]


def _target(name: str, directory: int, path: str) -> str:
    """Where a link leads. Raises NotADirectoryError when it is none."""
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path) from None
