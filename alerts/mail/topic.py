"""The headline and the subject of a mail: the incident in a few words, and where it is.

The subject is made of what the incident began as, so that it stays the same while the cause becomes better known: mail
programs that go by the subject keep the thread together.
"""

from collections.abc import Mapping
from typing import Final, get_args

import msgspec

from alerts.incident.entities import Incident, IncidentMember
from alerts.incident.message import TranslatableMessage, message
from alerts.incident.problem import ActiveProblem
from alerts.mail.formatter import MailFormatter
from inventory.model.alerting import DEFAULT_CONDITIONS, ConditionKind
from inventory.model.entities import Inventory

TOPIC_NAMES: Final[Mapping[str, TranslatableMessage]] = {
    "wan": message("Line down"),
    "line": message("Poor line"),
    "speed": message("Slow line"),
    "lan": message("Trouble in the local network"),
    "electricity": message("Trouble with the electricity"),
    "no-power": message("No power"),
    "battery": message("Running on battery"),
    "ups": message("UPS needs attention"),
    "device": message("Device does not answer"),
    "down": message("Not working"),
    "degraded": message("Working poorly"),
    "certificate": message("Certificate needs attention"),
    "pcs": message("Few PCs are on"),
    "backup": message("No recent backup"),
    "backup-doubtful": message("Backup in doubt"),
    "job": message("Scheduled job failed"),
    "job-doubtful": message("Scheduled job in doubt"),
    "drill": message("Restore drill due"),
    "silent": message("No contact"),
    "clock": message("Wrong clock"),
    "risk": message("Goal at risk"),
    "missed": message("Goal missed"),
    "finding": message("Something odd in the monitoring data"),
    "collector": message("Trouble of the monitoring system"),
}
_TOPIC_BY_CAUSE: Final = {
    "wan": "wan",
    "lan": "lan",
    "power": "electricity",
    "device": "device",
    "collector": "collector",
}
_TOPIC_BY_KIND: Final[Mapping[tuple[str, str], str]] = {
    ("power", "down"): "no-power",
    ("power", "degraded"): "battery",
    ("ups", "degraded"): "ups",
    ("tls", "degraded"): "certificate",
    ("lan", "degraded"): "pcs",
    ("throughput", "degraded"): "speed",
    ("path", "degraded"): "line",
    ("backup", "down"): "backup",
    ("backup", "degraded"): "backup-doubtful",
    ("job", "down"): "job",
    ("job", "degraded"): "job-doubtful",
    ("drill", "down"): "drill",
    ("drill", "degraded"): "drill",
}


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """``what``: a key of WHATS. ``thing``: the name of a check, device, goal; ``place``: of a site. "" is none."""

    key: str
    subject_name: str = ""
    place: str = ""


def condition_kind(member: IncidentMember | ActiveProblem, inventory: Inventory) -> ConditionKind:
    """What kind of condition it meets: by the inventory's conditions, else by how its key begins."""
    for condition in (*inventory.alerting.conditions, *DEFAULT_CONDITIONS):
        if condition.id == member.condition:
            return condition.on
    begins = member.key.partition(":")[0]
    return next((on for on in get_args(ConditionKind) if on == begins), "down")


def lead_member(incident: Incident, root: str = "") -> IncidentMember | None:
    """The member that the root is about; where none is, the first that was taken in. None: there are no members."""
    scope, _, ident = (root or incident.cause.root).partition(":")
    members = ordered_members(incident)
    return next((one for one in members if _is(one, scope, ident)), members[0] if members else None)


def _is(member: IncidentMember, scope: str, ident: str) -> bool:
    subject = member.subject
    if scope == "agent":
        return subject.agent == ident and not subject.check
    if scope == "power":
        return subject.kind == "power"
    return ident == {"service": subject.check, "goal": subject.goal, "wan": subject.link}.get(scope)


def ordered_members(incident: Incident) -> list[IncidentMember]:
    """The members as they were taken in: an order that later ones do not change."""
    return sorted(incident.members.values(), key=lambda one: (one.joined, one.since, one.key))


def topic(root: str, member: IncidentMember | ActiveProblem | None, formatter: MailFormatter) -> Topic:
    """What the root is, and where. ``member``: what is known to be wrong there."""
    scope, _, ident = root.partition(":")
    inventory = formatter.inventory
    on = "down" if member is None else condition_kind(member, inventory)
    subject = None if member is None else member.subject
    site = "" if subject is None else subject.site
    what = _topic_key(scope, on, "" if subject is None else subject.kind, "" if subject is None else subject.link)
    if scope in ("lan", "power") or (scope == "agent" and what == "silent"):
        return Topic(key=what, place=formatter.agent(ident) if scope == "agent" else formatter.site(ident))
    if scope == "wan":
        return Topic(key=what, place=formatter.link(ident))
    if scope == "device":
        device = inventory.devices.get(ident)
        return Topic(
            key=what,
            subject_name=formatter.called("device", ident),
            place=formatter.site(site if device is None else device.site),
        )
    if scope == "goal":
        return Topic(key=what, subject_name=formatter.called("goal", ident))
    if scope == "collector":
        return Topic(key=what)
    if scope == "service" and what not in ("finding", "clock"):
        check = inventory.checks.get(ident)
        place = _place(site if check is None else check.site, formatter)
        return Topic(key=what, subject_name=formatter.check(ident), place=place)
    where = formatter.agent(subject.agent) if subject is not None and subject.agent else _place(site, formatter)
    return Topic(key=what, place=where)


def _place(site: str, formatter: MailFormatter) -> str:
    return formatter.site(site) if site else ""


def _topic_key(scope: str, on: ConditionKind, kind: str, link: str) -> str:
    if on in ("risk", "missed", "finding", "clock", "collector"):
        return on
    if scope in _TOPIC_BY_CAUSE:
        return _TOPIC_BY_CAUSE[scope]
    if scope == "agent" or on == "silent":
        return "silent"
    if on == "degraded" and link and kind == "icmp":
        return "line"
    return _TOPIC_BY_KIND.get((kind, on), on)


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
    topic_name = formatter.said(TOPIC_NAMES[subject.key])
    # a check's title that says where it is already needs no place
    names = [subject.subject_name, "" if subject.place and subject.place in subject.subject_name else subject.place]
    rest = " – ".join(name for name in names if name)
    return f"{topic_name}: {rest}" if rest else topic_name
