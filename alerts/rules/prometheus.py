"""``haidang-alerts rules``: rules for Prometheus, made from an inventory.

They are a second pair of eyes: what the collector cannot report when it is dead, and the goals' burn rates as far as
Prometheus's counters can say them. What they leave to the collector stands in the file as a comment, with the reason.
"""

import argparse
import re
import textwrap
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from alerts.rules import collector
from alerts.rules import goals as rules_goals
from inventory.assembly.load import load
from inventory.model import goals
from inventory.model.entities import Inventory
from inventory.yaml import whereabouts

JOB: Final = "haidang-collector"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--inventory", type=Path, metavar="DIR", help="its goals; else as --config names it")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help=f"the collector's own (default {whereabouts.CONFIG})"
    )
    parser.add_argument("--format", choices=["prometheus"], default="prometheus", help="of the rules")
    parser.add_argument("--language", choices=["vi", "en"], default="vi", help="of the alerts' texts")
    parser.add_argument("--job", default=JOB, help=f"the collector's job in Prometheus (default {JOB})")
    parser.add_argument("--on", type=_day, metavar="DAY", help="the goals' targets of this day's year, not today's")


def run(args: argparse.Namespace) -> int:
    """Prints the rules and answers 0. Raises Invalid (an inventory with mistakes), ArgumentError (no job's name)."""
    if re.fullmatch(r"[A-Za-z0-9_.:/-]+", args.job) is None:
        raise argparse.ArgumentError(None, f"--job: {args.job!r} is no name of a job")
    inventory = load(args.inventory or whereabouts.inventory_directory(args.config or whereabouts.CONFIG))
    print(prometheus(inventory, _today(inventory, args.on), args.language, args.job), end="")
    return 0


def prometheus(inventory: Inventory, day: date, language: str = "vi", job: str = JOB) -> str:
    """The rule file: YAML text."""
    return "".join(_file(inventory, day, language, job))


def _file(inventory: Inventory, day: date, language: str, job: str) -> Iterator[str]:
    yield _comment(
        f"Rules for Prometheus, made by haidang-alerts rules from the inventory of {inventory.province.id} with the "
        f"goals' targets of {day.year}. Do not edit: make them anew when the inventory changes, and every new year."
    )
    yield _comment(
        "They are a second pair of eyes. The collector itself judges incidents and goals, on the time at which things "
        "happened, and mails them. Prometheus sees settled time as it comes in: of each check it counts only windows "
        "in which the counters grew as the clock did. It knows no exclusions: silence what is under maintenance."
    )
    yield "groups:\n"
    absent_agents = [agent.id for agent in inventory.agents.values() if agent.revoked or not agent.on(day)]
    yield _group("haidang-collector", collector.rules(job, absent_agents, language))
    for goal in inventory.goals.values():
        if not goal.on(day):
            yield _comment(f"{goal.id}: is not in force on {day}.")
            continue
        goal_rules = rules_goals.rules_of(goal, goals.members(goal, inventory, day), day.year, inventory, language)
        for reason in goal_rules.omitted:
            yield _comment(f"{goal.id}: left to the collector: {reason}.")
        if goal_rules.rules:
            yield _group(f"haidang-goal-{goal.id}", list(goal_rules.rules))


def _comment(text: str) -> str:
    return textwrap.fill(text, 118, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False) + "\n"


def _group(name: str, rules: list[dict[str, object]]) -> str:
    group = [{"name": name, "interval": "1m", "rules": rules}]
    text = yaml.dump(group, Dumper=_BlockDumper, sort_keys=False, allow_unicode=True, width=1 << 20)
    return textwrap.indent(text, "  ")


class _BlockDumper(yaml.SafeDumper):
    """Texts of several lines as blocks."""


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_BlockDumper.add_representer(str, _text)


def _today(inventory: Inventory, day: date | None) -> date:
    return day or datetime.fromtimestamp(time.time(), inventory.province.zone).date()


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day; write it like 2026-11-30") from None
