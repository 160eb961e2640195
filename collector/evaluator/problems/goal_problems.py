"""Problems of goals: an error budget that burns too fast, an objective that can no longer be met.

Burn rate: the proven time down in a window, by what the objective allows for all of it. Two windows have to agree, a
long one that says it matters and a short one that says it goes on (Google's SRE workbook, chapter 5). Only what is
proven counts, by the time at which it happened: late evidence gives what it would have given in time. And it counts
against the whole window, so that a goal that is a minute old is not judged by its first look.

An outage that is notified by itself is not notified again as a goal at risk: while a check of the goal has a problem,
and for as long after as it alone keeps the short window burning, the goal is quiet. What is left is what nobody was
notified of: many short outages.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from alerts.incident.message import TranslatableMessage, message
from alerts.incident.problem import ActiveProblem, Cause, Subject
from alerts.rules.burn_rates import BURN_WINDOW_PAIRS, BurnWindowPair
from collector.goals.bounds import MISSED
from collector.goals.evaluate import Evaluation
from collector.ledger.windows import Window
from collector.queries.goals import evaluate_goals
from collector.queries.reader import LedgerReader
from inventory.model import goals as members
from inventory.model.alerting import DAY, MINUTE, Condition, Severity
from inventory.model.entities import Goal, Inventory
from inventory.protocol.causes import NOT_KNOWN
from inventory.protocol.refs import Ref

log = logging.getLogger("collector.evaluator")

EVERY: Final = 60.0  # seconds between two evaluations


class BurningGoal(msgspec.Struct, frozen=True):
    """A goal whose budget burns."""

    goal: str
    pair: BurnWindowPair  # by which it burns
    rate: float  # so many times what it may, over the long window


class GoalProblems:
    """What burns and how the goals stand is as of the last minute; problems are made from these each time."""

    def __init__(self, reader: LedgerReader, evaluations: Callable[[], Sequence[Evaluation]]) -> None:
        self.burning: Mapping[str, BurningGoal] = {}
        self.evaluated = False  # whether the budgets were looked at at all
        self._reader = reader
        self._evaluations = evaluations
        self._since: dict[str, int] = {}  # by problem's key
        self._checks: tuple[int, dict[str, frozenset[str]]] = (-1, {})  # of each goal, by the inventory's identity
        self._check_problem_at: dict[str, int] = {}  # by goal, when a check of it last had a problem of its own

    async def run(self) -> None:
        while True:
            try:
                await self.refresh()
            except Exception:
                # the last answer with its time is better than none
                log.exception("the goals' budgets could not be evaluated")
            await asyncio.sleep(EVERY)

    async def refresh(self) -> None:
        now = self._reader.wall()
        year = datetime.fromtimestamp(now / 1000, self._reader.inventory.province.zone).year
        goal_windows = [
            (goal, Window(f"{ms}", now - ms, now, year))
            for goal in self._reader.inventory.goals.values()
            if goal.combine != "share" and not goal.lacks
            for ms in sorted({ms for pair in BURN_WINDOW_PAIRS for ms in (pair.long, pair.short)})
        ]
        evaluations = await evaluate_goals(self._reader, goal_windows)
        rates = {(one.goal, int(one.window.name)): burn_rate(one) for one in evaluations}
        goals = {one.goal for one in evaluations}
        self.evaluated = True
        self.burning = {goal: worst for goal in goals if (worst := worst_of(goal, rates)) is not None}

    def current(
        self, now: int, check_problems: Iterable[ActiveProblem], condition: Callable[[str, Goal], Condition | None]
    ) -> list[ActiveProblem]:
        """``check_problems``: those of this evaluation. ``condition``: what holds for "risk" or "missed" of a goal."""
        inventory = self._reader.inventory
        self._note_check_problems(now, inventory, check_problems)
        problems = [*self._risks(now, inventory, condition), *self._missed(now, inventory, condition)]
        keys = {problem.key for problem in problems}
        self._since = {key: at for key, at in self._since.items() if key in keys}
        return problems

    def _note_check_problems(self, now: int, inventory: Inventory, check_problems: Iterable[ActiveProblem]) -> None:
        if self._checks[0] != id(inventory):
            sets = {
                goal.id: frozenset(uid for member in members.members(goal, inventory) for uid in member.checks)
                for goal in inventory.goals.values()
            }
            self._checks = (id(inventory), sets)
        troubled = {problem.subject.check for problem in check_problems if problem.confirmed}
        for goal, checks in self._checks[1].items():
            if not checks.isdisjoint(troubled):
                self._check_problem_at[goal] = now

    def _risks(
        self, now: int, inventory: Inventory, condition: Callable[[str, Goal], Condition | None]
    ) -> Iterator[ActiveProblem]:
        for one in self.burning.values():
            goal = inventory.goals.get(one.goal)
            burn_condition = condition("risk", goal) if goal is not None else None
            if goal is None or burn_condition is None:
                continue
            quiet = now - self._check_problem_at.get(goal.id, -DAY) > one.pair.short + MINUTE
            severity: Severity = one.pair.severity if burn_condition.severity == "warning" else burn_condition.severity
            sentence = message(
                "the error budget of {goal} burns {rate} times as fast as it may",
                goal=goal.id,
                rate=round(one.rate, 1),
            )
            yield self._problem(
                str(Ref("risk", goal.id)), burn_condition, severity, now, goal, message=sentence, confirmed=quiet
            )

    def _missed(
        self, now: int, inventory: Inventory, condition: Callable[[str, Goal], Condition | None]
    ) -> Iterator[ActiveProblem]:
        for one in self._evaluations():
            goal = inventory.goals.get(one.goal)
            if goal is None or not beyond_reach(one) or (missed_condition := condition("missed", goal)) is None:
                continue
            quiet = now - self._check_problem_at.get(goal.id, -DAY) > MINUTE
            sentence = message(
                "{goal} can no longer be met over its {window}: at most {upper_share} of {objective_share}",
                goal=goal.id,
                window=one.window.name,
                upper_share=one.upper if one.upper is not None else 0.0,
                objective_share=one.objective,
            )
            key = str(Ref("missed", f"{goal.id}:{one.window.name}"))
            yield self._problem(
                key,
                missed_condition,
                missed_condition.severity,
                now,
                goal,
                message=sentence,
                confirmed=quiet,
                once=True,
            )

    def _problem(
        self,
        key: str,
        condition: Condition,
        severity: Severity,
        now: int,
        goal: Goal,
        *,
        message: TranslatableMessage,
        confirmed: bool,
        once: bool = False,
    ) -> ActiveProblem:
        since = self._since.setdefault(key, now)
        return ActiveProblem(
            key=key,
            condition=condition.id,
            subject=Subject(goal=goal.id),
            severity=severity,
            since=since,
            evidence=now,
            cause=Cause(root=str(Ref("goal", goal.id)), cause=NOT_KNOWN),
            confirmed=confirmed,
            message=message,
            recover_ms=condition.quiet_ms,
            once=once,
        )


def burn_rate(one: Evaluation) -> float:
    """The proven time down by what the objective allows for the whole window; infinite where it allows none."""
    bad = proven_down(one)
    allowed = (1 - one.objective) * window_length(one)
    if bad <= 0:
        return 0.0
    return bad / allowed if allowed > 0 else float("inf")


def worst_of(goal: str, rates: Mapping[tuple[str, int], float]) -> BurningGoal | None:
    """The first pair (the fastest) of which both windows burn, if there is one."""
    for pair in BURN_WINDOW_PAIRS:
        long, short = rates.get((goal, pair.long), 0.0), rates.get((goal, pair.short), 0.0)
        if long >= pair.factor and short >= pair.factor:
            return BurningGoal(goal, pair, long)
    return None


def beyond_reach(one: Evaluation) -> bool:
    """Whether the objective cannot be met any more, whatever the rest of the window brings.

    Of a share, and of a window that is over, that is the verdict; else the proven time down so far has to exceed what
    the whole window allows.
    """
    if one.verdict != MISSED:
        return False
    if one.shares is not None:  # a member may still come round
        return one.over or one.window.name.startswith("rolling-")
    whole = one.counted if one.over and not one.window.name.startswith("rolling-") else window_length(one)
    return proven_down(one) > (1 - one.objective) * whole


def proven_down(one: Evaluation) -> float:
    """Time proven down, ms; of several members the mean."""
    return (1 - one.upper) * one.counted if one.upper is not None else 0.0


def window_length(one: Evaluation) -> int:
    return one.window.end - one.window.start
