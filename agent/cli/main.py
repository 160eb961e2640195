"""The command line ``haidang-agent``: enroll | run | once | doctor | status | job | drill | renew.

Exit codes: 0 fine, 1 found wrong, 2 usage; ``job`` ends with its command's.
"""

import argparse
import asyncio
import getpass
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent import config
from agent.config import Settings
from inventory.base import files, logs, owner
from inventory.base.problems import Invalid
from inventory.base.version import VERSION


def main(argv: Sequence[str] | None = None) -> int:
    """The program; ``argv`` without its name."""
    owner.no_core_dumps()
    argv_words = list(sys.argv[1:] if argv is None else argv)
    end = argv_words.index("--") if "--" in argv_words else len(argv_words)
    args = parser().parse_args(argv_words[:end])
    args.command_line = argv_words[end + 1 :]
    if args.command_line and args.command != "job":
        parser().error("only the command job runs something")
    try:
        settings = config.load(args.config, args.state_dir)
    except Invalid as error:
        print(error, file=sys.stderr)
        if args.command != "job":
            return 2
        settings = Settings()  # a mistake in the agent's file is no reason not to make a backup
    level = "debug" if args.verbose else settings.log.level if args.command == "run" else "warning"
    logs.set_up(level, settings.log.format)
    try:
        args.prepare(args)
        if not args.command_line:  # a job's command runs as whoever started it; what it leaves for the agent does not
            owner.go_on_as_owner(settings.state_dir, (owner.NET_RAW,))
    except NotUnderstood as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{error.filename or settings.state_dir} cannot be used: {error.strerror}", file=sys.stderr)
        return 1
    code: int = args.act(args, settings)
    return code


class NotUnderstood(Exception):
    """What was asked for makes no sense; the text says why."""


def parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--config", type=Path, metavar="FILE", help=f"default: {config.DEFAULT_FILE}, if it is there")
    shared.add_argument("--state-dir", type=Path, metavar="DIR", help="where identity, plans and results are kept")
    shared.add_argument("--verbose", action="store_true", help="log everything")
    top = argparse.ArgumentParser(prog="haidang-agent", description="Probes from this site, and keeps what it saw.")
    top.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, act: Any, help_text: str) -> argparse.ArgumentParser:
        subparser = commands.add_parser(name, parents=[shared], help=help_text, description=help_text)
        subparser.set_defaults(act=act, prepare=lambda args: None)
        return subparser

    enroll = command("enroll", _enroll, "Make this machine an agent of a collector.")
    enroll.add_argument("url", metavar="URL", help="the collector's address for agents, https://HOST:8443")
    enroll.add_argument("code", nargs="?", help=argparse.SUPPRESS)  # of before; refused in words
    enroll.add_argument(
        "--code-file",
        type=Path,
        metavar="FILE",
        help="where the code of haidang-collector code AGENT is; without it the code is asked for (standard input)",
    )
    enroll.add_argument("--force", action="store_true", help="even if this machine is another agent now")
    enroll.set_defaults(prepare=_read_code)
    command("run", _run, "Run the agent.")
    once = command("once", _once, "Look at every check of the plan now, and print what was seen.")
    once.add_argument("checks", nargs="*", metavar="CHECK", help="only these (name or uid)")
    once.add_argument("--plan", type=Path, metavar="FILE", help="a plan from a file; needs no enrolment")
    once.add_argument("--json", action="store_true", help="one JSON object a line")
    once.set_defaults(prepare=_read_plan)
    command("doctor", _doctor, "Say what is wrong on this machine, and what to do.")
    status = command("status", _status, "Say how the running agent is doing.")
    status.add_argument("--json", action="store_true", help="as JSON")
    job = command("job", _job, "Run a backup job and tell the agent how it went: haidang-agent job NAME -- COMMAND...")
    job.add_argument("name", metavar="NAME", help="the job, as the plan names it")
    job.add_argument("--no-output", action="store_true", help="do not keep what the command says with the ping")
    about = job.add_mutually_exclusive_group()
    for option, help_text in (
        ("pause", "wait for no ping of it until one comes"),
        ("resume", "wait for its pings again"),
        ("show", "print how it tells the agent how it went, its last pings, and what it said last"),
    ):
        about.add_argument(f"--{option}", dest="about", action="store_const", const=option, default="", help=help_text)
    drill = command("drill", _drill, "Run a restore drill, or record one that was done by hand.")
    drill.add_argument("name", metavar="NAME", help="the drill, as the plan or the agent's own file names it")
    drill.add_argument("result", choices=("ok", "failed", "run", "show"), help="how it went; run: do it now")
    drill.add_argument("--note", default="", help="what was restored, what went wrong")
    drill.add_argument("--scheduled", action="store_true", help=argparse.SUPPRESS)
    command("renew", _renew, "Renew this agent's certificate now (it renews by itself at two thirds of its life).")
    return top


