"""The spool on disks that fill up, fail or lose power, and in a process that is killed."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.spool import CheckResult, FileOps, Position, Spool, SpoolBroken
from inventory.protocol.wire import Batch, Record
from tests.support.paths import ROOT
from tests.support.spools import stop

Open = Callable[..., Spool]


class Disk(FileOps):
    """A real disk that can be told to fail."""

    def __init__(self) -> None:
        self.refuses: OSError | None = None
        self.short = 0  # bytes of the next write that still fit
        self.sync_fails = False
        self.syncs = 0

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        if self.refuses:
            if self.short:
                fits, self.short = self.short, 0
                return super().write(descriptor, data[:fits], offset)
            raise self.refuses
        return super().write(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.sync_fails:
            raise OSError(5, "Input/output error")

    def sync_directory(self, directory: Path) -> None: ...


@pytest.fixture
def opened() -> Iterator[Open]:
    spools: list[Spool] = []

    def opened(directory: Path, boot_ms: int = 1000, **more: object) -> Spool:
        options: dict[str, object] = {
            "boot": b"bootboot",
            "plan": b"planplan",
            "start": {"wall_ms": 5, "version": "1", "platform": "test"},
            "collectors": ["a"],
            "holds": lambda plan: [70_000] * 3,
        }
        spool = Spool.open(directory, boot_ms=boot_ms, **{**options, **more})  # type: ignore[arg-type]
        spools.append(spool)
        return spool

    yield opened
    for spool in spools:
        spool.close()


def fill(spool: Spool, count: int, start: int = 2000) -> None:
    for number in range(count):
        spool.append(CheckResult(number % 3, start + number * 1000, 0, 500 + number, ()))


def drain(spool: Spool) -> list[Batch]:
    found = []
    while (batch := spool.next_batch("a")) is not None:
        found.append(batch)
        spool.acknowledged("a", Position(batch.epoch, batch.last))
    return found


def records(batches: list[Batch], kind: str) -> list[Record]:
    return [record for batch in batches for record in batch.records if record.kind == kind]


def test_a_failed_sync_is_the_end_and_never_tried_again(opened: Open, tmp_path: Path) -> None:
    disk = Disk()
    spool = opened(tmp_path, ops=disk)
    fill(spool, 5)
    disk.sync_fails = True
    with pytest.raises(SpoolBroken, match="sync failed"):
        spool.sync()
    disk.sync_fails = False
    for call in (spool.sync, lambda: spool.append(CheckResult(0, 1, 0, None, ())), lambda: spool.next_batch("a")):
        with pytest.raises(SpoolBroken):
            call()
    assert disk.syncs == 1


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), OSError(5, "Input/output error")])
@pytest.mark.parametrize("short", [0, 1, 30, 75, 200])
def test_a_failed_write_keeps_everything_and_is_declared_once(
    opened: Open, tmp_path: Path, error: OSError, short: int
) -> None:
    disk = Disk()
    spool = opened(tmp_path, ops=disk)
    fill(spool, 10)
    spool.sync()
    disk.refuses, disk.short = error, short
    for start in (20_000, 40_000, 60_000):
        fill(spool, 10, start)
        spool.sync()
        disk.short = short
    assert spool.stats()["failing"] == 1
    assert spool.backlog("a") == 11
    disk.refuses = None
    spool.sync()
    spool.sync()
    batches = drain(spool)
    assert sum(len(batch.states) for batch in batches) == 40
    assert not any(batch.missing for batch in batches)
    assert [record.data for record in records(batches, "disk")] == [
        {"state": "failing", "why": error.strerror},
        {"state": "ok", "why": ""},
    ]
    spool.close()
    again = opened(tmp_path, boot_ms=90_000)
    assert again.stats()["damaged"] == 0 and again.backlog("a") == 0


def test_a_crash_while_the_disk_is_full_leaves_a_whole_spool(opened: Open, tmp_path: Path) -> None:
    disk = Disk()
    spool = opened(tmp_path, ops=disk)
    fill(spool, 10)
    spool.sync()
    fill(spool, 10, start=20_000)
    disk.refuses, disk.short = OSError(28, "No space left on device"), 60
    spool.sync()
    spool.close()
    again = opened(tmp_path, boot_ms=90_000)
    again.sync()
    batches = drain(again)
    assert sum(len(batch.states) for batch in batches) >= 10
    assert not any(batch.missing or batch.breach for batch in batches) and again.stats()["damaged"] == 0


def test_a_full_disk_first_gives_back_what_every_collector_has(opened: Open, tmp_path: Path) -> None:
    class Full(Disk):
        def write(self, descriptor: int, data: bytes, offset: int) -> int:
            if sum(path.stat().st_size for path in tmp_path.glob("*.seg")) + len(data) > 30_000:
                raise OSError(28, "No space left on device")
            return super().write(descriptor, data, offset)

    spool = opened(tmp_path, ops=Full(), segment_bytes=4096)
    for start in range(2000, 4_002_000, 100_000):
        fill(spool, 100, start)
        spool.sync()
        assert sum(len(batch.states) for batch in drain(spool)) == 100
    assert spool.stats()["failing"] == 0


def test_weeks_without_a_disk_are_folded_in_memory(opened: Open, tmp_path: Path) -> None:
    disk = Disk()
    spool = opened(tmp_path, ops=disk)
    spool.sync()
    disk.refuses = OSError(28, "No space left on device")
    for start in range(50):
        fill(spool, 1000, start=2000 + start * 1_000_000)
        spool.sync()
    assert spool.stats()["buffered"] <= 20_001
    disk.refuses = None
    spool.sync()
    batches = drain(spool)
    looks = sum(len(batch.states) + sum(run.count for run in batch.runs) for batch in batches)
    assert looks == 50_000 and not any(batch.missing for batch in batches)


def test_a_disk_dead_for_ever_and_checks_that_flap(opened: Open, tmp_path: Path) -> None:
    disk = Disk()
    spool = opened(tmp_path, ops=disk, holds=lambda plan: None)
    spool.sync()
    epoch = spool.epoch
    disk.refuses = OSError(5, "Input/output error")
    fill(spool, 50_000)
    assert spool.stats()["buffered"] <= 20_001
    spool.sync()
    disk.refuses = None
    spool.sync()
    batches = drain(spool)
    lost = sum(last - first + 1 for batch in batches for first, last in batch.missing)
    assert lost + sum(len(batch.states) for batch in batches) == 50_000
    dropped = records(batches, "dropped")
    assert dropped and dropped[-1].data["epoch"] == epoch
    stop(spool, 60_000_000)
    assert opened(tmp_path, boot_ms=70_000_000).stats()["damaged"] == 0  # given up is not damaged


def test_a_full_disk_for_real(tmp_path: Path) -> None:
    """A limit of the system on the size of files stands for the disk: writes end short, then fail with EFBIG."""
    script = """
        import resource, signal, sys
        from pathlib import Path
        from agent.spool import CheckResult, Position, Spool

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        spool = Spool.open(Path(sys.argv[1]), boot=b"bootboot", boot_ms=0, plan=b"planplan", start={}, collectors=["a"])
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
        for number in range(1000):
            spool.append(CheckResult(0, number * 1000, 0, number, ()))
            if number % 20 == 19:
                spool.sync()
        assert spool.stats()["failing"], spool.stats()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        spool.sync()
        spool.sync()
        seen, kinds = [], []
        while batch := spool.next_batch("a"):
            assert not batch.missing and not batch.breach
            seen += batch.latency
            kinds += [record.kind for record in batch.records]
            spool.acknowledged("a", Position(batch.epoch, batch.last))
        assert seen == list(range(1000)), len(seen)
        assert kinds == ["start", "disk", "disk"], kinds
        print("whole")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "spool")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "whole\n", done.stderr


