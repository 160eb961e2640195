"""Backup and restore: one file with the store and the CA, so that one file is all that a new machine needs.

The file is where root says, and root's; the store is read and written by its owner alone. It may be encrypted for one
or more recipients (age, https://age-encryption.org), for the CA's key is in it.
"""

import contextlib
import fcntl
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final

from collector.commands import encryption
from collector.config import CollectorConfig, CommandFailed
from collector.ingest import recovery
from collector.keys import files as keys_files
from collector.keys import pki
from collector.store.errors import StoreError
from collector.store.interfaces.store import Transaction
from collector.store.opening import copy_store, take_files, write_alone
from collector.web.access.users import MODE
from inventory.base import files, owner

USERS: Final = "users.yaml"
ROOM: Final = 64 << 20  # bytes that a disk with the running store on it is left with at the least


def backup(config: CollectorConfig, file: Path, recipients: Sequence[str] = ()) -> int:
    """Copy the store as of one moment, beside a running collector, and the CA; answers bytes. Raises CommandFailed."""
    keys = encryption.parse_recipients(recipients)
    service = owner.owner_of(config.state_dir)
    try:
        with _new_file(file) as descriptor:
            owner.work_as(service, lambda: _write_copy(config, descriptor, keys), int, (CommandFailed, StoreError))
            return os.fstat(descriptor).st_size
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}") from None
    except (StoreError, owner.AsOwnerFailed) as error:
        raise CommandFailed(str(error)) from None


@contextlib.contextmanager
def _new_file(file: Path) -> Iterator[int]:
    """A descriptor to write to; the file has its name only once it is whole. Raises CommandFailed, OSError."""
    with files.Directory(file.parent) as directory:
        if directory.exists(file.name):
            raise CommandFailed(f"{file} exists already; backups do not overwrite")
        part = files.fresh_name(file.name)
        descriptor = directory.create(part)
        try:
            try:
                yield descriptor
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            directory.rename(part, file.name)
        except BaseException:
            directory.unlink(part)
            raise
        directory.sync()


def _write_copy(config: CollectorConfig, descriptor: int, keys: encryption.Recipients) -> int:
    """By way of a copy beside the store, which its owner alone reads. Raises CommandFailed, StoreError."""
    if not config.database.exists():
        raise CommandFailed(f"there is no store at {config.database}")
    try:
        needed = config.database.stat().st_size + ROOM
        if shutil.disk_usage(config.state_dir).free < needed:
            raise CommandFailed(f"{config.state_dir} needs {needed >> 20} MiB of room for a copy, for a while")
        with _scratch(config.state_dir, "backup") as beside:
            authority = (config.keys / "ca.key", config.keys / "ca.pem")
            inside = {key.name: files.read(key) for key in authority}
            if config.users_file.exists():
                inside[USERS] = files.read(config.users_file)
            copy_store(config.database, beside, inside)
            with beside.open("rb") as source, os.fdopen(descriptor, "wb", closefd=False) as target:
                encryption.encrypt(source, target, keys) if keys else shutil.copyfileobj(source, target, 1 << 20)
                return target.tell()
    except OSError as error:
        raise CommandFailed(f"the backup failed: {error.filename or 'the copy'}: {error.strerror}") from None


@contextlib.contextmanager
def _scratch(state_dir: Path, name: str) -> Iterator[Path]:
    """A file of its own in the state directory, gone afterwards with all that SQLite put beside it."""
    with files.Directory(state_dir) as directory:
        fresh = files.fresh_name(name)
        os.close(directory.create(fresh))
    try:
        yield state_dir / fresh
    finally:
        for ending in ("", "-wal", "-shm", "-journal"):
            Path(f"{state_dir / fresh}{ending}").unlink(missing_ok=True)


def restore(config: CollectorConfig, file: Path, identity: Path | None = None, who: str = "") -> list[str]:
    """Put a copy in the store's place; what was there is kept beside it. Says what was done. Raises CommandFailed."""
    try:
        with _open_copy(file) as source:
            read = encryption.reader(source, file, identity)
            # root's files are open; what lies in the state directory is its owner's business
            owner.go_on_as_owner(config.state_dir)
            files.make_directory(config.state_dir)
            with os.fdopen(files.open_to_append(config.state_dir / "lock"), "a") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise CommandFailed("the collector is running: stop it first") from None
                return _restore(config, file, read, who)
    except FileNotFoundError as error:
        raise CommandFailed(f"there is no {error.filename or file}") from None
    except (StoreError, ValueError) as error:
        raise CommandFailed(f"{file} cannot be restored: {error}") from None
    except OSError as error:
        raise CommandFailed(f"{error.filename or file} cannot be used: {error.strerror}") from None


def _open_copy(file: Path) -> BinaryIO:
    """Raises CommandFailed, OSError."""
    descriptor = files.open_to_read(file)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CommandFailed(f"{file} is not a plain file")
    return os.fdopen(descriptor, "rb")


def _restore(config: CollectorConfig, file: Path, read: Callable[[BinaryIO], None], who: str) -> list[str]:
    done = []
    with _scratch(config.state_dir, config.database.name) as fresh:
        with fresh.open("wb") as target:
            read(target)
        copied = take_files(fresh) or {}
        incarnation = recovery.mark_restored(fresh)
        write_alone(fresh, lambda tx: _note_restore(tx, who, file, incarnation))
        files.sync(fresh)
        if config.database.exists():
            kept = _move_aside(config.database)
            done.append(f"The store that was here is kept as {kept}.")
        if Path(f"{fresh}-wal").exists():  # the last connection closed has copied it back
            raise CommandFailed(f"{fresh} is still in use")
        fresh.rename(config.database)
        files.sync(config.state_dir)
    key, certificate = copied.get("ca.key"), copied.get("ca.pem")
    whole = keys_files.is_authority(config.keys)
    if key is not None and certificate is not None and not whole:
        authority = pki.CertificateAuthority(key, certificate)
        if config.keys.exists():
            kept = _free_name(config.keys)
            config.keys.rename(kept)
            done.append(f"What was in {config.keys} made no CA; it is kept as {kept}.")
        keys_files.install(config.keys, authority)
        done.append("The CA came with it: agents go on as before.")
    elif certificate is not None and whole and files.read(config.keys / "ca.pem") != certificate:
        done.append(f"{config.keys} holds another CA than the copy: agents enrolled with that one are strangers.")
    if (users := copied.get(USERS)) is not None and not config.users_file.exists():
        files.replace(config.users_file, users, mode=MODE)
        done.append("The users came with it.")
    done.append(f"Restored as incarnation {incarnation}. Agents will send again what came after the copy was made.")
    return done


def _note_restore(tx: Transaction, who: str, file: Path, incarnation: str) -> None:
    """Who was logged in when the copy was made has perhaps logged out since: nobody is any more."""
    tx.sessions.end_all()
    tx.audit.add(time.time_ns() // 1_000_000, who, "restore", {"file": str(file), "incarnation": incarnation})


def _move_aside(database: Path) -> Path:
    """Move the store and its log out of the way."""
    kept = _free_name(database)
    for ending in ("-wal", "-shm", ""):
        old = Path(f"{database}{ending}")
        if old.exists():
            old.rename(f"{kept}{ending}")
    return kept


def _free_name(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.name}.before-{number}")).exists():
        number += 1
    return kept
