"""Find the inventory's condition for a check or another subject, and say whether it is met. Pure."""

from collections.abc import Callable, Iterator
from typing import Literal

from alerts.incident.problem import Subject
from alerts.notify.memo import cached_by_inventory
from alerts.notify.selection import SubjectFilter, subject_filter
from inventory.model.alerting import Condition
from inventory.model.entities import Check, Inventory
from inventory.model.goals import matcher
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP, CheckStatus

ConditionState = Literal["clear", "doubtful", "met"]
"""``doubtful``: a problem that is not confirmed: it keeps an incident open and opens none."""


def condition_of(inventory: Inventory, check: Check, on: Literal["down", "degraded"]) -> Condition | None:
    """The first condition on that state that fits the check; None if none does or it is off."""
    return cached_by_inventory(inventory, _CheckConditions).find(check, on)


def condition_for(inventory: Inventory, on: str, subject: Subject, name: str = "") -> Condition | None:
    """The same for what is no check: an agent, a goal, a finding or the collector's problem of that ``name``."""
    return cached_by_inventory(inventory, _OtherConditions).find(subject, on, name)


def condition_state(condition: Condition, status: CheckStatus, recent: tuple[int, ...] = ()) -> ConditionState:
    """How a check stands to a condition on down or degraded. ``recent``: the states of its latest looks, newest last,
    as far as they are known; () is as many in this state as its ``looks``.

    It is met by ``looks`` bad ones of the last ``out_of``, the present one bad, with evidence that the state has lasted
    ``for_ms``. It is doubtful while it is bad for less, while nothing is known, while a check that was degraded is
    down, and until ``recover`` looks were better.
    """
    bad = DOWN if condition.on == "down" else DEGRADED
    if status.state == bad:
        enough = _bad_count(status, recent, bad, condition.out_of) >= condition.looks
        return "met" if enough and status.last_look - status.since >= condition.for_ms else "doubtful"
    if status.state == UNKNOWN or (bad == DEGRADED and status.state == DOWN):
        return "doubtful"
    better = status.looks if bad == DEGRADED or not recent else _consecutive_better(recent, status.looks)
    return "clear" if better >= condition.recover else "doubtful"


def duration_state(condition: Condition, duration_ms: int) -> ConditionState:
    """How something measured in ms (not heard for, off by) stands to a condition on silent or clock. A clock has to
    come back to within half of what is too much; who is heard is not silent."""
    if duration_ms >= condition.for_ms:
        return "met"
    return "doubtful" if condition.on == "clock" and 2 * duration_ms >= condition.for_ms else "clear"


def _bad_count(status: CheckStatus, recent: tuple[int, ...], bad: int, out_of: int) -> int:
    """How many of the last ``out_of`` looks were bad."""
    counted = sum(state == bad for state in recent[-out_of:]) if recent else 0
    return max(counted, min(status.looks, out_of))


def _consecutive_better(recent: tuple[int, ...], looks: int) -> int:
    """How many looks in a row were up or degraded: both are better than down."""
    count = 0
    for state in reversed(recent):
        if state not in (UP, DEGRADED):
            break
        count += 1
    return max(count, looks)


class _CheckConditions:
    """The conditions on states, with their selectors compiled, and what was found for each check."""

    def __init__(self, inventory: Inventory) -> None:
        self._conditions: dict[str, list[tuple[Condition, Callable[[Check], bool] | None]]] = {}
        for condition in inventory.alerting.conditions:
            test = None if condition.select.everything else matcher(condition.select, inventory)
            self._conditions.setdefault(condition.on, []).append((condition, test))
        self._cache: dict[tuple[str, str], Condition | None] = {}

    def find(self, check: Check, on: str) -> Condition | None:
        key = (check.uid, on)
        try:
            return self._cache[key]
        except KeyError:
            condition = next((one for one, test in self._conditions.get(on, ()) if test is None or test(check)), None)
            self._cache[key] = condition = None if condition is None or condition.off else condition
            return condition


class _OtherConditions:
    """The conditions on everything else."""

    def __init__(self, inventory: Inventory) -> None:
        self._conditions: list[tuple[Condition, SubjectFilter]] = [
            (condition, subject_filter(condition.select, inventory)) for condition in inventory.alerting.conditions
        ]

    def find(self, subject: Subject, on: str, name: str) -> Condition | None:
        condition = next(self._matching(subject, on, name), None)
        return None if condition is None or condition.off else condition

    def _matching(self, subject: Subject, on: str, name: str) -> Iterator[Condition]:
        for condition, chosen in self._conditions:
            if condition.on == on and (not condition.names or name in condition.names) and chosen(subject):
                yield condition
