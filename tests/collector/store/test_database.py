"""The store: migrations, durability's errors, many at once."""

import asyncio
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw
import pytest

from collector.store.errors import StoreBroken, StoreError, StoreFull
from collector.store.sqlite.database import MIGRATIONS, Database
from collector.store.sqlite.store import SqliteStore


class FaultyFile(apsw.VFSFile):
    """A file whose writes or syncs fail when its disk says so."""

    def __init__(self, disk: "FaultyDisk", name: object, flags: list[int]) -> None:
        super().__init__(disk.base_vfs, name, flags)  # type: ignore[arg-type]
        self._disk = disk

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._disk.fault == "full":
            raise apsw.FullError("no room")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        if self._disk.fault == "sync":
            error = apsw.IOError("sync")
            error.extendedresult = apsw.SQLITE_IOERR_FSYNC  # type: ignore[attr-defined]
            raise error
        self._disk.syncs += 1
        super().xSync(flags)


class FaultyDisk(apsw.VFS):
    def __init__(self, name: str) -> None:
        self.name = name
        self.fault = ""
        self.syncs = 0
        self.base_vfs = ""
        super().__init__(name, "")

    def xOpen(self, name: object, flags: list[int]) -> FaultyFile:  # type: ignore[override]
        return FaultyFile(self, name, flags)


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[FaultyDisk]:
    disk = FaultyDisk(f"faulty-{request.node.name}")
    yield disk
    disk.unregister()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database.open(tmp_path / "deep" / "c.db")
    yield database
    await database.close()


def add(db: apsw.Connection, kind: str = "k") -> None:
    db.execute("INSERT INTO events (at, agent, kind, data, finding) VALUES (1, 'a', ?, '{}', 0)", (kind,))


async def count(database: Database) -> int:
    return await database.read(lambda db: db.execute("SELECT count(*) FROM events").get)


async def test_a_new_store_is_private_durable_and_has_an_incarnation(database: Database) -> None:
    assert stat.S_IMODE(database.path.stat().st_mode) == 0o600
    store = SqliteStore(database)
    assert len(store.incarnation) == 16 and store.count_from > 0
    settings = await database.write(
        lambda db: [db.execute(f"PRAGMA {name}").get for name in ("journal_mode", "synchronous", "foreign_keys")]
    )
    assert settings == ["wal", 2, 1]


async def test_an_incarnation_outlives_a_restart(tmp_path: Path) -> None:
    first = SqliteStore.open(tmp_path / "c.db")
    await first.database.write(add)
    await first.close()
    second = SqliteStore.open(tmp_path / "c.db")
    assert (second.incarnation, second.count_from) == (first.incarnation, first.count_from)
    assert await count(second.database) == 1
    await second.close()


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "c.db")
    await database.write(lambda db: db.execute("PRAGMA user_version = 9999"))
    await database.close()
    with pytest.raises(StoreError, match="newer collector"):
        Database.open(tmp_path / "c.db")


async def test_migrations_apply_in_order_once_and_whole(tmp_path: Path) -> None:
    steps = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, steps)
    (steps / "9001_one.sql").write_text("CREATE TABLE one (x); INSERT INTO one VALUES (1);")
    await Database.open(tmp_path / "c.db", migrations=steps).close()
    (steps / "9002_two.sql").write_text("INSERT INTO one VALUES (2); CREATE TABLE broken (;")
    with pytest.raises(StoreError):
        Database.open(tmp_path / "c.db", migrations=steps)
    (steps / "9002_two.sql").write_text("INSERT INTO one VALUES (2);")
    database = Database.open(tmp_path / "c.db", migrations=steps)
    assert await database.read(lambda db: db.execute("SELECT x FROM one").fetchall()) == [(1,), (2,)]
    await database.close()


def test_what_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "c.db").write_bytes(b"not a database, by any means" * 50)
    with pytest.raises(StoreError, match="cannot be used"):
        Database.open(tmp_path / "c.db")
    with pytest.raises(StoreError, match="cannot be used"):
        Database.open(tmp_path / "c.db" / "below")