@pytest.mark.root
def test_a_full_file_system(opened: Open, tmp_path: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode:
        pytest.skip("needs root that may mount a tmpfs")
    try:
        spool = opened(tmp_path / "spool", segment_bytes=16 << 10, limit_bytes=1 << 20)
        hog = tmp_path / "hog"
        hog.write_bytes(bytes(100 << 10))
        for start in range(10):
            fill(spool, 200, start=2000 + start * 200_000)
            spool.sync()
        assert spool.stats()["failing"] == 1
        hog.unlink()
        spool.sync()
        spool.sync()
        batches = drain(spool)
        assert sum(len(batch.states) for batch in batches) == 2000
        assert not any(batch.missing for batch in batches)
        assert [record.data["state"] for record in records(batches, "disk")] == ["failing", "ok"]
        spool.close()
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)  # a spool that failed is still open


# -- killed


WRITER = """
    import os, sys
    from pathlib import Path
    from agent.spool import CheckResult, Position, Spool

    # appends, syncs, says what is synced; a collector that lives in the parent acknowledges some of it
    round_ = int(sys.argv[2])
    spool = Spool.open(Path(sys.argv[1]), boot=b"bootboot", boot_ms=round_ * 10**6, plan=b"planplan", start={},
                       collectors=["a"], limit_bytes=150_000, segment_bytes=6000, holds=lambda plan: [10**5] * 4)
    at = round_ * 10**6
    while True:
        for number in range(7):
            at += 100
            spool.append(CheckResult(number % 4, at, 0, at % 1000, (at,)))
        seq = spool.append(CheckResult(0, at, 2, None, (), "x"))
        spool.sync()
        os.write(1, b"%d %d\\n" % (spool.epoch, seq))
"""


