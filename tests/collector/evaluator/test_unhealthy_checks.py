"""What the evaluator sees of the published states: every check that is not up, nothing else, and cheaply."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from collector.evaluator.problems.unhealthy_checks import UNHEALTHY, UnhealthyChecks
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from inventory.protocol.wire import Present
from tests.support.ingest_world import IngestWorld, plan_of


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[IngestWorld]:
    world = IngestWorld(tmp_path / "collector.db")
    await world.start()
    yield world
    await world.ingest.stop()
    await world.ingest.store.close()


def seen(watch: UnhealthyChecks, world: IngestWorld) -> dict[int, tuple[int, int]]:
    """(state, looks) by row."""
    watch.refresh(world.clock.wall_ms())
    return {row: (one.state, one.looks) for each in watch.by_agent.values() for row, one in each.items()}


async def test_a_check_that_goes_down_is_seen_with_its_looks_and_reason(world: IngestWorld) -> None:
    agent, watch = await world.agent(), UnhealthyChecks(world.ingest.fleet)
    await agent.look_and_push(UP)
    await agent.look_and_push(UP)
    assert seen(watch, world) == {}
    await agent.push(agent.batch(agent.all(UP, DOWN, UP), reasons=[(1, "refused")]))
    row = world.check("a1/c1").id
    assert seen(watch, world) == {row: (DOWN, 1)}
    assert watch.by_agent["a1"][row].reason == "refused"
    await agent.look_and_push(UP, DOWN, UP)
    await agent.look_and_push(UP, DOWN, UP)
    assert seen(watch, world) == {row: (DOWN, 3)}
    await agent.look_and_push(UP)
    assert seen(watch, world) == {} and not watch.by_agent


async def test_silence_is_not_down(world: IngestWorld) -> None:
    agent, watch = await world.agent(), UnhealthyChecks(world.ingest.fleet)
    await agent.look_and_push(UP, DOWN, DEGRADED)
    assert len(seen(watch, world)) == 2
    world.clock.advance(69_000)
    assert len(seen(watch, world)) == 2
    world.clock.advance(2_000)  # past the hold
    assert seen(watch, world) == {}
    await agent.look_and_push(UP, DOWN, UP)
    assert len(seen(watch, world)) == 1


async def test_the_present_state_beside_a_backlog_is_seen_before_the_ledger_has_it(world: IngestWorld) -> None:
    agent, watch = await world.agent(), UnhealthyChecks(world.ingest.fleet)
    await agent.look_and_push(UP)
    world.clock.advance(600_000)
    now = agent.now()
    present = Present(agent.plan.digest, agent.boot, now, bytes([UP, DOWN, UP]), [now - 60_000] * 3, [4] * 3)
    await agent.push(present=present, backlog=50)
    row = world.check("a1/c1").id
    assert seen(watch, world) == {row: (DOWN, 4)}
    assert watch.by_agent["a1"][row].provisional
    present = Present(agent.plan.digest, agent.boot, agent.now() + 0, bytes([UP] * 3), [now] * 3, [9] * 3)
    world.clock.advance(1_000)
    await agent.push(present=present, backlog=40)
    assert seen(watch, world) == {}


async def test_the_shortcut_for_agents_that_are_well_hides_nothing(world: IngestWorld) -> None:
    """Against looking at every check of every agent at every turn, over random states, pauses and restarts."""
    rng = random.Random(5)
    agents = [await world.agent(plan_of(f"a{n}", checks=4)) for n in range(3)]
    watch = UnhealthyChecks(world.ingest.fleet)
    for _ in range(150):
        world.clock.advance(rng.choice((1_000, 30_000, 30_000, 75_000)))
        for agent in agents:
            if rng.random() < 0.8:
                weights = (30, 1, 2, 1) if rng.random() < 0.7 else (1, 1, 1, 1)
                await agent.push(agent.batch(agent.all(*rng.choices((UP, DEGRADED, DOWN, UNKNOWN), weights, k=4))))
        assert seen(watch, world).keys() == _all_wrong(world), "what is wrong was missed, or made up"


def _all_wrong(world: IngestWorld) -> set[int]:
    fleet, now = world.ingest.fleet, world.clock.wall_ms()
    states = {row: fleet.status(check, now) for row, check in fleet.checks.items()}
    return {row for row, state in states.items() if state is not None and state.state in UNHEALTHY}


async def test_a_check_that_left_the_plan_is_no_trouble(world: IngestWorld) -> None:
    agent, watch = await world.agent(), UnhealthyChecks(world.ingest.fleet)
    await agent.look_and_push(DOWN)
    assert len(seen(watch, world)) == 3
    await world.ingest.serve_plan("a1", plan_of(checks=1).encode())
    assert len(seen(watch, world)) == 1
