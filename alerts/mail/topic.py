"""The headline and the subject of a mail: the incident in a few words, and where it is.

The subject is made of what the incident began as, so that it stays the same while the cause becomes better known: mail
programs that go by the subject keep the thread together.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from alerts.incident.entities import Incident, IncidentMember
from alerts.incident.message import TranslatableMessage, message
from alerts.incident.problem import ActiveProblem, Subject
from alerts.mail.formatter import MailFormatter
from inventory.model.alerting import CONDITION_TYPES, default_conditions
from inventory.model.entities import Inventory
from inventory.protocol import kinds
from inventory.protocol.mail_words import MailWords
from inventory.protocol.refs import Ref

TOPIC_NAMES: Final[Mapping[str, TranslatableMessage]] = {
    "wan": message("Line down"),
    "lan": message("Trouble in the local network"),
    "electricity": message("Trouble with the electricity"),
    "device": message("Device does not answer"),
}
_TOPIC_BY_CAUSE: Final = {
    "wan": "wan",
    "lan": "lan",
    "power": "electricity",
    "device": "device",
    "collector": "collector",
}


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, and where."""

    headline: TranslatableMessage
    explains: bool = False  # the headline says the cause well enough
    subject_name: str = ""  # of a check, device, goal; "" for none
    place: str = ""  # the name of a site, link, agent; "" for none


def topic_name(key: str) -> TranslatableMessage:
    """Of a topic's key: a word of its own, or the title of the type of condition."""
    name = TOPIC_NAMES.get(key)
    return name if name is not None else TranslatableMessage(CONDITION_TYPES[key].title)


def condition_name(member: IncidentMember | ActiveProblem, inventory: Inventory) -> str:
    """The type of condition that it meets: by the inventory's conditions, else by how its key begins."""
    for condition in (*inventory.alerting.conditions, *default_conditions()):
        if condition.id == member.condition:
            return condition.on
    return member.ref.kind if member.ref.kind in CONDITION_TYPES else "down"


def lead_member(incident: Incident, root: str = "") -> IncidentMember | None:
    """The member that the root is about; where none is, the first that was taken in. None: there are no members."""
    scope, ident = Ref.parse(root or incident.cause.root)
    members = ordered_members(incident)
    return next((one for one in members if _is(one, scope, ident)), members[0] if members else None)


def _is(member: IncidentMember, scope: str, ident: str) -> bool:
    subject = member.subject
    if scope == "agent":
        return subject.agent == ident and not subject.check
    if scope == "power":
        return kinds.of(subject.kind).about == "power"
    return ident == {"service": subject.check, "goal": subject.goal, "wan": subject.link}.get(scope)


def ordered_members(incident: Incident) -> list[IncidentMember]:
    """The members as they were taken in: an order that later ones do not change."""
    return sorted(incident.members.values(), key=lambda one: (one.joined, one.since, one.key))


def topic(root: str, member: IncidentMember | ActiveProblem | None, formatter: MailFormatter) -> Topic:
    """What the root is, and where. ``member``: what is known to be wrong there."""
    scope, _ = Ref.parse(root)
    on = "down" if member is None else condition_name(member, formatter.inventory)
    subject = None if member is None else member.subject
    key = _topic_key(scope, on)
    words = _kind_words(key, subject)
    subject_name, place = _where(root, key, subject, formatter)
    return Topic(
        headline=TranslatableMessage(words.headline) if words.headline else topic_name(key),
        explains=words.explains or (key in CONDITION_TYPES and CONDITION_TYPES[key].titled),
        subject_name=subject_name,
        place=place,
    )


def _topic_key(scope: str, on: str) -> str:
    if CONDITION_TYPES[on].titled:
        return on
    if scope in _TOPIC_BY_CAUSE:
        return _TOPIC_BY_CAUSE[scope]
    return "silent" if scope == "agent" else on


def _kind_words(key: str, subject: Subject | None) -> MailWords:
    """What the kind of the check says of its being down or degraded."""
    if subject is None or key not in ("down", "degraded"):
        return MailWords()
    words = kinds.of(subject.kind).mails[key]
    if subject.link and words.link_headline:
        return msgspec.structs.replace(words, headline=words.link_headline)
    return words


def _where(root: str, key: str, subject: Subject | None, formatter: MailFormatter) -> tuple[str, str]:
    """The names of what it is about and of its place."""
    scope, ident = Ref.parse(root)
    inventory = formatter.inventory
    site = "" if subject is None else subject.site
    if scope in ("lan", "power") or (scope == "agent" and key == "silent"):
        return "", formatter.agent(ident) if scope == "agent" else formatter.site(ident)
    if scope == "wan":
        return "", formatter.link(ident)
    if scope == "device":
        device = inventory.devices.get(ident)
        return formatter.called("device", ident), formatter.site(site if device is None else device.site)
    if scope == "goal":
        return formatter.called("goal", ident), ""
    if scope == "collector":
        return "", ""
    if scope == "service" and key not in ("finding", "clock"):
        check = inventory.checks.get(ident)
        return formatter.check(ident), _place(site if check is None else check.site, formatter)
    return "", formatter.agent(subject.agent) if subject is not None and subject.agent else _place(site, formatter)


def _place(site: str, formatter: MailFormatter) -> str:
    return formatter.site(site) if site else ""


def headline(incident: Incident, formatter: MailFormatter) -> str:
    """What and where, as it is known now."""
    return headline_of(incident.cause.root, lead_member(incident), formatter)


def initial_headline(incident: Incident, formatter: MailFormatter) -> str:
    """What and where, as the incident began: the same for its whole life."""
    root = incident.roots[0] if incident.roots else incident.cause.root
    return headline_of(root, lead_member(incident, root), formatter)


def headline_of(root: str, member: IncidentMember | ActiveProblem | None, formatter: MailFormatter) -> str:
    """What and where, in one line."""
    subject = topic(root, member, formatter)
    name = formatter.translate(subject.headline)
    # a check's title that says where it is already needs no place
    names = [subject.subject_name, "" if subject.place and subject.place in subject.subject_name else subject.place]
    rest = " – ".join(one for one in names if one)
    return f"{name}: {rest}" if rest else name
