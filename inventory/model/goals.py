"""Resolve a goal's selector to its members, each with its checks and its own objective."""

from collections.abc import Callable
from datetime import date
from fnmatch import fnmatchcase

import msgspec

from inventory.base.types import Text
from inventory.model.entities import Check, Goal, Inventory, Selector


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a goal counts: a check, or all selected checks of a backup, a site or an agency.

    ``checks``: uids; ``parts``: their titles, in the same order. ``objective``: the member's own (the strictest of its
    checks), for goals that share; None where nobody stated one.
    """

    id: str
    name: Text
    agency: str
    site: str
    checks: tuple[str, ...]
    objective: float | None = None
    parts: tuple[Text, ...] = ()


def members(goal: Goal, inventory: Inventory, on: date | None = None) -> list[Member]:
    """The goal's members in a stable order; with ``on`` only checks whose life has that day.

    A goal whose selector is empty and that lacks evidence has none: nothing measures it yet.
    """
    if goal.select.everything and goal.lacks:
        return []
    chosen = [check for check in select(goal.select, inventory) if on is None or check.on(on)]
    groups: dict[str, list[Check]] = {}
    for check in chosen:
        by = {"check": check.uid, "backup": check.backup or check.uid, "site": check.site, "agency": check.agency}
        key = by[goal.per]
        groups.setdefault(key, []).append(check)
    return [_member(goal, inventory, key, group) for key, group in groups.items()]


def _member(goal: Goal, inventory: Inventory, key: str, checks: list[Check]) -> Member:
    first = checks[0]
    if goal.per == "agency":
        name = inventory.agencies[first.agency].name
    elif goal.per == "site":
        name = inventory.sites[first.site].name
    elif goal.per == "backup" and first.backup:
        name = inventory.backups[first.backup].name
    else:
        name = first.title
    own_objectives = [objective for check in checks if (objective := own_objective(check, inventory)) is not None]
    return Member(
        id=key,
        name=name,
        agency=first.agency,
        site=first.site if goal.per != "agency" else "",
        checks=tuple(check.uid for check in checks),
        parts=tuple(check.title for check in checks),
        objective=goal.member_objective if goal.member_objective is not None else max(own_objectives, default=None),
    )


def own_objective(check: Check, inventory: Inventory) -> float | None:
    """What a check promises by itself: its own objective, else its link's."""
    if check.objective is not None or not check.link:
        return check.objective
    return inventory.links[check.link].objective


def select(selector: Selector, inventory: Inventory) -> list[Check]:
    """The checks that satisfy every field of the selector, in the inventory's order."""
    matches = matcher(selector, inventory)
    return [check for check in inventory.checks.values() if matches(check)]


def matcher(selector: Selector, inventory: Inventory) -> Callable[[Check], bool]:
    """A test of one check against the selector."""
    tests: list[Callable[[Check], bool]] = []
    if selector.kinds:
        tests.append(lambda check: check.kind in selector.kinds)
    if selector.agencies:
        tests.append(lambda check: check.agency in selector.agencies)
    if selector.agency_kinds:
        tests.append(lambda check: inventory.agencies[check.agency].kind in selector.agency_kinds)
    if selector.sites:
        tests.append(lambda check: check.site in selector.sites)
    if selector.agents:
        tests.append(lambda check: check.agent in selector.agents)
    if selector.tags:
        required_tags = frozenset(selector.tags)
        tests.append(lambda check: required_tags <= frozenset(check.tags))
    if selector.without_tags:
        excluded_tags = frozenset(selector.without_tags)
        tests.append(lambda check: not excluded_tags & frozenset(check.tags))
    if selector.checks:
        tests.append(
            lambda check: any(
                fnmatchcase(check.key, pattern) or fnmatchcase(check.name, pattern) for pattern in selector.checks
            )
        )
    if selector.providers:
        tests.append(lambda check: bool(check.link) and inventory.links[check.link].provider in selector.providers)
    return lambda check: all(test(check) for test in tests)
