"""Sample incidents and notices made of an inventory's real names, for previews of mails.

Nothing here is about what is so now: every moment is a given one, and every sample says in its name what it stands for.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Final

import msgspec

from alerts.incident.entities import HistoryEntry, Incident, IncidentMember, Notice, NoticeKind, NotifiedContact
from alerts.incident.message import TranslatableMessage, message
from alerts.incident.problem import Cause, Certainty, Subject
from alerts.mail.context import DigestFigures, Downtime, DurationBounds, GoalFigure
from inventory.model.alerting import Severity
from inventory.model.entities import Check, Contact, Inventory, Link
from inventory.protocol.causes import AGENT, COLLECTOR, LAN, POWER, SERVICE, WAN, CauseKind

MINUTE: Final = 60_000
HOUR: Final = 3_600_000
KINDS: Final[tuple[NoticeKind, ...]] = (
    "trouble",
    "update",
    "repeat",
    "escalation",
    "recovery",
    "group",
    "summary",
    "digest",
)


class SampleMail(msgspec.Struct, frozen=True, kw_only=True):
    """``name``: of the incident and the notice's kind, as a file may be called."""

    name: str
    notice: Notice
    incidents: tuple[Incident, ...]
    bounds: dict[str, DurationBounds] = {}
    day: DigestFigures | None = None


def incidents(inventory: Inventory, now: int) -> dict[str, Incident]:
    """By what they are about; only such as the inventory has something to happen to."""
    builders: dict[str, Callable[[Inventory, int], Incident | None]] = {
        "line": _line,
        "power": _power,
        "battery": _battery,
        "service": _service,
        "backup": _backup,
        "certificate": _certificate,
        "silent": _silent,
        "network": _network,
        "goal": _goal,
        "collector": _collector,
    }
    by_name = {name: build(inventory, now) for name, build in builders.items()}
    return {name: incident for name, incident in by_name.items() if incident is not None}


def samples(inventory: Inventory, now: int, kind: NoticeKind, to: Contact) -> Iterator[SampleMail]:
    """All notices of a kind that the inventory could see: of "trouble" one for each incident, else the first or two."""
    by_name = incidents(inventory, now)
    if kind == "digest":
        yield _digest(inventory, by_name, now, to)
    elif kind in ("group", "summary"):
        several = tuple(by_name.values())[: 4 if kind == "group" else None]
        kinds: tuple[NoticeKind, ...] = tuple("trouble" for _ in several)
        severity: Severity = "critical"
        yield _sample(kind, several, _notice(kind, several, now, to, severity, kinds))
    elif kind == "trouble":
        for name, incident in by_name.items():
            yield _sample(f"trouble-{name}", (incident,), _notice(kind, (incident,), now, to, incident.severity))
    else:
        for name, incident in list(by_name.items())[:2]:
            later = _progressed(incident, kind, now, to)
            lasted = (now if later.ended is None else later.ended) - incident.opened
            bounds = DurationBounds(
                begin_error=15_000,
                least=lasted - 20_000,
                most=lasted + 20_000,
            )
            built = _sample(f"{kind}-{name}", (later,), _notice(kind, (later,), now, to, incident.severity))
            yield msgspec.structs.replace(built, bounds={incident.key: bounds})


def _sample(name: str, several: tuple[Incident, ...], notice: Notice) -> SampleMail:
    return SampleMail(name=name, notice=notice, incidents=several)


def _notice(
    kind: NoticeKind,
    several: tuple[Incident, ...],
    now: int,
    to: Contact,
    severity: Severity,
    kinds: tuple[NoticeKind, ...] = (),
) -> Notice:
    thread = "" if kind in ("trouble", "group", "summary", "digest") else "sample-first"
    return Notice(
        ident=f"sample-{kind}",
        contact=to.id,
        kind=kind,
        at=now,
        incidents=tuple(one.key for one in several),
        kinds=kinds,
        thread=thread,
        severity=severity,
    )


def _progressed(incident: Incident, kind: NoticeKind, now: int, to: Contact) -> Incident:
    """The incident some time on, as the kind of notice finds it."""
    notified = {
        to.id: NotifiedContact(contact=to.id, thread="sample-first", first=incident.noticed, last=incident.noticed)
    }
    history = (*incident.history, HistoryEntry(at=incident.noticed, what="opened"))
    if kind == "recovery":
        members = {key: msgspec.structs.replace(member, until=now - MINUTE) for key, member in incident.members.items()}
        history = (
            *history,
            HistoryEntry(at=now - 2 * MINUTE, what="recovering"),
            HistoryEntry(at=now - MINUTE, what="closed"),
        )
        return msgspec.structs.replace(
            incident,
            members=members,
            notified=notified,
            history=history,
            ended=now - MINUTE,
            closed=now - MINUTE,
            resolution="recovered",
        )
    if kind == "repeat":
        acked = (to.id, now - 2 * MINUTE)
        history = (*history, HistoryEntry(at=acked[1], what="acknowledged", who=to.id))
        return msgspec.structs.replace(incident, notified=notified, history=history, acked=acked)
    evidence = next(iter(incident.cause.because), None)
    history = (*history, HistoryEntry(at=now - MINUTE, what="cause", message=evidence))
    return msgspec.structs.replace(incident, notified=notified, history=history)


