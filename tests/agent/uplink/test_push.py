"""The push against a collector that can be told how to misbehave: real TLS, real HTTP, a real spool."""

import asyncio
import datetime
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from agent.spool import CheckResult, Spool
from agent.uplink import identity as identities
from agent.uplink.connection import MAX_ANSWER, Uplink, tls_context
from agent.uplink.plans import SignedPlan
from agent.uplink.push import LONGEST_WAIT, MAX_RESULTS, STUCK, Pusher
from inventory.base.clock import SystemClock
from inventory.protocol import wire
from inventory.protocol.plan import Plan
from inventory.protocol.wire import VERSION, Ack, Position, Present, Push, ack_type
from tests.support.fake_collector import FakeAuthority, FakeCollector, PushHandler

PLAN = Plan(agent="site-1", agency="a", site="s")


class Duties:
    """The agent around the pusher."""

    def __init__(self) -> None:
        self.acks: list[Ack] = []
        self.plans = {PLAN.digest: SignedPlan(PLAN.encode(), b"signature")}

    def present(self) -> Present:
        return Present(PLAN.digest, b"bootboot", 1, b"\0", [0], [1])

    def plan(self, digest: bytes) -> SignedPlan | None:
        return self.plans.get(digest)

    def health(self, collector: str) -> dict[str, float]:
        return {}

    def acknowledged(self, collector: str, ack: Ack) -> None:
        self.acks.append(ack)


class Rig:
    """A desk, a spool and the pusher between them."""

    def __init__(self, desk: FakeCollector, spool: Spool, pusher: Pusher, duties: Duties) -> None:
        self.desk, self.spool, self.pusher, self.duties = desk, spool, pusher, duties
        self.at = 1_000

    def look(self, count: int = 1, reason: str = "") -> None:
        for _ in range(count):
            self.at += 1_000
            self.spool.append(CheckResult(0, self.at, 2 if reason else 0, 100, (), reason))


@pytest.fixture(scope="module")
def authority() -> FakeAuthority:
    return FakeAuthority()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = Spool.open(
        tmp_path / "spool", boot=b"bootboot", boot_ms=1_000, plan=PLAN.digest, start={}, collectors=["hub"],
        holds=lambda plan: [70_000],
    )  # fmt: skip
    yield opened
    opened.close()


@pytest.fixture
async def rig(authority: FakeAuthority, spool: Spool, tmp_path: Path) -> AsyncIterator[Rig]:
    desk = await FakeCollector(authority).open(tmp_path)
    identities.store(tmp_path, authority.identity(desk.url))
    duties = Duties()
    context = tls_context([authority.pem], identities.path_in(tmp_path))
    pusher = Pusher("hub", Uplink(desk.url, context), spool, SystemClock(), duties, jitter=lambda: 1.0)
    yield Rig(desk, spool, pusher, duties)
    await pusher.uplink.close()
    await desk.close()


def everything(rig: Rig) -> list[tuple[int, int]]:
    return [(0, at) for at in range(2_000, rig.at + 1, 1_000)]


async def test_results_arrive_once_and_in_order_over_one_connection(rig: Rig) -> None:
    for _ in range(5):
        rig.look(3)
        assert await rig.pusher.attempt()
    assert rig.desk.results() == everything(rig)
    assert rig.desk.connections == 1
    assert rig.spool.backlog("hub") == 0
    assert rig.desk.pushes[0].batch is None  # asks for the watermark first
    assert rig.desk.pushes[0].echo is None
    echo = rig.desk.pushes[-1].echo
    assert echo is not None
    assert 0 <= rig.desk.pushes[-1].sent.boot_ms - echo.boot_ms < 5_000
    assert echo.sent_ms == rig.duties.acks[-2].sent_ms != rig.duties.acks[-2].received_ms
    assert await rig.pusher.attempt()
    assert rig.desk.pushes[-1].batch is None  # nothing to send is still a sign of life


async def test_a_backlog_drains_batch_after_batch_with_the_present_state_beside(rig: Rig) -> None:
    rig.look(2_500)
    assert await rig.pusher.attempt()
    assert rig.desk.results() == everything(rig)
    sizes = [len(push.batch.states) for push in rig.desk.pushes if push.batch]
    assert len(sizes) == 3
    backlogs = [push.backlog for push in rig.desk.pushes]
    assert backlogs == sorted(backlogs, reverse=True)
    assert [push.present is not None for push in rig.desk.pushes] == [backlog > 0 for backlog in backlogs]
    assert backlogs[-1] == 0


