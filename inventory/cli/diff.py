"""Compare two inventories: the changes in each agent's plan."""

from collections.abc import Iterator
from datetime import date

import msgspec

from inventory.base.types import duration_text
from inventory.model.entities import Check, Inventory
from inventory.protocol.kinds import Kinds


class PlanChange(msgspec.Struct, frozen=True, order=True):
    """One line of a difference. ``what``: added, removed, retargeted (a new identity), renamed or changed."""

    agent: str
    check: str
    what: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.agent}: {self.check}: {self.what}" + (f": {self.detail}" if self.detail else "")


_FIELDS = ("interval", "timeout", "hold", "recheck", "thresholds", "params")


def plan_changes(old: Inventory, new: Inventory, kinds: Kinds, on: date) -> list[PlanChange]:
    """All changes between the plans of a day, by agent and check."""
    return sorted(_agents(old, new)) + sorted(_changes(old, new, kinds, on))


def _agents(old: Inventory, new: Inventory) -> Iterator[PlanChange]:
    for agent in old.agents.keys() - new.agents.keys():
        yield PlanChange(agent, "(agent)", "removed")
    for agent in new.agents.keys() - old.agents.keys():
        yield PlanChange(agent, "(agent)", "added")
    for agent in old.agents.keys() & new.agents.keys():
        if old.agents[agent].revoked != new.agents[agent].revoked:
            yield PlanChange(agent, "(agent)", "revoked" if new.agents[agent].revoked else "no longer revoked")


def _changes(old: Inventory, new: Inventory, kinds: Kinds, on: date) -> Iterator[PlanChange]:
    before = {uid: check for uid, check in old.checks.items() if check.on(on)}
    after = {uid: check for uid, check in new.checks.items() if check.on(on)}
    removed = {(check.agent, check.name): check for uid, check in before.items() if uid not in after}
    for uid, check in after.items():
        previous = before.get(uid)
        if previous is not None:
            yield from _same(previous, check)
            continue
        replaced = removed.pop((check.agent, check.name), None)
        if replaced is None:
            yield PlanChange(check.agent, check.name, "added", f"{check.kind} {_target(check, kinds)}")
        else:
            detail = f"{replaced.kind} {_target(replaced, kinds)} -> {check.kind} {_target(check, kinds)}"
            yield PlanChange(
                check.agent, check.name, "retargeted", f"{detail}: a new check, the old one's history ends"
            )
    for check in removed.values():
        yield PlanChange(check.agent, check.name, "removed", f"{check.kind} {_target(check, kinds)}")


def _same(before: Check, after: Check) -> Iterator[PlanChange]:
    """What changed in a check that is still the same."""
    if before.name != after.name:
        yield PlanChange(after.agent, after.name, "renamed", f"was {before.name}; its history goes on")
    for field in _FIELDS:
        old_value, new_value = getattr(before, field), getattr(after, field)
        if old_value == new_value:
            continue
        if field == "params":
            keys = sorted(key for key in {*old_value, *new_value} if old_value.get(key) != new_value.get(key))
            detail = ", ".join(
                f"{key} {old_value.get(key, '(default)')} -> {new_value.get(key, '(default)')}" for key in keys
            )
        elif field == "thresholds":
            detail = "thresholds"
        else:
            detail = f"{field} {duration_text(old_value)} -> {duration_text(new_value)}"
        yield PlanChange(after.agent, after.name, "changed", detail)


def _target(check: Check, kinds: Kinds) -> str:
    targets = kinds[check.kind].targets(check.params)
    return " ".join(str(value) for value in targets.values())
