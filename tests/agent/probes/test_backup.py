"""Backups as a check: real files in real directories, read through by real processes; a mount that hangs."""

import asyncio
import ctypes
import gzip
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from agent import probes
from agent.backup.facts import GOOD, ReadVerdict
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes.backup import BackupProbe
from agent.runtime.scheduler import Scheduler
from agent.spool import CheckResult
from inventory.base.clock import SystemClock
from inventory.protocol.plan import Plan, PlannedCheck
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.credentials import several
from tests.support.paths import ROOT

HOUR = 3600.0


class World:
    """A directory of backups, and looks at it that remember."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.copies = home / "copies"
        self.copies.mkdir()
        self.store: Path | None = home / "store"
        self.clients: dict[type[Any], Any] = {}
        self.limits = Limits()
        self.secrets: dict[str, dict[str, str]] = {}

    def put(self, name: str, age: float = HOUR, content: bytes | None = None) -> Path:
        path = self.copies / name
        path.write_bytes(gzip.compress(os.urandom(20_000)) if content is None else content)
        os.utime(path, (time.time() - age,) * 2)
        return path

    async def look(self, timeout: float = 10.0, **params: Any) -> Outcome:
        probe = BackupProbe(**{"path": str(self.copies), **params})
        return await probe.run(ProbeContext(timeout, self.limits, self.clients, several(self.secrets), self.store))

    async def restart(self) -> None:
        for client in self.clients.values():
            await client.close()
        self.clients.clear()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.restart()


def stored(world: World) -> list[ReadVerdict]:
    """Every verdict that was written down."""
    assert world.store is not None
    files = world.store.glob("*.verdicts")
    return [
        verdict
        for file in files
        for verdict in msgspec.msgpack.decode(file.read_bytes(), type=dict[str, ReadVerdict]).values()
    ]


def workers(what: str) -> list[int]:
    """Our own processes that look or read."""
    return [
        child.pid
        for child in psutil.Process().children()
        if " ".join(child.cmdline()[1:]).startswith(f"-m agent.backup.worker {what}".strip())
    ]


class TestFiles:
    async def test_a_good_one_in_time(self, world: World) -> None:
        world.put("db-1.gz", age=30 * HOUR)
        world.put("db-2.gz", age=6 * HOUR)
        outcome = await world.look(files="db-*.gz")
        assert (outcome.state, outcome.reason) == (UP, "")
        measures = outcome.measures
        assert measures["age_seconds"] == pytest.approx(6 * HOUR, abs=60)
        assert (measures["copies"], measures["rpo_met"], measures["bad_copies"]) == (2, 1, 0)
        assert measures["size_bytes"] == (world.copies / "db-2.gz").stat().st_size
        assert measures["verified_age_seconds"] < 60
        assert set(measures) <= {measure.name for measure in BackupProbe.measures}

    async def test_too_old(self, world: World) -> None:
        world.put("db.gz", age=31 * HOUR)
        outcome = await world.look(rpo="24h")
        assert outcome.state == DOWN
        assert outcome.reason == "the newest good backup is 31 hours old, its objective is 24 hours"
        assert outcome.measures["rpo_met"] == 0

    async def test_none_at_all(self, world: World) -> None:
        outcome = await world.look()
        assert (outcome.state, outcome.reason) == (DOWN, "there is no backup at all")
        outcome = await world.look(path=str(world.copies / "gone"))
        assert outcome.state == DOWN
        assert outcome.reason.startswith("there is no directory ")
        outcome = await world.look(path="relative/path")
        assert outcome.state == UNKNOWN

    async def test_the_newest_is_broken(self, world: World) -> None:
        world.put("db-1.gz", age=20 * HOUR)
        world.put("db-2.gz", age=2 * HOUR, content=gzip.compress(os.urandom(50_000))[:-2000])
        outcome = await world.look()
        assert outcome.state == DEGRADED
        assert outcome.reason.startswith("'db-2.gz' is broken: it ends in the middle")
        assert outcome.measures["age_seconds"] == pytest.approx(20 * HOUR, abs=60)
        outcome = await world.look(rpo="12h")
        assert outcome.state == DOWN
        assert "20 hours old" in outcome.reason and "is broken" in outcome.reason

    async def test_an_empty_one_is_none(self, world: World) -> None:
        world.put("db-1.gz", age=20 * HOUR)
        world.put("db-2.gz", content=b"")
        outcome = await world.look()
        assert (outcome.state, outcome.reason) == (DEGRADED, "'db-2.gz' is empty")
        outcome = await world.look(smallest="1MiB")
        assert outcome.state == DOWN

    async def test_what_is_being_written_is_not_judged(self, world: World) -> None:
        world.put("db-1.gz", age=20 * HOUR)
        growing = world.put("db-2.gz", age=0, content=b"\x1f\x8b half of it")
        outcome = await world.look()
        assert (outcome.state, outcome.measures["growing"]) == (UP, 1)
        assert outcome.measures["age_seconds"] == pytest.approx(20 * HOUR, abs=60)
        # one that keeps its time while it grows
        os.utime(growing, (time.time() - HOUR,) * 2)
        seen = growing.stat().st_mtime_ns
        await world.look(integrity=False)
        growing.write_bytes(growing.read_bytes() + b"more")
        os.utime(growing, ns=(seen, seen))
        outcome = await world.look(integrity=False)
        assert outcome.measures["growing"] == 1
        assert outcome.measures["age_seconds"] == pytest.approx(20 * HOUR, abs=60)

    async def test_the_only_copy_is_written_over(self, world: World) -> None:
        path = world.put("db.gz", age=20 * HOUR)
        assert (await world.look()).state == UP
        path.write_bytes(b"\x1f\x8b half of it")
        outcome = await world.look()
        assert outcome.state == DEGRADED
        assert "is still being written; the one before it was made 20 hours ago" in outcome.reason
        assert (await world.look(rpo="12h")).state == DOWN

    async def test_a_clock_in_the_future(self, world: World) -> None:
        world.put("db-1.gz", age=20 * HOUR)
        world.put("db-2.gz", age=-3 * HOUR)
        outcome = await world.look(settle="0s")
        assert outcome.state == DEGRADED
        assert "'db-2.gz' claims to be from the future, by 3 hours: a clock is wrong" in outcome.reason
        world.put("db-2.gz", age=-400 * 24 * HOUR)
        outcome = await world.look(settle="0s")
        assert outcome.measures["age_seconds"] == pytest.approx(20 * HOUR, abs=60)
        assert "400 days" in outcome.reason
        (world.copies / "db-1.gz").unlink()
        assert (await world.look(settle="0s")).state == DOWN

    async def test_half_of_its_usual_size(self, world: World) -> None:
        for day in range(2, 9):
            world.put(f"db-{day}.gz", age=day * 24 * HOUR, content=b"x" * (100_000 + day * 500))
        world.put("db-1.gz", content=b"x" * 50_000)
        outcome = await world.look(integrity=False)
        assert outcome.state == DEGRADED
        assert outcome.reason == "'db-1.gz' is suspiciously small: 49% of its usual size"
        assert outcome.measures["size_ratio"] == pytest.approx(0.49, abs=0.01)

    async def test_sizes_are_remembered(self, world: World) -> None:
        """Each night's copy is written over the last one's."""
        for night in range(6, 0, -1):
            world.put("db.gz", age=night * HOUR, content=b"x" * 100_000)
            world.put("db.gz", age=night * HOUR, content=b"x" * 100_000).rename(world.copies / f"db-{night}.gz")
            assert (await world.look(integrity=False)).state == UP
            (world.copies / f"db-{night}.gz").unlink()
        world.put("db-0.gz", age=600, content=b"x" * 40_000)
        assert "suspiciously small" in (await world.look(integrity=False)).reason

    async def test_fewer_than_are_to_be_kept(self, world: World) -> None:
        world.put("db.gz")
        outcome = await world.look(keep=7)
        assert (outcome.state, outcome.reason) == (DEGRADED, "there are 1 copies, and ought to be 7")

    async def test_nothing_was_read_through_for_too_long(self, world: World) -> None:
        world.put("image.vmdk", content=b"\x01" * 1000)
        outcome = await world.look(verified_within="1ms", read_every="1ms")
        await asyncio.sleep(0.01)
        outcome = await world.look(verified_within="1ms")
        assert outcome.state == DEGRADED
        assert "has not been read through" in outcome.reason
        assert "says nothing about its own integrity" in outcome.reason
        assert (await world.look()).state == UP

    async def test_not_readable(self, world: World) -> None:
        if os.geteuid() != 0:
            pytest.skip("needs root: to look as another user")
        world.put("db.gz", age=40 * HOUR)
        (world.copies / "locked").mkdir(mode=0o000)
        shutil.chown(world.copies, 65534)
        script = (
            "import sys, time, msgspec; from agent.backup.worker import scan\n"
            "from inventory.protocol.reasons import packed\n"
            "from agent.backup.facts import BackupQuery\n"
            "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
            "facts = scan(BackupQuery(evidence='files', path=sys.argv[1], files='**/*'), time.time())\n"
            "print(msgspec.json.encode(facts, enc_hook=packed).decode())"
        )
        for folder in (world.home, *world.home.parents[:3]):
            if folder != Path("/tmp"):
                folder.chmod(0o755)
        done = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", script, str(world.copies)],
            capture_output=True, text=True, check=True, cwd=ROOT,
        )  # fmt: skip
        facts = json.loads(done.stdout)
        assert facts["unreadable"] == 1
        assert "may not read it" in facts["why_unreadable"]

    async def test_limits_of_the_agents_own(self, world: World) -> None:
        world.put("db.gz")
        world.limits = Limits(directories=("/srv/elsewhere",))
        outcome = await world.look()
        assert (outcome.state, outcome.measures) == (UNKNOWN, {})
        assert outcome.reason.endswith("is outside the directories this agent may read")
        world.limits = Limits(directories=(str(world.home),))
        assert (await world.look()).state == UP

    @pytest.mark.parametrize(
        ("params", "words"),
        [
            ({"rpo": "often"}, "rpo: "),
            ({"rpo": "0s"}, "rpo has to be more than 0"),
            ({"rpo": "1.5h"}, "rpo: "),
            ({"smallest": "big"}, "smallest: "),
            ({"rate": "10"}, "rate: "),
            ({"files": "../*"}, "files: the pattern"),
            ({"zone": "Mars/Olympus"}, "zone: 'Mars/Olympus' is none"),
        ],
    )
    def test_bad_parameters(self, params: dict[str, Any], words: str) -> None:
        with pytest.raises(probes.BadProbe, match=words):
            probes.build("backup", {"path": "/srv", **params})


class TestReading:
    async def test_goes_on_after_a_restart(self, world: World) -> None:
        """Its process and the agent's are gone when a third was read: that third is not read again."""
        path = world.put("big.gz", content=gzip.compress(os.urandom(24_000_000), 1))
        size = path.stat().st_size
        outcome = await world.look(read_bytes="16MiB", rate="0")
        assert outcome.state == UP
        assert "verified_age_seconds" not in outcome.measures
        assert outcome.measures["read_ratio"] == pytest.approx((16 << 20) / size, abs=0.02)
        await world.restart()
        outcome = await world.look(rate="0")
        assert outcome.measures["verified_age_seconds"] < 60
        (verdict,) = stored(world)
        assert (verdict.state, verdict.by) == (GOOD, "gzip")
        assert verdict.read < size * 0.6

    async def test_a_grant_at_a_time(self, world: World) -> None:
        world.put("big.gz", content=gzip.compress(os.urandom(24_000_000), 1))
        told = []
        while "verified_age_seconds" not in (outcome := await world.look(read_bytes="8MiB", rate="0")).measures:
            told.append(outcome.measures["read_ratio"])
        assert told == [pytest.approx(8 * (place + 1) * (1 << 20) / 24e6, abs=0.02) for place in range(2)]

    async def test_the_rate_is_kept(self, world: World) -> None:
        world.put("big.gz", content=gzip.compress(os.urandom(8_000_000), 1))
        begun = time.monotonic()
        outcome = await world.look(rate="8MiB")
        assert "verified_age_seconds" in outcome.measures
        assert time.monotonic() - begun > 0.7

    async def test_its_process_dies(self, world: World) -> None:
        world.put("big.gz", content=gzip.compress(os.urandom(8_000_000), 1))
        await world.look(timeout=1.5, rate="1MiB")
        (process,) = workers("read")
        os.kill(process, signal.SIGKILL)
        outcome = await world.look(timeout=3.0, rate="1MiB")
        assert outcome.state == DEGRADED
        assert "the process that reads ended by itself" in outcome.reason
        outcome = await world.look(rate="0")
        assert "verified_age_seconds" in outcome.measures

    async def test_it_stands_behind_everybody_else(self, world: World) -> None:
        world.put("big.gz", content=gzip.compress(os.urandom(8_000_000), 1))
        await world.look(timeout=1.5, rate="1MiB")
        (process,) = map(psutil.Process, workers("read"))
        for _ in range(100):  # it sees to that when it has started
            if process.nice():
                break
            await asyncio.sleep(0.1)
        assert process.nice() == 19
        assert process.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE

    async def test_a_copy_that_goes_while_it_is_read(self, world: World) -> None:
        """The rotation took it: nothing to complain of, and the next one is read."""
        path = world.put("db-2.gz", content=gzip.compress(os.urandom(2_500_000), 1))
        world.put("db-1.gz", age=3 * HOUR)
        await world.look(timeout=1.5, rate="1MiB")
        assert workers("read")
        path.unlink()
        for _ in range(3):
            outcome = await world.look(rate="0")
        assert (outcome.state, outcome.reason) == (UP, "")
        assert outcome.measures["verified_age_seconds"] < 60
        assert outcome.measures["age_seconds"] == pytest.approx(3 * HOUR, abs=60)

    async def test_nothing_is_left_running(self, world: World) -> None:
        world.put("big.gz", content=gzip.compress(os.urandom(8_000_000), 1))
        await world.look(timeout=1.5, rate="1MiB")
        assert workers("read")
        await world.restart()
        assert not workers("")

    async def test_without_a_place_to_remember(self, world: World) -> None:
        world.store = None
        world.put("db.gz")
        outcome = await world.look()
        assert outcome.state == UP
        assert "verified_age_seconds" in outcome.measures


