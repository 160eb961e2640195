"""Pruning: each sort of row goes when its time is over, nothing that a restart needs goes, and pushes do not wait."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.ingest.plans import CompiledPlan
from collector.ingest.states.sums import Sums
from collector.ledger.placement import Placement
from collector.store import cells, prune
from collector.store.prune import BATCHES, DEAD_LETTERS, EVENTS, FIVE_MINUTE_SUMS, HOURLY_SUMS, MAX_DEAD_LETTERS
from inventory.protocol.states import DOWN, UP
from inventory.protocol.wire import Batch
from tests.support.ingest_world import T0, IngestWorld
from tests.support.pruning import prune_all

HOUR, DAY = 3_600_000, 86_400_000


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[IngestWorld]:
    world = IngestWorld(tmp_path / "haidang.db")
    await world.start()
    yield world
    await world.ingest.stop()
    await world.ingest.store.close()


async def rows(world: IngestWorld, sql: str) -> list:
    return await world.ingest.store.database.read(lambda db: db.execute(sql).fetchall())


async def test_batches_go_seven_days_after_receipt_but_never_before_a_checkpoint(world: IngestWorld) -> None:
    agent = await world.agent()
    for code in (UP, DOWN, UP):
        await agent.look_and_push(UP, code, UP)
    store, now = world.ingest.store, world.clock.wall_ms()
    assert await prune_all(store, now + 100 * DAY) == 0  # no checkpoint covers them
    before = world.replayable_state()
    await world.crash()
    assert world.replayable_state() == before
    store = world.ingest.store
    await world.ingest.committer.save(["a1"])
    await prune_all(store, T0 + 60_000 + BATCHES)
    assert await rows(world, "SELECT id FROM batches") == [(2,), (3,)]
    await prune_all(store, now + BATCHES + 1)
    assert await rows(world, "SELECT id FROM batches") == []
    assert len(await world.spans()) == 2  # for ever
    await world.crash()
    assert world.replayable_state() == before
    agent.ingest = world.ingest
    assert (await agent.look_and_push(UP, UP, UP)).verdict == "taken"
    assert (
        await world.ingest.push("a1", agent.accepted_bodies[0])
    ).verdict == "repeat"  # known by the watermark, not by rows


async def test_what_waits_for_the_clock_stays(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    world.clock.step_wall(365 * DAY)
    await agent.look_and_push(UP, DOWN, UP)
    await world.ingest.committer.save_all()
    await prune_all(world.ingest.store, T0 + 500 * DAY)
    assert await rows(world, "SELECT id FROM batches") == [(2,)]
    world.clock.step_wall(-365 * DAY)
    await world.ingest.maintenance.tick()
    assert world.tail("a1/c1").state == DOWN
    await world.crash()
    assert world.tail("a1/c1").state == DOWN, "it was placed after the last checkpoint"


async def test_five_minute_sums_become_hourly_ones_and_add_up(world: IngestWorld) -> None:
    agent = await world.agent()
    for _ in range(400):
        await agent.look_and_push(UP, UP, UP)
    await world.ingest.committer.save_all()
    store, now = world.ingest.store, world.clock.wall_ms()

    async def total(width: int) -> tuple[int, int]:
        found = await store.read(lambda tx: tx.sums.of_check(1, 1, 0, 2**60, width))
        return sum(each.measures[0][0] for each in found), sum(each.measures[1][1] for each in found)

    fine = await total(300_000)
    assert fine[0] > 370 and await total(HOUR) == (0, 0)
    await prune_all(store, now + 12 * HOUR)
    assert await total(HOUR) == fine == await total(300_000)
    hours = await store.read(lambda tx: tx.sums.of_check(1, 1, 0, 2**60, HOUR))
    assert 3 <= len(hours) <= 5 and all(each.start % HOUR == 0 for each in hours)
    late = cells.empty(1)
    cells.put(late, 0, 5, 50, 10, 10)
    body = cells.encode({1: late})
    late_row = (1, hours[0].start, 300_000, hours[0].plan, body)
    insert = "INSERT INTO sums (stream, start, width, plan, body) VALUES (?, ?, ?, ?, ?)"
    await store.database.write(lambda db: db.execute(insert, late_row))
    await prune_all(store, now + 12 * HOUR)
    assert await total(HOUR) == (fine[0] + 5, fine[1])
    await prune_all(store, now + FIVE_MINUTE_SUMS + DAY)
    assert await total(300_000) == (0, 0) and (await total(HOUR))[0] == fine[0] + 5
    await prune_all(store, now + HOURLY_SUMS + DAY)
    assert await total(HOUR) == (0, 0)


async def test_five_minute_sums_that_come_late_are_added_up_before_they_go(world: IngestWorld) -> None:
    body = cells.empty(0)
    cells.put(body, 0, 1, 7, 7, 7)
    many = 3 * prune.STEP_ROWS // 2
    late = [(1, T0 + number * 300_000, 300_000, b"plan", cells.encode({1: body})) for number in range(many)]
    insert = "INSERT INTO sums (stream, start, width, plan, body) VALUES (?, ?, ?, ?, ?)"
    await world.ingest.store.database.write(lambda db: db.executemany(insert, late))
    await prune_all(world.ingest.store, T0 + FIVE_MINUTE_SUMS + 30 * DAY)
    found = await world.ingest.store.read(lambda tx: tx.sums.of_check(1, 1, 0, 2**60, HOUR))
    assert sum(each.measures[0][0] for each in found) == many
    assert await rows(world, "SELECT count(*) FROM sums WHERE width = 300000") == [(0,)]


async def test_letters_and_events_are_bounded(world: IngestWorld) -> None:
    def fill(db) -> None:
        letter = "INSERT INTO dead_letters VALUES (NULL, ?, 'a', 'r', 1, x'00')"
        db.executemany(letter, [(T0 + i,) for i in range(MAX_DEAD_LETTERS + 700)])
        event = "INSERT INTO events VALUES (NULL, ?, 'a', NULL, 'k', '{}', 1)"
        db.executemany(event, [(T0 + i * DAY,) for i in range(1_000)])

    await world.ingest.store.database.write(fill)
    await prune_all(world.ingest.store, T0 + DAY)
    assert await rows(world, "SELECT count(*) FROM dead_letters") == [(MAX_DEAD_LETTERS,)]
    await prune_all(world.ingest.store, T0 + DEAD_LETTERS + DAY)
    assert await rows(world, "SELECT count(*) FROM dead_letters") == [(0,)]
    await prune_all(world.ingest.store, T0 + EVENTS + 10 * DAY)
    assert await rows(world, "SELECT count(*) FROM events") == [(990,)]


async def test_no_step_is_large_and_pushes_go_on_between(world: IngestWorld) -> None:
    agent = await world.agent()
    body = b"x" * 200
    batch = "INSERT INTO batches VALUES (NULL, 1, 1, 1, 1, 1, 1, NULL, ?)"

    def fill(db) -> None:
        db.executemany(batch, [(body,)] * 5_000)
        db.execute("UPDATE replay SET after = 5000")

    await world.ingest.store.database.write(fill)
    world.ingest.committer.last_batch = 5_000
    assert 0 < await prune.step(world.ingest.store, T0) <= prune.STEP_ROWS
    verdicts = []

    async def pushing() -> None:
        while await rows(world, "SELECT min(id) FROM batches") < [(5_000,)]:
            verdicts.append((await agent.look_and_push(UP, UP, UP)).verdict)

    await asyncio.gather(prune_all(world.ingest.store, T0), pushing())
    assert set(verdicts) == {"taken"} and len(verdicts) >= 3
    assert await rows(world, "SELECT count(*) FROM batches") == [(len(verdicts),)]


VIEW = CompiledPlan(
    digest=b"plan",
    agent="a",
    rows=(7, 8),
    uids=("u", "v"),
    holds=(70_000, 70_000),
    kinds=("k", "l"),
    widths=(1, 0),
    columns={},
    width=1,
)
LOOK = st.tuples(st.integers(0, 30_000), st.none() | st.integers(0, 10**6), st.none() | st.integers(-(10**6), 10**6))


STEP = st.sampled_from([30_000, 30_001, 299_999, 10**7])


@given(st.lists(st.tuples(STEP, LOOK, LOOK), max_size=60), st.sets(st.integers(0, 59)))
def test_the_order_of_adding_up_changes_no_sum(story: list, asked: set[int]) -> None:
    """Blocks set aside and folded at any moment, against a dictionary kept by hand."""
    sums = Sums()
    want: dict[tuple[int, int, int], list[int]] = {}
    base = 0
    for i, (step, *looks) in enumerate(story):
        base += step  # an agent tells its looks in order
        at = [look[0] for look in looks]
        batch = Batch(
            epoch=1,
            previous=None,
            last=2,
            plan=b"plan",
            boot=b"b",
            base=base,
            checks=[0, 1],
            counts=[1, 1],
            at=at,
            states=b"\0\0",
            latency=[look[1] for look in looks],
            values=[looks[0][2]],
        )
        sums.add(VIEW, batch, Placement(b"b", base, base, T0, T0, 0), {})
        if i in asked:
            sums.buckets()
        measured = [(7, 0, at[0], looks[0][1]), (7, 1, at[0], looks[0][2]), (8, 0, at[1], looks[1][1])]
        for row, column, when, value in measured:
            if value is not None:
                start = (T0 + base + when) // 300_000 * 300_000
                want.setdefault((start, row, column), []).append(value)
    got = {
        (bucket.start, row, at // 4): list(cell[at : at + 4])
        for bucket in sums.buckets()
        for row, cell in bucket.cells.items()
        for at in range(0, len(cell), 4)
        if cell[at]
    }
    assert got == {key: [len(seen), sum(seen), min(seen), max(seen)] for key, seen in want.items()}


def test_sums_stand_still_before_they_overflow() -> None:
    cell = cells.empty(0)
    for _ in range(3):
        cells.put(cell, 0, 1, 2**62, 0, 1)
    assert list(cell) == [3, 2**62, 0, 1]
    assert cells.decode(cells.encode({5: cell})) == {5: cell}
    assert list(cells.merged([{5: cell}, {5: cell}, {6: cell}])[5]) == [6, 2**62, 0, 1]
