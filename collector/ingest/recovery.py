"""Recovery after a restart: loads checkpoints, and replays newer batches through the same steps as when they came."""

from functools import partial
from pathlib import Path
from typing import Final

from collector.ingest.clock import ClockTrust
from collector.ingest.committer import Committer
from collector.ingest.fleet import Fleet
from collector.ingest.pipeline import replay
from collector.ingest.plans import Plans
from collector.ingest.state import MAX_RECENT, AgentState, RecentFrames, decode_state, with_zero_counters
from collector.store.interfaces.store import Store, Transaction
from collector.store.opening import write_alone
from collector.store.records import StoredBatch, StoredCheckpoint
from inventory.base.clock import Clock
from inventory.protocol.wire import Position

CHUNK: Final = 200  # batches read at a time


def load(store: Store, plans: Plans, fleet: Fleet, committer: Committer) -> int:
    """Publish every agent's state as it was. Gives how many batches were replayed."""
    checkpoints, deferred = store.read_now(lambda tx: (tx.checkpoints.all(), tx.batches.deferred()))
    states = {checkpoint.stream: _state_of(checkpoint) for checkpoint in checkpoints}
    for batch, stream in deferred.items():
        states[stream].deferred = (*states[stream].deferred, batch)
    replayed = _replay_newer(store, plans, states, set(deferred))
    for state in states.values():
        fleet.publish(state)
    last_batch = store.read_now(lambda tx: max(tx.batches.last(), tx.checkpoints.replay_after()))
    saved = {checkpoint.agent: checkpoint.batch for checkpoint in checkpoints}
    changed = [state.agent for state in states.values() if state.batch != saved[state.agent]]
    committer.resume(last_batch, saved, changed)
    return replayed


def _state_of(checkpoint: StoredCheckpoint) -> AgentState:
    agent, stream, body = checkpoint.agent, checkpoint.stream, checkpoint.body
    if body is None:  # nothing was saved yet
        return AgentState(agent=agent, stream=stream)
    return decode_state(agent, stream, checkpoint.batch, body)


def _replay_newer(store: Store, plans: Plans, states: dict[int, AgentState], deferred: set[int]) -> int:
    """Every batch that is newer than its agent's checkpoint, in the order of commits; those that wait go on waiting."""
    after = store.read_now(lambda tx: tx.checkpoints.replay_after())
    replayed = 0
    while rows := store.read_now(partial(_chunk, after=after)):
        for row in rows:
            after, state = row.id, states[row.stream]
            if row.id > (state.recent[-1].batch if state.recent else 0):
                state.watermark = Position(row.epoch, row.last)
                state.recent = (*state.recent[1 - MAX_RECENT :], RecentFrames(row.id, row.epoch, row.first, row.last))
            if row.id > state.batch and row.id not in deferred:
                replay(row, state, plans, store.count_from)
                replayed += 1
    return replayed


def _chunk(tx: Transaction, after: int) -> list[StoredBatch]:
    return tx.batches.after(after, CHUNK)


def restore_trust(store: Store, trust: ClockTrust, clock: Clock) -> None:
    """Judge the collector's clock by what an earlier run recorded while it believed it."""
    recorded, offset = store.read_now(lambda tx: (tx.life.last_alive(), tx.life.boot_offset(clock.boot_id())))
    trust.restore(recorded, offset)


def mark_restored(path: Path, why: str = "restored", *, now_ms: int | None = None) -> str:
    """Make a store that was put back from a copy a new incarnation: its counters start over, and what it counts
    begins now; the agents see the older watermark in the next ack and send again. Gives the incarnation.

    No collector may be running on it. Raises StoreError.
    """

    def begin(tx: Transaction) -> str:
        for checkpoint in tx.checkpoints.all():
            if checkpoint.body is not None:
                tx.checkpoints.replace_body(checkpoint.stream, with_zero_counters(checkpoint.body))
        tx.circuits.clear()
        return tx.incarnations.begin(why, now_ms)

    return write_alone(path, begin)