async def test_pause_is_honoured(rig: Rig) -> None:
    rig.desk.override = lambda push: rig.desk.accept(push) if push.batch is None else paused(push)

    def paused(push: Push) -> Ack:
        ack = rig.desk.accept(push)
        return Ack(**{**{name: getattr(ack, name) for name in ack.__struct_fields__}, "pause_ms": 150})

    rig.look(2_500)
    begun = time.monotonic()
    assert await rig.pusher.attempt()
    assert time.monotonic() - begun >= 0.45


# -- what is not an acknowledgement

HTML = b"<html><title>Welcome, please log in</title></html>"


def says(status: int, body: bytes = b"", content_type: str = "text/html", **headers: str) -> PushHandler:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=body, content_type=content_type, headers=headers)

    return answer


async def resets(request: web.BaseRequest) -> web.StreamResponse | None:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (says(200, HTML), "in the collector's place"),
        (says(200, HTML, ack_type(VERSION)), "not an acknowledgement"),
        (says(200, b"", ack_type(VERSION)), "not an acknowledgement"),
        (says(200, bytes(MAX_ANSWER + 1), ack_type(VERSION)), "an answer of more than"),
        (says(204), "cannot serve now"),
        (says(302, Location="https://portal.example/"), "in the collector's place"),
        (says(511), "in the collector's place"),
        (says(502, HTML), "cannot serve now: HTTP 502"),
        (says(503, b'{"error":"busy"}', "application/json"), "cannot serve now: busy"),
        (says(401), "no certificate"),
        (says(403, b'{"error":"revoked"}', "application/json"), "refuses this agent: revoked"),
        (says(403, b'{"error":"replaced"}', "application/json"), "another machine has taken its place"),
        (says(500, b"\xff\xfe{"), "HTTP 500"),
        (says(404, b"[1]", "application/json"), "HTTP 404"),
    ],
)
async def test_only_a_parsed_acknowledgement_acknowledges(rig: Rig, answer: PushHandler, words: str) -> None:
    rig.look(5)
    assert await rig.pusher.attempt()
    rig.look(5)
    rig.desk.handlers = [answer]
    assert not await rig.pusher.attempt()
    assert words in rig.pusher.contact.why
    assert rig.spool.backlog("hub") == 5
    assert await rig.pusher.attempt()
    assert rig.desk.results() == everything(rig)
    assert rig.pusher.contact.why == ""


async def test_a_collector_that_does_not_trust_its_clock_says_nothing_of_ours(rig: Rig) -> None:
    assert await rig.pusher.attempt()
    timeless = wire.encode_ack(Ack(incarnation="i", verdict="none", received_ms=0, sent_ms=0))
    rig.desk.handlers = [says(200, timeless, ack_type(VERSION))]
    assert await rig.pusher.attempt()
    assert abs(rig.pusher.contact.ahead_ms) < 60_000, "a time of 0 is no time"


async def test_an_answer_lost_after_the_commit_counts_nothing_twice(rig: Rig) -> None:
    rig.look(5)

    async def commit_then_reset(request: web.BaseRequest) -> web.StreamResponse | None:
        rig.desk.accept(wire.decode_push(await request.read()))
        return await resets(request)

    assert await rig.pusher.attempt()
    rig.look(5)
    rig.desk.handlers = [commit_then_reset, resets]  # the second: the retry on a fresh connection
    assert not await rig.pusher.attempt()
    assert "broke off" in rig.pusher.contact.why
    rig.look(5)
    assert await rig.pusher.attempt()
    assert rig.desk.results() == everything(rig)


async def test_a_kept_connection_that_died_unseen_is_no_failure(rig: Rig) -> None:
    rig.look()
    assert await rig.pusher.attempt()
    rig.look()
    rig.desk.handlers = [resets]
    assert await rig.pusher.attempt()
    assert rig.desk.results() == everything(rig)
    assert rig.desk.connections == 2


