"""``haidang-inventory``: check and show the files, print an agent's plan, compare plans, import a register.

Exit codes: 0 fine, 1 something is wrong, 2 the command was not understood.
"""

import argparse
import json
import os
import sys
import time
from datetime import date
from pathlib import Path

import msgspec

from inventory.assembly import planning
from inventory.assembly.load import load, load_with_problems
from inventory.base.problems import Invalid, Problem
from inventory.base.version import VERSION
from inventory.cli import json_schema, register, show
from inventory.cli.diff import plan_changes
from inventory.grammars import probe_judges
from inventory.model import goals
from inventory.model.entities import Inventory, Register
from inventory.protocol import kinds
from inventory.yaml import whereabouts
from inventory.yaml.whereabouts import CONFIG


class _Usage(Exception):
    """The command does not make sense; the text says why."""


def main(argv: list[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        code: int = args.run(args)
    except _Usage as usage:
        parser.error(str(usage))
    except Invalid as invalid:
        print(invalid, file=sys.stderr)
        code = 1
    except BrokenPipeError:
        # the reader of our output has enough; keep the interpreter from complaining about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="haidang-inventory", description="The inventory: check, show, plan, compare.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config", type=Path, metavar="FILE", help=f"where `inventory:` names the directory (default {CONFIG})"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        subparser = commands.add_parser(name, help=text, description=text, parents=[common])
        subparser.set_defaults(run=run)
        return subparser

    check = command("check", _check, "Say all that is wrong with the files.")
    check.add_argument("dir", nargs="?", metavar="DIR")
    shower = command(
        "show", _show, "Show what the files mean: all of it, or whatever has an id, and who would be told."
    )
    shower.add_argument("words", nargs="*", metavar="[DIR] [ID]")
    command("schema", _schema, "Print a JSON Schema of the files, for editors.")
    planner = command("plan", _plan, "Show an agent's plan.")
    planner.add_argument("words", nargs="+", metavar="[DIR] AGENT")
    planner.add_argument("--json", action="store_true", help="the plan itself, as agents get it")
    planner.add_argument("--on", type=_day, metavar="DAY", help="the plan of a day (2026-11-30) instead of today")
    compare = command("diff", _diff, "Say what a change of the files does to each agent's plan.")
    compare.add_argument("old", metavar="OLD")
    compare.add_argument("new", metavar="NEW")
    compare.add_argument("--on", type=_day, metavar="DAY", help="the plans of a day instead of today")
    importer = command("import", _import, "Turn registers of PCs (CSV) into an inventory section.")
    importer.add_argument("csv", nargs="+", metavar="CSV")
    importer.add_argument("--dir", metavar="DIR", help="find the agencies in this inventory, by id or name")
    return parser


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day; write it like 2026-11-30") from None


def _directory(directory: str | None, config: Path | None) -> Path:
    """The inventory's directory: as given, else as the collector's file names it."""
    if directory is not None:
        return Path(directory)
    file = config or CONFIG
    if config is None and not file.exists():
        raise _Usage(f"say which directory, or which --config FILE names it (there is no {file})")
    return whereabouts.inventory_directory(file)


def _print_warnings(inventory: Inventory) -> None:
    for warning in inventory.warnings:
        print(warning, file=sys.stderr)


def _check(args: argparse.Namespace) -> int:
    directory = _directory(args.dir, args.config)
    inventory, problems = load_with_problems(directory, judge=probe_judges.installed_validator())
    for problem in problems:
        print(problem, file=sys.stderr)
    mistakes = sum(not problem.warning for problem in problems)
    if mistakes or inventory is None:
        print(f"{directory}: {mistakes} {'mistake' if mistakes == 1 else 'mistakes'}", file=sys.stderr)
        return 1
    print(f"{directory}: fine. {show.counts(inventory)}")
    for goal in inventory.goals.values():
        if goal.lacks and not goals.members(goal, inventory):
            print(f"  {goal.id} cannot be judged yet; it lacks {'; '.join(text.en for text in goal.lacks)}")
    if not inventory.contacts:
        print("  nobody is told of anything: there are no contacts")
    return 0


def _show(args: argparse.Namespace) -> int:
    names = list(args.words)
    directory = names.pop(0) if names and (len(names) > 1 or Path(names[0]).is_dir()) else None
    if len(names) > 1:
        raise _Usage("show takes a directory and one id")
    inventory = load(_directory(directory, args.config))
    _print_warnings(inventory)
    if not names:
        print(show.overview(inventory))
        return 0
    text = show.entity_text(inventory, names[0], round(time.time() * 1000))
    if text is None:
        print(f"nothing in the inventory is called {names[0]}", file=sys.stderr)
        return 1
    print(text)
    return 0


def _schema(args: argparse.Namespace) -> int:
    print(json.dumps(json_schema.schema(kinds.load()), indent=2, ensure_ascii=False))
    return 0


def _plan(args: argparse.Namespace) -> int:
    if len(args.words) > 2:
        raise _Usage("plan takes a directory and one agent")
    inventory = load(_directory(args.words[0] if len(args.words) == 2 else None, args.config))
    agent = args.words[-1]
    try:
        plan = planning.plan_of(inventory, agent, args.on)
    except planning.NoSuchAgent:
        print(f"there is no agent {agent}; there are: {', '.join(sorted(inventory.agents)) or 'none'}", file=sys.stderr)
        return 1
    if args.json:
        print(msgspec.json.format(plan.encode()).decode())
    else:
        _print_warnings(inventory)
        print(show.plan(plan))
    return 0


def _diff(args: argparse.Namespace) -> int:
    old, new = load(args.old), load(args.new)
    changes = plan_changes(old, new, kinds.load(), args.on or planning.today(new))
    for change in changes:
        print(change)
    if not changes:
        print("No agent's plan changes.")
    return 0


def _import(args: argparse.Namespace) -> int:
    agencies = None
    if args.dir is not None or args.config is not None:
        agencies = load(_directory(args.dir, args.config)).agencies
    registers: dict[str, Register] = {}
    problems: list[Problem] = []
    for file in args.csv:
        try:
            rows = register.read_csv(file, agencies)
        except Invalid as invalid:
            problems.extend(invalid.problems)
            continue
        problems.extend(
            Problem(file, 0, "", f"{ident} is in an earlier file already") for ident in rows if ident in registers
        )
        registers.update(rows)
    if problems:
        raise Invalid(problems)
    print(register.as_yaml(registers), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
