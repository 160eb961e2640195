"""The chain of positions: cursors lost, disks rolled back and cloned, collectors restored, frames skipped."""

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from agent.spool import CheckResult, FileOps, Position, Spool
from inventory.protocol.wire import Batch, Record
from tests.support.spools import stop

Open = Callable[..., Spool]


class NoSync(FileOps):
    def sync(self, descriptor: int) -> None: ...

    def sync_directory(self, directory: Path) -> None: ...


@pytest.fixture
def opened() -> Iterator[Open]:
    spools: list[Spool] = []

    def opened(directory: Path, boot_ms: int = 1000, **more: object) -> Spool:
        options: dict[str, object] = {
            "boot": b"bootboot",
            "plan": b"planplan",
            "start": {},
            "collectors": ["a"],
            "ops": NoSync(),
        }
        spool = Spool.open(directory, boot_ms=boot_ms, **{**options, **more})  # type: ignore[arg-type]
        spools.append(spool)
        return spool

    yield opened
    for spool in spools:
        spool.close()


def fill(spool: Spool, count: int, start: int = 2000) -> None:
    for number in range(count):
        spool.append(CheckResult(number % 3, start + number * 1000, 0, 500 + number, (number, None)))
    spool.sync()


def crash(spool: Spool) -> None:
    """As a killed process leaves it: no stop, cursors as last saved."""
    spool._log.close()
    spool._lock.release()


def drain(spool: Spool, collector: str = "a", most: int = 1000) -> list[Batch]:
    found = []
    while (batch := spool.next_batch(collector, max_results=most)) is not None:
        found.append(batch)
        spool.acknowledged(collector, Position(batch.epoch, batch.last))
    return found


def latencies(batches: list[Batch]) -> list[int | None]:
    return sorted((value for batch in batches for value in batch.latency), key=lambda value: value or 0)


def missing(batches: list[Batch]) -> list[tuple[int, int]]:
    return [gap for batch in batches for gap in batch.missing]


def records(batches: list[Batch], kind: str) -> list[Record]:
    return [record for batch in batches for record in batch.records if record.kind == kind]


def test_without_its_cursor_the_spool_goes_on_from_where_the_collector_is(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 50)
    batch = spool.next_batch("a", max_results=20)
    assert batch is not None
    watermark = Position(batch.epoch, batch.last)
    spool.acknowledged("a", watermark)
    stop(spool, 90_000)
    (tmp_path / "cursors").unlink()
    again = opened(tmp_path, boot_ms=100_000)
    again.sync()
    assert again.cursor("a") is None
    again.reposition("a", watermark)
    batches = drain(again)
    assert (batches[0].previous, batches[0].breach, missing(batches)) == (watermark, "", [])
    assert latencies(batches) == list(range(519, 550))


def test_cursors_are_saved_now_and_then_without_a_stop(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 5)
    drain(spool)
    at = spool.cursor("a")
    fill(spool, 1, start=30_000)
    crash(spool)
    assert opened(tmp_path, boot_ms=40_000).cursor("a") == at


def test_cursors_survive_a_clean_stop(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 5)
    drain(spool)
    at = spool.cursor("a")
    stop(spool, 90_000)
    again = opened(tmp_path, boot_ms=100_000)
    again.sync()
    assert again.cursor("a") == at and again.backlog("a") == 2  # the stop, and the new start
    batches = drain(again)
    assert [record.kind for batch in batches for record in batch.records] == ["stop", "start"]
    assert batches[1].records[0].data == {"clean": True}


@pytest.mark.parametrize("clean", [True, False])
def test_the_start_says_how_the_last_life_ended(opened: Open, tmp_path: Path, clean: bool) -> None:
    spool = opened(tmp_path)
    fill(spool, 3)
    stop(spool, 9000) if clean else crash(spool)
    again = opened(tmp_path, boot_ms=10_000)
    again.sync()
    assert [record.data["clean"] for record in records(drain(again), "start")] == [True, clean]


def test_a_disk_rolled_back_to_an_older_copy(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path / "disk")
    fill(spool, 10)
    drain(spool)
    fill(spool, 5, start=20_000)  # not yet delivered when the copy is made
    crash(spool)
    shutil.copytree(tmp_path / "disk", tmp_path / "copy")
    later = opened(tmp_path / "disk", boot_ms=30_000)
    fill(later, 10, start=31_000)
    drain(later)
    watermark = later.cursor("a")
    crash(later)

    back = opened(tmp_path / "copy", boot_ms=60_000)
    fill(back, 4, start=61_000)
    back.reposition("a", watermark)  # the answer to the first, empty push
    batch = back.next_batch("a")
    assert batch is not None and (batch.breach, batch.previous) == ("rolled back", watermark)
    batches = drain(back)
    assert batches[-1].epoch == back.epoch and len(batches[-1].states) == 4
    assert [batch.breach for batch in batches[1:]] == [""] * (len(batches) - 1)
    for before, after in pairwise(batches):
        assert after.previous == Position(before.epoch, before.last)


def test_rolled_back_within_an_epoch_that_is_known(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path / "disk")
    fill(spool, 10)
    shutil.copytree(tmp_path / "disk", tmp_path / "copy")
    fill(spool, 10, start=20_000)
    drain(spool)
    watermark = spool.cursor("a")
    assert watermark is not None and watermark.seq == 21
    back = opened(tmp_path / "copy", boot_ms=60_000)
    fill(back, 4, start=61_000)
    back.reposition("a", watermark)
    (batch,) = drain(back)
    assert (batch.breach, batch.previous, batch.epoch, batch.start) == ("rolled back", watermark, back.epoch, 1)
    assert len(batch.states) == 4


