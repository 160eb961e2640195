"""What one agent may cost: what is small to send and dear to decode is refused before it is; honest agents pass."""

import asyncio
import random
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.spool import CheckResult, Spool
from agent.uplink.push import Pusher
from collector.budgets import MAX_INFLATED, BudgetsConfig
from collector.config import read
from collector.ingest.budgets import TOO_MANY_REASONS, AgentBudgets, Allowance, OverBudget
from collector.ingest.ingest import Ingest
from collector.ingest.limits import SMALL, Memory, PushError, PushLimits
from collector.store.sqlite.store import SqliteStore
from inventory.base.problems import Invalid
from inventory.base.text import clean_text
from inventory.protocol import wire
from inventory.protocol.health import FIGURES
from inventory.protocol.reasons import sentence, to_wire
from inventory.protocol.records import MAX_TEXT
from inventory.protocol.states import DOWN, UP
from inventory.protocol.wire import Ack, Batch, Present, Push, Record, Run, encode_push
from tests.support.direct_uplink import DirectUplink
from tests.support.hostile_pushes import ELEMENTS, Sender, array, body_with, bombs
from tests.support.ingest_world import ChainAgent, IngestWorld, plan_of

CONFIG = BudgetsConfig()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[IngestWorld]:
    world = IngestWorld(tmp_path / "state" / "haidang.db")
    await world.start()
    yield world
    await world.ingest.stop()
    await world.database.close()


def sender(agent: ChainAgent) -> Sender:
    return Sender(agent.boot, agent.now(), agent.epoch, agent.plan.digest)


@pytest.mark.parametrize("size", [(16 << 20) - 4_000, CONFIG.inflated - 4_000, SMALL - 4_000])
async def test_a_body_costs_what_its_bytes_are_worth(world: IngestWorld, size: int) -> None:
    """Whatever is in it: the memory that decoding takes is bounded, also of one that inflates to just what it may."""
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    costs = {}
    for name, body in bombs(sender(agent), size):
        assert len(body) < 200_000
        tracemalloc.start()
        try:
            ack = await world.ingest.push("a1", body)
        except PushError as refused:
            assert refused.status in (400, 413) and refused.message, name
        else:  # it is no more than may be: then it does not continue what is here
            assert ack.verdict in ("reposition", "none") and size < CONFIG.inflated, name
        finally:
            costs[name] = tracemalloc.get_traced_memory()[1] / 2**20
            tracemalloc.stop()
    assert {name: cost for name, cost in costs.items() if cost > 48} == {}
    assert (await agent.look_and_push(UP, UP, UP)).verdict == "taken"


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 20_000), st.sampled_from(sorted(ELEMENTS.keys() - {"values"})))
def test_columns_are_counted_before_they_are_made(times: int, name: str) -> None:
    """A column that says it is too long is refused at its head: what would follow is not looked at. (Of values there
    may be several to a result; the bytes bound them.)"""
    agent = ChainAgent(None, _Clock(), plan_of())  # type: ignore[arg-type]
    count = wire.MAX_ROWS * times
    whole = zlib.decompress(body_with(sender(agent), {}, {name: array(count)}))  # and nothing follows
    with pytest.raises(wire.WireError, match=f"length <= {wire.MAX_ROWS}"):
        wire.decode_inflated(whole)


class _Clock:
    def boot_ms(self) -> int:
        return 5_000_000


