"""The DNS probe against a real server on loopback, UDP and TCP, that can also misbehave."""

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import probes
from agent.clients.net.datagram import DatagramRequest, DatagramTimeout
from agent.clients.net.kernel_stamps import KernelTimestamping
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes.dns import Dns, _parse_reply
from inventory.protocol.states import DOWN, UNKNOWN, UP
from tests.support.dns_server import dns_server, framed, honest, reply_to


async def ask(port: int, timeout: float = 0.5, **params: Any) -> Outcome:
    probe = probes.build("dns", {"server": "127.0.0.1", "name": "soctrang.example", "port": port, **params})
    clients: dict[type[Any], Any] = {}
    outcome = await probe.run(ProbeContext(timeout, Limits(), clients))
    for client in clients.values():
        await client.close()
    return outcome


async def test_an_answer() -> None:
    async with dns_server() as (_, port):
        outcome = await ask(port)
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.measures == {"answers": 2, "ttl_seconds": 60, "ignored_replies": 0}
    assert outcome.latency is not None
    assert 0 < outcome.latency < 0.3


async def test_a_server_by_ipv6_and_by_name() -> None:
    async with dns_server(host="::1") as (_, port):
        assert (await ask(port, server="::1")).state == UP
    async with dns_server() as (_, port):
        outcome = await ask(port, server="localhost", family="ipv4")
        assert (outcome.state, outcome.measures["resolve_seconds"] > 0) == (UP, True)


@pytest.mark.parametrize(
    "params",
    [
        {"expect": ["192.0.2.11"]},
        {"expect": ["192.0.2.11", "192.0.2.10"], "exact": True},
        {"name": "www.soctrang.example", "expect": ["192.0.2.10"]},
        {"name": "SOCTRANG.example.", "type": "AAAA", "expect": ["2001:0db8:0::10"]},
        {"type": "MX", "expect": ["10 mail.soctrang.example"]},
        {"type": "NS", "expect": ["NS1.soctrang.example."], "exact": True},
        {"type": "TXT", "expect": ["v=spf1 mx -all"], "exact": True},
        {"type": "TXT", "expect": ['"v=spf1 mx -all"']},
        {"type": "SOA"},
        {"name": "_imap._tcp.soctrang.example", "type": "SRV", "expect": ["0 1 993 mail.soctrang.example"]},
        {"name": "192.0.2.10", "type": "PTR", "expect": ["soctrang.example"]},
        {"name": "công.example", "expect": ["192.0.2.12"]},
        {"name": "nowhere.example", "rcode": "NXDOMAIN"},
        {"transport": "tcp", "expect": ["192.0.2.10"]},
        {"recursion": False},
    ],
)
async def test_what_is_expected_is_up(params: dict[str, Any]) -> None:
    async with dns_server() as (_, port):
        outcome = await ask(port, **params)
    assert (outcome.state, outcome.reason) == (UP, "")


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"expect": ["192.0.2.99"]}, "expected 192.0.2.99; answered 192.0.2.10, 192.0.2.11"),
        ({"expect": ["192.0.2.10"], "exact": True}, "answered also 192.0.2.11, which is not expected"),
        ({"type": "CAA"}, "the name exists or leads on, but has no record of type CAA"),
        ({"name": "nowhere.example"}, "answered NXDOMAIN (there is no such name), expected NOERROR"),
        ({"rcode": "NXDOMAIN"}, "answered NOERROR (no error), expected NXDOMAIN"),
    ],
)
async def test_what_is_not_expected_is_down(params: dict[str, Any], reason: str) -> None:
    async with dns_server() as (_, port):
        outcome = await ask(port, **params)
    assert (outcome.state, outcome.reason) == (DOWN, f"127.0.0.1: {reason}")
    assert outcome.latency is not None


@pytest.mark.parametrize("code", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP, dns.rcode.FORMERR])
async def test_errors_are_named(code: dns.rcode.Rcode) -> None:
    def fails(wire: bytes, asked: int) -> list[tuple[float, bytes]]:
        reply = dns.message.Message(int.from_bytes(wire[:2], "big"))  # as some servers do: without the question
        reply.flags = dns.flags.QR
        reply.set_rcode(code)
        return [(0.0, reply.to_wire())]

    async with dns_server(fails) as (_, port):
        outcome = await ask(port)
    assert outcome.state == DOWN
    assert outcome.reason.startswith(f"127.0.0.1: answered {dns.rcode.to_text(code)} (it ")


