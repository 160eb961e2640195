"""Checkpoints of the agents' states: every changed one is saved within SAVE_AFTER, so that little is replayed."""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from collector.ingest.fleet import Fleet
from collector.ingest.quarantine import CHECKPOINT
from collector.ingest.states.state import AgentState, encode_state
from collector.ingest.states.sums import WIDTH, Bucket
from collector.store import cells
from collector.store.errors import StoreError
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import QuarantinedAgent, SavedCheckpoint, StoredSums

log = logging.getLogger("collector.ingest")

SAVE_AFTER: Final = 30.0  # seconds within which a changed state is in a checkpoint, if the disk keeps up
MAX_BUCKETS: Final = 1_000  # open ones of an agent, from which it is saved at once: a backlog has few results in each


class MadeCheckpoint(NamedTuple):
    """A checkpoint to write, and what it is of."""

    state: AgentState
    row: SavedCheckpoint
    finished: list[Bucket]  # that the store has from now on
    sums: list[StoredSums]  # these as rows


class Checkpoints:
    def __init__(self, store: Store, fleet: Fleet) -> None:
        self._held = fleet.quarantine.agents
        self._store = store
        self._fleet = fleet
        self._changed: dict[str, float] = {}  # agent -> since when its state is newer than its checkpoint
        self._saved: dict[str, int] = {}  # agent -> batch of its checkpoint

    def resume(self, saved: dict[str, int], changed: Iterable[str]) -> None:
        """Where the store stands, after a restart."""
        self._saved = saved
        self._changed = dict.fromkeys(changed, time.monotonic())

    def mark_changed(self, agent: str) -> None:
        self._changed.setdefault(agent, time.monotonic())

    def due(self) -> list[str]:
        """Once a second: the states that were changed longest ago, as many as keep everything within SAVE_AFTER."""
        oldest = sorted(self.changed(), key=self._changed.__getitem__)
        return oldest[: -(-len(oldest) // int(SAVE_AFTER))]

    def changed(self) -> list[str]:
        """All states that are newer than their checkpoints; those in quarantine are read again from these."""
        return [agent for agent in self._changed if agent not in self._held]

    def crowded(self, agents: Iterable[str]) -> list[str]:
        """Of these agents those with so many open buckets that to save them later would hold everybody up."""
        return [
            agent
            for agent in agents
            if agent in self._changed
            and agent not in self._held
            and self._fleet.agents[agent].sums.open_buckets > MAX_BUCKETS
        ]

    async def save(self, agents: Sequence[str], last_batch: int) -> None:
        """Checkpoints, with the sums whose buckets are over, in one transaction. ``last_batch``: the newest row."""
        made = [one for agent in agents if (one := self._made(agent)) is not None]
        try:
            await self._save(made, last_batch)
        except StoreError as error:  # the batches hold it all; the next second tries again
            log.warning("no checkpoint: %s", error)
        except Exception as error:
            if len(made) == 1:
                self._fleet.quarantine.put(made[0].state.agent, CHECKPOINT, error)
            elif made:
                for one in made:
                    await self.save([one.state.agent], last_batch)

    def _made(self, agent: str) -> "MadeCheckpoint | None":
        """None: it cannot be made, and its agent is in quarantine."""
        state = self._fleet.agents[agent]
        try:
            finished, still_open = _split_finished(state.sums.buckets())
            row = SavedCheckpoint(state.stream, state.batch, state.contact, encode_state(state, still_open))
            return MadeCheckpoint(state, row, finished, [_sums_row(state.stream, bucket) for bucket in finished])
        except Exception as error:
            self._fleet.quarantine.put(agent, CHECKPOINT, error)
            return None

    async def _save(self, made: Sequence["MadeCheckpoint"], last_batch: int) -> None:
        saved = {**self._saved, **{one.state.agent: one.state.batch for one in made}}
        quarantine = self._fleet.quarantine
        new: list[QuarantinedAgent] = []

        def work(tx: Transaction) -> None:
            covered = self._covered(saved, last_batch)
            new[:] = quarantine.new()  # a restart reads their batches apart, so it has to know of them
            tx.quarantine.put(new)
            tx.checkpoints.save([one.row for one in made])
            tx.sums.add([row for one in made for row in one.sums])
            tx.checkpoints.set_replay_after(covered)

        await self._store.commit(work)
        quarantine.kept(new)
        self._saved = saved
        for one in made:
            state = one.state
            state.sums.drop(one.finished)
            if self._fleet.agents[state.agent] is state:  # else there was a contact meanwhile
                self._changed.pop(state.agent, None)

    def _covered(self, saved: dict[str, int], last_batch: int) -> int:
        """Up to which batch all of them are in checkpoints; those of agents in quarantine are kept, and read apart."""
        ends = [last_batch]
        for agent in self.changed():
            if saved.get(agent, 0) != self._fleet.agents[agent].batch:
                ends.append(saved.get(agent, 0))
        ends += [state.batch for state in self._fleet.agents.values() if state.deferred]  # these are read again
        return min(ends)


def _sums_row(stream: int, bucket: Bucket) -> StoredSums:
    return StoredSums(stream, bucket.start, WIDTH, bucket.plan, cells.encode(bucket.cells))


def _split_finished(buckets: list[Bucket]) -> tuple[list[Bucket], list[Bucket]]:
    """Those that no live result will touch any more, and the others. One touched all the same gets a second row."""
    newest = max((bucket.start for bucket in buckets), default=0)
    finished = [bucket for bucket in buckets if bucket.start < newest - WIDTH]
    return finished, buckets[len(finished) :]
