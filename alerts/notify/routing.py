"""Route an incident: which contacts are notified of it, and from when on.

A route takes an incident if its severity and cause are the route's and one of its members (that is not over and not in
maintenance) is chosen by ``select``. What a route takes outside of its calendar's hours waits for the next of them.
Without any route in the inventory, incidents go to the contacts of the agencies that they touch and, what is critical
or touches no agency with contacts, to those of the hub's. What is only ``info`` goes to nobody; the digest has it.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from alerts.incident.entities import Incident
from alerts.incident.problem import Subject
from alerts.notify.memo import cached_by_inventory
from alerts.notify.selection import SubjectFilter, subject_filter
from inventory.model.alerting import DAY, HOUR, MINUTE, Route
from inventory.model.entities import Inventory
from inventory.model.rosters import contacts_of
from inventory.times import calendars

# How far ahead a calendar is searched for its next hour; Tết and the weekends around it are shorter.
LOOKAHEAD_MS = 31 * DAY

DEFAULT_REPEAT_MS = 4 * HOUR


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """A contact who is to be notified of an incident."""

    contact: str
    route: str = ""  # its id, "" where the inventory has none
    step: int = 0  # 0, or the how-manieth escalation
    repeat_ms: int = DEFAULT_REPEAT_MS  # how often it is repeated (0: never)
    when: int = 0  # from when on (ms); it may be now or long past


def recipients(inventory: Inventory, incident: Incident, at: int) -> list[Recipient]:
    """Whom to notify of the incident at ``at``, each contact once, with the earliest ``when``; in the order of routes.

    Escalation steps are in it only while nobody has acknowledged. Names that are no contact are left out.
    """
    return cached_by_inventory(inventory, Router).recipients(incident, at)


def audience(inventory: Inventory, incident: Incident) -> frozenset[str]:
    """All contacts whom the incident concerns, whatever its severity, the hour and who is on duty: whose digest has
    it. Those who were notified of it are among them."""
    return cached_by_inventory(inventory, Router).audience(incident)


def operators(inventory: Inventory) -> tuple[str, ...]:
    """The contacts of the hub's agency: those who run the monitoring. Without any, all contacts."""
    hub = inventory.sites.get(inventory.province.hub)
    agency = inventory.agencies.get(hub.agency) if hub is not None else None
    contacts = tuple(who for who in agency.contacts if who in inventory.contacts) if agency is not None else ()
    return contacts or tuple(inventory.contacts)


