"""The SNMP client against devices that are late, wrong, endless, picky or silent."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest

from agent.clients.snmp import Community, SnmpClient, SnmpNoResponse, SnmpSession, SnmpTarget, ber
from agent.clients.snmp.session import MOST_OBJECTS, SnmpTooMuchData
from agent.failure import ProbeFailed
from agent.probe import Address
from inventory.base.types import Secret
from inventory.protocol.states import DOWN, UNKNOWN
from tests.support.snmp import (
    Cell,
    SnmpDevice,
    SnmpRequest,
    TimedReplies,
    device,
    integer,
    octets,
    reply,
    switch,
    unsigned,
)

UPTIME, DESCR, NONE = "1.3.6.1.2.1.1.3.0", "1.3.6.1.2.1.1.1.0", "1.3.6.1.2.1.1.99.0"
LOOPBACK = ip_address("127.0.0.1")
TABLE = "1.3.6.1.2.1.2.2.1.2"


@pytest.fixture
async def snmp() -> AsyncIterator[SnmpClient]:
    made = SnmpClient()
    yield made
    await made.close()


async def session(
    snmp: SnmpClient, made: SnmpDevice, seconds: float = 5.0, version: str = "2c", address: Address = LOOPBACK
) -> SnmpSession:
    access = Community("1" if version == "1" else "2c", Secret("public"))
    return await snmp.session(SnmpTarget(address, made.port, access), seconds)


@pytest.mark.parametrize("version", ["1", "2c"])
async def test_values_come_and_what_is_not_there_is_left_out(snmp: SnmpClient, version: str) -> None:
    async with device(switch(1)) as made:
        talk = await session(snmp, made, version=version)
        assert await talk.get([UPTIME, NONE, DESCR]) == {UPTIME: 8_640_000, DESCR: b"a switch"}
        assert talk.latency is not None
        assert 0 < talk.latency < 0.4
        assert await talk.get([NONE]) == {}


@pytest.mark.parametrize("version", ["1", "2c"])
async def test_columns_are_walked_side_by_side(snmp: SnmpClient, version: str) -> None:
    async with device(switch(100)) as made:
        del made.objects[f"{TABLE}.7"]
        walk = await (await session(snmp, made, 5.0, version)).walk(TABLE, "1.3.6.1.2.1.2.2.1.8", "1.3.6.1.9")
    names, states, nothing = walk.columns
    assert walk.cut == ""
    assert list(names) == [str(port) for port in range(1, 101) if port != 7]
    assert names["42"] == b"GigabitEthernet0/42"
    assert (len(states), nothing) == (100, {})


async def test_the_last_column_of_all_ends(snmp: SnmpClient) -> None:
    async with device({UPTIME: integer(1), "1.3.6.1.2.1.1.5.0": octets("last")}) as made:
        for version in ("1", "2c"):
            walk = await (await session(snmp, made, version=version)).walk("1.3.6.1.2.1.1")
            assert (walk.columns, walk.cut) == (({"3.0": 1, "5.0": b"last"},), "")


async def test_ipv6(snmp: SnmpClient) -> None:
    async with device(switch(1), "::1") as made:
        talk = await session(snmp, made, address=ip_address("::1"))
        assert (await talk.get([UPTIME]))[UPTIME] == 8_640_000


async def test_where_the_loop_cannot_watch_a_socket() -> None:
    snmp = SnmpClient(watch=False)
    async with device(honest_value(7)) as made:
        assert await (await session(snmp, made)).get([UPTIME]) == {UPTIME: 7}
        made.community = b"another"
        with pytest.raises(SnmpNoResponse):
            await (await session(snmp, made, 0.1)).get([UPTIME])
    await snmp.close()


async def test_forty_devices_share_one_socket(snmp: SnmpClient) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None  # noqa: PTH208, PTH112
    async with device(switch(1)) as first, device({UPTIME: integer(7)}) as second:
        opened = 2

        async def look(made: SnmpDevice) -> object:
            return (await (await session(snmp, made, 5.0)).get([UPTIME]))[UPTIME]

        seen = await asyncio.gather(*(look(made) for _ in range(20) for made in (first, second)))
        assert seen == [8_640_000, 7] * 20
        if before is not None:
            assert len(os.listdir("/proc/self/fd")) == before + opened + 1  # noqa: PTH208


# -- what is no answer


def honest_value(value: int) -> dict[str, Cell]:
    return {UPTIME: integer(value)}


def wrong_id(asked: SnmpRequest, honest: bytes) -> TimedReplies:
    return [(0, reply(asked, [(UPTIME, integer(666))], request_id=asked.request_id ^ 1)), (0.05, honest)]


def wrong_type(asked: SnmpRequest, honest: bytes) -> TimedReplies:
    return [(0, reply(asked, [(UPTIME, integer(666))], pdu=ber.GET)), (0.05, honest)]


def wrong_version(asked: SnmpRequest, honest: bytes) -> TimedReplies:
    asked.version ^= 1
    lie = reply(asked, [(UPTIME, integer(666))])
    asked.version ^= 1
    return [(0, lie), (0.05, honest)]


def garbage(asked: SnmpRequest, honest: bytes) -> TimedReplies:
    return [(0, b"\x30\x84\xff\xff\xff\xff"), (0, os.urandom(50)), (0, b""), (0.05, honest)]


def oversized(asked: SnmpRequest, honest: bytes) -> TimedReplies:
    return [(0, os.urandom(60_000)) for _ in range(20)] + [(0.05, honest)]


@pytest.mark.parametrize("twist", [wrong_id, wrong_type, wrong_version, garbage, oversized])
async def test_what_does_not_answer_the_question_is_ignored(snmp: SnmpClient, twist: object) -> None:
    async with device(honest_value(7)) as made:
        made.rewrite = twist  # type: ignore[assignment]
        talk = await session(snmp, made, 2.0)
        assert await talk.get([UPTIME]) == {UPTIME: 7}
        assert talk.ignored >= 1


async def test_only_lies_is_no_answer_and_the_reason_counts_them(snmp: SnmpClient) -> None:
    async with device(honest_value(7)) as made:
        made.rewrite = lambda asked, honest: wrong_id(asked, honest)[:1] + garbage(asked, honest)[:2]
        talk = await session(snmp, made, 0.2)
        with pytest.raises(
            SnmpNoResponse, match=r"did not answer within 0\.2 s; \d+ packets came that are no answer"
        ) as told:
            await talk.get([UPTIME])
    assert "late or repeated" in told.value.reason
    assert "not SNMP answers" in told.value.reason


async def test_an_answer_from_another_port_is_not_taken(snmp: SnmpClient) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        async with device(honest_value(7)) as made:
            where: list[tuple[str, int]] = []
            receive = made.datagram_received

            def note(data: bytes, addr: tuple[str, int]) -> None:
                where.append(addr)
                receive(data, addr)

            made.datagram_received = note  # type: ignore[method-assign]

            def elsewhere(asked: SnmpRequest, honest: bytes) -> TimedReplies:
                other.sendto(reply(asked, [(UPTIME, integer(666))]), where[-1])
                return []

            made.rewrite = elsewhere
            talk = await session(snmp, made, 0.2)
            with pytest.raises(SnmpNoResponse, match="from another address or port"):
                await talk.get([UPTIME])


async def test_a_late_answer_does_not_answer_the_next_question(snmp: SnmpClient) -> None:
    async with device(honest_value(1)) as made:
        made.rewrite = lambda asked, honest: [(0.25, honest)]
        with pytest.raises(SnmpNoResponse):
            await (await session(snmp, made, 0.2)).get([UPTIME])
        made.objects[UPTIME] = integer(2)
        made.rewrite = lambda asked, honest: [(0.1, honest)]
        talk = await session(snmp, made, 1.0)
        assert await talk.get([UPTIME]) == {UPTIME: 2}
        assert talk.ignored >= 1


async def test_an_answer_given_twice_counts_once(snmp: SnmpClient) -> None:
    async with device(honest_value(1)) as made:
        made.rewrite = lambda asked, honest: [(0, honest), (0, honest)]
        talk = await session(snmp, made)
        for _ in range(3):
            assert await talk.get([UPTIME]) == {UPTIME: 1}


async def test_a_lost_packet_is_sent_again(snmp: SnmpClient) -> None:
    async with device(honest_value(1)) as made:
        made.rewrite = lambda asked, honest: [(0, honest)] if len(made.requests) > 2 else []
        assert await (await session(snmp, made, 2.0)).get([UPTIME]) == {UPTIME: 1}
        assert len({asked.request_id for asked in made.requests}) == 1


async def test_request_ids_cannot_be_guessed(snmp: SnmpClient) -> None:
    async with device(honest_value(1)) as made:
        for _ in range(20):
            await (await session(snmp, made)).get([UPTIME])
        ids = [asked.request_id for asked in made.requests]
    assert len(set(ids)) == 20
    assert max(ids) - min(ids) > 1 << 24
    assert all(0 <= each < 1 << 31 for each in ids)


# -- silence and refusal


async def test_a_wrong_community_is_silence_and_said_as_such(snmp: SnmpClient) -> None:
    async with device(honest_value(1)) as made:
        made.community = b"another"
        talk = await session(snmp, made, 0.1)
        with pytest.raises(SnmpNoResponse, match=r"a wrong community, or no SNMP there$") as told:
            await talk.get([UPTIME])
        assert told.value.state == DOWN
        made.community = b"public"
        await (await session(snmp, made)).get([UPTIME])
        made.community = b"another"
        with pytest.raises(
            SnmpNoResponse, match=r"did not answer within 0\.1 s$"
        ):  # it is not the community: that one worked
            await (await session(snmp, made, 0.1)).get([UPTIME])


@pytest.mark.skipif(not hasattr(socket, "SO_PEERSEC"), reason="Linux hands on ICMP errors")
async def test_nobody_listens_there(snmp: SnmpClient) -> None:
    async with device(honest_value(1)) as made, device(honest_value(2)) as other:
        port, made.port = made.port, 9
        talk = await session(snmp, made, 2.0)
        started = time.monotonic()
        refused, fine = await asyncio.gather(
            talk.get([UPTIME]), (await session(snmp, other)).get([UPTIME]), return_exceptions=True
        )
        made.port = port
    assert time.monotonic() - started < 1
    assert isinstance(refused, ProbeFailed)
    assert refused.reason == "127.0.0.1:9 says that nothing listens there"
    assert fine == {UPTIME: 2}


async def test_silence_after_a_first_answer_is_another_matter(snmp: SnmpClient) -> None:
    async with device(honest_value(1)) as made:
        talk = await session(snmp, made, 0.3)
        await talk.get([UPTIME])
        made.rewrite = lambda asked, honest: []
        with pytest.raises(SnmpNoResponse, match=r"answered at first, but not all questions within 0\.3 s$"):
            await talk.get([UPTIME])


# -- what a device can take


async def test_too_big_is_asked_in_smaller_pieces_and_remembered(snmp: SnmpClient) -> None:
    wanted = [f"{TABLE}.{port}" for port in range(1, 61)]
    async with device(switch(60)) as made:
        made.max_objects = 7
        assert len(await (await session(snmp, made)).get(wanted)) == 60
        made.requests.clear()
        assert len(await (await session(snmp, made)).get(wanted)) == 60
        assert max(len(asked.oids) for asked in made.requests) <= 7
        made.max_objects = 0
        with pytest.raises(ProbeFailed, match="has an object too big for its own answers"):
            await (await session(snmp, made)).get(wanted)


async def test_answers_too_large_for_the_way_are_asked_for_in_smaller_pieces(snmp: SnmpClient) -> None:
    wanted = [UPTIME, *(f"{TABLE}.{port}" for port in range(1, 61))]
    async with device(switch(60)) as made:
        made.rewrite = lambda asked, honest: [(0, honest)] if len(honest) < 900 else []  # fragments get lost
        talk = await session(snmp, made, 3.0)
        assert (await talk.get([UPTIME]))[UPTIME] == 8_640_000
        assert len(await talk.get(wanted)) == 61
        walk = await (await session(snmp, made, 3.0)).walk(TABLE)
        assert (len(walk.columns[0]), walk.cut) == (60, "")


async def test_one_broken_object_does_not_hide_the_others(snmp: SnmpClient) -> None:
    async with device(switch(5)) as made:

        def picky(asked: SnmpRequest, honest: bytes) -> TimedReplies:
            if f"{TABLE}.3" in asked.oids:
                return [(0, reply(asked, [], 5, asked.oids.index(f"{TABLE}.3") + 1))]
            return [(0, honest)]

        made.rewrite = picky
        assert len(await (await session(snmp, made)).get([f"{TABLE}.{port}" for port in range(1, 6)])) == 4

        def vague(asked: SnmpRequest, honest: bytes) -> TimedReplies:
            return [(0, reply(asked, [], 5, 0))] if f"{TABLE}.3" in asked.oids else [(0, honest)]

        made.rewrite = vague
        assert len(await (await session(snmp, made)).get([f"{TABLE}.{port}" for port in range(1, 6)])) == 4


async def test_other_objects_than_asked_for(snmp: SnmpClient) -> None:
    async with device(switch(1)) as made:
        made.rewrite = lambda asked, honest: [(0, reply(asked, [(DESCR, octets("x"))]))]
        with pytest.raises(ProbeFailed, match="answered with other objects than were asked for"):
            await (await session(snmp, made)).get([UPTIME])


async def test_no_right_to_read(snmp: SnmpClient) -> None:
    async with device(switch(1)) as made:
        made.rewrite = lambda asked, honest: [(0, reply(asked, [], 16, 1))]
        with pytest.raises(ProbeFailed, match="does not let this credential read") as told:
            await (await session(snmp, made)).get([UPTIME])
        assert told.value.state == UNKNOWN


# -- walks that would not end


async def test_a_walk_in_circles(snmp: SnmpClient) -> None:
    async with device(switch(10)) as made:
        circle = [(f"{TABLE}.{port}", octets("x")) for port in (1, 2, 3)]
        made.rewrite = lambda asked, honest: [(0, reply(asked, circle))]
        walk = await (await session(snmp, made)).walk(TABLE)
        assert walk.cut.endswith(f"goes round in circles at {TABLE}.1")
        assert len(walk.columns[0]) == 3
        made.rewrite = lambda asked, honest: [(0, reply(asked, [(asked.oids[0], octets("x"))]))]
        assert "goes round in circles" in (await (await session(snmp, made, version="1")).walk(TABLE)).cut


def endless(asked: SnmpRequest, honest: bytes) -> TimedReplies:
    """A table of every number there is."""
    last = asked.oids[0].removeprefix(TABLE).removeprefix(".")
    first = int(last.partition(".")[0] or 0) + 1
    rounds = max(1, asked.repetitions)
    return [(0, reply(asked, [(f"{TABLE}.{first + place}", octets("x" * 400)) for place in range(rounds)]))]


async def test_an_endless_table(snmp: SnmpClient) -> None:
    async with device({}) as made:
        made.rewrite = endless
        walk = await (await session(snmp, made, 20.0)).walk(TABLE)
        assert walk.cut.endswith("has more than 4096 rows in one table")
        assert len(walk.columns[0]) <= 4096 + 36
        cut = await (await session(snmp, made, 0.05)).walk(TABLE, rows=10**6)
        assert cut.cut
        assert len(made.requests) < MOST_OBJECTS / 10


async def test_a_look_hears_no_more_than_its_share(snmp: SnmpClient) -> None:
    async with device({}) as made:
        made.rewrite = endless
        talk = await session(snmp, made, 60.0)
        talk._objects = MOST_OBJECTS + 1
        with pytest.raises(SnmpTooMuchData, match="has too much to tell for one look"):
            await talk.get([UPTIME])


async def test_errors_in_the_middle_of_a_table(snmp: SnmpClient) -> None:
    async with device(switch(60)) as made:
        made.rewrite = lambda asked, honest: [(0, honest if len(made.requests) < 2 else reply(asked, [], 5, 0))]
        walk = await (await session(snmp, made)).walk(TABLE)
        assert walk.cut.endswith("answered genErr in the middle of a table")
        assert walk.columns[0]
        made.rewrite = lambda asked, honest: [(0, reply(asked, []))]
        assert (await (await session(snmp, made)).walk(TABLE)).cut.endswith("with nothing in the middle of a table")


async def test_a_flood_holds_nobody_up(snmp: SnmpClient) -> None:
    async with device(honest_value(1)) as evil, device(honest_value(2)) as good:
        evil.rewrite = lambda asked, honest: [
            (delay / 1000, os.urandom(1_000)) for delay in range(200) for _ in range(5)
        ]
        flooded = asyncio.create_task((await session(snmp, evil, 0.4)).get([UPTIME]))
        for _ in range(20):
            talk = await session(snmp, good, 1.0)
            assert await talk.get([UPTIME]) == {UPTIME: 2}
        with pytest.raises(SnmpNoResponse, match="not SNMP answers"):
            await flooded


async def test_a_cancelled_question_leaves_nothing_behind(snmp: SnmpClient) -> None:
    async with device(honest_value(1)) as made:
        made.rewrite = lambda asked, honest: []
        asking = asyncio.create_task((await session(snmp, made, 5.0)).get([UPTIME]))
        await asyncio.sleep(0)
        while not made.requests:  # noqa: ASYNC110  # the device's doing
            await asyncio.sleep(0.001)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        channel = snmp._channels[4]
        assert (channel._pending, channel._by_host) == ({}, {})


def test_an_access_does_not_show_its_secret() -> None:
    assert "hunter2" not in repr(SnmpTarget(LOOPBACK, 161, Community("2c", Secret("hunter2"))))
    assert unsigned(0) == (0x42, b"\0")


def test_names_are_compared_in_one_form_and_case() -> None:
    import unicodedata

    from agent.clients.snmp.labels import matcher

    composed, apart = "Cổng Kế toán", unicodedata.normalize("NFD", "Cổng Kế toán")
    for pattern in (composed, apart, "cổng k?*"):
        assert matcher([pattern])([composed]) and matcher([pattern])([apart])
