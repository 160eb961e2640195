"""What one agent can make the collector hold, in memory and in the store, is counted as what it is."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from collector.budgets import BudgetsConfig
from collector.evaluator.evaluation import MAX_FINDINGS
from collector.ingest.checkpoints import MAX_BUCKETS
from collector.ingest.limits import PushError
from collector.ingest.steps.finding_budget import MOST_PER_HOUR
from collector.store.cells import decode
from inventory.protocol.reasons import Phrase
from inventory.protocol.states import DEGRADED, DOWN, UP
from inventory.protocol.wire import Push, Record, encode_push
from tests.support.ingest_world import ChainAgent, IngestWorld, plan_of

CONFIG = BudgetsConfig()
FIVE_MINUTES = 300_000
Reasons = Sequence[tuple[int, str | Phrase]]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[IngestWorld]:
    world = IngestWorld(tmp_path / "state" / "haidang.db")
    await world.start()
    yield world
    await world.ingest.stop()
    await world.database.close()


async def long_running(world: IngestWorld, hold: int) -> ChainAgent:
    """An agent whose machine says that it has run for years, so that its looks may lie in any of them."""
    agent = await world.agent(plan_of(hold=hold), boot=b"formerly")
    agent.booted_at = world.clock.boot_ms() - 8 * 366 * 86_400_000
    for _ in range(2):
        world.clock.advance(2_000)
        await agent.push()
    return agent


async def say(agent: ChainAgent, states: Sequence[int], step: int, reasons: Reasons = ()) -> None:
    """Looks of one check, so many ms apart, each with its reason."""
    begin = 1_000_000 + agent.seq * step
    looks = [(0, begin + place * step, state) for place, state in enumerate(states)]
    nothing = [None] * len(looks)
    batch = agent.batch(looks, latency=nothing, values=nothing, reasons=list(reasons))
    await agent.send(encode_push(Push(version=2, sent=agent.reading(), echo=agent.echo, batch=batch)), batch)


def used(world: IngestWorld) -> float:
    """Bytes of its budget that the agent has used."""
    return CONFIG.stored - world.ingest.budgets.use("a1").stored.left


async def in_the_store(world: IngestWorld) -> int:
    sql = "SELECT coalesce(sum(length(reason) + 40), 0) FROM spans"
    sums = "SELECT coalesce(sum(length(body) + 20), 0) FROM sums"
    return await world.database.read(lambda db: db.execute(sql).get + db.execute(sums).get)


@pytest.mark.parametrize("what", ["reasons", "records"])
async def test_texts_that_were_read_are_not_held(world: IngestWorld, what: str) -> None:
    """Neither to know them again nor to read them faster: a few kB on the wire are half a MB of them."""
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)

    async def texts(number: int) -> None:
        world.clock.advance(30_000)
        if what == "reasons":
            many = tuple(Phrase("t", tuple(f"{number}-{k}-{i}" + "y" * 780 for i in range(9))) for k in range(24))
            batch = agent.batch(agent.all(DOWN), reasons=[(0, Phrase("x{0}", many))])
        else:
            why = f'["{number}{"x" * 60_000}"]'
            batch = agent.batch([], records=[Record(agent.now(), "disk", {"why": why})])
        await agent.send(encode_push(Push(version=2, sent=agent.reading(), echo=agent.echo, batch=batch)), batch)

    await texts(0)
    tracemalloc.start()
    try:
        for number in range(1, 60):
            await texts(number)
        assert tracemalloc.get_traced_memory()[0] < 2 << 20
    finally:
        tracemalloc.stop()


async def test_texts_take_a_bounded_time_to_read(world: IngestWorld) -> None:
    """A reason of many small parts costs more than its bytes. Above the budget fewer at once are asked for."""
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    world.clock.advance(30_000)
    many = tuple(Phrase("".join(f"{{{n}}}" for n in range(20)), ("",) * 20) for _ in range(10))
    wide = [Phrase("".join(f"{{{n}}}" for n in range(10)) + str(number), many) for number in range(400)]
    packed = '["{0}{1}",["a","b"]]' + " " * 200
    for batch in (
        agent.batch(agent.all(DOWN), reasons=[(0, one) for one in wide]),
        agent.batch([], records=[Record(agent.now(), "disk", {"why": packed}) for _ in range(1_000)]),
    ):
        with pytest.raises(PushError, match="at once") as refused:
            await agent.send(encode_push(Push(version=2, sent=agent.reading(), echo=agent.echo, batch=batch)), batch)
        assert refused.value.status == 413
    assert world.ingest.budgets.exceeded == {"texts": 2}
    before = world.ingest.budgets.use("a1").decoding.left
    batch = agent.batch(agent.all(DOWN), reasons=[(0, one) for one in wide[:40]])
    await agent.send(encode_push(Push(version=2, sent=agent.reading(), echo=agent.echo, batch=batch)), batch)
    assert before - world.ingest.budgets.use("a1").decoding.left > 20  # ms


async def test_the_reasons_of_spans_are_counted_as_stored(world: IngestWorld) -> None:
    """Two long texts by turns: they compress to nothing, and each look closes a span with one of them."""
    agent = await long_running(world, hold=70_000)
    for _ in range(10):
        reasons = [(place, "AB"[place % 2] + "y" * 190) for place in range(300)]
        await say(agent, [DEGRADED, DOWN] * 150, 1_000, reasons)
    assert len(await world.spans()) == 2_999
    assert used(world) > await in_the_store(world) > 500_000


async def test_sums_are_counted_as_stored_and_saved_before_there_are_many(world: IngestWorld) -> None:
    """A look every five minutes for years: each makes a row of sums, of which none is in the effect of a push."""
    agent = await long_running(world, hold=700_000)
    for _ in range(4):
        await say(agent, [UP] * 2_500, FIVE_MINUTES)
        await asyncio.sleep(0)
        assert world.state("a1").sums.open_buckets <= 2_500 + MAX_BUCKETS
    await world.ingest.stop()
    assert world.state("a1").sums.open_buckets <= 2
    assert used(world) > await in_the_store(world) > 250_000
    before = world.replayable_state()
    await world.crash()
    assert world.replayable_state() == before


async def test_findings_of_one_agent_do_not_stand_before_those_of_others(world: IngestWorld) -> None:
    """The evaluator reads so many at once; of an agent and kind it shows the newest one."""
    agent, other = await world.agent(), await world.agent(plan_of("a2"))
    for turn in range(MOST_PER_HOUR + 10):
        records = [Record(agent.now(), "clock", {"wall_ms": 5, "step_ms": n}) for n in range(100)]
        await agent.push(agent.batch([], records=[*records, Record(agent.now(), "disk", {"why": f"turn {turn}"})]))
    await other.push(other.batch([], records=[Record(other.now(), "disk", {"why": "its own"})]))
    findings = await world.ingest.store.read(lambda tx: tx.events.findings_after(0, MAX_FINDINGS))
    told = [finding for _, finding in findings]
    assert [finding.data for finding in told if finding.agent == "a2"] == [{"why": "its own"}]
    clock = [finding for finding in told if finding.kind == "agent clock"]
    assert len(clock) == MOST_PER_HOUR and {finding.data["step_ms"] for finding in clock} == {99}
    assert "turn 3" in str(told)
    events = await world.ingest.store.read(lambda tx: tx.events.newest(agent="a1", limit=10_000))
    assert len(events) == 101 * (MOST_PER_HOUR + 10)  # all are there to be looked at


@pytest.mark.parametrize("rounds", [0, 1, 2, 3, 5, 8])
async def test_an_end_amid_a_checkpoint_or_a_commit_saves_all_of_it_once(tmp_path: Path, rounds: int) -> None:
    world = IngestWorld(tmp_path / "state" / "haidang.db")
    await world.start()
    agent, other = await world.agent(), await world.agent(plan_of("a2"))
    for _ in range(40):
        await agent.look_and_push(UP, UP, UP)
    world.ingest.committer.request_save()
    late = asyncio.create_task(other.look_and_push(UP, UP, UP))
    for _ in range(rounds):
        await asyncio.sleep(0)
    await world.ingest.stop()
    await asyncio.wait([late], timeout=2)
    taken = await world.database.read(lambda db: db.execute("SELECT count(*) FROM batches").get)
    bodies = await world.database.read(lambda db: db.execute("SELECT body FROM sums").fetchall())
    await world.database.close()
    await world.start()
    assert sum(world.state(name).results for name in ("a1", "a2")) == 3 * taken >= 3 * 40
    kept = [bucket.cells for bucket in world.state("a1").sums.buckets()]
    kept += [decode(body) for (body,) in bodies]
    row = world.check("a1/c0").id
    assert sum(cells[row][0] for cells in kept if row in cells) == 40
    await world.ingest.stop()
    await world.database.close()
