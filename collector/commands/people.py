"""``haidang-collector user`` and ``audit``: who may come in, and what people and programs did."""

import asyncio
import csv
import getpass
import io
import json
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from collector.commands.offline import existing_store
from collector.config import USER_NAME, CollectorConfig, CommandFailed, Role, why_nobodys_name
from collector.store.audit_chain import GENESIS, chained
from collector.store.errors import StoreError
from collector.store.interfaces.store import Transaction
from collector.store.records import AuditFilter, AuditHead, AuditRow
from collector.web.access.passwords import hash_password, why_not_a_password
from collector.web.access.users import KnownUser, read_users, write_users
from inventory.base import owner
from inventory.base.types import Secret

T = TypeVar("T")

HEAD_DIGITS: Final = 18  # of the number of a row


def add_user(config: CollectorConfig, name: str, role: Role, who: str, *, password: bool) -> list[str]:
    """A new user; ``password``: whether one is asked for (else only a proxy can vouch for them)."""
    users = _users(config)
    if not re.fullmatch(USER_NAME, name) or len(name) > 100:
        raise CommandFailed(f"{name!r} cannot be a name: letters, digits and the like, no colon")
    if why := why_nobodys_name(name):
        raise CommandFailed(f"{name!r} cannot be a name: it {why}")
    operators = config.operators
    taken = {*users, *(user.name for user in operators.users), *(token.name for token in operators.tokens)}
    if name in taken:
        raise CommandFailed(f"there is a user or token {name} already")
    users[name] = KnownUser(role=role, password=Secret(hash_password(_new_password()) if password else ""))
    _write(config, users, who, "add user", {"user": name, "role": role})
    return [f"{name} may come in as {role}."]


def change_password(config: CollectorConfig, name: str, who: str) -> list[str]:
    """Another password; who is logged in with the old one is no more."""
    users = _users(config)
    user = _existing(config, users, name)
    users[name] = msgspec.structs.replace(user, password=Secret(hash_password(_new_password())))
    _write(config, users, who, "change password", {"user": name})
    return [f"{name} has another password, and is logged out everywhere."]


def change_role(config: CollectorConfig, name: str, role: Role, who: str) -> list[str]:
    """Another role, from the next request on."""
    users = _users(config)
    user = _existing(config, users, name)
    users[name] = msgspec.structs.replace(user, role=role)
    _write(config, users, who, "change role", {"user": name, "before": user.role, "role": role})
    return [f"{name} is {role} from now on."]


def remove_user(config: CollectorConfig, name: str, who: str) -> list[str]:
    """One less; who is logged in is no more."""
    users = _users(config)
    _existing(config, users, name)
    del users[name]
    _write(config, users, who, "remove user", {"user": name})
    return [f"{name} may not come in any more."]


def list_users(config: CollectorConfig) -> list[str]:
    """A line a user, and where they stand."""
    lines = [f"{one.name:24} {one.role:9} in the configuration" for one in config.operators.users]
    for name, user in _users(config).items():
        lines.append(f"{name:24} {user.role:9} {'with a password' if user.password else 'by the proxy only'}")
    return lines or [f"There are no users: on loopback anybody may do everything ({config.users_file} is not there)."]


def export(config: CollectorConfig, chosen: AuditFilter, form: str) -> Iterator[str]:
    """The rows, oldest first: ``json`` one object a line, ``csv``, or ``text``."""
    rows = _read(config, lambda tx: list(reversed(tx.audit.newest(chosen, 1 << 40))))
    if form == "csv":
        yield _csv_line("number", "at_ms", "who", "what", "data", "hash")
    for row in rows:
        if form == "json":
            kept = {"number": row.number, "at": row.at, "who": row.who, "what": row.what, "data": row.data}
            yield json.dumps({**kept, "hash": row.hash.hex()}, ensure_ascii=False)
        elif form == "csv":
            yield _csv_line(row.number, row.at, row.who, row.what, row.data, row.hash.hex())
        else:
            moment = datetime.fromtimestamp(row.at / 1000).astimezone().isoformat(timespec="seconds")
            yield f"{row.number:7} {moment} {_printable(row.who)}: {_printable(row.what)} {_printable(row.data)}"


