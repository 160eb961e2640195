"""Bacula's and Bareos' catalogue: backup jobs and how they ended, from its SQLite file or by psql on a local socket.

Table Job: Type B is a backup; JobStatus T and W ended well, R and others are under way (the developers' guide,
"Catalog Services"). Times are the director's local time.
"""

import datetime
import os
import sqlite3
from typing import Final

import msgspec

from agent.backup import commands, place
from agent.backup.facts import MOST_COPIES, Copy, Facts, Question, Refused
from agent.backup.repositories.groups import newest_of_each

NEWEST: Final = 2000  # jobs that are looked at
_WELL: Final = "TW"
_UNDER_WAY: Final = "RCBFSmMsjcdtpialL"
_ENDED: Final = {
    "E": "ended with errors",
    "e": "ended with errors",
    "f": "failed",
    "A": "was cancelled",
    "I": "is incomplete",
}
_COLUMNS: Final = "Job.JobId, Job.Name, Client.Name, Job.Level, Job.JobStatus, Job.StartTime, Job.EndTime, Job.JobBytes"
_FROM: Final = (
    "FROM Job LEFT JOIN Client ON Client.ClientId = Job.ClientId WHERE Job.Type = 'B' "
    f"ORDER BY Job.JobId DESC LIMIT {NEWEST}"
)

Row = tuple[int, str, str | None, str | None, str, str | None, str | None, int | None]


def look(question: Question, now: float) -> Facts:
    """The jobs, newest first. Raises Refused."""
    rows = _by_psql(question) if question.database else _from_sqlite(question)
    copies = [_copy(row, now) for row in rows]
    facts = Facts(now=now, count=sum(not copy.wrong and not copy.growing for copy in copies))
    facts.total = sum(copy.size or 0 for copy in copies if not copy.wrong)
    if question.hosts or question.sources:
        facts.copies, facts.missing = newest_of_each(copies, question, now)
        facts.notes = _failing(copies, question)
    else:
        facts.copies = sorted(copies, key=lambda copy: -copy.at)[:MOST_COPIES]
    return facts


def _failing(found: list[Copy], question: Question) -> list[str]:
    """Wanted jobs whose last run did not end well."""
    last: dict[bytes, Copy] = {}
    for copy in sorted(found, key=lambda copy: copy.at):
        _, host, job = copy.name.decode("utf-8", "replace").split("\n")
        if (not question.hosts or host in question.hosts) and (not question.sources or job in question.sources):
            last[f"{job} of {host}".encode()] = copy
    return [f"the last run of {name.decode()} {copy.wrong}" for name, copy in last.items() if copy.wrong]


def _copy(row: Row, now: float) -> Copy:
    number, job, client, _, status, start_text, end_text, size = row
    under_way = status in _UNDER_WAY
    started_at, at = _time(start_text), _time(end_text)
    wrong = "" if under_way or status in _WELL else _ENDED.get(status, f"ended with status {status}")
    return Copy(
        name=f"{number}\n{client or ''}\n{job}".encode("utf-8", "replace"),
        at=at or started_at or 0.0,
        size=size,
        seconds=at - started_at if at is not None and started_at is not None and not under_way else None,
        growing=under_way,
        future=max(0.0, (at or 0.0) - now),
        wrong=wrong,
    )


def _time(text: str | None) -> float | None:
    """Local time as the catalogue has it; 0000-00-00 and the like are none."""
    try:
        return datetime.datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def _from_sqlite(question: Question) -> list[Row]:
    folder, _, name = question.path.rpartition("/")
    top = place.open_directory(folder or "/", question.allowed)
    try:
        inside = place.roots(question.allowed) if question.allowed else (place.real(top),)
        descriptor = place.open_file(name, top, inside)
    except FileNotFoundError:
        raise Refused(f"there is no catalogue {question.path}", gone=True) from None
    except (OSError, place.LeadsOut) as error:
        raise Refused(
            f"{question.path} cannot be read: {place.why(error) if isinstance(error, OSError) else error}"
        ) from None
    finally:
        os.close(top)
    try:
        database = sqlite3.connect(f"file:/proc/self/fd/{descriptor}?mode=ro", uri=True, timeout=2.0)
        try:
            return list(database.execute(f"SELECT {_COLUMNS} {_FROM}"))
        finally:
            database.close()
    except sqlite3.Error as error:
        raise Refused(f"the catalogue {question.path} cannot be read: {error}") from None
    finally:
        os.close(descriptor)


def _by_psql(question: Question) -> list[Row]:
    program = commands.find("psql")
    if program is None:
        raise Refused("this machine has no psql to read the catalogue with; install postgresql-client")
    os.close(place.open_directory(question.path, question.allowed))
    argv = [program, "-X", "-A", "-t", "-w", "-h", question.path, "-d", question.database]
    environment = {"PGCONNECT_TIMEOUT": "5", "PGOPTIONS": "-c default_transaction_read_only=on"}
    if "user" in question.secret:
        argv += ["-U", question.secret["user"]]
    if "password" in question.secret:
        environment["PGPASSWORD"] = question.secret["password"]
    if question.secret.get("port", "").isdigit():
        argv += ["-p", question.secret["port"]]
    query = f"SELECT json_build_array({_COLUMNS}) {_FROM}"
    try:
        result = commands.run([*argv, "-c", query], seconds=question.timeout, environment=environment)
    except commands.TookTooLong:
        raise Refused(f"the catalogue did not answer within {question.timeout:g} s") from None
    except commands.TooMuch:
        raise Refused("psql said too much") from None
    except OSError as error:
        raise Refused(f"psql does not start: {place.why(error)}") from None
    if result.code != 0:
        raise Refused(f"the catalogue cannot be read: {result.last.removeprefix('psql: error: ')}")
    try:
        return [msgspec.json.decode(line, type=Row) for line in result.out.splitlines() if line]
    except msgspec.DecodeError:
        raise Refused("the catalogue's answer makes no sense: is it Bacula's or Bareos'?") from None
