"""Restarts, restores and clocks that lie: whatever happened between, the ledger is the one that would have been."""

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.ingest import recovery
from collector.ingest.clock import EARLIEST_WALL, TRUST_AGAIN_AFTER, ClockTrust
from collector.ingest.plans import Plans
from collector.ingest.steps.sequence import MAX_PLAN_REQUESTS
from collector.ledger.batch_step import apply_slice
from collector.store.errors import StoreError
from inventory.protocol.states import DEGRADED, DOWN, UP
from inventory.protocol.wire import Position, Record, Run
from tests.support.ingest_world import T0, ChainAgent, IngestWorld, collector_clock, plan_of

CODES = st.sampled_from([UP, UP, UP, UP, DEGRADED, DOWN, 3])
STEP = st.sampled_from([30_000, 30_000, 30_000, 29_997, 5_000, 0, 75_000, 400_000])
SINGLE = st.tuples(st.just("single"), STEP, st.lists(CODES, min_size=3, max_size=3))
SOME = st.tuples(st.just("some"), STEP, st.lists(st.tuples(st.integers(0, 3), st.integers(0, 90), CODES), max_size=12))
ODD = st.tuples(st.sampled_from(["stop", "run", "refused", "empty", "save", "reboot"]), STEP, st.just(None))
EVENTS = st.lists(st.one_of(SINGLE, SINGLE, SINGLE, SOME, ODD), min_size=1, max_size=40)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[IngestWorld]:
    world = IngestWorld(tmp_path / "haidang.db")
    await world.start()
    yield world
    await world.ingest.stop()
    await world.database.close()


async def tell(world: IngestWorld, agent: ChainAgent, event: tuple[str, int, Any]) -> None:
    """One thing that happens to an agent."""
    kind, step, what = event
    world.clock.advance(step)
    now = agent.now()
    if kind == "single":
        batch = agent.batch(agent.all(*what))
    elif kind == "some":  # several looks of some checks, in any mixture, one of them not in the plan
        looks = sorted({(place, now - 1_000 * back): code for place, back, code in what}.items())
        batch = agent.batch([(place, at, code) for (place, at), code in looks])
        widths = [1 if place < 3 else 0 for (place, _), _ in looks]
        batch = msgspec.structs.replace(batch, values=[v for v, w in zip(batch.values, widths, strict=True) if w])
    elif kind == "stop":
        batch = agent.batch([], records=[Record(now, "stop", {"why": "test"})])
    elif kind == "run":
        run = Run(1, DOWN, now - 40_000, now, 3, "folded", 2, 60, 20, 40)
        batch = agent.batch([(0, now, UP)], runs=[run], last=agent.seq + 9)
    elif kind == "refused":
        batch = agent.batch(agent.all(UP), latency=[1])
    elif kind == "empty":
        batch = agent.batch([], last=agent.seq + 1)
    elif kind == "save":
        await world.ingest.committer.save([agent.plan.agent])
        return
    else:
        agent.boot = bytes([agent.boot[0] ^ 1]) + agent.boot[1:]
        agent.booted_at = world.clock.boot_ms() - 20_000
        agent.epoch, agent.seq, agent.echo = agent.epoch + 1, 0, None
        await agent.push()
        await world.ingest.committer.save_all()  # what a push without a batch tells of clocks is in checkpoints alone
        return
    ack = await agent.push(batch)
    if ack.verdict == "reposition":  # the first batch of a boot is sent again, with an echo
        await world.ingest.committer.save_all()
        ack = await agent.push(batch)
    assert ack.verdict in ("taken", "refused"), ack


