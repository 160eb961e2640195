"""The spool against a model that only remembers: whatever happens, each synced frame arrives once or is declared."""

import itertools
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from agent.spool import CheckResult, FileOps, Position, Spool
from agent.spool.frames import RECORD, SpoolFrame, decode_record
from agent.spool.log import PendingWrite
from inventory.protocol.wire import Batch, Record, Run
from tests.support.spools import stop

BOOT = b"bootboot"
PLANS = [b"plan-one", b"plan-two"]
HOLD = 70_000
CHECKS = 3
MEMORY = Path("/dev/shm")  # renaming on a disk takes a millisecond, and there are thousands


class Unsynced(FileOps):
    """The model's crashes lose what was not written; real syncs would only cost time."""

    def sync(self, descriptor: int) -> None: ...

    def sync_directory(self, directory: Path) -> None: ...


class Taker:
    """A collector: takes what continues its watermark, and checks every batch against what was appended."""

    def __init__(self, written: dict[int, list[CheckResult | Record]]) -> None:
        self.written = written
        self.watermark: Position | None = None
        self.covered: dict[int, set[int]] = {}
        self.missing: set[tuple[int, int]] = set()
        self.breaches: list[str] = []
        self.put_back = False  # restored to an older copy at some time
        self.seen: dict[tuple[int, int, int], Batch] = {}

    def snapshot(self) -> dict[str, Any]:
        return {
            "watermark": self.watermark,
            "covered": {epoch: set(seqs) for epoch, seqs in self.covered.items()},
            "missing": set(self.missing),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.watermark = state["watermark"]
        self.covered = {epoch: set(seqs) for epoch, seqs in state["covered"].items()}
        self.missing = set(state["missing"])
        self.put_back = True
        self.seen = {}

    def take(self, batch: Batch) -> str:
        if batch.previous != self.watermark:
            mark = self.watermark
            before = self.seen.get((batch.epoch, batch.start, batch.last))
            # only what was given up meanwhile may differ
            assert before is None or before == batch or batch.missing, "the same range with other content"
            repeat = mark and mark.epoch == batch.epoch and batch.last <= mark.seq
            return "repeat" if repeat else "reposition"
        self.seen[(batch.epoch, batch.start, batch.last)] = batch
        seqs = set(range(batch.start, batch.last + 1))
        for first, last in batch.missing:
            assert batch.start <= first <= last <= batch.last
            seqs -= set(range(first, last + 1))
            self.missing |= {(batch.epoch, seq) for seq in range(first, last + 1)}
        already = self.covered.setdefault(batch.epoch, set())
        assert not already & seqs, "a frame twice"
        already |= seqs
        check_content(batch, [self.written[batch.epoch][seq - 1] for seq in sorted(seqs)])
        if batch.breach:
            self.breaches.append(batch.breach)
        self.watermark = Position(batch.epoch, batch.last)
        return "taken"


def results_of(batch: Batch) -> list[tuple[int, int, int, int | None, str]]:
    reasons = dict(batch.reasons)
    found: list[tuple[int, int, int, int | None, str]] = []
    place = 0
    for check, count in zip(batch.places(), batch.counts, strict=True):
        at = batch.base
        for _ in range(count):
            at += batch.at[place]
            found.append((check, at, batch.states[place], batch.latency[place], reasons.get(place, "")))
            place += 1
    return found


def check_content(batch: Batch, expected: list[CheckResult | Record]) -> None:
    """Runs, then results, say exactly what was appended, check by check; records are all there."""
    assert [item for item in expected if isinstance(item, Record)] == batch.records
    plain = results_of(batch)
    for check in range(CHECKS):
        looks = [item for item in expected if isinstance(item, CheckResult) and item.check == check]
        for run in (run for run in batch.runs if run.check == check):
            stretch, looks = looks[: run.count], looks[run.count :]
            check_run(run, stretch)
        assert [(item.check, item.at, item.state, item.latency, item.reason) for item in looks] == [
            row for row in plain if row[0] == check
        ]
    values = [value for check in range(CHECKS) for item in plain_items(expected, batch, check) for value in item.values]
    assert values == batch.values


def plain_items(expected: list[CheckResult | Record], batch: Batch, check: int) -> list[CheckResult]:
    looks = [item for item in expected if isinstance(item, CheckResult) and item.check == check]
    return looks[sum(run.count for run in batch.runs if run.check == check) :]


def check_run(run: Run, looks: list[CheckResult]) -> None:
    assert len(looks) == run.count and {look.state for look in looks} == {run.state}
    assert (looks[0].at, looks[-1].at) == (run.first, run.last)
    assert all(after.at - before.at <= HOLD for before, after in itertools.pairwise(looks))
    timed = [look.latency for look in looks if look.latency is not None]
    assert (run.latency_count, run.latency_sum) == (len(timed), sum(timed))
    if timed:
        assert (run.latency_min, run.latency_max) == (min(timed), max(timed))
    assert run.reason == looks[0].reason


class Machine(RuleBasedStateMachine):
    """One agent, two collectors. ``limit`` is what subclasses vary."""

    limit = 1 << 20

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="spool-", dir=MEMORY if MEMORY.is_dir() else None))
        self.now = 1_000_000
        self.forgetful = False
        self.written: dict[int, list[CheckResult | Record]] = {}
        self.synced: dict[int, int] = {}
        self.takers = {name: Taker(self.written) for name in ("a", "b")}
        self.backups = {name: [taker.snapshot()] for name, taker in self.takers.items()}
        self.open()

    def open(self) -> None:
        self.spool = Spool.open(
            self.directory,
            boot=BOOT,
            boot_ms=self.now,
            plan=PLANS[0],
            start={"wall_ms": 1},
            collectors=["a", "b"],
            limit_bytes=self.limit,
            segment_bytes=1500,
            holds=lambda plan: [HOLD] * CHECKS,
            ops=Unsynced(),
        )
        self.watch()

    def learn(self) -> None:
        """What the spool itself appended (records) is read back from its buffer."""
        self.note(self.spool._buffer)

    def watch(self) -> None:
        """See every write: a sync adds records of its own to it."""
        write = self.spool._log.write

        def seen(batch: list[SpoolFrame], life: int) -> PendingWrite:
            pending = write(batch, life)
            self.note(batch)
            for frame in batch:
                self.synced[frame.context.epoch] = frame.last
            return pending

        self.spool._log.write = seen  # type: ignore[method-assign]

    def note(self, frames: list[SpoolFrame]) -> None:
        for frame in frames:
            items = self.written.setdefault(frame.context.epoch, [])
            if frame.seq > len(items):
                assert frame.seq == len(items) + 1
                assert frame.kind == RECORD
                items.append(decode_record(frame.body))

    @rule(
        data=st.lists(
            st.tuples(
                st.integers(0, CHECKS - 1),
                st.integers(0, 90_000),
                st.integers(0, 3),
                st.none() | st.integers(0, 10**7),
                st.sampled_from(["", "refused", "no route"]),
                st.lists(st.none() | st.integers(-(2**40), 2**40), max_size=3),
            ),
            min_size=1,
            max_size=25,
        ),
        steady=st.booleans(),
    )
    def append(self, data: list[tuple[int, int, int, int | None, str, list[int | None]]], steady: bool) -> None:
        for check, gap, state, latency, reason, values in data:
            if steady:
                gap, state, reason = gap // 10, 0, ""
            self.put(check, gap, state, latency, reason, values)

    def put(self, check: int, gap: int, state: int, latency: int | None, reason: str, values: list[Any]) -> None:
        self.learn()
        self.now += gap
        item = CheckResult(check, self.now, state, latency, tuple(values), reason)
        seq = self.spool.append(item)
        items = self.written.setdefault(self.spool.epoch, [])
        items.append(item)
        assert seq == len(items)

    @rule(seed=st.integers(0, 2**32), count=st.integers(50, 300), flap=st.sampled_from([0.0, 0.02, 0.5]))
    def bulk(self, seed: int, count: int, flap: float) -> None:
        """Many looks with a sync after every tenth, as in an outage of the WAN."""
        chance = random.Random(seed)
        for number in range(count):
            state = chance.randrange(4) if chance.random() < flap else 0
            look = (number % CHECKS, chance.choice([100, 9_000, 30_000]), state, chance.randrange(9999), "", [number])
            self.put(*look)
            if number % 10 == 9:
                self.sync()

    @rule(plan=st.sampled_from(PLANS))
    def replan(self, plan: bytes) -> None:
        self.spool.use_plan(plan)

    @rule()
    def sync(self) -> None:
        self.learn()
        self.spool.sync()
        self.learn()

    @rule(name=st.sampled_from("ab"), most=st.integers(1, 60), size=st.integers(50, 4000), fate=st.integers(0, 5))
    def push(self, name: str, most: int, size: int, fate: int) -> None:
        """The batch arrives or not, and so does its acknowledgement."""
        batch = self.spool.next_batch(name, max_results=most, max_bytes=size)
        if batch is None or fate == 0:
            return
        assert self.spool.next_batch(name, max_results=most, max_bytes=size) == batch
        taker = self.takers[name]
        verdict = taker.take(batch)
        if fate == 1:
            return
        if verdict == "reposition":
            self.spool.reposition(name, taker.watermark)
        else:
            assert taker.watermark is not None
            self.spool.acknowledged(name, taker.watermark)

    @rule(name=st.sampled_from("ab"))
    def back_up(self, name: str) -> None:
        self.backups[name].append(self.takers[name].snapshot())

    @rule(name=st.sampled_from("ab"), which=st.integers(0, 9))
    def restore(self, name: str, which: int) -> None:
        """The collector is put back to an older copy; the agent hears of it at the next exchange."""
        saved = self.backups[name]
        self.takers[name].restore(saved[which % len(saved)])

    @precondition(lambda self: self.now > 2_000_000)
    @rule(clean=st.booleans(), lose_cursors=st.booleans())
    def restart(self, clean: bool, lose_cursors: bool) -> None:
        self.now += 1000
        if clean:
            self.learn()
            epoch = self.spool.epoch
            self.written.setdefault(epoch, []).append(Record(self.now, "stop", {"why": "test"}))
            stop(self.spool, self.now)
        else:
            self.spool._log.close()  # as a crash leaves it: what was not synced is gone, the cursors are old
            self.spool._lock.release()
        if lose_cursors:
            (self.directory / "cursors").unlink(missing_ok=True)
            self.forgetful = True
        self.open()
        for name, taker in self.takers.items():
            self.spool.reposition(name, taker.watermark)

    @invariant()
    def bounded(self) -> None:
        if hasattr(self, "spool"):
            assert self.spool.stats()["bytes"] <= self.limit + 6000

    def teardown(self) -> None:
        if not hasattr(self, "spool"):
            return
        try:
            self.sync()
            self.drain()
        finally:
            self.spool.close()
            shutil.rmtree(self.directory)

    def drain(self) -> None:
        for name, taker in self.takers.items():
            self.spool.reposition(name, taker.watermark)
            while (batch := self.spool.next_batch(name)) is not None:
                verdict = taker.take(batch)
                if verdict == "taken":
                    assert taker.watermark
                    self.spool.acknowledged(name, taker.watermark)
                else:
                    self.spool.reposition(name, taker.watermark)
            assert self.spool.backlog(name) == 0
            self.judge(taker)

    def judge(self, taker: Taker) -> None:
        """Everything synced is there: nothing was given up, for there was room."""
        assert not taker.missing and not taker.breaches
        for epoch, last in self.synced.items():
            assert taker.covered[epoch] == set(range(1, last + 1))


class Cramped(Machine):
    """Room for a few segments only: folds, merges, drops. What does not arrive was declared."""

    limit = 9000

    def judge(self, taker: Taker) -> None:
        declared = {
            (item.data["epoch"], seq)
            for items in self.written.values()
            for item in items
            if isinstance(item, Record) and item.kind == "dropped"
            for seq in range(item.data["first"], item.data["last"] + 1)
        }
        for epoch, last in self.synced.items():
            lacking = set(range(1, last + 1)) - taker.covered.get(epoch, set())
            undeclared = {(epoch, seq) for seq in lacking} - taker.missing - declared
            if not taker.put_back and not self.forgetful:
                assert taker.missing <= declared and {(epoch, seq) for seq in lacking} <= declared
            # a collector put back to before what every collector had may find that gone, and is told "lost"
            assert not undeclared or taker.breaches


common = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)
TestSpool = Machine.TestCase
TestSpool.settings = common
TestCramped = Cramped.TestCase
TestCramped.settings = common
