"""Compose the mail about one incident for one contact: since when, cause, impact, first steps, whom to call."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from alerts.incident.entities import HistoryEntry, Incident, IncidentMember, NoticeKind
from alerts.incident.message import TranslatableMessage, message
from alerts.mail import advice, clean, people
from alerts.mail.advice import Steps
from alerts.mail.context import DurationBounds, MailContext
from alerts.mail.document import Fact, Section, Tone
from alerts.mail.document import LinkButton as Link
from alerts.mail.formatter import MailFormatter
from alerts.mail.impact import impact
from alerts.mail.signed_urls import INCIDENTS_PATH, LINK_LIFETIME, LINKS_PATH, LinkAction, LinkClaim
from alerts.mail.topic import condition_name, headline, lead_member, topic
from inventory.model.alerting import CONDITION_TYPES
from inventory.model.entities import Check, Contact
from inventory.protocol import kinds
from inventory.protocol.causes import AGENT, COLLECTOR, LAN, NOT_KNOWN, POWER, SERVICE, WAN

MAX_EVIDENCE: Final = 6  # pieces of it in a mail
MAX_HISTORY: Final = 6  # of an incident's history
MAX_NOTIFIED: Final = 5  # names of those who were notified

CAUSE_SENTENCES: Final[Mapping[str, TranslatableMessage]] = {
    SERVICE: message("It is this service or device itself: the way to it works."),
    LAN: message("Something is wrong in the local network there: its router, a switch or a cable."),
    WAN: message("The leased line (WAN) between that place and the data centre is interrupted."),
    POWER: message("There is no electricity there."),
    AGENT: message("The computer that does the monitoring there has stopped, not the services themselves."),
    COLLECTOR: message("The monitoring system itself is in trouble, not the agencies."),
    NOT_KNOWN: message("The cause is not known: what was seen does not decide it."),
}


class MailComposer:
    """Describes incidents to one contact, in the formatter's language."""

    def __init__(self, context: MailContext, formatter: MailFormatter, to: Contact) -> None:
        self.context = context
        self.formatter = formatter
        self.to = to
        self._ = formatter.locale

    # -- what has to be known first

    def tag(self, incident: Incident, kind: NoticeKind) -> str:
        """The word of state that a subject begins with."""
        _ = self._
        if kind == "recovery":
            return {"recovered": _("Recovered"), "merged": _("Merged")}.get(
                incident.resolution or "recovered", _("Closed")
            )
        if incident.flapping and kind != "escalation":
            return _("Unstable")
        if kind == "update":
            return _("Update")
        if kind == "repeat":
            return _("Still open")
        if kind == "escalation":
            return _("Nobody on it yet")
        return {"critical": _("Critical"), "warning": _("Warning")}.get(incident.severity, _("Notice"))

    def tone(self, incident: Incident, kind: NoticeKind) -> Tone:
        return "good" if kind == "recovery" else incident.severity

    def opening(self, incident: Incident, kind: NoticeKind) -> tuple[str, ...]:
        """Since when, and what was seen."""
        if kind == "recovery":
            return (self.outcome(incident),)
        lines = [self.since(incident)]
        member = lead_member(incident)
        if kind == "escalation":
            lines.insert(0, self._("Nobody has taken this on yet. Please do, or see that somebody does."))
        if not (self._about_whole_place(incident) and incident.cause.because) and (
            observation := self.observation(member)
        ):
            lines.append(observation)
        if incident.flapping:
            lines.append(self.flapping(incident))
        if incident.acked is not None:
            lines.append(self.acknowledgement(incident.acked))
        if incident.excluded:
            lines.append(self._("Maintenance is declared for this time."))
        return tuple(lines)

    def since(self, incident: Incident) -> str:
        """When it began, how exactly that is known, how long it has been."""
        _ = self._
        moment = self.formatter.moment(incident.opened)
        error = self._begin_error(incident)
        so_far = self.formatter.length(self.context.now - incident.opened)
        if error is None:
            return _("Since %(moment)s; %(length)s so far.", moment=moment, length=so_far)
        exact = self.formatter.length(error)
        return _(
            "Since %(moment)s (to within %(error)s); %(length)s so far.", moment=moment, error=exact, length=so_far
        )

    def _begin_error(self, incident: Incident) -> int | None:
        known_error = self.context.bounds.get(incident.key, DurationBounds()).begin_error
        if known_error is not None:
            return max(known_error, 1000)
        # an edge lies between two looks: of what it is about, or of whatever shows what befell a whole place
        members = incident.members.values() if self._about_whole_place(incident) else (lead_member(incident),)
        intervals = [check.interval for check in map(self.check, members) if check is not None]
        return max(min(intervals), 1000) if intervals else None

    def _about_whole_place(self, incident: Incident) -> bool:
        """Whether it is about a place as a whole, so that no single check shows it."""
        return incident.cause.ref.kind in ("wan", "lan", "power", "agent")

    def observation(self, member: IncidentMember | None) -> str:
        """What the check saw, in its own words or the agent's."""
        if member is None:
            return ""
        words = (
            self.formatter.translate(member.message)
            if member.message is not None
            else self.formatter.reason(member.reason)
        )
        return self._("What was seen: %(what)s", what=words) if words else ""

    def flapping(self, incident: Incident) -> str:
        return self._.counted(
            "It comes and goes: %(num)s change so far. You get the next mail when it has been steady for a while.",
            "It comes and goes: %(num)s changes so far. You get the next mail when it has been steady for a while.",
            len(incident.changes),
        )

    def acknowledgement(self, acked: tuple[str, int]) -> str:
        who, at = acked
        return self._("%(who)s took it on at %(at)s.", who=self.person(who), at=self.formatter.clock(at))

    def outcome(self, incident: Incident) -> str:
        """How it ended and how long it was."""
        _ = self._
        ended = incident.closed if incident.ended is None else incident.ended
        moment = self.formatter.moment(self.context.now if ended is None else ended)
        if incident.resolution == "withdrawn":
            return _("It is no longer watched since %(moment)s: it was taken out of the inventory.", moment=moment)
        if incident.resolution == "merged":
            return _("It turned out to be part of a larger incident, which you are told of separately.")
        length = self.formatter.length((self.context.now if ended is None else ended) - incident.opened)
        began = self.formatter.moment(incident.opened)
        bounds = self.context.bounds.get(incident.key, DurationBounds())
        least, most = (
            length if bound is None else self.formatter.length(bound) for bound in (bounds.least, bounds.most)
        )
        if (least, most) != (length, length):  # else it is known as exactly as it is said
            return _(
                "All is well again since %(moment)s. It began at %(began)s and lasted %(length)s"
                " (at least %(least)s, at most %(most)s).",
                moment=moment,
                began=began,
                length=length,
                least=least,
                most=most,
            )
        return _(
            "All is well again since %(moment)s. It began at %(began)s and lasted %(length)s.",
            moment=moment,
            began=began,
            length=length,
        )

    # -- sections

    def sections(self, incident: Incident, kind: NoticeKind) -> tuple[Section, ...]:
        """All that a mail about this incident alone says after its opening."""
        if kind == "recovery":
            return (self.cause_section(incident), self.history_section(incident), self.links_section(incident, kind))
        notified = (self.notified_section(incident),) if kind == "escalation" else ()
        history = (self.history_section(incident),) if kind != "trouble" else ()
        # of an update what is new comes first
        new, history = (history, ()) if kind == "update" else ((), history)
        return (
            *notified,
            *new,
            self.cause_section(incident),
            impact(incident, self.formatter),
            self.steps_section(incident),
            people.whom_to_call(incident, self.to, self.formatter, self.context.time_zone),
            self.links_section(incident, kind),
            self.details_section(incident),
            *history,
        )

    def cause_section(self, incident: Incident) -> Section:
        """The cause, how sure it is, and the evidence."""
        _ = self._
        because = tuple(self.formatter.translate(evidence) for evidence in incident.cause.because[:MAX_EVIDENCE])
        explains = topic(incident.cause.root, lead_member(incident), self.formatter).explains
        self_explanatory = explains and incident.cause.cause in (SERVICE, NOT_KNOWN)
        lines = () if self_explanatory else (self.cause_sentence(incident),)
        return Section(title=_("Cause"), lines=lines, points=because) if lines or because else Section()

    def cause_sentence(self, incident: Incident) -> str:
        _ = self._
        sentence = CAUSE_SENTENCES.get(incident.cause.cause)
        cause_text = clean.clean(incident.cause.cause) if sentence is None else self.formatter.translate(sentence)
        is_known = incident.cause.cause != NOT_KNOWN
        if incident.cause.certainty == "provisional":
            if not is_known:
                return _("The cause is not known yet. More evidence is still to come from there.")
            return _(
                "As it looks so far: %(cause)s More evidence is still to come, so this may change.", cause=cause_text
            )
        if incident.cause.certainty == "probable" and is_known:
            return _("Very probably: %(cause)s", cause=cause_text)
        return _("Certain: %(cause)s", cause=cause_text) if is_known else cause_text

    def steps_section(self, incident: Incident) -> Section:
        step_texts = tuple(self.formatter.translate(step) for step in self._advice(incident))
        return Section(title=self._("What to look at first"), steps=step_texts)

    def first_step(self, incident: Incident) -> str:
        return self.formatter.translate(self._advice(incident)[0])

    def _advice(self, incident: Incident) -> Steps:
        member = lead_member(incident)
        on = "down" if member is None else condition_name(member, self.context.inventory)
        if own_advice := CONDITION_TYPES[on].advice:
            return tuple(TranslatableMessage(step) for step in own_advice)
        kind = "" if member is None else member.subject.kind
        return advice.steps(incident.cause.cause, incident.cause.root, kind, on)

    def details_section(self, incident: Incident) -> Section:
        """The check's address and from where it was looked at, for whoever looks into it."""
        _ = self._
        check = self.check(lead_member(incident))
        if check is None or self._about_whole_place(incident):
            return Section()
        kind = kinds.of(check.kind)
        target = next((check.params[name] for name in kind.shown_target if check.params.get(name)), None)
        facts = [Fact(_("Check"), self.formatter.check(check.uid)), Fact(_("Place"), self.formatter.site(check.site))]
        if target is not None:
            facts.append(Fact(_("Address"), clean.name(target)))
        facts.append(Fact(_("Looked at from"), self.formatter.agent(check.agent)))
        facts.append(Fact(_("Looked at every"), self.formatter.length(check.interval)))
        return Section(title=_("Details"), facts=tuple(facts))

    def notified_section(self, incident: Incident) -> Section:
        """Who knows of it, so that the one it is escalated to can ask them."""
        notified = sorted(incident.notified.values(), key=lambda one: (one.first, one.contact))
        points = tuple(
            f"{self.person(one.contact)}, {self.formatter.clock(one.first)}"
            for one in notified[:MAX_NOTIFIED]
            if one.contact != self.to.id
        )
        return Section(title=self._("Told so far"), points=points) if points else Section()

    def history_section(self, incident: Incident) -> Section:
        """The latest of what happened, oldest first."""
        entries = [entry for entry in incident.history if entry.what != "told"][-MAX_HISTORY:]
        points = tuple(self._history_line(entry) for entry in entries)
        return Section(title=self._("What happened"), points=points)

    def _history_line(self, entry: HistoryEntry) -> str:
        line = clean.clean(self.formatter.locale.term("entry", entry.what))
        if entry.who:
            line = f"{line}: {self.person(entry.who)}"
        if entry.message is not None:
            line = f"{line}: {self.formatter.translate(entry.message)}"
        if entry.text and entry.who:  # a person's words; the others are names of the program's own
            line = f"{line} “{clean.clean(entry.text)}”"
        return f"{self.formatter.clock(entry.at)} – {line}"

    def links_section(self, incident: Incident, kind: NoticeKind) -> Section:
        """The incident's page; while it is open also what can be done without a login."""
        _ = self._
        if not self.context.base_url:
            return Section()
        page = Link(label=_("Open the incident's page"), url=self.page_url(incident))
        if kind == "recovery" or not incident.open or self.context.sign is None:
            return Section(actions=(page,))
        snooze = Link(label=_("Put off the reminders"), url=self.signed_url("snooze", incident.key))
        if incident.acked is not None:
            return Section(actions=(page, snooze))
        acknowledge = Link(label=_("I take this on"), url=self.signed_url("acknowledge", incident.key), first=True)
        return Section(actions=(acknowledge, page, snooze))

    # -- small things

    def page_url(self, incident: Incident) -> str:
        return f"{self.context.base_url.rstrip('/')}{INCIDENTS_PATH}{quote(incident.key[:64], safe='')}"

    def signed_url(self, action: LinkAction, incident: str) -> str:
        """A link to the page on which the reader can confirm the action. Only called with a ``sign``."""
        assert self.context.sign is not None
        claim = LinkClaim(
            action=action, contact=self.to.id, incident=incident, expires=self.context.now + LINK_LIFETIME
        )
        return f"{self.context.base_url.rstrip('/')}{LINKS_PATH}{self.context.sign(claim)}"

    def person(self, ident: str) -> str:
        """A contact's name, or the name of a user of the pages as it is."""
        contact = self.context.inventory.contacts.get(ident)
        return clean.name(ident) if contact is None else self.formatter.text(contact.name) or clean.name(ident)

    def check(self, member: IncidentMember | None) -> Check | None:
        return None if member is None else self.context.inventory.checks.get(member.subject.check)

    def one_line(self, incident: Incident) -> str:
        """The incident in one line."""
        return headline(incident, self.formatter)
