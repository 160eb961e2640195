"""Once a day to each contact: what there was since the last digest.

To those who run the monitoring it goes even if there was nothing: that it does not come is how they learn that the
monitoring itself is dead. Others get none on a quiet day. After a time without a collector one digest goes, the last
that is due.
"""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from alerts.incident import Incident, Notice
from alerts.machine.bench import Bench
from alerts.machine.book import Mailbox
from alerts.machine.idents import digest_ident
from alerts.routing import audience, operators
from inventory import calendars
from inventory.model import Inventory


def digests(bench: Bench, inventory: Inventory, muted: bool) -> list[Notice]:
    """The digests that are due. A contact who is new, or whose collector is muted, begins with the next one."""
    if inventory.alerting.digest is None:
        return []
    day = last_due(inventory.alerting.digest, inventory.province.zone, bench.at)
    notices: list[Notice] = []
    quiet = frozenset(operators(inventory))
    for contact in inventory.contacts.values():
        box = bench.mailboxes.get(contact.id, Mailbox())
        if box.digest >= day.isoformat():
            continue
        if contact.digest and box.digest and not muted:
            incidents = _of(bench, inventory, contact.id, box.digested)
            if incidents or contact.id in quiet:
                notices.append(_notice(contact.id, day, incidents, bench.at))
        bench.put_box(contact.id, replace(box, digest=day.isoformat(), digested=bench.at))
    return notices


def last_due(minute: int, zone: ZoneInfo, at: int) -> date:
    """The last day whose digest is due at ``at``."""
    day = datetime.fromtimestamp(at / 1000, zone).date()
    while calendars.epoch_ms(datetime.combine(day, time(minute // 60, minute % 60)), zone) > at:
        day -= timedelta(days=1)
    return day


def _of(bench: Bench, inventory: Inventory, contact: str, since: int) -> list[Incident]:
    """What concerns the contact: what is open, and what was closed after ``since``. Worst and oldest first."""
    recent = [
        incident
        for shelf in (bench.ended, bench.closed)
        for incident in shelf.values()
        if incident.why != "merged" and (incident.closed or 0) > since
    ]
    mine = [one for one in (*bench.open.values(), *recent) if contact in audience(inventory, one)]
    return sorted(mine, key=lambda incident: (not incident.open, incident.opened, incident.key))


def _notice(contact: str, day: date, incidents: list[Incident], at: int) -> Notice:
    return Notice(
        ident=digest_ident(contact, day.isoformat()),
        contact=contact,
        kind="digest",
        at=at,
        incidents=tuple(incident.key for incident in incidents),
        severity="info",
        day=day.isoformat(),
    )
