"""Folding: the ledger comes out the same, cursors and batches in flight are respected, space is won."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.spool import CheckResult, FileOps, Position, Spool
from agent.spool.fold import fold
from agent.spool.frames import (
    FOLD,
    RESULT,
    FrameContext,
    SpoolFrame,
    decode_fold,
    decode_record,
    decode_result,
    record_frame,
    result_frame,
)
from collector.ledger.state_step import LedgerTail, Span, first_tail, step
from inventory.protocol.states import UNKNOWN
from inventory.protocol.wire import Batch, Record

HOLDS = [70_000, 20_000, 130_000]
CONTEXT = FrameContext(7, b"bootboot", b"planplan", 1000, None)
Make = Callable[..., Spool]


class NoSync(FileOps):
    def sync(self, descriptor: int) -> None: ...

    def sync_directory(self, directory: Path) -> None: ...


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    opened: list[Spool] = []

    def make(collectors: tuple[str, ...] = ("a",), limit: int = 8000, segment: int = 2000, **more: object) -> Spool:
        options: dict[str, object] = {
            "boot": b"bootboot",
            "boot_ms": 1000,
            "plan": b"planplan",
            "start": {},
            "holds": lambda plan: [70_000] * 20,
            "ops": NoSync(),
        }
        spool = Spool.open(
            tmp_path / "spool",
            collectors=collectors,
            limit_bytes=limit,
            segment_bytes=segment,
            **{**options, **more},  # type: ignore[arg-type]
        )
        opened.append(spool)
        return spool

    yield make
    for spool in opened:
        spool.close()


def fill(
    spool: Spool, count: int, *, start: int = 2000, checks: int = 2, state: Callable[[int], int] = lambda n: 0
) -> int:
    """``count`` results, one a second, synced ten at a time; the time after them."""
    for number in range(count):
        spool.append(CheckResult(number % 2, start + number * 1000, state(number), 500 + number % 7, (number,)))
        if number % 10 == 9:
            spool.sync()
    spool.sync()
    return start + count * 1000


def drain(spool: Spool, collector: str = "a") -> list[Batch]:
    found = []
    while (batch := spool.next_batch(collector)) is not None:
        found.append(batch)
        spool.acknowledged(collector, Position(batch.epoch, batch.last))
    return found


def looks_in(batches: list[Batch]) -> int:
    return sum(len(batch.states) + sum(run.count for run in batch.runs) for batch in batches)


def ledgers(frames: list[SpoolFrame]) -> list[tuple[LedgerTail | None, list[Span]]]:
    """Each check's ledger after these frames, raw or folded. A stop record ends every hold, as ingest does it."""
    tails: list[LedgerTail | None] = [None] * len(HOLDS)
    spans: list[list[Span]] = [[] for _ in HOLDS]

    def take(check: int, state: int, first: int, last: int, looks: int, reason: str) -> None:
        tail = tails[check]
        if tail is None:
            tails[check] = first_tail(state, first, last, HOLDS[check], 0, looks, reason)
        else:
            step(tail, spans[check], state, first, last, HOLDS[check], 0, looks, reason)

    for frame in frames:
        if frame.kind == RESULT:
            look = decode_result(frame.body)
            at = look.at + frame.context.base
            take(look.check, look.state, at, at, 1, look.reason)
        elif frame.kind == FOLD:
            for run in decode_fold(frame.body).runs:
                take(run.check, run.state, run.first, run.last, run.count, run.reason)
        else:
            record = decode_record(frame.body)
            if record.kind == "stop":
                for check in range(len(HOLDS)):
                    take(check, UNKNOWN, record.at, record.at, 0, "agent stopped")
    return list(zip(tails, spans, strict=True))


looks = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from([0, 1, 5_000, 19_999, 20_000, 20_001, 40_000, 70_000, 70_001, 140_000]),
        st.sampled_from([0, 0, 0, 1, 2, 3]),
        st.none() | st.integers(0, 5_000_000),
    ),
    min_size=1,
    max_size=120,
)