@pytest.mark.root
class TestHungMount:
    async def test_the_look_times_out_and_the_agent_goes_on(self, world: World, tmp_path: Path) -> None:
        """A file system whose server never answers: FUSE, with nobody at the other end."""
        if os.geteuid() != 0 or not Path("/dev/fuse").exists():
            pytest.skip("needs root and /dev/fuse: a mount that hangs")
        point = tmp_path / "hung"
        point.mkdir()
        libc = ctypes.CDLL(None, use_errno=True)
        device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
        if libc.mount(b"hung", os.fsencode(point), b"fuse", 0, options) != 0:
            os.close(device)
            pytest.skip("needs root: this machine does not let one mount FUSE")
        try:
            begun = time.monotonic()
            outcome = await world.look(timeout=1.0, path=str(point))
            assert time.monotonic() - begun < 3
            assert outcome.state == UNKNOWN
            assert outcome.reason == f"{point} was not looked through within 1 s"
            world.put("db.gz")
            assert (await world.look()).state == UP, "other directories are looked at all the while"
            again = await world.look(timeout=1.0, path=str(point))
            assert again.state == UNKNOWN
        finally:
            os.close(device)  # the kernel gives up
            libc.umount2(os.fsencode(point), 2)


CANARY = "canary-5eC-reT-pw"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    (folder / "noise").write_bytes(os.urandom(2_000_000))
    (folder / "text").write_text("hello\n" * 1000)
    return folder