# -- what could happen


def _incident(
    number: int,
    root: str,
    cause: CauseKind,
    members: list[IncidentMember],
    because: tuple[TranslatableMessage, ...],
    certainty: Certainty = "sure",
    severity: Severity = "critical",
) -> Incident:
    began = min(one.since for one in members)
    return Incident(
        key=f"{0xA1B2C3D4E5F60000 + number:016x}",
        cause=Cause(root=root, cause=cause, certainty=certainty, because=because),
        severity=severity,
        opened=began,
        noticed=began + 40_000,
        members={one.key: one for one in members},
        roots=(root,),
    )


def _member(
    check: Check, on: str, since: int, reason: str = "", message: TranslatableMessage | None = None
) -> IncidentMember:
    subject = Subject(
        agency=check.agency, site=check.site, agent=check.agent, check=check.uid, kind=check.kind, link=check.link
    )
    return IncidentMember(
        key=f"{on}:{check.uid}",
        condition=on,
        subject=subject,
        severity="critical" if on == "down" else "warning",
        since=since,
        joined=since + 40_000,
        reason=reason,
        message=message,
    )


def _first_check(inventory: Inventory, *kinds: str) -> Check | None:
    """A check of the first of these kinds that the inventory has, at the hub if there is one."""
    for kind in kinds:
        checks = [check for check in inventory.checks.values() if check.kind == kind]
        checks.sort(key=lambda check: check.site != inventory.province.hub)
        if checks:
            return checks[0]
    return None


def _remote_link(inventory: Inventory) -> Link | None:
    """A line that leads to the hub from elsewhere, best from another agency."""
    hub = inventory.sites.get(inventory.province.hub)
    links = [link for link in inventory.links.values() if link.site != inventory.province.hub]
    links.sort(key=lambda link: hub is not None and inventory.sites[link.site].agency == hub.agency)
    return links[0] if links else None


def _site_members(inventory: Inventory, site: str, since: int, reason: str) -> list[IncidentMember]:
    return [_member(check, "down", since, reason) for check in inventory.checks.values() if check.site == site]


def _agency(inventory: Inventory, site: str) -> str:
    return inventory.sites[site].agency if site in inventory.sites else ""


def _line(inventory: Inventory, now: int) -> Incident | None:
    link = _remote_link(inventory)
    if link is None:
        return None
    since = now - 3 * MINUTE
    subject = Subject(agency=_agency(inventory, link.site), site=link.site, link=link.id, kind="icmp")
    link_member = IncidentMember(
        key=f"down:{link.id}",
        condition="down",
        subject=subject,
        severity="critical",
        since=since,
        joined=since,
        reason="203.0.113.10 did not answer 10 pings within 1 s",
    )
    because = (
        message("The data centre stopped hearing {site} at {heard_at}.", site=link.site, heard_at=since),
        message("The provider's other lines work, and there is no sign of a power cut at {site}.", site=link.site),
    )
    members = [link_member, *_site_members(inventory, link.site, since, "nothing heard")]
    return _incident(1, f"wan:{link.id}", WAN, members, because, "probable")


def _power(inventory: Inventory, now: int) -> Incident | None:
    link = _remote_link(inventory)
    if link is None:
        return None
    since = now - 6 * MINUTE
    members = _site_members(inventory, link.site, since, "nothing heard")
    because = (
        message(
            "The UPS at {site} was on battery before {site} fell silent at {heard_at}.", site=link.site, heard_at=since
        ),
    )
    return _incident(2, f"power:{link.site}", POWER, members, because, "provisional") if members else None


def _battery(inventory: Inventory, now: int) -> Incident | None:
    check = _first_check(inventory, "power")
    if check is None:
        return None
    detail = message("the UPS runs on its battery, which lasts for {left_for} more", left_for=25 * MINUTE)
    member = _member(check, "degraded", now - 2 * MINUTE, message=detail)
    return _incident(3, f"service:{check.uid}", POWER, [member], ())


def _service(inventory: Inventory, now: int) -> Incident | None:
    check = _first_check(inventory, "http", "tcp", "smtp", "dns")
    if check is None:
        return None
    member = _member(check, "down", now - 4 * MINUTE, "status 503 instead of 200-299")
    because = (message("{agent} sees it down, and everything else there answers.", agent=check.agent),)
    return _incident(4, f"service:{check.uid}", SERVICE, [member], because)


