"""The path probe: pings over loopback and through a lossy firewall, UDP echoes from a server with a bad line."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import probes
from agent.clients.net.emodel import mos, mos_from_rating, rating
from agent.clients.net.ping_result import PingResult
from agent.clients.net.udp_echo import UdpEchoBurst
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes.path import Path as PathProbe
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.paths import ROOT

QUICK = {"count": 20, "spacing": 0.01}
ANYTHING = {"max_loss": 1, "max_jitter": 10, "max_rtt": 10, "min_mos": 1}

# what the line does with the packet that is the nth to arrive: when each copy of it goes back, in seconds
Line = Callable[[int], list[float]]


class EchoServer:
    """RFC 862, at the end of a line of the test's making. ``classes``: the DSCP of each packet that came."""

    def __init__(self, host: str, line: Line) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM)
        self.sock.bind((host, 0))
        self.sock.setblocking(False)
        if family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        else:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
        self.line = line
        self.packets: list[bytes] = []
        self.classes: list[int] = []
        self.also: list[bytes] = []  # said once, after the first packet

    @property
    def port(self) -> int:
        port: int = self.sock.getsockname()[1]
        return port

    def read(self) -> None:
        packet, ancillary, _, sender = self.sock.recvmsg(65535, 256)
        loop = asyncio.get_running_loop()
        for delay in self.line(len(self.packets)):
            loop.call_later(delay, self.say, packet, sender)
        for other in self.also if not self.packets else []:
            self.say(other, sender)
        self.packets.append(packet)
        self.classes += [data[0] >> 2 for _, _, data in ancillary]

    def say(self, packet: bytes, sender: Any) -> None:
        if self.sock.fileno() >= 0:
            self.sock.sendto(packet, sender)


@asynccontextmanager
async def echo_server(line: Line = lambda _: [0.0], host: str = "127.0.0.1") -> AsyncIterator[EchoServer]:
    made = EchoServer(host, line)
    loop = asyncio.get_running_loop()
    loop.add_reader(made.sock, made.read)
    try:
        yield made
    finally:
        loop.remove_reader(made.sock)
        made.sock.close()


async def look(timeout: float = 5.0, limits: Limits | None = None, **params: Any) -> Outcome:
    clients: dict[type[Any], Any] = {}
    probe = probes.build("path", {"host": "127.0.0.1", **params})
    outcome = await probe.run(ProbeContext(timeout, limits or Limits(), clients))
    for client in clients.values():
        await client.close()
    return outcome


async def test_a_good_path_by_ping() -> None:
    outcome = await look(count=50)
    assert (outcome.state, outcome.reason) == (UP, "")
    measures = outcome.measures
    assert (measures["packets"], measures["loss_ratio"]) == (50, 0)
    assert measures["rtt_min_seconds"] <= measures["rtt_avg_seconds"] <= measures["rtt_max_seconds"]
    assert outcome.latency == measures["rtt_avg_seconds"]
    assert measures["mos_score"] == pytest.approx(4.4, abs=0.02)
    assert measures["r_factor"] == pytest.approx(92.9, abs=0.5)
    assert measures["mos_score"] == mos_from_rating(measures["r_factor"])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_path_by_udp(host: str) -> None:
    async with echo_server(host=host) as server:
        outcome = await look(host=host, port=server.port, dscp=46, **QUICK, **ANYTHING)
    assert (outcome.state, outcome.reason) == (UP, "")
    assert (outcome.measures["packets"], outcome.measures["loss_ratio"]) == (20, 0)
    assert {len(packet) for packet in server.packets} == {172}
    assert server.classes == [46] * 20


