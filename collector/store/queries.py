"""Queries of the store for pages, metrics and reports. Pure functions over a connection: give them to Database.read.

Times are ms of the collector's time, windows [begin, end).
"""

import json
from array import array
from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from alerts.incident.finding import IngestFinding
from collector.ledger.steps import Span
from collector.store import cells


class SumBucket(msgspec.Struct, frozen=True):
    """One check's bucket: ``measures[0]`` is latency (µs), the others are the value columns of ``plan``; each is
    [n, sum, least, most], n = 0 where nothing was measured."""

    start: int
    width: int
    plan: bytes
    measures: list[list[int]]


class StoredEvent(msgspec.Struct, frozen=True):
    """``finding``: it is for the evaluator too."""

    id: int
    at: int
    agent: str
    check: str | None
    kind: str
    data: dict[str, Any]
    finding: bool


class DeadLetter(msgspec.Struct, frozen=True):
    id: int
    at: int
    agent: str
    reason: str
    count: int
    body: bytes


class CollectorRun(msgspec.Struct, frozen=True):
    """One run of the collector: alive in [started, alive]; ``stopped`` is None when it was killed or still runs."""

    started: int
    alive: int
    stopped: int | None
    trusted: bool


def spans(db: apsw.Connection, checks: Sequence[int], begin: int, end: int) -> dict[int, list[Span]]:
    """The closed spans of these checks (rows) that reach into the window, in order. Every check asked for is there."""
    by_check: dict[int, list[Span]] = {check: [] for check in checks}
    sql = (
        "SELECT state, start, end, sure_from, sure_to, error_from, error_to, looks, reason"
        " FROM spans WHERE check_id = ? AND end > ? ORDER BY end, id"
    )
    for check in checks:
        for row in db.execute(sql, (check, begin)):
            if row[1] >= end:
                break
            by_check[check].append(Span(*row))
    return by_check


def sums(db: apsw.Connection, stream: int, check: int, begin: int, end: int, width: int) -> list[SumBucket]:
    """One check's buckets of this width that begin in the window, in order; several of one bucket add up."""
    sql = (
        "SELECT start, plan, body FROM sums WHERE width = ? AND start >= ? AND start < ? AND stream = ? ORDER BY start"
    )
    buckets = []
    for start, plan, body in db.execute(sql, (width, begin, end, stream)):
        cell = cells.decode(body).get(check)
        if cell is not None:
            buckets.append(SumBucket(start, width, plan, measures_of_cell(cell)))
    return buckets


def history(db: apsw.Connection, stream: int, check: int, begin: int, end: int, width: int) -> list[SumBucket]:
    """One check's buckets in the window, none of it twice: of an hour also the short ones not added up yet."""
    if width == cells.FIVE_MINUTES:
        return sums(db, stream, check, begin, end, width)
    sql = (
        "SELECT start, plan, body FROM sums WHERE rolled = 0 AND width = ? AND start >= ? AND start < ? AND stream = ?"
        " ORDER BY start"
    )
    buckets = sums(db, stream, check, begin, end, width)
    for start, plan, body in db.execute(sql, (cells.FIVE_MINUTES, begin, end, stream)):
        cell = cells.decode(body).get(check)
        if cell is not None:
            buckets.append(SumBucket(start, cells.FIVE_MINUTES, plan, measures_of_cell(cell)))
    return buckets


def measures_of_cell(cell: "array[int]") -> list[list[int]]:
    """A cell's integers, four for latency and for each column."""
    return [list(cell[at : at + 4]) for at in range(0, len(cell), 4)]


def events(
    db: apsw.Connection, *, agent: str | None = None, begin: int = 0, end: int = 2**62, limit: int = 1000
) -> list[StoredEvent]:
    """The newest events in the window, newest first."""
    where, arguments = ("agent = ? AND ", (agent,)) if agent is not None else ("", ())
    sql = (
        f"SELECT id, at, agent, check_uid, kind, data, finding FROM events"
        f" WHERE {where}at >= ? AND at < ? ORDER BY at DESC, id DESC LIMIT ?"
    )
    return [_event(row) for row in db.execute(sql, (*arguments, begin, end, limit))]


def findings(db: apsw.Connection, after: int, limit: int = 1000) -> list[tuple[int, IngestFinding]]:
    """Findings past row ``after``, in the order in which they were committed, with their rows: the evaluator's."""
    columns = "id, at, agent, check_uid, kind, data, finding"
    sql = f"SELECT {columns} FROM events WHERE id > ? AND finding = 1 ORDER BY id LIMIT ?"
    finding_events = [_event(row) for row in db.execute(sql, (after, limit))]
    return [
        (event.id, IngestFinding(event.at, event.agent, event.check, event.kind, event.data))
        for event in finding_events
    ]


def findings_since(db: apsw.Connection, begin: int) -> list[IngestFinding]:
    """Findings of things that happened from ``begin`` (ms) on, in the order in which they were committed."""
    columns = "id, at, agent, check_uid, kind, data, finding"
    latest = "id > (SELECT max(id) FROM events) - 5000"  # there is no index by time alone
    rows = db.execute(f"SELECT {columns} FROM events WHERE {latest} AND at >= ? AND finding = 1 ORDER BY id", (begin,))
    return [IngestFinding(one.at, one.agent, one.check, one.kind, one.data) for one in map(_event, rows)]


def dead_letters(db: apsw.Connection, *, agent: str | None = None, limit: int = 100) -> list[DeadLetter]:
    """The newest, newest first."""
    where, arguments = ("WHERE agent = ? ", (agent,)) if agent is not None else ("", ())
    sql = f"SELECT id, at, agent, reason, count, body FROM dead_letters {where}ORDER BY id DESC LIMIT ?"
    return [DeadLetter(*row) for row in db.execute(sql, (*arguments, limit))]


def collector_runs(db: apsw.Connection, begin: int, end: int) -> list[CollectorRun]:
    """The runs of the collector that reach into the window, in order."""
    sql = "SELECT started, alive, stopped, trusted FROM collector_life WHERE alive > ? AND started < ? ORDER BY id"
    return [
        CollectorRun(int(a), int(b), None if c is None else int(c), bool(d))
        for a, b, c, d in db.execute(sql, (begin, end))
    ]


def agent_life_events(db: apsw.Connection, agent: str, begin: int) -> list[tuple[int, str, dict[str, Any]]]:
    """(at, kind, data) of an agent's starts and clean stops from ``begin`` on, in order."""
    sql = "SELECT at, kind, data FROM events WHERE agent = ? AND at >= ? AND kind IN (?, ?) ORDER BY at, id"
    rows = db.execute(sql, (agent, begin, "agent start", "agent stop"))
    return [(int(at), str(kind), json.loads(data)) for at, kind, data in rows]


def sizes(db: apsw.Connection) -> dict[str, int]:
    """Rows by table, cheaply (by the highest row id less the lowest), and the file's bytes."""
    counts: dict[str, int] = {}
    for table in ("batches", "spans", "sums", "events", "dead_letters"):
        row = db.execute(f"SELECT min(id), max(id) FROM {table}").fetchone()
        assert row is not None
        counts[table] = 0 if row[0] is None else int(row[1]) - int(row[0]) + 1
    pages, size = db.execute("PRAGMA page_count").get, db.execute("PRAGMA page_size").get
    counts["bytes"] = int(pages) * int(size)
    return counts


def _event(row: tuple[Any, ...]) -> StoredEvent:
    return StoredEvent(row[0], row[1], row[2], row[3], row[4], json.loads(row[5]), bool(row[6]))
