"""Backup and restore: one file with the store and the CA, so that one file is all that a new machine needs."""

import fcntl
import os
import shutil
import time
from pathlib import Path

from collector.config import CollectorConfig, CommandFailed
from collector.ingest import recovery
from collector.keys import files, pki
from collector.store.errors import StoreError
from collector.store.interfaces.store import Transaction
from collector.store.opening import copy_store, take_files, write_alone
from collector.web.access.users import MODE
from inventory.base.files import replace, sync

USERS = "users.yaml"


def backup(config: CollectorConfig, file: Path) -> int:
    """Copy the store as of one moment, beside a running collector, and the CA; answers bytes. Raises Failed."""
    if not config.database.exists():
        raise CommandFailed(f"there is no store at {config.database}")
    if file.exists():
        raise CommandFailed(f"{file} exists already; backups do not overwrite")
    part = file.with_name(file.name + ".part")
    try:
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        keys = (config.keys / "ca.key", config.keys / "ca.pem")
        kept = {key.name: key.read_bytes() for key in keys}
        if config.users_file.exists():
            kept[USERS] = config.users_file.read_bytes()
        copy_store(config.database, part, kept)
        sync(part)
        part.rename(file)
        sync(file.parent)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}") from None
    except StoreError as error:
        raise CommandFailed(str(error)) from None
    finally:
        part.unlink(missing_ok=True)
    return file.stat().st_size


def restore(config: CollectorConfig, file: Path, who: str = "") -> list[str]:
    """Put a copy in the store's place; what was there is kept beside it. Answers what was done. Raises Failed."""
    if not file.exists():
        raise CommandFailed(f"there is no {file}")
    config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (config.state_dir / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed("the collector is running: stop it first") from None
        return _restore(config, file, who)


def _restore(config: CollectorConfig, file: Path, who: str) -> list[str]:
    fresh = config.database.with_name("collector.db.restoring")
    fresh.unlink(missing_ok=True)
    done = []
    try:
        shutil.copyfile(file, fresh)
        fresh.chmod(0o600)
        copied = take_files(fresh) or {}
        incarnation = recovery.mark_restored(fresh)
        write_alone(fresh, lambda tx: _note_restore(tx, who, file, incarnation))
        sync(fresh)
        if config.database.exists():
            kept = _move_aside(config.database)
            done.append(f"The store that was here is kept as {kept}.")
        if Path(f"{fresh}-wal").exists():  # the last connection closed has copied it back
            raise CommandFailed(f"{fresh} is still in use")
        fresh.rename(config.database)
        sync(config.state_dir)
        key, certificate = copied.get("ca.key"), copied.get("ca.pem")
        if key is not None and certificate is not None and not config.keys.exists():
            files.install(config.keys, pki.CertificateAuthority(key, certificate))
            done.append("The CA came with it: agents go on as before.")
        elif certificate is not None and (config.keys / "ca.pem").read_bytes() != certificate:
            done.append(f"{config.keys} holds another CA than the copy: agents enrolled with that one are strangers.")
        if (users := copied.get(USERS)) is not None and not config.users_file.exists():
            replace(config.users_file, users, mode=MODE)
            done.append("The users came with it.")
    except (StoreError, ValueError) as error:
        raise CommandFailed(f"{file} cannot be restored: {error}") from None
    except OSError as error:
        raise CommandFailed(f"{file} cannot be restored: {error.strerror}") from None
    finally:
        for ending in ("", "-wal", "-shm"):
            Path(f"{fresh}{ending}").unlink(missing_ok=True)
    done.append(f"Restored as incarnation {incarnation}. Agents will send again what came after the copy was made.")
    return done


def _note_restore(tx: Transaction, who: str, file: Path, incarnation: str) -> None:
    """Who was logged in when the copy was made has perhaps logged out since: nobody is any more."""
    tx.sessions.end_all()
    tx.audit.add(time.time_ns() // 1_000_000, who, "restore", {"file": str(file), "incarnation": incarnation})


def _move_aside(database: Path) -> Path:
    """Move the store and its log out of the way, under a name that is free."""
    number = 1
    while (kept := database.with_name(f"{database.name}.before-{number}")).exists():
        number += 1
    for ending in ("-wal", "-shm", ""):
        old = Path(f"{database}{ending}")
        if old.exists():
            old.rename(f"{kept}{ending}")
    return kept
