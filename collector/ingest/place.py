"""One batch, from the received push to its place in the ledger: refused, placed or unplaceable.

Live pushes, deferred ones and a replay all come through here. A replay gives the placing that was stored, so that it
gives the same ledger.
"""

from typing import Final

import msgspec

from collector.ingest import apply, examine
from collector.ingest.apply import Later
from collector.ingest.plans import View
from collector.ingest.state import AgentState, Effect, Letter, Note
from collector.ledger.placement import Placing
from inventory.protocol.wire import Push

REFUSED: Final = b""  # stored in place of a placing

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Placing)


class Settled(msgspec.Struct, frozen=True):
    """``placing``: as stored with the batch: None where it could not be placed, REFUSED where it could not be read,
    and then ``refused`` says why. ``later``: the sums' part, for after the commit."""

    placing: bytes | None = None
    later: Later | None = None
    refused: str = ""


def settle(
    state: AgentState,
    plan: View | None,
    push: Push,
    received: int,
    effect: Effect,
    count_from: int,
    stored: bytes | None = None,
    *,
    replay: bool = False,
) -> Settled:
    """Take the push's batch into ``state``, a successor whose timing has had its exchange."""
    outcome = _settle(state, plan, push, received, effect, count_from, stored, replay)
    state.dead += sum(letter.count for letter in effect.letters)
    return outcome


def _settle(
    state: AgentState,
    plan: View | None,
    push: Push,
    received: int,
    effect: Effect,
    count_from: int,
    stored: bytes | None,
    replay: bool,
) -> Settled:
    batch = push.batch
    assert batch is not None
    fault = "its plan is not known" if plan is None else examine.shape_fault(batch, plan)
    if plan is None or fault:
        effect.letters.append(Letter(f"a batch set aside: {fault}", len(batch.states), repr(batch).encode()[:4096]))
        return Settled(REFUSED, refused=fault)
    if missing_frames := examine.unaccounted(batch):
        effect.notes.append(Note(received, None, "frames unaccounted", {"frames": missing_frames}, True))
    latest = push.sent.boot_ms + examine.CLOCK_SLACK if batch.boot == push.sent.boot else examine.MAX_TIME
    if not examine.is_clean(batch, plan, latest):
        batch, letters = examine.clean(batch, plan, latest)
        effect.letters += letters
    for record in batch.records:
        state.timing = state.timing.told(batch.boot, record.kind, record.at, record.data)
    if replay:
        placement = None if stored is None else _decoder.decode(stored)
    else:
        placement = state.timing.place(batch.boot, *apply.extent(batch))
    if placement is None:
        results = len(batch.states) + sum(run.count for run in batch.runs)
        state.unplaceable += results
        apply.note_records(state, batch, received, effect)
        data = {"results": results, "boot": batch.boot.hex()}
        effect.notes.append(Note(received, None, "unplaceable", data, True))
        return Settled(None)
    state.timing = state.timing.placed(placement)
    add_sums = apply.account(state, plan, batch, placement, effect, count_from)
    return Settled(_encode(placement), add_sums)
