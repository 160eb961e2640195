"""Plans that agents bring: only those that were served to them count, and an old one changes no check's life."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from collector.ingest.plans import EARLIEST_BIRTH, FOREIGN, UNSIGNED
from collector.ingest.steps.sequence import MAX_PLAN_REQUESTS, MAX_PLANS_ASKED
from collector.keys.pki import CertificateAuthority
from collector.ledger.counted import Interval
from collector.queries.availability import figures
from collector.queries.reader import LedgerReader
from collector.store.records import IssuedCertificate, RegisteredCheck
from inventory.model.entities import Inventory
from inventory.protocol.plan import Column, Plan
from inventory.protocol.states import DOWN, UP
from inventory.protocol.wire import Present
from tests.support.evaluator_world import DAY, HOUR, MINUTE, FixedInventory
from tests.support.ingest_world import AUTHORITY, T0, ChainAgent, IngestWorld, plan_of

ANOTHER = CertificateAuthority.create(T0)
NEAR = 2_000  # ms


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[IngestWorld]:
    made = IngestWorld(tmp_path / "collector.db")
    await made.start()
    yield made
    await made.ingest.stop()
    await made.ingest.store.close()


def renamed(plan: Plan, name: str) -> Plan:
    first = msgspec.structs.replace(plan.checks[0], name=name)
    return msgspec.structs.replace(plan, checks=(first, *plan.checks[1:]))


NOT_SERVED = {
    "unsigned": ([], UNSIGNED),
    "empty": ([b""], UNSIGNED),
    "foreign": ([ANOTHER.sign_plan("a1", plan_of(checks=4).encode())], FOREIGN),
    "another agent's": ([AUTHORITY.sign_plan("a2", plan_of(checks=4).encode())], FOREIGN),
    "another plan's": ([AUTHORITY.sign_plan("a1", plan_of().encode())], FOREIGN),
    "too long": ([AUTHORITY.sign_plan("a1", plan_of(checks=4).encode()) + b"\0" * 4096], FOREIGN),
}


@pytest.mark.parametrize(("signatures", "why"), NOT_SERVED.values(), ids=NOT_SERVED)
async def test_a_plan_that_was_not_served_counts_for_nothing(
    world: IngestWorld, signatures: list[bytes], why: str
) -> None:
    agent = await world.agent()
    checks = dict(world.ingest.fleet.checks)
    agent.plan = plan_of(checks=4)
    for _ in range(MAX_PLAN_REQUESTS):
        ack = await agent.look_and_push(UP, UP, UP, DOWN)
        assert (ack.verdict, ack.want) == ("none", [agent.plan.digest])
        await agent.push(plans=[agent.plan.encode()], signatures=signatures)
    refused = await agent.look_and_push(UP, UP, UP, DOWN)
    assert (refused.verdict, refused.watermark) == ("refused", agent.watermark)
    present = Present(agent.plan.digest, agent.boot, agent.now(), b"\2" * 4, [0] * 4, [9] * 4)
    assert (await agent.push(present=present, backlog=9)).want == [agent.plan.digest]
    assert world.ingest.fleet.checks == checks
    assert world.ingest.plans.compiled_plan("a1", agent.plan.digest) is None
    assert world.state("a1").overlay is None and not world.state("a1").tails
    assert {one.reason for one in await world.dead_letters()} == {why, "a batch set aside: its plan is not known"}
    await world.crash()
    assert world.ingest.fleet.checks == checks


async def test_another_agents_plan_is_not_known_to_this_one(world: IngestWorld) -> None:
    agent, other = await world.agent(), plan_of("a2")
    await world.ingest.serve_plan("a2", other.encode())
    ack = await agent.push(agent.batch(agent.all(DOWN), plan=other.digest))
    assert (ack.verdict, ack.want) == ("none", [other.digest])
    own = AUTHORITY.sign_plan("a2", other.encode())  # which it could only have from a2
    await agent.push(plans=[other.encode()], signatures=[own])
    assert (await agent.push(agent.batch(agent.all(DOWN), plan=other.digest))).verdict == "none"
    assert not world.state("a1").tails


async def test_a_store_that_lost_a_plan_takes_it_back(world: IngestWorld, tmp_path: Path) -> None:
    """As after a restore of an older copy: the authority's key came with it."""
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    agent.plan = plan_of(checks=4)  # served, and then forgotten
    assert (await agent.look_and_push(UP, UP, UP, DOWN)).want == [agent.plan.digest]
    await agent.bring_plan()
    assert (await agent.push(agent.batch(agent.all(UP, UP, UP, DOWN)))).verdict == "taken"
    await world.crash()
    agent.ingest = world.ingest
    assert (await agent.look_and_push(UP, UP, UP, DOWN)).verdict == "taken"


