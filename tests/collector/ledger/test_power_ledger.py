"""The ledger of power: seconds on mains, on battery and without, told by the UPS and how its agent fell silent."""

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from collector.metrics import measured
from collector.metrics.fleet import LabelledAgent, ScrapedAgent
from inventory.protocol.plan import Column
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from inventory.protocol.wire import Position, Record
from tests.support.ingest_world import ChainAgent, IngestWorld, plan_of

MINUTE = 60_000


@pytest.fixture
async def world(tmp_path):
    world = IngestWorld(tmp_path / "collector.db")
    await world.start()
    yield world
    await world.ingest.stop()
    await world.ingest.store.close()


def plan():
    """Place 0 is a check of kind power, place 1 a ping."""
    made = plan_of(checks=2)
    first = msgspec.structs.replace(made.checks[0], kind="power")
    return msgspec.structs.replace(
        made, checks=(first, *made.checks[1:]), columns={**made.columns, "power": (Column("m0", 10),)}
    )


async def on_battery_then_silent(world: IngestWorld, last: int = DEGRADED) -> ChainAgent:
    """Ten minutes on mains, two on battery; then nothing is heard for half an hour."""
    agent = await world.agent(plan())
    for state in [UP] * 20 + [last] * 4:
        assert (await agent.look_and_push(state, UP)).verdict == "taken"
    world.clock.advance(30 * MINUTE)
    return agent


async def starts(
    world: IngestWorld, old: ChainAgent, *, clean: bool, boot_ms: int = 40_000, boot: bytes = b"new boot"
) -> ChainAgent:
    """The agent again, ``boot_ms`` after its machine booted, with the looks that follow."""
    agent = ChainAgent(world.ingest, world.clock, old.plan, epoch=12, boot=boot)
    agent.booted_at = world.clock.boot_ms() - boot_ms
    agent.watermark = Position(old.epoch, old.seq)
    await agent.push()
    record = Record(agent.now(), "start", {"clean": clean})
    ack = await agent.push(agent.batch(agent.all(UP, UP), records=[record]))
    assert ack.verdict == "taken"
    await agent.look_and_push(UP, UP)
    return agent


async def seconds(world: IngestWorld) -> dict[str, float]:
    check = world.check("a1/c0")
    shown = [ScrapedAgent(LabelledAgent("a1", "", [(check.id, 'check="ups"')]), world.state("a1"), world.ingest.fleet)]
    families = parse("".join(measured.power(shown, False)))
    return {s.labels["source"]: s.value for family in families for s in family.samples}


async def test_on_battery_then_silence_then_a_boot_is_time_without_power(world: IngestWorld) -> None:
    old = await on_battery_then_silent(world)
    await starts(world, old, clean=False)
    told = await seconds(world)
    # mains 570 s to the last look on it, half the edge, and from the boot on; the battery likewise; what lies between
    # the last look and the boot (1,760 s) is half and half, and all of it uncertain
    assert told["none"] == pytest.approx(1760 / 2 + 20, abs=1)
    assert told["battery"] == pytest.approx(90 + 15 + 1760 / 2, abs=1)
    assert told["unknown"] == 0
    spans = {state: (sure_from, sure_to) for state, sure_from, sure_to in await sure(world) if state != UP}
    assert spans[DOWN][0] == spans[DOWN][1], "when the power failed is nowhere proven"
    reasons = [row[5] for row in await world.spans() if row[0] == world.check("a1/c0").id and row[1] == DOWN]
    assert reasons == ["probably without power: on battery, then silent, then booted again"]


async def sure(world: IngestWorld) -> list[tuple[int, int, int]]:
    row = world.check("a1/c0").id
    sql = "SELECT state, sure_from, sure_to FROM spans WHERE check_id = ? ORDER BY id"
    return await world.ingest.store.database.read(lambda db: db.execute(sql, (row,)).fetchall())


@pytest.mark.parametrize(
    ("last", "clean", "boot_ms"),
    [
        (UP, False, 40_000),  # on mains when it went silent: a crash, a pulled cable
        (DEGRADED, True, 40_000),  # shut down in good order, by whoever
        (DEGRADED, False, 3 * 60 * MINUTE),  # the machine was up all the time, only the agent was restarted
    ],
)
async def test_silence_that_says_nothing_of_power_is_unknown(
    world: IngestWorld, last: int, clean: bool, boot_ms: int
) -> None:
    old = await on_battery_then_silent(world, last)
    await starts(world, old, clean=clean, boot_ms=boot_ms)
    told = await seconds(world)
    assert told["none"] == 0
    assert told["unknown"] > 25 * 60


async def test_other_checks_are_not_touched_and_a_replay_gives_the_same(world: IngestWorld) -> None:
    old = await on_battery_then_silent(world)
    await starts(world, old, clean=False)
    ping = [row for row in await world.spans() if row[0] == world.check("a1/c1").id]
    assert {row[1] for row in ping} <= {UP, UNKNOWN}
    before = world.replayable_state()
    await world.crash()
    assert world.replayable_state() == before
