"""Goals: an objective over checks and a window of the calendar, judged by what is proven.

    met          what is proven up reaches the objective
    missed       what is not proven down stays below it
    not proven   the evidence decides neither; the evaluation says what is missing
    no evidence  nothing measures it, or something it needs is not measured yet; the evaluation says what

More evidence can turn "not proven" into "met" or "missed", never one of these into the other. Verdicts are computed in
whole milliseconds and exact fractions: 99.9% is reached at exactly 99.9%.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from zoneinfo import ZoneInfo

import msgspec

from collector.goals.bounds import (
    MET,
    MISSED,
    NO_EVIDENCE,
    NOT_PROVEN,
    RatioBounds,
    Verdict,
    bounds_of,
    mean_bounds,
    verdict_of,
)
from collector.ledger.combine import ALL, combine
from collector.ledger.counted import Counted, Interval, count
from collector.ledger.figures import Figure, figure
from collector.ledger.state_step import Span
from collector.ledger.timeline import TimelineSegment, measure, timeline
from collector.ledger.windows import Window, midnight
from inventory.base.types import Text, duration_text
from inventory.model.entities import Goal
from inventory.model.goals import Member
from inventory.protocol.causes import NOT_KNOWN, CauseKind
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN

Lifespan = tuple[int | None, int | None]


def _open_life(uid: str) -> Lifespan:
    return None, None


def _no_exclusions(uid: str) -> Sequence[Interval]:
    return ()


def no_cause(uid: str, span: Span) -> CauseKind:
    """Of a span whose cause nobody works out."""
    return NOT_KNOWN


class GoalEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What an evaluation reads, by a check's uid."""

    spans: Callable[
        [str], Sequence[Span]
    ]  # history up to now (ledger.figures.history), at least what touches the window
    life: Callable[[str], Lifespan] = _open_life  # [born, died) in ms, None open
    exclusions: Callable[[str], Sequence[Interval]] = _no_exclusions  # the goal's calendar included
    cause: Callable[[str, Span], CauseKind] = no_cause  # of a span down


class MissingEvidence(msgspec.Struct, frozen=True):
    """Evidence that a member lacks."""

    member: str
    name: Text  # the member's, and of one with several checks the check's that lacks the most
    unknown: int  # ms
    unproven: int  # ms seen but not proven: edges, held tails, clock errors


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """A goal over one window, up to now. Ratios are None where nothing counts."""

    goal: str
    window: Window
    over: bool  # the window has ended; before that the verdict is about the time so far
    objective: float
    verdict: Verdict
    lower: float | None
    best: float | None
    upper: float | None
    coverage: float | None
    members: int  # those with time that counts
    counted: int = 0  # ms: the most that one of them has
    shares: tuple[int, int, int] | None = None  # of a share, how many members met, missed and proved neither
    missing: tuple[MissingEvidence, ...] = ()  # largest first
    lacks: tuple[Text, ...] = ()

    def sentence(self, most: int = 3) -> str:
        """The verdict and what it lacks, as one plain English sentence for logs and the command line."""
        if self.lacks:
            return f"{self.verdict}: " + "; ".join(text.in_("en") for text in self.lacks)
        if self.verdict != NOT_PROVEN or not self.missing:
            return self.verdict
        named = ", ".join(_missing_text(item) for item in self.missing[:most])
        more = len(self.missing) - most
        return f"{self.verdict}: evidence is missing for {named}" + (f" and {more} more" if more > 0 else "")


def _missing_text(item: MissingEvidence) -> str:
    parts = [
        f"{duration_text(ms // 1000 * 1000 or ms)} {what}"
        for ms, what in ((item.unknown, "not seen"), (item.unproven, "seen but not proven"))
        if ms
    ]
    return f"{item.name.in_('en') or item.member} ({', '.join(parts)})"


CountedSpans = tuple[list[Span], Counted]


class MemberResult(msgspec.Struct, frozen=True):
    """A member over the window."""

    member: Member
    bounds: RatioBounds
    figure: Figure
    segments: list[TimelineSegment]  # its timeline, where the goal combines moment by moment
    views: Sequence[tuple[Text | None, CountedSpans]] = ()  # title, spans, time that counts of each of its checks

    def weakest_name(self) -> Text:
        """The member's name; of several checks also the one that lacks the most evidence."""
        lacks = [(_unproven_ms(figure(*view)), title) for title, view in self.views if title is not None]
        name = self.member.name
        if len(lacks) < 2:
            return name
        part = max(lacks, key=lambda one: one[0])[1]
        return Text(*(_part_title(name.in_(language), part.in_(language)) for language in ("vi", "en")))


def evaluate(
    goal: Goal, members: Sequence[Member], window: Window, now: int, zone: ZoneInfo, evidence: GoalEvidence
) -> Evaluation:
    """Judge a goal over a window with the members that the inventory found for it (inventory.model.goals.members)."""
    start = window.start if goal.begins is None else max(window.start, midnight(goal.begins, zone))
    end = window.end if goal.ends is None else min(window.end, midnight(goal.ends, zone))
    objective = goal.objective_in(window.year)
    results = _member_results(goal, members, (start, end), now, evidence)
    shares = None
    lacks = list(goal.lacks)
    if goal.combine == "share":
        bounds, shares = _share(goal, results)
        lacks += [_no_objective(one.member) for one in results if one.member.objective is None]
    elif goal.combine == "mean":
        bounds = mean_bounds([one.bounds for one in results])
    else:
        bounds = bounds_of(measure(combine((one.segments for one in results), _required_up(goal))))
    if not results and not lacks:
        lacks.append(Text("không có phép kiểm tra nào được chọn", "no check is selected, or none was alive"))
    verdict = NO_EVIDENCE if goal.lacks or not results else verdict_of(bounds, objective)
    return Evaluation(
        goal=goal.id,
        window=window,
        over=end <= now,
        objective=objective,
        verdict=verdict,
        lower=_float(bounds.lower),
        best=_float(bounds.best),
        upper=_float(bounds.upper),
        coverage=_float(bounds.coverage),
        members=len(results),
        counted=max((one.figure.total for one in results), default=0),
        shares=shares,
        missing=_missing(results) if verdict == NOT_PROVEN else (),
        lacks=tuple(lacks),
    )


