"""One step: what is so now, against what is remembered, gives what is to be said."""

from alerts.incident.commands import obey
from alerts.incident.draft import Bench
from alerts.incident.lifecycle import close, forget, record
from alerts.incident.membership import take_in
from alerts.incident.state import Book, Situation, Turn
from alerts.notify.digest import digests
from alerts.notify.dispatch import post
from inventory.model.entities import Inventory


def step(state: Book, step_input: Situation, inventory: Inventory) -> Turn:
    """Pure and driven by levels: the same book and situation give the same turn, and a second step with the same
    situation changes nothing and tells nothing. Time must not go back; if it does, what is due waits."""
    draft = Bench(state, step_input.at)
    alerting = inventory.alerting
    take_in(draft, step_input, alerting)
    record(draft, step_input.past)
    obey(draft, step_input.commands, step_input.troubles)
    next_close = close(draft, alerting)
    notices, next_notice = post(draft, inventory, step_input)
    notices += digests(draft, inventory, step_input.muted)
    forget(draft, alerting)
    return Turn(book=draft.book(), changed=draft.changed(), notices=notices, wake=_soonest(next_close, next_notice))


def _soonest(*moments: int | None) -> int | None:
    return min((moment for moment in moments if moment is not None), default=None)
