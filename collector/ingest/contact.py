"""The contact itself: what a push says beside its batch, of its clocks, its backlog, its health, its present state."""

from collector.ingest.admission import bounded_health
from collector.ingest.context import PushContext
from collector.ingest.overlay import is_newer, overlay_of
from collector.ingest.plans import Plans


def note_contact(context: PushContext, plans: Plans) -> list[bytes]:
    """Take it into the agent's state. Gives the plan to ask for, if the present state names one that is not known."""
    push, state, received = context.push, context.state, context.received
    state.backlog = max(0, push.backlog)
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
    if is_newer(present, state.overlay, push.sent) and (overlay := overlay_of(present, plan, received)) is not None:
        state.overlay = overlay
    return []
