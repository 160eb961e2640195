"""One step of the incident engine: from the present problems and the remembered state to new state and notices.

Pure, and driven by levels: the same state and input give the same result, and a second step with the same input changes
nothing and notifies nobody. Time must not go back; if it does, what is due waits. Every part below works on one draft.
"""

from alerts.incident.commands import apply_commands
from alerts.incident.draft import IncidentDraft
from alerts.incident.grouping.membership import assign_new_problems, join_incidents, open_incidents, refresh_members
from alerts.incident.grouping.regrouping import regroup_by_root
from alerts.incident.levels import recalculate
from alerts.incident.lifecycle import close_recovered, forget_old, record_past
from alerts.incident.state import IncidentState, StepInput, StepResult
from alerts.notify.digest import due_digests
from alerts.notify.dispatch import dispatch
from inventory.model.entities import Inventory


def step(state: IncidentState, step_input: StepInput, inventory: Inventory) -> StepResult:
    """The incidents as they are after ``step_input``, and who is to be notified of what."""
    draft = IncidentDraft(state, step_input, inventory.alerting)

    # 1. Refresh: each member of an open incident is still wrong, over, not known or withdrawn.
    refresh_members(draft)

    # 2. Regroup: where roots were revised, incidents take the new root, merge or split: one incident a root.
    regroup_by_root(draft, draft.open)

    # 3. Assign what is new to the open incident of its root, to the one that waited for its end, or to none.
    joining, opening = assign_new_problems(draft)

    # 4. Grow: the incidents with what joins them.
    join_incidents(draft, joining)

    # 5. Open: an incident for each root that has none.
    open_incidents(draft, opening)

    # 6. Regroup again what came back with a root that its incident had before.
    regroup_by_root(draft, joining)

    # 7. Recalculate severity, cause, maintenance, flapping, and since when all is over.
    recalculate(draft)

    # 8. Record what was over when its evidence came.
    record_past(draft)

    # 9. Apply what people want: acknowledge, snooze, comment, close.
    apply_commands(draft)

    # 10. Close what has been over for long enough.
    next_close = close_recovered(draft)

    # 11. Notify: one mail a contact for all that is due, and the digests of the day.
    notices, next_notice = dispatch(draft, inventory)
    notices += due_digests(draft, inventory)

    # 12. Forget what is old; the store keeps it.
    forget_old(draft)

    return StepResult(
        state=draft.state(),
        changed=draft.changed_incidents(),
        notices=notices,
        wake_at=min((moment for moment in (next_close, next_notice) if moment is not None), default=None),
    )
