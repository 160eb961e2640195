"""Recovery after a restart: loads checkpoints, and replays newer batches through the same code as when they came."""

import contextlib
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from collector.ingest import state as states
from collector.ingest.clock import ClockTrust, CollectorClock
from collector.ingest.committer import Committer
from collector.ingest.fleet import Fleet
from collector.ingest.place import place_batch
from collector.ingest.plans import Plans
from collector.ingest.state import MAX_RECENT, AgentState, Effect, TakenFrames
from collector.store.errors import StoreError
from collector.store.sqlite.database import MIGRATIONS, Database, begin_incarnation, connect, migrate
from inventory.protocol.wire import Position, decode_push

CHUNK = 200  # batches read at a time


def load(database: Database, plans: Plans, fleet: Fleet, committer: Committer) -> int:
    """Publish every agent's state as it was. Gives how many batches were replayed."""
    by_stream: dict[int, AgentState] = {}
    saved: dict[str, int] = {}
    for stream, agent, batch, body in database.read_now(
        lambda db: db.execute("SELECT id, agent, batch, body FROM streams").fetchall()
    ):
        name, number, last = str(agent), int(stream), int(batch)  # type: ignore[arg-type]
        if body is None:
            by_stream[number] = AgentState(agent=name, stream=number)
        else:
            by_stream[number] = states.decode_state(name, number, last, bytes(body))  # type: ignore[arg-type]
        saved[name] = last
    deferred = {int(row[0]): row for row in database.read_now(_deferred)}
    for number, stream in ((n, int(row[3])) for n, row in deferred.items()):
        by_stream[stream].deferred = (*by_stream[stream].deferred, number)
    replayed = _replay(database, plans, by_stream, set(deferred))
    for state in by_stream.values():
        fleet.publish(state)
    last_batch = database.read_now(lambda db: db.execute("SELECT max(id) FROM batches").get) or 0
    after = database.read_now(lambda db: db.execute("SELECT after FROM replay").get)
    assert isinstance(last_batch, int) and isinstance(after, int)
    committer.resume(max(last_batch, after), saved, [s.agent for s in by_stream.values() if s.batch != saved[s.agent]])
    return replayed


def _deferred(db: apsw.Connection) -> list[tuple[int, bytes, int, int]]:
    rows = db.execute(
        "SELECT d.batch, d.boot, d.received, b.stream FROM deferred d JOIN batches b ON b.id = d.batch ORDER BY d.batch"
    )
    return [(int(a), bytes(b), int(c), int(d)) for a, b, c, d in rows]


def _replay(database: Database, plans: Plans, by_stream: dict[int, AgentState], deferred: set[int]) -> int:
    after = database.read_now(lambda db: db.execute("SELECT after FROM replay").get)
    assert isinstance(after, int)
    replayed = 0
    while rows := database.read_now(partial(_chunk, after=after)):
        for row in rows:
            after = row.id
            state = by_stream[row.stream]
            if row.id > (state.recent[-1].batch if state.recent else 0):
                state.watermark = Position(row.epoch, row.last)
                state.recent = (*state.recent[1 - MAX_RECENT :], TakenFrames(row.id, row.epoch, row.first, row.last))
            if row.id > state.batch and row.id not in deferred:
                _replay_batch(plans, state, row, database.count_from)
                replayed += 1
    return replayed


class StoredBatch(NamedTuple):
    """A row of ``batches``."""

    id: int
    stream: int
    received: int
    believed: int
    epoch: int
    first: int
    last: int
    placing: bytes | None
    body: bytes


def _chunk(db: apsw.Connection, after: int) -> list[StoredBatch]:
    sql = f"SELECT {', '.join(StoredBatch._fields)} FROM batches WHERE id > ? ORDER BY id LIMIT ?"
    return [StoredBatch(*row) for row in db.execute(sql, (after, CHUNK))]


def _replay_batch(plans: Plans, state: AgentState, row: StoredBatch, count_from: int) -> None:
    """One batch, as it was taken then. What it brought into the store is there already."""
    push = decode_push(row.body)
    assert push.batch is not None
    state.contact = max(state.contact, row.received)
    state.batch = row.id
    if row.believed:
        state.timing = state.timing.with_exchange(push.sent, row.received, push.echo)
    plan = plans.compiled_plan(state.agent, push.batch.plan)
    outcome = place_batch(state, plan, push, row.received, Effect(), count_from, row.placing, replay=True)
    if outcome.add_sums is not None:
        outcome.add_sums(state.sums)


def restored_clock_trust(database: Database, clock: CollectorClock) -> ClockTrust:
    """The collector's clock, judged by what an earlier run recorded while it believed it."""

    def work(db: apsw.Connection) -> tuple[int, int | None]:
        recorded = db.execute("SELECT max(alive) FROM collector_life WHERE trusted = 1").get
        same = "SELECT alive - boot_ms FROM collector_life WHERE trusted = 1 AND boot = ? ORDER BY id DESC LIMIT 1"
        offset = db.execute(same, (clock.boot,)).get
        return recorded if isinstance(recorded, int) else 0, offset if isinstance(offset, int) else None

    return ClockTrust(clock, *database.read_now(work))


def mark_restored(path: Path, why: str = "restored", *, now_ms: int | None = None) -> str:
    """Make a store that was put back from a copy a new incarnation: its counters start over, and what it counts
    begins now; the agents see the older watermark in the next ack and send again. Gives the incarnation.

    No collector may be running on it. Raises StoreError.
    """
    if not path.exists():
        raise StoreError(f"there is no store at {path}")
    try:
        with contextlib.closing(connect(path, apsw.SQLITE_OPEN_READWRITE)) as db:
            migrate(db, MIGRATIONS)
            with db:
                rows: list[Any] = db.execute("SELECT id, body FROM streams WHERE body IS NOT NULL").fetchall()
                for stream, body in rows:
                    db.execute("UPDATE streams SET body = ? WHERE id = ?", (states.with_zero_counters(body), stream))
                db.execute("DELETE FROM link_seconds")
                db.execute("DELETE FROM link_settled")
                incarnation = begin_incarnation(db, why, now_ms)
    except apsw.Error as error:
        raise StoreError(f"{path} is not a store of ours, or damaged: {error}") from None
    return incarnation
