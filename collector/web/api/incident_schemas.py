"""Schemas of the API's answers about incidents and circuits. Times are ms since the epoch, durations seconds."""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated

import msgspec

from alerts.incident.entities import HistoryEntry, Incident, IncidentMember
from alerts.incident.message import TranslatableMessage
from alerts.language.catalogue import LANGUAGES, SOURCE
from alerts.language.locale import Locale
from alerts.language.reasons import translate
from alerts.mail.formatter import MailFormatter
from alerts.mail.topic import headline
from collector.causes.links import CircuitOutage
from collector.web.api.schemas import LocalizedText
from inventory.model.entities import Inventory, Link


def _help(words: str) -> msgspec.Meta:
    return msgspec.Meta(description=words)


class MemberAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One problem of an incident: a check that is down, an agent that is not heard, a goal at risk."""

    key: str
    condition: Annotated[str, _help("the inventory's condition that it met")]
    severity: str
    name: LocalizedText
    agency: str
    site: str
    agent: str
    check: Annotated[str, _help("uid; empty where it is about no check")]
    kind: str
    since: int
    until: Annotated[int | None, _help("null while it goes on")]
    known: Annotated[bool, _help("false while nothing is heard of it")]
    maintenance: bool
    reason: Annotated[str, _help("of the look, as the agent wrote it")]
    words: Annotated[LocalizedText | None, _help("where it is about no check")]


class EntryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the history."""

    at: int
    what: str
    who: str
    text: str


class NotifiedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What one contact was told."""

    contact: str
    first: int
    last: int
    count: int
    recovered: bool


class IncidentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One thing wrong with one root cause."""

    key: str
    title: LocalizedText
    severity: str
    cause: Annotated[str, _help("service, lan, wan, power, agent, collector or not known")]
    certainty: Annotated[str, _help("sure, probable or provisional")]
    root: str
    evidence: Annotated[list[LocalizedText], _help("what the cause is told from, strongest first")]
    opened: Annotated[int, _help("since when it is wrong")]
    noticed: int
    ended: Annotated[int | None, _help("when the last of it was over")]
    closed: int | None
    why: Annotated[str, _help("recovered, merged, withdrawn, late or closed by hand; empty while open")]
    into: Annotated[str, _help("key of the incident that it was merged into")]
    acknowledged_by: str
    acknowledged: int | None
    snoozed: Annotated[int | None, _help("no reminders until then")]
    maintenance: bool
    flapping: bool
    members: list[MemberAnswer]
    told: list[NotifiedAnswer]
    history: list[EntryAnswer]


class IncidentsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong now, the worst first, and what was, the latest first."""

    open: list[IncidentAnswer]
    past: list[IncidentAnswer]


class OutageAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch in which a circuit was down: a claim's line."""

    start: int
    end: int
    seconds: float
    provider: str
    cause: str
    certainty: str
    evidence: list[LocalizedText]
    checks: Annotated[list[str], _help("uids of those that say so")]


class CircuitAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A leased circuit over the window."""

    link: str
    agency: str
    site: str
    provider: Annotated[str, _help("whose it is now")]
    circuit: str
    objective: float | None
    down: Annotated[dict[str, float], _help("seconds down by cause")]
    outages: list[OutageAnswer]


class Describer:
    """Says incidents in every language, as of the moment ``now``."""

    def __init__(self, inventory: Inventory, now: int) -> None:
        zone = inventory.province.zone
        self._inventory = inventory
        self._formatters = {language: MailFormatter(Locale(language, zone), inventory, now) for language in LANGUAGES}

    def localized(self, write: Callable[[MailFormatter], str]) -> LocalizedText:
        return LocalizedText(*(write(self._formatters[language]) for language in ("vi", "en")))

    def message(self, source: TranslatableMessage) -> LocalizedText:
        return self.localized(lambda formatter: formatter.translate(source))

    def title(self, incident: Incident) -> LocalizedText:
        return self.localized(lambda formatter: headline(incident, formatter))

    def evidence(self, because: Iterable[TranslatableMessage]) -> list[LocalizedText]:
        return [self.message(one) for one in because]

    def incident(self, incident: Incident) -> IncidentAnswer:
        cause = incident.cause
        return IncidentAnswer(
            key=incident.key,
            title=self.title(incident),
            severity=incident.severity,
            cause=cause.cause,
            certainty=cause.certainty,
            root=cause.root,
            evidence=self.evidence(cause.because),
            opened=incident.opened,
            noticed=incident.noticed,
            ended=incident.ended,
            closed=incident.closed,
            why=incident.resolution,
            into=incident.into,
            acknowledged_by=incident.acked[0] if incident.acked is not None else "",
            acknowledged=incident.acked[1] if incident.acked is not None else None,
            snoozed=incident.snoozed,
            maintenance=incident.excluded,
            flapping=incident.flapping,
            members=[self._member(one) for one in incident.members.values()],
            told=[
                NotifiedAnswer(
                    contact=one.contact, first=one.first, last=one.last, count=one.count, recovered=one.recovered
                )
                for one in incident.notified.values()
            ],
            history=[_entry(one) for one in incident.history],
        )

    def name(self, member: IncidentMember) -> LocalizedText:
        """What a member is called: its check, its agent, its goal."""
        subject = member.subject
        for field, ident in (("check", subject.check), ("goal", subject.goal), ("agent", subject.agent)):
            if ident:
                return self.localized(lambda formatter, field=field, ident=ident: formatter.called(field, ident))  # type: ignore[misc]
        return LocalizedText(member.key, member.key)

    def _member(self, member: IncidentMember) -> MemberAnswer:
        subject = member.subject
        return MemberAnswer(
            key=member.key,
            condition=member.condition,
            severity=member.severity,
            name=self.name(member),
            agency=subject.agency,
            site=subject.site,
            agent=subject.agent,
            check=subject.check,
            kind=subject.kind,
            since=member.since,
            until=member.until,
            known=member.known,
            maintenance=member.excluded,
            reason=translate(member.reason, SOURCE),
            words=self.message(member.message) if member.message is not None else None,
        )

    def circuit(self, link: Link, outages: Sequence[CircuitOutage]) -> CircuitAnswer:
        site = self._inventory.sites.get(link.site)
        down: dict[str, float] = {}
        for one in outages:
            down[one.cause.cause] = down.get(one.cause.cause, 0.0) + (one.end - one.start) / 1000
        return CircuitAnswer(
            link=link.id,
            agency=site.agency if site is not None else "",
            site=link.site,
            provider=link.provider,
            circuit=link.circuit,
            objective=link.objective,
            down=down,
            outages=[self._outage(one) for one in outages],
        )

    def _outage(self, one: CircuitOutage) -> OutageAnswer:
        return OutageAnswer(
            start=one.start,
            end=one.end,
            seconds=(one.end - one.start) / 1000,
            provider=one.provider,
            cause=one.cause.cause,
            certainty=one.cause.certainty,
            evidence=self.evidence(one.cause.because),
            checks=list(one.checks),
        )


def _entry(entry: HistoryEntry) -> EntryAnswer:
    return EntryAnswer(at=entry.at, what=entry.what, who=entry.who, text=entry.text)
