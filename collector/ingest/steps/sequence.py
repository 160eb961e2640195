"""Sequences a batch: whether it continues its agent's chain of frames, or what is to become of it instead."""

import logging
from typing import Final

import msgspec

from collector.ingest.states.state import AgentState
from collector.ingest.steps.context import IngestContext
from collector.ingest.steps.dead_letters import dead_letter
from collector.ingest.steps.effect import NewEvent
from collector.store.interfaces.store import Store
from inventory.base.text import clean_text
from inventory.protocol.wire import Batch, Position, decode_push

log = logging.getLogger("collector.ingest.steps")

MAX_PLAN_REQUESTS: Final = 20  # times a plan is asked for before a batch made under it is given up
MAX_PLANS_ASKED: Final = 16  # plans of an agent of which it is remembered how often they were asked for
MAX_BREACH: Final = 40  # characters of what an agent says of a broken chain
OTHER_CONTENT: Final = "other content under the same frames"


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of a push, as its agent is told."""

    word: str  # see inventory.protocol.wire
    reason: str = ""
    want: list[bytes] = []  # plans that are not known here


class Sequencer:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._plan_requests: dict[str, dict[bytes, int]] = {}  # by agent and digest, since the start

    async def sequence(self, context: IngestContext, want: list[bytes]) -> Verdict:
        """The verdict; ``want``: plans to ask for in any case.

        What is taken moves the watermark. A conflict and a broken chain leave a finding in the effect.
        """
        batch, examined, state = context.push.batch, context.examined, context.state
        if batch is None or examined is None:
            return Verdict("none", want=want)
        watermark = state.watermark
        if watermark is not None and batch.epoch == watermark.epoch and batch.last <= watermark.seq:
            if not await self._has_other_content(state, batch):
                return Verdict("repeat", want=want)
            _report_conflict(context, batch)
            return Verdict("conflict", OTHER_CONTENT, want)
        if batch.previous != watermark:
            reason = "" if batch.previous is None else "this does not continue what is here"
            return Verdict("reposition", reason, want)
        if examined.plan is None and not self._gave_up_on_plan(state.agent, batch.plan):
            return Verdict("none", want=[*want, batch.plan])
        if context.believed and (timing := state.timing.requesting_echo()) is not None:
            state.timing = timing
            return Verdict("reposition", "push again: the clocks are not known yet")
        state.watermark = Position(batch.epoch, batch.last)
        if batch.breach:
            _report_breach(context, batch)
        return Verdict("taken", want=want)

    async def _has_other_content(self, state: AgentState, batch: Batch) -> bool:
        """Whether other content was taken under exactly these frames; folds of the same do not count."""
        frames = (batch.epoch, batch.start, batch.last)
        same = [taken.batch for taken in state.recent if (taken.epoch, taken.first, taken.last) == frames]
        if not same or batch.runs:
            return False
        body = await self._store.read(lambda tx: tx.batches.body(same[0]))
        stored = decode_push(body).batch if body is not None else None
        return stored is not None and not stored.runs and _content(stored) != _content(batch)

    def _gave_up_on_plan(self, agent: str, digest: bytes) -> bool:
        """Whether a plan was asked for too often to be hoped for."""
        requests = self._plan_requests.setdefault(agent, {})
        requests[digest] = requests.pop(digest, 0) + 1
        if len(requests) > MAX_PLANS_ASKED:
            del requests[next(iter(requests))]
        return requests[digest] > MAX_PLAN_REQUESTS


def _content(batch: Batch) -> tuple[object, ...]:
    """What makes two batches of the same frames the same."""
    return (batch.plan, batch.boot, batch.base, batch.checks, batch.counts, batch.at, batch.states, batch.latency)


def _report_conflict(context: IngestContext, batch: Batch) -> None:
    data = {"epoch": batch.epoch, "first": batch.start, "last": batch.last}
    context.effect.events.append(NewEvent(context.received, None, "conflict", data, True))
    context.effect.dead_letters.append(dead_letter(OTHER_CONTENT, batch))


def _report_breach(context: IngestContext, batch: Batch) -> None:
    previous, why = batch.previous, clean_text(batch.breach, MAX_BREACH)
    lost = batch.start - previous.seq - 1 if previous is not None and previous.epoch == batch.epoch else None
    data = {"why": why, "epoch": batch.epoch, "first": batch.start, "lost": lost}
    context.effect.events.append(NewEvent(context.received, None, "chain broken", data, True))
    log.warning("agent %s: the chain of its results is broken: %s", context.state.agent, why)