async def test_work_that_raises_leaves_nothing(database: Database) -> None:
    def half(db: apsw.Connection) -> None:
        add(db)
        raise ValueError("in the middle")

    for way in (database.write, database.commit):
        with pytest.raises(ValueError):
            await way(half)
        await way(add)
    assert await count(database) == 2


async def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(apsw.ReadOnlyError):
        await database.read(add)


async def test_many_at_once_are_serialised(database: Database) -> None:
    def bump(db: apsw.Connection) -> None:
        seen = db.execute("SELECT count(*) FROM events").get
        add(db, str(seen))

    await asyncio.gather(*(way(bump) for _ in range(40) for way in (database.write, database.commit)))
    kinds = await database.read(lambda db: db.execute("SELECT kind FROM events ORDER BY id").fetchall())
    assert [int(kind) for (kind,) in kinds] == list(range(80))


async def test_a_cancelled_writer_does_not_let_another_into_its_transaction(database: Database) -> None:
    for _ in range(20):
        tasks = [asyncio.create_task(way(add)) for way in (database.write, database.commit)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await database.commit(add)
    assert 20 <= await count(database) <= 60


async def test_another_process_may_write_between(database: Database) -> None:
    """The command line makes codes beside a running collector."""
    script = (
        "import apsw, sys, time\n"
        "db = apsw.Connection(sys.argv[1])\n"
        "db.execute('BEGIN IMMEDIATE')\n"
        "print('in', flush=True)\n"
        "sys.stdin.read()\n"
        "db.execute(\"INSERT INTO events (at, agent, kind, data, finding) VALUES (1, 'b', 'k', '{}', 0)\")\n"
        "db.execute('COMMIT')\n"
    )
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-c", script, str(database.path)]
    other = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert other.stdin and other.stdout
    assert await other.stdout.readline() == b"in\n"
    waiting = asyncio.create_task(database.commit(add))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await other.communicate(b"")
    await waiting
    assert await count(database) == 2


async def test_every_commit_is_synced(tmp_path: Path, disk: FaultyDisk) -> None:
    database = Database.open(tmp_path / "c.db", vfs=disk.name)
    for way in (database.write, database.commit):
        before = disk.syncs
        await way(add)
        assert disk.syncs > before
    await database.close()


async def test_a_full_disk_keeps_nothing_and_works_again_when_there_is_room(tmp_path: Path, disk: FaultyDisk) -> None:
    database = Database.open(tmp_path / "c.db", vfs=disk.name)
    await database.write(add)
    disk.fault = "full"
    for way in (database.write, database.commit):
        with pytest.raises(StoreFull, match="no room"):
            await way(add)
    assert await count(database) == 1 and not database.broken.is_set()
    disk.fault = ""
    await database.commit(add)
    assert await count(database) == 2
    await database.close()


async def test_a_failed_sync_ends_it(tmp_path: Path, disk: FaultyDisk) -> None:
    database = Database.open(tmp_path / "c.db", vfs=disk.name)
    await database.write(add)
    disk.fault = "sync"
    with pytest.raises(StoreBroken, match="could not be synced"):
        await database.commit(add)
    disk.fault = ""
    with pytest.raises(StoreBroken):  # as if nothing had happened: never
        await database.write(add)
    assert database.broken.is_set()
    assert await count(database) == 1
    await database.close()


async def test_the_wal_starts_over_under_steady_writing(database: Database) -> None:
    blob = b"x" * 60_000
    for _ in range(700):
        await database.commit(
            lambda db: db.execute("INSERT INTO dead_letters VALUES (NULL, 1, 'a', 'r', 1, ?)", (blob,))
        )
    wal = database.path.with_name("c.db-wal").stat().st_size
    assert wal < 40_000_000 < database.path.stat().st_size + wal


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "small"
    mount.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True)
    if made.returncode:
        pytest.skip("needs root: a tmpfs of its own")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


@pytest.mark.root
async def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    database = Database.open(small_disk / "c.db")
    ballast = small_disk / "ballast"
    room = os.statvfs(small_disk)
    ballast.write_bytes(b"x" * (room.f_bavail * room.f_frsize - 8_192))
    with pytest.raises(StoreFull):
        for _ in range(100):
            await database.commit(add)
    kept = await count(database)
    ballast.unlink()
    await database.commit(add)
    assert await count(database) == kept + 1
    await database.close()