def test_two_clones_of_one_disk_each_get_everything_through(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path / "one")
    fill(spool, 10)
    drain(spool)
    watermark = spool.cursor("a")
    spool.close()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    clones = [opened(tmp_path / name, boot_ms=50_000) for name in ("one", "two")]
    got: list[list[Batch]] = [[], []]
    for turn in range(6):
        which = turn % 2
        clone = clones[which]
        fill(clone, 5, start=60_000 + turn * 10_000)
        batch = clone.next_batch("a")
        assert batch is not None
        if batch.previous != watermark:
            clone.reposition("a", watermark)
            batch = clone.next_batch("a")
        assert batch is not None and batch.previous == watermark
        watermark = Position(batch.epoch, batch.last)
        clone.acknowledged("a", watermark)
        got[which].append(batch)
    assert [[len(batch.states) for batch in batches] for batches in got] == [[5, 5, 5], [5, 5, 5]]
    assert [[batch.breach for batch in batches] for batches in got] == [
        ["", "rolled back", "rolled back"],
        ["rolled back", "rolled back", "rolled back"],
    ]


def test_a_running_machine_put_back_by_a_snapshot_starts_a_new_epoch(opened: Open, tmp_path: Path) -> None:
    """The collector holds more of the current epoch than this process ever sent."""
    spool = opened(tmp_path)
    fill(spool, 10)
    epoch = spool.epoch
    drain(spool)
    fill(spool, 3, start=20_000)
    spool.next_batch("a")  # 12 to 14
    spool.acknowledged("a", Position(epoch, 40))
    assert spool.epoch != epoch
    spool.sync()
    fill(spool, 2, start=90_000)
    batches = drain(spool)
    assert (batches[0].breach, batches[0].previous) == ("rolled back", Position(epoch, 40))
    assert [record.data for record in records(batches, "dropped")] == [{"epoch": epoch, "first": 12, "last": 14}]
    assert sum(len(batch.states) for batch in batches) == 2


def test_a_watermark_amid_what_was_never_sent_is_someone_else_s(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 10)
    epoch = spool.epoch
    drain(spool)
    fill(spool, 3, start=20_000)  # 12 to 14, synced and not yet sent
    spool.reposition("a", Position(epoch, 13))
    assert spool.epoch != epoch
    spool.sync()
    batches = drain(spool)
    assert (batches[0].breach, batches[0].epoch, batches[0].start, batches[0].last) == ("rolled back", epoch, 14, 14)
    assert [record.data for record in records(batches, "dropped")] == [{"epoch": epoch, "first": 12, "last": 13}]


def test_a_conflict_starts_a_new_epoch_after_the_watermark(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 10)
    old = spool.epoch
    batch = spool.next_batch("a", max_results=4)
    assert batch is not None
    spool.new_epoch("conflict")
    spool.reposition("a", Position(old, 4))
    fill(spool, 1, start=50_000)
    batches = drain(spool)
    assert [(each.epoch, each.start, each.last) for each in batches] == [(old, 5, 11), (spool.epoch, 1, 2)]
    assert batches[1].records[0].kind == "epoch"


def test_a_collector_that_is_new_or_lost_everything_gets_it_all_again(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 10)
    first = drain(spool)
    spool.reposition("a", None)
    assert drain(spool) == first


def test_a_collector_older_than_what_is_kept_is_told_so(opened: Open, tmp_path: Path) -> None:
    ancient = Position(77, 5)
    spool = opened(tmp_path / "new")
    fill(spool, 3)
    spool.reposition("a", ancient)
    (batch,) = drain(spool)
    assert (batch.previous, batch.breach, batch.start, batch.last) == (ancient, "rolled back", 1, 4)

    kept = opened(tmp_path / "kept", segment_bytes=1000, keep_acked_ms=1000)
    fill(kept, 5)
    early = Position(kept.epoch, 3)
    drain(kept)
    stop(kept, 10_000)
    kept = opened(tmp_path / "kept", boot_ms=20_000, segment_bytes=1000, keep_acked_ms=1000)
    for start in range(21_000, 200_000, 30_000):
        fill(kept, 30, start)
        drain(kept)
    kept.reposition("a", early)
    batch = kept.next_batch("a")
    assert batch is not None and (batch.previous, batch.breach) == (early, "lost")
    assert batch.epoch == kept.epoch and batch.start > 1


def test_a_frame_that_nobody_takes_is_skipped_and_said_to_be_missing(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 10)
    epoch = spool.epoch
    batch = spool.next_batch("a", max_results=3)
    assert batch is not None
    spool.acknowledged("a", Position(epoch, batch.last))
    poison = spool.next_batch("a", max_results=1)
    assert poison is not None and (poison.start, poison.last) == (4, 4)
    spool.skip("a", Position(epoch, 4))
    spool.sync()
    batches = drain(spool)
    assert (batches[0].previous, batches[0].missing) == (Position(epoch, 3), [(4, 4)])
    assert latencies(batches) == list(range(503, 510))
    assert records(batches, "dropped")[0].data == {"epoch": epoch, "first": 4, "last": 4}


def test_a_skipped_frame_at_the_very_end(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 2)
    spool.skip("a", Position(spool.epoch, 3))
    batch = spool.next_batch("a")
    assert batch is not None
    assert (batch.start, batch.last, batch.missing, batch.states) == (1, 3, [(1, 3)], b"")


def test_the_lock_is_only_the_systems(tmp_path: Path, opened: Open) -> None:
    """A lock file left by a crash holds nobody back."""
    (tmp_path / "lock").write_bytes(b"")
    os.utime(tmp_path / "lock", (0, 0))
    opened(tmp_path)
