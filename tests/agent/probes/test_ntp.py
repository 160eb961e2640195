"""The NTP probe against Debian's chrony, and a server on loopback whose clock and manners are the test's."""

import asyncio
import os
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import probes
from agent.clients.ntp_packet import EPOCH, KISS_CODES, NtpReply, build_request, offset_and_delay, parse_reply
from agent.probe import Limits, Outcome, ProbeContext
from inventory.base.clock import CLOCK_FLOOR
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.chrony import chrony

PACKET = struct.Struct("!BBbbII4sQQQQ")
Replies = Callable[[bytes, int], list[tuple[float, bytes]]]


def ntp_time(seconds: float) -> int:
    """Seconds since 1970 as NTP's 64 bits, which come round every 136 years."""
    return int((seconds + EPOCH) * (1 << 32)) & ((1 << 64) - 1)


def reply(
    asked: bytes,
    ahead: float = 0.0,
    *,
    leap: int = 0,
    mode: int = 4,
    version: int = 4,
    stratum: int = 2,
    reference: bytes = b"\x7f\x00\x00\x01",
    delay: float = 0.0,
    dispersion: float = 0.0,
    busy: float = 0.0,
    origin: bytes | None = None,
) -> bytes:
    """What a server says whose clock is ``ahead`` seconds ahead, after ``busy`` seconds of work."""
    now = time.time() + ahead
    return PACKET.pack(
        leap << 6 | version << 3 | mode,
        stratum,
        6,
        -20,
        int(delay * 65536),
        int(dispersion * 65536),
        reference,
        ntp_time(now - 8),
        int.from_bytes(origin if origin is not None else asked[40:48], "big"),
        ntp_time(now),
        ntp_time(now + busy),
    )


class Server(asyncio.DatagramProtocol):
    def __init__(self, replies: Replies) -> None:
        self.replies = replies
        self.asked: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.asked.append(data)
        for delay, packet in self.replies(data, len(self.asked)):
            asyncio.get_running_loop().call_later(delay, self._say, packet, addr)

    def _say(self, packet: bytes, addr: Any) -> None:
        if not self.transport.is_closing():
            self.transport.sendto(packet, addr)


@asynccontextmanager
async def server(replies: Replies, host: str = "127.0.0.1") -> AsyncIterator[tuple[Server, int]]:
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(lambda: Server(replies), local_addr=(host, 0))
    try:
        yield made, transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


async def ask(port: int, timeout: float = 1.0, limits: Limits | None = None, **params: Any) -> Outcome:
    probe = probes.build("ntp", {"server": "127.0.0.1", "port": port, **params})
    clients: dict[type[Any], Any] = {}
    outcome = await probe.run(ProbeContext(timeout, limits or Limits(), clients))
    for client in clients.values():
        await client.close()
    return outcome


async def answered(timeout: float = 1.0, params: dict[str, Any] | None = None, **said: Any) -> Outcome:
    async with server(lambda asked, _: [(0.0, reply(asked, **said))]) as (_, port):
        outcome = await ask(port, timeout, **(params or {}))
        return Outcome(outcome.state, outcome.reason.replace(f"127.0.0.1:{port}", "HERE"), outcome.latency,
                       outcome.measures)  # fmt: skip


async def until_served(port: int) -> Outcome:
    """The first look that chrony answers: it opens its port a moment after it says that it runs."""
    for _ in range(20):
        outcome = await ask(port, 0.5, tries=1)
        if "refused" not in outcome.reason and "did not answer" not in outcome.reason:
            return outcome
        await asyncio.sleep(0.05)
    raise AssertionError(outcome.reason)


@pytest.mark.real
async def test_a_real_server(free_port: int) -> None:
    with chrony(free_port, "local stratum 5"):
        outcome = await until_served(free_port)
    assert (outcome.state, outcome.reason) == (UP, "")
    # both read one clock, so the true offset is 0: it must lie within half the way there and back
    measures = outcome.measures
    assert abs(measures["offset_seconds"]) <= measures["delay_seconds"] / 2 + 50e-6
    assert outcome.latency is not None
    assert 0 <= measures["delay_seconds"] <= outcome.latency < 0.5
    assert (measures["stratum"], measures["leap_indicator"]) == (5, 0)


@pytest.mark.real
async def test_a_real_server_that_does_not_know_the_time(free_port: int) -> None:
    with chrony(free_port):
        outcome = await until_served(free_port)
    assert (outcome.state, outcome.reason) == (
        DOWN,
        f"127.0.0.1:{free_port} answers, but is not synchronised itself",
    )
    assert outcome.measures["leap_indicator"] == 3
    assert "offset_seconds" not in outcome.measures


