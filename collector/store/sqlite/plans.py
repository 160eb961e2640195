"""Plans and registered checks in SQLite."""

from collections.abc import Sequence

import apsw
import msgspec

from collector.store.records import RegisteredCheck
from collector.store.sqlite.statements import execute_many


class SqlitePlans:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def add(self, digest: bytes, agent: str, body: bytes, received: int) -> None:
        self._db.execute("INSERT OR IGNORE INTO plans VALUES (?, ?, ?, ?)", (digest, agent, body, received))

    def all(self) -> list[tuple[bytes, bytes]]:
        rows = self._db.execute("SELECT digest, body FROM plans")
        return [(bytes(digest), bytes(body)) for digest, body in rows]


class SqliteChecks:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def all(self) -> list[RegisteredCheck]:
        rows = self._db.execute("SELECT id, agent, uid, name, kind, born, ended FROM checks")
        return [
            RegisteredCheck(id=row, agent=agent, uid=uid, name=name, kind=kind, born=born, ended=ended)
            for row, agent, uid, name, kind, born, ended in rows
        ]

    def save(self, check: RegisteredCheck) -> RegisteredCheck:
        if check.id:
            self._db.execute(
                "UPDATE checks SET name = ?, kind = ?, born = ?, ended = ? WHERE id = ?",
                (check.name, check.kind, check.born, check.ended, check.id),
            )
            return check
        self._db.execute(
            "INSERT INTO checks (agent, uid, name, kind, born, ended) VALUES (?, ?, ?, ?, ?, ?)",
            (check.agent, check.uid, check.name, check.kind, check.born, check.ended),
        )
        return msgspec.structs.replace(check, id=self._db.last_insert_rowid())

    def begin_earlier(self, looks: Sequence[tuple[int, int]]) -> None:
        sql = "UPDATE checks SET born = ? WHERE id = ? AND (born IS NULL OR born > ?)"
        execute_many(self._db, sql, [(at, check, at) for at, check in looks])