@pytest.mark.parametrize(
    ("line", "params", "words"),
    [
        (lambda n: [] if n % 5 == 0 else [0.0], {"max_jitter": 1}, "4 of 20 packets lost (fit: 0.01 of all)"),
        (lambda n: [0.2 * (n % 2)], {"max_rtt": 1}, "jitter "),
        (lambda _: [0.5], {"max_jitter": 1}, "round trip 5"),
        (lambda _: [0.12], {"max_jitter": 1, "min_mos": 4.39}, "estimated quality 4."),
    ],
)
async def test_a_path_that_is_not_fit(line: Line, params: dict[str, Any], words: str) -> None:
    async with echo_server(line) as server:
        outcome = await look(port=server.port, **QUICK, **params)
    assert outcome.state == DEGRADED
    assert outcome.reason.startswith(f"not fit for a video conference: {words}")
    assert outcome.latency == outcome.measures["rtt_avg_seconds"]


async def test_the_figures_of_a_bad_line() -> None:
    """Every fourth packet lost, every other 60 ms late."""
    async with echo_server(lambda n: [] if n % 4 == 3 else [0.1 + 0.06 * (n % 2)]) as server:
        outcome = await look(port=server.port, **QUICK)
    measures = outcome.measures
    assert outcome.state == DEGRADED
    assert measures["loss_ratio"] == 0.25
    assert 0.1 <= measures["rtt_min_seconds"] < 0.15
    assert 0.16 <= measures["rtt_max_seconds"] < 0.25
    assert measures["jitter_seconds"] == pytest.approx(0.04, abs=0.02)  # of three neighbours two differ by 60 ms
    expected = rating(measures["rtt_avg_seconds"], measures["jitter_seconds"], 0.25)
    assert measures["r_factor"] == pytest.approx(expected)
    assert measures["mos_score"] < 2.5


async def test_strangers_copies_and_late_packets_do_not_count() -> None:
    async with echo_server(lambda n: [1.5] if n == 0 else [0.0, 0.0]) as server:
        server.also = [os.urandom(172), b"", b"x"]
        outcome = await look(port=server.port, **QUICK, **ANYTHING)
    assert outcome.measures["loss_ratio"] == 0.05
    assert outcome.measures["rtt_max_seconds"] < 0.5


def test_a_packet_that_was_not_sent_yet_cannot_have_come_back() -> None:
    """A server that guesses ahead is not believed."""
    burst = UdpEchoBurst(ip_address("127.0.0.1"), 7, 5, 0.01, 20, 0)
    burst._sent.append(time.monotonic_ns())
    for place in (0, 3):
        burst._record_reply(burst._token + place.to_bytes(4, "big"), None)
    assert [rtt >= 0 for rtt in burst._rtts] == [True, False, False, False, False]


async def test_nothing_comes_back(free_port: int) -> None:
    async with echo_server(lambda _: []) as server:
        outcome = await look(port=server.port, **QUICK)
    assert (outcome.state, outcome.reason) == (DOWN, "127.0.0.1 sent none of 20 packets back")
    assert outcome.measures == {"packets": 20, "loss_ratio": 1.0}
    outcome = await look(port=free_port, **QUICK)
    assert outcome.state == DOWN
    assert outcome.reason == f"127.0.0.1 sent none of 20 packets back; 127.0.0.1:{free_port} refused the connection"


async def test_a_short_timeout_means_fewer_packets() -> None:
    outcome = await look(0.5, count=100, spacing=0.02, **ANYTHING)
    assert (outcome.state, outcome.measures["packets"]) == (UP, 20)
    outcome = await look(0.2, count=100, spacing=0.02)
    assert outcome == Outcome(UNKNOWN, "the timeout is too short for 10 packets 0.02 s apart")


async def test_names_and_limits() -> None:
    outcome = await look(host="localhost", family="ipv4", **QUICK, **ANYTHING)
    assert (outcome.state, outcome.measures["resolve_seconds"] > 0) == (UP, True)
    outcome = await look(limits=Limits(networks=(ip_network("10.0.0.0/8"),)))
    assert outcome == Outcome(UNKNOWN, "127.0.0.1 is outside the networks this agent may probe")
    outcome = await look(limits=Limits(ports=(8,)), port=7)
    assert outcome == Outcome(UNKNOWN, "port 7 is not one this agent may probe")
    assert probes.build("path", {"host": "a.example"}).endpoints() == (("a.example", None),)
    assert probes.build("path", {"host": "a.example", "port": 7}).endpoints() == (("a.example", 7),)