async def test_it_backs_off_and_says_so_once(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    await rig.desk.close()
    waits = []
    for _ in range(12):
        assert not await rig.pusher.attempt()
        waits.append(rig.pusher._wait)
    assert waits[:4] == [1, 2, 4, 8]
    assert waits[-1] == LONGEST_WAIT
    assert sum("is not served" in record.message for record in caplog.records) == 1
    assert "nothing listens" in rig.pusher.contact.why


async def test_retry_after_is_honoured_within_bounds(rig: Rig) -> None:
    rig.desk.handlers = [says(503, **{"Retry-After": "60"}), says(503, **{"Retry-After": "999999"})]
    assert not await rig.pusher.attempt()
    assert rig.pusher._wait == 60
    assert not await rig.pusher.attempt()
    assert rig.pusher._wait == LONGEST_WAIT


# -- verdicts


async def test_a_restored_collector_gets_again_what_it_lost(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.look(5)
    assert await rig.pusher.attempt()
    old, kept = rig.desk.watermark, list(rig.desk.accepted)
    rig.look(5)
    assert await rig.pusher.attempt()
    rig.desk.watermark, rig.desk.accepted, rig.desk.incarnation = old, kept, "two"
    rig.look(5)
    assert await rig.pusher.attempt()
    assert rig.desk.results() == everything(rig)
    assert sum("restored" in record.message for record in caplog.records) == 1


async def test_a_collector_made_anew_gets_everything(rig: Rig) -> None:
    rig.look(5)
    assert await rig.pusher.attempt()
    rig.desk.watermark, rig.desk.accepted, rig.desk.incarnation = None, [], "two"
    assert await rig.pusher.attempt()
    assert rig.desk.results() == everything(rig)


async def test_a_conflict_begins_a_new_epoch_and_loses_nothing_after_it(rig: Rig) -> None:
    rig.look(5)
    assert await rig.pusher.attempt()
    epoch = rig.spool.epoch
    conflicts = [True]

    def judge(push: Push) -> Ack | None:
        if push.batch is not None and conflicts:
            conflicts.pop()
            return rig.desk.ack("conflict", reason="other content")
        return None

    rig.desk.override = judge
    rig.look(5)
    assert await rig.pusher.attempt()
    rig.look(5)
    assert await rig.pusher.attempt()
    assert rig.spool.epoch != epoch
    assert rig.desk.results() == everything(rig)


async def test_refused_batches_are_left_behind(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.look(5)
    assert await rig.pusher.attempt()

    def refuse(push: Push) -> Ack | None:
        if push.batch is None:
            return None
        rig.desk.watermark = Position(push.batch.epoch, push.batch.last)
        return rig.desk.ack("refused", reason="nonsense")

    rig.desk.override = refuse
    rig.look(5)
    assert await rig.pusher.attempt()
    assert rig.spool.backlog("hub") == 0
    assert any("nonsense" in record.message for record in caplog.records)


async def test_a_collector_that_never_comes_to_terms_is_backed_off_from(rig: Rig) -> None:
    rig.look(5)
    assert await rig.pusher.attempt()
    rig.look(5)
    rig.desk.override = lambda push: rig.desk.ack("reposition")
    before = len(rig.desk.pushes)
    assert not await rig.pusher.attempt()
    assert len(rig.desk.pushes) - before == STUCK
    assert rig.spool.backlog("hub") == 5


@pytest.mark.parametrize("verdict", ["", "something new", "none"])
async def test_a_verdict_that_makes_no_sense_acknowledges_nothing(rig: Rig, verdict: str) -> None:
    rig.look(5)
    assert await rig.pusher.attempt()
    rig.look(5)
    rig.desk.override = lambda push: rig.desk.ack(verdict)
    assert not await rig.pusher.attempt()
    assert rig.spool.backlog("hub") == 5


async def test_plans_are_sent_when_wanted(rig: Rig) -> None:
    known: list[tuple[bytes, bytes]] = []

    def judge(push: Push) -> Ack | None:
        known.extend(zip(push.plans, push.signatures, strict=True))
        if push.batch is not None and not known:
            return rig.desk.ack("none", want=[PLAN.digest])
        return None

    rig.desk.override = judge
    rig.look(5)
    assert await rig.pusher.attempt()
    assert known == [(PLAN.encode(), b"signature")]
    assert rig.desk.results() == everything(rig)


async def test_a_plan_that_is_no_longer_kept_is_no_endless_loop(rig: Rig) -> None:
    rig.desk.override = lambda push: rig.desk.ack("none", want=[b"nonesuch"]) if push.batch else None
    rig.look(5)
    assert not await rig.pusher.attempt()
    assert rig.spool.backlog("hub") >= 5


# -- batches that a collector cannot take


async def test_one_poisonous_frame_is_stepped_over_and_declared(rig: Rig) -> None:
    rig.look(40)
    rig.look(1, reason="poison")
    rig.look(40)

    async def allergic(request: web.BaseRequest) -> web.StreamResponse | None:
        rig.desk.handlers = [allergic]
        push = wire.decode_push(await request.read())
        if push.batch is not None and any("poison" in reason for _, reason in push.batch.reasons):
            return web.Response(status=400, body=b'{"error":"I cannot read this"}')
        return None

    rig.desk.handlers = [allergic]
    assert await rig.pusher.attempt()
    assert rig.desk.results() == [look for look in everything(rig) if look[1] != 42_000]
    missing = [span for batch in rig.desk.accepted for span in batch.missing]
    assert sum(last - first + 1 for first, last in missing) == 1
    assert await rig.pusher.attempt()
    assert any(record.kind == "dropped" for batch in rig.desk.accepted for record in batch.records)


async def test_a_collector_that_understands_nothing_loses_nothing(rig: Rig) -> None:
    """An older collector answers 400 to all: that is no reason to give up frame after frame."""

    async def never(request: web.BaseRequest) -> web.StreamResponse | None:
        rig.desk.handlers = [never]
        return web.Response(status=400, body=b'{"error":"wire version 9"}')

    rig.look(5)
    assert await rig.pusher.attempt()
    rig.look(5)
    rig.desk.handlers = [never]
    assert not await rig.pusher.attempt()
    assert "wire version 9" in rig.pusher.contact.why
    assert rig.spool.backlog("hub") == 5
    rig.desk.handlers = []
    assert await rig.pusher.attempt()
    assert rig.desk.results() == everything(rig)


async def test_sizes_recover_after_halving(rig: Rig) -> None:
    rig.desk.handlers = [says(413), says(413)]
    rig.look(10)
    rig.pusher.contact.last_ack = 0  # the watermark is known
    assert await rig.pusher.attempt()
    rig.look(MAX_RESULTS)
    assert await rig.pusher.attempt()
    assert rig.desk.results() == everything(rig)
    assert rig.pusher._size > 100


# -- TLS


async def test_a_collector_of_another_authority_gets_nothing(rig: Rig, tmp_path: Path) -> None:
    port = rig.desk.port
    await rig.desk.close()
    other = await FakeCollector(FakeAuthority()).open(tmp_path, port=port)
    rig.look(5)
    assert not await rig.pusher.attempt()
    assert "is not the collector's" in rig.pusher.contact.why
    assert other.pushes == []
    await other.close()


async def test_a_certificate_for_another_name_of_the_same_authority_is_refused(
    rig: Rig, tmp_path: Path, authority: FakeAuthority
) -> None:
    """An agent's own certificate is signed by the same authority: it must not pass for the collector."""
    port = rig.desk.port
    await rig.desk.close()
    other = await FakeCollector(authority).open(tmp_path, authority.issue("site-2", "127.0.0.1"), port=port)
    rig.look(5)
    assert not await rig.pusher.attempt()
    assert "is not the collector's" in rig.pusher.contact.why
    await other.close()


@pytest.mark.parametrize("year", [1971, 2090])
async def test_dates_do_not_matter_under_the_pinned_authority(
    rig: Rig, tmp_path: Path, authority: FakeAuthority, year: int
) -> None:
    """What an agent whose clock says 1970 sees: a certificate that is not valid yet, or no longer."""
    port = rig.desk.port
    await rig.desk.close()
    begins = datetime.datetime(year, 1, 1, tzinfo=datetime.UTC)
    other = await FakeCollector(authority).open(tmp_path, authority.issue("c", "haidang-collector", begins), port=port)
    rig.look(5)
    assert await rig.pusher.attempt()
    assert len(other.results()) == 5
    await other.close()


# -- the loop


async def test_the_pusher_pushes_when_told_and_survives_an_outage(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.uplink.push.GATHER", 0.001)
    monkeypatch.setattr("agent.uplink.push.FIRST_WAIT", 0.01)
    running = asyncio.create_task(rig.pusher.run())
    rig.look(3)
    rig.pusher.hurry()
    await eventually(lambda: len(rig.desk.results()) == 3)
    rig.desk.handlers = [says(502), says(502), says(502)]
    rig.look(3)
    rig.pusher.hurry()
    await eventually(lambda: len(rig.desk.results()) == 6)  # by itself, nobody hurries it again
    running.cancel()
    assert rig.desk.results() == everything(rig)


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  # what is waited for is on the far side of a socket
            await asyncio.sleep(0.01)
