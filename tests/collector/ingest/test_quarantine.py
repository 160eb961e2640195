"""What the collector fails at is one agent's: at every place of ingest, by a fault put there on purpose."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.commands import release
from collector.config import AgentsConfig, CollectorConfig, CommandFailed, OperatorsConfig
from collector.ingest import checkpoints, committer, pipeline, quarantine, recovery
from collector.ingest.ingest import Ingest
from collector.ingest.limits import PushError
from collector.ingest.quarantine import MAX_BY_READING
from collector.store import prune
from inventory.protocol.bounds import MOST
from inventory.protocol.reasons import unpack
from inventory.protocol.states import DOWN, UP
from inventory.protocol.wire import Position, Record, Run
from tests.support.extremes import PushExample, body_of, changed, changes, raw_of
from tests.support.ingest_world import ChainAgent, IngestWorld, plan_of

BAD = "a1"  # the agent at which the collector fails


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[IngestWorld]:
    world = IngestWorld(tmp_path / "state" / "collector.db")
    await world.start()
    yield world
    await world.ingest.stop()
    await world.database.close()


@pytest.fixture
async def agents(world: IngestWorld) -> tuple[ChainAgent, ChainAgent]:
    """The bad one and another, both with a look taken."""
    bad, good = await world.agent(plan_of(BAD)), await world.agent(plan_of("a2"))
    await bad.look_and_push(UP, UP, UP)
    await good.look_and_push(UP, UP, UP)
    return bad, good


def fails_at_bad(original: Callable[..., Any], agent_of: Callable[..., str]) -> Callable[..., Any]:
    """The function, but for one agent."""

    def faulty(*args: Any, **more: Any) -> Any:
        if agent_of(*args, **more) == BAD:
            raise RuntimeError("this\nwent wrong")
        return original(*args, **more)

    return faulty


def at_steps(patch: pytest.MonkeyPatch) -> None:
    fault = fails_at_bad(pipeline.place_and_apply, lambda context, replayed=None: context.state.agent)
    patch.setattr(pipeline, "place_and_apply", fault)


def at_commit(patch: pytest.MonkeyPatch) -> None:
    original = committer.Committer._write

    def write(self: Any, tx: Any, group: Any) -> None:
        if any(item.state.agent == BAD for item in group):
            raise OverflowError("int too big to convert")
        original(self, tx, group)

    patch.setattr(committer.Committer, "_write", write)


def at_publication(patch: pytest.MonkeyPatch) -> None:
    fault = fails_at_bad(committer.Committer._publish_item, lambda self, item: item.state.agent)
    patch.setattr(committer.Committer, "_publish_item", fault)


@pytest.mark.parametrize(
    ("fault", "place"), [(at_steps, "steps"), (at_commit, "commit"), (at_publication, "publication")]
)
async def test_a_push_at_which_the_collector_fails_costs_its_agent_alone(
    world: IngestWorld, agents: tuple[ChainAgent, ChainAgent], fault: Callable[..., None], place: str
) -> None:
    bad, good = agents
    before = world.replayable_state()[BAD]
    world.clock.advance(30_000)
    with pytest.MonkeyPatch.context() as patch:
        fault(patch)
        batch = bad.batch(bad.all(DOWN))
        refused, taken = await asyncio.gather(
            bad.push(batch), good.push(good.batch(good.all(UP))), return_exceptions=True
        )
        assert isinstance(refused, PushError) and refused.status == 503
        assert not isinstance(taken, BaseException) and taken.verdict == "taken"
        (held,) = world.ingest.fleet.quarantine.agents.values()
        assert (held.agent, held.place) == (BAD, place)
        assert ("\n" not in unpack(held.why) and "went wrong" in unpack(held.why)) or "too big" in unpack(held.why)
        assert world.replayable_state()[BAD] == before

    # nothing more of it is taken, with a reason that it can act on; a restart changes nothing of that
    for _ in range(2):
        with pytest.raises(PushError) as again:
            await bad.push(batch)
        assert (again.value.status, again.value.verdict) == (503, "quarantined") and again.value.retry_after >= 60
        assert "quarantine" in again.value.message
        assert (await good.look_and_push(UP, UP, UP)).verdict == "taken"
        await world.ingest.readmission.tick()
        with pytest.MonkeyPatch.context() as patch:
            fault(patch)
            bad.ingest = good.ingest = await world.crash()
        assert set(world.ingest.fleet.quarantine.agents) == {BAD}

    assert (await released(world)).startswith("a1 was in quarantine")
    await world.ingest.readmission.tick()
    assert world.ingest.fleet.quarantine.agents == {}
    verdict = (await bad.push(batch)).verdict
    assert verdict == ("repeat" if place == "publication" else "taken")  # it was durable then, and not acknowledged
    assert world.tail("a1/c0").state == DOWN


async def released(world: IngestWorld, **more: bool) -> str:
    config = CollectorConfig(
        state_dir=world.path.parent,
        inventory=world.path.parent,
        agents=AgentsConfig(),
        operators=OperatorsConfig(),
    )
    assert config.database == world.path
    return "\n".join(await release.release(config, BAD, "an", set_aside=more.get("set_aside", False)))


async def test_a_state_that_cannot_be_saved_holds_up_nobodys_checkpoint(
    world: IngestWorld, agents: tuple[ChainAgent, ChainAgent], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, good = agents
    faulty = fails_at_bad(checkpoints.encode_state, lambda state, sums: state.agent)
    monkeypatch.setattr(checkpoints, "encode_state", faulty)
    await world.ingest.committer.save_all()
    assert set(world.ingest.fleet.quarantine.agents) == {BAD}
    saved = {one.agent: one.body is not None for one in await world.ingest.store.read(lambda tx: tx.checkpoints.all())}
    assert saved == {BAD: False, "a2": True}
    before = world.replayable_state()
    good.ingest = await world.crash()  # its batches are replayed
    assert world.replayable_state() == before
    assert (await good.look_and_push(UP, UP, UP)).verdict == "taken"


async def test_a_row_that_the_store_does_not_take_holds_up_nobodys_checkpoint(
    world: IngestWorld, agents: tuple[ChainAgent, ChainAgent]
) -> None:
    world.ingest.fleet.agents[BAD] = msgspec.structs.replace(world.state(BAD), contact=2**63)
    await world.ingest.committer.save_all()
    assert set(world.ingest.fleet.quarantine.agents) == {BAD}
    saved = {one.agent: one.body is not None for one in await world.ingest.store.read(lambda tx: tx.checkpoints.all())}
    assert saved == {BAD: False, "a2": True}


async def test_a_batch_that_cannot_be_replayed_is_set_aside_by_a_person(
    world: IngestWorld, agents: tuple[ChainAgent, ChainAgent]
) -> None:
    bad, good = agents
    await world.ingest.committer.save_all()
    before = world.replayable_state()[BAD]
    ack = await bad.look_and_push(DOWN, DOWN, DOWN)
    await world.database.write(lambda db: db.execute("UPDATE batches SET body = 'x' WHERE id = 3"))
    bad.ingest = good.ingest = await world.crash()
    (held,) = world.ingest.fleet.quarantine.agents.values()
    assert (held.agent, held.place, held.batch) == (BAD, "recovery", 3)
    assert world.replayable_state()[BAD] == before
    assert (await good.look_and_push(UP, UP, UP)).verdict == "taken"

    await world.ingest.readmission.tick()
    await released(world)
    await world.ingest.readmission.tick()
    assert set(world.ingest.fleet.quarantine.agents) == {BAD}  # it fails at the same again

    await world.ingest.readmission.tick()
    assert "dead letter" in await released(world, set_aside=True)
    await world.ingest.readmission.tick()
    assert world.ingest.fleet.quarantine.agents == {}
    assert world.state(BAD).watermark == ack.watermark
    assert (await bad.look_and_push(UP, UP, UP)).verdict == "taken"
    assert release.SET_ASIDE in [letter.reason for letter in await world.dead_letters()]
    audit = await world.ingest.store.read(lambda tx: tx.audit.all())
    assert [(who, what) for _, who, what, _ in audit] == [("an", "release")] * 2
    bad.ingest = await world.crash()
    assert world.ingest.fleet.quarantine.agents == {}


async def test_a_checkpoint_that_cannot_be_read_is_set_aside_by_a_person(
    world: IngestWorld, agents: tuple[ChainAgent, ChainAgent]
) -> None:
    bad, good = agents
    await world.ingest.committer.save_all()
    await world.database.write(lambda db: db.execute("UPDATE streams SET body = x'c1' WHERE agent = 'a1'"))
    bad.ingest = good.ingest = await world.crash()
    assert set(world.ingest.fleet.quarantine.agents) == {BAD}
    assert (await good.look_and_push(UP, UP, UP)).verdict == "taken"
    await world.ingest.readmission.tick()
    await released(world, set_aside=True)
    await world.ingest.readmission.tick()
    assert world.ingest.fleet.quarantine.agents == {}
    assert world.state(BAD).watermark == bad.watermark  # nothing is taken twice
    assert (await bad.look_and_push(DOWN, DOWN, DOWN)).verdict == "taken"
    assert world.tail("a1/c0").state == DOWN


async def test_a_plan_that_cannot_be_read_keeps_nobody_from_starting(
    world: IngestWorld, agents: tuple[ChainAgent, ChainAgent]
) -> None:
    _, good = agents
    broken = plan_of(BAD).encode().replace(b'["m0",10]', b'["m0",0]')
    digest = hashlib.sha256(broken).digest()[:8]
    await world.ingest.store.write(lambda tx: tx.plans.add(digest, BAD, broken, 1))
    good.ingest = await world.crash()
    assert (await good.look_and_push(UP, UP, UP)).verdict == "taken"


async def test_a_restored_store_with_a_broken_checkpoint_is_restored(
    world: IngestWorld, agents: tuple[ChainAgent, ChainAgent]
) -> None:
    await world.ingest.committer.save_all()
    await world.database.write(lambda db: db.execute("UPDATE streams SET body = x'c1' WHERE agent = 'a1'"))
    await world.ingest.stop()
    await world.database.close()
    recovery.mark_restored(world.path, now_ms=world.clock.wall_ms())
    await world.start()
    assert set(world.ingest.fleet.quarantine.agents) == {BAD}


async def test_what_a_quarantined_agent_has_in_the_store_is_not_pruned(
    world: IngestWorld, agents: tuple[ChainAgent, ChainAgent]
) -> None:
    _, good = agents
    world.ingest.fleet.quarantine.put(BAD, quarantine.CHECKPOINT, ValueError("x"))
    await world.ingest.readmission.tick()
    await good.look_and_push(UP, UP, UP)
    await world.ingest.committer.save_all()
    await prune.step(world.ingest.store, world.clock.wall_ms() + prune.BATCHES + 1)
    streams = {row.stream for row in await world.ingest.store.read(lambda tx: tx.batches.after(0, 99))}
    assert streams == {world.state(BAD).stream}


async def test_faults_of_reading_cannot_silence_a_province(world: IngestWorld) -> None:
    held = world.ingest.fleet.quarantine
    for number in range(50):
        held.row_failed(quarantine.PAGE, f"b{number}", ValueError("our own mistake"))
    assert len(held.agents) == MAX_BY_READING and held.rows_failed[quarantine.PAGE] == 50
    assert held.put("c", quarantine.RECOVERY, ValueError("x"))  # but what cannot be recovered is, always


async def test_who_is_not_in_quarantine_cannot_be_released(world: IngestWorld) -> None:
    with pytest.raises(CommandFailed, match="no agent 'a1' is in quarantine"):
        await released(world)


# -- the numbers that ended the collector


async def test_a_start_at_the_end_of_time_is_set_aside(world: IngestWorld) -> None:
    agent = await world.agent()
    start = {"wall_ms": -(2**63), "version": "1", "platform": "x", "clean": True}
    batch = agent.batch(agent.all(UP), records=[Record(agent.now() - 10, "start", start)])
    assert (await agent.push(batch)).verdict == "taken"
    await world.ingest.committer.save_all()
    assert world.state("a1").results == 3 and len(await world.dead_letters()) == 1
    await world.crash()
    assert world.ingest.fleet.quarantine.agents == {}


@pytest.mark.parametrize("latency", [(0, 0, 0, 0), (2**53, 2**53, 1, 2**53), (1, 2**53, 2**53, 2**53), (2, 1, 5, 9)])
async def test_runs_of_more_looks_than_there_were_moments_are_set_aside(world: IngestWorld, latency: tuple) -> None:
    agent = await world.agent()
    begin = agent.now() - 9_000
    runs = [Run(0, UP, begin + 2 * n, begin + 2 * n + 1, 2**53, "", *latency) for n in range(1_500)]
    assert (await agent.push(agent.batch([], runs=runs, last=1_500))).verdict == "taken"
    await world.ingest.committer.save_all()
    assert world.state("a1").dead == 1_500 and world.state("a1").results == 0
    await world.crash()
    assert world.ingest.fleet.quarantine.agents == {}


async def test_sums_stand_still_at_the_most_that_can_be_kept(world: IngestWorld) -> None:
    """Runs that can be, of a machine that has run for 60 years, until nothing more can be added."""
    agent = await world.agent()
    agent.booted_at -= 2**40
    agent.boot, agent.echo = b"longlong", None
    await agent.push()
    await agent.push()
    now = agent.now()
    state = world.state("a1").successor()
    world.ingest.committer.publish(msgspec.structs.replace(state, results=MOST - 1, dead=MOST, unplaceable=MOST - 2))
    run = Run(0, UP, now - 10_000, now, 10_001, "", 10_001, 10_001 * 2**42, 2**42, 2**42)
    assert (await agent.push(agent.batch([], runs=[run], last=5))).verdict == "taken"
    assert world.state("a1").results == MOST
    await world.ingest.committer.save_all()
    await world.crash()
    assert world.state("a1").results == MOST and world.ingest.fleet.quarantine.agents == {}


@pytest.mark.parametrize("years", [11, 30, 65])
async def test_a_look_of_before_the_program_is_not_placed(world: IngestWorld, years: int) -> None:
    agent = await world.agent()
    agent.booted_at -= years * 366 * 86_400_000
    agent.boot, agent.echo = b"longlong", None
    await agent.push()
    await agent.push()
    assert (await agent.push(agent.batch(agent.all(DOWN, at=1_000)))).verdict == "taken"
    assert world.state("a1").unplaceable == 3 and world.state("a1").tails == {}
    assert (await agent.look_and_push(UP, UP, UP)).verdict == "taken"
    assert world.tail("a1/c0").state == UP


async def test_an_uptime_that_no_machine_has_is_no_push(world: IngestWorld) -> None:
    agent = await world.agent()
    agent.booted_at -= 2**46
    with pytest.raises(PushError, match="not a push"):
        await agent.push()


# -- any sequence of hostile pushes


def _facts(ingest: Ingest) -> dict[str, Any]:
    state = ingest.fleet.agents["a2"]
    return {"tails": state.tails, "latest": state.latest, "results": state.results, "sums": state.sums.buckets()}


async def _told(path: Path, picks: list[int], restarts: set[int], hostile: bool) -> dict[str, Any]:
    world = IngestWorld(path)
    await world.start()
    bad, good = await world.agent(plan_of(BAD)), await world.agent(plan_of("a2"))
    epoch = 500
    watermark: Position | None = None
    for turn, pick in enumerate(picks):
        world.clock.advance(20_000)
        epoch += 1
        if hostile:
            here = PushExample(
                bad.boot, bad.now(), 0, bad.echo, watermark, epoch, bad.plan.encode(), (1,) * len(bad.plan.checks)
            )
            raw = raw_of(here.push())
            every = list(changes(raw))
            path_, _, how = every[pick % len(every)]
            try:
                ack = await world.ingest.push(BAD, body_of(changed(raw, path_, how)))
                watermark = ack.watermark
            except PushError:
                pass
        assert (await good.look_and_push(UP, DOWN if turn % 3 else UP, UP, step=10_000)).verdict == "taken"
        if turn in restarts:
            bad.ingest = good.ingest = await world.crash()
            assert world.ingest.fleet.quarantine.agents == {}
    facts = _facts(world.ingest)
    await world.ingest.stop()
    await world.database.close()
    return facts


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=12), st.sets(st.integers(0, 11), max_size=3))
def test_after_any_hostile_pushes_and_restarts_the_others_are_as_without(
    tmp_path_factory: pytest.TempPathFactory, picks: list[int], restarts: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("pair")
    beside = asyncio.run(_told(folder / "beside.db", picks, restarts, True))
    alone = asyncio.run(_told(folder / "alone.db", picks, restarts, False))
    assert beside == alone