@pytest.mark.parametrize(
    ("echoes", "state", "words"),
    [
        (PingResult(20, (0.01,) * 15, dropped=9), UNKNOWN, "this machine threw away 9 packets unread"),
        (PingResult(20, (0.01,) * 20, dropped=9), UP, ""),
        (PingResult(20, (), ("not permitted",) * 20, UNKNOWN), UNKNOWN, "not all were sent: not permitted"),
        (PingResult(20, (), ("no route",) * 20), DOWN, "192.0.2.1 sent none of 20 packets back; no route"),
        (
            PingResult(20, (0.01,), ("a firewall refuses",)),
            DEGRADED,
            "19 of 20 packets lost (fit: 0.01 of all); a firewall",
        ),
        (PingResult(200, (0.01,) * 198), UP, ""),  # exactly at the mark
        (PingResult(200, (0.01,) * 197), DEGRADED, "3 of 200 packets lost"),
        (PingResult(20, (0.01,), (), DOWN), DEGRADED, "19 of 20"),
    ],
)
def test_the_verdict(echoes: PingResult, state: int, words: str) -> None:
    outcome = PathProbe(host="192.0.2.1")._outcome(ip_address("192.0.2.1"), echoes, {})
    assert outcome.state == state
    assert words in outcome.reason
    assert bool(outcome.reason) == (state != UP)


def test_a_single_reply_gives_no_jitter() -> None:
    outcome = PathProbe(host="192.0.2.1")._outcome(ip_address("192.0.2.1"), PingResult(20, (0.01,)), {})
    assert not {"jitter_seconds", "mos_score", "r_factor"} & outcome.measures.keys()


@pytest.mark.root
def test_loss_by_a_real_firewall() -> None:
    """Every tenth ping dropped: the share that comes out is the share that the firewall took."""
    rules = (
        "ip link set lo up\n"
        "nft add table ip t\n"
        "nft 'add chain ip t in { type filter hook input priority 0; }'\n"
        "nft add rule ip t in icmp type echo-request numgen inc mod 10 0 drop\n"
    )
    script = (
        "import asyncio\n"
        "from agent.probe import Limits, ProbeContext\n"
        "from agent.probes.path import Path\n"
        "outcome = asyncio.run(Path(host='127.0.0.1', count=50).run(ProbeContext(5.0, Limits(), {})))\n"
        "print(outcome.state, outcome.measures['loss_ratio'], outcome.reason)\n"
    )
    done = subprocess.run(
        ["unshare", "-n", "sh", "-ec", f'{rules}exec {sys.executable} -c "$SCRIPT"'],
        cwd=ROOT,
        env={"SCRIPT": script, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    words = "not fit for a video conference: 5 of 50 packets lost (fit: 0.01 of all)"
    assert done.stdout == f"{DEGRADED} 0.1 {words}\n"


@given(st.floats(0, 2), st.floats(0, 1), st.floats(0, 1))
def test_mos_and_rating_say_the_same(rtt: float, shaking: float, loss: float) -> None:
    assert mos(rtt, shaking, loss) == mos_from_rating(rating(rtt, shaking, loss))
    assert rating(rtt, shaking, loss) <= 93.2


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"dscp": 46}, "dscp is for UDP packets"),
        ({"count": 5}, "count: expected int >= 10"),
        ({"size": 8}, "size: expected int >= 12"),
        ({"spacing": 0}, "spacing: expected float >= 0.01"),
    ],
)
def test_parameters_that_are_wrong(params: dict[str, Any], words: str) -> None:
    with pytest.raises(probes.BadProbe, match=words):
        probes.build("path", {"host": "a.example", **params})
