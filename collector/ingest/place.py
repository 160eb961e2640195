"""Places one batch, from the received push to the ledger: refused, placed or unplaceable.

Live pushes, deferred ones and a replay all come through here. A replay gives the placing that was stored, so that it
gives the same ledger.
"""

from typing import Final

import msgspec

from collector.ingest import apply, examine
from collector.ingest.apply import AddSums
from collector.ingest.plans import CompiledPlan
from collector.ingest.state import AgentState, Effect, NewDeadLetter, NewEvent
from collector.ledger.placement import Placement
from inventory.protocol.wire import Push

REFUSED_PLACING: Final = b""  # stored in place of a placing

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Placement)


class BatchOutcome(msgspec.Struct, frozen=True):
    """``placing``: as stored with the batch: None where it could not be placed, REFUSED where it could not be read,
    and then ``refused`` says why. ``later``: the sums' part, for after the commit."""

    placing: bytes | None = None
    add_sums: AddSums | None = None
    refused: str = ""


def place_batch(
    state: AgentState,
    plan: CompiledPlan | None,
    push: Push,
    received: int,
    effect: Effect,
    count_from: int,
    stored: bytes | None = None,
    *,
    replay: bool = False,
) -> BatchOutcome:
    """Take the push's batch into ``state``, a successor whose timing has had its exchange."""
    outcome = _place_batch(state, plan, push, received, effect, count_from, stored, replay)
    state.dead += sum(letter.count for letter in effect.dead_letters)
    return outcome


def _place_batch(
    state: AgentState,
    plan: CompiledPlan | None,
    push: Push,
    received: int,
    effect: Effect,
    count_from: int,
    stored: bytes | None,
    replay: bool,
) -> BatchOutcome:
    batch = push.batch
    assert batch is not None
    fault = "its plan is not known" if plan is None else examine.shape_fault(batch, plan)
    if plan is None or fault:
        effect.dead_letters.append(
            NewDeadLetter(f"a batch set aside: {fault}", len(batch.states), repr(batch).encode()[:4096])
        )
        return BatchOutcome(REFUSED_PLACING, refused=fault)
    if missing_frames := examine.unaccounted(batch):
        effect.events.append(NewEvent(received, None, "frames unaccounted", {"frames": missing_frames}, True))
    latest = push.sent.boot_ms + examine.FUTURE_TOLERANCE if batch.boot == push.sent.boot else examine.MAX_TIME
    if not examine.is_clean(batch, plan, latest):
        batch, letters = examine.clean(batch, plan, latest)
        effect.dead_letters += letters
    for record in batch.records:
        state.timing = state.timing.with_record(batch.boot, record.kind, record.at, record.data)
    if replay:
        placement = None if stored is None else _decoder.decode(stored)
    else:
        placement = state.timing.place(batch.boot, *apply.extent(batch))
    if placement is None:
        results = len(batch.states) + sum(run.count for run in batch.runs)
        state.unplaceable += results
        apply.store_records(state, batch, received, effect)
        data = {"results": results, "boot": batch.boot.hex()}
        effect.events.append(NewEvent(received, None, "unplaceable", data, True))
        return BatchOutcome(None)
    state.timing = state.timing.with_placement(placement)
    add_sums = apply.apply_batch(state, plan, batch, placement, effect, count_from)
    return BatchOutcome(_encode(placement), add_sums)