async def told(path: Path, events: list[tuple[str, int, Any]], crashes: set[int]) -> tuple[dict[str, Any], list[Any]]:
    """The facts after all events, with a crash after some of them."""
    world = IngestWorld(path)
    await world.start()
    agent = await world.agent()
    await world.ingest.committer.save_all()
    for i, event in enumerate(events):
        await tell(world, agent, event)
        if i in crashes:
            before = world.replayable_state()
            await world.crash()
            assert world.replayable_state() == before, event
            agent.ingest = world.ingest
    facts, spans = world.replayable_state(), await world.spans()
    await world.ingest.stop()
    await world.database.close()
    return facts, spans


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(EVENTS, st.sets(st.integers(0, 39), max_size=4))
def test_a_replay_is_bit_equal_wherever_it_was_killed(events: list[Any], crashes: set[int]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        through = asyncio.run(told(Path(directory) / "a.db", events, crashes))
        straight = asyncio.run(told(Path(directory) / "b.db", events, set()))
    assert through == straight


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(STEP, st.lists(CODES, min_size=3, max_size=3)), min_size=1, max_size=60))
def test_pushes_of_single_looks_give_what_the_ledger_gives_look_by_look(story: list[tuple[int, list[int]]]) -> None:
    """The cheap way for pushes that only go on, against the ledger itself, look by look, as placed."""

    async def run(path: Path) -> None:
        world = IngestWorld(path)
        await world.start()
        agent = await world.agent()
        for step, codes in story:
            await agent.look_and_push(*codes, step=step)
        await check(world, agent)
        await world.ingest.stop()
        await world.database.close()

    async def check(world: IngestWorld, agent: ChainAgent) -> None:
        from collector.ingest.steps.place import decode_placement
        from inventory.protocol.wire import decode_push

        rows = await world.database.read(
            lambda db: db.execute("SELECT placing, body FROM batches ORDER BY id").fetchall()
        )
        spans = await world.spans()
        for place in range(3):
            tail, closed = None, []
            for placing, body in rows:
                batch, placed = decode_push(body).batch, decode_placement(placing)
                at = placed.at(batch.base + batch.at[place])
                tail = apply_slice(tail, closed, at, [], batch.states[place : place + 1], 70_000, placed.error)
            row = world.check(f"a1/c{place}").id
            assert world.state("a1").tails[row] == tail
            assert [(s[1], s[2], s[3], s[4]) for s in spans if s[0] == row] == [
                (span.state, span.start, span.end, span.looks) for span in closed
            ]

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory) / "a.db"))


async def test_sums_are_what_was_measured_whichever_way_it_came(world: IngestWorld) -> None:
    agent = await world.agent()
    for i in range(70):
        await agent.look_and_push(UP, UP, DOWN if i % 9 == 0 else UP)
        if i % 20 == 19:
            await world.ingest.committer.save(["a1"])
    world.clock.advance(1_500_000)
    start = agent.now() - 1_400_000
    await agent.push(agent.batch([(p, start + i * 30_000, UP) for i in range(40) for p in range(3)]))
    await world.ingest.committer.save_all()
    await world.crash()
    stored = await world.ingest.store.read(lambda tx: tx.sums.of_check(1, 1, 0, 2**60, 300_000))
    still = [[b.cells[1][:4], b.cells[1][4:]] for b in world.state("a1").sums.buckets() if 1 in b.cells]
    cells = [s.measures for s in stored] + still
    assert len(stored) > 5 and len({s.start for s in stored}) == len(stored)
    assert sum(cell[0][0] for cell in cells) == sum(cell[1][0] for cell in cells) == 110
    looks = [(at % 1000, at % 97) for body in agent.accepted_bodies for at in _boot_times(body, 0)]
    assert sum(cell[0][1] for cell in cells) == sum(latency for latency, _ in looks)
    assert sum(cell[1][1] for cell in cells) == sum(value for _, value in looks)
    assert min(cell[0][2] for cell in cells if cell[0][0]) == min(latency for latency, _ in looks)
    assert max(cell[1][3] for cell in cells) == max(value for _, value in looks)
    for found in stored:
        assert found.start % 300_000 == 0 and 0 < found.measures[0][0] <= 11


def _boot_times(body: bytes, place: int) -> list[int]:
    from inventory.protocol.wire import decode_push

    batch = decode_push(body).batch
    assert batch is not None
    begin = sum(batch.counts[:place])
    times, at = [], batch.base
    for delta in batch.at[begin : begin + batch.counts[place]]:
        at += delta
        times.append(at)
    return times


async def test_a_clean_stop_leaves_nothing_to_replay(world: IngestWorld) -> None:
    agent = await world.agent()
    for _ in range(5):
        await agent.look_and_push(UP, DOWN, UP)
    before = world.replayable_state()
    await world.ingest.stop()
    store, database = world.ingest.store, world.database
    after = database.read_now(lambda db: db.execute("SELECT after FROM replay").get)
    assert after == 5
    plans = Plans(store)
    plans.load()
    await database.close()
    await world.start()
    assert world.replayable_state() == before
    lives = await world.ingest.store.read(lambda tx: tx.life.runs(0, 2**60))
    assert [life.stopped is not None for life in lives] == [True, False]


async def test_a_batch_refused_without_its_plan_stays_refused_once_the_plan_is_known(world: IngestWorld) -> None:
    agent = await world.agent()
    served, agent.plan = agent.plan, plan_of(checks=4)
    for _ in range(MAX_PLAN_REQUESTS):
        await agent.look_and_push(UP, UP, UP, DOWN)
    refused = await agent.look_and_push(UP, UP, UP, DOWN)
    assert (refused.verdict, refused.watermark) == ("refused", Position(11, 4))
    await agent.bring_plan()
    agent.plan = served
    assert (await agent.look_and_push(UP, UP, UP)).verdict == "taken"
    await world.crash()
    state = world.state("a1")
    assert (state.watermark, state.results, state.dead, state.unplaceable) == (Position(11, 7), 3, 4, 0)
    assert [check.name for check in world.ingest.fleet.checks.values() if check.id in state.tails] == [
        "a1/c0",
        "a1/c1",
        "a1/c2",
    ]