async def test_an_old_plan_undoes_no_renaming_and_brings_nothing_back_to_life(world: IngestWorld) -> None:
    agent = await world.agent()
    old, new = agent.plan, renamed(plan_of(checks=2), "a1/better")
    await agent.look_and_push(UP)
    world.clock.advance(MINUTE)
    await world.ingest.serve_plan("a1", new.encode())
    ended = world.clock.wall_ms()
    before = dict(world.ingest.fleet.checks)
    other_old = renamed(plan_of(checks=3, hold=80_000), "a1/worse")
    for agent.plan in (old, other_old):
        await agent.bring_plan()
        for _ in range(3):
            assert (await agent.look_and_push(UP, UP, DOWN)).verdict == "taken"
    assert dict(world.ingest.fleet.checks) == before
    await world.crash()
    assert dict(world.ingest.fleet.checks) == before
    gone = world.check("a1/c2")
    assert gone.ended == ended
    assert world.tail("a1/c2").state == DOWN  # kept as evidence, in no denominator:
    reader = LedgerReader(world.ingest.store, world.ingest.fleet, FixedInventory(Inventory()), world.clock.wall_ms)
    window: Interval = (T0 - DAY, world.clock.wall_ms())
    [entry] = [one for one in reader.all_checks() if one.row == gone.id]
    [figure] = (await figures(reader, [entry], [window]))[gone.id]
    assert gone.born is not None
    assert (figure.total, figure.down) == (ended - gone.born, 0)


async def test_a_check_that_only_an_old_plan_names_has_ended(world: IngestWorld) -> None:
    """In a store that is younger than its deletion."""
    agent = await world.agent(plan_of(checks=2))
    agent.plan = plan_of(checks=3)
    await agent.bring_plan()
    assert world.check("a1/c2").ended == T0
    assert (await agent.look_and_push(UP)).verdict == "taken"
    assert world.check("a1/c2").ended == T0


@pytest.mark.parametrize("enrolled", [None, T0 - HOUR])
async def test_no_check_is_born_before_its_agent_was_enrolled(world: IngestWorld, enrolled: int | None) -> None:
    if enrolled is not None:
        issued = [IssuedCertificate("02", "a1", T0, T0 + DAY, "renewed")]
        issued += [IssuedCertificate("01", "a1", enrolled, T0 + DAY, "enrolled")]
        await world.ingest.store.write(lambda tx: [tx.certificates.add(one) for one in issued])
    agent = await world.agent(plan_of(checks=1))
    agent.booted_at -= 3 * DAY
    agent.boot = b"older-bt"
    await agent.push()
    await agent.push()
    early = agent.now() - 2 * DAY
    assert (await agent.push(agent.batch([(0, early, UP), (0, early + MINUTE, UP)]))).verdict == "taken"
    expected = T0 - 2 * DAY if enrolled is None else enrolled
    assert world.check("a1/c0").born == pytest.approx(expected, abs=NEAR)
    await world.crash()
    assert world.check("a1/c0").born == pytest.approx(expected, abs=NEAR)


