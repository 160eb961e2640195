"""Prometheus burn-rate rules of the goals that its counters can express.

``haidang_check_seconds_total`` counts settled time: while a site is silent it stands still, and when a backlog comes it
makes up for it at once. A rule cannot know when that time was. So of each check only windows count in which its
counters grew as the clock did: with at least half of the time known, and without what came late. Late evidence is
judged by the collector, on event time.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

import msgspec

from alerts.rules.burn_rates import BURN_WINDOW_PAIRS, BurnWindowPair
from inventory.base.types import Text, duration_text
from inventory.model.entities import Check, Goal, Inventory
from inventory.model.goals import Member

SECONDS_METRIC: Final = "haidang_check_seconds_total"
MIN_COVERAGE: Final = 0.5  # share of a window that has to be known
SCRAPE_INTERVAL_S: Final = 30  # how often the sample configuration scrapes
MAX_SAMPLES: Final = 50_000_000  # that one evaluation of a rule is to read


class GoalRules(msgspec.Struct, frozen=True, kw_only=True):
    """``rules``: as a rule group's YAML has them. ``left``: what is left to the collector, and why."""

    goal: Goal
    objective: float
    rules: tuple[dict[str, object], ...] = ()
    omitted: tuple[str, ...] = ()


def rules_of(goal: Goal, members: Sequence[Member], year: int, inventory: Inventory, language: str) -> GoalRules:
    """The rules of one goal with the members that the inventory finds for it, by the objective of a year."""
    objective = goal.objective_in(year)
    checks = [inventory.checks[uid] for member in members for uid in member.checks]
    why = _why_inexpressible(goal, members, checks, objective)
    if why:
        return GoalRules(goal=goal, objective=objective, omitted=(why,))
    result_interval = max(_result_interval(check) for check in checks)
    push = inventory.province.push_every
    budget = 1 - Decimal(str(objective))
    records: dict[str, dict[str, object]] = {}
    alerts: list[dict[str, object]] = []
    unjudgeable: dict[str, list[str]] = {}  # why -> the pairs that are out of reach
    for pair in BURN_WINDOW_PAIRS:
        short = max(pair.short, 3 * result_interval)
        if why := _why_unjudgeable(pair, short, budget, result_interval, len(checks)):
            unjudgeable.setdefault(why, []).append(f"{duration_text(pair.long)}+{duration_text(pair.short)}")
            continue
        for window in (pair.long, short):
            expr = _bad_share(goal, checks, window, result_interval + 2 * push, inventory)
            record = _record_name(window)
            records.setdefault(record, {"record": record, "expr": expr, "labels": {"goal": goal.id}})
        alerts.append(_alert(goal, pair, short, objective, budget, language))
    omitted = tuple(f"the windows {', '.join(pairs)}: {why}" for why, pairs in unjudgeable.items())
    return GoalRules(goal=goal, objective=objective, rules=(*records.values(), *alerts), omitted=omitted)


def _result_interval(check: Check) -> int:
    """How far apart its results may be, in ms: one that holds for long is made seldom (rationed, or at its time)."""
    return check.interval if check.hold <= 3 * check.interval + check.timeout else check.hold // 2


def _why_inexpressible(goal: Goal, members: Sequence[Member], checks: Sequence[Check], objective: float) -> str:
    """Why Prometheus cannot judge a goal; "" if it can."""
    if goal.lacks or not members:
        return "nothing measures it yet"
    if objective >= 1:
        return "an objective of 100% leaves no budget that could burn"
    if goal.causes:
        return "only some causes count, and the counters know none"
    if goal.calendar or any(check.calendar for check in checks):
        return "only some hours count, and the counters count all"
    if goal.combine == "share":
        return "a share of members is no share of time that could burn"
    if goal.combine not in ("mean", "all"):
        return f"it combines its members by {goal.combine}, moment by moment, and the counters are sums"
    if any(len(member.checks) > 1 for member in members) and (goal.combine, goal.within) not in (
        ("mean", "mean"),
        ("all", "all"),
    ):
        return f"its members combine their checks by {goal.within}, moment by moment, and the counters are sums"
    return ""


