"""Agents in quarantine in SQLite."""

from collections.abc import Sequence

import apsw

from collector.store.records import QuarantinedAgent
from collector.store.sqlite.statements import execute_many


class SqliteQuarantine:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def all(self) -> list[QuarantinedAgent]:
        rows = self._db.execute("SELECT agent, since, place, why, batch FROM quarantine ORDER BY since, agent")
        return [QuarantinedAgent(*row) for row in rows]

    def put(self, agents: Sequence[QuarantinedAgent]) -> None:
        execute_many(self._db, "INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?, ?, ?)", agents)

    def release(self, agent: str) -> bool:
        self._db.execute("DELETE FROM quarantine WHERE agent = ?", (agent,))
        return self._db.changes() > 0