def test_nothing_was_looked_at_before_there_was_anything_to_look() -> None:
    assert EARLIEST_BIRTH < T0 - 365 * DAY


async def test_a_plan_that_a_store_of_before_took_unsigned_breaks_nothing(world: IngestWorld) -> None:
    """Its scales cannot be, so it counts as not known; its check is the agent's own, whatever uid it gave it."""
    other = await world.agent(plan_of("a2"))
    stolen = other.plan.checks[0]
    columns = {"icmp": (Column("loss_ratio", 0), Column("nonsense", -1), Column("jitter_seconds", 1_000_000))}
    plan = Plan(agent="a1", agency="so", site="so", checks=(stolen,), columns=columns)

    def take(tx: object) -> None:
        tx.plans.add(plan.digest, "a1", plan.encode(), T0)  # type: ignore[attr-defined]
        own = RegisteredCheck(id=0, agent="a1", uid=stolen.uid, name="x", kind="icmp", born=None, ended=None)
        tx.checks.save(own)  # type: ignore[attr-defined]

    await world.ingest.store.write(take)
    await world.crash()
    agent = ChainAgent(world.ingest, world.clock, plan)
    await agent.push()
    assert (await agent.look_and_push(DOWN)).want == [plan.digest]
    assert world.ingest.fleet.columns("a1", plan.digest, "icmp") == ()
    assert not world.state("a1").tails and world.check("x").agent == "a1"
    assert world.check(stolen.name).agent == "a2"


async def test_a_plan_that_is_brought_while_another_is_served_is_kept_too(world: IngestWorld) -> None:
    """Both name a check that is new."""
    agent = await world.agent()
    old, new = plan_of(checks=9), plan_of(checks=8)
    signature = AUTHORITY.sign_plan("a1", old.encode())
    brought = [agent.push(plans=[old.encode()], signatures=[signature]) for _ in range(3)]
    await asyncio.gather(*brought, world.ingest.serve_plan("a1", new.encode()))
    assert all(world.ingest.plans.compiled_plan("a1", plan.digest) is not None for plan in (old, new))
    assert sorted(check.name for check in world.ingest.fleet.checks.values()) == [f"a1/c{i}" for i in range(9)]


@pytest.mark.parametrize("per", [0, -1, 2**60])
async def test_a_plan_whose_scale_cannot_be_is_refused_though_signed(world: IngestWorld, per: int) -> None:
    agent = await world.agent()
    agent.plan = msgspec.structs.replace(plan_of(checks=4), columns={"icmp": (Column("loss_ratio", per),)})
    await agent.bring_plan()
    assert world.ingest.plans.compiled_plan("a1", agent.plan.digest) is None


async def test_how_often_plans_were_asked_for_is_remembered_of_a_few(world: IngestWorld) -> None:
    agent = await world.agent()
    for number in range(3 * MAX_PLANS_ASKED):
        await agent.push(agent.batch(agent.all(UP), plan=b"%08d" % number))
    [requests] = world.ingest.pipeline.sequencer._plan_requests.values()
    assert len(requests) == MAX_PLANS_ASKED


@pytest.mark.parametrize("hold", [0, -5, 2**60])
async def test_a_stored_plan_of_before_that_cannot_be_is_not_known_after_a_restart(
    world: IngestWorld, hold: int
) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    odd = plan_of(hold=hold)
    await world.ingest.store.write(lambda tx: tx.plans.add(odd.digest, "a1", odd.encode(), T0))
    await world.crash()
    assert world.ingest.plans.compiled_plan("a1", odd.digest) is None
    assert world.ingest.plans.compiled_plan("a1", agent.plan.digest) is not None
    agent.ingest = world.ingest
    assert (await agent.look_and_push(UP, UP, UP)).verdict in ("taken", "reposition")
    assert not world.ingest.fleet.quarantine.agents
