"""Print who would be notified: of an agency, a site, an agent or a check, and the routes to a contact."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from inventory.assembly.crosschecks import reach
from inventory.base.types import duration_text
from inventory.model.alerting import MINUTE, Alerting, Roster, Route
from inventory.model.entities import Inventory
from inventory.model.rosters import contacts_of, on_duty, zone_of

Row = tuple[str, ...]
NOBODY: Final = "nobody"
AGENCY_CONTACTS = "the agency's contacts"


def notification_rows(inventory: Inventory, ident: str, now: int) -> list[Row]:
    """A table of whom the routes tell of incidents of this agency, site, agent or check (uid), and who that is now.

    The first row holds the heads. [] where ``ident`` is none of these, or where there is nobody to tell at all.
    """
    matching = [subject for subject in reach.incident_subjects(inventory) if ident in _names(subject)]
    if not matching or not inventory.contacts:
        return []
    owners = dict.fromkeys(subject.agency for subject in matching)
    contacts = [name for owner in owners if owner for name in inventory.agencies[owner].contacts]
    if not inventory.alerting.routes:
        hub = inventory.sites.get(inventory.province.hub)
        hubs = (inventory.agencies[hub.agency].contacts if hub is not None else ()) or tuple(inventory.contacts)
        heads = ("told of", "who")
        return [heads, ("critical", _list((*contacts, *hubs))), ("warning", _list(contacts or hubs))]
    table_rows: list[Row] = [("route", "told of", "whom", "who that is now", "when nobody acknowledges", "again every")]
    routes, groups = inventory.alerting.routes, reach.group_by_mask(inventory, matching)
    for index, route in enumerate(routes):
        matched = sum(len(group) for mask, group in groups.items() if mask >> index & 1)
        if matched and not reach.hidden_by(index, route, groups, routes):
            table_rows.append((route.id, *_route(route, matched, len(matching), contacts, inventory, now)))
    return table_rows if len(table_rows) > 1 else [("route", "told of"), ("no route takes it", NOBODY)]


def _names(subject: reach.IncidentSubject) -> tuple[str, ...]:
    own = (subject.check.uid,) if subject.check is not None else (subject.agent,)
    return subject.agency, subject.site, *own


def _route(route: Route, matched: int, total: int, contacts: list[str], inventory: Inventory, now: int) -> Row:
    scope = ", ".join(route.severities)
    if route.causes:
        scope += f" by {', '.join(route.causes)}"
    if matched < total:
        scope += f" (of {matched} of its {total} checks and agents)"
    if route.calendar:
        scope += f" (in the hours of {route.calendar})"
    names = [*route.to, *((AGENCY_CONTACTS,) if route.agency_contacts else ())]
    people = _people(route.to, inventory, now) + (contacts if route.agency_contacts else [])
    steps = (f"after {duration_text(step.after_ms)} {_list(step.to)}" for step in route.steps)
    last = "never" if not route.repeat_ms else duration_text(route.repeat_ms)
    return scope, _list(names) + (", and no other route" if route.only else ""), _list(people), "; ".join(steps), last


def _people(names: Iterable[str], inventory: Inventory, now: int) -> list[str]:
    return list(contacts_of(names, inventory.alerting, now, inventory.province.zone))


def _list(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names)) or NOBODY


def duty_rows(roster: Roster, inventory: Inventory, now: int) -> list[Row]:
    """Who is on duty now, and the next changes of that, a week ahead."""
    zone = inventory.province.zone
    table_rows: list[Row] = [("on duty from", "who")]
    previous: tuple[str, ...] | None = None
    for minute in range(7 * 1440 + 1):
        at = now - now % MINUTE + minute * MINUTE
        who = on_duty(roster, at, zone)
        if who != previous:
            local = datetime.fromtimestamp(at / 1000, zone_of(roster, zone))
            table_rows.append(("now" if previous is None else f"{local:%a %Y-%m-%d %H:%M}", _list(who)))
            previous = who
    return table_rows


def routes_to_contact(inventory: Inventory, contact: str) -> list[Row]:
    """By what a contact is told: agencies, groups, rosters and routes that name it, at some time."""
    alerting = inventory.alerting
    table_rows: list[Row] = [("told by", "")]
    table_rows += [("agency", agency.id) for agency in inventory.agencies.values() if contact in agency.contacts]
    for ident in (*alerting.groups, *alerting.rosters):
        if contact in _ever_contacts((ident,), alerting, inventory):
            table_rows.append(("group" if ident in alerting.groups else "roster", ident))
    for route in alerting.routes:
        if contact in _ever_contacts(route.to, alerting, inventory):
            table_rows.append(("route", route.id))
        later = [step for step in route.steps if contact in _ever_contacts(step.to, alerting, inventory)]
        table_rows += [("route", f"{route.id}, after {duration_text(step.after_ms)}") for step in later]
    return table_rows if len(table_rows) > 1 else [("told by", "nothing")]


def _ever_contacts(names: Iterable[str], alerting: Alerting, inventory: Inventory) -> tuple[str, ...]:
    return contacts_of(names, alerting, None, inventory.province.zone)