def _read_code(args: argparse.Namespace) -> None:
    """The enrolment code, as who was called reads it. Raises NotUnderstood, OSError."""
    if args.code is not None:
        raise NotUnderstood(
            "The code does not belong on the command line: everybody on this machine can read it there, and the "
            "shell keeps it. Get a new one (haidang-collector code AGENT), give it when haidang-agent enroll URL asks "
            "for it, or in a file: --code-file FILE"
        )
    if args.code_file is not None:
        with os.fdopen(files.open_to_read(args.code_file), "r", encoding="utf-8", errors="replace") as file:
            args.code = file.read(1_000)
    elif sys.stdin.isatty():
        args.code = getpass.getpass("Enrolment code (it is not shown): ")
    else:
        args.code = sys.stdin.readline(1_000)


def _read_plan(args: argparse.Namespace) -> None:
    """A plan from a file, as who was called reads it. Raises OSError."""
    args.encoded_plan = args.plan.read_bytes() if args.plan is not None else None


def _enroll(args: argparse.Namespace, settings: Settings) -> int:
    from agent.uplink import enrol

    try:
        code, url = enrol.parse_code(args.code), enrol.check_url(args.url)
    except enrol.EnrolFailed as error:
        print(error, file=sys.stderr)
        return 2
    try:
        identity = asyncio.run(enrol.enrol(settings.state_dir, url, code, force=args.force))
    except enrol.EnrolFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(f"This machine is now the agent {identity.agent} of {identity.url}. Start it: haidang-agent run")
    return 0


def _renew(args: argparse.Namespace, settings: Settings) -> int:
    from agent.uplink import enrol
    from agent.uplink.identity import NoIdentity

    try:
        identity = asyncio.run(enrol.renew(settings.state_dir))
    except (enrol.EnrolFailed, NoIdentity) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"The certificate of the agent {identity.agent} was renewed.")
    return 0


def _run(args: argparse.Namespace, settings: Settings) -> int:
    from agent.runtime.run import run

    return asyncio.run(run(settings))


def _once(args: argparse.Namespace, settings: Settings) -> int:
    from agent.cli import once
    from agent.uplink.hub import hub_of
    from agent.uplink.identity import NoIdentity, load
    from agent.uplink.plans import BadPlan, PlanStore, read

    try:
        if args.plan is not None:
            stored = read(args.encoded_plan)
        else:
            current_plan = PlanStore(settings.state_dir, load(settings.state_dir).agent).current()
            if current_plan is None:
                print("There is no plan yet: the running agent fetches it. Or give one: --plan FILE", file=sys.stderr)
                return 1
            stored = current_plan
        limits, credentials = settings.limits.parsed(), settings.make_credentials()
        probes = settings.state_dir / "probes"
        storage = (
            probes if _owned_by_this_user(probes) else None
        )  # what another user leaves there the agent could not change
        try:
            hub = hub_of(stored.plan, load(settings.state_dir), settings.state_dir)
        except NoIdentity:  # enough to look at a plan from a file
            hub = None
        coroutine = once.once(
            stored.plan, args.checks, limits, credentials, as_json=args.json, storage=storage, hub=hub
        )
        return asyncio.run(coroutine)
    except NoIdentity as error:
        print(error, file=sys.stderr)
        return 1
    except (OSError, BadPlan, ValueError) as error:
        print(f"{args.plan}: {error}" if isinstance(error, BadPlan) else error, file=sys.stderr)
        return 2


def _owned_by_this_user(directory: Path) -> bool:
    try:
        return not hasattr(os, "geteuid") or directory.stat().st_uid == os.geteuid()
    except OSError:
        return False


def _job(args: argparse.Namespace, settings: Settings) -> int:
    from agent.jobs import command

    return command.job(args.name, args.about, args.command_line, settings, keep_output=not args.no_output)


def _drill(args: argparse.Namespace, settings: Settings) -> int:
    from agent.jobs import command

    return command.drill(args.name, args.result, args.note, settings, scheduled=args.scheduled)


def _doctor(args: argparse.Namespace, settings: Settings) -> int:
    from agent.cli import doctor

    diagnoses = asyncio.run(doctor.examine(settings))
    print("\n".join(doctor.report(diagnoses)))
    return 1 if any(diagnosis.level == "wrong" for diagnosis in diagnoses) else 0


def _status(args: argparse.Namespace, settings: Settings) -> int:
    from agent.cli import doctor
    from agent.runtime import status

    last_status, running = status.read(settings.state_dir), doctor.is_running(settings.state_dir)
    if args.json:
        print(msgspec.json.encode({"running": running, "status": last_status}).decode())
    elif last_status is None:
        print("The agent runs; it has not written its status yet." if running else "The agent is not running.")
    else:
        print("\n".join(status.lines(last_status, running)))
    return 0 if running else 1


if __name__ == "__main__":
    logging.captureWarnings(True)
    sys.exit(main())
