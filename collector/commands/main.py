"""``haidang-collector``: run, enrolment codes, revocations, quarantine, goals, reports, exclusions,
backups, users, the audit.

Root's commands go on as the owner of the state directory once the configuration is read, so what they leave there is
the service's; ``backup``, ``restore`` and ``user`` open the files that root names before.
"""

import argparse
import asyncio
import getpass
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from collector import config as configs
from collector.config import CollectorConfig, CommandFailed
from collector.store.errors import StoreError
from inventory.base import owner
from inventory.base.problems import Invalid
from inventory.base.text import clean_line, clean_text
from inventory.base.types import duration_ms, duration_text
from inventory.base.version import VERSION

OK, FAILED = 0, 1
ROLES = ("viewer", "operator", "admin")
HOUR, LONGEST_CODE = 3_600_000, 7 * 86_400_000  # ms
MAX_WHO = 100  # characters
OPENS_FILES_FIRST = ("backup", "restore", "user")
# what comes in malformed is counted and answered with 400; a line for each would fill the disk
QUIET = {"aiohttp.access": logging.WARNING, "aiohttp.server": logging.CRITICAL}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 fine, 1 found wrong, 2 usage."""
    owner.no_core_dumps()
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "password":
            return _password()
        config = configs.read(arguments.config)
        if arguments.command not in OPENS_FILES_FIRST and getattr(arguments, "export", None) is None:
            owner.go_on_as_owner(config.state_dir)
        code: int = arguments.work(config, arguments)
        return code
    except Invalid as invalid:
        print(invalid, file=sys.stderr)
        return FAILED
    except PermissionError as error:
        where = error.filename or "the collector's files"
        print(f"haidang-collector: this user may not use {where}: run this as root, or as the service", file=sys.stderr)
        return FAILED
    except OSError as error:
        where = error.filename or "the collector's files"
        print(f"haidang-collector: {where}: {error.strerror or error}", file=sys.stderr)
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
    code = asyncio.run(offline.make_code(config, arguments.agent, arguments.who, arguments.valid))
    print(f"On the machine of {arguments.agent}, within {duration_text(arguments.valid)}:\n")
    print(f"    haidang-agent enroll {url or 'https://THIS-COLLECTOR:8443'}\n")
    print(f"It asks for the code (or takes it from --code-file FILE):\n\n    {code}\n")
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


def _keep(config: CollectorConfig, arguments: argparse.Namespace) -> int:
    from collector.commands import offline

    return _print(asyncio.run(offline.keep(config, arguments.agent, arguments.machine, arguments.who)))


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
    from collector.commands import backup, people

    size = backup.backup(config, arguments.file, arguments.recipient or ())
    people.note(config, arguments.who, "backup", {"file": str(arguments.file), "bytes": size})
    words = "; keep it where only you can read it" if not arguments.recipient else ", encrypted"
    print(f"{arguments.file}: {size:,} bytes, with the CA's key inside{words}.")
    return OK


def _restore(config: CollectorConfig, arguments: argparse.Namespace) -> int:
    from collector.commands import backup

    for line in backup.restore(config, arguments.file, arguments.identity, arguments.who):
        print(line)
    return OK


def _user_command(config: CollectorConfig, arguments: argparse.Namespace) -> int:
    from collector.commands import people

    if config.state_dir in config.users_file.parents:
        owner.go_on_as_owner(config.state_dir)
    name, who = getattr(arguments, "name", ""), getattr(arguments, "who", "")
    match arguments.what:
        case "add":
            lines = people.add_user(config, name, arguments.role, who, password=not arguments.no_password)
        case "passwd":
            lines = people.change_password(config, name, who)
        case "role":
            lines = people.change_role(config, name, arguments.role, who)
        case "remove":
            lines = people.remove_user(config, name, who)
        case _:
            lines = people.list_users(config)
    return _print(lines)


def _audit(config: CollectorConfig, arguments: argparse.Namespace) -> int:
    from collector.commands import people
    from collector.store.records import AuditFilter

    if arguments.export is not None:
        return _print(people.verify_file(arguments.export, arguments.head))
    if arguments.verify or arguments.head:
        return _print(people.verify(config, arguments.head))
    chosen = AuditFilter(who=arguments.by, what=arguments.what, agent=arguments.agent)
    return _print(people.export(config, chosen, arguments.format))


def _password() -> int:
    from collector.web.access.passwords import hash_password, why_not_a_password

    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if why := why_not_a_password(password):
        print(f"haidang-collector: {why}", file=sys.stderr)
        return FAILED
    print(hash_password(password))
    return OK


def _print(lines: Iterable[str]) -> int:
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
    words = "who does this, for the audit (the user logged in)"
    person.add_argument("--who", type=_person, default=_user(), help=words)

    def command(name: str, work: object, words: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        subparser = commands.add_parser(name, parents=[common, *parents], help=words, description=words)
        subparser.set_defaults(work=work)
        return subparser

    command("run", _run, "run the collector until it is told to stop")
    code = command("code", _code, "make an enrolment code for an agent of the inventory, an hour valid", person)
    code.add_argument("agent", metavar="AGENT")
    code.add_argument(
        "--valid", type=_code_life, default=HOUR, metavar="TIME", help="how long: 2h, 7d at the most (1h)"
    )
    code.add_argument("--url", default="", help="how the agent reaches this collector (agents.url)")
    revoke = command("revoke", _revoke, "void every certificate of an agent, at once", person)
    revoke.add_argument("agent", metavar="AGENT")
    revoke.add_argument("--reason", type=clean_line, default="", help="why, for the audit")
    keep = command("keep", _keep, "of machines that run as one agent, keep one; without MACHINE list them", person)
    keep.add_argument("agent", metavar="AGENT")
    keep.add_argument("machine", nargs="?", default="", metavar="MACHINE", help="as the list names it")
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
    backup = command("backup", _backup, "copy the store and the CA into one file, while the collector runs", person)
    backup.add_argument("file", type=Path, metavar="FILE")
    backup.add_argument(
        "--recipient",
        action="append",
        metavar="AGE",
        help="encrypt it (age) for this public key, age1... or ssh-..., or those in this file; may be given again",
    )
    restore = command("restore", _restore, "put a copy back; the collector must not be running", person)
    restore.add_argument("file", type=Path, metavar="FILE")
    restore.add_argument("--identity", type=Path, metavar="FILE", help="the age key that an encrypted copy is for")
    words = "users of the operators' pages: add, list, passwd, role, remove"
    user = commands.add_parser("user", help=words, description=words)
    user.set_defaults(work=_user_command)
    _user_options(user, common, person)
    audit = command("audit", _audit, "what people and programs did: export it, prove that it is whole")
    audit.add_argument("--format", choices=("text", "json", "csv"), default="text")
    audit.add_argument("--by", metavar="WHO", help="only what this person or program did")
    audit.add_argument("--what", metavar="WHAT", help="only this")
    audit.add_argument("--agent", metavar="AGENT", help="only what this agent did, or what is about it")
    audit.add_argument(
        "--verify", action="store_true", help="prove that every row is as it was written; print the head"
    )
    audit.add_argument("--export", type=Path, metavar="FILE", help="prove the same of an export of all of it as json")
    audit.add_argument("--head", default="", metavar="NUMBER:HASH", help="a head noted earlier, to prove it against")
    commands.add_parser("password", help="make the hash of a password, for operators.users")
    return parser


def _user_options(
    user: argparse.ArgumentParser, common: argparse.ArgumentParser, person: argparse.ArgumentParser
) -> None:
    commands = user.add_subparsers(dest="what", required=True, metavar="WHAT")

    def command(name: str, words: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        subparser = commands.add_parser(name, parents=[common, *parents], help=words, description=words)
        if parents:
            subparser.add_argument("name", metavar="NAME")
        return subparser

    words = "a new one; the password is asked for, or the first line of standard input"
    add = command("add", words, person)
    add.add_argument("--role", choices=ROLES, default="viewer", help="what they may (viewer)")
    add.add_argument("--no-password", action="store_true", help="only the reverse proxy can vouch for them")
    command("passwd", "another password, likewise; ends every session of theirs", person)
    role = command("role", "another role", person)
    role.add_argument("role", choices=ROLES)
    command("remove", "one less; ends every session of theirs", person)
    command("list", "who there is")


def _exclude_options(exclude: argparse.ArgumentParser) -> None:
    exclude.add_argument("begins", nargs="?", metavar="FROM", help="local time of the province, '2026-11-30 17:30'")
    exclude.add_argument("ends", nargs="?", metavar="TO")
    exclude.add_argument("--reason", type=clean_line, help="why, for whoever reads the figures later")
    for name, words in (
        ("agency", "agencies"),
        ("site", "sites"),
        ("agent", "agents"),
        ("kind", "kinds"),
        ("check", "checks"),
    ):
        exclude.add_argument(f"--{name}", dest=words, action="append", metavar=name.upper(), help=f"only these {words}")
    exclude.add_argument("--withdraw", type=int, metavar="NUMBER", help="take one back")


def _code_life(text: str) -> int:
    try:
        life = duration_ms(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not 60_000 <= life <= LONGEST_CODE:
        raise argparse.ArgumentTypeError("a code is valid for a minute at least and 7d at the most")
    return life


def _person(text: str) -> str:
    name = clean_text(text, MAX_WHO)
    if not name:
        raise argparse.ArgumentTypeError("the audit needs a name")
    return name


def _user() -> str:
    """Who is logged in: behind sudo the person, not root."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
