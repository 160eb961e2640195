"""The one SQLite file: opening, migrating, one writer, readers in threads. It knows nothing of what the tables mean.

Durable means durable: WAL with synchronous=FULL, so a transaction is synced before it returns (with NORMAL a power
cut loses commits that were acknowledged). Copying the WAL back into the file is taken off the commit's path.
"""

import asyncio
import os
import queue
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from collector.store.audit_chain import chained
from collector.store.errors import StoreBroken, StoreError, StoreFull

T = TypeVar("T")

OLDEST_SQLITE: Final = (3, 51, 3)  # older ones have the WAL-reset fault
MIGRATIONS: Final = Path(__file__).parent / "migrations"
READERS: Final = 2
BUSY_MS: Final = 10_000  # how long to wait for another process that writes (the command line)
CHECKPOINT_PAGES: Final = 1_000  # WAL pages from which they are copied back beside the commits
RESTART_PAGES: Final = 8_000  # from which the writer stands still for the last of them, so that the WAL starts over


class Database:
    """Opened with :meth:`open`. ``broken`` is set when the process has to end."""

    def __init__(self, path: Path, writer: apsw.Connection, vfs: str | None = None) -> None:
        self.path = path
        self.broken = asyncio.Event()
        self.wal_pages = 0
        self.commit_seconds = 0.0  # what the last commit took, the sync included
        self._writer = writer
        self._writer_lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "store-writer")
        self.readers = ThreadPoolExecutor(READERS, "store-reader")
        self._free_readers: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()
        for _ in range(READERS):
            self._free_readers.put(connect(path, apsw.SQLITE_OPEN_READONLY, vfs))
        self._checkpoint_connection = connect(path, apsw.SQLITE_OPEN_READWRITE, vfs)
        self._copying: asyncio.Future[int] | None = None
        writer.set_wal_hook(self._committed)

    @classmethod
    def open(cls, path: Path, *, migrations: Path = MIGRATIONS, vfs: str | None = None) -> "Database":
        """Creates the file (mode 0600) and its tables when there are none. Raises StoreError, in words.

        ``vfs``: SQLite's name of another way to the disk, for tests of disks that fail.
        """
        version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
        if version < OLDEST_SQLITE:
            raise StoreError(f"SQLite {apsw.sqlite_lib_version()} can damage a WAL; 3.51.3 or newer is needed")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            writer = connect(path, apsw.SQLITE_OPEN_READWRITE, vfs)
            migrate(writer, migrations)
            return cls(path, writer, vfs)
        except apsw.Error as error:
            raise StoreError(f"{path} cannot be used as the collector's store: {error}") from None
        except OSError as error:
            raise StoreError(f"{path} cannot be used as the collector's store: {error.strerror}") from None

    async def write(self, work: Callable[[apsw.Connection], T]) -> T:
        """Do ``work`` in a transaction of its own, in the writer's thread. Durable when it returns; when ``work``
        raises, nothing of it is kept and the exception passes. Raises StoreError when the disk will not have it."""
        async with self._writer_lock:
            return await self._in_thread(lambda: self.write_now(work))

    def write_now(self, work: Callable[[apsw.Connection], T]) -> T:
        """As :meth:`write`, on this thread: for starting up, when nobody else writes."""
        self._begin(BUSY_MS)
        return self._finish(work)

    async def commit(self, work: Callable[[apsw.Connection], T]) -> T:
        """As :meth:`write`, but ``work`` runs here, on the loop's thread, and only the commit with its sync leaves it.

        For many small statements: each one run in a thread beside a busy loop can wait 5 ms for the interpreter lock.
        """
        async with self._writer_lock:
            try:
                self._begin(0)
            except apsw.BusyError:  # another process is writing
                await self._in_thread(lambda: self._begin(BUSY_MS))
            try:
                result = work(self._writer)
            except apsw.Error as error:
                self._rollback()
                raise self._store_error(error) from None
            except BaseException:
                self._rollback()
                raise
            await self._in_thread(lambda: self._finish(lambda _: None))
        self._copy_back()
        return result

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Do ``work`` with a read-only connection, in a thread, on one snapshot."""

        return await asyncio.get_running_loop().run_in_executor(self.readers, self.read_now, work)

    def read_now(self, work: Callable[[apsw.Connection], T]) -> T:
        """As :meth:`read`, on this thread: for starting up, when there is no one to keep waiting."""
        connection = self._free_readers.get()
        try:
            with connection:
                result = work(connection)
        finally:
            self._free_readers.put(connection)
        return result

    async def close(self) -> None:
        """Waits for what is under way; copies the WAL back."""
        async with self._writer_lock:
            if self._copying is not None:
                await asyncio.wait([self._copying])
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self.readers.shutdown()
        self._thread.shutdown()
        for _ in range(READERS):
            self._free_readers.get().close()
        self._checkpoint_connection.close()
        self._writer.close()

    def _begin(self, busy_ms: int) -> None:
        if self.broken.is_set():
            raise StoreBroken(f"{self.path} could not be synced to its disk; the process has to end")
        self._writer.set_busy_timeout(busy_ms)
        self._writer.execute("BEGIN IMMEDIATE")

    def _finish(self, work: Callable[[apsw.Connection], T]) -> T:
        started = time.perf_counter()
        try:
            result = work(self._writer)
            self._writer.execute("COMMIT")
        except apsw.Error as error:
            self._rollback()
            raise self._store_error(error) from None
        except BaseException:
            self._rollback()
            raise
        self.commit_seconds = time.perf_counter() - started
        return result

    def _rollback(self) -> None:
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")

    def _store_error(self, error: apsw.Error) -> Exception:
        if isinstance(error, apsw.FullError):
            return StoreFull(f"no room on the disk that holds {self.path}")
        if isinstance(error, apsw.IOError):
            if getattr(error, "extendedresult", 0) in (apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC):
                self.broken.set()
                return StoreBroken(f"{self.path} could not be synced to its disk")
            return StoreFull(f"{self.path} could not be written: {error}")
        if isinstance(error, apsw.BusyError | apsw.ReadOnlyError | apsw.CantOpenError | apsw.CorruptError):
            return StoreError(f"{self.path} could not be written: {error}")
        return error  # a constraint, a type: the caller's own

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run in the writer's thread, and do not let go before it is done, even when cancelled: the turn depends on
        it."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                try:
                    await asyncio.wait([future])
                except asyncio.CancelledError:
                    continue
            raise

    def _committed(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self.wal_pages = pages
        return apsw.SQLITE_OK

    def _copy_back(self) -> None:
        """Start copying the WAL back, beside the commits, when there is enough of it."""
        if self.wal_pages < CHECKPOINT_PAGES or (self._copying is not None and not self._copying.done()):
            return
        loop = asyncio.get_running_loop()
        if self.wal_pages < RESTART_PAGES:
            self._copying = loop.run_in_executor(self.readers, self._checkpoint, apsw.SQLITE_CHECKPOINT_PASSIVE)
        else:
            self._copying = asyncio.ensure_future(self._start_wal_over())

    async def _start_wal_over(self) -> int:
        """Two steps: most of it beside the commits, then the rest while none runs, so that the WAL starts over."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.readers, self._checkpoint, apsw.SQLITE_CHECKPOINT_PASSIVE)
        async with self._writer_lock:
            return await self._in_thread(lambda: self._checkpoint(apsw.SQLITE_CHECKPOINT_RESTART))

    def _checkpoint(self, mode: int) -> int:
        try:
            return self._checkpoint_connection.wal_checkpoint(mode=mode)[1]
        except apsw.Error:  # a reader in the way, a full disk: the WAL holds it all, and the next commit tries again
            return 0


