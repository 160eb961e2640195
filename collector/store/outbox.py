"""The outbox in the store: what the evaluator wants sent, and what became of it (alerts.channels.outbox.Outbox)."""

from collections.abc import Sequence
from typing import Final

import apsw
import msgspec

from alerts.channels.outbox import OutgoingMail
from collector.store.sqlite.database import Database

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(OutgoingMail)

FIRST: Final = "CASE severity WHEN 'critical' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END"


class StoredOutbox:
    """Over the database. Every call is durable when it returns."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def due(self, now: int, limit: int) -> list[OutgoingMail]:
        """Those whose time has come: critical ones before others, oldest first."""
        sql = (
            f"SELECT id, tries, hooked, why, body FROM outbox WHERE state = 'waiting' AND next <= ?"
            f" ORDER BY {FIRST}, made, id LIMIT ?"
        )
        rows = await self._database.read(lambda db: db.execute(sql, (now, limit)).fetchall())
        return [
            msgspec.structs.replace(
                _decoder.decode(bytes(body)),  # type: ignore[arg-type]
                id=int(number),  # type: ignore[arg-type]
                tries=int(tries),  # type: ignore[arg-type]
                hooked=hooked is not None,
                why=str(why or ""),
            )
            for number, tries, hooked, why, body in rows
        ]

    async def sent(self, letter: OutgoingMail, at: int, way: str) -> None:
        await self._set(letter, "state = 'sent', done = ?, way = ?", (at, way))

    async def hooked(self, letter: OutgoingMail, at: int) -> None:
        await self._set(letter, "hooked = ?", (at,))

    async def later(self, letter: OutgoingMail, at: int, why: str) -> None:
        await self._set(letter, "next = ?, tries = tries + 1, why = ?", (at, why))

    async def failed(self, letter: OutgoingMail, at: int, why: str) -> None:
        await self._set(letter, "state = 'failed', done = ?, why = ?", (at, why))

    async def waiting(self) -> tuple[int, int | None]:
        """How many are neither sent nor failed, and when the oldest of them was made (ms)."""

        def work(db: apsw.Connection) -> tuple[int, int | None]:
            row = db.execute("SELECT count(*), min(made) FROM outbox WHERE state = 'waiting'").fetchone()
            assert row is not None
            return int(row[0]), None if row[1] is None else int(row[1])

        return await self._database.read(work)

    async def _set(self, letter: OutgoingMail, what: str, values: tuple[int | str, ...]) -> None:
        sql = f"UPDATE outbox SET {what} WHERE id = ? AND state = 'waiting'"
        await self._database.write(lambda db: db.execute(sql, (*values, letter.id)) and None)


def put(db: apsw.Connection, letters: Sequence[OutgoingMail]) -> None:
    """New letters, in the caller's transaction. One whose ident is there already is not put again."""
    db.executemany(
        "INSERT OR IGNORE INTO outbox (ident, contact, kind, severity, made, state, next, body)"
        " VALUES (?, ?, ?, ?, ?, 'waiting', ?, ?)",
        [(one.ident, one.contact, one.kind, one.severity, one.made, one.made, _encode(one)) for one in letters],
    )