async def test_what_is_above_the_rows_of_a_push_is_told_to_send_fewer(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    world.clock.advance(10**9)
    now, most = agent.now(), CONFIG.rows + 3 * CONFIG.rows_per_check
    too_many = {
        "results": agent.batch([(0, now - 10**8 + n, UP) for n in range(CONFIG.results + 1)]),
        "runs": agent.batch([], runs=[Run(0, UP, now - 10**8 + n, now - 10**8 + n, 1) for n in range(most + 1)]),
        "records": agent.batch([], records=[Record(now, "clock", {})] * (most + 1)),
        "missing": agent.batch([], last=9_999_999, missing=[(10 + n, 10 + n) for n in range(most + 1)]),
    }
    for name, batch in too_many.items():
        with pytest.raises(PushError, match="at once") as refused:
            await agent.push(batch)
        assert refused.value.status == 413, name
    assert world.ingest.budgets.exceeded == {"results": 1, "rows": 3}
    assert (await world.findings()).count("over budget") == 2  # once for each budget
    assert world.state("a1").results == 3 and not await world.dead_letters()
    assert (await agent.push(agent.batch([(0, now + n, UP) for n in range(CONFIG.results)]))).verdict == "taken"


async def test_a_push_may_inflate_to_what_its_plan_can_produce(tmp_path: Path) -> None:
    budgets = AgentBudgets(CONFIG, {"small": 3, "large": 1_000, "huge": 20_000}.__getitem__)
    for agent in ("small", "large", "huge"):
        budgets.begin(agent)
    sizes = [budgets.inflated(agent) for agent in ("small", "large", "huge")]
    assert sizes == [CONFIG.inflated + 3 * 256, CONFIG.inflated + 256_000, MAX_INFLATED]
    assert budgets.inflated_with_plans("small") == sizes[0]
    budgets.asked_for("small", [b"12345678"])
    assert budgets.inflated_with_plans("small") == CONFIG.asked_plan


# -- what lasts


async def test_of_plans_an_agent_may_bring_so_many_an_hour(world: IngestWorld) -> None:
    """Each costs a look at its signature, whether it was served or not."""
    agent = await world.agent()
    made_up = [plan_of(checks=4).encode()] * 16
    for _ in range(CONFIG.plans_per_hour // 16):
        await agent.push(plans=made_up)
    with pytest.raises(PushError, match="too many plans") as refused:
        await agent.push(plans=made_up)
    assert refused.value.status == 429 and refused.value.retry_after > 0
    assert len(world.ingest.plans.checks) == 3
    world.ingest.budgets.use("a1").plans.left = CONFIG.plans_per_hour  # an hour later
    agent.plan = plan_of(checks=4)
    await agent.bring_plan()
    assert (await agent.look_and_push(UP, UP, UP, UP)).verdict == "taken"


async def test_a_large_plan_that_was_asked_for_comes_in_and_nothing_else_of_its_size(world: IngestWorld) -> None:
    agent = await world.agent()
    kept = agent.plan
    rnd = random.Random(1)
    large = plan_of(checks=7_000)
    checks = tuple(msgspec.structs.replace(check, params={"host": rnd.randbytes(20).hex()}) for check in large.checks)
    agent.plan = msgspec.structs.replace(large, checks=checks)
    encoded = agent.plan.encode()
    assert MAX_INFLATED < len(encoded) < CONFIG.asked_plan
    with pytest.raises(PushError, match="inflates to more"):
        await agent.push(plans=[encoded])
    look = agent.batch([(6_999, agent.now(), UP)])
    assert (await agent.push(look)).want == [agent.plan.digest]
    with pytest.raises(PushError, match="plans alone"):  # as large, but a batch
        await world.ingest.push("a1", body_with(sender(agent), {}, {"values": array(2 << 20) + b"\x01" * (2 << 20)}))
    assert not (await agent.bring_plan()).want
    assert (await agent.push(look)).verdict == "taken"
    assert kept.digest == world.ingest.plans.served["a1"]


async def test_names_of_health_are_from_a_list(world: IngestWorld) -> None:
    agent = await world.agent()
    for number in range(8):
        await agent.push(health={f"zz{number:04}{n:04}": 1.0 for n in range(64)} | {"checks": 3.0})
    assert world.state("a1").health == {"checks": 3.0}
    assert world.ingest.budgets.exceeded["health_names"] == 8 * 64
    await agent.push(health=dict.fromkeys(FIGURES, 1.0))
    assert world.state("a1").health.keys() == FIGURES.keys()


async def test_long_texts_are_cut_in_what_is_kept_and_in_what_is_stored(world: IngestWorld) -> None:
    agent = await world.agent()
    noise = "".join(random.Random(2).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=100_000))
    start = Record(agent.now(), "start", {"version": noise, "platform": "p", "clean": True, "wall_ms": 5})
    await agent.push(agent.batch([], records=[start, Record(agent.now(), "disk", {"why": noise})]))
    assert world.state("a1").about["version"] == clean_text(noise, MAX_TEXT)
    (size,) = await world.database.read(lambda db: db.execute("SELECT max(length(body)) FROM batches").fetchone())
    assert size < 8_000
    world.clock.advance(30_000)
    why = [[place, sentence("{what} is odd", what=noise[place : place + 5_000])] for place in range(3)]
    batch = agent.batch(agent.all(DOWN), reasons=[(place, to_wire(reason)) for place, reason in why])
    await agent.send(encode_push(Push(version=2, sent=agent.reading(), echo=agent.echo, batch=batch)), batch)
    assert all(len(world.tail(f"a1/c{n}").reason) <= 200 for n in range(3))


async def test_new_reasons_have_a_rate_and_a_replay_reads_what_was_kept(tmp_path: Path) -> None:
    world = IngestWorld(tmp_path / "state" / "haidang.db")
    await world.start()
    use = world.ingest.budgets
    agent = await world.agent()
    use.use("a1").reasons.left = 100
    for turn in range(50):
        world.clock.advance(30_000)
        texts = [(n, f"reason {turn} {n}") for n in range(3)]
        await agent.push(agent.batch(agent.all(DOWN if turn % 2 else UP), reasons=texts))
    assert 150 - 100 - 3 <= use.exceeded["reasons"] <= 50
    assert world.tail("a1/c2").reason == TOO_MANY_REASONS
    before = world.replayable_state()
    await world.crash()
    assert world.replayable_state() == before
    await world.ingest.stop()
    await world.database.close()


def test_what_is_saved_up_and_what_comes_again() -> None:
    now = 100.0
    some = Allowance(10, 2, now)
    some.take(10, now)
    assert some.wait(now) == 0
    some.take(6, now)
    assert some.wait(now) == 3
    assert some.wait(now + 3) == 0
    assert some.wait(now + 1e6) == 0 and some.left == 10


def test_what_an_agent_has_stored_and_decoded_is_bounded_in_the_long_run() -> None:
    now = [0.0]
    budgets = AgentBudgets(CONFIG, lambda agent: 3, monotonic=lambda: now[0])
    batch = Batch(epoch=1, previous=None, last=1, plan=b"", boot=b"", base=0)
    stored = days = 0
    budgets.begin("a")
    for hour in range(24 * 30):
        now[0] = hour * 3600.0
        days = hour // 24
        for _ in range(40):
            try:
                budgets.admit_batch("a", batch)
            except OverBudget as over:
                assert (over.budget, over.answer().status) == ("stored", 429) and 0 < over.wait <= 3600
                break
            budgets.stored("a", 1 << 20)
            stored += 1 << 20
    assert stored <= CONFIG.stored + (days + 2) * ((8 << 20) + 3 * CONFIG.stored_per_check)
    assert stored >= CONFIG.stored
    budgets.begin("b")
    budgets.decoded("b", CONFIG.decoding_burst + 500)
    budgets.end("b")
    with pytest.raises(OverBudget, match="processor") as refused:
        budgets.begin("b")
    assert refused.value.wait == 10  # 500 ms at 50 ms a second
    now[0] += 10
    budgets.begin("b")


# -- all of them together


async def test_large_pushes_share_a_bounded_memory(world: IngestWorld) -> None:
    agents = [await world.agent(plan_of(f"a{n}")) for n in range(30)]
    memory, most = world.ingest.limits.memory, 0
    bodies = [body_with(sender(agent), {}, {"values": array(500_000) + b"\x01" * 500_000}) for agent in agents]

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, memory.used)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    pushes = (world.ingest.push(a.plan.agent, b) for a, b in zip(agents, bodies, strict=True))
    answers = await asyncio.gather(*pushes, return_exceptions=True)
    watching.cancel()
    assert all(isinstance(answer, Ack | PushError) for answer in answers)
    assert 500_000 < most <= CONFIG.decoding_memory
    assert memory.used == 0


