"""The present overlay: what an agent with a backlog says of all its checks at this moment. Never for the ledger."""

import msgspec

from collector.ingest.examine import MAX_TIME
from collector.ingest.plans import CompiledPlan
from inventory.protocol.states import UNKNOWN
from inventory.protocol.wire import Present, Reading

MAX_LOOKS = 2**31


class Overlay(msgspec.Struct, array_like=True, frozen=True):
    """The present state of every check of an agent, as of one moment."""

    at: int  # ms of the collector's clock when it was received
    boot: bytes  # the agent's boot in which it was said
    boot_ms: int  # and when in that boot
    checks: dict[int, tuple[int, int, int]]  # by check's row: state, since when as placed, consecutive looks


def is_newer(present: Present, current: Overlay | None, sent: Reading) -> bool:
    """Whether this is of the boot that sends it, not from its future, and not overtaken on the way."""
    if current is not None and current.boot == present.boot and present.boot_ms < current.boot_ms:
        return False
    return present.boot == sent.boot and 0 <= present.boot_ms <= sent.boot_ms


def overlay_of(present: Present, plan: CompiledPlan, received: int) -> Overlay | None:
    """The overlay that a push received at ``received`` brings; None: its columns are not the plan's."""
    if not len(present.states) == len(present.since) == len(present.looks) == len(plan.rows):
        return None
    offset = received - present.boot_ms
    columns = zip(plan.rows, present.states, present.since, present.looks, strict=True)
    checks = {
        row: (code, min(received, max(0, since + offset)), max(0, min(looks, MAX_LOOKS)))
        for row, code, since, looks in columns
        if code <= UNKNOWN and since <= MAX_TIME
    }
    return Overlay(received, present.boot, present.boot_ms, checks)
