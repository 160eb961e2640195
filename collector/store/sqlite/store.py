"""The store in one SQLite file."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import apsw

from collector.store.errors import StoreError
from collector.store.interfaces.store import Transaction
from collector.store.records import Incarnation
from collector.store.sqlite.alerting import SqliteCursor, SqliteIncidents, SqliteOutbox, SqliteUnsubscribed
from collector.store.sqlite.audit import SqliteAudit, SqliteSessions
from collector.store.sqlite.batches import SqliteBatches, SqliteCheckpoints
from collector.store.sqlite.counters import SqliteCircuits, SqlitePower
from collector.store.sqlite.database import Database
from collector.store.sqlite.events import SqliteDeadLetters, SqliteEvents
from collector.store.sqlite.identities import (
    SqliteCertificates,
    SqliteCodes,
    SqliteKeptMachines,
    SqliteRevocations,
)
from collector.store.sqlite.life import SqliteExclusions, SqliteIncarnations, SqliteLife
from collector.store.sqlite.plans import SqliteChecks, SqlitePlans
from collector.store.sqlite.quarantine import SqliteQuarantine
from collector.store.sqlite.spans import SqliteSpans
from collector.store.sqlite.sums import SqliteSums

T = TypeVar("T")

MEASURED: Final = ("batches", "spans", "sums", "events", "dead_letters")


class SqliteTransaction(Transaction):
    """The repositories over one connection, whose owner begins and ends the transaction."""

    def __init__(self, db: apsw.Connection) -> None:
        self.batches = SqliteBatches(db)
        self.checkpoints = SqliteCheckpoints(db)
        self.spans = SqliteSpans(db)
        self.sums = SqliteSums(db)
        self.events = SqliteEvents(db)
        self.dead_letters = SqliteDeadLetters(db)
        self.quarantine = SqliteQuarantine(db)
        self.plans = SqlitePlans(db)
        self.checks = SqliteChecks(db)
        self.incidents = SqliteIncidents(db)
        self.cursor = SqliteCursor(db)
        self.outbox = SqliteOutbox(db)
        self.unsubscribed = SqliteUnsubscribed(db)
        self.circuits = SqliteCircuits(db)
        self.power = SqlitePower(db)
        self.codes = SqliteCodes(db)
        self.certificates = SqliteCertificates(db)
        self.revocations = SqliteRevocations(db)
        self.kept_machines = SqliteKeptMachines(db)
        self.audit = SqliteAudit(db)
        self.sessions = SqliteSessions(db)
        self.exclusions = SqliteExclusions(db)
        self.life = SqliteLife(db)
        self.incarnations = SqliteIncarnations(db)
        self._db = db

    def sizes(self) -> dict[str, int]:
        """Cheaply: by the highest row id less the lowest."""
        counts: dict[str, int] = {}
        for table in MEASURED:
            row = self._db.execute(f"SELECT min(id), max(id) FROM {table}").fetchone()
            assert row is not None
            counts[table] = 0 if row[0] is None else int(row[1]) - int(row[0]) + 1
        pages, size = self._db.execute("PRAGMA page_count").get, self._db.execute("PRAGMA page_size").get
        counts["bytes"] = int(pages) * int(size)
        return counts


class SqliteStore:
    """Over an opened :class:`Database`; collector.store.interfaces.store says what each call does."""

    def __init__(self, database: Database) -> None:
        self.database = database
        incarnation = database.read_now(_current) or database.write_now(_created)
        self.incarnation = incarnation.id
        self.count_from = incarnation.count_from

    @classmethod
    def open(cls, path: Path) -> "SqliteStore":
        """Creates the file and its tables when there are none. Raises StoreError, in words."""
        return cls(Database.open(path))

    @property
    def broken(self) -> asyncio.Event:
        return self.database.broken

    @property
    def commit_seconds(self) -> float:
        return self.database.commit_seconds

    @property
    def wal_pages(self) -> int:
        return self.database.wal_pages

    async def read(self, work: Callable[[Transaction], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.database.readers, self.read_now, work)

    def read_now(self, work: Callable[[Transaction], T]) -> T:
        try:
            return self.database.read_now(lambda db: work(SqliteTransaction(db)))
        except apsw.Error as error:
            raise StoreError(f"{self.database.path} could not be read: {error}") from None

    async def write(self, work: Callable[[Transaction], T]) -> T:
        return await self.database.write(lambda db: work(SqliteTransaction(db)))

    async def commit(self, work: Callable[[Transaction], T]) -> T:
        return await self.database.commit(lambda db: work(SqliteTransaction(db)))

    async def close(self) -> None:
        await self.database.close()


def _current(db: apsw.Connection) -> Incarnation | None:
    return SqliteIncarnations(db).current()


def _created(db: apsw.Connection) -> Incarnation:
    """The first life of a store that was only just made, by this process or by one that was faster."""
    incarnations = SqliteIncarnations(db)
    if (current := incarnations.current()) is None:
        incarnations.begin("created")
        current = incarnations.current()
    assert current is not None
    return current
