"""Incidents, the evaluator's cursor, the outbox and who wants no digest, in SQLite."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import apsw
import msgspec

from alerts.channels.outbox import OutgoingMail
from alerts.incident.entities import Incident
from collector.store.records import EvaluatorCursor
from collector.store.sqlite.statements import execute_many, integer

FIRST: Final = "CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END"

_encode = msgspec.msgpack.Encoder().encode
_incident_decoder = msgspec.msgpack.Decoder(Incident)
_mail_decoder = msgspec.msgpack.Decoder(OutgoingMail)


class SqliteIncidents:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def put(self, incidents: Sequence[Incident]) -> None:
        rows = [
            (one.key, one.opened, one.closed, one.cause.cause, one.cause.root, one.severity, _encode(one))
            for one in incidents
        ]
        execute_many(self._db, "INSERT OR REPLACE INTO incidents VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def open(self) -> list[Incident]:
        return _incidents(self._db.execute("SELECT body FROM incidents WHERE closed IS NULL ORDER BY key"))

    def find(self, key: str) -> Incident | None:
        rows = _incidents(self._db.execute("SELECT body FROM incidents WHERE key = ?", (key,)))
        return rows[0] if rows else None

    def closed(self, limit: int, before: int = 2**62, since: int = 0) -> list[Incident]:
        sql = "SELECT body FROM incidents WHERE closed < ? AND closed >= ? ORDER BY closed DESC, key LIMIT ?"
        return _incidents(self._db.execute(sql, (before, since, limit)))


class SqliteCursor:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def load(self) -> EvaluatorCursor | None:
        row = self._db.execute("SELECT events, spans, at, book FROM evaluator").fetchone()
        return None if row is None else EvaluatorCursor(*row)

    def save(self, cursor: EvaluatorCursor) -> None:
        self._db.execute(
            "INSERT INTO evaluator VALUES (1, ?, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET"
            " events = excluded.events, spans = excluded.spans, at = excluded.at, book = excluded.book",
            (cursor.events, cursor.spans, cursor.at, cursor.book),
        )


class SqliteOutbox:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def put(self, mails: Sequence[OutgoingMail]) -> None:
        rows = [(one.ident, one.contact, one.kind, one.severity, one.made, one.made, _encode(one)) for one in mails]
        sql = (
            "INSERT OR IGNORE INTO outbox (ident, contact, kind, severity, made, state, next, body)"
            " VALUES (?, ?, ?, ?, ?, 'waiting', ?, ?)"
        )
        execute_many(self._db, sql, rows)

    def due(self, now: int, limit: int) -> list[OutgoingMail]:
        sql = (
            f"SELECT id, tries, hooked, why, body FROM outbox WHERE state = 'waiting' AND next <= ?"
            f" ORDER BY {FIRST}, made, id LIMIT ?"
        )
        return [
            msgspec.structs.replace(
                _mail_decoder.decode(body), id=number, tries=tries, hooked=hooked is not None, last_error=why or ""
            )
            for number, tries, hooked, why, body in self._db.execute(sql, (now, limit))
        ]

    def sent(self, number: int, at: int, way: str) -> None:
        self._set(number, "state = 'sent', done = ?, way = ?", (at, way))

    def hooked(self, number: int, at: int) -> None:
        self._set(number, "hooked = ?", (at,))

    def later(self, number: int, at: int, why: str) -> None:
        self._set(number, "next = ?, tries = tries + 1, why = ?", (at, why))

    def failed(self, number: int, at: int, why: str) -> None:
        self._set(number, "state = 'failed', done = ?, why = ?", (at, why))

    def waiting(self) -> tuple[int, int | None]:
        row = self._db.execute("SELECT count(*), min(made) FROM outbox WHERE state = 'waiting'").fetchone()
        assert row is not None
        return integer(row[0]), row[1]

    def _set(self, number: int, what: str, values: tuple[int | str, ...]) -> None:
        self._db.execute(f"UPDATE outbox SET {what} WHERE id = ? AND state = 'waiting'", (*values, number))


class SqliteUnsubscribed:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def all(self) -> frozenset[str]:
        return frozenset(str(contact) for (contact,) in self._db.execute("SELECT contact FROM unsubscribed"))

    def add(self, contact: str, at: int) -> None:
        self._db.execute("INSERT OR IGNORE INTO unsubscribed VALUES (?, ?)", (contact, at))


def _incidents(rows: Iterable[tuple[Any, ...]]) -> list[Incident]:
    return [_incident_decoder.decode(body) for (body,) in rows]