@pytest.mark.parametrize("ahead", [0.0, 0.5, -0.5])
async def test_the_offset(ahead: float) -> None:
    outcome = await answered(ahead=ahead, stratum=3, delay=0.25, dispersion=0.125)
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.measures["offset_seconds"] == pytest.approx(ahead, abs=0.02)
    assert outcome.measures["root_delay_seconds"] == 0.25
    assert outcome.measures["root_dispersion_seconds"] == 0.125
    assert outcome.measures["stratum"] == 3


async def test_the_servers_own_time_is_not_in_the_delay() -> None:
    async with server(lambda asked, _: [(0.2, reply(asked, busy=0.2))]) as (_, port):
        outcome = await ask(port)
    assert outcome.latency is not None
    assert outcome.latency >= 0.2
    assert outcome.measures["delay_seconds"] < 0.1
    assert abs(outcome.measures["offset_seconds"]) < 0.05


@pytest.mark.parametrize(
    ("said", "params", "words"),
    [
        ({"ahead": 2.5}, {}, "HERE: its clock is 2.5 s ahead of this machine's (one of the two is wrong)"),
        ({"ahead": -10800}, {}, "HERE: its clock is 3 hours behind this machine's (one of the two is wrong)"),
        ({"ahead": 30 * 365.25 * 86400}, {}, "HERE: its clock is 30 years ahead of"),
        ({"ahead": 0.2}, {"max_offset": 0.1}, "HERE: its clock is 0.2 s ahead of"),
        ({"delay": 4.0, "dispersion": 1.0}, {}, "HERE: it is itself unsure of the time by 3 s"),
        ({"stratum": 9}, {"max_stratum": 4}, "HERE: it is of stratum 9, more than 4"),
    ],
)
async def test_what_degrades(said: dict[str, Any], params: dict[str, Any], words: str) -> None:
    outcome = await answered(params=params, **said)
    assert outcome.state == DEGRADED
    assert outcome.reason.startswith(words)
    assert "offset_seconds" in outcome.measures


@pytest.mark.parametrize(
    ("said", "state", "words"),
    [
        ({"stratum": 0, "leap": 3, "reference": b"RATE"}, UNKNOWN, "RATE (it is asked too often)"),
        ({"stratum": 0, "leap": 3, "reference": b"DENY"}, DOWN, "DENY (this machine is not allowed to ask)"),
        ({"stratum": 0, "reference": b"INIT"}, DOWN, f"INIT ({KISS_CODES['INIT']})"),
        ({"stratum": 0, "reference": b"XABC"}, DOWN, "XABC (a code that is not in the standard)"),
        ({"stratum": 0, "reference": bytes(4)}, DOWN, "is not synchronised itself"),
        ({"stratum": 0, "reference": b"\x1b[2J"}, DOWN, "is not synchronised itself"),
        ({"stratum": 16}, DOWN, "is not synchronised itself"),
        ({"leap": 3}, DOWN, "is not synchronised itself"),
        ({"busy": -5.0}, DOWN, "answers with times that contradict each other"),
    ],
)
async def test_servers_that_do_not_tell_the_time(said: dict[str, Any], state: int, words: str) -> None:
    outcome = await answered(**said)
    assert outcome.state == state
    assert words in outcome.reason
    assert not {"offset_seconds", "stratum"} & outcome.measures.keys()


async def test_packets_that_answer_something_else_are_ignored() -> None:
    def replies(asked: bytes, _: int) -> list[tuple[float, bytes]]:
        wrong = [
            reply(asked)[:47],
            reply(asked, ahead=99, origin=b"12345678"),
            reply(asked, ahead=99, mode=3),
            reply(asked, ahead=99, version=5),
            os.urandom(48),
        ]
        return [*((0.01, packet) for packet in wrong), (0.1, reply(asked)), (0.1, reply(asked, ahead=99))]

    async with server(replies) as (_, port):
        outcome = await ask(port)
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.measures["ignored_replies"] == 5


async def test_each_try_is_a_question_of_its_own() -> None:
    """The answer to the first, come late, would look like a clock that is ahead."""
    first: list[bytes] = []

    def replies(asked: bytes, number: int) -> list[tuple[float, bytes]]:
        if number == 1:
            first.append(asked)
            return []
        return [(0.0, reply(first[0], ahead=50)), (0.02, reply(asked))]

    async with server(replies) as (made, port):
        outcome = await ask(port, 0.6)
    assert outcome.state == UP
    assert len(made.asked) == 2
    assert made.asked[0][40:48] != made.asked[1][40:48]
    assert outcome.latency is not None
    assert outcome.latency < 0.2  # from the second question