def verify_file(file: Path, head: str) -> list[str]:
    """The same of an export of the whole audit in ``json``."""
    try:
        with file.open(encoding="utf-8") as lines:
            newest = verify_export(lines)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CommandFailed(f"{file} is no whole audit as it was written: {error}") from None
    if head and _head(head) != newest:
        raise CommandFailed(f"{file} ends at {newest}, not at {head}")
    return [f"{newest.number} rows, each as it was written. Head: {newest}"]


def verify(config: CollectorConfig, head: str) -> list[str]:
    """That every row is as it was written. ``head``: NUMBER:HASH as noted earlier, that the chain has to go through."""
    noted = _head(head) if head else None

    def work(tx: Transaction) -> tuple[int | None, AuditHead, list[AuditRow]]:
        at = tx.audit.after(noted.number - 1, 1) if noted is not None and noted.number else []
        return tx.audit.first_broken(), tx.audit.head(), at

    broken, newest, at = _read(config, work)
    if broken is not None:
        raise CommandFailed(f"the audit is not as it was written: its chain breaks at row {broken}")
    if noted is not None and noted.number and [(row.number, row.hash) for row in at] != [(noted.number, noted.hash)]:
        raise CommandFailed(f"the audit does not go through {head}: rows were cut off or written anew since")
    return [f"{newest.number} rows, each as it was written. Head: {newest}"]


def verify_export(lines: Iterable[str]) -> AuditHead:
    """The head of an export of the whole audit in ``json``; needs no store. Raises ValueError where it breaks."""
    head = AuditHead(0, GENESIS)
    for line in lines:
        row = json.loads(line)
        number = head.number + 1
        made = chained(head.hash, number, row["at"], row["who"], row["what"], row["data"])
        if (row["number"], row["hash"]) != (number, made.hex()):
            raise ValueError(f"the chain breaks at row {number}")
        head = AuditHead(number, made)
    return head


def note(config: CollectorConfig, who: str, what: str, data: Mapping[str, Any]) -> None:
    """A row of the audit, from the command line, written as the store's owner. Raises CommandFailed, StoreError."""
    now = time.time_ns() // 1_000_000

    async def add() -> None:
        async with existing_store(config) as store:
            await store.write(lambda tx: tx.audit.add(now, who, what, data))

    def work() -> bool:
        asyncio.run(add())
        return True

    try:
        owner.work_as(owner.owner_of(config.state_dir), work, bool, (CommandFailed, StoreError))
    except owner.AsOwnerFailed as error:
        raise CommandFailed(str(error)) from None


def _users(config: CollectorConfig) -> dict[str, KnownUser]:
    return read_users(config.users_file)


def _existing(config: CollectorConfig, users: Mapping[str, KnownUser], name: str) -> KnownUser:
    if name in users:
        return users[name]
    if any(one.name == name for one in config.operators.users):
        raise CommandFailed(f"{name} stands in the configuration, under operators.users: change it there")
    raise CommandFailed(f"there is no user {name}; there are: {', '.join(users) or 'none'}")


def _write(config: CollectorConfig, users: Mapping[str, KnownUser], who: str, what: str, data: dict[str, Any]) -> None:
    """The file and the audit's row; the row first, so that nobody comes in without one."""
    if config.database.exists():
        note(config, who, what, data)
    try:
        write_users(config.users_file, users, config.state_dir)
    except OSError as error:
        raise CommandFailed(f"{config.users_file} cannot be written: {error.strerror}") from None


def _new_password() -> str:
    """From the terminal, twice; else the first line of standard input. Never from the command line."""
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if password != getpass.getpass("The same again: "):
            raise CommandFailed("these were two different passwords")
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if why := why_not_a_password(password):
        raise CommandFailed(why)
    return password


def _read(config: CollectorConfig, work: Callable[[Transaction], T]) -> T:
    async def read() -> T:
        async with existing_store(config) as store:
            return await store.read(work)

    return asyncio.run(read())


def _head(text: str) -> AuditHead:
    number, _, digits = text.partition(":")
    try:
        return AuditHead(int(number[:HEAD_DIGITS]), bytes.fromhex(digits))
    except ValueError:
        raise CommandFailed(f"{text!r} is not the head of an audit; it looks like 17:5f3a...") from None


def _csv_line(*cells: object) -> str:
    out = io.StringIO()
    texts = [str(cell) for cell in cells]
    # a cell that a spreadsheet will not run as a formula
    csv.writer(out, lineterminator="").writerow([f"'{text}" if text[:1] in "=+-@" else text for text in texts])
    return out.getvalue()


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
