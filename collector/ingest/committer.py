"""Group commit: what many pushes bring goes into one durable transaction; each is published after it.

Live pushes go first; of backlogs a bounded number goes into a group, in the order in which they came, so that no
agent waits for another's week. Checkpoints have transactions of their own, in the same task: between groups nothing
is half published.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Final

import apsw
import msgspec

from collector.ingest.apply import AddSums
from collector.ingest.fleet import Fleet
from collector.ingest.plans import Plans
from collector.ingest.state import MAX_RECENT, AgentState, Effect, TakenFrames, encode_state
from collector.ingest.sums import WIDTH, Bucket
from collector.store import cells
from collector.store.errors import StoreError
from collector.store.sqlite.database import Database

log = logging.getLogger("collector.ingest")

GROUP: Final = 256  # live pushes in a transaction
BULK_GROUP: Final = 32  # pushes of a backlog in a transaction
SAVE_AFTER: Final = 30.0  # seconds within which a changed state is in a checkpoint, if the disk keeps up
MAX_DEAD_LETTERS_PER_HOUR: Final = (
    200  # rows of dead letters an agent may make in an hour; further ones are only counted
)


class BatchRow(msgspec.Struct, frozen=True):
    """A batch's own row. ``deferred``: (boot, ms received by the boot-time clock) while the wall is not believed."""

    received: int
    believed: bool
    epoch: int
    first: int
    last: int
    placing: bytes | None
    body: bytes
    deferred: tuple[bytes, int] | None = None


class DeferredPlacement(msgspec.Struct, frozen=True):
    """A deferred batch that is placed now: its row, and when it was received, if that can be said after all."""

    batch: int
    received: int
    believed: bool
    placing: bytes | None


class CommitItem(msgspec.Struct):
    """What one push wants committed, and the state to publish when it is."""

    state: AgentState
    effect: Effect
    at: int
    row: BatchRow | None = None
    late: DeferredPlacement | None = None
    add_sums: AddSums | None = None
    batch: int = 0  # the row it got
    silent: bool = False  # publish nothing
    done: asyncio.Future[None] | None = None


