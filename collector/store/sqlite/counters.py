"""What is counted in the background, in SQLite: circuits' time down, sites' power."""

from collections.abc import Mapping

import apsw

from collector.store.records import LinkKey, PowerCounter
from collector.store.sqlite.statements import execute_many, integer


class SqliteCircuits:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def down(self) -> dict[LinkKey, int]:
        rows = self._db.execute("SELECT link, provider, cause, ms FROM link_seconds")
        return {(link, provider, cause): ms for link, provider, cause, ms in rows}

    def settled(self) -> dict[str, int]:
        rows = self._db.execute("SELECT link, until FROM link_settled")
        return {str(link): integer(until) for link, until in rows}

    def add(self, added: Mapping[LinkKey, int], settled: Mapping[str, int]) -> None:
        sql = (
            "INSERT INTO link_seconds VALUES (?, ?, ?, ?)"
            " ON CONFLICT (link, provider, cause) DO UPDATE SET ms = ms + excluded.ms"
        )
        execute_many(self._db, sql, [(*key, ms) for key, ms in added.items()])
        execute_many(self._db, "INSERT OR REPLACE INTO link_settled VALUES (?, ?)", list(settled.items()))

    def clear(self) -> None:
        self._db.execute("DELETE FROM link_seconds")
        self._db.execute("DELETE FROM link_settled")


class SqlitePower:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def counters(self, incarnation: str) -> dict[str, PowerCounter]:
        sql = "SELECT site, upto, mains, battery, none, unknown FROM site_power WHERE incarnation = ?"
        rows = self._db.execute(sql, (incarnation,))
        return {site: PowerCounter(upto, (a, b, c, d)) for site, upto, a, b, c, d in rows}

    def put(self, counters: Mapping[str, PowerCounter], incarnation: str) -> None:
        rows = [(site, incarnation, one.upto, *one.settled) for site, one in counters.items()]
        execute_many(self._db, "INSERT OR REPLACE INTO site_power VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
