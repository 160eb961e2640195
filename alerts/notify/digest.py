"""The daily digest: to each contact, the incidents since the last digest.

To those who run the monitoring it goes even if there was nothing: that it does not come is how they learn that the
monitoring itself is dead. Others get none on a quiet day. After a time without a collector one digest goes, the last
that is due.
"""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from alerts.incident.draft import IncidentDraft
from alerts.incident.entities import Incident, Notice
from alerts.incident.keys import digest_ident
from alerts.incident.state import ContactQueue
from alerts.notify.routing import audience, operators
from inventory.model.entities import Inventory
from inventory.times import calendars


def due_digests(draft: IncidentDraft, inventory: Inventory) -> list[Notice]:
    """The digests that are due. A contact who is new, or whose collector is muted, begins with the next one."""
    if inventory.alerting.digest is None:
        return []
    day = last_due_day(inventory.alerting.digest, inventory.province.zone, draft.at).isoformat()
    queues = {contact: draft.queues.get(contact, ContactQueue()) for contact in inventory.contacts}
    due = {contact: queue for contact, queue in queues.items() if queue.digest < day}
    if not due:
        return []
    digest_contacts = [
        who
        for who, queue in due.items()
        if queue.digest and inventory.contacts[who].digest and not draft.step_input.muted
    ]
    incidents_by_contact = _incidents_by_contact(
        draft, inventory, {contact: due[contact].digested for contact in digest_contacts}
    )
    always = frozenset(operators(inventory))
    notices = [
        _notice(who, day, incidents_by_contact[who], draft.at)
        for who in digest_contacts
        if incidents_by_contact[who] or who in always
    ]
    for contact, queue in due.items():
        draft.put_queue(contact, replace(queue, digest=day, digested=draft.at))
    return notices


def last_due_day(minute: int, zone: ZoneInfo, at: int) -> date:
    """The last day whose digest is due at ``at``."""
    day = datetime.fromtimestamp(at / 1000, zone).date()
    while calendars.epoch_ms(datetime.combine(day, time(minute // 60, minute % 60)), zone) > at:
        day -= timedelta(days=1)
    return day


def _incidents_by_contact(
    draft: IncidentDraft, inventory: Inventory, since: dict[str, int]
) -> dict[str, list[Incident]]:
    """For each contact what concerns them of what is open and of what was closed after ``since``; open ones first."""
    by_contact: dict[str, list[Incident]] = {contact: [] for contact in since}
    if not since:
        return by_contact
    earliest = min(since.values())
    recent = [
        incident
        for bucket in (draft.ended, draft.closed)
        for incident in bucket.values()
        if incident.resolution != "merged" and (incident.closed or 0) > earliest
    ]
    for incident in (*draft.open.values(), *recent):
        for contact in audience(inventory, incident) & since.keys():
            if incident.open or (incident.closed or 0) > since[contact]:
                by_contact[contact].append(incident)
    for incidents in by_contact.values():
        incidents.sort(key=lambda incident: (not incident.open, incident.opened, incident.key))
    return by_contact


def _notice(contact: str, day: str, incidents: list[Incident], at: int) -> Notice:
    return Notice(
        ident=digest_ident(contact, day),
        contact=contact,
        kind="digest",
        at=at,
        incidents=tuple(incident.key for incident in incidents),
        severity="info",
        day=day,
    )