def connect(path: Path, flags: int, vfs: str | None = None) -> apsw.Connection:
    """A connection as all of ours are: WAL, synchronous=FULL, nothing copied back behind a commit's back."""
    connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
    connection.set_busy_timeout(BUSY_MS)
    if flags & apsw.SQLITE_OPEN_READWRITE:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.wal_autocheckpoint(0)
    return connection


def migrate(connection: apsw.Connection, directory: Path = MIGRATIONS) -> None:
    """Bring the tables up to date, each step in a transaction of its own. Raises StoreError for a newer schema."""
    steps = sorted((int(path.name[:4]), path) for path in directory.glob("*.sql") if re.match(r"\d{4}_", path.name))
    schema = connection.execute("PRAGMA user_version").get
    assert isinstance(schema, int)
    newest = steps[-1][0]
    if schema > newest:
        raise StoreError(
            f"this store was written by a newer collector (schema {schema}, this one knows {newest}); install that one"
        )
    connection.create_scalar_function("audit_hash", _audit_hash, 6)  # for the step that chains the rows of before
    for number, path in steps:
        if number > schema:
            with connection:
                connection.execute(path.read_text(encoding="utf-8"))
                connection.execute(f"PRAGMA user_version = {number}")


def _audit_hash(*row: Any) -> bytes:
    previous, number, at, who, what, data = row
    return chained(previous, number, at, who, what, data)
