"""The audit and the sessions in SQLite."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import apsw

from collector.store.audit_chain import GENESIS, chained
from collector.store.records import AuditFilter, AuditHead, AuditRow, StoredSession

MAX_WHO: Final = 200  # characters
COLUMNS: Final = "id, at, who, what, data, hash"


class SqliteAudit:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def add(self, at: int, who: str, what: str, data: Mapping[str, Any]) -> None:
        head = self.head()
        number, who = head.number + 1, _text(who)[:MAX_WHO]
        text = _text(_json(data))
        row = (number, at, who, what, text, chained(head.hash, number, at, who, what, text))
        self._db.execute(f"INSERT INTO audit ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", row)

    def all(self) -> list[tuple[int, str, str, dict[str, Any]]]:
        rows = self._db.execute("SELECT at, who, what, data FROM audit ORDER BY id")
        return [(at, who, what, json.loads(data)) for at, who, what, data in rows]

    def newest(self, chosen: AuditFilter, limit: int, before: int = 2**62) -> list[AuditRow]:
        where: list[str] = ["id < ?"]
        values: list[int | str] = [before]
        for condition, value in (
            ("who = ?", chosen.who),
            ("what = ?", chosen.what),
            ("(iif(json_valid(data), json_extract(data, '$.agent'), '') = ?1 OR who = 'agent ' || ?1)", chosen.agent),
            ("at >= ?", chosen.begin),
            ("at < ?", chosen.end),
        ):
            if value is not None:
                values.append(value)
                where.append(condition.replace("?1", f"?{len(values)}"))
        sql = f"SELECT {COLUMNS} FROM audit WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?"
        return [AuditRow(*row) for row in self._db.execute(sql, (*values, limit))]

    def after(self, number: int, limit: int) -> list[AuditRow]:
        sql = f"SELECT {COLUMNS} FROM audit WHERE id > ? ORDER BY id LIMIT ?"
        return [AuditRow(*row) for row in self._db.execute(sql, (number, limit))]

    def head(self) -> AuditHead:
        row = self._db.execute("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1").fetchone()
        return AuditHead(0, GENESIS) if row is None else AuditHead(*row)

    def first_broken(self) -> int | None:
        previous, number = GENESIS, 0
        for *row, held in self._db.execute(f"SELECT {COLUMNS} FROM audit ORDER BY id"):
            number, at, who, what, data = row
            if chained(previous, number, at, who, what, data) != held:
                return int(number)
            previous = held
        return None


class SqliteSessions:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def all(self) -> list[StoredSession]:
        return [StoredSession(*row) for row in self._db.execute("SELECT hash, user, mark, begun, seen FROM sessions")]

    def add(self, session: StoredSession) -> None:
        self._db.execute("INSERT INTO sessions (hash, user, mark, begun, seen) VALUES (?, ?, ?, ?, ?)", session)

    def touch(self, session: bytes, seen: int) -> None:
        self._db.execute("UPDATE sessions SET seen = ? WHERE hash = ?", (seen, session))

    def end(self, sessions: Iterable[bytes]) -> None:
        self._db.executemany("DELETE FROM sessions WHERE hash = ?", [(one,) for one in sessions])

    def end_all(self) -> None:
        self._db.execute("DELETE FROM sessions")


def _json(data: Mapping[str, Any]) -> str:
    """What JSON has no word for becomes null."""
    plain = json.loads(json.dumps(data, default=str), parse_constant=lambda _: None)
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _text(text: str) -> str:
    """As it can be kept: what is half of a letter becomes a question mark."""
    return text.encode(errors="replace").decode()