def forgeries(wire: bytes) -> list[bytes]:
    """What is no answer to this question, however near."""
    true = reply_to(wire).to_wire()
    other_id = bytes([true[0] ^ 1, true[1]]) + true[2:]
    other_name = dns.message.make_response(
        dns.message.make_query("other.example", "A", id=int.from_bytes(wire[:2], "big"))
    )
    other_type = dns.message.make_response(
        dns.message.make_query("soctrang.example", "AAAA", id=int.from_bytes(wire[:2], "big"))
    )
    update = bytearray(true)
    update[2] |= dns.opcode.UPDATE << 3
    own_question = wire
    return [
        other_id,
        other_name.to_wire(),
        other_type.to_wire(),
        own_question,
        bytes(update),
        true[:20],
        true[:-3],
        true[:2] + b"\xff" * 200,
        b"\0",
        true[:12] + b"\xc0\x0c" * 40,
    ]


async def test_forged_and_broken_packets_before_the_answer_are_ignored() -> None:
    def answers(wire: bytes, asked: int) -> list[tuple[float, bytes]]:
        return [*((0.0, forged) for forged in forgeries(wire)), (0.05, reply_to(wire).to_wire())]

    async with dns_server(answers) as (_, port):
        outcome = await ask(port)
        count = len(forgeries(dns.message.make_query("soctrang.example", "A").to_wire()))
    assert (outcome.state, outcome.measures["ignored_replies"]) == (UP, count)
    assert outcome.latency is not None
    assert outcome.latency >= 0.05


async def test_forged_and_broken_packets_alone_are_no_answer() -> None:
    async with dns_server(lambda wire, asked: [(0.0, forged) for forged in forgeries(wire)]) as (served, port):
        outcome = await ask(port, timeout=0.2)
    assert outcome.state == DOWN
    assert outcome.reason.startswith(f"127.0.0.1:{port} did not answer 2 questions within 0.1")
    assert outcome.reason.endswith("20 packets came that do not answer this question")
    assert outcome.measures == {"ignored_replies": 20}
    assert served.queries == 2


async def test_a_lost_question_is_asked_again() -> None:
    async with dns_server(lambda wire, asked: honest(wire, asked) if asked else []) as (served, port):
        outcome = await ask(port, timeout=0.4)
    assert (outcome.state, served.queries) == (UP, 2)
    assert outcome.latency is not None
    assert 0.19 <= outcome.latency < 0.35  # the wait for the lost one is part of what a user waits for


async def test_silence_and_late_answers_are_down() -> None:
    async with dns_server(lambda wire, asked: [(0.3, reply_to(wire).to_wire())]) as (_, port):
        started = time.monotonic()
        outcome = await ask(port, timeout=0.2, tries=1)
        assert time.monotonic() - started < 0.29
    assert outcome.state == DOWN
    assert outcome.reason == f"127.0.0.1:{port} did not answer 1 questions within 0.19 s"


async def test_a_closed_port_is_refused(free_port: int) -> None:
    started = time.monotonic()
    outcome = await ask(free_port, timeout=5)
    assert outcome == Outcome(DOWN, f"127.0.0.1:{free_port} refused the connection")
    assert time.monotonic() - started < 2


def truncated(wire: bytes, asked: int) -> list[tuple[float, bytes]]:
    reply = dns.message.make_response(dns.message.from_wire(wire))
    reply.flags |= dns.flags.TC
    return [(0.0, reply.to_wire())]


async def test_a_truncated_answer_is_fetched_by_tcp() -> None:
    async with dns_server(truncated) as (served, port):
        outcome = await ask(port, expect=["192.0.2.10"])
    assert (outcome.state, outcome.measures["answers"], served.tcp_queries) == (UP, 2, 1)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (lambda wire: b"", "closed the connection in the middle of its answer"),
        (lambda wire: b"\x00\xff" + wire, "closed the connection in the middle of its answer"),
        (lambda wire: framed(b"nonsense"), "answered by TCP with something that does not answer the question"),
        (lambda wire: framed(wire), "answered by TCP with something that does not answer the question"),
    ],
)
async def test_broken_answers_by_tcp(said: Callable[[bytes], bytes], reason: str) -> None:
    async with dns_server() as (served, port):
        served.tcp_answer = said
        outcome = await ask(port, transport="tcp")
    assert (outcome.state, outcome.reason) == (DOWN, f"127.0.0.1:{port} {reason}")


async def test_tcp_that_never_answers_ends_in_time() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        port = listener.getsockname()[1]
        outcome = await ask(port, timeout=0.2, transport="tcp")
    assert outcome == Outcome(DOWN, f"127.0.0.1 port {port} did not answer within 0.2 s")


