"""Backup and restore: one file with the store and the CA, so that one file is all that a new machine needs."""

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

import apsw

from collector.config import CollectorConfig, CommandFailed
from collector.ingest import recovery
from collector.keys import files, pki
from collector.store.database import StoreError, connect
from inventory.base.files import sync

PAGES = 2_000  # copied at once; between two steps a running collector commits


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
        _copy(config.database, part)
        _add_keys(config, part)
        sync(part)
        part.rename(file)
        sync(file.parent)
    except OSError as error:
        raise CommandFailed(f"{file} cannot be written: {error.strerror}") from None
    except apsw.Error as error:
        raise CommandFailed(f"the backup failed: {error}") from None
    finally:
        part.unlink(missing_ok=True)
    return file.stat().st_size


def restore(config: CollectorConfig, file: Path) -> list[str]:
    """Put a copy in the store's place; what was there is kept beside it. Answers what was done. Raises Failed."""
    if not file.exists():
        raise CommandFailed(f"there is no {file}")
    config.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (config.state_dir / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed("the collector is running: stop it first") from None
        return _restore(config, file)


def _restore(config: CollectorConfig, file: Path) -> list[str]:
    fresh = config.database.with_name("collector.db.restoring")
    fresh.unlink(missing_ok=True)
    done = []
    try:
        shutil.copyfile(file, fresh)
        fresh.chmod(0o600)
        keys = _extract_keys(fresh)
        incarnation = recovery.mark_restored(fresh)
        sync(fresh)
        if config.database.exists():
            kept = _move_aside(config.database)
            done.append(f"The store that was here is kept as {kept}.")
        if Path(f"{fresh}-wal").exists():  # the last connection closed has copied it back
            raise CommandFailed(f"{fresh} is still in use")
        fresh.rename(config.database)
        sync(config.state_dir)
        if keys is not None and not config.keys.exists():
            files.install(config.keys, pki.CertificateAuthority(*keys))
            done.append("The CA came with it: agents go on as before.")
        elif keys is not None and (config.keys / "ca.pem").read_bytes() != keys[1]:
            done.append(f"{config.keys} holds another CA than the copy: agents enrolled with that one are strangers.")
    except (apsw.Error, StoreError, ValueError) as error:
        raise CommandFailed(f"{file} cannot be restored: {error}") from None
    except OSError as error:
        raise CommandFailed(f"{file} cannot be restored: {error.strerror}") from None
    finally:
        for ending in ("", "-wal", "-shm"):
            Path(f"{fresh}{ending}").unlink(missing_ok=True)
    done.append(f"Restored as incarnation {incarnation}. Agents will send again what came after the copy was made.")
    return done


def _copy(source: Path, target: Path) -> None:
    with (
        contextlib.closing(apsw.Connection(str(source), flags=apsw.SQLITE_OPEN_READONLY)) as old,
        contextlib.closing(apsw.Connection(str(target))) as new,
    ):
        old.set_busy_timeout(10_000)
        # one read transaction over all steps: the copy is of one moment although the collector commits
        old.execute("BEGIN")
        old.execute("SELECT count(*) FROM incarnations").get  # noqa: B018  # begins the read
        with new.backup("main", old, "main") as work:
            while not work.done:
                work.step(PAGES)
        new.execute("PRAGMA journal_mode = DELETE")


def _add_keys(config: CollectorConfig, part: Path) -> None:
    key, certificate = config.keys / "ca.key", config.keys / "ca.pem"
    with contextlib.closing(apsw.Connection(str(part))) as db:
        db.execute("CREATE TABLE kept_files (name TEXT PRIMARY KEY, content BLOB NOT NULL)")
        for file in (key, certificate):
            db.execute("INSERT INTO kept_files VALUES (?, ?)", (file.name, file.read_bytes()))


def _extract_keys(fresh: Path) -> tuple[bytes, bytes] | None:
    """The CA out of a copy: it has no place in the store itself."""
    with contextlib.closing(connect(fresh, apsw.SQLITE_OPEN_READWRITE)) as db:
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'incarnations'").get:
            raise ValueError("it is not a copy of a collector's store")
        if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'kept_files'").get:
            return None
        files = {str(name): content for name, content in db.execute("SELECT name, content FROM kept_files")}
        db.execute("DROP TABLE kept_files")
        db.execute("VACUUM")
    key, certificate = files.get("ca.key"), files.get("ca.pem")
    return (key, certificate) if isinstance(key, bytes) and isinstance(certificate, bytes) else None


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
