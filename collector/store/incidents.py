"""Incidents and the evaluator's cursor in the store: one transaction an evaluation."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import apsw
import msgspec

from alerts.channels.outbox import OutgoingMail
from alerts.incident.entities import Incident
from collector.store import outbox
from collector.store.sqlite.database import Database

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Incident)

LinkKey = tuple[str, str, str]  # link, provider, cause


class EvaluatorCursor(msgspec.Struct, frozen=True):
    """Where the evaluator was: rows up to which events and spans were taken, when, and its book (None: never was)."""

    events: int
    spans: int
    at: int = 0
    book: bytes | None = None


class EvaluatorCommit(msgspec.Struct, frozen=True, kw_only=True):
    """What one turn of the evaluator commits."""

    cursor: EvaluatorCursor
    incidents: Sequence[Incident] = ()
    mails: Sequence[OutgoingMail] = ()


async def load(database: Database) -> tuple[EvaluatorCursor | None, list[Incident]]:
    """The evaluator's place (None: it never ran on this store) and the open incidents."""

    def work(db: apsw.Connection) -> tuple[EvaluatorCursor | None, list[Incident]]:
        row = db.execute("SELECT events, spans, at, book FROM evaluator").fetchone()
        cursor = None if row is None else EvaluatorCursor(int(row[0]), int(row[1]), int(row[2]), row[3])
        return cursor, _decoded(db.execute("SELECT body FROM incidents WHERE closed IS NULL ORDER BY key"))

    return await database.read(work)


async def newest_rows(database: Database) -> EvaluatorCursor:
    """The last event and span there are: where an evaluator begins that never ran."""

    def work(db: apsw.Connection) -> EvaluatorCursor:
        events, spans = (db.execute(f"SELECT max(id) FROM {table}").get or 0 for table in ("events", "spans"))
        return EvaluatorCursor(int(events), int(spans))

    return await database.read(work)


async def commit(database: Database, update: EvaluatorCommit) -> None:
    """Durable when it returns: cursors, incidents and letters together, or nothing of it."""

    def work(db: apsw.Connection) -> None:
        cursor = update.cursor
        db.execute(
            "INSERT INTO evaluator VALUES (1, ?, ?, ?, ?) ON CONFLICT (one) DO UPDATE SET"
            " events = excluded.events, spans = excluded.spans, at = excluded.at, book = excluded.book",
            (cursor.events, cursor.spans, cursor.at, cursor.book),
        )
        db.executemany(
            "INSERT OR REPLACE INTO incidents VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (one.key, one.opened, one.closed, one.cause.cause, one.cause.root, one.severity, _encode(one))
                for one in update.incidents
            ],
        )
        outbox.put(db, update.mails)

    await database.write(work)


async def add_link_seconds(database: Database, added: Mapping[LinkKey, int], settled: Mapping[str, int]) -> None:
    """``added``: ms down; ``settled``: up to when each link is counted by now. Together, or nothing of it."""

    def work(db: apsw.Connection) -> None:
        db.executemany(
            "INSERT INTO link_seconds VALUES (?, ?, ?, ?)"
            " ON CONFLICT (link, provider, cause) DO UPDATE SET ms = ms + excluded.ms",
            [(*key, ms) for key, ms in added.items()],
        )
        db.executemany("INSERT OR REPLACE INTO link_settled VALUES (?, ?)", list(settled.items()))

    await database.write(work)


async def link_seconds(database: Database) -> tuple[dict[LinkKey, int], dict[str, int]]:
    """ms down by link, provider and cause; and up to when each link is counted."""

    def work(db: apsw.Connection) -> tuple[dict[LinkKey, int], dict[str, int]]:
        rows: list[Any] = db.execute("SELECT link, provider, cause, ms FROM link_seconds").fetchall()
        settled: list[Any] = db.execute("SELECT link, until FROM link_settled").fetchall()
        return {(a, b, c): ms for a, b, c, ms in rows}, dict(settled)

    return await database.read(work)


async def find(database: Database, key: str) -> Incident | None:
    """An incident by its key, open or closed."""
    rows = await database.read(lambda db: _decoded(db.execute("SELECT body FROM incidents WHERE key = ?", (key,))))
    return rows[0] if rows else None


async def closed(database: Database, limit: int, before: int = 2**62, since: int = 0) -> list[Incident]:
    """Closed ones, closed in [since, before), the latest first."""
    sql = "SELECT body FROM incidents WHERE closed < ? AND closed >= ? ORDER BY closed DESC, key LIMIT ?"
    return await database.read(lambda db: _decoded(db.execute(sql, (before, since, limit))))


def _decoded(rows: Iterable[tuple[Any, ...]]) -> list[Incident]:
    return [_decoder.decode(bytes(body)) for (body,) in rows]