async def test_of_large_pushes_one_piece_is_done_in_each_round_of_the_loop() -> None:
    limits = PushLimits(1 << 20)
    rounds: list[int] = []
    current = 0

    async def count() -> None:
        nonlocal current
        while True:
            current += 1
            await asyncio.sleep(0)

    async def large() -> None:
        for _ in range(3):
            async with limits.piece():
                rounds.append(current)

    counting = asyncio.create_task(count())
    await asyncio.gather(*(large() for _ in range(20)))
    counting.cancel()
    assert len(rounds) == 60 == len(set(rounds))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 150), st.integers(0, 3), st.booleans()), max_size=25))
def test_memory_is_given_back_whatever_ends(wanted: list[tuple[int, int, bool]]) -> None:
    async def run() -> None:
        memory = Memory(100)

        async def one(size: int, rounds: int) -> None:
            async with memory.share(size) as share:
                assert memory.used <= memory.limit
                for _ in range(rounds):
                    await asyncio.sleep(0)
                share.shrink(size // 2)
                await asyncio.sleep(0)

        tasks = [asyncio.create_task(one(size, rounds)) for size, rounds, _ in wanted]
        await asyncio.sleep(0)
        for task, (_, _, cancelled) in zip(tasks, wanted, strict=True):
            if cancelled:
                task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert memory.used == 0

    asyncio.run(run())


async def test_too_many_pushes_of_one_agent_are_told_to_wait(world: IngestWorld) -> None:
    agent = await world.agent()
    other = await world.agent(plan_of("a2"))
    world.clock.advance(30_000)
    batch = agent.batch(agent.all(UP))
    body = encode_push(Push(version=1, sent=agent.reading(), echo=agent.echo, batch=batch))
    many = [world.ingest.push("a1", body) for _ in range(CONFIG.pushes_at_once + 20)]
    *answers, ack = await asyncio.gather(*many, other.look_and_push(UP, UP, UP), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, PushError)]
    assert isinstance(ack, Ack) and ack.verdict == "taken"
    assert len(refused) == 20 and {(one.status, one.retry_after) for one in refused} == {(429, 1.0)}


