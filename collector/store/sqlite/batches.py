"""Batches, those of them that wait, and checkpoints in SQLite."""

from collections.abc import Sequence

import apsw

from collector.store.records import (
    DeferredBatch,
    DeferredPush,
    PlacedBatch,
    SavedCheckpoint,
    StoredBatch,
    StoredCheckpoint,
)
from collector.store.sqlite.statements import execute_many, integer, last_row


class SqliteBatches:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def add(self, batches: Sequence[StoredBatch]) -> None:
        execute_many(self._db, "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", batches)

    def after(self, number: int, limit: int) -> list[StoredBatch]:
        sql = f"SELECT {', '.join(StoredBatch._fields)} FROM batches WHERE id > ? ORDER BY id LIMIT ?"
        return [StoredBatch(*row) for row in self._db.execute(sql, (number, limit))]

    def of_stream(self, stream: int, number: int, limit: int) -> list[StoredBatch]:
        sql = f"SELECT {', '.join(StoredBatch._fields)} FROM batches WHERE stream = ? AND id > ? ORDER BY id LIMIT ?"
        return [StoredBatch(*row) for row in self._db.execute(sql, (stream, number, limit))]

    def newest_of(self, stream: int) -> StoredBatch | None:
        sql = f"SELECT {', '.join(StoredBatch._fields)} FROM batches WHERE stream = ? ORDER BY id DESC LIMIT 1"
        row = self._db.execute(sql, (stream,)).fetchone()
        return None if row is None else StoredBatch(*row)

    def body(self, number: int) -> bytes | None:
        body = self._db.execute("SELECT body FROM batches WHERE id = ?", (number,)).get
        return body if isinstance(body, bytes) else None

    def last(self) -> int:
        return last_row(self._db, "batches")

    def defer(self, batches: Sequence[DeferredBatch]) -> None:
        execute_many(self._db, "INSERT INTO deferred VALUES (?, ?, ?)", batches)

    def deferred(self) -> dict[int, int]:
        sql = "SELECT d.batch, b.stream FROM deferred d JOIN batches b ON b.id = d.batch ORDER BY d.batch"
        return {int(batch): int(stream) for batch, stream in self._db.execute(sql)}

    def deferred_push(self, number: int) -> DeferredPush:
        sql = "SELECT d.boot, d.received, b.body FROM deferred d JOIN batches b ON b.id = d.batch WHERE d.batch = ?"
        row = self._db.execute(sql, (number,)).fetchone()
        if row is None:
            raise KeyError(number)
        return DeferredPush(*row)

    def place(self, batches: Sequence[PlacedBatch]) -> None:
        placed = [(one.placing, one.received, one.believed, one.batch) for one in batches]
        execute_many(self._db, "UPDATE batches SET placing = ?, received = ?, believed = ? WHERE id = ?", placed)
        execute_many(self._db, "DELETE FROM deferred WHERE batch = ?", [(one.batch,) for one in batches])

    def refuse(self, number: int) -> None:
        self._db.execute("UPDATE batches SET placing = x'' WHERE id = ?", (number,))
        self._db.execute("DELETE FROM deferred WHERE batch = ?", (number,))

    def prune(self, covered: int, before: int, limit: int) -> int:
        """Received times may run back where the clock was stepped, so only the oldest rows count."""
        spared = "stream NOT IN (SELECT s.id FROM streams s JOIN quarantine q ON q.agent = s.agent)"
        oldest = f"SELECT id, received FROM batches WHERE id <= ? AND {spared} ORDER BY id LIMIT ?"
        last = None
        for number, received in self._db.execute(oldest, (covered, limit)):
            if received >= before:
                break
            last = number
        if last is None:
            return 0
        waiting = "id NOT IN (SELECT batch FROM deferred)"
        self._db.execute(f"DELETE FROM batches WHERE id <= ? AND {waiting} AND {spared}", (last,))
        return self._db.changes()


class SqliteCheckpoints:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def stream(self, agent: str) -> int:
        self._db.execute("INSERT OR IGNORE INTO streams (agent) VALUES (?)", (agent,))
        return integer(self._db.execute("SELECT id FROM streams WHERE agent = ?", (agent,)).get)

    def all(self) -> list[StoredCheckpoint]:
        rows = self._db.execute("SELECT id, agent, batch, body FROM streams ORDER BY id")
        return [StoredCheckpoint(*row) for row in rows]

    def body(self, stream: int) -> bytes | None:
        body = self._db.execute("SELECT body FROM streams WHERE id = ?", (stream,)).get
        return body if isinstance(body, bytes) else None

    def save(self, checkpoints: Sequence[SavedCheckpoint]) -> None:
        rows = [(one.batch, one.contact, one.body, one.stream) for one in checkpoints]
        execute_many(self._db, "UPDATE streams SET batch = ?, saved = ?, body = ? WHERE id = ?", rows)

    def replace_body(self, stream: int, body: bytes) -> None:
        self._db.execute("UPDATE streams SET body = ? WHERE id = ?", (body, stream))

    def forget(self, stream: int) -> None:
        self._db.execute("UPDATE streams SET body = NULL WHERE id = ?", (stream,))

    def replay_after(self) -> int:
        return integer(self._db.execute("SELECT after FROM replay").get)

    def set_replay_after(self, number: int) -> None:
        self._db.execute("UPDATE replay SET after = ?", (number,))
