"""The inventory's directory: which files it has, and their bytes, read without being led out of it.

Whoever may write here, in a repository of text files, says what is looked at, and no more: a link could name any
file that the collector may read. A link that leads to a plain file inside is followed (so do mounted configurations
look); every other one is refused, whatever is exchanged meanwhile: each part of the way is opened by itself, without
following.
"""

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ENDINGS: Final = ("*.yaml", "*.yml")
MAX_FILES: Final = 20_000
_DIRECTORY: Final = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
# a pipe is opened without waiting for its writer, a terminal without becoming ours
_FILE: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


class NotRead(Exception):
    """A file that is not read; says why, as the end of a sentence about it."""


def files_of(base: Path) -> list[Path]:
    """The inventory's files in the order in which they are read, links among them; hidden ones are left alone.

    A name that ends as a file's does but is a directory's is none.
    """
    if not base.is_dir():
        return []
    files = [file for ending in ENDINGS for file in base.rglob(ending) if file.is_symlink() or not file.is_dir()]
    return sorted(file for file in files if not any(part.startswith(".") for part in file.relative_to(base).parts))


def read(base: Path, file: Path, limit: int) -> bytes:
    """The bytes of one of the files below ``base``. Raises NotRead in words."""
    try:
        descriptor = _open(base, file)
        with os.fdopen(descriptor, "rb") as opened:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise NotRead("is not a plain file: it is not read")
            data = opened.read(limit + 1)
    except FileNotFoundError:
        raise NotRead("cannot be read: there is no such file") from None
    except OSError as error:
        raise NotRead(f"cannot be read: {error.strerror}") from None
    if len(data) > limit:
        raise NotRead(f"is larger than {limit >> 20} MiB")
    return data


def _open(base: Path, file: Path) -> int:
    root, real = os.path.realpath(base), os.path.realpath(file)
    if os.path.commonpath((root, real)) != root or real == root:
        raise NotRead("is a link that leads out of the inventory's directory: it is not read")
    parts = Path(real).relative_to(root).parts
    if os.open not in os.supports_dir_fd:
        return os.open(real, _FILE)
    return _open_step_by_step(root, parts)


def _open_step_by_step(root: str, parts: Sequence[str]) -> int:
    """Raises OSError (ELOOP, ENOTDIR) when a part has become a link meanwhile."""
    at = os.open(root, _DIRECTORY)
    try:
        for part in parts[:-1]:
            below = os.open(part, _DIRECTORY, dir_fd=at)
            os.close(at)
            at = below
        return os.open(parts[-1], _FILE, dir_fd=at)
    finally:
        os.close(at)