class Committer:
    def __init__(self, database: Database, plans: Plans, fleet: Fleet) -> None:
        self._database = database
        self._plans = plans
        self._fleet = fleet
        self._live: deque[CommitItem] = deque()
        self._bulk: deque[CommitItem] = deque()
        self._wake = asyncio.Event()
        self._save_due = False
        self._dirty: dict[str, float] = {}  # agent -> since when its state is newer than its checkpoint
        self._saved: dict[str, int] = {}  # agent -> batch of its checkpoint
        self._dead_letter_counts: dict[str, tuple[float, int]] = {}
        self.last_batch = 0
        self.groups = 0
        self.committed = 0
        self.dead_letters = 0
        self.failures = 0

    @property
    def waiting(self) -> int:
        return len(self._live) + len(self._bulk)

    @property
    def waiting_bulk(self) -> int:
        return len(self._bulk)

    def resume(self, last_batch: int, saved: dict[str, int], dirty: Iterable[str]) -> None:
        """Where the store stands, after a restart."""
        self.last_batch = last_batch
        self._saved = saved
        self._dirty = dict.fromkeys(dirty, time.monotonic())

    def publish(self, state: AgentState) -> None:
        """Publish a change that a restart may forget (a contact), to be in the next checkpoint."""
        self._fleet.publish(state)
        self._dirty.setdefault(state.agent, time.monotonic())

    async def submit(self, item: CommitItem, *, bulk: bool = False) -> None:
        """Returns when the item is durable and published. Raises what made its commit fail."""
        item.done = asyncio.get_running_loop().create_future()
        (self._bulk if bulk else self._live).append(item)
        self._wake.set()
        await item.done

    async def store_effect(self, agent: str, effect: Effect, at: int) -> None:
        """Commit events and dead letters of an agent that is not in turn: nothing is published."""
        state = self._fleet.agents[agent]
        await self.submit(CommitItem(state, effect, at, silent=True))

    def request_save(self) -> None:
        """Once a second: a part of the changed states is due to be saved."""
        if self._dirty:
            self._save_due = True
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled. A failing disk fails the pushes of the moment, and nothing else."""
        while True:
            await self._wake.wait()
            group = self._next_group()
            if group:
                await self._commit(group)
            if self._save_due:
                self._save_due = False
                await self._save(self._due_for_save())
            if not (self._live or self._bulk or self._save_due):
                self._wake.clear()

    def _next_group(self) -> list[CommitItem]:
        group = [self._live.popleft() for _ in range(min(len(self._live), GROUP))]
        group += [self._bulk.popleft() for _ in range(min(len(self._bulk), BULK_GROUP))]
        return group

    async def _commit(self, group: list[CommitItem]) -> None:
        try:
            await self._database.commit(lambda db: self._insert(db, group))
        except StoreError as error:
            self.failures += 1
            if self.failures == 1:
                log.error("nothing is acknowledged: %s", error)
            _fail(group, error)
        except Exception as error:
            if len(group) == 1:  # this one, and it alone, cannot be stored
                log.exception("a push of %s cannot be stored", group[0].state.agent)
                _fail(group, error)
                return
            for item in group:
                await self._commit([item])
        else:
            if self.failures:
                log.info("the store takes writes again, after %d failures", self.failures)
                self.failures = 0
            self.groups += 1
            self.committed += len(group)
            for item in group:
                self._publish_item(item)

    def _publish_item(self, item: CommitItem) -> None:
        state, row = item.state, item.row
        if row is not None:
            state.recent = (*state.recent[1 - MAX_RECENT :], TakenFrames(item.batch, row.epoch, row.first, row.last))
            if row.deferred is None:
                state.batch = item.batch
            else:
                state.deferred = (*state.deferred, item.batch)
        if item.late is not None:
            state.batch = item.late.batch
        self._plans.record_births(item.effect.born)
        if item.add_sums is not None:
            item.add_sums(item.state.sums)
        if not item.silent:
            self.publish(item.state)
        if item.done is not None and not item.done.done():
            item.done.set_result(None)

    def _insert(self, db: apsw.Connection, group: list[CommitItem]) -> None:
        batches, deferred, late, spans, events, dead_letters, born = [], [], [], [], [], [], []
        number = self.last_batch
        for item in group:
            state, effect, row = item.state, item.effect, item.row
            if row is not None:
                number += 1
                item.batch = number
                own = (row.received, row.believed, row.epoch, row.first, row.last, row.placing, row.body)
                batches.append((number, state.stream, *own))
                if row.deferred is not None:
                    deferred.append((number, *row.deferred))
            if item.late is not None:
                late.append(item.late)
            if effect.spans:
                spans += [(check, *msgspec.structs.astuple(span)) for check, span in effect.spans]
            events += [
                (note.at, state.agent, note.check, note.kind, msgspec.json.encode(note.data).decode(), note.finding)
                for note in effect.events
            ]
            if effect.dead_letters:
                dead_letters += self._dead_letter_rows(item)
            born += [(at, row, at) for at, row in effect.born if self._plans.begins_earlier(at, row)]
        _execute_many(db, "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", batches)
        _execute_many(db, "INSERT INTO spans VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", spans)
        _execute_many(db, "INSERT INTO events VALUES (NULL, ?, ?, ?, ?, ?, ?)", events)
        _execute_many(db, "INSERT INTO dead_letters VALUES (NULL, ?, ?, ?, ?, ?)", dead_letters)
        _execute_many(db, "UPDATE checks SET born = ? WHERE id = ? AND (born IS NULL OR born > ?)", born)
        _execute_many(db, "INSERT INTO deferred VALUES (?, ?, ?)", deferred)
        placed = [(each.placing, each.received, each.believed, each.batch) for each in late]
        _execute_many(db, "UPDATE batches SET placing = ?, received = ?, believed = ? WHERE id = ?", placed)
        _execute_many(db, "DELETE FROM deferred WHERE batch = ?", [(each.batch,) for each in late])
        self.last_batch = number

    def _dead_letter_rows(self, item: CommitItem) -> list[tuple[int, str, str, int, bytes]]:
        """An agent that sends nothing but rubbish must not fill the disk with it."""
        now = time.monotonic()
        since, count = self._dead_letter_counts.get(item.state.agent, (now, 0))
        if now - since > 3600:
            since, count = now, 0
        letters = item.effect.dead_letters
        self.dead_letters += sum(letter.count for letter in letters)
        kept = letters[: max(0, MAX_DEAD_LETTERS_PER_HOUR - count)]
        self._dead_letter_counts[item.state.agent] = (since, count + len(kept))
        return [(item.at, item.state.agent, letter.reason, letter.count, letter.body) for letter in kept]

    def _due_for_save(self) -> list[str]:
        """The states that were changed longest ago, as many as keep everything within SAVE_AFTER."""
        oldest = sorted(self._dirty, key=self._dirty.__getitem__)
        return oldest[: -(-len(oldest) // int(SAVE_AFTER))]

    async def save_all(self) -> None:
        """At a clean end: the next start has nothing to replay."""
        await self._save(list(self._dirty))

    async def _save(self, agents: list[str]) -> None:
        """Checkpoints, with the sums whose buckets are over, in one transaction."""
        states = [self._fleet.agents[agent] for agent in agents]
        saved = {**self._saved, **{state.agent: state.batch for state in states}}
        over: dict[str, list[Bucket]] = {}

        def work(db: apsw.Connection) -> None:
            for state in states:
                over[state.agent], stays = _split_finished(state.sums.buckets())
                db.execute(
                    "UPDATE streams SET batch = ?, saved = ?, body = ? WHERE id = ?",
                    (state.batch, state.contact, encode_state(state, stays), state.stream),
                )
                rows = [
                    (state.stream, bucket.start, WIDTH, bucket.plan, cells.encode(bucket.cells))
                    for bucket in over[state.agent]
                ]
                _execute_many(db, "INSERT INTO sums (stream, start, width, plan, body) VALUES (?, ?, ?, ?, ?)", rows)
            db.execute("UPDATE replay SET after = ?", (self._covered(saved),))

        try:
            await self._database.commit(work)
        except StoreError as error:  # the batches hold it all; the next second tries again
            log.warning("no checkpoint: %s", error)
            return
        self._saved = saved
        for state in states:
            state.sums.drop(over[state.agent])
            if self._fleet.agents[state.agent] is state:  # else there was a contact meanwhile
                self._dirty.pop(state.agent, None)

    def _covered(self, saved: dict[str, int]) -> int:
        """Up to which row of ``batches`` all of them are in checkpoints."""
        ends = [self.last_batch]
        for agent in self._dirty:
            if saved.get(agent, 0) != self._fleet.agents[agent].batch:
                ends.append(saved.get(agent, 0))
        ends += [state.batch for state in self._fleet.agents.values() if state.deferred]
        return min(ends)


def _split_finished(buckets: list[Bucket]) -> tuple[list[Bucket], list[Bucket]]:
    """Those that no live result will touch any more, and the others. One touched all the same gets a second row."""
    newest = max((bucket.start for bucket in buckets), default=0)
    over = [bucket for bucket in buckets if bucket.start < newest - WIDTH]
    return over, buckets[len(over) :]


def _fail(group: list[CommitItem], error: Exception) -> None:
    for item in group:
        if item.done is not None and not item.done.done():
            item.done.set_exception(error)


def _execute_many(db: apsw.Connection, sql: str, rows: Sequence[tuple[int | str | bytes | None, ...]]) -> None:
    if rows:
        db.executemany(sql, rows)
