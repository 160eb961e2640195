"""One step of the incident engine: from the present problems and the remembered state to new state and notices."""

from alerts.incident.commands import apply_commands
from alerts.incident.draft import IncidentDraft
from alerts.incident.lifecycle import close_recovered, forget_old, record_past
from alerts.incident.membership import update_members
from alerts.incident.state import IncidentState, StepInput, StepResult
from alerts.notify.digest import due_digests
from alerts.notify.dispatch import dispatch
from inventory.model.entities import Inventory


def step(state: IncidentState, step_input: StepInput, inventory: Inventory) -> StepResult:
    """Pure and driven by levels: the same book and situation give the same turn, and a second step with the same
    situation changes nothing and tells nothing. Time must not go back; if it does, what is due waits."""
    draft = IncidentDraft(state, step_input.at)
    alerting = inventory.alerting
    update_members(draft, step_input, alerting)
    record_past(draft, step_input.past)
    apply_commands(draft, step_input.commands, step_input.problems)
    next_close = close_recovered(draft, alerting)
    notices, next_notice = dispatch(draft, inventory, step_input)
    notices += due_digests(draft, inventory, step_input.muted)
    forget_old(draft, alerting)
    return StepResult(
        state=draft.state(),
        changed=draft.changed_incidents(),
        notices=notices,
        wake_at=_earliest(next_close, next_notice),
    )


def _earliest(*moments: int | None) -> int | None:
    return min((moment for moment in moments if moment is not None), default=None)
