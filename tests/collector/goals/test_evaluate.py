"""Goals against an evaluator that combines members millisecond by millisecond; verdicts, windows, what is missing."""

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.goals.bounds import MET, MISSED, NO_EVIDENCE, NOT_PROVEN
from collector.goals.evaluate import GoalEvidence, evaluate
from collector.ledger.batch_step import apply_slice
from collector.ledger.combine import ALL, combine
from collector.ledger.counted import count
from collector.ledger.figures import history
from collector.ledger.state_step import Span
from collector.ledger.timeline import TimelineSegment, timeline
from collector.ledger.windows import Window, window_at
from inventory.base.types import Text
from inventory.model.entities import Goal
from inventory.model.goals import Member

UP, DEGRADED, DOWN, UNKNOWN, EXCLUDED = range(5)
ZONE = ZoneInfo("Asia/Ho_Chi_Minh")
HOLD = 10
Looks = list[tuple[int, int]]  # (at, state)


def spans_of(looks: Looks, now: int) -> list[Span]:
    closed: list[Span] = []
    if not looks:
        return closed
    times = [at for at, _ in looks]
    deltas = [b - a for a, b in pairwise(times)]
    tail = apply_slice(None, closed, times[0], deltas, bytes(state for _, state in looks), HOLD)
    return history(closed, tail, now)


def steady(pattern: str, every: int = 5) -> Looks:
    """Looks every ``every`` ms: U, D, G (degraded), ? for a look that never came."""
    codes = {"U": UP, "D": DOWN, "G": DEGRADED}
    return [(i * every, codes[mark]) for i, mark in enumerate(pattern) if mark in codes]


def goal(**settings: Any) -> Goal:
    return Goal(id="g", name=Text("mục tiêu", "goal"), **{"objective": 0.9, **settings})


def member(*checks: str, objective: float | None = None) -> Member:
    return Member(id=checks[0], name=Text("", checks[0]), agency="a", site="s", checks=checks, objective=objective)


def judge(goal: Goal, members: Sequence[Member], looks: dict[str, Looks], now: int, **more: Any) -> Any:
    window = Window("day", 0, more.pop("end", now), 2011)
    spans = {uid: spans_of(some, now) for uid, some in looks.items()}
    return evaluate(goal, members, window, now, ZONE, GoalEvidence(spans=spans.__getitem__, **more))


# --- moment by moment -----------------------------------------------------------------------------------------------


@st.composite
def looks(draw: st.DrawFn) -> Looks:
    at, made = draw(st.integers(0, 15)), []
    for _ in range(draw(st.integers(0, 8))):
        made.append((at, draw(st.sampled_from([UP, UP, DEGRADED, DOWN, DOWN, UNKNOWN]))))
        at += draw(st.sampled_from([1, 4, 9, 10, 11, 22]))
    return made


def moments(segments: Sequence[TimelineSegment]) -> dict[int, tuple[int, bool]]:
    return {ms: (one.state, one.sure) for one in segments for ms in range(one.start, one.end)}


@settings(max_examples=200)
@given(
    st.lists(st.tuples(looks(), st.integers(0, 30), st.integers(40, 90)), min_size=1, max_size=4),
    st.sampled_from([1, 2, 3, ALL]),
    st.integers(0, 60),
)
def test_combining_is_asking_at_every_moment(worlds: list[tuple[Looks, int, int]], k: int, excluded: int) -> None:
    timelines = []
    for i, (some, born, died) in enumerate(worlds):
        holes = [(excluded, excluded + 7)] if i % 2 == 0 else []
        timelines.append(timeline(spans_of(some, 90), count((0, 90), 90, (born, died), holes)))
    combined = moments(combine(timelines, k))
    for ms in range(90):
        seen = [moments(one).get(ms, (EXCLUDED, False)) for one in timelines]
        asked = [(state, sure) for state, sure in seen if state != EXCLUDED]
        if not asked:
            assert combined.get(ms, (EXCLUDED, False)) == (EXCLUDED, False)
            continue
        # try both answers for what is unknown (or unproven): if they agree, that is the answer
        need = min(k, len(asked))
        least = sum(state in (UP, DEGRADED) for state, _ in asked) >= need
        most = sum(state != DOWN for state, _ in asked) >= need
        sure_least = sum(state in (UP, DEGRADED) and sure for state, sure in asked) >= need
        sure_most = sum(not (state == DOWN and sure) for state, sure in asked) >= need
        state, sure = combined[ms]
        if least != most:
            assert state == UNKNOWN
        elif least:
            assert state == (UP if sum(one == UP for one, _ in asked) >= need else DEGRADED)
        else:
            assert state == DOWN
        assert sure == (sure_least == sure_most)