async def test_a_busy_agent_is_not_in_the_latency() -> None:
    stamping = KernelTimestamping()
    await asyncio.sleep(0.05)  # from now on the kernel stamps
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as answering:
        answering.bind(("127.0.0.1", 0))
        probe = Dns(server="127.0.0.1", name="soctrang.example", port=answering.getsockname()[1])
        asking = asyncio.create_task(probe.run(ProbeContext(1.0, Limits(), {KernelTimestamping: stamping})))
        for _ in range(5):
            await asyncio.sleep(0)
        answering.settimeout(1)
        wire, asker = answering.recvfrom(512)
        answering.sendto(reply_to(wire).to_wire(), asker)
        time.sleep(0.25)  # noqa: ASYNC251  # the loop is held, as by a slow callback
        outcome = await asking
    await stamping.close()
    assert outcome.state == UP
    assert outcome.latency is not None
    assert 0 < outcome.latency < 0.1


async def test_the_portable_way_without_stamps() -> None:
    async with dns_server() as (_, port):
        question = Dns(server="x", name="soctrang.example").query()
        asked = DatagramRequest(_loopback(), port, question.to_wire(), lambda packet: _parse_reply(question, packet))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(("127.0.0.1", port))
            answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            reading = asyncio.create_task(asked._read_plainly(sock, answered))
            answer = await asked._send_and_wait(sock, answered, 1, 1.0)
            await reading
    assert 0 < answer.seconds < 0.5
    assert len(answer.message.answer[0]) == 2


async def test_questions_that_nobody_answers_count_what_else_came() -> None:
    async with dns_server(lambda wire, asked: [(0.0, b"no"), (0.0, b"nonsense")]) as (_, port):
        asked: DatagramRequest[bytes] = DatagramRequest(_loopback(), port, b"?", lambda packet: None)
        with pytest.raises(DatagramTimeout) as none:
            await asked.exchange(3, 0.15)
    assert none.value.ignored == 6


def _loopback() -> Any:
    return next(iter(ip_network("127.0.0.1/32")))


async def test_the_agents_limits_hold() -> None:
    probe = Dns(server="127.0.0.1", name="a.example", port=5353)
    clients: dict[type[Any], Any] = {}
    outcome = await probe.run(ProbeContext(1.0, Limits(ports=(53,)), clients))
    await clients[KernelTimestamping].close()
    assert (outcome.state, outcome.reason) == (UNKNOWN, "port 5353 is not one this agent may probe")
    assert probe.endpoints() == (("127.0.0.1", 5353),)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"name": "a..b"}, "name 'a..b' is not a name to ask for"),
        ({"name": "x" * 64}, "is not a name to ask for"),
        ({"type": "ANY"}, "type cannot be 'ANY'"),
        ({"expect": ["192.0.2"]}, "expect: '192.0.2' is not a record of type A"),
        ({"type": "MX", "expect": ["mail.example"]}, "expect: 'mail.example' is not a record of type MX"),
        ({"exact": True}, "exact says that only the expected records may come, but expect names none"),
        ({"tries": 0}, "tries: expected int >= 1"),
        ({"expect": "192.0.2.1"}, "expect: expected array, got str"),
    ],
)
def test_parameters_that_are_wrong_are_named(params: dict[str, Any], words: str) -> None:
    with pytest.raises(probes.BadProbe, match=r"^dns: ") as refused:
        probes.build("dns", {"server": "127.0.0.1", "name": "a.example", **params})
    assert words in str(refused.value)


QUESTION = Dns(server="127.0.0.1", name="soctrang.example").query()
TRUE = reply_to(QUESTION.to_wire()).to_wire()


@given(st.binary(max_size=600))
def test_no_packet_trips_the_reader(junk: bytes) -> None:
    assert _parse_reply(QUESTION, junk) is None
    _parse_reply(QUESTION, TRUE[:12] + junk)


@given(st.integers(0, len(TRUE) - 1), st.integers(1, 255))
def test_a_changed_byte_gives_no_answer_to_another_question(place: int, change: int) -> None:
    changed = bytearray(TRUE)
    changed[place] ^= change
    reply = _parse_reply(QUESTION, bytes(changed))
    if place < 2:
        assert reply is None
    if reply is not None:
        assert reply.id == QUESTION.id
        assert struct.unpack_from("!H", TRUE)[0] == reply.id
        assert not reply.question or reply.question == QUESTION.question