# -- honest agents


class Around:
    """What a pusher needs of the agent around it."""

    def __init__(self, agent: ChainAgent, health: dict[str, float]) -> None:
        self.agent = agent
        self._health = health

    def present(self) -> Present:
        count = len(self.agent.plan.checks)
        return Present(
            self.agent.plan.digest, self.agent.boot, self.agent.now(), bytes(count), [1] * count, [9] * count
        )

    def plan(self, digest: bytes) -> bytes | None:
        return self.agent.plan.encode() if digest == self.agent.plan.digest else None

    def health(self, collector: str) -> dict[str, float]:
        return self._health

    def acknowledged(self, collector: str, ack: Ack) -> None:
        pass


class AgentClock:
    def __init__(self, agent: ChainAgent) -> None:
        self.agent = agent

    def boot_ms(self) -> int:
        return self.agent.now()

    def wall_ms(self) -> int:
        return self.agent.clock.wall_ms()

    def boot_id(self) -> bytes:
        return self.agent.boot


def spool_of(path: Path, agent: ChainAgent, limit: int) -> Spool:
    holds = [check.hold for check in agent.plan.checks]
    return Spool.open(
        path, boot=agent.boot, boot_ms=1_000, plan=agent.plan.digest, start={"version": "1", "platform": "Linux"},
        collectors=["hub"], limit_bytes=limit, holds=lambda plan: holds,
    )  # fmt: skip


async def deliver(world: IngestWorld, agent: ChainAgent, spool: Spool) -> DirectUplink:
    uplink = DirectUplink(world.ingest, agent.plan.agent)
    pusher = Pusher("hub", uplink, spool, AgentClock(agent), Around(agent, dict.fromkeys(FIGURES, 1.0)))  # type: ignore[arg-type]
    for _ in range(5):
        assert await pusher.attempt(), pusher.contact.why
        if not spool.backlog("hub"):
            return uplink
    raise AssertionError(f"{spool.backlog('hub')} frames are left: {uplink.errors}")


