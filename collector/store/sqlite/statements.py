"""What several repositories do with a connection."""

from collections.abc import Sequence

import apsw

Row = Sequence[int | str | bytes | None]


def execute_many(db: apsw.Connection, sql: str, rows: Sequence[Row]) -> None:
    """One statement for all rows; none for none."""
    if rows:
        db.executemany(sql, rows)


def integer(value: object) -> int:
    """What a statement gives that always gives an integer."""
    assert isinstance(value, int)
    return value


def last_row(db: apsw.Connection, table: str) -> int:
    """The highest row of a table, 0 when it is empty."""
    last = db.execute(f"SELECT max(id) FROM {table}").get
    return last if isinstance(last, int) else 0
