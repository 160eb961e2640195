"""The section "whom to call": the link's provider with its circuit number, contacts on the spot and at the hub."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from alerts.incident.entities import Incident, IncidentMember
from alerts.mail import clean
from alerts.mail.document import Fact, Section
from alerts.mail.formatter import MailFormatter
from alerts.mail.topic import lead_member
from inventory.model.entities import Contact, Inventory, Link
from inventory.protocol import kinds
from inventory.protocol.causes import WAN

MAX_CONTACTS: Final = 3  # contacts of one kind


def whom_to_call(incident: Incident, to: Contact, formatter: MailFormatter, zone: ZoneInfo) -> Section:
    """Never the reader. Empty when the inventory names nobody."""
    _ = formatter.locale
    return Section(
        title=_("Whom to call"),
        facts=(*_provider_facts(incident, formatter, zone), *_contact_facts(incident, to, formatter)),
    )


def link_of(incident: Incident, inventory: Inventory) -> Link | None:
    """The line that the incident is about, if it is about one."""
    scope, ident = incident.cause.ref
    if scope == "wan":
        return inventory.links.get(ident)
    member = lead_member(incident)
    about_link = incident.cause.cause == WAN or (scope == "service" and member is not None and _about_link(member))
    if member is None or not about_link:
        return None
    check = inventory.checks.get(member.subject.check)
    link = member.subject.link or ("" if check is None else check.link)
    if not link and check is not None and check.site in inventory.sites:
        links = inventory.sites[check.site].links
        link = links[0] if len(links) == 1 else ""
    return inventory.links.get(link)


def _about_link(member: IncidentMember) -> bool:
    return bool(member.subject.link) or kinds.of(member.subject.kind).about == "line"


def _provider_facts(incident: Incident, formatter: MailFormatter, zone: ZoneInfo) -> Iterator[Fact]:
    _ = formatter.locale
    link = link_of(incident, formatter.inventory)
    if link is None:
        return
    try:
        ident = link.provider_on(datetime.fromtimestamp(incident.opened / 1000, zone).date())
    except (ValueError, OverflowError, OSError):
        ident = link.provider  # a clock of another age
    provider = formatter.inventory.providers.get(ident)
    name = formatter.called("provider", ident)
    contact = "" if provider is None else clean.name(provider.contact)
    yield Fact(_("Provider"), f"{name}, {contact}" if contact else name)
    if link.circuit:
        yield Fact(_("Circuit number"), clean.name(link.circuit))


def _contact_facts(incident: Incident, to: Contact, formatter: MailFormatter) -> Iterator[Fact]:
    _ = formatter.locale
    inventory = formatter.inventory
    hub = inventory.sites.get(inventory.province.hub)
    hub_agency = inventory.agencies.get("" if hub is None else hub.agency)
    member = lead_member(incident)
    site_agency = inventory.agencies.get("" if member is None else member.subject.agency)
    listed = {to.id}
    for label, agency in ((_("On the spot"), site_agency), (_("Data centre"), hub_agency)):
        if agency is None or (label == _("On the spot") and hub_agency is not None and agency.id == hub_agency.id):
            continue
        for ident in agency.contacts[:MAX_CONTACTS]:
            contact = inventory.contacts.get(ident)
            if contact is not None and ident not in listed:
                listed.add(ident)
                yield Fact(label, _contact_details(contact, formatter))


def _contact_details(contact: Contact, formatter: MailFormatter) -> str:
    parts = (formatter.text(contact.name), clean.name(contact.phone), clean.name(contact.email))
    return ", ".join(part for part in parts if part)
