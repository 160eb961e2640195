"""The way of a push through ingest. Read it from top to bottom.

    1 decode     bytes to a message with numbers that can be; what is none is a dead letter, and refused
    2 validate   plans it brings are kept if they were served; its batch is read by its plan, bad results set aside
    3 sequence   the contact is noted; the batch continues its agent's chain, or it is told what to do instead
    4 place      its boot-time ms become the collector's time, with an error
    5 apply      its results go into spans, sums and events, on a successor of the agent's state
    6 commit     its row and all that it changes go into one durable transaction, with other pushes
    7 publish    the successor is what everybody reads from now on

and it is acknowledged. What is not taken skips steps 4 to 6. A batch that comes while the collector does not believe
its clock skips 4 and 5, until the clock is believed (:meth:`Pipeline.place_deferred`). After a restart, batches that
are newer than their agent's checkpoint take 1, 2, 4 and 5 again (:func:`replay`).
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Final

import msgspec

from collector.ingest.budgets import AgentBudgets, OverBudget
from collector.ingest.clock import ClockTrust
from collector.ingest.committer import CommitItem, Committer
from collector.ingest.fleet import Fleet
from collector.ingest.limits import PushError, PushLimits, is_bulk
from collector.ingest.plans import PlanError, Plans
from collector.ingest.quarantine import STEPS
from collector.ingest.states.state import AgentState
from collector.ingest.steps.admission import with_bounded_texts
from collector.ingest.steps.apply import AddSums, PlacedPush, add_records, apply_batch
from collector.ingest.steps.contact import note_contact
from collector.ingest.steps.context import IngestContext
from collector.ingest.steps.dead_letters import MAX_BYTES, DeadLetterReports
from collector.ingest.steps.decode import PushDecoder
from collector.ingest.steps.effect import Effect, NewDeadLetter, NewEvent
from collector.ingest.steps.examine import ExaminedBatch, examine
from collector.ingest.steps.place import (
    REFUSED_PLACING,
    decode_placement,
    encode_placement,
    extent,
    is_placeable,
)
from collector.ingest.steps.sequence import Sequencer, Verdict
from collector.ledger.placement import Placement
from collector.store.errors import StoreError
from collector.store.interfaces.store import Store
from collector.store.records import PlacedBatch, StoredBatch
from inventory.base.clock import Clock
from inventory.protocol.bounds import saturated
from inventory.protocol.plan import digest_of
from inventory.protocol.reasons import pack, unpack
from inventory.protocol.wire import Ack, Batch, Push, TooLarge, WireError, decode_push, encode_push

MAX_REASON: Final = 200  # characters of why a body was refused
QUARANTINE_RETRY: Final = 300  # seconds after which an agent in quarantine may come again


class Application(msgspec.Struct, frozen=True):
    """What steps 4 and 5 hand on."""

    placing: bytes | None  # the placement as stored; None: the batch could not be placed; REFUSED_PLACING: not read
    add_sums: AddSums | None = None  # the sums' part, for after the commit
    refused: str = ""  # why the batch could not be read


@dataclass(frozen=True)
class Pipeline:
    store: Store
    clock: Clock
    trust: ClockTrust  # in that clock
    plans: Plans
    fleet: Fleet
    committer: Committer
    limits: PushLimits
    budgets: AgentBudgets
    decoder: PushDecoder
    sequencer: Sequencer
    reports: DeadLetterReports
    rejected: dict[str, int] = field(default_factory=dict)  # bodies and plans that could not be read, by agent

    async def push(self, agent: str, body: bytes, received: int) -> Ack:
        """A push of an authenticated agent. Raises PushError; whatever returns is durable.

        ``received``: ms of the collector's clock when it began to come in.
        """
        self._refuse_quarantined(agent)
        try:
            self.budgets.begin(agent)
            try:
                push = self.decoder.decode_small(agent, body)  # 1
                if push is None or is_bulk(push):
                    return await self._push_large(agent, push, body, received)
                async with self.limits.agent_lock(agent):
                    return await self._take(agent, push, body, received, bulk=False)
            finally:
                self.budgets.end(agent)
        except OverBudget as over:
            await self._refuse(agent, over)
            raise over.answer() from None
        except WireError as error:
            if isinstance(error, TooLarge):
                await self._refuse(agent, self.budgets.too_large(agent))
            await self._reject(agent, body, str(error))
            raise PushError(400, str(error)) from None

    async def _push_large(self, agent: str, push: Push | None, body: bytes, received: int) -> Ack:
        """The same behind others of its size; what is not decoded yet is decoded in its turn."""
        async with self.limits.bulk_turn(agent), AsyncExitStack() as work:
            if push is None:
                push = await self.decoder.decode_large(agent, body, work)  # 1
            return await self._take(agent, push, body, received, bulk=True)

    async def _take(self, agent: str, push: Push, body: bytes, received: int, *, bulk: bool) -> Ack:
        """Steps 2 to 7 of a push whose turn it is. Where they fail, its agent is in quarantine from now on."""
        self._refuse_quarantined(agent)
        try:
            return await self._take_steps(agent, push, body, received, bulk)
        except (PushError, OverBudget, WireError, StoreError):
            raise
        except Exception as error:  # what this agent sent, and nobody else's push
            self.fleet.quarantine.put(agent, STEPS, error, 0)
            raise PushError(503, "the collector failed at this push; try again later", verdict="failed") from error

    async def _take_steps(self, agent: str, push: Push, body: bytes, received: int, bulk: bool) -> Ack:
        context = await self._validate(agent, push, body, received, bulk)  # 2
        want = note_contact(context, self.plans)
        verdict = await self.sequencer.sequence(context, want)  # 3
        if verdict.word == "taken" and context.believed and not context.state.deferred:
            if bulk:
                async with self.limits.piece():
                    application = place_and_apply(context)  # 4, 5
            else:
                application = place_and_apply(context)  # 4, 5
            await self._commit(context, application)  # 6, 7
            if application.refused:
                verdict = Verdict("refused", application.refused, verdict.want)
        elif verdict.word == "taken":
            await self._commit_deferred(context)  # 6, 7
        else:
            await self._commit_nothing(context)  # 7
        return self._acknowledge(context, verdict)

    def _refuse_quarantined(self, agent: str) -> None:
        """Raises PushError while the agent is in quarantine: it keeps what it has, and comes again."""
        held = self.fleet.quarantine.agents.get(agent)
        if held is not None:
            words = f"this agent is in quarantine at the collector, and nothing it sends is taken: {unpack(held.why)}"
            raise PushError(503, words, verdict="quarantined", retry_after=QUARANTINE_RETRY)

    # 1 decode: steps/decode.py; what is refused there

    async def _refuse(self, agent: str, over: OverBudget) -> None:
        """A push is above a budget: counted, and a finding now and then. Nothing of it is published."""
        now = self.clock.wall_ms()
        if self.budgets.report(agent, over.budget):
            data = {"budget": over.budget, "reason": pack(over.why)}
            effect = Effect(events=[NewEvent(now, None, "over budget", data, True)])
            await self.committer.submit(CommitItem(await self._published(agent), effect, now, silent=True))

    async def _reject(self, agent: str, body: bytes, reason: str) -> None:
        """Set aside a body or a plan that cannot be read. Nothing of it is published."""
        self.rejected[agent] = self.rejected.get(agent, 0) + 1
        state, now = await self._published(agent), self.clock.wall_ms()
        effect = Effect(dead_letters=[NewDeadLetter(reason[:MAX_REASON], 1, body[:MAX_BYTES])])
        self.reports.add_to(effect, agent, now)
        await self.committer.submit(CommitItem(state, effect, now, silent=True))

    # 2 validate

    async def _validate(self, agent: str, push: Push, body: bytes, received: int, bulk: bool) -> IngestContext:
        for encoded, signature in zip(push.plans, chain(push.signatures, repeat(b"")), strict=False):
            self.budgets.take_plan(agent, digest_of(encoded))
            try:
                await self.plans.accept(agent, encoded, signature, received)
            except PlanError as error:
                await self._reject(agent, encoded, str(error))
        published = await self._published(agent)
        if not bulk:
            return self._examined(push, body, received, published, bulk)
        async with self.limits.piece():
            return self._examined(push, body, received, published, bulk)

    def _examined(self, push: Push, body: bytes, received: int, published: AgentState, bulk: bool) -> IngestContext:
        agent = published.agent
        bounded = with_bounded_texts(push, agent, self.budgets)
        return IngestContext(
            push=bounded,
            body=body if bounded is push else encode_push(bounded),
            received=received,
            believed=self.trust.recheck(),
            bulk=bulk,
            examined=examine_batch(agent, bounded, self.plans),
            state=published.successor(),
            effect=Effect(),
            count_from=self.store.count_from,
        )

    async def _published(self, agent: str) -> AgentState:
        """The published state of an agent; a new one gets its row first."""
        published = self.fleet.agents.get(agent)
        if published is not None:
            return published
        stream = await self.store.write(lambda tx: tx.checkpoints.stream(agent))
        return self.fleet.agents.setdefault(agent, AgentState(agent=agent, stream=stream))

    # 3 sequence: steps/contact.py and steps/sequence.py; 4 place, 5 apply: place_and_apply, below

    # 6 commit, 7 publish: the committer publishes a successor once its transaction is durable

    async def _commit(self, context: IngestContext, application: Application) -> None:
        self.reports.add_to(context.effect, context.state.agent, context.received)
        state, effect = context.state, context.effect
        made = state.sums.made
        self.budgets.stored(state.agent, len(context.body) + effect.size)
        row = _row(context, application.placing)
        item = CommitItem(state, effect, context.received, row, add_sums=application.add_sums)
        await self.committer.submit(item, bulk=context.bulk)
        self.budgets.stored(state.agent, state.sums.made - made)

    async def _commit_deferred(self, context: IngestContext) -> None:
        """The batch alone, with when it came by the boot-time clock; it is placed later."""
        self.budgets.stored(context.state.agent, len(context.body) + context.effect.size)
        waits_since = (self.clock.boot_id(), self.clock.boot_ms())
        item = CommitItem(context.state, context.effect, context.received, _row(context, None), waits_since)
        await self.committer.submit(item, bulk=context.bulk)

    async def _commit_nothing(self, context: IngestContext) -> None:
        """Publish the contact alone, which a restart may forget; but a conflict is worth a transaction."""
        if context.effect.events:
            await self.committer.submit(CommitItem(context.state, context.effect, context.received))
        self.committer.publish(context.state)

    # acknowledge

    def _acknowledge(self, context: IngestContext, verdict: Verdict) -> Ack:
        believed = context.believed
        if verdict.want:
            self.budgets.asked_for(context.state.agent, verdict.want)
        return Ack(
            incarnation=self.store.incarnation,
            verdict=verdict.word,
            received_ms=context.received if believed else 0,
            sent_ms=self.clock.wall_ms() if believed else 0,
            watermark=context.state.watermark,
            plan=self.plans.served.get(context.state.agent),
            want=verdict.want,
            pause_ms=min(1_000, 5 * self.committer.waiting_bulk),
            reason=verdict.reason,
        )

    # once the clock is believed again

    async def place_deferred(self) -> None:
        """Steps 1, 2 and 4 to 7 of every batch that waited for the clock, in order."""
        held = self.fleet.quarantine.agents
        for agent in [name for name, state in self.fleet.agents.items() if state.deferred]:
            async with self.limits.agent_lock(agent):
                while agent not in held and self.fleet.agents[agent].deferred and self.trust.recheck():
                    state = self.fleet.agents[agent].successor()
                    try:
                        await self._place_oldest(state)
                    except StoreError:
                        raise
                    except Exception as error:
                        number = self.fleet.agents[agent].deferred[0]
                        if not self.fleet.quarantine.put(agent, STEPS, error, number):
                            break  # the next second tries again

    async def _place_oldest(self, state: AgentState) -> None:
        number, state.deferred = state.deferred[0], state.deferred[1:]
        waiting = await self.store.read(lambda tx: tx.batches.deferred_push(number))
        received, believed = self.clock.wall_ms(), waiting.boot == self.clock.boot_id()
        if believed:  # then it is known when it came, after all
            received += waiting.received - self.clock.boot_ms()
        row = StoredBatch(number, state.stream, received, believed, 0, 0, 0, None, waiting.body)
        context = stored_context(row, state, self.plans, self.store.count_from)  # 1, 2
        application = place_and_apply(context)  # 4, 5
        placed = PlacedBatch(number, received, believed, application.placing)
        item = CommitItem(state, context.effect, received, placed=placed, add_sums=application.add_sums)
        await self.committer.submit(item, bulk=True)  # 6, 7


# after a restart


def replay(row: StoredBatch, state: AgentState, plans: Plans, count_from: int) -> None:
    """Steps 1, 2, 4 and 5 of a batch that is newer than its agent's checkpoint, placed as it was.

    What it brought into the store is there already, so its effect is let go.
    """
    state.batch, state.contact = row.id, max(state.contact, row.received)
    try:
        context = stored_context(row, state, plans, count_from)  # 1, 2
    except Exception:
        if row.placing != REFUSED_PLACING:
            raise
        state.dead = saturated(state.dead + 1)  # set aside by a person, and it need not be readable
        return
    application = place_and_apply(context, row)  # 4, 5
    if application.add_sums is not None:
        application.add_sums(state.sums)


def stored_context(row: StoredBatch, state: AgentState, plans: Plans, count_from: int) -> IngestContext:
    """Steps 1 and 2 of a batch in the store, onto ``state``, which hears of its clocks."""
    push = decode_push(row.body)
    if row.believed:
        state.timing = state.timing.with_exchange(push.sent, row.received, push.echo)
    refused = row.placing == REFUSED_PLACING
    return IngestContext(
        push=push,
        body=row.body,
        received=row.received,
        believed=bool(row.believed),
        bulk=True,
        examined=examine_batch(state.agent, push, None if refused else plans),
        state=state,
        effect=Effect(),
        count_from=count_from,
    )


# what live, deferred and replayed pushes share


def examine_batch(agent: str, push: Push, plans: Plans | None) -> ExaminedBatch | None:
    """Step 2 of a batch, if there is one: as it is read by its plan. Without ``plans`` it stays refused: what was
    refused because its plan was not known is not taken once it is."""
    batch = push.batch
    if batch is None:
        return None
    plan = None if plans is None else plans.compiled_plan(agent, batch.plan)
    return examine(batch, plan, push.sent)


def place_and_apply(context: IngestContext, replayed: StoredBatch | None = None) -> Application:
    """Steps 4 and 5; a ``replayed`` batch is placed as it was."""
    examined, effect = context.examined, context.effect
    assert examined is not None, "a push without a batch has nothing to place"
    effect.dead_letters += examined.dead_letters
    if examined.refused:
        application = Application(REFUSED_PLACING, refused=examined.refused)
    else:
        if examined.unaccounted:
            data = {"frames": examined.unaccounted}
            effect.events.append(NewEvent(context.received, None, "frames unaccounted", data, True))
        placement = _place(context, examined.batch, replayed)
        add_sums = _apply(context, examined, placement)
        application = Application(None if placement is None else encode_placement(placement), add_sums)
    context.state.dead = saturated(context.state.dead + sum(letter.count for letter in effect.dead_letters))
    return application


def _place(context: IngestContext, batch: Batch, replayed: StoredBatch | None) -> Placement | None:
    """Step 4. None: it cannot be placed."""
    state = context.state
    for record in batch.records:
        state.timing = state.timing.with_record(batch.boot, record.kind, record.at, record.data)
    placement = (
        state.timing.place(batch.boot, *extent(batch)) if replayed is None else decode_placement(replayed.placing)
    )
    if placement is None or not is_placeable(placement, context.received):
        return None
    state.timing = state.timing.with_placement(placement)
    return placement


def _apply(context: IngestContext, examined: ExaminedBatch, placement: Placement | None) -> AddSums | None:
    """Step 5. Results that cannot be placed are counted; the records of their agent's life are kept."""
    state, batch, effect = context.state, examined.batch, context.effect
    if placement is not None:
        assert examined.plan is not None, "a batch of an unknown plan is refused"
        return apply_batch(PlacedPush(batch, examined.plan, placement, state, effect, context.count_from))
    results = saturated(len(batch.states) + sum(run.count for run in batch.runs))
    state.unplaceable = saturated(state.unplaceable + results)
    add_records(batch, context.received, effect)
    data = {"results": results, "boot": batch.boot.hex()}
    effect.events.append(NewEvent(context.received, None, "unplaceable", data, True))
    return None


def _row(context: IngestContext, placing: bytes | None) -> StoredBatch:
    """The batch as it is stored; it gets its number when it is committed."""
    batch, stream = context.push.batch, context.state.stream
    assert batch is not None
    frames = (batch.epoch, batch.start, batch.last)
    return StoredBatch(0, stream, context.received, context.believed, *frames, placing, context.body)
