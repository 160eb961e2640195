"""Applies a placed batch to an agent's state: the same code for live, deferred and replayed pushes.

Works on a successor of the state, so that nothing is seen before the commit; what goes into the store is gathered in
an :class:`Effect`. Sums are given back, to be added after the commit.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Final

import msgspec

from collector.ingest.plans import CompiledPlan
from collector.ingest.states.fast_path import LatestResult, Ledger, begin_fast_path
from collector.ingest.states.state import AgentState
from collector.ingest.states.sums import Sums
from collector.ingest.steps.dead_letters import dead_letter
from collector.ingest.steps.effect import Effect, NewEvent
from collector.ledger.batch_step import apply_slice, recount
from collector.ledger.placement import Placement
from collector.ledger.state_step import LedgerTail, OutOfOrder, Span, first_tail, step
from inventory.protocol import kinds
from inventory.protocol.bounds import saturated
from inventory.protocol.reasons import received, template
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN
from inventory.protocol.wire import Batch, Record, Run

STOPPED: Final = template("agent stopped")
POWER_LOST: Final = template("probably without power: on battery, then silent, then booted again")
BOOT_TO_START: Final = 600_000  # ms of boot time within which an agent's start belongs to its machine's boot

AddSums = Callable[[Sums], None]


class PlacedPush(msgspec.Struct, frozen=True):
    """A batch that is read and placed, and what it is applied to."""

    batch: Batch  # without its bad results
    plan: CompiledPlan
    placement: Placement
    state: AgentState  # a successor, changed here
    effect: Effect  # what goes into the store, added to here
    count_from: int  # counters of settled time begin there (ms)


def apply_batch(placed: PlacedPush) -> AddSums:
    """Apply a batch to its state. What cannot be applied goes to the effect as dead letters."""
    batch, plan, placement, state = placed.batch, placed.plan, placed.placement, placed.state
    if batch.runs or batch.records:
        state.writable_ledger()
    for record in batch.records:
        if record.kind == "start":  # the first frame of its epoch: what it tells of comes before all results
            _apply_power_loss(placed, record)
    runs = [run for run in batch.runs if _apply_run(placed, run)]
    skips = _apply_results(placed) if batch.states else {}
    if batch.records:
        state.writable_ledger()  # the results may have begun a fast path
    for record in batch.records:
        _apply_record(placed, record)
    state.results = saturated(state.results + len(batch.states) + sum(run.count for run in batch.runs))
    if batch.states and state.stopped is not None and placement.end > state.stopped:
        state.stopped = None

    def add_sums(sums: Sums) -> None:
        for run in runs:
            sums.add_run(plan, run, placement)
        if batch.states:
            sums.add(plan, batch, placement, skips)

    return add_sums


def add_records(batch: Batch, at: int, effect: Effect) -> None:
    """The life of an agent in a batch that cannot be placed: events at the time of receipt."""
    for record in batch.records:
        _add_event(record, at, effect)


def _apply_results(placed: PlacedPush) -> dict[int, int]:
    """Each check's slice into its tail. Gives back how many leading looks of which place were too old to be applied."""
    batch, plan, placement, state = placed.batch, placed.plan, placed.placement, placed.state
    single_looks = placement.steady and len(batch.counts) == len(batch.states)
    offset = batch.base + placement.offset_first
    reasons = {place: received(text) for place, text in batch.reasons}
    ledger = state.ledger
    if single_looks and ledger.fast_path is not None and ledger.fast_path.accepts(plan, batch, offset):
        state.ledger = ledger.extended(batch, offset, placement.error, reasons, placed.effect.spans)
        return {}
    ledger = state.writable_ledger()
    skips = _apply_slices(placed, ledger, reasons)
    if single_looks and not skips and offset + min(batch.at) >= placed.count_from:
        fast_path = begin_fast_path(plan, batch, offset, placement.error, reasons)
        state.ledger = Ledger(ledger.tails, ledger.latest, fast_path)
    return skips


def _apply_slices(placed: PlacedPush, ledger: Ledger, reasons: Mapping[int, str]) -> dict[int, int]:
    plan, batch, placement, effect = placed.plan, placed.batch, placed.placement, placed.effect
    tails, latest, digest, count_from = ledger.tails, ledger.latest, plan.digest, placed.count_from
    base, at, states, latency, values = batch.base, batch.at, batch.states, batch.latency, batch.values
    rows, holds, widths, error = plan.rows, plan.holds, plan.widths, placement.error
    skips: dict[int, int] = {}
    closed: list[Span] = []
    begin = value = 0
    for place, n in zip(batch.places(), batch.counts, strict=True):
        row, width, end = rows[place], widths[place], begin + n
        value += n * width
        old = tails.get(row)
        first, deltas = placement.place_slice(base + at[begin], at[begin + 1 : end])
        if old is None:
            effect.born.append((first, row))
        tail = None if old is None else _copy(old)
        try:
            tail = apply_slice(
                tail, closed, first, deltas, states[begin:end], holds[place], error, reasons, begin, count_from
            )
        except OutOfOrder:
            skip = skips[place] = _too_old(tail, first, deltas, error)
            effect.dead_letters.append(dead_letter("older than the ledger's end", (plan.uids[place], first), skip))
            if skip == n:
                begin = end
                continue
            first, deltas, begin = first + sum(deltas[:skip]), deltas[skip:], begin + skip
            tail = apply_slice(
                tail, closed, first, deltas, states[begin:end], holds[place], error, reasons, begin, count_from
            )
        tails[row] = tail
        why = reasons.get(end - 1, "")
        latest[row] = LatestResult(tail.last, latency[end - 1], values[value - width : value], digest, why)
        if closed:
            effect.spans.extend((row, span) for span in closed)
            closed.clear()
        begin = end
    return skips


