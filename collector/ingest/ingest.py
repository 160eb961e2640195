"""Ingest: takes a push's body and answers with its acknowledgement."""

import asyncio
import gc
import logging
import math
import time
from collections.abc import Mapping
from typing import Final

import apsw
import msgspec

from collector.ingest import examine, recovery
from collector.ingest.admission import admit, bounded_health, content
from collector.ingest.clock import ClockTrust, CollectorClock, CollectorSystemClock
from collector.ingest.committer import BatchRow, CommitItem, Committer, DeferredPlacement
from collector.ingest.fleet import Fleet
from collector.ingest.maintenance import Maintenance
from collector.ingest.place import BatchOutcome, place_batch
from collector.ingest.plans import CompiledPlan, PlanError, Plans
from collector.ingest.state import AgentState, Effect, NewDeadLetter, NewEvent, Overlay
from collector.store.errors import StoreError
from collector.store.records import Lifespan
from collector.store.sqlite.database import Database
from inventory.protocol.states import UNKNOWN
from inventory.protocol.wire import Ack, Batch, Position, Push, WireError, decode_push

log = logging.getLogger("collector.ingest")

GC_THRESHOLDS: Final = (10_000, 20, 1_000)
BULK_BYTES: Final = 4_096  # bytes of a body from which it is taken for a part of a backlog
BULK_RESULTS: Final = 200  # or results
BULK_AT_ONCE: Final = 16  # of those in work; the others wait, live pushes do not
MAX_WAITING: Final = 2_000  # pushes in work; further ones are told to come again
MAX_PLANS: Final = 16  # in one push
MAX_PLAN_REQUESTS: Final = 20  # times a plan is asked for before a batch made under it is given up
REPORT_AGAIN_AFTER: Final = 3_600.0  # seconds between two findings of the same sort about an agent


