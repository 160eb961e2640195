"""Mails about more than one incident: group, summary and digest."""

from collections.abc import Sequence
from datetime import date
from typing import Final

from alerts.incident.entities import Incident, Notice, NoticeKind
from alerts.mail.context import DigestFigures, GoalFigure, MailContext
from alerts.mail.document import Document, Section, Tone
from alerts.mail.document import LinkButton as Link
from alerts.mail.impact import affected_members
from alerts.mail.story import MailComposer
from alerts.mail.topic import lead_member
from inventory.model.alerting import SEVERITIES
from inventory.model.entities import Contact

MAX_IN_FULL: Final = 12  # incidents of a group that stand with their cause and first step
MAX_IN_LINES: Final = 30  # of a summary or a part of the digest


def group(notice: Notice, incidents: Sequence[Incident], composer: MailComposer) -> Document:
    """Each incident in short: what, since when, why, what first."""
    _ = composer.formatter.locale
    kinds: dict[int, NoticeKind] = dict(enumerate(notice.kinds))
    ordered = [(incident, kinds.get(place, "trouble")) for place, incident in enumerate(incidents)]
    ordered.sort(key=lambda one: (one[1] == "recovery", -SEVERITIES.index(one[0].severity), one[0].opened, one[0].key))
    sections = [_short(incident, kind, composer) for incident, kind in ordered[:MAX_IN_FULL]]
    sections += _rest([incident for incident, _kind in ordered[MAX_IN_FULL:]], composer)
    unresolved = [incident for incident, kind in ordered if kind != "recovery"]
    counted = _.counted("%(num)s incident", "%(num)s incidents", len(ordered))
    if ordered and not unresolved:
        counted = _.counted("%(num)s incident is over", "%(num)s incidents are over", len(ordered))
    return Document(
        title=f"{counted}: {_places([one for one, _kind in ordered], composer)}" if ordered else counted,
        tag=_tag(notice, composer, bool(unresolved) or not ordered),
        tone="good" if ordered and not unresolved else notice.severity,
        opening=(_("These came within moments of each other, so they are in one mail."),),
        sections=tuple(sections),
    )


def summary(notice: Notice, incidents: Sequence[Incident], composer: MailComposer) -> Document:
    """What the hourly cap held back, as it stands now."""
    _ = composer.formatter.locale
    counted = _.counted("%(num)s incident", "%(num)s incidents", len(incidents))
    opening = _("So many notices came within an hour that these were held back. This is how they stand now.")
    return Document(
        title=f"{counted}: {_places(incidents, composer)}" if incidents else counted,
        tag=_("Summary"),
        tone=notice.severity,
        opening=(opening,),
        sections=tuple(_open_and_closed(incidents, composer)),
    )


def digest(notice: Notice, incidents: Sequence[Incident], composer: MailComposer) -> Document:
    """What was wrong on a day, the goals that suffer, what came to light late."""
    _ = composer.formatter.locale
    day = composer.context.day or DigestFigures(begins=notice.at - 86_400_000, ends=notice.at)
    still_open = [one for one in incidents if one.open]
    worst = max((SEVERITIES.index(one.severity) for one in still_open), default=-1)
    tones: tuple[Tone, ...] = SEVERITIES
    counted = _.counted("%(num)s incident", "%(num)s incidents", len(incidents))
    left = _.counted("%(num)s still open", "%(num)s still open", len(still_open)) if still_open else _("all over")
    return Document(
        title=f"{counted}, {left}" if incidents else _("no incident"),
        tag=_("Daily report %(day)s", day=_day(notice, composer)),
        tone=tones[worst] if still_open else "good",
        opening=(
            _(
                "From %(begins)s to %(ends)s.",
                begins=composer.formatter.clock(day.begins),
                ends=composer.formatter.clock(day.ends),
            ),
        ),
        sections=(
            *_open_and_closed(incidents, composer),
            _links_down_section(day, composer),
            _goals_section(day, composer),
            _unsubscribe_section(composer),
        ),
    )


def _tag(notice: Notice, composer: MailComposer, wrong: bool) -> str:
    _ = composer.formatter.locale
    if not wrong:
        return _("Recovered")
    return {"critical": _("Critical"), "warning": _("Warning")}.get(notice.severity, _("Notice"))


def _places(incidents: Sequence[Incident], composer: MailComposer) -> str:
    """The places of the first few, for a subject."""
    names: dict[str, None] = {}
    for incident in incidents:
        member = lead_member(incident)
        if member is not None and member.subject.site:
            names[composer.formatter.site(member.subject.site)] = None
        else:
            names[composer.one_line(incident)] = None
    shown = list(names)[:2]
    return ", ".join(shown) + (", …" if len(names) > len(shown) else "")


def _short(incident: Incident, kind: NoticeKind, composer: MailComposer) -> Section:
    _ = composer.formatter.locale
    lines = list(composer.opening(incident, kind))
    if kind != "recovery":
        lines += composer.cause_section(incident).lines
        if affected := len([one for one in affected_members(incident) if one.until is None]):
            lines.append(_.counted("It affects %(num)s more check.", "It affects %(num)s more checks.", affected))
        lines.append(_("Look first: %(step)s", step=composer.first_step(incident)))
    return Section(
        title=composer.one_line(incident),
        heads=True,
        tone=composer.tone(incident, kind),
        tag=composer.tag(incident, kind),
        lines=tuple(lines),
        actions=composer.links_section(incident, kind).actions,
    )