@pytest.fixture(scope="module")
def repositories(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Real repositories, of two hosts each."""
    if not shutil.which("restic") or not shutil.which("borg"):
        pytest.skip("needs restic and borg (packages restic, borgbackup)")
    home = tmp_path_factory.mktemp("repositories")
    environment = {**os.environ, "RESTIC_PASSWORD": CANARY, "BORG_PASSPHRASE": CANARY, "BORG_BASE_DIR": str(home / "b")}
    run = lambda *argv: subprocess.run(argv, check=True, env=environment, capture_output=True)  # noqa: E731
    restic, borg = home / "restic", home / "borg"
    run("restic", "-q", "--no-cache", "--repo", str(restic), "init")
    for host in ("alpha", "beta"):
        run("restic", "-q", "--no-cache", "--repo", str(restic), "backup", "--host", host, str(sources))
    run("borg", "init", "-e", "repokey", str(borg))
    for name in ("alpha-2026-11-22", "beta-2026-11-23"):
        run("borg", "create", f"{borg}::{name}", str(sources))
    return {"restic": restic, "borg": borg}


def spoil(repository: Path, damage: str) -> None:
    """Change or cut off the largest file of stored data."""
    victim = max(
        (path for path in (repository / "data").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    whole = bytearray(victim.read_bytes())
    victim.chmod(0o600)
    if damage == "flipped":
        whole[len(whole) // 2] ^= 0x10
        victim.write_bytes(whole)
    else:
        victim.write_bytes(whole[: len(whole) // 3])


@pytest.mark.real
@pytest.mark.parametrize("evidence", ["restic", "borg"])
class TestRepositories:
    @pytest.fixture
    def repository(self, repositories: dict[str, Path], evidence: str, world: World) -> Path:
        """One's own, to spoil."""
        world.secrets = {"repo": {"password": CANARY}, "wrong": {"password": "another"}}
        return Path(shutil.copytree(repositories[evidence], world.home / evidence))

    async def test_with_and_without_the_password(self, world: World, evidence: str, repository: Path) -> None:
        before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file() and path.name != "nonce"}
        told = await world.look(evidence=evidence, path=str(repository), credential="repo", check_share=1.0)
        assert (told.state, told.reason) == (UP, "")
        assert told.measures["copies"] == 2
        assert told.measures["age_seconds"] < 120
        assert told.measures["verified_age_seconds"] < 60
        world.store = world.home / "another"
        guessed = await world.look(evidence=evidence, path=str(repository))
        assert (guessed.state, guessed.reason) == (UP, "")
        assert guessed.measures["verified_age_seconds"] < 60
        after = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file() and path.name != "nonce"}
        assert before == after, "looking changes nothing"

    @pytest.mark.parametrize("damage", ["flipped", "cut off"])
    @pytest.mark.parametrize("credential", ["", "repo"])
    async def test_spoiled(self, world: World, evidence: str, repository: Path, damage: str, credential: str) -> None:
        spoil(repository, damage)
        outcome = await world.look(
            evidence=evidence, path=str(repository), credential=credential, check_share=1.0, timeout=20.0
        )
        assert outcome.state == DOWN
        assert outcome.reason.startswith("the repository is damaged: ")

    async def test_each_that_is_named_has_to_be_there(self, world: World, evidence: str, repository: Path) -> None:
        names = {"hosts": ("alpha", "beta")} if evidence == "restic" else {"sources": ("alpha-", "beta-")}
        params = {"evidence": evidence, "path": str(repository), "credential": "repo", "integrity": False}
        assert (await world.look(**params, **names)).state == UP
        key = next(iter(names))
        outcome = await world.look(**params, **{key: (*names[key], "gamma")})
        assert (outcome.state, outcome.measures["rpo_met"]) == (DOWN, 0)
        assert "there is no backup of gamma" in outcome.reason
        outcome = await world.look(**{**params, "credential": ""}, **names)
        assert outcome.state == UNKNOWN

    async def test_a_lock_left_behind(self, world: World, evidence: str, repository: Path) -> None:
        if evidence == "restic":
            (repository / "locks" / ("ab" * 32)).write_bytes(b"x")
        else:
            (repository / "lock.exclusive").mkdir()
        lock = repository / ("locks/" + "ab" * 32 if evidence == "restic" else "lock.exclusive")
        os.utime(lock, (time.time() - 30 * HOUR,) * 2)
        outcome = await world.look(evidence=evidence, path=str(repository), integrity=False)
        assert outcome.state == DEGRADED
        assert "has been there for 30 hours" in outcome.reason
        assert outcome.measures["lock_age_seconds"] == pytest.approx(30 * HOUR, abs=60)
        assert (await world.look(evidence=evidence, path=str(repository), integrity=False, lock_age="40h")).state == UP

    async def test_old_ones_without_the_password(self, world: World, evidence: str, repository: Path) -> None:
        for path in repository.rglob("*"):
            os.utime(path, (time.time() - 50 * HOUR,) * 2)
        outcome = await world.look(evidence=evidence, path=str(repository))
        assert outcome.state == DOWN
        assert "50 hours old" in outcome.reason

    async def test_no_repository(self, world: World, evidence: str) -> None:
        outcome = await world.look(evidence=evidence)
        assert outcome.state == DOWN
        assert f"is not a {evidence} repository" in outcome.reason

    async def test_the_password_goes_nowhere(
        self, world: World, evidence: str, repository: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        spoil(repository, "flipped")
        (repository / "config").write_bytes(b"nonsense")
        outcomes = [
            await world.look(evidence=evidence, path=str(repository), credential=name, check_share=1.0)
            for name in ("repo", "wrong")
        ]
        world.store = world.home / "another"
        fresh = Path(shutil.copytree(repository, world.home / "fresh"))
        outcomes.append(await world.look(evidence=evidence, path=str(fresh), credential="repo"))
        await world.restart()
        assert all(outcome.state != UP for outcome in outcomes)
        assert CANARY not in repr(outcomes) + caplog.text
        for path in world.home.rglob("*"):
            if path.is_file():
                assert CANARY.encode() not in path.read_bytes(), path

    async def test_the_password_is_in_no_argument(self, world: World, evidence: str, repository: Path) -> None:
        seen: set[bytes] = set()
        done = asyncio.Event()

        async def watch() -> None:
            while not done.is_set():
                for path in Path("/proc").glob("[0-9]*/cmdline"):
                    try:
                        seen.add(path.read_bytes())
                    except OSError:
                        continue  # it has ended
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        outcome = await world.look(evidence=evidence, path=str(repository), credential="repo")
        done.set()
        await watching
        assert outcome.state == UP
        assert any(evidence.encode() in line and str(repository).encode() in line for line in seen)
        assert not any(CANARY.encode() in line for line in seen)


@pytest.mark.real
async def test_the_wrong_password_is_said_as_such(repositories: dict[str, Path], world: World) -> None:
    world.secrets = {"wrong": {"password": "another"}}
    for evidence, path in repositories.items():
        outcome = await world.look(evidence=evidence, path=str(path), credential="wrong")
        assert outcome.state == UNKNOWN
        assert outcome.reason == "the password in this agent's file does not open the repository"


async def test_the_schedule_gives_each_kind_a_directory_of_its_own(world: World) -> None:
    world.put("db.gz")
    check = PlannedCheck(
        uid="0" * 16, name="db", kind="backup", interval=60_000, timeout=10_000, hold=130_000, recheck=5_000,
        params={"path": str(world.copies)},
    )  # fmt: skip
    seen: asyncio.Queue[CheckResult] = asyncio.Queue()
    scheduler = Scheduler(
        clock=SystemClock(),
        build=probes.build,
        on_result=lambda result, news: seen.put_nowait(result),
        storage=world.home / "p",
    )
    try:
        assert scheduler.apply_plan(Plan(agent="a", agency="b", site="c", checks=(check,))) == []
        assert (await asyncio.wait_for(seen.get(), 90)).state == UP
    finally:
        await scheduler.stop()
    assert {path.suffix for path in (world.home / "p/backup").iterdir()} == {".seen", ".verdicts"}
    assert not workers("")
