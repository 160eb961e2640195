"""A spool cut short, flipped, overwritten or robbed of a file: what is left arrives, the rest is named."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.spool import CheckResult, FileOps, Position, Spool, SpoolError, SpoolLocked
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


def missing(batches: list[Batch]) -> list[tuple[int, int]]:
    return [gap for batch in batches for gap in batch.missing]


def records(batches: list[Batch], kind: str) -> list[Record]:
    return [record for batch in batches for record in batch.records if record.kind == kind]


def only_segment(directory: Path) -> Path:
    (path,) = directory.glob("*.seg")
    return path


def test_truncated_at_every_byte_everything_before_the_cut_arrives(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path / "whole")
    fill(spool, 10)
    fill(spool, 10, start=20_000)
    crash(spool)
    whole = only_segment(tmp_path / "whole").read_bytes()
    kept_before = 0
    for cut in range(len(whole) + 1):
        directory = tmp_path / "cut"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        (directory / "0000000001.seg").write_bytes(whole[:cut])
        spool = opened(directory, boot_ms=100_000)
        fill(spool, 1, start=100_000)
        batches = drain(spool)
        kept = sum(len(batch.states) for batch in batches) - 1
        assert missing(batches) == [] and records(batches, "damaged") == []  # a torn tail is not damage
        arrived = [value for batch in batches if batch.epoch != spool.epoch for value in batch.latency]
        assert sorted(arrived, key=str) == sorted([*range(500, 510), *range(500, 510)][:kept], key=str)
        assert kept >= kept_before
        kept_before = kept
        crash(spool)
    assert kept_before == 20


def test_every_byte_flipped_loses_at_most_its_own_frame(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path / "whole")
    fill(spool, 12)
    fill(spool, 12, start=20_000)
    spool.use_plan(b"planNEXT")
    fill(spool, 3, start=40_000)
    crash(spool)
    whole = only_segment(tmp_path / "whole").read_bytes()
    frames = 1 + 27
    for place in range(len(whole)):
        directory = tmp_path / "flipped"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        (directory / "0000000001.seg").write_bytes(damaged)
        spool = opened(directory, boot_ms=100_000)
        spool.sync()
        batches = [batch for batch in drain(spool) if batch.epoch != spool.epoch]
        got = sum(len(batch.states) + len(batch.records) for batch in batches)
        lost = sum(last - first + 1 for first, last in missing(batches))
        assert frames - 1 <= got <= frames, f"byte {place}"
        # the very last frame is as good as a torn tail; every other one is declared
        assert got + lost == frames or (got == frames - 1 and place >= len(whole) - 40), f"byte {place}"
        crash(spool)


def test_damage_is_declared_once_as_a_record_and_in_the_batch(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 30)
    epoch = spool.epoch
    crash(spool)
    path = only_segment(tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    again = opened(tmp_path, boot_ms=50_000)
    again.sync()
    assert again.stats()["damaged"] == 1
    batches = drain(again)
    ((first, last),) = missing(batches)
    assert [record.data for record in records(batches, "damaged")] == [{"epoch": epoch, "first": first, "last": last}]
    stop(again, 51_000)
    third = opened(tmp_path, boot_ms=60_000)
    assert third.stats()["damaged"] == 0


@pytest.mark.parametrize("length", [1, 40, 700, 5000])
def test_a_ruined_stretch_loses_itself_alone(opened: Open, tmp_path: Path, length: int) -> None:
    chance = random.Random(length)
    spool = opened(tmp_path, segment_bytes=4096)
    for start in range(2000, 602_000, 20_000):
        fill(spool, 20, start)
    crash(spool)
    paths = sorted(tmp_path.glob("*.seg"))
    path = paths[1]
    data = bytearray(path.read_bytes())
    place = chance.randrange(max(1, len(data) - length))
    data[place : place + length] = chance.randbytes(length)[: len(data) - place]
    path.write_bytes(data)
    again = opened(tmp_path, boot_ms=700_000)
    again.sync()
    batches = drain(again)
    lost = sum(last - first + 1 for first, last in missing(batches))
    assert sum(len(batch.states) for batch in batches) + lost == 600
    assert lost <= length // 20 + 2
    assert lost == again.stats()["damaged"]


def test_a_whole_segment_gone(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=4096)
    for start in range(2000, 602_000, 20_000):
        fill(spool, 20, start)
    crash(spool)
    sorted(tmp_path.glob("*.seg"))[1].unlink()
    again = opened(tmp_path, boot_ms=700_000)
    again.sync()
    batches = drain(again)
    ((first, last),) = missing(batches)
    assert last - first + 1 + sum(len(batch.states) for batch in batches) == 600
    assert again.stats()["damaged"] == last - first + 1


def test_a_whole_life_gone(opened: Open, tmp_path: Path) -> None:
    epochs = []
    for life in range(3):
        spool = opened(tmp_path, boot_ms=life * 100_000, segment_bytes=200)
        fill(spool, 20, start=life * 100_000)
        epochs.append(spool.epoch)
        spool.close()
    paths = sorted(tmp_path.glob("*.seg"))
    assert len(paths) == 3
    paths[1].unlink()
    (tmp_path / "cursors").unlink()
    again = opened(tmp_path, boot_ms=400_000)
    again.sync()
    batches = drain(again)
    assert [record.data for record in records(batches, "damaged")] == [{"epoch": epochs[1], "first": 1, "last": 21}]
    assert [(batch.epoch, batch.breach) for batch in batches] == [
        (epochs[0], ""),
        (epochs[2], "lost"),
        (again.epoch, ""),
    ]


def test_the_end_of_a_life_damaged(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path)
    fill(spool, 30)
    crash(spool)
    path = only_segment(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    again = opened(tmp_path, boot_ms=50_000)
    again.sync()
    batches = drain(again)
    assert [record.data["first"] for record in records(batches, "damaged")] == [31]
    assert [batch.breach for batch in batches] == ["", "lost"]


def test_frames_outlive_all_that_was_written_before_them(opened: Open, tmp_path: Path) -> None:
    """Gone is what said under which plan and boot the first frames were made: a later sync says it too."""
    spool = opened(tmp_path)
    fill(spool, 20)
    fill(spool, 20, start=30_000)
    crash(spool)
    path = only_segment(tmp_path)
    path.write_bytes(bytes(200) + path.read_bytes()[200:])
    again = opened(tmp_path, boot_ms=90_000)
    again.sync()
    batches = drain(again)
    assert sum(len(batch.states) for batch in batches) >= 36
    assert batches[0].plan == b"planplan" and batches[0].missing[0][0] == 1


def test_a_segment_that_vanishes_or_rots_under_a_running_agent(opened: Open, tmp_path: Path) -> None:
    spool = opened(tmp_path, segment_bytes=4096)
    for start in range(2000, 602_000, 20_000):
        fill(spool, 20, start)
    paths = sorted(tmp_path.glob("*.seg"))
    paths[0].unlink()
    data = bytearray(paths[1].read_bytes())
    data[100:200] = bytes(100)
    paths[1].write_bytes(data)
    batches = drain(spool)
    lost = sum(last - first + 1 for first, last in missing(batches))
    start = 1 if batches[0].missing and batches[0].missing[0][0] == 1 else 0
    assert sum(len(batch.states) for batch in batches) + lost - start == 600
    assert batches[0].start == 1 and not batches[0].breach


def test_a_sector_that_cannot_be_read(opened: Open, tmp_path: Path) -> None:
    class BadSector(NoSync):
        bad = False

        def read(self, path: Path, offset: int, size: int) -> bytes:
            if self.bad and offset < 4100 and offset + size > 4096:
                raise OSError(5, "Input/output error")
            return super().read(path, offset, size)

    ops = BadSector()
    spool = opened(tmp_path, ops=ops)
    fill(spool, 600)
    ops.bad = True
    batches = drain(spool)
    lost = sum(last - first + 1 for first, last in missing(batches))
    assert 0 < lost < 250
    assert sum(len(batch.states) for batch in batches) + lost == 600


def test_a_machine_out_of_descriptors_is_no_damage(opened: Open, tmp_path: Path) -> None:
    class Exhausted(NoSync):
        fails = False

        def read(self, path: Path, offset: int, size: int) -> bytes:
            if self.fails:
                raise OSError(24, "Too many open files")
            return super().read(path, offset, size)

    ops = Exhausted()
    spool = opened(tmp_path, ops=ops)
    fill(spool, 10)
    ops.fails = True
    with pytest.raises(OSError, match="Too many"):
        spool.next_batch("a")
    ops.fails = False
    (batch,) = drain(spool)
    assert len(batch.states) == 10 and not batch.missing


def test_garbage_files_are_not_taken_for_frames(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "0000000001.seg").write_bytes(random.Random(1).randbytes(100_000))
    (tmp_path / "0000000002.seg").write_bytes(bytes(range(0xE1, 0xE5)) * 5000)
    (tmp_path / "0000000003.tmp").write_bytes(b"half a fold")
    (tmp_path / "cursors").write_bytes(b"\xff" * 50)
    spool = opened(tmp_path)
    fill(spool, 3)
    assert [len(batch.states) for batch in drain(spool)] == [3]
    assert not (tmp_path / "0000000003.tmp").exists()


def test_a_newer_version_s_files_are_refused_and_kept(opened: Open, tmp_path: Path) -> None:
    path = tmp_path / "0000000001.seg"
    path.write_bytes(b"hdspool9" + bytes(100))
    with pytest.raises(SpoolError, match="another version"):
        opened(tmp_path)
    assert path.read_bytes() == b"hdspool9" + bytes(100)


def test_one_writer(opened: Open, tmp_path: Path) -> None:
    first = opened(tmp_path)
    with pytest.raises(SpoolLocked, match="another haidang-agent"):
        opened(tmp_path)
    first.close()
    opened(tmp_path)
