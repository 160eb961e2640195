"""What an incident is about, in a few words, and where: a mail's first line and its subject.

The subject is made of what the incident began as, so that it stays the same while the cause becomes better known: mail
programs that go by the subject keep the thread together.
"""

from collections.abc import Mapping
from typing import Final, get_args

import msgspec

from alerts.incident.entities import Incident, Member
from alerts.incident.message import Said, say
from alerts.incident.problem import Trouble
from alerts.mail.formatter import Speaker
from inventory.model.alerting import DEFAULT_CONDITIONS, On
from inventory.model.entities import Inventory

BACKUPS: Final = frozenset({"backup", "job", "drill"})

WHATS: Final[Mapping[str, Said]] = {
    "wan": say("Line down"),
    "line": say("Poor line"),
    "speed": say("Slow line"),
    "lan": say("Trouble in the local network"),
    "electricity": say("Trouble with the electricity"),
    "no-power": say("No power"),
    "battery": say("Running on battery"),
    "ups": say("UPS needs attention"),
    "device": say("Device does not answer"),
    "down": say("Not working"),
    "degraded": say("Working poorly"),
    "certificate": say("Certificate needs attention"),
    "pcs": say("Few PCs are on"),
    "backup": say("No recent backup"),
    "backup-doubtful": say("Backup in doubt"),
    "job": say("Scheduled job failed"),
    "job-doubtful": say("Scheduled job in doubt"),
    "drill": say("Restore drill due"),
    "silent": say("No contact"),
    "clock": say("Wrong clock"),
    "risk": say("Goal at risk"),
    "missed": say("Goal missed"),
    "finding": say("Something odd in the monitoring data"),
    "collector": say("Trouble of the monitoring system"),
}
_OF_CAUSES: Final = {"wan": "wan", "lan": "lan", "power": "electricity", "device": "device", "collector": "collector"}
_OF_KINDS: Final[Mapping[tuple[str, str], str]] = {
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

    what: str
    thing: str = ""
    place: str = ""


def on_of(member: Member | Trouble, inventory: Inventory) -> On:
    """What kind of condition it meets: by the inventory's conditions, else by how its key begins."""
    for condition in (*inventory.alerting.conditions, *DEFAULT_CONDITIONS):
        if condition.id == member.condition:
            return condition.on
    begins = member.key.partition(":")[0]
    return next((on for on in get_args(On) if on == begins), "down")


def lead(incident: Incident, root: str = "") -> Member | None:
    """The member that the root is about; where none is, the first that was taken in. None: there are no members."""
    scope, _, ident = (root or incident.cause.root).partition(":")
    members = in_order(incident)
    return next((one for one in members if _is(one, scope, ident)), members[0] if members else None)


def _is(member: Member, scope: str, ident: str) -> bool:
    subject = member.subject
    if scope == "agent":
        return subject.agent == ident and not subject.check
    if scope == "power":
        return subject.kind == "power"
    return ident == {"service": subject.check, "goal": subject.goal, "wan": subject.link}.get(scope)


def in_order(incident: Incident) -> list[Member]:
    """The members as they were taken in: an order that later ones do not change."""
    return sorted(incident.members.values(), key=lambda one: (one.joined, one.since, one.key))


def topic(root: str, member: Member | Trouble | None, formatter: Speaker) -> Topic:
    """What the root is, and where. ``member``: what is known to be wrong there."""
    scope, _, ident = root.partition(":")
    inventory = formatter.inventory
    on = "down" if member is None else on_of(member, inventory)
    subject = None if member is None else member.subject
    site = "" if subject is None else subject.site
    what = _what(scope, on, "" if subject is None else subject.kind, "" if subject is None else subject.link)
    if scope in ("lan", "power") or (scope == "agent" and what == "silent"):
        return Topic(what=what, place=formatter.agent(ident) if scope == "agent" else formatter.site(ident))
    if scope == "wan":
        return Topic(what=what, place=formatter.link(ident))
    if scope == "device":
        device = inventory.devices.get(ident)
        return Topic(
            what=what,
            thing=formatter.called("device", ident),
            place=formatter.site(site if device is None else device.site),
        )
    if scope == "goal":
        return Topic(what=what, thing=formatter.called("goal", ident))
    if scope == "collector":
        return Topic(what=what)
    if scope == "service" and what not in ("finding", "clock"):
        check = inventory.checks.get(ident)
        place = _place(site if check is None else check.site, formatter)
        return Topic(what=what, thing=formatter.check(ident), place=place)
    where = formatter.agent(subject.agent) if subject is not None and subject.agent else _place(site, formatter)
    return Topic(what=what, place=where)


def _place(site: str, formatter: Speaker) -> str:
    return formatter.site(site) if site else ""


def _what(scope: str, on: On, kind: str, link: str) -> str:
    if on in ("risk", "missed", "finding", "clock", "collector"):
        return on
    if scope in _OF_CAUSES:
        return _OF_CAUSES[scope]
    if scope == "agent" or on == "silent":
        return "silent"
    if on == "degraded" and link and kind == "icmp":
        return "line"
    return _OF_KINDS.get((kind, on), on)


def headline(incident: Incident, formatter: Speaker) -> str:
    """What and where, as it is known now."""
    return line_of(incident.cause.root, lead(incident), formatter)


def base(incident: Incident, formatter: Speaker) -> str:
    """What and where, as the incident began: the same for its whole life."""
    root = incident.roots[0] if incident.roots else incident.cause.root
    return line_of(root, lead(incident, root), formatter)


def line_of(root: str, member: Member | Trouble | None, formatter: Speaker) -> str:
    """What and where, in one line."""
    subject = topic(root, member, formatter)
    topic_name = formatter.said(WHATS[subject.what])
    # a check's title that says where it is already needs no place
    names = [subject.thing, "" if subject.place and subject.place in subject.thing else subject.place]
    rest = " – ".join(name for name in names if name)
    return f"{topic_name}: {rest}" if rest else topic_name