class PushError(Exception):
    """An answer without acknowledgement: HTTP status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Ingest:
    """Made over an opened store; :meth:`start` loads and replays, :meth:`stop` ends cleanly."""

    def __init__(self, database: Database, clock: CollectorClock | None = None) -> None:
        self.clock: CollectorClock = clock or CollectorSystemClock()
        self.database = database
        self.plans = Plans(database)
        self.fleet = Fleet(self.plans)
        self.committer = Committer(database, self.plans, self.fleet)
        self.trust = ClockTrust(self.clock)
        self.pushes: dict[str, int] = {}  # by verdict, for the metrics
        self.rejected: dict[str, int] = {}  # bodies and plans that could not be read, by agent, since the start
        self.maintenance = Maintenance(self)
        self._tasks: list[asyncio.Task[None]] = []
        self._current_plans: dict[str, bytes] = {}
        self._agent_locks: dict[str, asyncio.Lock] = {}
        self._bulk = asyncio.Semaphore(BULK_AT_ONCE)
        self._busy = 0
        self._plan_requests: dict[tuple[str, bytes], int] = {}
        self._reported_at: dict[tuple[str, str], float] = {}

    async def start(self) -> None:
        """Load checkpoints, replay what is newer, and begin. Changes how often the process collects garbage."""
        self.plans.load()
        self.trust = recovery.restored_clock_trust(self.database, self.clock)
        self.trust.recheck()
        recovery.load(self.database, self.plans, self.fleet, self.committer)
        gc.collect()
        gc.freeze()  # the fleet is no garbage and makes no cycles: looking for some took 60% of a push
        gc.set_threshold(*GC_THRESHOLDS)
        committing = asyncio.create_task(self.committer.run(), name="ingest-committer")
        committing.add_done_callback(self._committer_ended)
        self._tasks.append(committing)
        self.maintenance = Maintenance(self)
        await self.maintenance.begin()
        self._tasks.append(asyncio.create_task(self.maintenance.run(), name="ingest-keeper"))

    def _committer_ended(self, committing: asyncio.Task[None]) -> None:
        """Without its committer no push is ever answered: the process has to end and start afresh."""
        if not committing.cancelled() and (error := committing.exception()) is not None:
            log.critical("commits have ended: %r", error)
            self.database.broken.set()

    async def stop(self) -> None:
        """After the listeners have stopped: everything into checkpoints, the clean end into the collector's life."""
        for task in reversed(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self.committer.save_all()
        await self.maintenance.end()

    async def serve_plan(self, agent: str, encoded: bytes, lifespans: Mapping[str, Lifespan] | None = None) -> bytes:
        """This is the agent's plan from now on: keep it, register its checks. Gives its digest; raises PlanError."""
        plan = await self.plans.store_plan(agent, encoded, self.clock.wall_ms(), served=True, lives=lifespans)
        self._current_plans[agent] = plan.digest
        return plan.digest

    async def push(self, agent: str, body: bytes, uploading: int = 0) -> Ack:
        """Take a push of an authenticated agent. Raises PushError; whatever returns is durable.

        ``uploading``: ms since the request's first line came. A slow line must not widen what the push says of clocks.
        """
        if self._busy >= MAX_WAITING:
            raise PushError(503, "too many pushes at once; try again")
        received = self.clock.wall_ms() - uploading
        self._busy += 1
        try:
            if len(body) < BULK_BYTES:
                push = await self._decoded(agent, body)
                if push.batch is None or len(push.batch.states) < BULK_RESULTS:
                    return await self._push_in_order(agent, push, body, received, bulk=False)
            async with self._bulk:
                return await self._push_in_order(agent, await self._decoded(agent, body), body, received, bulk=True)
        except StoreError as error:
            self._count_verdict("failed")
            raise PushError(503, str(error)) from None
        finally:
            self._busy -= 1

    async def _decoded(self, agent: str, body: bytes) -> Push:
        try:
            push = decode_push(body)
            admit(push)
        except WireError as error:
            self._count_verdict("undecodable")
            await self._dead_letter(agent, body, str(error))
            raise PushError(400, str(error)) from None
        return push

    async def _push_in_order(self, agent: str, push: Push, body: bytes, received: int, *, bulk: bool) -> Ack:
        """One push of an agent at a time; other agents' go on beside it."""
        lock = self._agent_locks.get(agent)
        if lock is None:
            lock = self._agent_locks[agent] = asyncio.Lock()
        async with lock:
            ack = await self._process_push(agent, push, body, received, bulk)
        self._count_verdict(ack.verdict)
        return ack

    async def _process_push(self, agent: str, push: Push, body: bytes, received: int, bulk: bool) -> Ack:
        for encoded in push.plans[:MAX_PLANS]:
            try:
                await self.plans.store_plan(agent, encoded, received, served=False)
            except PlanError as error:
                await self._dead_letter(agent, encoded, str(error))
        state = (await self.agent_state(agent)).successor()
        trusted = self.trust.recheck()
        if trusted:
            state.contact = received
            state.timing = state.timing.with_exchange(push.sent, received, push.echo)
        state.backlog = max(0, push.backlog)
        if push.health:
            state.health = bounded_health(push.health)
        want = self._update_overlay(state, push, received) if trusted else []
        batch = push.batch
        if batch is None:
            return self._ack("none", state, received, trusted, want=want)
        verdict, reason = await self._sequence(state, batch, received)
        if verdict != "taken":
            return self._ack(verdict, state, received, trusted, want=want, reason=reason)
        plan = self.plans.compiled_plan(agent, batch.plan)
        if plan is None and not self._gave_up_on_plan(agent, batch.plan):
            return self._ack("none", state, received, trusted, want=[*want, batch.plan])
        if trusted and (timing := state.timing.asking_for_echo()) is not None:
            state.timing = timing
            return self._ack("reposition", state, received, trusted, reason="push again: the clocks are not known yet")
        outcome = await self._commit(state, plan, push, body, received, trusted, bulk)
        if outcome is not None and outcome.refused:
            return self._ack("refused", state, received, trusted, want=want, reason=outcome.refused, published=True)
        return self._ack("taken", state, received, trusted, want=want, published=True)

    async def _commit(
        self,
        state: AgentState,
        plan: CompiledPlan | None,
        push: Push,
        body: bytes,
        received: int,
        trusted: bool,
        bulk: bool,
    ) -> BatchOutcome | None:
        """Store the batch, and account for it unless the clock is not believed; None: it is deferred."""
        batch = push.batch
        assert batch is not None
        state.watermark = Position(batch.epoch, batch.last)
        effect = Effect()
        if batch.breach:
            self._chain_broken(state, batch, received, effect)
        if not trusted or state.deferred:
            deferred = (self.clock.boot, self.clock.boot_ms())
            row = BatchRow(received, trusted, batch.epoch, batch.start, batch.last, None, body, deferred)
            await self.committer.submit(CommitItem(state, effect, received, row), bulk=bulk)
            return None
        outcome = place_batch(state, plan, push, received, effect, self.database.count_from)
        self._report_dead_letters(state, effect, received)
        row = BatchRow(received, trusted, batch.epoch, batch.start, batch.last, outcome.placing, body)
        await self.committer.submit(CommitItem(state, effect, received, row, add_sums=outcome.add_sums), bulk=bulk)
        return outcome

    async def place_deferred(self) -> int:
        """Place what waited for the clock, in order, now that it is believed. Gives how many batches."""
        placed = 0
        for agent in [name for name, state in self.fleet.agents.items() if state.deferred]:
            async with self._agent_locks.setdefault(agent, asyncio.Lock()):
                while self.fleet.agents[agent].deferred and self.trust.recheck():
                    await self._place_deferred_batch(self.fleet.agents[agent].successor())
                    placed += 1
        return placed

    async def _place_deferred_batch(self, state: AgentState) -> None:
        number, state.deferred = state.deferred[0], state.deferred[1:]
        sql = "SELECT b.body, d.boot, d.received FROM batches b JOIN deferred d ON d.batch = b.id WHERE b.id = ?"
        row = await self.database.read(lambda db: db.execute(sql, (number,)).fetchone())
        assert row is not None
        push = decode_push(bytes(row[0]))
        assert push.batch is not None
        received, believed = self.clock.wall_ms(), bool(row[1] == self.clock.boot)
        if believed:  # then it is known when it came, after all
            received += int(row[2]) - self.clock.boot_ms()
            state.timing = state.timing.with_exchange(push.sent, received, push.echo)
        effect = Effect()
        plan = self.plans.compiled_plan(state.agent, push.batch.plan)
        outcome = place_batch(state, plan, push, received, effect, self.database.count_from)
        late = DeferredPlacement(number, received, believed, outcome.placing)
        await self.committer.submit(
            CommitItem(state, effect, received, late=late, add_sums=outcome.add_sums), bulk=True
        )

    async def agent_state(self, agent: str) -> AgentState:
        """The published state; a new agent gets its row first."""
        published = self.fleet.agents.get(agent)
        if published is not None:
            return published

        def work(db: apsw.Connection) -> int:
            db.execute("INSERT OR IGNORE INTO streams (agent) VALUES (?)", (agent,))
            row = db.execute("SELECT id FROM streams WHERE agent = ?", (agent,)).get
            assert isinstance(row, int)
            return row

        state = AgentState(agent=agent, stream=await self.database.write(work))
        return self.fleet.agents.setdefault(agent, state)

    async def store_event(self, agent: str, note: NewEvent) -> None:
        """Store an event that came from no push; durable when it returns."""
        item = (note.at, agent, note.check, note.kind, msgspec.json.encode(note.data).decode(), note.finding)
        await self.database.write(lambda db: db.execute("INSERT INTO events VALUES (NULL, ?, ?, ?, ?, ?, ?)", item))

    async def _sequence(self, state: AgentState, batch: Batch, received: int) -> tuple[str, str]:
        """The verdict, and its reason: see inventory.protocol.wire."""
        watermark = state.watermark
        if watermark is not None and batch.epoch == watermark.epoch and batch.last <= watermark.seq:
            if not await self._has_other_content(state, batch):
                return "repeat", ""
            data = {"epoch": batch.epoch, "first": batch.start, "last": batch.last}
            effect = Effect(
                events=[NewEvent(received, None, "conflict", data, True)],
                dead_letters=[NewDeadLetter("other content under the same frames", 1, repr(batch).encode()[:4096])],
            )
            await self.committer.submit(CommitItem(state, effect, received))
            return "conflict", "other content under the same frames"
        if batch.previous != watermark:
            return "reposition", "" if batch.previous is None else "this does not continue what is here"
        return "taken", ""

    async def _has_other_content(self, state: AgentState, batch: Batch) -> bool:
        """Whether other content was taken under exactly these frames; folds of the same do not count."""
        same = [r for r in state.recent if (r.epoch, r.first, r.last) == (batch.epoch, batch.start, batch.last)]
        if not same or batch.runs:
            return False
        body = await self.database.read(
            lambda db: db.execute("SELECT body FROM batches WHERE id = ?", (same[0].batch,)).get
        )
        stored = decode_push(bytes(body)).batch if isinstance(body, bytes) else None
        return stored is not None and not stored.runs and content(stored) != content(batch)

    def _chain_broken(self, state: AgentState, batch: Batch, received: int, effect: Effect) -> None:
        previous = batch.previous
        lost = batch.start - previous.seq - 1 if previous is not None and previous.epoch == batch.epoch else None
        data = {"why": batch.breach[:40], "epoch": batch.epoch, "first": batch.start, "lost": lost}
        effect.events.append(NewEvent(received, None, "chain broken", data, True))
        log.warning("agent %s: the chain of its results is broken: %s", state.agent, batch.breach[:40])

    def _gave_up_on_plan(self, agent: str, digest: bytes) -> bool:
        """Whether a plan was asked for too often to be hoped for."""
        count = self._plan_requests[agent, digest] = self._plan_requests.get((agent, digest), 0) + 1
        return count > MAX_PLAN_REQUESTS

    def _update_overlay(self, state: AgentState, push: Push, received: int) -> list[bytes]:
        """Take the present state, if it is newer than what is there; gives the plan to ask for, if it is not known."""
        present = push.present
        if present is None:
            if not push.backlog:
                state.overlay = None
            return []
        plan = self.plans.compiled_plan(state.agent, present.plan)
        if plan is None:
            return [present.plan]
        old = state.overlay
        stale = old is not None and old.boot == present.boot and present.boot_ms < old.boot_ms
        if stale or present.boot != push.sent.boot or not 0 <= present.boot_ms <= push.sent.boot_ms:
            return []
        if not len(present.states) == len(present.since) == len(present.looks) == len(plan.rows):
            return []
        offset = received - present.boot_ms
        state.overlay = Overlay(
            received,
            present.boot,
            present.boot_ms,
            {
                row: (code, min(received, max(0, since + offset)), max(0, min(looks, 2**31)))
                for row, code, since, looks in zip(plan.rows, present.states, present.since, present.looks, strict=True)
                if code <= UNKNOWN and since <= examine.MAX_TIME
            },
        )
        return []

    def _ack(
        self,
        verdict: str,
        state: AgentState,
        received: int,
        trusted: bool,
        *,
        want: list[bytes] | None = None,
        reason: str = "",
        published: bool = False,
    ) -> Ack:
        if not published:
            self.committer.publish(state)
        return Ack(
            incarnation=self.database.incarnation,
            verdict=verdict,
            received_ms=received if trusted else 0,
            sent_ms=self.clock.wall_ms() if trusted else 0,
            watermark=state.watermark,
            plan=self._current_plans.get(state.agent),
            want=want or [],
            pause_ms=min(1_000, 5 * self.committer.waiting_bulk),
            reason=reason,
        )

    async def _dead_letter(self, agent: str, body: bytes, reason: str) -> None:
        state = await self.agent_state(agent)
        effect = Effect(dead_letters=[NewDeadLetter(reason[:200], 1, body[: examine.DEAD_LETTER_BYTES])])
        now = self.clock.wall_ms()
        self.rejected[agent] = self.rejected.get(agent, 0) + 1
        self._report_dead_letters(state, effect, now)
        await self.committer.store_effect(agent, effect, now)

    def _report_dead_letters(self, state: AgentState, effect: Effect, at: int) -> None:
        """The first dead letters of an hour are a finding."""
        if not effect.dead_letters:
            return
        count = sum(letter.count for letter in effect.dead_letters)
        now = time.monotonic()
        key = (state.agent, "dead letters")
        if now - self._reported_at.get(key, -math.inf) >= REPORT_AGAIN_AFTER:
            self._reported_at[key] = now
            reason = effect.dead_letters[0].reason
            effect.events.append(NewEvent(at, None, "dead letters", {"count": count, "reason": reason}, True))
            log.warning("agent %s: %d records set aside: %s", state.agent, count, reason)

    def _count_verdict(self, verdict: str) -> None:
        self.pushes[verdict] = self.pushes.get(verdict, 0) + 1