def test_killed_at_any_moment_nothing_that_was_synced_is_lost(opened: Open, tmp_path: Path) -> None:
    """What a killed process said was synced is there for the next one, and whole."""
    promised: dict[int, int] = {}
    for turn in range(30):
        writer = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(tmp_path), str(turn + 1)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
        )
        assert writer.stdout is not None
        for _ in range(1 + turn * 7 % 90):  # at a different place each time
            line = writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().splitlines(keepends=True)
        writer.wait()
        writer.stdout.close()
        for said in [line, *rest]:
            if said.endswith(b"\n"):
                epoch, seq = map(int, said.split())
                promised[epoch] = seq
    spool = opened(tmp_path, boot_ms=10**9)
    spool.sync()
    assert spool.stats()["damaged"] == 0
    arrived: dict[int, int] = {}
    previous = None
    for batch in drain(spool):
        assert not batch.missing and not batch.breach and batch.previous == previous
        previous = Position(batch.epoch, batch.last)
        arrived[batch.epoch] = arrived.get(batch.epoch, 0) + len(batch.records)
        arrived[batch.epoch] += len(batch.states) + sum(run.count for run in batch.runs)
    assert len(promised) == 30
    for epoch, seq in promised.items():
        assert arrived[epoch] >= seq


def test_killed_while_folding_leaves_the_old_or_the_new(opened: Open, tmp_path: Path) -> None:
    """Stop at every write, sync, renaming and removal of a fold: the next start finds every look once."""

    class Killed(BaseException):
        pass

    class Countdown(Disk):
        left = 10**9

        def tick(self) -> None:
            self.left -= 1
            if self.left < 0:
                raise Killed

        def write(self, descriptor: int, data: bytes, offset: int) -> int:
            self.tick()
            return super().write(descriptor, data, offset)

        def sync(self, descriptor: int) -> None:
            self.tick()
            super().sync(descriptor)

        def sync_directory(self, directory: Path) -> None:
            self.tick()
            super().sync_directory(directory)

    finished, steps = False, -1
    while not finished:
        steps += 1
        directory = tmp_path / str(steps)
        disk = Countdown()
        spool = opened(directory, ops=disk, limit_bytes=6000, segment_bytes=1500)
        done = 0
        try:
            for turn in range(40):
                if turn == 25:
                    disk.left = steps
                fill(spool, 10, start=2000 + turn * 10_000)
                spool.sync()
                done += 10
            finished = True
        except Killed:
            finished = False
        spool._log.close()
        spool._lock.release()
        again = opened(directory, boot_ms=10**6, limit_bytes=1 << 20)
        again.sync()
        assert again.stats()["damaged"] == 0
        batches = drain(again)
        assert not any(batch.missing or batch.breach for batch in batches)
        looks = sum(len(batch.states) + sum(run.count for run in batch.runs) for batch in batches)
        assert done <= looks <= done + 10, steps
        again.close()
    assert steps > 40