def frames_of(items: list[tuple[int, int, int, int | None]]) -> list[SpoolFrame]:
    at, frames = 2000, []
    for seq, (check, gap, state, latency) in enumerate(items, 1):
        at += gap
        reason = f"reason {seq % 3}" if seq % 3 else ""
        frames.append(result_frame(CONTEXT, seq, CheckResult(check, at, state, latency, (seq,), reason)))
    return frames


@settings(max_examples=200, deadline=None)
@given(looks, st.data())
def test_the_ledger_of_folded_results_is_the_ledger_of_the_results(
    items: list[tuple[int, int, int, int | None]], data: st.DataObject
) -> None:
    raw = frames_of(items)
    cuts = [Position(7, seq) for seq in data.draw(st.lists(st.integers(0, len(raw)), max_size=3))]
    kept = data.draw(st.sets(st.integers(1, len(raw)), max_size=3))
    once = list(fold(raw, lambda plan: HOLDS, cuts, lambda frame: frame.seq in kept))
    twice = list(fold(once, lambda plan: HOLDS))
    assert ledgers(once) == ledgers(raw)
    assert ledgers(twice) == ledgers(raw)
    for folded in (once, twice):
        upto = 0
        for frame in folded:
            assert frame.seq == upto + 1
            upto = frame.last
        assert upto == len(raw)
    for cut in cuts:
        assert not any(frame.seq <= cut.seq < frame.last for frame in once)
    assert all(frame.kind == RESULT for frame in once if any(frame.seq <= seq <= frame.last for seq in kept))


def test_a_run_never_bridges_a_gap_longer_than_the_hold() -> None:
    raw = frames_of([(1, 20_000, 0, None)] * 20 + [(1, 20_001, 0, None)] + [(1, 20_000, 0, None)] * 20)
    (folded,) = fold(raw, lambda plan: HOLDS)
    assert [(run.first, run.last, run.count) for run in decode_fold(folded.body).runs] == [
        (22_000, 402_000, 20),
        (422_001, 822_001, 21),
    ]


def test_a_fold_ends_where_frames_are_missing() -> None:
    raw = frames_of([(0, 1000, 0, 5)] * 100)
    del raw[50:52]
    folded = list(fold(raw, lambda plan: HOLDS))
    assert [(frame.seq, frame.last) for frame in folded] == [(1, 50), (53, 100)]


def test_records_survive_a_fold_as_they_were() -> None:
    stop = Record(60_000, "clock", {"wall_ms": 5, "step_ms": -3_600_000})
    raw = frames_of([(0, 1000, 0, 5)] * 40)
    raw += [record_frame(CONTEXT, 41, stop)]
    (folded,) = fold(raw, lambda plan: HOLDS)
    assert decode_fold(folded.body).records == [stop]


def test_without_holds_nothing_is_folded() -> None:
    raw = frames_of([(0, 1000, 0, 5)] * 40)
    assert list(fold(raw, lambda plan: None)) == raw
    assert list(fold(raw, lambda plan: ())) == raw


def test_a_fold_that_would_be_longer_is_left_alone() -> None:
    raw = [result_frame(CONTEXT, seq, CheckResult(seq, 2000 + seq, 0, None, ())) for seq in range(1, 4)]
    assert list(fold(raw, lambda plan: HOLDS)) == raw


def test_months_of_outage_cost_resolution_not_availability(make: Make) -> None:
    spool = make()
    fill(spool, 5000)
    stats = spool.stats()
    assert stats["bytes"] <= 8000 and stats["folded"] > 4000 and stats["dropped"] == 0
    batches = drain(spool)
    assert looks_in(batches) == 5000
    assert not any(batch.missing or batch.breach for batch in batches)
    assert batches[0].records[0].kind == "start"


def test_a_fold_respects_a_cursor_amid_its_segment(make: Make) -> None:
    spool = make(("a", "b"))
    fill(spool, 60)
    taken = []
    for most in (7, 13):
        batch = spool.next_batch("a", max_results=most)
        assert batch is not None
        taken.append(batch)
        spool.acknowledged("a", Position(batch.epoch, batch.last))
    fill(spool, 3000, start=100_000)
    assert spool.stats()["folded"] > 1000
    for name, earlier in (("a", taken), ("b", [])):
        batches = earlier + drain(spool, name)
        assert not any(batch.missing or batch.breach for batch in batches)
        assert looks_in(batches) == 3060


