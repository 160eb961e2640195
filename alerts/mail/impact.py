"""The impact of an incident: its members besides the leading one, counted and grouped by place."""

from collections.abc import Sequence
from typing import Final

from alerts.incident.entities import Incident, IncidentMember
from alerts.mail.document import Section
from alerts.mail.formatter import MailFormatter
from alerts.mail.topic import condition_name, lead_member, ordered_members, topic_name

MAX_PLACES: Final = 8
MAX_NAMES: Final = 5  # of one place


def affected_members(incident: Incident) -> list[IncidentMember]:
    """The members that suffer with it: not the one that it is about, and what says the same of the same thing once."""
    first = lead_member(incident)
    scope, ident = incident.cause.ref
    by_subject: dict[str, IncidentMember] = {}
    for member in ordered_members(incident):
        is_lead = member is first or (scope == "wan" and member.subject.link == ident)
        if not is_lead and (first is None or _subject_key(member) != _subject_key(first)):
            # what is wrong in two ways counts once, and is over when both are
            counted = by_subject.setdefault(_subject_key(member), member)
            if counted.until is not None and member.until is None:
                by_subject[_subject_key(member)] = member
    return list(by_subject.values())


def _subject_key(member: IncidentMember) -> str:
    subject = member.subject
    return subject.check or subject.goal or subject.agent or member.key


def impact(incident: Incident, formatter: MailFormatter) -> Section:
    """Empty when it takes nothing with it."""
    members = affected_members(incident)
    if not members:
        return Section()
    still_affected = [one for one in members if one.until is None]
    recovered = len(members) - len(still_affected)
    lines = []
    if recovered:
        _ = formatter.locale
        lines.append(
            _(
                "%(back)s of %(all)s work again.",
                back=formatter.locale.number(recovered),
                all=formatter.locale.number(len(members)),
            )
        )
    return Section(
        title=_title(incident, len(still_affected), formatter),
        lines=tuple(lines),
        points=_places(still_affected, formatter),
    )


def _title(incident: Incident, count: int, formatter: MailFormatter) -> str:
    locale = formatter.locale
    scope = incident.cause.ref.kind
    if scope == "wan":
        return locale.counted(
            "Affected: %(num)s check behind this line", "Affected: %(num)s checks behind this line", count
        )
    if scope in ("power", "lan"):
        return locale.counted("Affected: %(num)s check at this place", "Affected: %(num)s checks at this place", count)
    if scope in ("agent", "collector"):
        return locale.counted("Not known meanwhile: %(num)s check", "Not known meanwhile: %(num)s checks", count)
    return locale.counted("Affected besides: %(num)s check", "Affected besides: %(num)s checks", count)


def _places(members: Sequence[IncidentMember], formatter: MailFormatter) -> tuple[str, ...]:
    groups: dict[str, list[IncidentMember]] = {}
    for member in members:
        groups.setdefault(_place(member, formatter), []).append(member)
    ordered = sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))
    points = [_group(place, group, formatter) for place, group in ordered[:MAX_PLACES]]
    if len(ordered) > MAX_PLACES:
        rest = sum(len(group) for _, group in ordered[MAX_PLACES:])
        places = len(ordered) - MAX_PLACES
        points.append(
            formatter.locale.counted(
                "and %(num)s check at %(places)s more places",
                "and %(num)s checks at %(places)s more places",
                rest,
                places=formatter.locale.number(places),
            )
        )
    return tuple(points)


def _group(place: str, members: list[IncidentMember], formatter: MailFormatter) -> str:
    names = list(dict.fromkeys(_name(one, formatter) for one in members))
    listed = ", ".join(names[:MAX_NAMES])
    if len(names) > MAX_NAMES:
        _ = formatter.locale
        listed = _("%(names)s and %(count)s more", names=listed, count=formatter.locale.number(len(names) - MAX_NAMES))
    return f"{place}: {listed}" if place else listed


def _place(member: IncidentMember, formatter: MailFormatter) -> str:
    if member.subject.site:
        return formatter.site(member.subject.site)
    if member.subject.agent:
        return formatter.agent(member.subject.agent)
    return formatter.agency(member.subject.agency) if member.subject.agency else ""


def _name(member: IncidentMember, formatter: MailFormatter) -> str:
    subject = member.subject
    if subject.check:
        return formatter.check(subject.check)
    if subject.goal:
        return formatter.called("goal", subject.goal)
    return formatter.translate(topic_name(condition_name(member, formatter.inventory)))
