"""Find incidents that no route would notify anybody of, and routes that never match, from the inventory alone.

What is about no check and no agent (goals, the collector itself) is of no agency and no site: only a route whose
``select`` is empty takes it. Outside of its calendar's hours a route with ``only`` leaves to others what it takes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from inventory.model import goals
from inventory.model.alerting import CONDITION_TYPES, SEVERITIES, Condition, Route, Severity
from inventory.model.entities import Check, Inventory, Selector
from inventory.model.rosters import contacts_of
from inventory.protocol.causes import CAUSES

NOTIFIED_SEVERITIES: tuple[Severity, ...] = ("critical", "warning")  # info is for the digest


class IncidentSubject(NamedTuple):
    """What an incident may be about: a check, an agent ("" for no check), or neither: goals and the collector."""

    agency: str
    site: str
    agent: str = ""
    check: Check | None = None

    def __str__(self) -> str:
        if self.check is not None:
            return f"the check {self.check.name} of the agent {self.check.agent}"
        return f"the agent {self.agent}" if self.agent else "the collector and the goals"


class RoutingSurvey(NamedTuple):
    """``idle``: routes that never take anything, by id, and why. ``lost``: what nobody is told of, in words, or ""."""

    idle: dict[str, str]
    unreached: str


def incident_subjects(inventory: Inventory) -> Iterator[IncidentSubject]:
    """All that incidents may be about."""
    for check in inventory.checks.values():
        yield IncidentSubject(check.agency, check.site, check.agent, check)
    for agent in inventory.agents.values():
        yield IncidentSubject(agent.agency, agent.site, agent.id)
    yield IncidentSubject("", "")


def matcher(select: Selector, inventory: Inventory) -> Callable[[IncidentSubject], bool]:
    """A test of one subject. What is no check has no kind, tag, name or provider by which it could be chosen."""
    of_check = goals.matcher(select, inventory)
    checks_only = bool(select.kinds or select.tags or select.checks or select.providers)

    def of_other(subject: IncidentSubject) -> bool:
        agency = inventory.agencies.get(subject.agency)
        return not (
            checks_only
            or (select.agencies and subject.agency not in select.agencies)
            or (select.agency_kinds and (agency is None or agency.kind not in select.agency_kinds))
            or (select.sites and subject.site not in select.sites)
            or (select.agents and subject.agent not in select.agents)
        )

    return lambda about: of_other(about) if about.check is None else of_check(about.check)


def any_subject(select: Selector, inventory: Inventory) -> bool:
    """Whether a selector finds a check or an agent at all."""
    return any(map(matcher(select, inventory), incident_subjects(inventory)))


def selector_masks(selects: Sequence[Selector], inventory: Inventory) -> Callable[[IncidentSubject], int]:
    """A function that says which of the selectors choose a subject, as bits.

    A province has checks by the hundred thousand, of few kinds with few sets of tags: what depends on nothing else is
    judged once for all agencies that the same selectors choose.
    """
    tests = [(select.agencies, select.agency_kinds, matcher(select, inventory)) for select in selects]
    plain = [not (selector.sites or selector.agents or selector.checks or selector.providers) for selector in selects]
    bits_by_key: dict[tuple[object, ...], int] = {}
    selectors_by_agency: dict[str, tuple[int, ...]] = {}  # agency -> the selectors that may choose what it has

    def may_choose(agency: str) -> tuple[int, ...]:
        entity = inventory.agencies.get(agency)
        kind = entity.kind if entity is not None else ""
        return tuple(
            index
            for index, (agencies, kinds, _) in enumerate(tests)
            if (not agencies or agency in agencies) and (not kinds or kind in kinds)
        )

    def mask(subject: IncidentSubject) -> int:
        indexes = selectors_by_agency.get(subject.agency)
        if indexes is None:
            indexes = selectors_by_agency[subject.agency] = may_choose(subject.agency)
        check = subject.check
        key = (indexes, check.kind, check.tags) if check is not None else (indexes,)
        bits = bits_by_key.get(key)
        if bits is None:
            bits = bits_by_key[key] = sum(1 << index for index in indexes if plain[index] and tests[index][2](subject))
        for index in indexes:
            if not plain[index] and tests[index][2](subject):
                bits |= 1 << index
        return bits

    return mask


def survey(inventory: Inventory) -> RoutingSurvey:
    """Routes in vain and incidents that reach nobody."""
    routes = inventory.alerting.routes
    if not routes:
        return RoutingSurvey({}, "")  # there is always somebody: the agency's contacts, the hub's, else all
    groups = group_by_mask(inventory, incident_subjects(inventory))
    selected = 0
    for mask in groups:
        selected |= mask
    idle = {}
    for index, route in enumerate(routes):
        if not selected >> index & 1:
            idle[route.id] = "takes nothing: it selects no check and no agent"
        elif hiders := hidden_by(index, route, groups, routes):
            idle[route.id] = f"takes nothing: all of it goes to {hiders} before, and only there"
    return RoutingSurvey(idle, _unreached(inventory, groups))


Groups = dict[int, list[IncidentSubject]]  # the routes that select a subject, as bits -> those subjects


def group_by_mask(inventory: Inventory, to_group: Iterable[IncidentSubject]) -> Groups:
    """Subjects by the routes that select them."""
    mask = selector_masks([route.select for route in inventory.alerting.routes], inventory)
    groups: Groups = {}
    for subject in to_group:
        groups.setdefault(mask(subject), []).append(subject)
    return groups


def _matching_routes(
    mask: int, severity: Severity, cause: str, routes: tuple[Route, ...], *, at_all_hours: bool = False
) -> Iterator[Route]:
    """The routes that are asked about an incident and take it, in order: ``at_all_hours`` of some hour of the week,
    else of the one in which the fewest are asked."""
    for index, route in enumerate(routes):
        if mask >> index & 1 and severity in route.severities and (not route.causes or cause in route.causes):
            yield route
            if route.only and not (at_all_hours and route.calendar):
                return


def hidden_by(index: int, route: Route, groups: Groups, routes: tuple[Route, ...]) -> str:
    """The ids of the routes that leave this one nothing; "" if something is left."""
    hiders: dict[str, None] = {}
    for mask in groups:
        if not mask >> index & 1:
            continue
        for severity in SEVERITIES:
            for cause in CAUSES:
                if severity not in route.severities or (route.causes and cause not in route.causes):
                    continue
                last = [*_matching_routes(mask, severity, cause, routes[: index + 1], at_all_hours=True)][-1]
                if last is route:
                    return ""
                hiders[last.id] = None
    return ", ".join(hiders)


def _unreached(inventory: Inventory, groups: Groups) -> str:
    alerting = inventory.alerting
    reaching = {
        route.id: bool(contacts_of(route.to, alerting, None, inventory.province.zone)) for route in alerting.routes
    }
    fitting = selector_masks([condition.select for condition in alerting.conditions], inventory)
    first, count = "", 0
    for mask, group in groups.items():
        unreached_causes: dict[
            tuple[Severity, bool], list[str]
        ] = {}  # with and without contacts of the agency: those causes
        for severity in NOTIFIED_SEVERITIES:
            for contacts in (False, True):
                for cause in CAUSES:
                    taking = _matching_routes(mask, severity, cause, alerting.routes)
                    if not any(reaching[route.id] or (route.agency_contacts and contacts) for route in taking):
                        unreached_causes.setdefault((severity, contacts), []).append(cause)
        for subject in group if unreached_causes else ():
            agency = inventory.agencies.get(subject.agency)
            has = agency is not None and bool(agency.contacts)
            severities = {*_severities(subject, fitting(subject), alerting.conditions)}
            heaviest = next(
                (one for one in NOTIFIED_SEVERITIES if one in severities and (one, has) in unreached_causes), None
            )
            if heaviest is None:
                continue
            count += 1
            causes = unreached_causes[heaviest, has]
            why = f" with the cause {causes[0]}" if len(causes) < len(CAUSES) else ""
            first = first or f"a {heaviest} incident of {subject}{why}"
    more = f"; the same goes for {count - 1} more" if count > 1 else ""
    return f"nobody is told of {first}{more}" if first else ""


def _severities(subject: IncidentSubject, fitting: int, conditions: tuple[Condition, ...]) -> Iterator[Severity]:
    """How heavy an incident of this can be, by the first condition of each sort that fits (as bits)."""
    about = "check" if subject.check is not None else "agent" if subject.agent else "other"
    for on in (one.name for one in CONDITION_TYPES.values() if one.about == about):
        fits = (one for index, one in enumerate(conditions) if one.on == on and fitting >> index & 1)
        condition = next(fits, None)
        if condition is not None and not condition.off:
            yield condition.severity