def test_a_batch_in_flight_stays_as_it_was_sent(make: Make) -> None:
    """Its acknowledgement may have been lost, so its end may be where the collector is."""
    spool = make()
    fill(spool, 60)
    sent = spool.next_batch("a", max_results=25)
    assert sent is not None and sent.last == 25
    fill(spool, 3000, start=100_000)
    assert spool.stats()["folded"] > 1000
    assert spool.next_batch("a", max_results=25) == sent
    assert spool.next_batch("a", max_results=25, max_bytes=100_000) == sent  # read anew from the disk
    spool.reposition("a", Position(sent.epoch, sent.last))
    batches = [sent, *drain(spool)]
    assert not any(batch.missing or batch.breach for batch in batches)
    assert looks_in(batches) == 3060


def test_no_fold_crosses_the_end_of_any_batch_that_may_have_arrived(make: Make) -> None:
    """The acknowledgement of the first was lost, and smaller batches were tried after it."""
    spool = make()
    fill(spool, 60)
    sent = spool.next_batch("a", max_results=25)
    assert sent is not None
    spool.next_batch("a", max_results=10)
    fill(spool, 3000, start=100_000)
    assert spool.stats()["folded"] > 1000
    spool.reposition("a", Position(sent.epoch, sent.last))
    batches = [sent, *drain(spool)]
    assert not any(batch.missing or batch.breach for batch in batches)
    assert looks_in(batches) == 3060


def test_reading_goes_on_in_a_segment_that_was_folded_or_merged_meanwhile(make: Make) -> None:
    spool = make(("a", "b"))
    fill(spool, 150)
    batch = spool.next_batch("a", max_results=110)
    assert batch is not None
    spool.acknowledged("a", Position(batch.epoch, batch.last))  # reading is to go on amid the second segment
    total, at = 150, 200_000
    for _ in range(6):
        at = fill(spool, 400, start=at)
        total += 400
    assert spool.stats()["segments"] <= 5
    assert looks_in([batch, *drain(spool)]) == total


def test_what_every_collector_has_goes_first(make: Make) -> None:
    spool = make(limit=20_000)
    fill(spool, 300)
    drain(spool)
    fill(spool, 550, start=400_000)
    stats = spool.stats()
    assert stats["bytes"] <= 20_000 and stats["folded"] == stats["dropped"] == 0
    assert looks_in(drain(spool)) == 550


def test_what_every_collector_has_is_kept_for_a_week_of_running(make: Make) -> None:
    spool = make(limit=1 << 20, keep_acked_ms=100_000)
    at = fill(spool, 90)
    epoch = drain(spool)[0].epoch
    spool.reposition("a", Position(epoch, 1))
    assert looks_in(drain(spool)) == 90
    at = fill(spool, 90, start=at)
    drain(spool)
    fill(spool, 200, start=at + 200_000)
    spool.reposition("a", Position(epoch, 1))
    batch = spool.next_batch("a")
    assert batch is not None
    assert batch.previous == Position(epoch, 1) and batch.missing[0][0] == 2 and not batch.breach