async def test_every_changed_state_is_in_a_checkpoint_within_the_minute(world: IngestWorld) -> None:
    agents = [await world.agent(plan_of(f"a{i}")) for i in range(9)]
    for agent in agents:
        await agent.look_and_push(UP, UP, UP)
    for _ in range(60):  # seconds
        await world.ingest.maintenance.tick()
        await asyncio.sleep(0.001)
    saved = await world.database.read(lambda db: db.execute("SELECT min(batch) FROM streams").get)
    after = await world.database.read(lambda db: db.execute("SELECT after FROM replay").get)
    assert saved >= 1 and after == 9


async def test_a_restored_copy_gets_everything_again_and_its_counters_start_over(
    world: IngestWorld, tmp_path: Path
) -> None:
    agent = await world.agent()
    for _ in range(4):
        await agent.look_and_push(UP, UP, UP)
    await world.ingest.committer.save_all()
    copy = tmp_path / "copy.db"
    with sqlite3.connect(world.path) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    for code in (DOWN, DOWN, UP, UP):
        await agent.look_and_push(UP, code, UP)
    spans = await world.spans()
    old = world.ingest.store.incarnation
    await world.ingest.stop()
    await world.database.close()
    for left in tmp_path.glob("haidang.db*"):
        left.unlink()
    shutil.copy(copy, world.path)
    assert recovery.mark_restored(world.path, now_ms=world.clock.wall_ms()) != old
    await world.start()
    # at once, and not only when its agents are heard again: a scrape may come first
    assert [sum(tail.settled) for tail in world.state("a1").tails.values()] == [0, 0, 0]
    agent.ingest = world.ingest
    agent.watermark, agent.seq = Position(11, 24), 24
    ack = await agent.push()
    assert ack.incarnation != old and ack.watermark == Position(11, 12)
    for body in agent.accepted_bodies[4:]:
        assert (await world.ingest.push("a1", body)).verdict == "taken"
    assert [row[1:] for row in await world.spans()] == [row[1:] for row in spans]
    tail = world.tail("a1/c1")
    assert tail.looks == 2 and sum(tail.settled) == 0  # nothing from before the restore is counted
    await agent.look_and_push(UP, UP, UP)
    await agent.look_and_push(UP, UP, UP)
    counted = sum(world.tail("a1/c1").settled)
    assert 55_000 <= counted <= 60_010


