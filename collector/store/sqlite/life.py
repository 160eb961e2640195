"""The store's incarnations, the collector's life and declared exclusions in SQLite."""

import secrets
import time

import apsw
import msgspec

from collector.store.records import CollectorRun, DeclaredExclusion, Incarnation
from inventory.model.entities import Selector


class SqliteIncarnations:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def current(self) -> Incarnation | None:
        sql = "SELECT incarnation, count_from FROM incarnations ORDER BY id DESC LIMIT 1"
        row = self._db.execute(sql).fetchone()
        return None if row is None else Incarnation(*row)

    def begin(self, why: str, now_ms: int | None = None) -> str:
        incarnation = secrets.token_hex(8)
        now = int(time.time() * 1000) if now_ms is None else now_ms
        sql = "INSERT INTO incarnations (incarnation, count_from, why) VALUES (?, ?, ?)"
        self._db.execute(sql, (incarnation, now, why))
        return incarnation


class SqliteLife:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def begin(self, boot: bytes, boot_ms: int, at: int, trusted: bool) -> int:
        sql = "INSERT INTO collector_life (boot, boot_ms, started, alive, trusted) VALUES (?, ?, ?, ?, ?)"
        self._db.execute(sql, (boot, boot_ms, at, at, trusted))
        return self._db.last_insert_rowid()

    def record(self, run: int, boot_ms: int, alive: int, started: int, stopped: int | None) -> None:
        columns = "boot_ms = ?, alive = ?, started = iif(trusted, started, ?), trusted = 1, stopped = ?"
        sql = f"UPDATE collector_life SET {columns} WHERE id = ?"
        self._db.execute(sql, (boot_ms, alive, started, stopped, run))

    def runs(self, begin: int, end: int) -> list[CollectorRun]:
        sql = "SELECT started, alive, stopped, trusted FROM collector_life WHERE alive > ? AND started < ? ORDER BY id"
        rows = self._db.execute(sql, (begin, end))
        return [CollectorRun(started, alive, stopped, bool(trusted)) for started, alive, stopped, trusted in rows]

    def last_alive(self) -> int:
        alive = self._db.execute("SELECT max(alive) FROM collector_life WHERE trusted = 1").get
        return alive if isinstance(alive, int) else 0

    def boot_offset(self, boot: bytes) -> int | None:
        sql = "SELECT alive - boot_ms FROM collector_life WHERE trusted = 1 AND boot = ? ORDER BY id DESC LIMIT 1"
        offset = self._db.execute(sql, (boot,)).get
        return offset if isinstance(offset, int) else None


class SqliteExclusions:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def in_force(self) -> list[DeclaredExclusion]:
        columns = "id, selector, from_ms, to_ms, reason, who, at"
        rows = self._db.execute(f"SELECT {columns} FROM exclusions WHERE withdrawn_at IS NULL ORDER BY id")
        return [
            DeclaredExclusion(
                id=number,
                select=msgspec.json.decode(selector, type=Selector),
                begins=begins,
                ends=ends,
                reason=reason,
                who=who,
                at=at,
            )
            for number, selector, begins, ends, reason, who, at in rows
        ]

    def add(self, select: Selector, begins: int, ends: int, reason: str, who: str, at: int) -> int:
        self._db.execute(
            "INSERT INTO exclusions (selector, from_ms, to_ms, reason, who, at) VALUES (?, ?, ?, ?, ?, ?)",
            (msgspec.json.encode(select).decode(), begins, ends, reason, who, at),
        )
        return self._db.last_insert_rowid()

    def withdraw(self, number: int, who: str, at: int) -> bool:
        sql = "UPDATE exclusions SET withdrawn_at = ?, withdrawn_by = ? WHERE id = ? AND withdrawn_at IS NULL"
        self._db.execute(sql, (at, who, number))
        return bool(self._db.changes())