class Router:
    """Routing, ready for one inventory. Remembers what it found, for incidents that stay as they are."""

    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._zone = inventory.province.zone
        self._routes = [(route, subject_filter(route.select, inventory)) for route in inventory.alerting.routes]
        self._recipients_cache: dict[str, tuple[Incident, int, list[Recipient]]] = {}
        self._audience_cache: dict[str, tuple[Incident, frozenset[str]]] = {}
        self._opening_cache: dict[str, tuple[int, int, int]] = {}
        self._operators = operators(inventory) if inventory.province.hub else ()

    def recipients(self, incident: Incident, at: int) -> list[Recipient]:
        minute = at // MINUTE
        cached = self._recipients_cache.get(incident.key)
        if cached is not None and cached[0] is incident and cached[1] == minute:
            return cached[2]
        if len(self._recipients_cache) > 50_000:
            self._recipients_cache.clear()
        # duty and calendars change at full minutes of any zone
        routed = self._recipients(incident, minute * MINUTE)
        self._recipients_cache[incident.key] = (incident, minute, routed)
        return routed

    def audience(self, incident: Incident) -> frozenset[str]:
        cached = self._audience_cache.get(incident.key)
        if cached is not None and cached[0] is incident:
            return cached[1]
        if len(self._audience_cache) > 50_000:
            self._audience_cache.clear()
        contacts = frozenset(self._audience(incident)) | incident.notified.keys()
        self._audience_cache[incident.key] = (incident, contacts)
        return contacts

    def _recipients(self, incident: Incident, at: int) -> list[Recipient]:
        if incident.severity == "info":
            return []
        best: dict[str, Recipient] = {}
        for recipient in self._candidates(incident, at):
            earlier = best.get(recipient.contact)
            if recipient.contact not in self._inventory.contacts:
                continue
            if earlier is None:
                best[recipient.contact] = recipient
                continue
            first = min(earlier, recipient, key=lambda one: (one.when, one.step))
            best[recipient.contact] = msgspec.structs.replace(first, repeat_ms=_shorter_repeat(earlier, recipient))
        return list(best.values())

    def _candidates(self, incident: Incident, at: int) -> Iterator[Recipient]:
        if not self._routes:
            for contact in self._default_contacts(incident, at):
                yield Recipient(contact=contact, when=incident.noticed)
            return
        for route, chosen in self._routes:
            if incident.severity not in route.severities or not self._matches(route, chosen, incident):
                continue
            opens = self._next_opening(route.calendar, at)
            yield from self._route_recipients(route, incident, at, max(incident.noticed, opens))
            if route.only and opens <= at:  # outside of its hours others see to it
                return

    def _route_recipients(self, route: Route, incident: Incident, at: int, when: int) -> Iterator[Recipient]:
        direct = dict.fromkeys(contacts_of(route.to, self._inventory.alerting, at, self._zone))
        if route.agency_contacts:
            direct |= dict.fromkeys(self._agency_contacts(incident, at))
        for contact in direct:
            yield Recipient(contact=contact, route=route.id, repeat_ms=route.repeat_ms, when=when)
        if incident.acked is not None:
            return
        first_notified = min((notified.first for notified in incident.notified.values()), default=None)
        if first_notified is None:
            if any(contact in self._inventory.contacts for contact in direct):
                return  # counted from the first notice, which is still to come
            first_notified = when
        for number, step in enumerate(route.steps, 1):
            for contact in contacts_of(step.to, self._inventory.alerting, at, self._zone):
                yield Recipient(
                    contact=contact,
                    route=route.id,
                    step=number,
                    repeat_ms=route.repeat_ms,
                    when=max(when, first_notified + step.after_ms),
                )

    def _matches(self, route: Route, chosen: SubjectFilter, incident: Incident) -> bool:
        if route.causes and incident.cause.cause not in route.causes:
            return False
        return any(chosen(subject) for subject in _open_subjects(incident))

    def _default_contacts(self, incident: Incident, at: int) -> Iterable[str]:
        contacts = dict.fromkeys(who for who in self._agency_contacts(incident, at) if who in self._inventory.contacts)
        if incident.severity == "critical" or not contacts:
            contacts |= dict.fromkeys(self._operators or self._inventory.contacts)
        return contacts

    def _agency_contacts(self, incident: Incident, at: int) -> Iterator[str]:
        day = datetime.fromtimestamp(at / 1000, self._zone).date()
        for name in dict.fromkeys(subject.agency for subject in _open_subjects(incident)):
            agency = self._inventory.agencies.get(name)
            if agency is not None and not agency.on(day) and agency.successor:
                agency = self._inventory.agencies.get(agency.successor, agency)
            if agency is not None:
                yield from agency.contacts

    def _audience(self, incident: Incident) -> Iterator[str]:
        if not self._routes:
            yield from self._default_contacts(incident, incident.noticed)
            yield from self._operators
        for route, chosen in self._routes:
            if self._matches(route, chosen, incident):
                names = (*route.to, *(who for step in route.steps for who in step.to))
                yield from contacts_of(names, self._inventory.alerting, None, self._zone)
                if route.agency_contacts:
                    yield from self._agency_contacts(incident, incident.noticed)

    def _next_opening(self, name: str, at: int) -> int:
        """The beginning of the calendar's hours that hold at ``at``, or of the next ones."""
        calendar = self._inventory.calendars.get(name)
        if calendar is None:
            return 0
        cached = self._opening_cache.get(name)
        if cached is not None and cached[0] <= at < cached[1]:
            return cached[2]
        closed = calendars.excluded_time(calendar, at, at + LOOKAHEAD_MS, self._zone, self._inventory.decreed)
        if closed and closed[0][0] <= at:
            opens = until = closed[0][1]
        else:
            opens, until = at, closed[0][0] if closed else at + LOOKAHEAD_MS
        self._opening_cache[name] = (at, until, opens)
        return opens


def _open_subjects(incident: Incident) -> list[Subject]:
    """What it is about: of the members that are not over and not in maintenance; of all, where there is none."""
    members = incident.members.values()
    counted = [member.subject for member in members if member.until is None and not member.excluded]
    return counted or [member.subject for member in members]


def _shorter_repeat(one: Recipient, other: Recipient) -> int:
    return min((every for every in (one.repeat_ms, other.repeat_ms) if every), default=0)
