"""Schemas of the API's answers: the JSON and its OpenAPI description are made from these types.

All times are milliseconds since the epoch unless the name says otherwise, durations seconds, ratios 0 to 1.
"""

from collections.abc import Mapping
from typing import Annotated, TypeVar

import msgspec

from alerts.incident.problem import Cause
from alerts.language.catalogue import SOURCE
from alerts.language.reasons import translate
from collector.goals import evaluate
from collector.ledger.figures import Figure
from collector.ledger.state_step import Span
from collector.ledger.timeline import EXCLUDED, TimelineSegment
from collector.queries.agents import AgentSummary
from collector.queries.problem_spans import ProblemSpan
from collector.queries.reader import CheckEntry, LedgerReader
from inventory.base.types import Text
from inventory.protocol.states import NAMES


def _help(words: str) -> msgspec.Meta:
    return msgspec.Meta(description=words)


InVietnamese = Annotated[str | msgspec.UnsetType, _help("the reason in Vietnamese; with lang=vi only")]


class LocalizedText(msgspec.Struct, frozen=True):
    """A text in both languages."""

    vi: str
    en: str


class Ratios(msgspec.Struct, frozen=True, kw_only=True):
    """Availability with its bounds; null where nothing counts or nothing was seen. Durations in seconds."""

    best: Annotated[float | None, _help("up / (up + down)")]
    lower: Annotated[float | None, _help("what is proven up")]
    upper: Annotated[float | None, _help("what is not proven down")]
    coverage: Annotated[float | None, _help("share of the time with evidence")]
    up: float
    degraded: float
    down: float
    unknown: float
    excluded: float


class CheckAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A check as it is now."""

    uid: Annotated[str, _help("its identity for life")]
    check: Annotated[str, _help("its name, unique at its agent")]
    title: LocalizedText
    kind: str
    agency: str
    site: str
    agent: Annotated[str, _help("who looks")]
    state: Annotated[str, _help("up, degraded, down or unknown")]
    since: Annotated[int | None, _help("when it took this state; null before the first look")]
    reason: str
    provisional: Annotated[bool, _help("from what the agent says beside its backlog, not from the ledger yet")]
    last_result: Annotated[int | None, _help("when the newest look was made")]
    latency: Annotated[float | None, _help("of the newest result, seconds")]
    measures: Annotated[dict[str, float], _help("the newest result's, by name, in base units")]
    interval: Annotated[float | None, _help("seconds; null for a check that has left the inventory")]
    figure: Annotated[Ratios | None, _help("over the window asked for")] = None
    reason_vi: InVietnamese = msgspec.UNSET


class SpanAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of one state: best figure of its ends, its first and last look, how far off these may be placed."""

    state: str
    start: int
    end: int
    sure_from: int
    sure_to: int
    error_from: int
    error_to: int
    looks: int
    reason: str
    reason_vi: InVietnamese = msgspec.UNSET


class SegmentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of the timeline. ``state`` may be excluded; ``sure``: proven."""

    start: int
    end: int
    state: str
    sure: bool


class AvailabilityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One check over a window: the figure, and what it is made from."""

    uid: str
    start: int
    end: int
    now: Annotated[int, _help("no time after this counts")]
    figure: Ratios
    spans: list[SpanAnswer]
    timeline: list[SegmentAnswer]


class AgencyAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An agency and how many of its checks are in which state."""

    id: str
    name: LocalizedText
    kind: str
    sites: list[str]
    up: int
    degraded: int
    down: int
    unknown: int


class MissingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence that a member of a goal lacks, in seconds."""

    member: str
    name: LocalizedText
    unknown: float
    unproven: float


class GoalAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A goal over one of its windows, so far."""

    id: str
    name: LocalizedText
    window: str
    start: int
    end: int
    over: bool
    objective: float
    verdict: Annotated[str, _help("met, missed, not proven or no evidence")]
    words: Annotated[str, _help("the verdict and what it lacks, one sentence")]
    lower: float | None
    best: float | None
    upper: float | None
    coverage: float | None
    members: int
    missing: list[MissingAnswer]
    lacks: list[LocalizedText]


class ProblemSpanAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch in which a check was not up."""

    uid: str
    check: str
    title: LocalizedText
    agency: str
    agent: str
    state: str
    start: int | None
    end: Annotated[int | None, _help("null while it is open")]
    reason: str
    cause: Annotated[str, _help("service, lan, wan, power, agent, collector or not known")]
    certainty: Annotated[str, _help("sure, probable or provisional")]
    reason_vi: InVietnamese = msgspec.UNSET


class ProblemSpansAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is not up now, and what was not."""

    open: list[ProblemSpanAnswer]
    past: list[ProblemSpanAnswer]


class QuarantineAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing of an agent is taken until a person releases it."""

    since: int
    reason: str


class AgentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An agent as it was last heard."""

    agent: str
    agency: str
    site: str
    checks: int
    last_seen: Annotated[int | None, _help("null: never heard")]
    backlog: Annotated[int, _help("frames still to come, as it last said")]
    started: int | None
    stopped: Annotated[int | None, _help("of a clean stop")]
    version: str
    platform: str
    certificate_ends: Annotated[int | None, _help("null: never enrolled")]
    revoked: bool
    results: int
    unplaceable: int
    dead_letters: int
    health: dict[str, float]
    quarantine: Annotated[QuarantineAnswer | None, _help("null: what it sends is taken")]


class ErrorAnswer(msgspec.Struct, frozen=True):
    """Why there is no answer."""

    error: str


R = TypeVar("R", CheckAnswer, SpanAnswer, ProblemSpanAnswer)


def with_translation(one: R, language: str | None) -> R:
    """With the reason in the language asked for beside the words that came: those are the evidence, and stay."""
    return msgspec.structs.replace(one, reason=in_english(one.reason), reason_vi=in_vietnamese(one.reason, language))


def in_english(reason: str) -> str:
    """The reason as it came, or as its template has it."""
    return translate(reason, SOURCE)


def in_vietnamese(reason: str, language: str | None) -> str | msgspec.UnsetType:
    """The reason in Vietnamese when that is asked for."""
    return translate(reason, "vi") if language == "vi" else msgspec.UNSET


def localized(text: Text) -> LocalizedText:
    return LocalizedText(text.vi, text.en)


def ratios(figure: Figure) -> Ratios:
    return Ratios(
        best=figure.best,
        lower=figure.lower,
        upper=figure.upper,
        coverage=figure.coverage,
        up=figure.up / 1000,
        degraded=figure.degraded / 1000,
        down=figure.down / 1000,
        unknown=figure.unknown / 1000,
        excluded=figure.excluded / 1000,
    )


def title(entry: CheckEntry) -> LocalizedText:
    if entry.check is not None and (entry.check.title.vi or entry.check.title.en):
        return localized(entry.check.title)
    return LocalizedText(entry.name, entry.name)


def check(reader: LedgerReader, entry: CheckEntry, now: int, figure: Figure | None = None) -> CheckAnswer:
    status = reader.status(entry, now)
    measures = reader.measures(entry)
    latency = measures.pop("latency", None)
    return CheckAnswer(
        uid=entry.uid,
        check=entry.name,
        title=title(entry),
        kind=entry.kind,
        agency=entry.check.agency if entry.check else "",
        site=entry.check.site if entry.check else "",
        agent=entry.agent,
        state=NAMES[status.state],
        since=status.since or None,
        reason=status.reason,
        provisional=status.provisional,
        last_result=status.last_look or None,
        latency=latency,
        measures=measures,
        interval=entry.check.interval / 1000 if entry.check else None,
        figure=ratios(figure) if figure is not None else None,
    )


def span(one: Span) -> SpanAnswer:
    return SpanAnswer(
        state=NAMES[one.state],
        start=one.start,
        end=one.end,
        sure_from=one.sure_from,
        sure_to=one.sure_to,
        error_from=one.error_from,
        error_to=one.error_to,
        looks=one.looks,
        reason=one.reason,
    )


def segment(one: TimelineSegment) -> SegmentAnswer:
    state = "excluded" if one.state == EXCLUDED else NAMES[one.state]
    return SegmentAnswer(start=one.start, end=one.end, state=state, sure=one.sure)


def goal(one: evaluate.Evaluation, name: Text) -> GoalAnswer:
    return GoalAnswer(
        id=one.goal,
        name=localized(name),
        window=one.window.name,
        start=one.window.start,
        end=one.window.end,
        over=one.over,
        objective=one.objective,
        verdict=one.verdict,
        words=one.sentence(),
        lower=one.lower,
        best=one.best,
        upper=one.upper,
        coverage=one.coverage,
        members=one.members,
        missing=[
            MissingAnswer(
                member=lack.member,
                name=localized(lack.name),
                unknown=lack.unknown / 1000,
                unproven=lack.unproven / 1000,
            )
            for lack in one.missing[:100]
        ],
        lacks=[localized(text) for text in one.lacks],
    )


def problem_span(one: ProblemSpan, causes: Mapping[tuple[int, int], Cause]) -> ProblemSpanAnswer:
    cause = causes[one.entry.row, one.start]
    return ProblemSpanAnswer(
        uid=one.entry.uid,
        check=one.entry.name,
        title=title(one.entry),
        agency=one.entry.check.agency if one.entry.check else "",
        agent=one.entry.agent,
        state=NAMES[one.state],
        start=one.start or None,
        end=one.end,
        reason=one.reason,
        cause=cause.cause,
        certainty=cause.certainty,
    )


def agent(one: AgentSummary) -> AgentAnswer:
    return AgentAnswer(
        agent=one.agent.id,
        agency=one.agent.agency,
        site=one.agent.site,
        checks=one.checks,
        last_seen=one.last_seen,
        backlog=one.backlog,
        started=one.started,
        stopped=one.stopped,
        version=one.version,
        platform=one.platform,
        certificate_ends=one.certificate_ends,
        revoked=one.revoked,
        results=one.results,
        unplaceable=one.unplaceable,
        dead_letters=one.dead_letters,
        health=dict(one.health),
        quarantine=None
        if one.quarantine is None
        else QuarantineAnswer(since=one.quarantine.since, reason=in_english(one.quarantine.why)),
    )