@settings(max_examples=200)
@given(
    st.lists(st.tuples(looks(), st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=4),
    st.sampled_from(["mean", "all", "any", "k-of-n", "share"]),
    st.sampled_from(["mean", "all", "any"]),
    st.sampled_from([0.1, 0.5, 0.9]),
    st.booleans(),
)
def test_more_evidence_narrows_and_never_turns_a_verdict(
    worlds: list[tuple[Looks, int, int]], how: str, within: str, objective: float, paired: bool
) -> None:
    uids = [f"c{i}" for i in range(len(worlds))]
    groups = [uids[i : i + 2] for i in range(0, len(uids), 2)] if paired else [[uid] for uid in uids]
    members = [member(*group, objective=0.5) for group in groups]
    asked = goal(combine=how, k=2, within=within, objective=objective)
    early, late = (
        judge(asked, members, {uid: world[0][:n] for uid, world, n in zip(uids, worlds, known, strict=True)}, 120)
        for known in (
            [min(a, b) for _, a, b in worlds],
            [max(a, b) for _, a, b in worlds],
        )
    )
    assert early.lower <= late.lower <= late.upper <= early.upper
    if early.verdict != NOT_PROVEN:
        assert late.verdict == early.verdict


# --- verdicts -------------------------------------------------------------------------------------------------------


def test_met_missed_and_not_proven_with_what_is_missing() -> None:
    good, bad = steady("U" * 41), steady("U" * 30 + "D" * 11)
    blind = steady("U" * 20 + "?" * 10 + "U" * 11)
    assert judge(goal(), [member("a")], {"a": good}, 200).verdict == MET
    assert judge(goal(), [member("a")], {"a": bad}, 200).verdict == MISSED
    worse = judge(goal(), [member("a"), member("b")], {"a": blind, "b": []}, 200)
    assert [(item.member, item.unknown) for item in worse.missing] == [("b", 200), ("a", 45)]
    both = judge(goal(), [member("a"), member("b")], {"a": good, "b": blind}, 200)
    assert both.verdict == NOT_PROVEN
    # seen up at 95 ms and held for 10 more, then nothing until 150 ms
    assert [(item.member, item.unknown, item.unproven) for item in both.missing] == [("b", 45, 10)]
    assert both.sentence() == "not proven: evidence is missing for b (45ms not seen, 10ms seen but not proven)"


@pytest.mark.parametrize("objective", [0.9, 0.99, 0.999, 0.7])
def test_an_objective_is_reached_exactly(objective: float) -> None:
    """As it is written: the float 0.9 lies above nine tenths, and three times nine tenths is no float's business."""
    proven = round(objective * 1000)
    up = [(at, UP) for at in range(proven + 1)]
    members = [member(uid) for uid in "abc"]

    def judged(looks: Looks, objective: float) -> str:
        return str(judge(goal(objective=objective), members, dict.fromkeys("abc", looks), 1000).verdict)

    assert judged(up, objective) == MET
    assert judged(up, objective + 1e-9) == NOT_PROVEN
    # and what may still be reached exactly is not missed
    down = [(at, DOWN) for at in range(1000 - proven + 1)]
    assert judged(down, objective) == NOT_PROVEN
    assert judged(down, objective + 1e-9) == MISSED


def test_without_members_or_with_lacks_there_is_no_evidence() -> None:
    nobody = judge(goal(), [], {}, 100)
    assert (nobody.verdict, nobody.lower, nobody.members) == (NO_EVIDENCE, None, 0)
    assert "no check is selected" in nobody.sentence()
    lacking = goal(lacks=(Text("chưa đo UPS", "nothing measures the UPS yet"),))
    found = judge(lacking, [member("a")], {"a": steady("U" * 21)}, 100)
    assert (found.verdict, found.sentence()) == (NO_EVIDENCE, "no evidence: nothing measures the UPS yet")
    unborn = judge(goal(), [member("a")], {"a": []}, 100, life=lambda uid: (100, None))
    assert (unborn.verdict, unborn.members, unborn.lower) == (NO_EVIDENCE, 0, None)
    one_unborn = goal(combine="share", objective=1.0)
    two = [member(uid, objective=0.9) for uid in ("a", "later")]
    worlds = {"a": steady("U" * 21), "later": []}
    found = judge(one_unborn, two, worlds, 100, life=lambda uid: (100 if uid == "later" else 0, None))
    assert (found.verdict, found.members) == (MET, 1)
    silent = judge(goal(), [member("a")], {"a": []}, 100)
    assert (silent.verdict, silent.lower, silent.best, silent.upper) == (NOT_PROVEN, 0.0, None, 1.0)


def test_mean_all_any_and_k_of_n_differ() -> None:
    """Three members of which each is down for another tenth of the time."""
    patterns = {
        "a": "D" * 10 + "U" * 91,
        "b": "U" * 40 + "D" * 10 + "U" * 51,
        "c": "U" * 80 + "D" * 10 + "U" * 11,
    }
    worlds = {uid: steady(pattern, every=10) for uid, pattern in patterns.items()}
    members = [member(uid) for uid in worlds]

    def best(how: str, k: int | None = None) -> float:
        return round(judge(goal(combine=how, k=k), members, worlds, 1000).best, 3)

    assert [best("mean"), best("all"), best("any"), best("k-of-n", 2), best("k-of-n", 3)] == [
        pytest.approx(0.9, abs=0.005),
        pytest.approx(0.7, abs=0.01),
        1.0,
        1.0,
        best("all"),
    ]


def test_share_counts_members_by_their_own_objective() -> None:
    worlds = {
        "good": steady("U" * 41),
        "bad": steady("U" * 20 + "D" * 21),
        "blind": steady("U" * 10),
        "none": steady("U" * 41),
    }
    members = [member(uid, objective=0.9) for uid in ("good", "bad", "blind")]
    found = judge(goal(combine="share", objective=0.5), members, worlds, 200)
    assert (found.shares, found.verdict) == ((1, 1, 1), NOT_PROVEN)
    assert (Fraction(found.lower).limit_denominator(9), Fraction(found.upper).limit_denominator(9)) == (
        Fraction(1, 3),
        Fraction(2, 3),
    )
    # of ten bodies that ought to be there seven are not even watched: they prove nothing
    of_ten = judge(goal(combine="share", objective=0.95, denominator=10), members, worlds, 200)
    assert (of_ten.shares, of_ten.lower, of_ten.upper, of_ten.verdict) == ((1, 1, 8), 0.1, 0.9, MISSED)
    own_less = judge(goal(combine="share", objective=0.5), [member("none")], worlds, 200)
    assert own_less.verdict == NOT_PROVEN
    assert "none has no objective of its own" in own_less.sentence()


def test_a_members_checks_are_joined_as_the_goal_says() -> None:
    worlds = {"lan": steady("U" * 41), "wan": steady("U" * 20 + "D" * 21)}
    one = [member("lan", "wan")]
    assert judge(goal(within="all"), one, worlds, 200).best == pytest.approx(0.5, abs=0.02)
    assert judge(goal(within="any"), one, worlds, 200).best == 1.0
    assert judge(goal(within="mean"), one, worlds, 200).best == pytest.approx(0.75, abs=0.01)


def test_degraded_counts_as_the_goal_says() -> None:
    worlds = {"a": steady("U" * 20 + "G" * 21)}
    assert judge(goal(), [member("a")], worlds, 200).verdict == MET
    strict = judge(goal(degraded="down"), [member("a")], worlds, 200)
    assert (strict.verdict, strict.best) == (MISSED, pytest.approx(0.5, abs=0.02))


def test_causes_that_do_not_count_are_no_evidence_and_unknown_ones_prove_nothing() -> None:
    worlds = {"a": steady("U" * 30 + "D" * 11)}

    def caused(cause: str) -> Any:
        return judge(goal(causes=("service",)), [member("a")], worlds, 200, cause=lambda uid, span: cause)

    assert caused("service").verdict == MISSED
    wan = caused("wan")  # a WAN cut is not the service down, nor does it prove it up
    assert (wan.verdict, wan.best, wan.upper) == (NOT_PROVEN, 1.0, 1.0)
    assert wan.lower < 0.75
    open_question = caused("not known")
    assert (open_question.verdict, open_question.upper) == (NOT_PROVEN, 1.0)
    assert open_question.best == pytest.approx(0.75, abs=0.02)


def test_time_down_for_an_unknown_cause_joins_no_proof() -> None:
    """Out of its thresholds for a known cause, then down for one that is not known: only the first is proven."""
    worlds = {"a": steady("G" * 20 + "D" * 21)}
    causes = {0: "service", 97: "not known"}  # by where the span begins

    def cause(uid: str, span: Span) -> str:
        return causes[span.start]

    found = judge(goal(causes=("service",), degraded="down"), [member("a")], worlds, 200, cause=cause)
    assert found.best == 0.0
    assert found.upper == (200 - 95) / 200


def test_exclusions_and_life_bound_the_denominator() -> None:
    worlds = {"a": steady("U" * 30 + "D" * 11)}
    spared = judge(goal(), [member("a")], worlds, 200, exclusions=lambda uid: [(140, 200)])
    assert (spared.verdict, spared.best) == (MET, 1.0)
    ended = judge(goal(), [member("a")], worlds, 200, life=lambda uid: (0, 140))
    assert (ended.verdict, ended.best) == (MET, 1.0)


def test_a_window_that_is_not_over_is_judged_so_far() -> None:
    found = judge(goal(), [member("a")], {"a": steady("U" * 41)}, 200, end=10_000)
    assert (found.verdict, found.over) == (MET, False)
    assert judge(goal(), [member("a")], {"a": steady("U" * 41)}, 200).over


def test_the_targets_of_the_year_hold_and_the_goals_own_life_bounds_the_window() -> None:
    yearly = goal(targets={2011: 0.5, 2015: 0.99}, begins=date(2013, 1, 1))
    zone_2013 = window_at("year", 1_370_000_000_000, ZONE)
    none = GoalEvidence(spans=lambda uid: [])
    assert evaluate(yearly, [member("a")], zone_2013, zone_2013.end, ZONE, none).objective == 0.5
    before = window_at("year", 1_340_000_000_000, ZONE)
    assert evaluate(yearly, [member("a")], before, before.end, ZONE, none).verdict == NO_EVIDENCE


def test_ten_thousand_members_are_exact() -> None:
    lives = {f"m{i}": (i % 97, None) for i in range(10_000)}
    spans = spans_of(steady("U" * 21), 100)
    found = evaluate(
        goal(),
        [member(uid) for uid in lives],
        Window("day", 0, 100, 2011),
        100,
        ZONE,
        GoalEvidence(spans=lambda uid: spans, life=lives.__getitem__),
    )
    assert (found.members, found.verdict, found.lower) == (10_000, MET, 1.0)


# --- windows --------------------------------------------------------------------------------------------------------


def test_windows_are_calendar_windows_of_the_province() -> None:
    moment = 1_298_912_400_000  # 2011-03-01 00:00 in Viet Nam, still February in London
    month = window_at("month", moment, ZONE)
    assert (month.start, month.end - month.start, month.year) == (moment, 31 * 86_400_000, 2011)
    february = window_at("month", month.start - 1, ZONE)
    assert (february.end, february.end - february.start) == (moment, 28 * 86_400_000)
    assert window_at("quarter", moment, ZONE).start == window_at("year", moment, ZONE).start
    assert window_at("week", moment, ZONE).start == moment - 86_400_000  # that day was a Tuesday
    assert window_at("day", moment - 1, ZONE).end == moment
    rolling = window_at("rolling-30d", moment, ZONE)
    assert (rolling.start, rolling.end) == (moment - 30 * 86_400_000, moment)
    december = window_at("month", 1_325_300_000_000, ZONE)
    assert window_at("year", 1_325_300_000_000, ZONE).end == december.end
    with pytest.raises(ValueError, match="'fortnight' is not a window"):
        window_at("fortnight", moment, ZONE)


@given(st.integers(0, 4_000_000_000_000), st.sampled_from(["day", "week", "month", "quarter", "year"]))
def test_calendar_windows_tile_time(at: int, name: str) -> None:
    for zone in (ZONE, ZoneInfo("Europe/Berlin")):  # one with summer time
        window = window_at(name, at, zone)
        assert window.start <= at < window.end
        assert window_at(name, window.start - 1, zone).end == window.start
        assert window_at(name, window.end, zone).start == window.end
