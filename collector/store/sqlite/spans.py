"""The ledger's closed spans in SQLite."""

from collections.abc import Iterable, Sequence
from typing import Final

import apsw
import msgspec

from collector.ledger.state_step import Span
from collector.store.records import ClosedSpan
from collector.store.sqlite.statements import execute_many, last_row

COLUMNS: Final = "state, start, end, sure_from, sure_to, error_from, error_to, looks, reason"


class SqliteSpans:
    def __init__(self, db: apsw.Connection) -> None:
        self._db = db

    def add(self, spans: Sequence[tuple[int, Span]]) -> None:
        rows = [(check, *msgspec.structs.astuple(span)) for check, span in spans]
        execute_many(self._db, "INSERT INTO spans VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def closed(self, checks: Sequence[int], begin: int, end: int) -> dict[int, list[Span]]:
        by_check: dict[int, list[Span]] = {check: [] for check in checks}
        sql = f"SELECT {COLUMNS} FROM spans WHERE check_id = ? AND end > ? ORDER BY end, id"
        for check in checks:
            for row in self._db.execute(sql, (check, begin)):
                if row[1] >= end:
                    break
                by_check[check].append(Span(*row))
        return by_check

    def problems_after(self, number: int, limit: int) -> tuple[list[ClosedSpan], int]:
        sql = f"SELECT id, check_id, {COLUMNS} FROM spans WHERE id > ? AND state IN (1, 2) ORDER BY id LIMIT ?"
        spans = [ClosedSpan(row[0], row[1], Span(*row[2:])) for row in self._db.execute(sql, (number, limit))]
        return spans, spans[-1].id if len(spans) == limit else max(number, self.last())

    def not_up(self, limit: int, before: int) -> list[ClosedSpan]:
        sql = f"SELECT id, check_id, {COLUMNS} FROM spans WHERE state > 0 AND end < ? ORDER BY id DESC LIMIT ?"
        spans = [ClosedSpan(row[0], row[1], Span(*row[2:])) for row in self._db.execute(sql, (before, limit))]
        return sorted(spans, key=lambda one: -one.span.end)

    def with_state(self, checks: Iterable[int], state: int, begin: int) -> set[int]:
        sql = "SELECT 1 FROM spans WHERE check_id = ? AND end > ? AND state = ? LIMIT 1"
        return {check for check in checks if self._db.execute(sql, (check, begin, state)).get is not None}

    def first_start(self, check: int) -> int | None:
        first = self._db.execute("SELECT min(start) FROM spans WHERE check_id = ?", (check,)).get
        return first if isinstance(first, int) else None

    def last(self) -> int:
        return last_row(self._db, "spans")