def _member_results(
    goal: Goal, members: Sequence[Member], window: Interval, now: int, evidence: GoalEvidence
) -> list[MemberResult]:
    """The members that have time that counts."""
    cache: dict[tuple[Lifespan, tuple[Interval, ...]], Counted] = {}

    def counted_of(uid: str) -> Counted:
        key = (evidence.life(uid), tuple(evidence.exclusions(uid)))
        if key not in cache:
            cache[key] = count(window, now, *key)
        return cache[key]

    pointwise = goal.combine in ("all", "any", "k-of-n")
    results = []
    for member in members:
        titles = member.parts or (None,) * len(member.checks)
        views = [
            (title, (_spans_for_goal(goal, uid, evidence), counted_of(uid)))
            for title, uid in zip(titles, member.checks, strict=True)
        ]
        views = [one for one in views if one[1][1].total]
        if views:
            one = _member_result(goal, member, [view for _, view in views], pointwise)
            results.append(msgspec.structs.replace(one, views=views))
    return results


def _unproven_ms(one: Figure) -> int:
    return one.unknown + one.seen - one.sure_up - one.sure_down


def _part_title(whole: str, part: str) -> str:
    return part if part.startswith(whole) else f"{whole}: {part}"


def _member_result(goal: Goal, member: Member, views: list[CountedSpans], pointwise: bool) -> MemberResult:
    if len(views) == 1 and not pointwise:
        one = figure(*views[0])
        return MemberResult(member, bounds_of(one), one, [])
    if goal.within == "mean" and not pointwise:
        figures = [figure(*view) for view in views]
        return MemberResult(member, mean_bounds([bounds_of(one) for one in figures]), _sum(figures), [])
    # a moment has no mean: where the goal combines moment by moment, all of a member's checks have to be up
    segments = combine((timeline(*view) for view in views), 1 if goal.within == "any" else ALL)
    measured = measure(segments)
    return MemberResult(member, bounds_of(measured), measured, segments)


def _spans_for_goal(goal: Goal, uid: str, evidence: GoalEvidence) -> list[Span]:
    """A check's spans as the goal counts them.

    A span down for a cause that does not count says nothing about this goal: unknown, not up. Where the cause is not
    known it stays down as a figure and proves nothing.
    """
    spans = list(evidence.spans(uid))
    if goal.degraded == "down":
        spans = [_with_state(span, DOWN) if span.state == DEGRADED else span for span in spans]
    if goal.causes:
        for i, span in enumerate(spans):
            if span.state != DOWN or (cause := evidence.cause(uid, span)) in goal.causes:
                continue
            spans[i] = _unproven(span) if cause == NOT_KNOWN else _with_state(span, UNKNOWN)
    return spans


def _with_state(span: Span, state: int) -> Span:
    return msgspec.structs.replace(span, state=state)


def _unproven(span: Span) -> Span:
    return msgspec.structs.replace(span, sure_from=span.end + 1, sure_to=span.start)


def _required_up(goal: Goal) -> int:
    if goal.combine == "k-of-n":
        return goal.k if goal.k is not None else ALL
    return 1 if goal.combine == "any" else ALL


def _share(goal: Goal, results: Sequence[MemberResult]) -> tuple[RatioBounds, tuple[int, int, int]]:
    """The share of members that meet their own objective. Members that ought to be there and are not prove nothing."""
    number = max(goal.denominator or 0, len(results))
    met = missed = best_met = best_seen = 0
    for one in results:
        objective = one.member.objective
        if objective is None:
            continue
        verdict = verdict_of(one.bounds, objective)
        met += verdict == MET
        missed += verdict == MISSED
        if one.bounds.best is not None:
            best_seen += 1
            best_met += one.bounds.best >= Fraction(repr(objective))
    shares = met, missed, number - met - missed
    if not number:
        return RatioBounds(), shares
    coverage = sum((one.bounds.coverage or Fraction(0) for one in results), Fraction(0)) / number
    best = Fraction(best_met, best_seen) if best_seen else None
    return RatioBounds(Fraction(met, number), best, Fraction(number - missed, number), coverage), shares


def _sum(figures: Sequence[Figure]) -> Figure:
    return Figure(*(sum(parts) for parts in zip(*map(msgspec.structs.astuple, figures), strict=True)))


def _missing(results: Sequence[MemberResult]) -> tuple[MissingEvidence, ...]:
    missing = []
    for one in results:
        unproven = one.figure.seen - one.figure.sure_up - one.figure.sure_down
        if one.figure.unknown or unproven:
            missing.append(MissingEvidence(one.member.id, one.weakest_name(), one.figure.unknown, unproven))
    return tuple(sorted(missing, key=lambda item: (-item.unknown - item.unproven, item.member)))


def _no_objective(member: Member) -> Text:
    return Text(
        f"{member.name.in_('vi') or member.id} không có mục tiêu riêng",
        f"{member.name.in_('en') or member.id} has no objective of its own",
    )


def _float(value: Fraction | None) -> float | None:
    return None if value is None else float(value)
