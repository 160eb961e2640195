"""Sums of measures in SQLite."""

from collections.abc import Iterable, Sequence
from typing import Any

import apsw

from collector.store import cells
from collector.store.cells import FIVE_MINUTES, HOUR
from collector.store.records import StoredSums, SumBucket
from collector.store.sqlite.statements import execute_many


class SqliteSums:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def add(self, sums: Sequence[StoredSums]) -> None:
        execute_many(self._db, "INSERT INTO sums (stream, start, width, plan, body) VALUES (?, ?, ?, ?, ?)", sums)

    def of_check(self, stream: int, check: int, begin: int, end: int, width: int) -> list[SumBucket]:
        sql = (
            "SELECT start, plan, body FROM sums WHERE width = ? AND start >= ? AND start < ? AND stream = ?"
            " ORDER BY start"
        )
        return _buckets(self._db.execute(sql, (width, begin, end, stream)), check, width)

    def history(self, stream: int, check: int, begin: int, end: int, width: int) -> list[SumBucket]:
        whole = self.of_check(stream, check, begin, end, width)
        if width == FIVE_MINUTES:
            return whole
        sql = (
            "SELECT start, plan, body FROM sums WHERE rolled = 0 AND width = ? AND start >= ? AND start < ?"
            " AND stream = ? ORDER BY start"
        )
        return whole + _buckets(self._db.execute(sql, (FIVE_MINUTES, begin, end, stream)), check, FIVE_MINUTES)

    def roll_up(self, before: int, limit: int) -> int:
        """What comes late makes a second row of its hour."""
        oldest = "SELECT start FROM sums WHERE rolled = 0 AND width = ? AND start < ? ORDER BY start LIMIT 1"
        start = self._db.execute(oldest, (FIVE_MINUTES, before)).get
        if not isinstance(start, int):
            return 0
        hour = start - start % HOUR
        rows: list[Any] = self._db.execute(
            "SELECT id, stream, plan, body FROM sums WHERE rolled = 0 AND width = ? AND start >= ? AND start < ?"
            " ORDER BY start, id LIMIT ?",
            (FIVE_MINUTES, hour, hour + HOUR, limit),
        ).fetchall()
        grouped: dict[tuple[int, bytes], list[cells.Cells]] = {}
        for _, stream, plan, body in rows:
            grouped.setdefault((stream, plan), []).append(cells.decode(body))
        self.add(
            [
                StoredSums(stream, hour, HOUR, plan, cells.encode(cells.merged(some)))
                for (stream, plan), some in grouped.items()
            ]
        )
        execute_many(self._db, "UPDATE sums SET rolled = 1 WHERE id = ?", [(row[0],) for row in rows])
        return len(rows)

    def prune(self, width: int, before: int, limit: int) -> int:
        """What came late, older than its own age already, is added up first."""
        old = "SELECT id FROM sums WHERE width = ? AND start < ? AND rolled = ? ORDER BY start LIMIT ?"
        values = (width, before, int(width == FIVE_MINUTES), limit)
        self._db.execute(f"DELETE FROM sums WHERE id IN ({old})", values)
        return self._db.changes()


def _buckets(rows: Iterable[tuple[Any, ...]], check: int, width: int) -> list[SumBucket]:
    return [
        SumBucket(start, width, plan, cells.measures_of_cell(cell))
        for start, plan, body in rows
        if (cell := cells.decode(body).get(check)) is not None
    ]