def _backup(inventory: Inventory, now: int) -> Incident | None:
    check = _first_check(inventory, "backup", "job")
    if check is None:
        return None
    detail = message(
        "the newest good copy is {old_for} old; {most_for} are allowed", old_for=31 * HOUR, most_for=26 * HOUR
    )
    return _incident(5, f"service:{check.uid}", SERVICE, [_member(check, "down", now - 5 * HOUR, message=detail)], ())


def _certificate(inventory: Inventory, now: int) -> Incident | None:
    check = _first_check(inventory, "tls")
    if check is None:
        return None
    detail = message("its certificate ends in {left_for}", left_for=12 * 24 * HOUR)
    member = _member(check, "degraded", now - 20 * MINUTE, message=detail)
    return _incident(6, f"service:{check.uid}", SERVICE, [member], (), severity="warning")


def _silent(inventory: Inventory, now: int) -> Incident | None:
    agents = sorted(inventory.agents.values(), key=lambda one: one.site == inventory.province.hub)
    if not agents:
        return None
    agent, since = agents[-1] if len(agents) == 1 else agents[min(2, len(agents) - 1)], now - 8 * MINUTE
    subject = Subject(agency=agent.agency, site=agent.site, agent=agent.id)
    member = IncidentMember(
        key=f"silent:{agent.id}",
        condition="silent",
        subject=subject,
        severity="warning",
        since=since,
        joined=since + 3 * MINUTE,
    )
    because = (message("{site} still answers the data centre, only its agent does not.", site=agent.site),)
    return _incident(7, f"agent:{agent.id}", AGENT, [member], because, "probable", "warning")


def _network(inventory: Inventory, now: int) -> Incident | None:
    links = [link for link in inventory.links.values() if link.site != inventory.province.hub]
    if not links:
        return None
    site = links[-1].site
    since = now - 5 * MINUTE
    members = [
        one
        for one in _site_members(inventory, site, since, "198.51.100.39 did not answer 5 pings within 1 s")
        if one.subject.agent != inventory.province.hub
    ]
    because = (
        message(
            "The agent at {site} runs, but its router has not answered since {heard_at}.", site=site, heard_at=since
        ),
    )
    return _incident(8, f"lan:{site}", LAN, members, because) if members else None


def _goal(inventory: Inventory, now: int) -> Incident | None:
    if not inventory.goals:
        return None
    goal = next(iter(inventory.goals.values()))
    detail = message(
        "of the time that may be lost in the whole period, {used_share} is used up already", used_share=0.83
    )
    member = IncidentMember(
        key=f"risk:{goal.id}",
        condition="risk",
        subject=Subject(goal=goal.id),
        severity="warning",
        since=now - 30 * MINUTE,
        joined=now - 29 * MINUTE,
        message=detail,
    )
    return _incident(9, f"goal:{goal.id}", SERVICE, [member], (), severity="warning")


def _collector(inventory: Inventory, now: int) -> Incident | None:
    detail = message("its disk is nearly full: {free_share} is free", free_share=0.04)
    member = IncidentMember(
        key="collector:disk",
        condition="collector",
        subject=Subject(),
        severity="critical",
        since=now - 2 * MINUTE,
        joined=now - MINUTE,
        message=detail,
    )
    return _incident(10, "collector:disk", COLLECTOR, [member], ())


def _digest(inventory: Inventory, by_name: dict[str, Incident], now: int, to: Contact) -> SampleMail:
    several = [
        _progressed(incident_sample, "recovery", now, to) if place % 2 else incident_sample
        for place, incident_sample in enumerate(by_name.values())
    ]
    goals = tuple(
        GoalFigure(
            goal=goal.id,
            window=goal.windows[0] if goal.windows else "month",
            best=goal.objective - 0.004,
            lower=goal.objective - 0.009,
            objective=goal.objective,
            verdict="not proven",
        )
        for goal in list(inventory.goals.values())[:3]
    )
    links = tuple(
        Downtime(link=link.id, provider=link.provider, down_ms=(place + 1) * 11 * MINUTE)
        for place, link in enumerate(list(inventory.links.values())[:4])
    )
    day = DigestFigures(begins=now - 24 * HOUR, ends=now, goals=goals, links=links)
    notice = msgspec.structs.replace(
        _notice("digest", tuple(several), now, to, "info"),
        day=datetime.fromtimestamp(now / 1000, inventory.province.zone).strftime("%Y-%m-%d"),
    )
    return SampleMail(name="digest", notice=notice, incidents=tuple(several), day=day)
