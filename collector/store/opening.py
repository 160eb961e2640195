"""Which store is opened: the one place that names an implementation."""

import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from collector.store.errors import StoreError
from collector.store.interfaces.store import Store, Transaction
from collector.store.sqlite import copies
from collector.store.sqlite.store import SqliteStore

T = TypeVar("T")


def open_store(path: Path) -> Store:
    """Makes it when there is none. Raises StoreError, in words."""
    _check_plain(path)
    return SqliteStore.open(path)


def write_alone(path: Path, work: Callable[[Transaction], T]) -> T:
    """Do ``work`` in one transaction on a store that no collector has open. Raises StoreError."""
    return copies.write_alone(path, work)


def copy_store(source: Path, target: Path, files: dict[str, bytes]) -> None:
    """A copy as of one moment, beside a running collector, with ``files`` by name in it. Raises StoreError, OSError."""
    _check_plain(source)
    copies.copy_store(source, target, files)


def _check_plain(path: Path) -> None:
    """Whoever opens a pipe waits for ever. Raises StoreError."""
    for ending in ("", "-wal", "-shm", "-journal"):
        place = Path(f"{path}{ending}")
        try:
            plain = stat.S_ISREG(place.stat().st_mode)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StoreError(f"{place} cannot be used as the collector's store: {error.strerror}") from None
        if not plain:
            raise StoreError(f"{place} cannot be used as the collector's store: it is not a plain file")


def take_files(path: Path) -> dict[str, bytes] | None:
    """Take the files out of a copy: they have no place in the store itself. None: it has none.

    Raises StoreError when it is no copy of a store.
    """
    return copies.take_files(path)
