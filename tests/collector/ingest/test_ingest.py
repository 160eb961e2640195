"""From a push to the ledger: the chain, what is taken, what is set aside and why."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from collector.ingest.committer import CommitItem
from collector.ingest.limits import BULK_AT_ONCE, BULK_RESULTS, MAX_WAITING, PushError
from collector.ingest.steps.effect import Effect, NewEvent
from collector.ledger.state_step import Span
from inventory.protocol.states import DOWN, UNKNOWN, UP
from inventory.protocol.wire import Batch, Position, Present, Push, Record, Run, decode_push, encode_push
from tests.support.ingest_world import T0, ChainAgent, IngestWorld, plan_of

NEAR = 10  # ms: what the clocks' exchange leaves open here


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[IngestWorld]:
    world = IngestWorld(tmp_path / "state" / "haidang.db")
    await world.start()
    yield world
    await world.ingest.stop()
    await world.database.close()


async def test_a_change_of_state_becomes_a_span_and_the_ack_says_how_far(world: IngestWorld) -> None:
    agent = await world.agent()
    for code in (UP, UP, DOWN, DOWN, UP):
        ack = await agent.look_and_push(UP, code, UP)
        assert (ack.verdict, ack.watermark) == ("taken", Position(11, agent.seq))
        assert ack.incarnation == world.ingest.store.incarnation
        assert ack.plan == agent.plan.digest
    first, second = await world.spans()
    assert first[1:] == (UP, pytest.approx(T0 + 30_000, abs=NEAR), pytest.approx(T0 + 75_000, abs=NEAR), 2, "")
    assert second[1:] == (DOWN, first[3], pytest.approx(T0 + 135_000, abs=NEAR), 2, "")
    check = world.check("a1/c1")
    now = world.ingest.fleet.status(check, world.clock.wall_ms())
    assert now is not None and (now.state, now.provisional) == (UP, False)
    assert check.born == T0


async def test_silence_is_unknown_not_up_and_not_down(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    world.clock.advance(70_000)
    assert world.ingest.fleet.status(world.check("a1/c0"), world.clock.wall_ms()).state == UP
    world.clock.advance(10_000)
    now = world.ingest.fleet.status(world.check("a1/c0"), world.clock.wall_ms())
    assert (now.state, now.since) == (UNKNOWN, pytest.approx(T0 + 100_000, abs=NEAR))


async def test_the_same_push_twice_counts_once(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    await agent.look_and_push(UP, UP, UP)
    before = world.replayable_state()
    ack = await world.ingest.push("a1", agent.accepted_bodies[-1])
    assert (ack.verdict, ack.watermark) == ("repeat", Position(11, 6))
    assert (await world.ingest.push("a1", agent.accepted_bodies[0])).verdict == "repeat"
    assert world.replayable_state() == before


async def test_identical_pushes_that_race_count_once(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    world.clock.advance(30_000)
    body = encode_push(Push(version=1, sent=agent.reading(), echo=agent.echo, batch=agent.batch(agent.all(DOWN))))
    acks = await asyncio.gather(*(world.ingest.push("a1", body) for _ in range(8)))
    assert sorted(ack.verdict for ack in acks) == ["repeat"] * 7 + ["taken"]
    assert world.state("a1").results == 6
    assert len(await world.spans()) == 3


async def test_other_content_under_the_same_frames_is_a_conflict(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    taken = decode_push(agent.accepted_bodies[-1])
    other = msgspec.structs.replace(taken, batch=msgspec.structs.replace(taken.batch, states=bytes([DOWN] * 3)))
    ack = await world.ingest.push("a1", encode_push(other))
    assert (ack.verdict, ack.watermark) == ("conflict", Position(11, 3))
    assert [letter.reason for letter in await world.dead_letters()] == ["other content under the same frames"]
    assert "conflict" in await world.findings()
    folded = msgspec.structs.replace(
        taken, batch=msgspec.structs.replace(taken.batch, runs=[Run(0, UP, 1, 2, 1)], states=b"", checks=[], counts=[])
    )
    assert (await world.ingest.push("a1", encode_push(folded))).verdict == "repeat"  # folds differ by nature


async def test_a_batch_that_does_not_continue_is_sent_back(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    world.clock.advance(30_000)
    gap = agent.batch(agent.all(UP), previous=Position(11, 2), last=9)
    for batch in (gap, msgspec.structs.replace(gap, previous=Position(99, 3)), msgspec.structs.replace(gap, epoch=12)):
        ack = await agent.push(batch)
        assert (ack.verdict, ack.watermark) == ("reposition", Position(11, 3))
    assert world.state("a1").results == 3
    assert (await agent.look_and_push(UP, UP, UP)).verdict == "taken"


async def test_a_new_agent_that_claims_a_past_here_is_sent_back_and_may_declare_it_lost(world: IngestWorld) -> None:
    agent = await world.agent()
    agent.watermark, agent.seq = Position(11, 500), 500
    ack = await agent.look_and_push(UP, UP, UP)
    assert (ack.verdict, ack.watermark) == ("reposition", None)
    agent.watermark = None
    ack = await agent.push(agent.batch(agent.all(UP), breach="lost", first=501, last=503))
    assert (ack.verdict, ack.watermark) == ("taken", Position(11, 503))
    assert "chain broken" in await world.findings()


async def test_a_new_epoch_continues_the_chain(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    agent.epoch, agent.seq = 12, 0
    ack = await agent.look_and_push(UP, UP, UP)
    assert (ack.verdict, ack.watermark) == ("taken", Position(12, 3))
    agent.epoch, agent.watermark, agent.seq = 13, Position(12, 3), 40
    ack = await agent.push(agent.batch(agent.all(UP, at=agent.now() + 5), breach="rolled back", first=41, last=43))
    assert (ack.verdict, ack.watermark) == ("taken", Position(13, 43))


async def test_bad_results_go_alone_with_a_reason_each(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    world.clock.advance(30_000)
    now = agent.now()
    batch = agent.batch([(0, now - 9, UP), (0, now, DOWN), (1, now, 9), (2, now + 60_000, UP), (7, now, UP)])
    batch = msgspec.structs.replace(batch, values=[*batch.values[:4], 7])  # of a check that the plan does not have
    ack = await agent.push(batch)
    assert ack.verdict == "taken"
    assert sorted(letter.reason for letter in await world.dead_letters()) == [
        "a check that its plan does not have",
        "from the future",
        "state 9 does not exist",
    ]
    assert world.tail("a1/c0").state == DOWN
    assert world.tail("a1/c1").looks == world.tail("a1/c2").looks == 1
    assert (await world.findings()).count("dead letters") == 1
    assert world.state("a1").dead == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"latency": [1, -1, 1]}, "a number that cannot be"),
        ({"latency": [1, 2**60, 1]}, "a number that cannot be"),
        ({"values": [1, 2**60, 1]}, "a number that cannot be"),
        ({"at": [0, -5, 0]}, "out of order"),
        ({"at": [0, 2**60, 0]}, "from the future"),
    ],
)
async def test_a_number_that_cannot_be(world: IngestWorld, change: dict, reason: str) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    world.clock.advance(30_000)
    assert (await agent.push(agent.batch(agent.all(DOWN), **change))).verdict == "taken"
    assert [letter.reason for letter in await world.dead_letters()] == [reason]
    assert [world.tail(f"a1/c{i}").state for i in range(3)] == [DOWN, UP, DOWN]


async def test_looks_older_than_the_ledger_go_alone(world: IngestWorld) -> None:
    agent = await world.agent()
    for _ in range(3):
        await agent.look_and_push(UP, UP, UP)
    now = agent.now()
    world.clock.advance(5_000)
    ack = await agent.push(
        agent.batch([(0, now - 60_000, DOWN), (0, now - 30_000, DOWN), (0, now - 1, UP), (0, now + 2_000, UP)])
    )
    assert ack.verdict == "taken"
    (letter,) = await world.dead_letters()
    assert (letter.reason, letter.count) == ("older than the ledger's end", 2)
    # 1 ms is within what clocks are known to: that look is in order
    assert world.tail("a1/c0").looks == 5 and await world.spans() == []


@pytest.mark.parametrize(
    "change",
    [
        {"at": [0]},
        {"latency": [1]},
        {"values": [1]},
        {"counts": [3, 0, 0]},
        {"counts": [1, 1]},
        {"checks": [0, 0, 1]},
        {"checks": [-1, 2, 1]},
        {"boot": b"short"},
        {"base": -1},
        {"missing": [(1, 9_999)]},
        {"last": 4},
    ],
)
async def test_a_batch_that_cannot_be_read_is_refused_and_passed(world: IngestWorld, change: dict) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    world.clock.advance(30_000)
    batch = agent.batch(agent.all(DOWN), **change)
    ack = await agent.push(batch)
    assert ack.verdict == "refused" and ack.reason
    assert ack.watermark == Position(11, batch.last)
    assert len(await world.dead_letters()) == 1
    assert (await agent.look_and_push(UP, UP, UP)).verdict == "taken"
    assert await world.spans() == []


def bomb() -> bytes:
    return zlib.compress(bytes(40 << 20), 9)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not zlib at all",
        bomb(),
        zlib.compress(b"\xc1"),
        zlib.compress(b"\x91" * 100_000 + b"\x90"),  # deeply nested
        zlib.compress(msgspec.msgpack.encode([1, [b"bootboot", 1, 1]]).replace(b"bootboot", b"\xff" * 8))[:-4],
        zlib.compress(b"\x92\x01\xa4\xff\xfe\xfd\xfc"),  # text that is not UTF-8
        zlib.compress(msgspec.msgpack.encode([99, [b"bootboot", 1, 1]])),
        zlib.compress(msgspec.msgpack.encode([1, [b"bootboot", float("nan"), 1]])),
        zlib.compress(msgspec.msgpack.encode([1, [b"bootboot", -1, 1]])),
        zlib.compress(msgspec.msgpack.encode([1, [b"bootboot", 1, 1]])) + b"more",
    ],
    ids=["empty", "plain", "bomb", "no msgpack", "nested", "cut", "utf8", "version", "nan", "before boot", "trailing"],
)
async def test_what_is_no_push_is_400_and_a_dead_letter(world: IngestWorld, body: bytes) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    before = world.replayable_state()
    with pytest.raises(PushError) as refused:
        await world.ingest.push("a1", body)
    assert refused.value.status == 400 and refused.value.message
    (letter,) = await world.dead_letters()
    assert letter.body == body[:4096]
    assert world.replayable_state() == before and world.ingest.pipeline.rejected == {"a1": 1}
    assert (await agent.look_and_push(UP, UP, UP)).verdict == "taken"


async def test_a_push_cut_at_every_byte_harms_nothing(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    body = agent.accepted_bodies[0]
    for end in range(len(body)):
        with pytest.raises(PushError):
            await world.ingest.push("a1", body[:end])
    assert world.state("a1").results == 3
    assert len(await world.dead_letters()) == min(len(body), 100)


async def test_rubbish_without_end_is_bounded(world: IngestWorld) -> None:
    await world.agent()
    for i in range(260):
        with pytest.raises(PushError):
            await world.ingest.push("a1", b"rubbish %d" % i)
    rows = await world.database.read(lambda db: db.execute("SELECT count(*) FROM dead_letters").get)
    assert rows == 200
    assert world.ingest.pipeline.rejected == {"a1": 260}


async def test_an_unknown_plan_is_asked_for_and_taken_from_the_agent(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    agent.plan = plan_of(checks=4)
    ack = await agent.look_and_push(UP, UP, UP, DOWN)
    assert (ack.verdict, ack.want, ack.watermark) == ("none", [agent.plan.digest], Position(11, 3))
    ack = await agent.bring_plan()
    assert ack.verdict == "none" and not ack.want
    ack = await agent.push(agent.batch(agent.all(UP, UP, UP, DOWN)))
    assert ack.verdict == "taken"
    assert world.tail("a1/c3").state == DOWN
    assert world.check("a1/c3").born == pytest.approx(T0 + 60_000, abs=NEAR)  # never served: from its first look
    assert ack.plan == plan_of().digest  # the one that was served


async def test_a_plan_of_another_agent_is_set_aside(world: IngestWorld) -> None:
    agent = await world.agent()
    stranger = plan_of("a2")
    ack = await agent.push(plans=[stranger.encode(), b"{", b"[" * 100_000])
    assert ack.verdict == "none"
    assert len(await world.dead_letters()) == 3
    assert world.ingest.plans.compiled_plan("a1", stranger.digest) is None


async def test_a_plan_that_nobody_has_any_more_does_not_stop_the_agent(world: IngestWorld) -> None:
    agent = await world.agent()
    kept, agent.plan = agent.plan, plan_of(checks=4)
    for _ in range(20):
        assert (await agent.look_and_push(UP, UP, UP, UP)).verdict == "none"
    ack = await agent.look_and_push(UP, UP, UP, UP)
    assert (ack.verdict, ack.watermark) == ("refused", Position(11, 4))
    agent.plan = kept
    assert (await agent.look_and_push(UP, UP, UP)).verdict == "taken"


async def test_a_served_plan_ends_the_checks_it_no_longer_names(world: IngestWorld) -> None:
    await world.agent()
    world.clock.advance(60_000)
    await world.ingest.serve_plan("a1", plan_of(checks=2).encode())
    assert [world.check(f"a1/c{i}").ended for i in range(3)] == [None, None, T0 + 60_000]
    await world.ingest.serve_plan("a1", plan_of(checks=3).encode())
    assert world.check("a1/c2").ended is None and world.check("a1/c2").born == T0


async def test_a_plan_of_as_many_other_checks_gets_its_own_results(world: IngestWorld) -> None:
    agent = await world.agent()
    for _ in range(3):
        await agent.look_and_push(UP, UP, UP)
    agent.plan = msgspec.structs.replace(agent.plan, checks=agent.plan.checks[::-1])
    await world.ingest.serve_plan("a1", agent.plan.encode())
    await agent.look_and_push(DOWN, UP, UP)
    assert [world.tail(f"a1/c{i}").state for i in range(3)] == [UP, UP, DOWN]


async def test_more_pushes_than_can_be_in_work_are_told_to_come_again(world: IngestWorld) -> None:
    agents = [await world.agent(plan_of(f"a{i}")) for i in range(2)]
    world.ingest.limits.in_work = MAX_WAITING - 1
    both = await asyncio.gather(*(agent.look_and_push(UP, UP, UP) for agent in agents), return_exceptions=True)
    taken, refused = both
    assert isinstance(refused, PushError) and refused.status == 503
    assert getattr(taken, "verdict", "") == "taken"
    world.ingest.limits.in_work = 0
    assert (await agents[1].look_and_push(UP, UP, UP)).verdict == "taken"


async def test_a_clean_stop_ends_every_hold(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, DOWN, UP)
    world.clock.advance(10_000)
    stop = Record(agent.now(), "stop", {"why": "SIGTERM"})
    await agent.push(agent.batch([], records=[stop]))
    assert [row[1:] for row in await world.spans()] == [
        (state, pytest.approx(T0 + 30_000, abs=NEAR), pytest.approx(T0 + 40_000, abs=NEAR), 1, "")
        for state in (UP, DOWN, UP)
    ]
    assert {world.tail(f"a1/c{i}").reason for i in range(3)} == {"agent stopped"}
    assert world.state("a1").stopped == pytest.approx(T0 + 40_000, abs=NEAR)
    agent.epoch, agent.seq = 12, 0
    world.clock.advance(600_000)
    start = Record(agent.now(), "start", {"wall_ms": 5, "version": "1", "clean": True})
    await agent.push(agent.batch(agent.all(UP), records=[start], last=4))
    assert world.state("a1").stopped is None and world.state("a1").about["version"] == "1"
    assert await world.events() == ["agent stop", "agent start"]


async def test_an_agent_that_died_is_a_finding(world: IngestWorld) -> None:
    agent = await world.agent()
    start = Record(agent.now(), "start", {"wall_ms": 5, "clean": False})
    odd = Record(agent.now(), "dance", {})
    bad = Record(agent.now() + 10**9, "stop", {})
    huge = Record(agent.now(), "damaged", {"text": "x" * 50_000})
    assert (await agent.push(agent.batch([], records=[start, odd, bad, huge]))).verdict == "taken"
    assert (await world.findings())[:2] == ["agent start", "agent damaged"]
    assert sorted(letter.reason for letter in await world.dead_letters()) == [
        "a record of unknown kind 'dance'",
        "from the future, or before its machine started",
    ]


async def test_folded_runs_come_before_the_results(world: IngestWorld) -> None:
    agent = await world.agent()
    world.clock.advance(600_000)
    now = agent.now()
    runs = [
        Run(0, UP, now - 500_000, now - 320_000, 7, "", 7, 700, 50, 200),
        Run(0, DOWN, now - 300_000, now - 60_000, 9, "no answer"),
        Run(1, 5, now - 9, now - 8, 1),
        Run(9, UP, now - 9, now - 8, 1),
        Run(1, UP, now - 8, now - 9, 1),
        Run(1, UP, now, now + 10**9, 1),
    ]
    ack = await agent.push(agent.batch([(0, now, UP)], runs=runs, last=30))
    assert ack.verdict == "taken"
    assert [(row[1], row[4], row[5]) for row in await world.spans()] == [(UP, 7, ""), (DOWN, 9, "no answer")]
    assert len(await world.dead_letters()) == 4
    cells = [list(cell[:4]) for bucket in world.state("a1").sums.buckets() for cell in bucket.cells.values()]
    assert [7, 700, 50, 200] in cells
    assert world.state("a1").results == 17


async def test_the_present_state_is_shown_and_never_accounted(world: IngestWorld) -> None:
    agent = await world.agent()
    await agent.look_and_push(UP, UP, UP)
    before = world.replayable_state()
    world.clock.advance(3_600_000)

    def present(code: int, boot_ms: int) -> Present:
        return Present(agent.plan.digest, agent.boot, boot_ms, bytes([code] * 3), [boot_ms - 600_000] * 3, [20] * 3)

    await agent.push(present=present(DOWN, agent.now()), backlog=900)
    now = world.ingest.fleet.status(world.check("a1/c0"), world.clock.wall_ms())
    assert (now.state, now.provisional, now.since) == (DOWN, True, T0 + 30_000 + 3_000_000)
    await agent.push(present=present(UP, agent.now() - 5), backlog=900)  # overtaken on the way
    assert world.ingest.fleet.status(world.check("a1/c0"), world.clock.wall_ms()).state == DOWN
    assert world.state("a1").backlog == 900
    assert world.replayable_state()["a1"]["tails"] == before["a1"]["tails"] and await world.spans() == []
    await agent.push()
    assert world.state("a1").overlay is None


async def test_one_push_that_cannot_be_stored_fails_alone(world: IngestWorld) -> None:
    good, bad = await world.agent(), await world.agent(plan_of("a2"))
    state = world.state("a2").successor()
    too_big = Span(UP, 0, 2**70, 0, 0)
    item = CommitItem(state, Effect(spans=[(4, too_big)], events=[NewEvent(0, None, "never", {}, True)]), 0)
    world.clock.advance(30_000)
    batch = good.batch(good.all(UP))
    failed, ack = await asyncio.gather(world.ingest.committer.submit(item), good.push(batch), return_exceptions=True)
    assert isinstance(failed, PushError) and failed.status == 503
    assert ack.verdict == "taken" and world.state("a1").results == 3
    assert "never" not in await world.events()
    with pytest.raises(PushError, match="in quarantine"):
        await bad.look_and_push(UP, UP, UP)


async def test_a_backlog_does_not_keep_a_live_push_waiting(world: IngestWorld) -> None:
    """While 24 agents drain, a live push is in one of the next two groups."""
    ingest = world.ingest
    agents = [await world.agent(plan_of(f"b{i}", checks=2)) for i in range(24)]
    live = await world.agent(plan_of("live"))
    world.clock.advance(60 * 86_400_000)
    bodies = []
    for agent in agents:
        start = agent.now() - 500 * 30_000
        batch = agent.batch([(place, start + i * 30_000, UP) for i in range(500) for place in (0, 1)])
        bodies.append(encode_push(Push(version=1, sent=agent.reading(), echo=agent.echo, batch=batch, backlog=9)))
    order: list[str] = []

    async def drain(agent: ChainAgent, body: bytes) -> None:
        assert (await ingest.push(agent.plan.agent, body)).verdict == "taken"
        order.append("backlog")

    draining = [asyncio.create_task(drain(agent, body)) for agent, body in zip(agents, bodies, strict=True)]
    await asyncio.sleep(0)
    groups = ingest.committer.groups
    await live.push(live.batch(live.all(UP)))
    order.append("live")
    assert ingest.committer.groups - groups <= 2
    await asyncio.gather(*draining)
    assert order.index("live") < 20 and world.state("b7").results == 1_000


async def test_backlogs_wait_for_each_other_and_live_pushes_for_none(world: IngestWorld) -> None:
    """40 agents come back with a backlog at once: at most BULK_AT_ONCE of their pushes are in work."""
    late = [await world.agent(plan_of(f"late{n}")) for n in range(40)]
    live = [await world.agent(plan_of(f"live{n}")) for n in range(5)]
    world.clock.advance(3_000_000)
    committer = world.ingest.committer

    def backlog(agent: ChainAgent) -> Batch:
        return agent.batch([(0, agent.now() - 2_900_000 + 10_000 * i, UP) for i in range(BULK_RESULTS)])

    async with world.database._writer_lock:  # the disk stands still
        pushes = [asyncio.create_task(agent.push(backlog(agent))) for agent in late]
        pushes += [asyncio.create_task(agent.push(agent.batch(agent.all(UP)))) for agent in live]
        held = 0
        for _ in range(500):
            await asyncio.sleep(0)
            held = max(held, world.ingest.limits.in_work)
        group = BULK_AT_ONCE  # those that the committer has taken up already wait with the disk
        assert held == len(pushes) and committer.waiting_bulk <= group
        assert sum(push.done() for push in pushes) == 0
        assert world.ingest.limits.bulk.locked()
    acks = await asyncio.gather(*pushes)
    assert {ack.verdict for ack in acks} == {"taken"}
    assert {world.state(agent.plan.agent).results for agent in late} == {BULK_RESULTS}


async def test_parts_of_backlogs_that_are_in_work_share_a_transaction(world: IngestWorld) -> None:
    late = [await world.agent(plan_of(f"late{n}")) for n in range(8)]
    world.clock.advance(3_000_000)
    groups = world.ingest.committer.groups

    def backlog(agent: ChainAgent) -> Batch:
        return agent.batch([(0, agent.now() - 2_900_000 + 10_000 * i, UP) for i in range(BULK_RESULTS)])

    acks = await asyncio.gather(*(agent.push(backlog(agent)) for agent in late))
    assert {ack.verdict for ack in acks} == {"taken"}
    assert world.ingest.committer.groups - groups == 1  # the first does not go alone
    assert world.ingest.limits.bulk_in_work == 0


async def test_the_reason_shown_is_the_newest_looks_and_the_ledgers_the_first(world: IngestWorld) -> None:
    """By the short way of equal pushes, by the long one, and after a crash."""
    agent = await world.agent()
    check = world.check("a1/c1")

    async def told(text: str, *, others: int = UP) -> None:
        world.clock.advance(30_000)
        looks = agent.all(*[DOWN if place == 1 else others for place in range(len(agent.plan.checks))])
        assert (await agent.push(agent.batch(looks, reasons=[(1, text)]))).verdict == "taken"

    def shown() -> str:
        now = world.ingest.fleet.status(check, world.ingest.clock.wall_ms())
        assert now is not None
        return now.reason

    for hours in range(24, 29):
        await told(f"{hours} hours old", others=UP if hours != 26 else DOWN)
        assert shown() == f"{hours} hours old"
        assert world.tail("a1/c1").reason == "24 hours old"
    await told("")
    assert shown() == "24 hours old", "an old agent says it once"
    world.clock.advance(60_000)
    two = [(1, agent.now() - 30_000, DOWN), (1, agent.now(), DOWN)]
    await agent.push(agent.batch(two, reasons=[(0, "29 hours old"), (1, "30 hours old")]))
    assert shown() == "30 hours old"
    await world.crash()
    assert shown() == "30 hours old"
    agent.ingest = world.ingest
    await agent.push(agent.batch([], records=[Record(agent.now(), "stop", {"why": "SIGTERM"})]))
    assert shown() == "agent stopped"


async def test_every_kind_of_record_of_an_agents_life_is_an_event(world: IngestWorld) -> None:
    agent = await world.agent()
    kinds = ("start", "clock", "refused", "damaged", "dropped", "disk", "epoch", "stop")
    records = [Record(agent.now(), kind, {"why": "test"}) for kind in kinds]
    await agent.push(agent.batch([], records=records))
    assert await world.events() == [f"agent {kind}" for kind in kinds]
    assert await world.dead_letters() == []
    assert await world.findings() == [f"agent {kind}" for kind in kinds if kind not in ("start", "stop")]