def _too_old(tail: LedgerTail | None, first: int, deltas: Sequence[int], error: int) -> int:
    """How many looks of a slice lie before the ledger's end by more than both errors."""
    if tail is None:
        return len(deltas) + 1
    oldest = tail.last - error - tail.error_to
    return sum(1 for at in accumulate(deltas, initial=first) if at < oldest)


def _copy(tail: LedgerTail) -> LedgerTail:
    return LedgerTail(
        tail.state,
        tail.start,
        tail.sure_from,
        tail.last,
        tail.hold,
        tail.error_from,
        tail.error_to,
        tail.looks,
        tail.reason,
        tail.settled.copy(),
    )


def _apply_run(placed: PlacedPush, run: Run) -> bool:
    """False: it was older than the ledger's end, and is a dead letter."""
    plan, placement, ledger = placed.plan, placed.placement, placed.state.ledger
    row, hold, error = plan.rows[run.check], plan.holds[run.check], placement.error
    first, last = placement.at(run.first), placement.at(run.last)
    old = ledger.tails.get(row)
    reason = received(run.reason)
    closed: list[Span] = []
    if old is None:
        placed.effect.born.append((first, row))
        tail = first_tail(run.state, first, last, hold, error, run.count, reason)
    else:
        if 0 < old.last - first <= error + old.error_to:  # in order for sure, its time is not: see apply_slice
            first, last, error = old.last, max(last, old.last), max(error, old.error_to)
        tail = _copy(old)
        try:
            step(tail, closed, run.state, first, last, hold, error, run.count, reason)
        except OutOfOrder as out:
            placed.effect.dead_letters.append(dead_letter(str(out), run, run.count))
            return False
    _keep_tail(placed, row, tail, closed)
    ledger.latest[row] = LatestResult(last, None, [], plan.digest, reason)
    return True


def _apply_record(placed: PlacedPush, record: Record) -> None:
    """A record of the agent's life: an event, and a clean stop ends every hold."""
    state, placement = placed.state, placed.placement
    at = placement.at(record.at)
    _add_event(record, at, placed.effect)
    if record.kind == "start":
        state.started, state.stopped = at, None
        state.about = record.data
    elif record.kind == "stop":
        state.stopped = at
        for row in placed.plan.rows:
            old = state.ledger.tails.get(row)
            if old is None or old.last > at + placement.error + old.error_to:
                continue
            tail, closed = _copy(old), list[Span]()
            step(tail, closed, UNKNOWN, max(at, old.last), max(at, old.last), old.hold, placement.error, 1, STOPPED)
            _keep_tail(placed, row, tail, closed)
            if (newest := state.ledger.latest.get(row)) is not None and newest.reason:
                state.ledger.latest[row] = msgspec.structs.replace(newest, reason="")  # it speaks no longer


def _apply_power_loss(placed: PlacedPush, record: Record) -> None:
    """A UPS was last seen on battery, then the agent's machine was silent and booted again without a clean stop.

    Then its power failed at some moment between, and was back when it booted: an edge like any other, in the middle
    of a gap that is all uncertain. A machine that ran on (its process was only restarted) says nothing of the kind.
    """
    plan, placement, ledger = placed.plan, placed.placement, placed.state.ledger
    booted = placement.at(0)
    if record.data.get("clean") is not False or record.at > BOOT_TO_START:
        return
    for place, row in enumerate(plan.rows):
        old = ledger.tails.get(row)
        if plan.kinds[place] not in kinds.about("power") or old is None or old.state != DEGRADED or old.last >= booted:
            continue
        tail, closed = _copy(old), list[Span]()
        tail.hold = max(tail.hold, booted - old.last)  # silence is explained, so it is not unknown
        step(tail, closed, DOWN, booted, booted, old.hold, placement.error, 1, POWER_LOST)
        _keep_tail(placed, row, tail, closed)


def _keep_tail(placed: PlacedPush, row: int, tail: LedgerTail, closed: list[Span]) -> None:
    """A check's tail after one step, in place of the one before it, and the spans that the step closed."""
    tails, count_from = placed.state.ledger.tails, placed.count_from
    old = tails.get(row)
    if count_from and (old is None or old.last < count_from):
        recount(tail, closed, count_from)
    tails[row] = tail
    placed.effect.spans.extend((row, span) for span in closed)


def _add_event(record: Record, at: int, effect: Effect) -> None:
    unclean = record.kind == "start" and record.data.get("clean") is False
    finding = unclean or record.kind not in ("start", "stop")
    data = record.data
    if record.kind in ("start", "stop"):
        data = {**data, "boot_ms": record.at}  # tells a machine that booted from a program that was restarted
    effect.events.append(NewEvent(at, None, f"agent {record.kind}", data, finding))