def _rest(incidents: Sequence[Incident], composer: MailComposer) -> list[Section]:
    _ = composer.formatter.locale
    if not incidents:
        return []
    return [Section(title=_("And also"), points=_lines(incidents, composer))]


def _open_and_closed(incidents: Sequence[Incident], composer: MailComposer) -> list[Section]:
    """Those that are open, and those that are over; the heaviest first."""
    _ = composer.formatter.locale
    ordered = sorted(incidents, key=lambda one: (-SEVERITIES.index(one.severity), one.opened, one.key))
    still_open = [one for one in ordered if one.open]
    closed = [one for one in ordered if not one.open]
    return [
        Section(
            title=_.counted("Open now: %(num)s", "Open now: %(num)s", len(still_open)),
            points=_lines(still_open, composer),
        ),
        Section(title=_.counted("Over: %(num)s", "Over: %(num)s", len(closed)), points=_lines(closed, composer)),
    ]


def _lines(incidents: Sequence[Incident], composer: MailComposer) -> tuple[str, ...]:
    points = [_line(incident, composer) for incident in incidents[:MAX_IN_LINES]]
    return tuple(points) + _more(len(incidents) - MAX_IN_LINES, composer)


def _more(count: int, composer: MailComposer) -> tuple[str, ...]:
    if count <= 0:
        return ()
    return (composer.formatter.locale.counted("and %(num)s more", "and %(num)s more", count),)


def _line(incident: Incident, composer: MailComposer) -> str:
    _ = composer.formatter.locale
    formatter = composer.formatter
    began = formatter.clock(incident.opened)
    ended = incident.closed if incident.ended is None else incident.ended
    if incident.open or ended is None:
        duration = _(
            "since %(began)s, %(length)s", began=began, length=formatter.length(composer.context.now - incident.opened)
        )
        acknowledged_by = _("; %(who)s is on it", who=composer.person(incident.acked[0])) if incident.acked else ""
        return f"{composer.one_line(incident)} ({duration}{acknowledged_by})"
    duration = _("at %(began)s, for %(length)s", began=began, length=formatter.length(ended - incident.opened))
    return f"{composer.one_line(incident)} ({duration})"


# -- the digest's own parts


def _day(notice: Notice, composer: MailComposer) -> str:
    """The day as the reader writes it; ``notice.day`` is 2026-11-27."""
    try:
        day = date.fromisoformat(notice.day)
    except ValueError:
        return notice.day or composer.formatter.day_of(notice.at)
    return composer.formatter.locale.style.report_day.format(day=day.day, month=day.month, year=day.year)


def _links_down_section(day: DigestFigures, composer: MailComposer) -> Section:
    """By provider, for the talk with them; the longest first."""
    formatter = composer.formatter
    by_provider: dict[str, list[tuple[int, str]]] = {}
    for downtime in day.links:
        if downtime.down_ms > 0:
            by_provider.setdefault(downtime.provider, []).append((downtime.down_ms, formatter.link(downtime.link)))
    points = []
    for provider, links in sorted(
        by_provider.items(), key=lambda downtime: (-sum(down for down, _link in downtime[1]), downtime[0])
    ):
        links.sort(key=lambda downtime: (-downtime[0], downtime[1]))
        listed = ", ".join(f"{link} {formatter.length(down)}" for down, link in links[:5])
        more = "".join(f", {words}" for words in _more(len(links) - 5, composer))
        total = formatter.length(sum(down for down, _link in links))
        points.append(f"{formatter.called('provider', provider)}: {total} ({listed}{more})")
    _ = formatter.locale
    return Section(title=_("Lines down, by provider"), points=tuple(points[:MAX_IN_LINES]))


def _goals_section(day: DigestFigures, composer: MailComposer) -> Section:
    formatter = composer.formatter
    _ = formatter.locale
    points = tuple(_goal_line(figure, composer) for figure in day.goals[:10])
    return Section(title=_("Goals that need attention"), points=points)


def _goal_line(figure: GoalFigure, composer: MailComposer) -> str:
    _ = composer.formatter.locale
    return _(
        "%(goal)s, %(window)s: %(best)s (proven %(lower)s), wanted %(objective)s: %(verdict)s",
        goal=composer.formatter.called("goal", figure.goal),
        window=_.window(figure.window),
        best=_.percent(figure.best),
        lower=_.percent(figure.lower),
        objective=_.percent(figure.objective),
        verdict=_.term("verdict", figure.verdict),
    )


def _unsubscribe_section(composer: MailComposer) -> Section:
    _ = composer.formatter.locale
    url = unsubscribe_url(composer.context, composer.to, composer)
    return Section(actions=(Link(label=_("Stop these daily reports"), url=url),)) if url else Section()


def unsubscribe_url(context: MailContext, to: Contact, composer: MailComposer) -> str:
    """Where the reader can stop the digest; "" without pages or a key."""
    return composer.signed_url("stop-digest", "") if context.base_url and context.sign is not None else ""