def test_past_all_folding_the_oldest_is_dropped_and_said_to_be(make: Make) -> None:
    spool = make()
    fill(spool, 3000, state=lambda number: number // 2 % 2)  # every look a change: nothing folds
    stats = spool.stats()
    assert stats["bytes"] <= 8000 and stats["dropped"] > 2000
    batches = drain(spool)
    missing = {seq for batch in batches for first, last in batch.missing for seq in range(first, last + 1)}
    declared = {
        seq
        for batch in batches
        for record in batch.records
        if record.kind == "dropped"
        for seq in range(record.data["first"], record.data["last"] + 1)
    }
    assert batches[0].start == 1 and missing <= declared
    assert len(missing) + looks_in(batches) + sum(len(batch.records) for batch in batches) == batches[-1].last


def test_a_dead_collector_costs_the_living_one_nothing(make: Make) -> None:
    spool = make(("alive", "dead"), limit=16_000)
    got, at = 0, 2000
    for _ in range(60):
        at = fill(spool, 100, start=at, state=lambda number: number // 2 % 2)
        batches = drain(spool, "alive")
        assert not any(batch.missing or batch.breach for batch in batches)
        got += looks_in(batches)
    assert got == 6000
    assert spool.stats()["bytes"] <= 16_000
    late = drain(spool, "dead")
    assert late[0].missing and looks_in(late) > 50


def test_a_dead_collector_s_share_leaves_the_other_its_raw_results(make: Make) -> None:
    """A backlog that would not fold lies there for the dead one when the living one is cut off for a while."""
    spool = make(("alive", "dead"), limit=20_000)
    at = 2000
    for _ in range(30):
        at = fill(spool, 100, start=at, state=lambda number: number // 2 % 2)
        drain(spool, "alive")
    assert spool.stats()["bytes"] <= 20_000 // 2 + 4000  # its share, and the segment being written
    fill(spool, 300, start=at)
    (batch,) = drain(spool, "alive")
    assert len(batch.states) == len(batch.values) == 300 and not batch.runs


def test_every_byte_of_a_fold_flipped_loses_at_most_one_frame(make: Make, tmp_path: Path) -> None:
    spool = make(limit=1 << 20)
    fill(spool, 100)
    spool.use_plan(b"planNEXT")
    fill(spool, 100, start=200_000)
    batch = spool.next_batch("a", max_results=40)
    assert batch is not None
    spool.acknowledged("a", Position(batch.epoch, batch.last))
    segment = spool._log.segments[0]
    spool._space._fold(segment)
    whole = segment.path.read_bytes()
    expected = {frame.seq for frame in segment.frames(NoSync())}
    assert 2 <= len(expected) <= 30
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 0x40
        segment.path.write_bytes(damaged)
        left = {frame.seq for frame in segment.frames(NoSync())}
        assert left <= expected and len(expected - left) <= 1, f"byte {place}"


def test_a_fold_is_synced_before_it_takes_the_place_of_the_results(make: Make, tmp_path: Path) -> None:
    seen: list[str] = []

    class Watched(FileOps):
        def sync(self, descriptor: int) -> None:
            seen.append(f"{os.fstat(descriptor).st_size} bytes in {len(list(tmp_path.rglob('*.tmp')))} new files")
            super().sync(descriptor)

        def sync_directory(self, directory: Path) -> None:
            seen.append(f"directory, {len(list(tmp_path.rglob('*.tmp')))} new files")
            super().sync_directory(directory)

    spool = make(limit=1 << 20, ops=Watched())
    fill(spool, 200)
    seen.clear()
    segment = spool._log.segments[0]
    spool._space._fold(segment)
    assert seen == [f"{segment.size} bytes in 1 new files", "directory, 0 new files"]


def test_a_collector_that_is_no_longer_named_holds_nothing_back(make: Make) -> None:
    spool = make(("alive", "gone"))
    fill(spool, 100, state=lambda number: number // 2 % 2)
    spool.serve(["alive"])
    for start in range(200_000, 2_000_000, 200_000):
        fill(spool, 100, start=start, state=lambda number: number // 2 % 2)
        drain(spool, "alive")
    assert spool.stats()["dropped"] == 0


def test_a_crash_amid_a_merge_leaves_every_frame_once(make: Make, tmp_path: Path) -> None:
    class Cut(Exception):
        pass

    spool = make(limit=1 << 20)
    fill(spool, 400)
    log, space = spool._log, spool._space
    space._fold(log.segments[0])
    space._fold(log.segments[1])
    second = log.segments[1].path
    kept = second.read_bytes()
    assert space._merge(log.segments[0], log.segments[1])
    second.write_bytes(kept)  # the crash came before it was removed
    log.close()
    spool._lock.release()
    again = make(limit=1 << 20)
    assert not second.exists()
    again.sync()
    batches = drain(again)
    assert looks_in(batches) == 400 and not any(batch.missing or batch.breach for batch in batches)
    assert again.stats()["damaged"] == 0
