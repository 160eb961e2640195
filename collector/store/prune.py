"""Prunes what has passed its retention, in small steps, so that no push waits for it.

Batches 7 days after receipt (never one that a restart would replay, or that waits for the clock), 5-minute sums after
35 days, added up to hourly ones that stay 2 years; events after 2 years; dead letters after 90 days or when they
become too many. Spans stay for ever.
"""

from typing import Final

import apsw

from collector.store import cells
from collector.store.cells import FIVE_MINUTES, HOUR
from collector.store.sqlite.database import Database

DAY: Final = 86_400_000
BATCHES: Final = 7 * DAY
FIVE_MINUTE_SUMS: Final = 35 * DAY
HOURLY_SUMS: Final = 731 * DAY
EVENTS: Final = 731 * DAY
DEAD_LETTERS: Final = 90 * DAY
MAX_DEAD_LETTERS: Final = 20_000
STEP_ROWS: Final = 500  # rows a transaction
LATEST: Final = 6 * HOUR  # an hour is added up once it lies so far back; what comes later gets a row of its own


async def step(database: Database, now: int) -> int:
    """One small transaction of each sort. Gives how many rows went."""
    deleted = 0
    for work in (_batches, _dead_letters, _events, _hourly, _old_sums):
        deleted += await database.write(lambda db, work=work: work(db, now))  # type: ignore[misc]
    return deleted


async def prune_all(database: Database, now: int) -> int:
    """Steps until nothing is left to let go of."""
    total = 0
    while deleted := await step(database, now):
        total += deleted
    return total


def _batches(db: apsw.Connection, now: int) -> int:
    """From the oldest row on; received times may run back where the clock was stepped, so only the oldest count."""
    rows = db.execute(
        "SELECT id, received FROM batches WHERE id <= (SELECT after FROM replay) ORDER BY id LIMIT ?", (STEP_ROWS,)
    )
    last = None
    for number, received in rows:
        if received >= now - BATCHES:
            break
        last = number
    if last is None:
        return 0
    db.execute("DELETE FROM batches WHERE id <= ? AND id NOT IN (SELECT batch FROM deferred)", (last,))
    return db.changes()


def _dead_letters(db: apsw.Connection, now: int) -> int:
    db.execute(
        "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters ORDER BY id LIMIT ?)"
        " AND (at < ? OR id <= (SELECT max(id) FROM dead_letters) - ?)",
        (STEP_ROWS, now - DEAD_LETTERS, MAX_DEAD_LETTERS),
    )
    return db.changes()


def _events(db: apsw.Connection, now: int) -> int:
    db.execute(
        "DELETE FROM events WHERE id IN (SELECT id FROM events ORDER BY id LIMIT ?) AND at < ?",
        (STEP_ROWS, now - EVENTS),
    )
    return db.changes()


def _hourly(db: apsw.Connection, now: int) -> int:
    """The oldest hour that has 5-minute sums not added up yet; what comes late makes a second row of its hour."""
    start = db.execute(
        "SELECT start FROM sums WHERE rolled = 0 AND width = ? AND start < ? ORDER BY start LIMIT 1",
        (FIVE_MINUTES, (now - LATEST) // HOUR * HOUR),
    ).get
    if not isinstance(start, int):
        return 0
    hour = start - start % HOUR
    rows = db.execute(
        "SELECT id, stream, plan, body FROM sums WHERE rolled = 0 AND width = ? AND start >= ? AND start < ?"
        " ORDER BY start, id LIMIT ?",
        (FIVE_MINUTES, hour, hour + HOUR, STEP_ROWS),
    ).fetchall()
    grouped: dict[tuple[int, bytes], list[cells.Cells]] = {}
    for _, stream, plan, body in rows:
        grouped.setdefault((int(stream), bytes(plan)), []).append(cells.decode(bytes(body)))  # type: ignore[arg-type]
    db.executemany(
        "INSERT INTO sums (stream, start, width, plan, body) VALUES (?, ?, ?, ?, ?)",
        [(stream, hour, HOUR, plan, cells.encode(cells.merged(some))) for (stream, plan), some in grouped.items()],
    )
    db.executemany("UPDATE sums SET rolled = 1 WHERE id = ?", [(row[0],) for row in rows])
    return len(rows)


def _old_sums(db: apsw.Connection, now: int) -> int:
    """What came late, older than its own age already, is added up first."""
    deleted = 0
    for width, age, rolled in ((FIVE_MINUTES, FIVE_MINUTE_SUMS, 1), (HOUR, HOURLY_SUMS, 0)):
        db.execute(
            "DELETE FROM sums WHERE id IN"
            " (SELECT id FROM sums WHERE width = ? AND start < ? AND rolled = ? ORDER BY start LIMIT ?)",
            (width, now - age, rolled, STEP_ROWS),
        )
        deleted += db.changes()
    return deleted