async def test_nobody_answers(free_port: int) -> None:
    async with server(lambda *_: [(0.0, b"nonsense")]) as (_, port):
        outcome = await ask(port, 0.3)
    words = (
        f"127.0.0.1:{port} did not answer 2 questions within 0.29 s; 2 packets came that do not answer this question"
    )
    assert (outcome.state, outcome.reason) == (DOWN, words)
    outcome = await ask(free_port, 0.3)
    assert (outcome.state, outcome.reason) == (DOWN, f"127.0.0.1:{free_port} refused the connection")


@pytest.mark.parametrize("wrong", [100.0, -3600.0])
async def test_a_wrong_clock_here_shows_as_an_offset(monkeypatch: pytest.MonkeyPatch, wrong: float) -> None:
    really = time.time_ns
    monkeypatch.setattr("agent.probes.ntp.time.time_ns", lambda: really() + round(wrong * 1e9))
    async with server(lambda asked, _: [(0.0, reply(asked))]) as (_, port):
        outcome = await ask(port)
    assert outcome.state == DEGRADED
    assert outcome.measures["offset_seconds"] == pytest.approx(-wrong, abs=0.05)


async def test_limits_names_and_addresses() -> None:
    outcome = await ask(123, limits=Limits(networks=(ip_network("10.0.0.0/8"),)))
    assert (outcome.state, outcome.reason) == (UNKNOWN, "127.0.0.1 is outside the networks this agent may probe")
    async with server(lambda asked, _: [(0.0, reply(asked))], "::1") as (_, port):
        assert (await ask(port, server="::1")).state == UP
    async with server(lambda asked, _: [(0.0, reply(asked))]) as (_, port):
        outcome = await ask(port, server="localhost", family="ipv4")
    assert (outcome.state, outcome.measures["resolve_seconds"] > 0) == (UP, True)


def test_what_goes_out_tells_nothing_of_this_machine() -> None:
    packet, nonce = build_request()
    assert packet == bytes([0x23]) + bytes(39) + nonce.to_bytes(8, "big")
    assert build_request()[1] != nonce


def test_offset_and_delay_by_hand() -> None:
    """Asked at 1000.0, arrived there at 1010.1 (10 ahead, 0.1 on the way), left at 1010.3, came in at 1000.5."""
    base = 1_800_000_000
    answer = NtpReply(0, 2, 0, 0, b"", ntp_time(base + 1010.1), ntp_time(base + 1010.3))
    offset, delay = offset_and_delay(answer, (base + 1000) * 10**9, 0.5, CLOCK_FLOOR)
    assert offset == pytest.approx(9.95, abs=1e-6)
    assert delay == pytest.approx(0.3, abs=1e-6)


@given(st.integers(0, 4_000_000_000), st.floats(-2e9, 2e9), st.floats(0, 60), st.floats(0, 10))
def test_the_offset_is_right_in_every_era(ours: int, ahead: float, way: float, busy: float) -> None:
    """To 68 years around our clock, or around 2026 when ours is from before that."""
    true = ours + ahead
    near = max(ours, CLOCK_FLOOR)
    if not abs(true - near) < (1 << 31) - 200:
        return
    received, sent = ntp_time(true + way), ntp_time(true + way + busy)
    offset, delay = offset_and_delay(
        NtpReply(0, 1, 0, 0, b"", received, sent), ours * 10**9, 2 * way + busy, CLOCK_FLOOR
    )
    assert offset == pytest.approx(ahead, abs=1e-4)
    assert delay == pytest.approx(2 * way, abs=1e-4)


@given(st.binary(max_size=80))
def test_any_bytes_are_an_answer_or_not(packet: bytes) -> None:
    found = parse_reply(packet, nonce=7)
    assert found is None or packet[24:32] == bytes(7) + b"\x07"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "the parameter server is missing"),
        ({"server": "a", "max_offset": 0}, "max_offset: expected float > 0"),
        ({"server": "a", "tries": 9}, "tries: expected int <= 5"),
    ],
)
def test_parameters_that_are_wrong(params: dict[str, Any], words: str) -> None:
    with pytest.raises(probes.BadProbe, match=words):
        probes.build("ntp", params)
