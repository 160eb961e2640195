"""Events and dead letters in SQLite."""

import json
from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from alerts.incident.finding import IngestFinding
from collector.store.records import AddedDeadLetter, AddedEvent, DeadLetter, StoredEvent
from collector.store.sqlite.statements import execute_many, last_row

COLUMNS: Final = "id, at, agent, check_uid, kind, data, finding"
RECENT_ROWS: Final = 5_000  # that findings_since looks at: there is no index by time alone


class SqliteEvents:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def add(self, events: Sequence[AddedEvent]) -> None:
        rows = [
            (one.at, one.agent, one.check, one.kind, msgspec.json.encode(one.data).decode(), one.finding)
            for one in events
        ]
        execute_many(self._db, "INSERT INTO events VALUES (NULL, ?, ?, ?, ?, ?, ?)", rows)

    def newest(
        self, *, agent: str | None = None, begin: int = 0, end: int = 2**62, limit: int = 1000
    ) -> list[StoredEvent]:
        where, arguments = ("agent = ? AND ", (agent,)) if agent is not None else ("", ())
        sql = f"SELECT {COLUMNS} FROM events WHERE {where}at >= ? AND at < ? ORDER BY at DESC, id DESC LIMIT ?"
        return [_event(row) for row in self._db.execute(sql, (*arguments, begin, end, limit))]

    def findings_after(self, number: int, limit: int = 1000) -> list[tuple[int, IngestFinding]]:
        sql = f"SELECT {COLUMNS} FROM events WHERE id > ? AND finding = 1 ORDER BY id LIMIT ?"
        return [(row[0], _finding(_event(row))) for row in self._db.execute(sql, (number, limit))]

    def findings_since(self, begin: int) -> list[IngestFinding]:
        latest = f"id > (SELECT max(id) FROM events) - {RECENT_ROWS}"
        sql = f"SELECT {COLUMNS} FROM events WHERE {latest} AND at >= ? AND finding = 1 ORDER BY id"
        return [_finding(_event(row)) for row in self._db.execute(sql, (begin,))]

    def agent_life(self, agent: str, begin: int) -> list[tuple[int, str, dict[str, Any]]]:
        sql = "SELECT at, kind, data FROM events WHERE agent = ? AND at >= ? AND kind IN (?, ?) ORDER BY at, id"
        rows = self._db.execute(sql, (agent, begin, "agent start", "agent stop"))
        return [(int(at), str(kind), json.loads(data)) for at, kind, data in rows]

    def last(self) -> int:
        return last_row(self._db, "events")

    def prune(self, before: int, limit: int) -> int:
        sql = "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT ?) AND at < ?"
        self._db.execute(sql, (limit, before))
        return self._db.changes()


class SqliteDeadLetters:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def add(self, letters: Sequence[AddedDeadLetter]) -> None:
        execute_many(self._db, "INSERT INTO dead_letters VALUES (NULL, ?, ?, ?, ?, ?)", letters)

    def newest(self, *, agent: str | None = None, limit: int = 100) -> list[DeadLetter]:
        where, arguments = ("WHERE agent = ? ", (agent,)) if agent is not None else ("", ())
        sql = f"SELECT id, at, agent, reason, count, body FROM dead_letters {where}ORDER BY id DESC LIMIT ?"
        return [DeadLetter(*row) for row in self._db.execute(sql, (*arguments, limit))]

    def prune(self, before: int, keep: int, limit: int) -> int:
        self._db.execute(
            "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters ORDER BY id LIMIT ?)"
            " AND (at < ? OR id <= (SELECT max(id) FROM dead_letters) - ?)",
            (limit, before, keep),
        )
        return self._db.changes()


def _event(row: tuple[Any, ...]) -> StoredEvent:
    return StoredEvent(row[0], row[1], row[2], row[3], row[4], json.loads(row[5]), bool(row[6]))


def _finding(event: StoredEvent) -> IngestFinding:
    return IngestFinding(event.at, event.agent, event.check, event.kind, event.data)
