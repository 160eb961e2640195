"""Group commit: what many pushes bring goes into one durable transaction; each is published after it.

Live pushes go first; of backlogs a bounded number goes into a group, in the order in which they came, so that no
agent waits for another's week. Checkpoints have transactions of their own, in the same task: between groups nothing
is half published.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from collector.ingest.checkpoints import Checkpoints
from collector.ingest.fleet import Fleet
from collector.ingest.limits import PushError
from collector.ingest.plans import EARLIEST_BIRTH, Plans
from collector.ingest.quarantine import COMMIT, PUBLICATION
from collector.ingest.states.state import MAX_RECENT, AgentState, RecentFrames
from collector.ingest.steps.apply import AddSums
from collector.ingest.steps.dead_letters import DeadLetterBudget
from collector.ingest.steps.effect import Effect
from collector.ingest.steps.finding_budget import FindingBudget
from collector.ledger.state_step import Span
from collector.store.errors import StoreError
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import AddedDeadLetter, AddedEvent, DeferredBatch, PlacedBatch, StoredBatch

log = logging.getLogger("collector.ingest")

GROUP: Final = 256  # live pushes in a transaction
BULK_GROUP: Final = 32  # pushes of a backlog in a transaction
PUBLISH_AT_ONCE: Final = 0.01  # seconds for which publishing holds the loop: a backlog's sums are added up in it
GATHER_ROUNDS: Final = 24  # of the loop, before a transaction of parts of backlogs alone
BULK_ROWS: Final = 4_000  # spans, events and dead letters of these, from which no further one is taken


class CommitItem(msgspec.Struct):
    """What one push wants committed, and the state to publish when it is."""

    state: AgentState  # the successor
    effect: Effect
    at: int  # ms: when it was received
    row: StoredBatch | None = None  # its batch, to be numbered here
    waits_since: tuple[bytes, int] | None = None  # boot and boot ms of the collector: that batch is placed later
    placed: PlacedBatch | None = None  # a batch that waited and is placed now
    add_sums: AddSums | None = None
    silent: bool = False  # publish nothing
    batch: int = 0  # the number that the row got
    done: asyncio.Future[None] | None = None  # for who waits for the commit


class Committer:
    """``bulk_in_work``: parts of backlogs that are in work, those that wait here among them."""

    def __init__(self, store: Store, plans: Plans, fleet: Fleet, bulk_in_work: Callable[[], int] = lambda: 0) -> None:
        self._store = store
        self._bulk_in_work = bulk_in_work
        self._plans = plans
        self._fleet = fleet
        self._live: deque[CommitItem] = deque()
        self._bulk: deque[CommitItem] = deque()
        self._wake = asyncio.Event()
        self._save_due = False
        self._ending = False
        self._dead_letter_budget = DeadLetterBudget()
        self._finding_budget = FindingBudget()
        self.checkpoints = Checkpoints(store, fleet)
        self.last_batch = 0  # the newest number
        self.groups = 0  # transactions since the start
        self.committed = 0  # pushes in them
        self.failures = 0  # in a row, by now

    @property
    def waiting(self) -> int:
        return len(self._live) + len(self._bulk)

    @property
    def waiting_bulk(self) -> int:
        return len(self._bulk)

    @property
    def dead_letters(self) -> int:
        """Records set aside since the start, kept or not."""
        return self._dead_letter_budget.total

    def resume(self, last_batch: int, saved: dict[str, int], changed: Iterable[str]) -> None:
        """Where the store stands, after a restart: of each agent the batch that its checkpoint holds."""
        self.last_batch = last_batch
        self.checkpoints.resume(saved, changed)

    def publish(self, state: AgentState) -> None:
        """Publish a change that a restart may forget (a contact), to be in the next checkpoint."""
        self._fleet.publish(state)
        self.checkpoints.mark_changed(state.agent)

    async def submit(self, item: CommitItem, *, bulk: bool = False) -> None:
        """Returns when the item is durable and published. Raises what made its commit fail."""
        item.done = asyncio.get_running_loop().create_future()
        (self._bulk if bulk else self._live).append(item)
        self._wake.set()
        await item.done

    def request_save(self) -> None:
        """Once a second: a part of the changed states is due to be saved."""
        self._save_due = True
        self._wake.set()

    async def run(self) -> None:
        """Until :meth:`end`. A failing disk fails the pushes of the moment, and nothing else."""
        while not self._ending:
            await self._wake.wait()
            await self._gather_bulk()
            group = self._next_group()
            if group:
                await self._commit(group)
                for agent in self.checkpoints.crowded({item.state.agent for item in group}):
                    await self.save([agent])
            if self._save_due:
                self._save_due = False
                await self.save(self.checkpoints.due())
            if not (self._live or self._bulk or self._save_due or self._ending):
                self._wake.clear()
        _fail([*self._live, *self._bulk], PushError(503, "the collector stops; try again", verdict="failed"))

    def end(self) -> None:
        """:meth:`run` returns once the group in hand is published: cancelled amid it, what it has put into the store
        would be missing in the states that are saved last, or be saved twice."""
        self._ending = True
        self._wake.set()

    async def save(self, agents: Sequence[str]) -> None:
        """Checkpoints of these agents' states."""
        if agents:
            await self.checkpoints.save(agents, self.last_batch)

    async def save_all(self) -> None:
        """At a clean end: the next start has nothing to replay."""
        await self.checkpoints.save(self.checkpoints.changed(), self.last_batch)

    async def _gather_bulk(self) -> None:
        """Let parts of backlogs that are nearly ready come along: they are worked on a piece in each of the loop's
        rounds, and a transaction for each would cost more than all of them. Nothing live waits for them."""
        for _ in range(GATHER_ROUNDS):
            if self._live or not self._bulk or self._save_due or self._ending:
                return
            if len(self._bulk) >= min(self._bulk_in_work(), BULK_GROUP):
                return
            await asyncio.sleep(0)

    def _next_group(self) -> list[CommitItem]:
        group = [self._live.popleft() for _ in range(min(len(self._live), GROUP))]
        rows = 0
        for _ in range(min(len(self._bulk), BULK_GROUP)):
            item = self._bulk.popleft()
            group.append(item)
            rows += item.effect.rows
            if rows >= BULK_ROWS:  # live pushes wait for this transaction
                break
        return group

    async def _commit(self, group: list[CommitItem]) -> None:
        try:
            await self._store.commit(lambda tx: self._write(tx, group))
        except StoreError as error:
            self.failures += 1
            if self.failures == 1:
                log.error("nothing is acknowledged: %s", error)
            _fail(group, error)
        except Exception as error:
            if len(group) == 1:  # this one, and it alone, cannot be stored
                item = group[0]
                self._put_apart(item, COMMIT, error, item.placed.batch if item.placed is not None else 0)
                return
            for item in group:
                await self._commit([item])
        else:
            if self.failures:
                log.info("the store takes writes again, after %d failures", self.failures)
                self.failures = 0
            self.groups += 1
            self.committed += len(group)
            await self._publish_group(group)

    async def _publish_group(self, group: list[CommitItem]) -> None:
        """Others have a turn now and then."""
        begun = time.monotonic()
        for item in group:
            try:
                self._publish_item(item)
            except Exception as error:
                self._put_apart(item, PUBLICATION, error, item.batch or (item.placed.batch if item.placed else 0))
            if time.monotonic() - begun > PUBLISH_AT_ONCE:
                await asyncio.sleep(0)
                begun = time.monotonic()

    def _put_apart(self, item: CommitItem, place: str, error: Exception, batch: int) -> None:
        """What failed is this item alone: its agent is in quarantine, and its push is not acknowledged."""
        if not self._fleet.quarantine.put(item.state.agent, place, error, batch):
            log.error("a push of %s cannot be taken", item.state.agent, exc_info=error)
        _fail([item], PushError(503, "the collector failed at this push; try again later", verdict="failed"))

    def _write(self, tx: Transaction, group: list[CommitItem]) -> None:
        """A group's rows, each table at once. An item's row gets its number."""
        batches: list[StoredBatch] = []
        deferred: list[DeferredBatch] = []
        spans: list[tuple[int, Span]] = []
        events: list[AddedEvent] = []
        letters: list[AddedDeadLetter] = []
        born: list[tuple[int, int]] = []
        number = self.last_batch
        for item in group:
            agent, effect = item.state.agent, item.effect
            if item.row is not None:
                number += 1
                item.batch = number
                batches.append(StoredBatch(number, *item.row[1:]))
                if item.waits_since is not None:
                    deferred.append(DeferredBatch(number, *item.waits_since))
            spans += effect.spans
            if effect.events:
                findings = self._finding_budget.findings(agent, effect.events)
                events += [
                    AddedEvent(new.at, agent, new.check, new.kind, new.data, finding)
                    for new, finding in zip(effect.events, findings, strict=True)
                ]
            if effect.dead_letters:
                kept = self._dead_letter_budget.kept(agent, effect.dead_letters)
                letters += [AddedDeadLetter(item.at, agent, new.reason, new.count, new.body) for new in kept]
            if effect.born:
                effect.born = [one for one in effect.born if self._plans.begins_earlier(*one)]
            if effect.born:
                earliest = max(tx.certificates.first_issued(agent) or 0, EARLIEST_BIRTH)
                effect.born = [(max(at, earliest), row) for at, row in effect.born]
                born += effect.born
        tx.batches.add(batches)
        tx.spans.add(spans)
        tx.events.add(events)
        tx.dead_letters.add(letters)
        tx.checks.begin_earlier(born)
        tx.batches.defer(deferred)
        tx.batches.place([item.placed for item in group if item.placed is not None])
        self.last_batch = number

    def _publish_item(self, item: CommitItem) -> None:
        state, row = item.state, item.row
        if row is not None:
            state.recent = (*state.recent[1 - MAX_RECENT :], RecentFrames(item.batch, row.epoch, row.first, row.last))
            if item.waits_since is None:
                state.batch = item.batch
            else:
                state.deferred = (*state.deferred, item.batch)
        if item.placed is not None:
            state.batch = item.placed.batch
        self._plans.record_births(item.effect.born)
        if item.add_sums is not None:
            item.add_sums(state.sums)
        if not item.silent:
            self.publish(state)
        if item.done is not None and not item.done.done():
            item.done.set_result(None)


def _fail(group: list[CommitItem], error: Exception) -> None:
    for item in group:
        if item.done is not None and not item.done.done():
            item.done.set_exception(error)
