"""``haidang-collector``: run, enrolment codes, revocations, quarantine, goals, reports, exclusions, backups."""

import argparse
import asyncio
import getpass
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from collector import config as configs
from collector.config import CollectorConfig, CommandFailed
from collector.store.errors import StoreError
from inventory.base.problems import Invalid
from inventory.base.version import VERSION

OK, FAILED = 0, 1
# what comes in malformed is counted and answered with 400; a line for each would fill the disk
QUIET = {"aiohttp.access": logging.WARNING, "aiohttp.server": logging.CRITICAL}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 fine, 1 found wrong, 2 usage."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "password":
            return _password()
        config = configs.read(arguments.config)
        code: int = arguments.work(config, arguments)
        return code
    except Invalid as invalid:
        print(invalid, file=sys.stderr)
        return FAILED
    except (CommandFailed, StoreError) as error:
        print(f"haidang-collector: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return FAILED


def _run(config: CollectorConfig, arguments: argparse.Namespace) -> int:
    from collector.app import run  # only this command needs all of it
    from inventory.base import logs

    logs.set_up(config.log.level, config.log.format, QUIET)
    try:
        return asyncio.run(run.serve(config))
    except run.CannotStart as error:
        raise CommandFailed(str(error)) from None


def _code(config: CollectorConfig, arguments: argparse.Namespace) -> int:
    from collector.commands import offline

    url = arguments.url or config.agents.url
    code = asyncio.run(offline.make_code(config, arguments.agent, arguments.who))
    print(f"On the machine of {arguments.agent}, within an hour:\n")
    print(f"    haidang-agent enroll {url or 'https://THIS-COLLECTOR:8443'} {code}\n")
    if not url:
        print("(Give agents.url in the configuration, or --url, to have the address here.)")
    return OK


def _revoke(config: CollectorConfig, arguments: argparse.Namespace) -> int:
    from collector.commands import offline

    marked = asyncio.run(offline.revoke(config, arguments.agent, arguments.who, arguments.reason))
    print(f"Every certificate of {arguments.agent} is void from now on. A new code lets a machine in again.")
    if not marked:
        print("To shut the agent out for good, write revoked: true in its inventory entry as well.")
    return OK


def _release(config: CollectorConfig, arguments: argparse.Namespace) -> int:
    from collector.commands import release

    if not arguments.agent:
        return _print(asyncio.run(release.quarantined(config)))
    released = release.release(config, arguments.agent, arguments.who, set_aside=arguments.set_aside)
    return _print(asyncio.run(released))


def _goals(config: CollectorConfig, arguments: argparse.Namespace) -> int:
    from collector.commands import offline

    return _print(asyncio.run(offline.goals(config, arguments.at)))


def _report(config: CollectorConfig, arguments: argparse.Namespace) -> int:
    from collector.commands import offline

    return _print(asyncio.run(offline.report(config, arguments.month, csv=arguments.csv, agency=arguments.agency)))


def _exclude(config: CollectorConfig, arguments: argparse.Namespace) -> int:
    from collector.commands import offline

    if arguments.withdraw is not None:
        return _print(asyncio.run(offline.withdraw(config, arguments.withdraw, arguments.who)))
    if arguments.begins is None:
        return _print(asyncio.run(offline.list_exclusions(config)))
    select = {
        name: tuple(getattr(arguments, name) or ()) for name in ("agencies", "sites", "agents", "kinds", "checks")
    }
    return _print(
        asyncio.run(
            offline.exclude(config, select, arguments.begins, arguments.ends, arguments.reason or "", arguments.who)
        )
    )


def _backup(config: CollectorConfig, arguments: argparse.Namespace) -> int:
    from collector.commands import backup

    size = backup.backup(config, arguments.file)
    print(f"{arguments.file}: {size:,} bytes, with the CA's key inside; keep it where only you can read it.")
    return OK


def _restore(config: CollectorConfig, arguments: argparse.Namespace) -> int:
    from collector.commands import backup

    for line in backup.restore(config, arguments.file):
        print(line)
    return OK


def _password() -> int:
    from collector.web.auth import hash_password

    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if len(password) < 8:
        print("haidang-collector: a password needs at least 8 characters", file=sys.stderr)
        return FAILED
    print(hash_password(password))
    return OK


def _print(lines: Sequence[str]) -> int:
    for line in lines:
        print(line)
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="haidang-collector", description="Hải Đăng's collector.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, default=configs.DEFAULT, metavar="FILE", help=f"({configs.DEFAULT})")
    person = argparse.ArgumentParser(add_help=False)
    person.add_argument("--who", default=_user(), help="who does this, for the audit (the user logged in)")

    def command(name: str, work: object, words: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        subparser = commands.add_parser(name, parents=[common, *parents], help=words, description=words)
        subparser.set_defaults(work=work)
        return subparser

    command("run", _run, "run the collector until it is told to stop")
    code = command("code", _code, "make an enrolment code for an agent of the inventory, an hour valid", person)
    code.add_argument("agent", metavar="AGENT")
    code.add_argument("--url", default="", help="how the agent reaches this collector (agents.url)")
    revoke = command("revoke", _revoke, "void every certificate of an agent, at once", person)
    revoke.add_argument("agent", metavar="AGENT")
    revoke.add_argument("--reason", default="", help="why, for the audit")
    release = command("release", _release, "take an agent in quarantine again, or list those that are", person)
    release.add_argument("agent", nargs="?", default="", metavar="AGENT")
    release.add_argument("--set-aside", action="store_true", help="what the collector failed at becomes a dead letter")
    goals = command("goals", _goals, "how the goals stand")
    goals.add_argument(
        "--at", default="", metavar="DAY", help="over the windows that hold the end of this day, 2026-10-31"
    )
    report = command("report", _report, "availability of every check over a month")
    report.add_argument("month", nargs="?", default="", metavar="MONTH", help="2026-10 (this month)")
    report.add_argument("--agency", default="", help="only this agency")
    report.add_argument("--csv", action="store_true", help="as CSV")
    _exclude_options(command("exclude", _exclude, "declare time that does not count, list or withdraw it", person))
    backup = command("backup", _backup, "copy the store and the CA into one file, while the collector runs")
    backup.add_argument("file", type=Path, metavar="FILE")
    restore = command("restore", _restore, "put a copy back; the collector must not be running")
    restore.add_argument("file", type=Path, metavar="FILE")
    commands.add_parser("password", help="make the hash of a password, for operators.users")
    return parser


def _exclude_options(exclude: argparse.ArgumentParser) -> None:
    exclude.add_argument("begins", nargs="?", metavar="FROM", help="local time of the province, '2026-11-30 17:30'")
    exclude.add_argument("ends", nargs="?", metavar="TO")
    exclude.add_argument("--reason", help="why, for whoever reads the figures later")
    for name, words in (
        ("agency", "agencies"),
        ("site", "sites"),
        ("agent", "agents"),
        ("kind", "kinds"),
        ("check", "checks"),
    ):
        exclude.add_argument(f"--{name}", dest=words, action="append", metavar=name.upper(), help=f"only these {words}")
    exclude.add_argument("--withdraw", type=int, metavar="NUMBER", help="take one back")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
