"""One step: what is so now, against what is remembered, gives what is to be said."""

from alerts.incident.commands import obey
from alerts.incident.draft import Bench
from alerts.incident.lifecycle import close, forget, record
from alerts.incident.membership import take_in
from alerts.incident.state import Book, Situation, Turn
from alerts.notify.digest import digests
from alerts.notify.dispatch import post
from inventory.model.entities import Inventory


def step(book: Book, situation: Situation, inventory: Inventory) -> Turn:
    """Pure and driven by levels: the same book and situation give the same turn, and a second step with the same
    situation changes nothing and tells nothing. Time must not go back; if it does, what is due waits."""
    bench = Bench(book, situation.at)
    alerting = inventory.alerting
    take_in(bench, situation, alerting)
    record(bench, situation.past)
    obey(bench, situation.commands, situation.troubles)
    over = close(bench, alerting)
    notices, due = post(bench, inventory, situation)
    notices += digests(bench, inventory, situation.muted)
    forget(bench, alerting)
    return Turn(book=bench.book(), changed=bench.changed(), notices=notices, wake=_soonest(over, due))


def _soonest(*moments: int | None) -> int | None:
    return min((moment for moment in moments if moment is not None), default=None)