@pytest.mark.parametrize("checks", [3, 120])
async def test_a_backlog_of_months_passes_through_all_budgets(world: IngestWorld, tmp_path: Path, checks: int) -> None:
    """A quarter of a year without a collector, in a spool so small that most of it is folded, checks that flap, with a
    reason of its own for each look: everything is taken, nothing is refused, no finding is made of it."""
    agent = await world.agent(plan_of(checks=checks, hold=24 * 3_600_000))
    agent.booted_at = world.clock.boot_ms() - 100 * 86_400_000
    rnd = random.Random(3)
    spool = spool_of(tmp_path / "spool", agent, 700 << 10)
    looks, step = 30_000, 90 * 86_400_000 // 30_000
    for number in range(looks):
        state = DOWN if rnd.random() < 0.1 else UP
        reason = (
            sentence("{host} gave {found:n} of {wanted:n}", host="máy chủ", found=number, wanted=9) if state else ""
        )
        spool.append(CheckResult(number % checks, 10_000 + number * step, state, 1_000, (5,), reason))
        if number % 500 == 499:
            spool.sync()
    spool.sync()
    folded = spool.stats()["folded"]
    assert folded > looks / 3 and not spool.stats()["dropped"]
    uplink = await deliver(world, agent, spool)
    spool.close()
    assert set(uplink.statuses) == {200}
    assert world.state("a1").results == looks
    assert not world.ingest.budgets.exceeded
    assert "over budget" not in await world.findings()


async def test_an_agent_whose_batches_are_too_much_sends_smaller_ones(
    world: IngestWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older agent's batches may have many folds: it is told so, halves them, and all of it arrives."""
    monkeypatch.setattr("agent.spool.delivery.MAX_BATCH_ROWS", 10**9)
    agent = await world.agent(plan_of(hold=24 * 3_600_000))
    agent.booted_at = world.clock.boot_ms() - 100 * 86_400_000
    spool = spool_of(tmp_path / "spool", agent, 256 << 10)
    looks = 12_000
    for number in range(looks):
        spool.append(CheckResult(number % 3, 10_000 + number * 60_000, DOWN if (number // 3) % 2 else UP, 5, (5,), ""))
        if number % 500 == 499:
            spool.sync()
    spool.sync()
    uplink = await deliver(world, agent, spool)
    spool.close()
    assert 413 in uplink.statuses and all("fewer at once" in error for error in uplink.errors)
    assert world.state("a1").results == looks and not world.state("a1").dead
    assert "frames unaccounted" not in await world.findings()


# -- the file


def test_budgets_are_read_from_the_collectors_file(tmp_path: Path) -> None:
    file = tmp_path / "collector.yaml"
    file.write_text("budgets: {inflated: 1MiB, results: 2000}\n")
    assert read(file).budgets == BudgetsConfig(inflated=1 << 20, results=2_000)
    for wrong, key in (
        ("budgets: {inflated: 1KiB}\n", "budgets.inflated"),
        ("budgets: {inflated: 1GiB}\n", "budgets.inflated"),
        ("budgets: {results: 5}\n", "budgets.results"),
        ("budgets: {resluts: 5000}\n", "resluts"),
    ):
        file.write_text(wrong)
        with pytest.raises(Invalid) as found:
            read(file)
        assert key in str(found.value.problems), wrong


async def test_a_collector_goes_by_its_own_budgets(tmp_path: Path) -> None:
    world = IngestWorld(tmp_path / "haidang.db")
    store = SqliteStore.open(world.path)
    world.database, world.ingest = store.database, Ingest(store, world.clock, BudgetsConfig(results=1_000))
    await world.ingest.start()
    agent = await world.agent()
    world.clock.advance(10**7)
    looks = [(0, agent.now() - 10**6 + n, UP) for n in range(1_001)]
    with pytest.raises(PushError, match="1000 results"):
        await agent.push(agent.batch(looks))
    assert (await agent.push(agent.batch(looks[:1_000]))).verdict == "taken"
    await world.ingest.stop()
    await world.database.close()


def test_every_budget_is_explained() -> None:
    text = (Path(__file__).parents[3] / "docs" / "operating.md").read_text(encoding="utf-8")
    assert [name for name in BudgetsConfig.__struct_fields__ if f"`{name}`" not in text] == []
