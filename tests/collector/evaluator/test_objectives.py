"""Goals as troubles: burn rates over pairs of windows, objectives out of reach, silence on what is told already."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.incident.problem import ActiveProblem, Cause, Subject
from alerts.rules.burn_rates import BURN_WINDOW_PAIRS
from collector.evaluator.problems.goal_problems import GoalProblems, beyond_reach, burn_rate, worst_of
from collector.goals.bounds import MET, MISSED, NOT_PROVEN
from collector.goals.evaluate import Evaluation
from collector.ledger.windows import Window
from inventory.base.types import Text
from inventory.model.alerting import DAY, HOUR, MINUTE, Condition
from inventory.model.entities import Agency, Agent, Check, Goal, Inventory, Site
from tests.support.conditions import DEFAULT_CONDITIONS

NOW = 1_800_000_000_000
RISK = next(one for one in DEFAULT_CONDITIONS if one.on == "risk")
MISS = next(one for one in DEFAULT_CONDITIONS if one.on == "missed")


def evaluation(
    upper: float | None,
    *,
    objective: float = 0.999,
    name: str = "",
    length: int = HOUR,
    counted: int | None = None,
    **more: Any,
) -> Evaluation:
    """``counted``: how much of the window has passed; all of it unless told."""
    counted = length if counted is None else counted
    return Evaluation(
        goal="g1",
        window=Window(name or str(length), NOW - counted, NOW - counted + length, 2026),
        over=more.pop("over", False),
        objective=objective,
        verdict=more.pop("verdict", MISSED),
        lower=0.0,
        best=upper,
        upper=upper,
        coverage=1.0,
        members=1,
        counted=counted,
        **more,
    )


def test_a_burn_rate_of_one_uses_the_budget_up_exactly() -> None:
    assert burn_rate(evaluation(0.999)) == pytest.approx(1)
    assert burn_rate(evaluation(0.985, objective=0.999)) == pytest.approx(15)
    assert burn_rate(evaluation(1.0)) == burn_rate(evaluation(None)) == 0
    assert burn_rate(evaluation(0.5, objective=1.0)) == float("inf")
    assert burn_rate(evaluation(1.0, objective=1.0)) == 0


def test_a_goal_that_is_a_minute_old_is_not_judged_by_its_first_look() -> None:
    """A minute down in an hour of which a minute has passed is a minute in an hour."""
    young = burn_rate(evaluation(0.0, objective=0.9, counted=MINUTE))
    assert young == pytest.approx(burn_rate(evaluation(59 / 60, objective=0.9)))
    assert young < 1


@pytest.mark.parametrize("place", range(4))
def test_both_windows_of_a_pair_have_to_burn(place: int) -> None:
    pair = BURN_WINDOW_PAIRS[place]
    rates = {("g1", pair.long): pair.factor, ("g1", pair.short): pair.factor}
    found = worst_of("g1", rates)
    assert found is not None and found.pair == pair and found.rate == pair.factor
    for window in (pair.long, pair.short):
        assert worst_of("g1", {**rates, ("g1", window): pair.factor - 0.01}) is None
    assert worst_of("g2", rates) is None


def test_the_factors_and_windows_are_those_that_were_promised() -> None:
    assert [(pair.factor, pair.long, pair.short) for pair in BURN_WINDOW_PAIRS] == [
        (14.4, HOUR, 5 * MINUTE),
        (6, 6 * HOUR, 30 * MINUTE),
        (3, DAY, 2 * HOUR),
        (1, 3 * DAY, 6 * HOUR),
    ]


@given(
    st.dictionaries(
        st.sampled_from([ms for pair in BURN_WINDOW_PAIRS for ms in (pair.long, pair.short)]), st.floats(0, 50)
    )
)
def test_the_worst_pair_is_the_fastest_that_burns(by_window: dict[int, float]) -> None:
    rates = {("g1", window): rate for window, rate in by_window.items()}
    burning = [
        pair
        for pair in BURN_WINDOW_PAIRS
        if min(by_window.get(pair.long, 0), by_window.get(pair.short, 0)) >= pair.factor
    ]
    found = worst_of("g1", rates)
    assert (None if found is None else found.pair) == max(burning, key=lambda pair: pair.factor, default=None)


def test_an_objective_is_out_of_reach_only_when_the_rest_of_the_window_cannot_help() -> None:
    month, day = 30 * DAY, 0.999
    early = evaluation(
        0.99, objective=day, name="month", length=month, counted=DAY
    )  # 14 minutes of 43 that are allowed
    assert not beyond_reach(early)
    assert beyond_reach(evaluation(0.95, objective=day, name="month", length=month, counted=DAY))
    assert not beyond_reach(evaluation(0.5, objective=day, name="rolling-30d", length=month, counted=10 * MINUTE))
    assert beyond_reach(evaluation(0.99, objective=day, name="rolling-30d", length=month))
    assert not beyond_reach(evaluation(0.5, verdict=NOT_PROVEN)) and not beyond_reach(evaluation(1.0, verdict=MET))
    share = evaluation(0.5, name="month", length=month, shares=(1, 2, 0))
    assert not beyond_reach(share) and beyond_reach(evaluation(0.5, name="month", shares=(1, 2, 0), over=True))


# -- troubles


CHECK = Check(
    uid="00000000000000aa", name="web", key="web", agent="a", agency="so", site="so", kind="http",
    interval=30_000, timeout=10_000, hold=70_000, recheck=5_000,
)  # fmt: skip
INVENTORY = Inventory(
    agencies={"so": Agency(id="so", name=Text("Sở", "Department"))},
    sites={"so": Site(id="so", agency="so", name=Text("", ""))},
    agents={"a": Agent(id="a", site="so", agency="so")},
    checks={CHECK.uid: CHECK},
    goals={"g1": Goal(id="g1", name=Text("mục tiêu", "goal"), objective=0.999)},
)


class FakeReader:
    """As much of a reader as goals need: an inventory, a clock, and evaluations by window."""

    def __init__(self) -> None:
        self.inventory = INVENTORY
        self.now = NOW
        self.upper: dict[int, float] = {}

    def wall(self) -> int:
        return self.now

    async def evaluate_goals(self, goal_windows: Iterable[tuple[Goal, Window]]) -> list[Evaluation]:
        return [
            evaluation(self.upper.get(window.end - window.start, 1.0), length=window.end - window.start)
            for _, window in goal_windows
        ]


@pytest.fixture(autouse=True)
def _goals_of_the_fake_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.evaluator.problems.goal_problems.evaluate_goals", FakeReader.evaluate_goals)


def condition(on: str, goal: Goal) -> Condition | None:
    return {"risk": RISK, "missed": MISS}[on]


def web_is_down(*, confirmed: bool = True) -> ActiveProblem:
    return ActiveProblem(
        key=f"down:{CHECK.uid}", condition="down", subject=Subject(check=CHECK.uid), severity="critical",
        since=NOW, evidence=NOW, cause=Cause(root=f"service:{CHECK.uid}", cause="service"), confirmed=confirmed,
    )  # fmt: skip


async def test_an_outage_that_is_told_is_not_told_again_as_a_goal_at_risk() -> None:
    reader, board = FakeReader(), list[Evaluation]()
    objectives = GoalProblems(reader, lambda: board)  # type: ignore[arg-type]
    reader.upper = {HOUR: 0.9, 5 * MINUTE: 0.5}
    await objectives.refresh()
    assert objectives.burning["g1"].pair == BURN_WINDOW_PAIRS[0]
    [risk] = objectives.current(NOW, [web_is_down()], condition)
    assert not risk.confirmed
    [risk] = objectives.current(NOW + 5 * MINUTE, [], condition)  # what was down may still fill the short window
    assert not risk.confirmed
    [risk] = objectives.current(NOW + 7 * MINUTE, [], condition)  # it goes on burning, and nobody was told why
    assert risk.confirmed and risk.severity == "critical" and risk.cause.root == "goal:g1"
    assert risk.message is not None and risk.message.values["goal"] == "g1"


async def test_many_short_outages_that_nobody_was_told_of_are_a_risk_at_once() -> None:
    reader = FakeReader()
    objectives = GoalProblems(reader, list)  # type: ignore[arg-type]
    reader.upper = {DAY: 0.996, 2 * HOUR: 0.99}
    await objectives.refresh()
    [risk] = objectives.current(NOW, [web_is_down(confirmed=False)], condition)
    assert (risk.confirmed, risk.severity, risk.since) == (True, "warning", NOW)
    [risk] = objectives.current(NOW + MINUTE, [], condition)
    assert risk.since == NOW
    reader.upper = {}
    await objectives.refresh()
    assert objectives.current(NOW + 2 * MINUTE, [], condition) == []


async def test_a_missed_goal_is_told_once_and_after_what_made_it_miss() -> None:
    reader = FakeReader()
    late = evaluation(0.9, name="rolling-30d", length=30 * DAY)
    objectives = GoalProblems(reader, lambda: [late])  # type: ignore[arg-type]
    [missed] = objectives.current(NOW, [web_is_down()], condition)
    assert not missed.confirmed
    [missed] = objectives.current(NOW + 2 * MINUTE, [], condition)
    assert missed.confirmed and missed.once and missed.key == "missed:g1:rolling-30d"
    assert objectives.current(NOW, [], lambda on, goal: None) == []
