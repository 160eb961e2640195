"""Match an incident's subject (a check, an agent, a link, a goal, the collector) against a selector."""

from collections.abc import Callable

from alerts.incident.problem import Subject
from inventory.model.entities import Inventory
from inventory.model.goals import matcher
from inventory.model.selectors import Selector

SubjectFilter = Callable[[Subject], bool]


def subject_filter(selector: Selector, inventory: Inventory) -> SubjectFilter:
    """A test of one subject. A check of the inventory is judged as goals judge it; of anything else the fields that it
    has are: its kind, agency, site, agent and link's provider. It has no tags and is in no list of checks."""
    of_checks = matcher(selector, inventory)

    def chosen(subject: Subject) -> bool:
        check = inventory.checks.get(subject.check)
        if check is not None:
            return of_checks(check)
        return _matches_fields(selector, subject, inventory)

    return (lambda subject: True) if selector.everything else chosen


def _matches_fields(selector: Selector, subject: Subject, inventory: Inventory) -> bool:
    agency = inventory.agencies.get(subject.agency)
    link = inventory.links.get(subject.link)
    return (
        not (selector.checks or selector.tags)
        and _empty_or_contains(subject.kind, selector.kinds)
        and _empty_or_contains(subject.agency, selector.agencies)
        and _empty_or_contains(agency.kind if agency is not None else "", selector.agency_kinds)
        and _empty_or_contains(subject.site, selector.sites)
        and _empty_or_contains(subject.agent, selector.agents)
        and _empty_or_contains(link.provider if link is not None else "", selector.providers)
    )


def _empty_or_contains(value: str, values: tuple[str, ...]) -> bool:
    return not values or value in values
