"""``haidang-agent``: enroll | run | once | doctor | status. Exit codes: 0 fine, 1 found wrong, 2 usage."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent import config, logs
from agent.config import Settings
from inventory.problems import Invalid


def main(argv: Sequence[str] | None = None) -> int:
    """The program; ``argv`` without its name."""
    wanted = parser().parse_args(argv)
    try:
        settings = config.load(wanted.config, wanted.state_dir)
    except Invalid as error:
        print(error, file=sys.stderr)
        return 2
    level = "debug" if wanted.verbose else settings.log.level if wanted.command == "run" else "warning"
    logs.set_up(level, settings.log.format)
    code: int = wanted.act(wanted, settings)
    return code


def parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--config", type=Path, metavar="FILE", help=f"default: {config.DEFAULT_FILE}, if it is there")
    shared.add_argument("--state-dir", type=Path, metavar="DIR", help="where identity, plans and results are kept")
    shared.add_argument("--verbose", action="store_true", help="log everything")
    top = argparse.ArgumentParser(prog="haidang-agent", description="Probes from this site, and keeps what it saw.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, act: Any, words: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, parents=[shared], help=words, description=words)
        made.set_defaults(act=act)
        return made

    enroll = command("enroll", _enroll, "Make this machine an agent of a collector.")
    enroll.add_argument("url", metavar="URL", help="the collector's address for agents, https://HOST:8443")
    enroll.add_argument("code", metavar="CODE", help="from: haidang-collector code AGENT")
    enroll.add_argument("--force", action="store_true", help="even if this machine is another agent now")
    command("run", _run, "Run the agent.")
    once = command("once", _once, "Look at every check of the plan now, and print what was seen.")
    once.add_argument("checks", nargs="*", metavar="CHECK", help="only these (name or uid)")
    once.add_argument("--plan", type=Path, metavar="FILE", help="a plan from a file; needs no enrolment")
    once.add_argument("--json", action="store_true", help="one JSON object a line")
    command("doctor", _doctor, "Say what is wrong on this machine, and what to do.")
    status = command("status", _status, "Say how the running agent is doing.")
    status.add_argument("--json", action="store_true", help="as JSON")
    command("renew", _renew, "Renew this agent's certificate now (it renews by itself at two thirds of its life).")
    return top


def _enroll(wanted: argparse.Namespace, settings: Settings) -> int:
    from agent import enrol

    try:
        code, url = enrol.parse_code(wanted.code), enrol.check_url(wanted.url)
    except enrol.EnrolFailed as error:
        print(error, file=sys.stderr)
        return 2
    try:
        made = asyncio.run(enrol.enrol(settings.state_dir, url, code, force=wanted.force))
    except enrol.EnrolFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(f"This machine is now the agent {made.agent} of {made.url}. Start it: haidang-agent run")
    return 0


def _renew(wanted: argparse.Namespace, settings: Settings) -> int:
    from agent import enrol
    from agent.identity import NoIdentity

    try:
        made = asyncio.run(enrol.renew(settings.state_dir))
    except (enrol.EnrolFailed, NoIdentity) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The certificate of the agent {made.agent} was renewed.")
    return 0


def _run(wanted: argparse.Namespace, settings: Settings) -> int:
    from agent.run import run

    return asyncio.run(run(settings))


def _once(wanted: argparse.Namespace, settings: Settings) -> int:
    from agent import once
    from agent.identity import NoIdentity, load
    from agent.plans import BadPlan, PlanStore, read

    try:
        if wanted.plan is not None:
            kept = read(wanted.plan.read_bytes())
        else:
            found = PlanStore(settings.state_dir, load(settings.state_dir).agent).current()
            if found is None:
                print("There is no plan yet: the running agent fetches it. Or give one: --plan FILE", file=sys.stderr)
                return 1
            kept = found
        limits, credentials = settings.limits.parsed(), settings.known_credentials()
        return asyncio.run(once.once(kept.plan, wanted.checks, limits, credentials, as_json=wanted.json))
    except NoIdentity as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, BadPlan, ValueError) as error:
        print(f"{wanted.plan}: {error}" if isinstance(error, BadPlan) else error, file=sys.stderr)
        return 2


def _doctor(wanted: argparse.Namespace, settings: Settings) -> int:
    from agent import doctor

    found = asyncio.run(doctor.examine(settings))
    print("\n".join(doctor.report(found)))
    return 1 if any(finding.level == "wrong" for finding in found) else 0


def _status(wanted: argparse.Namespace, settings: Settings) -> int:
    from agent import doctor, status

    found, running = status.read(settings.state_dir), doctor.is_running(settings.state_dir)
    if wanted.json:
        print(msgspec.json.encode({"running": running, "status": found}).decode())
    elif found is None:
        print("The agent runs; it has not written its status yet." if running else "The agent is not running.")
    else:
        print("\n".join(status.lines(found, running)))
    return 0 if running else 1


if __name__ == "__main__":
    logging.captureWarnings(True)
    sys.exit(main())
