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
from agent.backup.facts import MOST_COPIES, BackupCopy, BackupFacts, BackupQuery, BackupRefused
from agent.backup.repositories.groups import newest_of_each
from inventory.grammars.database_names import is_database_name
from inventory.protocol.reasons import sentence

NEWEST: Final = 2000  # jobs that are looked at
_WELL: Final = "TW"
_UNDER_WAY: Final = "RCBFSmMsjcdtpialL"
_ENDED: Final = {
    "E": sentence("ended with errors"),
    "e": sentence("ended with errors"),
    "f": sentence("failed"),
    "A": sentence("was cancelled"),
    "I": sentence("is incomplete"),
}
_COLUMNS: Final = "Job.JobId, Job.Name, Client.Name, Job.Level, Job.JobStatus, Job.StartTime, Job.EndTime, Job.JobBytes"
_FROM: Final = (
    "FROM Job LEFT JOIN Client ON Client.ClientId = Job.ClientId WHERE Job.Type = 'B' "
    f"ORDER BY Job.JobId DESC LIMIT {NEWEST}"
)

JobRow = tuple[int, str, str | None, str | None, str, str | None, str | None, int | None]


def scan(query: BackupQuery, now: float) -> BackupFacts:
    """The jobs, newest first. Raises Refused."""
    rows = _read_psql(query) if query.database else _read_sqlite(query)
    copies = [_copy(row, now) for row in rows]
    facts = BackupFacts(now=now, count=sum(not copy.wrong and not copy.growing for copy in copies))
    facts.total = sum(copy.size or 0 for copy in copies if not copy.wrong)
    if query.hosts or query.sources:
        facts.copies, facts.missing = newest_of_each(copies, query, now)
        facts.notes = _failing_jobs(copies, query)
    else:
        facts.copies = sorted(copies, key=lambda copy: -copy.at)[:MOST_COPIES]
    return facts


def _failing_jobs(copies: list[BackupCopy], query: BackupQuery) -> list[str]:
    """Wanted jobs whose last run did not end well."""
    last: dict[tuple[str, str], BackupCopy] = {}
    for copy in sorted(copies, key=lambda copy: copy.at):
        _, host, job = copy.name.decode("utf-8", "replace").split("\n")
        if (not query.hosts or host in query.hosts) and (not query.sources or job in query.sources):
            last[job, host] = copy
    return [
        sentence("{who} {what}", who=sentence("the last run of {name}", name=" of ".join(name)), what=copy.wrong)
        for name, copy in last.items()
        if copy.wrong
    ]


def _copy(row: JobRow, now: float) -> BackupCopy:
    number, job, client, _, status, start_text, end_text, size = row
    under_way = status in _UNDER_WAY
    started_at, at = _parse_time(start_text), _parse_time(end_text)
    wrong = (
        ""
        if under_way or status in _WELL
        else _ENDED.get(status, sentence("ended with status {status}", status=status))
    )
    return BackupCopy(
        name=f"{number}\n{client or ''}\n{job}".encode("utf-8", "replace"),
        at=at or started_at or 0.0,
        size=size,
        seconds=at - started_at if at is not None and started_at is not None and not under_way else None,
        growing=under_way,
        future=max(0.0, (at or 0.0) - now),
        wrong=wrong,
    )


def _parse_time(text: str | None) -> float | None:
    """Local time as the catalogue has it; 0000-00-00 and the like are none."""
    try:
        return datetime.datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def _read_sqlite(query: BackupQuery) -> list[JobRow]:
    folder, _, name = query.path.rpartition("/")
    top = place.open_directory(folder or "/", query.allowed)
    try:
        inside = place.real_roots(query.allowed) if query.allowed else (place.real_path(top),)
        descriptor = place.open_file(name, top, inside)
    except FileNotFoundError:
        raise BackupRefused(sentence("there is no catalogue {path}", path=query.path), gone=True) from None
    except (OSError, place.PathEscapes) as error:
        raise BackupRefused(
            sentence(
                "{path} cannot be read: {error}",
                path=query.path,
                error=place.error_text(error) if isinstance(error, OSError) else error,
            )
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
        raise BackupRefused(
            sentence("the catalogue {path} cannot be read: {error}", path=query.path, error=error)
        ) from None
    finally:
        os.close(descriptor)


def _socket_directory(descriptor: int) -> str:
    return f"/proc/self/fd/{descriptor}"


def _psql_environment(query: BackupQuery, directory: int) -> dict[str, str]:
    """How psql connects: in variables, which libpq takes as they are, where ``-d`` and ``-h`` would take a connection
    string or a list of hosts. The socket is sought in the directory that was judged, whatever its path leads to by now.
    """
    if not is_database_name(query.database):
        raise BackupRefused(sentence("{name} is no name of a database", name=repr(query.database)))
    environment = {
        "PGHOST": _socket_directory(directory),
        "PGDATABASE": query.database,
        "PGCONNECT_TIMEOUT": "5",
        "PGOPTIONS": "-c default_transaction_read_only=on",
    }
    if "user" in query.secret:
        environment["PGUSER"] = query.secret["user"]
    if query.secret.get("port", "").isdigit():
        environment["PGPORT"] = query.secret["port"]
    if "password" in query.secret:
        environment["PGPASSWORD"] = query.secret["password"]
        # whoever may write to the directory could listen there: the password is for the server's own user
        environment["PGREQUIREPEER"] = query.secret.get("server_user", "postgres")
    return environment


def _read_psql(backup_query: BackupQuery) -> list[JobRow]:
    program = commands.find_program("psql")
    if program is None:
        raise BackupRefused(sentence("this machine has no psql to read the catalogue with; install postgresql-client"))
    query = f"SELECT json_build_array({_COLUMNS}) {_FROM}"
    directory = place.open_directory(backup_query.path, backup_query.allowed)
    try:
        result = commands.run(
            [program, "-X", "-A", "-t", "-w", "-c", query],
            seconds=backup_query.timeout,
            environment=_psql_environment(backup_query, directory),
            descriptors=(directory,),
        )
    except commands.CommandTimeout:
        raise BackupRefused(
            sentence("the catalogue did not answer within {timeout:n} s", timeout=backup_query.timeout)
        ) from None
    except commands.CommandOutputTooLarge:
        raise BackupRefused(sentence("psql said too much")) from None
    except OSError as error:
        raise BackupRefused(sentence("psql does not start: {error}", error=place.error_text(error))) from None
    finally:
        os.close(directory)
    if result.code != 0:
        words = result.last_error.removeprefix("psql: error: ").replace(_socket_directory(directory), backup_query.path)
        raise BackupRefused(sentence("the catalogue cannot be read: {it}", it=words))
    try:
        return [msgspec.json.decode(line, type=JobRow) for line in result.out.splitlines() if line]
    except msgspec.DecodeError:
        raise BackupRefused(sentence("the catalogue's answer makes no sense: is it Bacula's or Bareos'?")) from None
