"""Which version of the wire is spoken: the newest that both ends know, found out by the answers."""

import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from agent.spool import CheckResult, Spool
from agent.uplink import identity as identities
from agent.uplink.connection import CollectorResponse, Uplink, tls_context
from agent.uplink.push import Pusher, parse_ack
from inventory.base.clock import SystemClock
from inventory.protocol import plan as plans
from inventory.protocol import wire
from inventory.protocol.reasons import Phrase, bounded, pack, sentence
from inventory.protocol.wire import Position, Record
from tests.agent.uplink.test_push import PLAN, Duties
from tests.support import wire_v1
from tests.support.fake_collector import FakeAuthority, FakeCollector
from tests.support.recorded import Exchange, exchanges

REASON = bounded(sentence("{who} refused the connection", who="192.0.2.1"))
PHRASE = Phrase("{who} refused the connection", ("192.0.2.1",))
ANSWERED = [one for one in exchanges() if one.path == "/v1/push" and one.ack is not None]


class Rig:
    def __init__(self, desk: FakeCollector, spool: Spool, pusher: Pusher) -> None:
        self.desk, self.spool, self.pusher = desk, spool, pusher
        self.at = 1_000

    async def push(self) -> None:
        """One result with a reason, delivered, however many attempts that takes."""
        self.at += 1_000
        self.spool.append(CheckResult(0, self.at, 2, 100, (), REASON))
        for _ in range(3):
            if await self.pusher.attempt():
                return
        raise AssertionError(self.pusher.contact.why)

    @property
    def versions(self) -> list[int]:
        return [push.version for push in self.desk.pushes]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    authority = FakeAuthority()
    desk = await FakeCollector(authority).open(tmp_path)
    identities.store(tmp_path, authority.identity(desk.url))
    spool = Spool.open(
        tmp_path / "spool", boot=b"bootboot", boot_ms=1_000, plan=PLAN.digest, start={}, collectors=["hub"],
        holds=lambda plan: [70_000],
    )  # fmt: skip
    context = tls_context([authority.pem], identities.path_in(tmp_path))
    pusher = Pusher("hub", Uplink(desk.url, context), spool, SystemClock(), Duties(), jitter=lambda: 0.0)
    yield Rig(desk, spool, pusher)
    await pusher.uplink.close()
    await desk.close()
    spool.close()


async def test_the_first_push_is_of_the_oldest_version_and_the_others_of_the_newest(rig: Rig):
    await rig.push()
    await rig.push()
    assert rig.versions == [1, 2, 2]
    assert rig.desk.pushes[0].batch is None
    assert [batch.reasons for batch in rig.desk.accepted] == [[(0, PHRASE)], [(0, PHRASE)]]


def test_what_came_after_version_1_stands_behind_it_and_is_passed_over():
    """Version 2's first programs read a push as this one does: by its first fields."""
    push = wire.Push(version=1, sent=wire.Reading(b"bootboot", 1, 2), plans=[b"{}"], signatures=[b"signed"])
    old = wire_v1.decode_push(wire.encode_push(push))
    assert (old.plans, old.health) == ([b"{}"], {})
    assert wire.decode_push(zlib.compress(msgspec.msgpack.encode(old))).signatures == []


async def test_a_collector_of_version_1_gets_what_it_reads(rig: Rig):
    rig.desk.versions = (1,)
    rig.spool.append(Record(1_500, "refused", {"check": "c", "why": pack(REASON)}))
    await rig.push()
    await rig.push()
    bodies = [wire_v1.decode_push(body) for body in rig.desk.bodies]
    assert [body.version for body in bodies] == [1, 1, 1]
    first, second = (body.batch for body in bodies if body.batch is not None)
    assert first.reasons == second.reasons == [(0, "192.0.2.1 refused the connection")]
    assert [record.data["why"] for record in first.records if record.kind == "refused"] == [str.join("", REASON)]
    assert rig.spool.backlog("hub") == 0


async def test_a_collector_that_is_replaced_by_an_older_and_a_newer_one(rig: Rig):
    await rig.push()
    rig.desk.versions = (1,)
    await rig.push()
    rig.desk.versions = wire.VERSIONS
    await rig.push()
    await rig.push()
    assert rig.versions == [1, 2, 1, 1, 2]
    assert len(rig.desk.results()) == 4
    assert rig.spool.backlog("hub") == 0
    assert rig.pusher.contact.failures == 0


async def test_a_collector_that_takes_none_of_ours_gets_nothing_and_nothing_is_lost(rig: Rig):
    rig.desk.versions = (8, 9)
    rig.spool.append(CheckResult(0, 2_000, 0, 100, ()))
    assert not await rig.pusher.attempt()
    assert "does not understand this agent: a push is application/vnd.haidang.push.v9" in rig.pusher.contact.why
    assert rig.spool.backlog("hub") > 0


@pytest.mark.parametrize(
    ("said", "spoken"), [(None, 1), ("1", 1), ("1, 2", 2), ("2,3,4", 2), ("3", 1), ("", 1), ("none", 1), ("9" * 999, 1)]
)
def test_the_newest_common_version(said: str | None, spoken: int):
    assert wire.common_version({} if said is None else {"haidang-wire": said}) == spoken


def test_media_types():
    assert [wire.version_of(wire.push_type(n), wire.push_type) for n in (0, 1, 2, 3)] == [None, 1, 2, None]
    assert wire.version_of(wire.ack_type(1), wire.push_type) is None
    assert (wire.push_type(1), wire.ack_type(1)) == (wire_v1.PUSH_TYPE, wire_v1.ACK_TYPE)


@pytest.mark.parametrize("one", ANSWERED, ids=repr)
def test_every_answer_of_a_collector_of_version_1_is_understood(one: Exchange):
    assert one.ack is not None
    ack = parse_ack(CollectorResponse(one.status, one.media_type, {}, one.response))
    mark = one.ack["watermark"]
    assert (ack.verdict, ack.incarnation, ack.version) == (one.ack["verdict"], one.ack["incarnation"], 1)
    assert (ack.received_ms, ack.sent_ms, ack.reason) == (
        one.ack["received_ms"], one.ack["sent_ms"], one.ack["reason"],
    )  # fmt: skip
    assert ack.watermark == (Position(mark["epoch"], mark["seq"]) if mark else None)
    assert [digest.hex() for digest in ack.want] == one.ack["want"]
    assert (ack.plan.hex() if ack.plan is not None else None) == one.ack["plan"]


@pytest.mark.parametrize("one", [one for one in exchanges() if one.path == "/v1/plan" and one.response], ids=repr)
def test_every_plan_of_a_collector_of_version_1_is_understood(one: Exchange):
    plan = plans.decode(one.response)
    assert plans.digest_of(one.response).hex() == one.entry["plan"]["digest"]
    assert plan.encode() == one.response


def test_an_ack_is_of_the_version_of_its_push_and_an_agent_of_version_1_reads_it():
    ack = wire.Ack(incarnation="i", verdict="taken", received_ms=1, sent_ms=2, watermark=Position(3, 4), want=[b"x"])
    old = wire_v1.decode_ack(wire.encode_ack(ack, 1))
    assert (old.verdict, old.version, old.watermark) == ("taken", 1, wire_v1.Position(3, 4))
    with pytest.raises(wire_v1.WireError, match="wire version 2"):
        wire_v1.decode_ack(wire.encode_ack(ack))
