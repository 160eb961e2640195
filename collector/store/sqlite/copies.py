"""Copies of the one SQLite file, made beside a running collector, and stores that no collector has open."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from collector.store.errors import StoreError
from collector.store.interfaces.store import Transaction
from collector.store.sqlite.database import BUSY_MS, connect, migrate
from collector.store.sqlite.store import SqliteTransaction

T = TypeVar("T")

PAGES: Final = 2_000  # copied at once; between two steps a running collector commits


def write_alone(path: Path, work: Callable[[Transaction], T]) -> T:
    """Do ``work`` in one transaction on a store that no collector has open. Raises StoreError."""
    if not path.exists():
        raise StoreError(f"there is no store at {path}")
    try:
        with contextlib.closing(connect(path, apsw.SQLITE_OPEN_READWRITE)) as db:
            migrate(db)
            with db:
                result = work(SqliteTransaction(db))
    except apsw.Error as error:
        raise StoreError(f"{path} is not a store of ours, or damaged: {error}") from None
    return result


def copy_store(source: Path, target: Path, files: Mapping[str, bytes]) -> None:
    """Copy the store as of one moment, and put ``files`` into the copy. Raises StoreError, OSError."""
    with (
        _in_words("the backup failed: "),
        contextlib.closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as old,
        contextlib.closing(apsw.Connection(str(target))) as new,
    ):
        old.set_busy_timeout(BUSY_MS)
        # one read transaction over all steps: the copy is of one moment although the collector commits
        old.execute("BEGIN")
        old.execute("SELECT count(*) FROM incarnations").get  # noqa: B018  # begins the read
        with new.backup("main", old, "main") as work:
            while not work.done:
                work.step(PAGES)
        new.execute("PRAGMA journal_mode = DELETE")
        new.execute("CREATE TABLE kept_files (name TEXT PRIMARY KEY, content BLOB NOT NULL)")
        for file in files.items():
            new.execute("INSERT INTO kept_files VALUES (?, ?)", file)


def take_files(path: Path) -> dict[str, bytes] | None:
    """The files out of a copy, None when it has none. Raises StoreError when it is no copy of a store."""
    with _in_words(), contextlib.closing(connect(path, apsw.SQLITE_OPEN_READWRITE)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'incarnations'").get:
            raise StoreError("it is not a copy of a collector's store")
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'kept_files'").get:
            return None
        rows: list[Any] = db.execute("SELECT name, content FROM kept_files").fetchall()
        db.execute("DROP TABLE kept_files")
        db.execute("VACUUM")
    return {str(name): bytes(content) for name, content in rows}


@contextlib.contextmanager
def _in_words(what: str = "") -> Iterator[None]:
    try:
        yield
    except apsw.Error as error:
        raise StoreError(f"{what}{error}") from None
