"""Checkpoints of the agents' states: every changed one is saved within SAVE_AFTER, so that little is replayed."""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import Final

from collector.ingest.fleet import Fleet
from collector.ingest.state import encode_state
from collector.ingest.sums import WIDTH, Bucket
from collector.store import cells
from collector.store.errors import StoreError
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import SavedCheckpoint, StoredSums

log = logging.getLogger("collector.ingest")

SAVE_AFTER: Final = 30.0  # seconds within which a changed state is in a checkpoint, if the disk keeps up


class Checkpoints:
    def __init__(self, store: Store, fleet: Fleet) -> None:
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
        oldest = sorted(self._changed, key=self._changed.__getitem__)
        return oldest[: -(-len(oldest) // int(SAVE_AFTER))]

    def changed(self) -> list[str]:
        """All states that are newer than their checkpoints."""
        return list(self._changed)

    async def save(self, agents: Sequence[str], last_batch: int) -> None:
        """Checkpoints, with the sums whose buckets are over, in one transaction. ``last_batch``: the newest row."""
        states = [self._fleet.agents[agent] for agent in agents]
        saved = {**self._saved, **{state.agent: state.batch for state in states}}
        finished: dict[str, list[Bucket]] = {}

        def work(tx: Transaction) -> None:
            rows, sums = [], []
            for state in states:
                finished[state.agent], still_open = _split_finished(state.sums.buckets())
                rows.append(SavedCheckpoint(state.stream, state.batch, state.contact, encode_state(state, still_open)))
                sums += [_sums_row(state.stream, bucket) for bucket in finished[state.agent]]
            tx.checkpoints.save(rows)
            tx.sums.add(sums)
            tx.checkpoints.set_replay_after(self._covered(saved, last_batch))

        try:
            await self._store.commit(work)
        except StoreError as error:  # the batches hold it all; the next second tries again
            log.warning("no checkpoint: %s", error)
            return
        self._saved = saved
        for state in states:
            state.sums.drop(finished[state.agent])
            if self._fleet.agents[state.agent] is state:  # else there was a contact meanwhile
                self._changed.pop(state.agent, None)

    def _covered(self, saved: dict[str, int], last_batch: int) -> int:
        """Up to which batch all of them are in checkpoints."""
        ends = [last_batch]
        for agent in self._changed:
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
