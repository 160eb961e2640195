"""The spool from outside: what goes in, what a batch looks like, what it costs in writes and memory."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.spool import CheckResult, FileOps, Position, Spool
from inventory.protocol.wire import Batch, Push, Reading, Record, decode_push, encode_push

Open = Callable[..., Spool]


class Disk(FileOps):
    """A real disk that counts."""

    def __init__(self) -> None:
        self.writes = self.syncs = self.directory_syncs = 0

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        self.writes += 1
        return super().write(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        self.syncs += 1

    def sync_directory(self, directory: Path) -> None:
        self.directory_syncs += 1


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


def test_a_batch_is_columns_sorted_by_check_then_time(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path, boot_ms=10_000)
    items = [
        CheckResult(7, 30_500, 2, None, (), "refused"),
        CheckResult(2, 30_000, 0, 1500, (10_000, None)),
        CheckResult(7, 32_000, 0, 900, ()),
        CheckResult(2, 60_000, 1, 2500, (9_000, 7), "slow"),
    ]
    assert [spool.append(item) for item in items] == [2, 3, 4, 5]
    assert spool.next_batch("a") is None  # nothing is sent before it is synced
    spool.sync()
    assert spool.backlog("a") == 5
    batch = spool.next_batch("a")
    assert batch == Batch(
        epoch=spool.epoch,
        previous=None,
        last=5,
        plan=b"planplan",
        boot=b"bootboot",
        base=30_000,
        checks=[2, 5],
        counts=[2, 2],
        at=[0, 30_000, 500, 1500],
        states=bytes([0, 1, 2, 0]),
        latency=[1500, 2500, None, 900],
        values=[10_000, None, 9_000, 7],
        reasons=[(1, "slow"), (2, "refused")],
        records=[Record(10_000, "start", {"wall_ms": 5, "version": "1", "platform": "test", "clean": True})],
    )
    body = encode_push(Push(version=1, sent=Reading(b"bootboot", 61_000, 0), batch=batch))
    assert decode_push(body).batch == batch
    spool.acknowledged("a", Position(spool.epoch, 5))
    assert spool.next_batch("a") is None and spool.backlog("a") == 0


def test_a_batch_is_of_one_plan(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 3)
    spool.use_plan(b"planNEXT")
    fill(spool, 2, start=9000)
    spool.use_plan(b"planNEXT")
    spool.sync()
    assert spool.referenced_plans() == {b"planplan", b"planNEXT"}
    batches = drain(spool)
    assert [(batch.plan, batch.start, batch.last) for batch in batches] == [(b"planplan", 1, 4), (b"planNEXT", 5, 6)]


def test_limits_of_a_batch(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    for number in range(100):
        spool.append(CheckResult(0, 2000 + number, 2, None, (), "x" * 200))
    spool.sync()
    batch = spool.next_batch("a", max_results=30)
    assert batch is not None and batch.last == 30
    small = spool.next_batch("a", max_results=1000, max_bytes=5000)
    assert small is not None and 15 < small.last < 25
    tiny = spool.next_batch("a", max_bytes=1)
    assert tiny is not None and tiny.last == 1  # a batch always brings something forward


def test_numbers_that_cannot_be_stored_are_refused_at_once(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    with pytest.raises(ValueError):
        spool.append(CheckResult(0, 1, 4, None, ()))
    with pytest.raises(ValueError):
        spool.append(CheckResult(-1, 1, 0, None, ()))
    with pytest.raises(OverflowError):
        spool.append(CheckResult(0, 1, 0, 1 << 70, ()))
    with pytest.raises(ValueError):
        spool.append(Record(1, "clock", {"why": "x" * 20_000}))
    assert spool.append(CheckResult(0, 5_000, 0, 1, (), "y" * 900)) == 2
    spool.sync()
    (batch,) = drain(spool)
    assert batch.reasons == [(0, "y" * 200)]


def test_one_write_and_one_sync_whatever_was_appended(opened: Open, tmp_path: Path) -> None:
    disk = Disk()
    spool = opened(tmp_path, ops=disk)
    fill(spool, 20)
    spool.sync()
    assert (disk.writes, disk.syncs, disk.directory_syncs) == (1, 1, 1)  # a new file: its name has to last too
    (path,) = tmp_path.glob("*.seg")
    length = path.stat().st_size
    fill(spool, 500, start=30_000)
    spool.sync()
    assert (disk.writes, disk.syncs, disk.directory_syncs) == (2, 2, 1)
    assert path.stat().st_size == length > spool.stats()["bytes"]  # written into zeros: no journal to wait for
    spool.sync()
    assert (disk.writes, disk.syncs) == (2, 2)
    drain(spool)
    spool.sync()
    assert (disk.writes, disk.syncs) == (2, 2)


def test_memory_does_not_grow_with_the_backlog(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path, ops=Disk())
    for start in range(40):
        fill(spool, 500, start=2000 + start * 500_000)
        spool.sync()
    assert spool.backlog("a") == 20_001
    assert spool.stats()["buffered"] == 0
    assert sum(len(segment.ranges) for segment in spool._log.segments) <= 2 * len(spool._log.segments)
