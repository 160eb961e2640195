"""Atomic replacement of small files: whole or not there, whatever happens in between."""

import os
from pathlib import Path


def make_directory(path: Path) -> Path:
    """Make a directory, and those above it, with the owner of what was there before. Raises OSError."""
    if not path.is_dir():
        above = make_directory(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        if hasattr(os, "chown") and os.geteuid() == 0:
            owner = above.stat()  # root looks by hand, the agent's own user goes on with it
            os.chown(path, owner.st_uid, owner.st_gid)
    return path


def replace(path: Path, content: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Put ``content`` at ``path`` in one step. With ``durable`` it is on the disk when this returns. Raises OSError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        beside.unlink(missing_ok=True)  # left by a crash, or put there by who may write here to lead root elsewhere
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            os.fchmod(descriptor, mode) if hasattr(os, "fchmod") else None  # whatever the umask
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(content)
            if hasattr(os, "fchown") and os.geteuid() == 0:
                owner = path.parent.stat()  # root enrols, the agent's own user reads
                os.fchown(descriptor, owner.st_uid, owner.st_gid)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Make a file's content, or the names in a directory, survive a power cut, where the system can. Raises OSError."""
    if os.name != "posix":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
