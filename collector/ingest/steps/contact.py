"""The contact itself: what a push says beside its batch, of its clocks, its backlog, its health, its present state."""

from collector.ingest.plans import CompiledPlan, Plans
from collector.ingest.states.state import Overlay
from collector.ingest.steps.admission import bounded_health
from collector.ingest.steps.context import IngestContext
from inventory.protocol.bounds import BOOT_MS, LOOKS, MOMENT_MS
from inventory.protocol.states import UNKNOWN
from inventory.protocol.wire import Present, Reading


def note_contact(context: IngestContext, plans: Plans) -> list[bytes]:
    """Into the agent's state. Gives the plan to ask for, if the present state names one that is not known."""
    push, state, received = context.push, context.state, context.received
    state.backlog = push.backlog
    if push.health:
        state.health = bounded_health(push.health)
    if not context.believed:
        return []
    state.contact = received
    state.timing = state.timing.with_exchange(push.sent, received, push.echo)
    present = push.present
    if present is None:
        if not push.backlog:
            state.overlay = None
        return []
    plan = plans.compiled_plan(state.agent, present.plan)
    if plan is None:
        return [present.plan]
    if _is_newer(present, state.overlay, push.sent) and (overlay := _overlay_of(present, plan, received)) is not None:
        state.overlay = overlay
    return []


def _is_newer(present: Present, current: Overlay | None, sent: Reading) -> bool:
    """Whether this is of the boot that sends it, not from its future, and not overtaken on the way."""
    if current is not None and current.boot == present.boot and present.boot_ms < current.boot_ms:
        return False
    return present.boot == sent.boot and present.boot_ms <= sent.boot_ms


def _overlay_of(present: Present, plan: CompiledPlan, received: int) -> Overlay | None:
    """The overlay that a push received at ``received`` brings; None: its columns are not the plan's."""
    if not len(present.states) == len(present.since) == len(present.looks) == len(plan.rows):
        return None
    offset = received - present.boot_ms
    columns = zip(plan.rows, present.states, present.since, present.looks, strict=True)
    checks = {
        row: (code, min(received, since + offset), LOOKS.clamped(looks))
        for row, code, since, looks in columns
        if code <= UNKNOWN and BOOT_MS.hold(since) and MOMENT_MS.hold(since + offset)
    }
    return Overlay(received, present.boot, present.boot_ms, checks)
