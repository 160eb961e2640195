"""Recovery after a restart: loads checkpoints, and replays newer batches through the same steps as when they came."""

from collections.abc import Mapping, Set
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from collector.ingest.clock import ClockTrust
from collector.ingest.committer import Committer
from collector.ingest.fleet import Fleet
from collector.ingest.pipeline import replay
from collector.ingest.plans import Plans
from collector.ingest.quarantine import RECOVERY, AgentQuarantine
from collector.ingest.states.state import MAX_RECENT, AgentState, RecentFrames, decode_state, with_zero_counters
from collector.store.interfaces.store import Store, Transaction
from collector.store.opening import write_alone
from collector.store.records import StoredBatch, StoredCheckpoint
from inventory.base.clock import Clock
from inventory.protocol.wire import Position

CHUNK: Final = 200  # batches read at a time


def load(store: Store, plans: Plans, fleet: Fleet, committer: Committer) -> int:
    """Publish every agent's state as it was. Gives how many batches were replayed.

    What cannot be made again is one agent's: that is in quarantine then, with its state of just before.
    """
    fleet.quarantine.load(store.read_now(lambda tx: tx.quarantine.all()))
    checkpoints, deferred = store.read_now(lambda tx: (tx.checkpoints.all(), tx.batches.deferred()))
    replaying = Replaying(store, plans, fleet.quarantine, deferred)
    states = {checkpoint.stream: replaying.restored(checkpoint) for checkpoint in checkpoints}
    held = {stream for stream, state in states.items() if state.agent in fleet.quarantine.agents}
    for stream in held:
        states[stream] = replaying.replay_own(states[stream])
    replaying.replay_newer(states, held)
    for state in states.values():
        try:
            fleet.publish(state)
        except (ValueError, TypeError) as error:
            fleet.quarantine.put(state.agent, RECOVERY, error)
            fleet.publish(replaying.begun_anew(AgentState(agent=state.agent, stream=state.stream), state.batch))
    last_batch = store.read_now(lambda tx: max(tx.batches.last(), tx.checkpoints.replay_after()))
    saved = {checkpoint.agent: checkpoint.batch for checkpoint in checkpoints}
    changed = [state.agent for state in states.values() if state.batch != saved[state.agent]]
    committer.resume(last_batch, saved, changed)
    return replaying.replayed


class Replaying:
    """Makes agents' states again, from checkpoints and batches."""

    def __init__(self, store: Store, plans: Plans, quarantine: AgentQuarantine, deferred: Mapping[int, int]) -> None:
        self.replayed = 0
        self._store = store
        self._plans = plans
        self._quarantine = quarantine
        self._deferred = deferred  # batches that wait, with their streams

    def restored(self, checkpoint: StoredCheckpoint) -> AgentState:
        """As the checkpoint has it, with what waits."""
        agent, stream, body = checkpoint.agent, checkpoint.stream, checkpoint.body
        state = AgentState(agent=agent, stream=stream)
        try:
            if body is not None:
                state = decode_state(agent, stream, checkpoint.batch, body)
            elif checkpoint.batch:
                state = self.begun_anew(state, checkpoint.batch)
        except Exception as error:
            self._quarantine.put(agent, RECOVERY, error)
            state = self.begun_anew(state, checkpoint.batch)
        state.deferred = tuple(batch for batch, waiting in self._deferred.items() if waiting == stream)
        return state

    def begun_anew(self, state: AgentState, batch: int) -> AgentState:
        """Without a checkpoint: the chain goes on where it ended, what was open then is unknown."""
        state.batch = batch
        newest = self._store.read_now(lambda tx: tx.batches.newest_of(state.stream))
        if newest is not None:
            state.watermark = Position(newest.epoch, newest.last)
        return state

    def replay_newer(self, states: dict[int, AgentState], held: Set[int]) -> None:
        """Every batch that is newer than its agent's checkpoint, in the order of commits; those that wait go on
        waiting. ``held``: streams that are left as they are."""
        after = self._store.read_now(lambda tx: tx.checkpoints.replay_after())
        left = set(held)
        while rows := self._store.read_now(partial(_chunk, after=after)):
            for row in rows:
                after = row.id
                if row.stream in left:
                    continue
                state = self._after(row, states[row.stream])
                if state is None:
                    left.add(row.stream)
                else:
                    states[row.stream] = state

    def replay_own(self, state: AgentState) -> AgentState:
        """One agent's batches that are newer than its checkpoint, up to one that fails."""
        after = state.batch
        while rows := self._store.read_now(partial(_own_chunk, stream=state.stream, after=after)):
            for row in rows:
                after, successor = row.id, self._after(row, state)
                if successor is None:
                    return state
                state = successor
        return state

    def _after(self, row: StoredBatch, state: AgentState) -> AgentState | None:
        """The state after a batch; None: it fails, and its agent is in quarantine."""
        state = state.successor()
        try:
            if row.id > (state.recent[-1].batch if state.recent else 0):
                state.watermark = Position(row.epoch, row.last)
                state.recent = (*state.recent[1 - MAX_RECENT :], RecentFrames(row.id, row.epoch, row.first, row.last))
            if row.id > state.batch and row.id not in self._deferred:
                replay(row, state, self._plans, self._store.count_from)
                self.replayed += 1
        except Exception as error:
            self._quarantine.put(state.agent, RECOVERY, error, row.id)
            return None
        return state


def _chunk(tx: Transaction, after: int) -> list[StoredBatch]:
    return tx.batches.after(after, CHUNK)


def _own_chunk(tx: Transaction, stream: int, after: int) -> list[StoredBatch]:
    return tx.batches.of_stream(stream, after, CHUNK)


def recover_agent(store: Store, plans: Plans, quarantine: AgentQuarantine, agent: str) -> AgentState | None:
    """One agent's state as a start would make it again; None: the store has nothing of it.

    The agent is in quarantine afterwards if that failed.
    """
    checkpoints, deferred = store.read_now(lambda tx: (tx.checkpoints.all(), tx.batches.deferred()))
    replaying = Replaying(store, plans, quarantine, deferred)
    for checkpoint in checkpoints:
        if checkpoint.agent == agent:
            return replaying.replay_own(replaying.restored(checkpoint))
    return None


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
                with suppress(msgspec.MsgspecError):  # one that cannot be read is for the start to judge
                    tx.checkpoints.replace_body(checkpoint.stream, with_zero_counters(checkpoint.body))
        tx.circuits.clear()
        return tx.incarnations.begin(why, now_ms)

    return write_alone(path, begin)