def _why_unjudgeable(pair: BurnWindowPair, short: int, budget: Decimal, result_interval: int, checks: int) -> str:
    """Why a pair cannot be judged; "" if it can."""
    if Decimal(str(pair.factor)) * budget >= 1:
        return "so many times the budget would be more than all of the time"
    if short > pair.long // 2:
        return f"results come up to {duration_text(result_interval)} apart, too seldom for that"
    if checks * 4 * (pair.long // 1000 // SCRAPE_INTERVAL_S) > MAX_SAMPLES:
        return f"{checks} checks are too many samples for one rule"
    return ""


def _record_name(window: int) -> str:
    return f"haidang:goal_bad:ratio{duration_text(window)}"


def _bad_share(goal: Goal, checks: Sequence[Check], window: int, slack: int, inventory: Inventory) -> str:
    """The share of the known time that is bad: a mean over members, or of ``all`` the worst member's, which is never
    more than the goal's own."""
    bad = 'state=~"degraded|down"' if goal.degraded == "down" else 'state="down"'
    span = duration_text(window)
    least, most = MIN_COVERAGE * window / 1000, 1.2 * window / 1000 + slack / 1000
    parts = []
    for which in selectors(checks, inventory):
        of_bad = f"sum without (state) (increase({SECONDS_METRIC}{{{which},{bad}}}[{span}]))"
        known_seconds = (
            f'sum without (state) (increase({SECONDS_METRIC}{{{which},state!="unknown"}}[{span}])) > {least:g}'
        )
        total_seconds = f"sum without (state) (increase({SECONDS_METRIC}{{{which}}}[{span}])) < {most:g}"
        parts.append(f"  {of_bad}\n  / ({known_seconds})\n  and ({total_seconds})")
    ratios = "\n  or\n".join(parts)
    if goal.combine == "all":
        return f"max(\n{ratios}\n)"
    if goal.per != "check" and goal.within == "mean":
        labels = "agency" if goal.per == "agency" else "agency, site"
        return f"avg(avg by ({labels}) (\n{ratios}\n))"
    return f"avg(\n{ratios}\n)"


def selectors(checks: Iterable[Check], inventory: Inventory) -> list[str]:
    """Label matchers that find exactly these checks, as short as can be: names with the same agents go together, and
    agents are named by those that are not meant, where these are fewer."""
    agents_by_check: dict[str, set[str]] = {}
    for check in checks:
        agents_by_check.setdefault(check.name, set()).add(check.agent)
    all_agents_by_check: dict[str, set[str]] = {name: set() for name in agents_by_check}
    for check in inventory.checks.values():
        if check.name in agents_by_check:
            all_agents_by_check[check.name].add(check.agent)
    checks_by_matcher: dict[str, list[str]] = {}
    for name, agents in agents_by_check.items():
        others = all_agents_by_check[name] - agents
        agent_matcher = matcher("agent", sorted(agents))
        if len(others) < len(agents) > 1:
            agent_matcher = matcher("agent", sorted(others), but=True) if others else ""
        checks_by_matcher.setdefault(agent_matcher, []).append(name)
    return [
        ",".join(filter(None, (agent_matcher, matcher("check", names))))
        for agent_matcher, names in checks_by_matcher.items()
    ]


def matcher(label: str, values: Sequence[str], *, but: bool = False) -> str:
    """A matcher of ids or names of checks: lower-case letters, digits, hyphens and dots. ``but``: of all others."""
    sign = "!" if but else ""
    if len(values) == 1:
        return f'{label}{sign}="{values[0]}"'
    either = "|".join(value.replace(".", "\\\\.") for value in values)
    return f'{label}{sign or "="}~"{either}"'


def _alert(
    goal: Goal, pair: BurnWindowPair, short: int, objective: float, budget: Decimal, language: str
) -> dict[str, object]:
    limit = f"{pair.factor:g} * {budget.normalize():f}"
    windows = duration_text(pair.long), duration_text(short)
    name = goal.name.in_(language)
    bad = "{{ $value | humanizePercentage }}"
    summary = Text(
        f"Mục tiêu “{name}” đang tiêu hao dự phòng nhanh gấp {pair.factor:g} lần mức cho phép",
        f"The goal “{name}” burns its error budget {pair.factor:g} times too fast",
    )
    description = Text(
        f"Trong {windows[0]} qua, {bad} thời gian không đạt, và vẫn tiếp diễn trong {windows[1]} qua; "
        f"mục tiêu là {objective:.6g}. Xem trang các mục tiêu của bộ thu thập.",
        f"Over the last {windows[0]} {bad} of the time was bad, and so it was over the last {windows[1]}; the "
        f"objective is {objective:.6g}. See the collector's page of goals.",
    )
    return {
        "alert": "HaidangGoalBurning",
        "expr": "\nand\n".join(
            f'{_record_name(window)}{{goal="{goal.id}"}} > {limit}' for window in (pair.long, short)
        ),
        "labels": {"severity": pair.severity, "goal": goal.id, "windows": "+".join(windows)},
        "annotations": {"summary": summary.in_(language), "description": description.in_(language)},
    }