def test_restoring_what_is_no_store_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store at"):
        recovery.mark_restored(tmp_path / "none.db")
    (tmp_path / "x.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(StoreError, match="not a store of ours"):
        recovery.mark_restored(tmp_path / "x.db")


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("step", [3_600_000, -3_600_000, -60_000 * 60 * 24 * 365 * 50])
async def test_a_step_of_the_collector_s_clock_moves_no_outage(tmp_path: Path, step: int, crash: bool) -> None:
    """Stepped for three minutes and set right again: the ledger is the undisturbed one."""

    async def story(path: Path, by: int) -> tuple[list[Any], dict[str, Any]]:
        world = IngestWorld(path)
        await world.start()
        agent = await world.agent()
        for i, code in enumerate((UP, UP, UP, DOWN, DOWN, DOWN, DOWN, UP, UP, UP, UP)):
            if i in (2, 8):
                world.clock.step_wall(by if i == 2 else -by)
                assert world.ingest.trust.recheck() == (by == 0 or i == 8)
            ack = await agent.look_and_push(UP, code, UP)
            assert (ack.verdict, ack.watermark) == ("taken", Position(11, 3 * (i + 1)))
            assert (ack.sent_ms == 0) == (by != 0 and 2 <= i < 8)
            if i == 5 and crash:
                await world.crash()
                agent.ingest = world.ingest
            await world.ingest.maintenance.tick()
        assert world.state("a1").deferred == ()
        spans, tails = await world.spans(), world.state("a1").tails
        before = world.replayable_state()
        await world.crash()
        assert world.replayable_state() == before
        await world.ingest.stop()
        await world.database.close()
        return spans, tails

    spans, tails = await story(tmp_path / "a.db", step)
    undisturbed, quiet_tails = await story(tmp_path / "b.db", 0)
    assert len(undisturbed) == 2
    assert [row[:2] for row in spans] == [row[:2] for row in undisturbed]
    for got, want in zip(spans, undisturbed, strict=True):
        assert got[2:4] == (pytest.approx(want[2], abs=50), pytest.approx(want[3], abs=50))
    assert {row: (tail.state, tail.looks) for row, tail in tails.items()} == {
        row: (tail.state, tail.looks) for row, tail in quiet_tails.items()
    }


def test_the_clock_is_believed_with_reason() -> None:
    clock = collector_clock()
    trust = ClockTrust(clock, recorded=T0 - 60_000)
    assert trust.recheck()
    clock.advance(10**7)
    clock.step_wall(900)  # slewed
    assert trust.recheck()
    clock.step_wall(3_600_000)
    assert not trust.recheck() and "stepped by +3600 s" in trust.why
    clock.step_wall(-3_600_000)
    assert trust.recheck()
    clock.step_wall(3_600_000)
    assert not trust.recheck()
    clock.advance(TRUST_AGAIN_AFTER - 1)
    assert not trust.recheck()
    clock.advance(1)
    assert trust.recheck() and [step.ms for step in trust.accepted_steps] == [pytest.approx(3_600_000, abs=1)]


async def test_a_clock_that_is_not_believed_says_nothing_of_the_collectors_life(world: IngestWorld) -> None:
    async def alive() -> int:
        return await world.database.read(lambda db: db.execute("SELECT max(alive) FROM collector_life").get)

    await world.ingest.maintenance.record_alive()
    before = await alive()
    world.clock.advance(60_000)
    world.clock.step_wall(365 * 86_400_000)
    await world.ingest.maintenance.record_alive()
    assert await alive() == before == T0
    world.clock.step_wall(-365 * 86_400_000)
    await world.ingest.maintenance.record_alive()
    assert await alive() == T0 + 60_000


def test_a_clock_before_what_is_recorded_is_not_believed() -> None:
    clock = collector_clock(T0 - 60_000)
    trust = ClockTrust(clock, recorded=T0)
    assert not trust.recheck() and "already past" in trust.why
    clock.advance(10**6)
    assert trust.recheck()
    assert not ClockTrust(collector_clock(1_000), recorded=0).recheck()
    assert ClockTrust(collector_clock(EARLIEST_WALL), recorded=0).recheck()


async def test_a_boot_that_never_met_the_collector_is_kept_and_unknown(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    dark = ChainAgent(world.ingest, world.clock, agent.plan, epoch=12, boot=b"darkdark")
    dark.watermark = agent.watermark
    world.clock.advance(86_400_000)
    never = dark.batch([(0, 50_000, DOWN), (1, 60_000, DOWN)], records=[Record(10, "start", {"wall_ms": 0})], last=3)
    agent.boot, agent.epoch = b"newboot!", 13
    agent.booted_at = world.clock.boot_ms() - 30_000
    agent.echo = None
    await agent.push()
    ack = await agent.push(never)
    assert ack.verdict == "taken" and ack.watermark == Position(12, 3)
    assert world.state("a1").unplaceable == 2
    assert "unplaceable" in await world.findings()
    agent.seq = 0
    assert (await agent.look_and_push(UP, UP, UP)).verdict == "taken"
    assert {row[1] for row in await world.spans()} == {UP}
    before = world.replayable_state()
    await world.crash()
    assert world.replayable_state() == before


async def test_a_boot_between_two_close_ones_is_bracketed(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    dark = ChainAgent(world.ingest, world.clock, agent.plan, epoch=12, boot=b"darkdark")
    dark.watermark = agent.watermark
    world.clock.advance(40_000)
    never = dark.batch([(0, 20_000, DOWN)])
    agent.boot, agent.epoch, agent.seq, agent.echo = b"newboot!", 13, 0, None
    agent.booted_at = world.clock.boot_ms() - 5_000
    await agent.push()
    assert (await agent.push(never)).verdict == "taken"
    tail = world.tail("a1/c0")
    assert tail.state == DOWN
    assert tail.last + tail.error_to >= T0 + 30_000 - NEAR and tail.last - tail.error_to <= T0 + 70_000
    assert tail.error_to <= 60_000


async def test_the_first_batch_of_a_boot_is_asked_for_again_once(world: IngestWorld) -> None:
    await world.ingest.serve_plan("a1", plan_of().encode())
    agent = ChainAgent(world.ingest, world.clock, plan_of())
    world.clock.advance(30_000)
    batch = agent.batch(agent.all(UP))
    ack = await agent.push(batch)
    assert (ack.verdict, ack.watermark) == ("reposition", None)
    agent.echo = None  # an agent that never echoes is taken all the same
    ack = await agent.push(batch)
    assert ack.verdict == "taken"
    assert world.tail("a1/c0").error_to > 50_000


NEAR = 10
