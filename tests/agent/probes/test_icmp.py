"""The ICMP probe against real networks: loopback, and a TUN device in a namespace whose far end the tests play."""

import asyncio
import ctypes
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icmplib.sockets import ICMPv4Socket

from agent.clients.icmp import packets
from agent.clients.icmp.pinger import IcmpPinger
from agent.clients.icmp.portable import PortablePinger
from agent.clients.net.emodel import jitter, mos, mos_from_rating
from agent.clients.net.kernel_stamps import ReceiveClock
from agent.failure import ProbeFailed
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes.icmp import Icmp
from inventory.protocol.states import DOWN, UNKNOWN, UP
from tests.support.paths import ROOT

NEW_NETWORK = 0x40000000  # CLONE_NEWNET


def look(pinger: IcmpPinger, timeout: float = 1.0, limits: Limits | None = None) -> ProbeContext:
    return ProbeContext(timeout, limits or Limits(), {IcmpPinger: pinger})


def in_namespace(commands: str, work: Callable[[], Awaitable[Any]]) -> Any:
    """Run ``work`` on a loop in a thread that has a network of its own, prepared by shell commands."""
    box: list[Any] = []

    def thread() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(NEW_NETWORK) != 0:
                raise OSError(ctypes.get_errno(), "no network namespace")
            subprocess.run(["sh", "-ec", f"ip link set lo up\n{commands}"], check=True, timeout=20)
            box.append(asyncio.run(work()))  # type: ignore[arg-type]
        except BaseException as error:
            box.append(error)

    runner = threading.Thread(target=thread)
    runner.start()
    runner.join(60)
    if isinstance(box[0], BaseException):
        raise box[0]
    return box[0]


UNPRIVILEGED = "echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range"
TUN = """
ip addr add 10.7.0.1/24 dev tun0
ip -6 addr add fd07::1/64 dev tun0 nodad
ip link set tun0 up
ip route add 10.8.0.0/16 dev tun0
"""


def summed(data: bytes) -> int:
    """The Internet checksum, word by word: shares nothing with the product's."""
    total = 0
    for at in range(0, len(data + b"\0") // 2 * 2, 2):
        total += int.from_bytes((data + b"\0")[at : at + 2], "big")
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def packet(source: str, target: str, message: bytes) -> bytes:
    """An IP packet that carries an ICMP message whose checksum is still to be made (bytes 2 and 3)."""
    blank = message[:2] + b"\0\0" + message[4:]
    if ":" in source:
        ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
        checksum = summed(ends + struct.pack("!II", len(message), 58) + blank)
        header = struct.pack("!IHBB", 6 << 28, len(message), 58, 64) + ends
        return header + blank[:2] + checksum.to_bytes(2, "big") + blank[4:]
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(message), 0, 0, 64, 1, 0) + ends
    header = header[:10] + summed(header).to_bytes(2, "big") + header[12:]
    return header + blank[:2] + summed(blank).to_bytes(2, "big") + blank[4:]


class Asked:
    """An echo request as it came to the far end."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.at = time.monotonic()
        v6 = raw[0] >> 4 == 6
        family = socket.AF_INET6 if v6 else socket.AF_INET
        self.source = socket.inet_ntop(family, raw[8:24] if v6 else raw[12:16])
        self.target = socket.inet_ntop(family, raw[24:40] if v6 else raw[16:20])
        self.message = raw[40:] if v6 else raw[(raw[0] & 15) * 4 :]
        self.v6 = v6

    @property
    def is_request(self) -> bool:
        return self.message[0] == (128 if self.v6 else 8)

    def reply(self, source: str = "", payload: bytes | None = None, identifier: int | None = None) -> bytes:
        head = bytes([129 if self.v6 else 0, 0, 0, 0])
        named = self.message[4:8] if identifier is None else identifier.to_bytes(2, "big") + self.message[6:8]
        return packet(source or self.target, self.source, head + named + (payload or self.message[8:]))

    def error(self, kind: int, code: int, source: str) -> bytes:
        quoted = self.raw if self.v6 else self.raw[:28]
        return packet(source, self.source, bytes([kind, code, 0, 0, 0, 0, 0, 0]) + quoted)


Answer = Callable[[Asked], list[tuple[float, bytes]]]


class FarEnd:
    """The other end of a TUN device: gets every packet sent into it, and says what comes back, and when."""

    def __init__(self, answer: Answer) -> None:
        if not os.path.exists("/dev/net/tun"):  # noqa: PTH110
            pytest.skip("needs root: and a kernel with TUN devices")
        self._device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self._device, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x0001 | 0x1000))
        self._answer = answer
        self._ending = threading.Event()
        self.seconds: dict[int, float] = {}  # by sequence: how long each request stayed here

    def __enter__(self) -> "FarEnd":
        subprocess.run(["sh", "-ec", TUN], check=True, timeout=20)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join(5)
        os.close(self._device)

    def _serve(self) -> None:
        due: list[tuple[float, bytes, Asked]] = []
        while not self._ending.is_set():
            select.select([self._device], [], [], 0.001 if due else 0.02)
            try:
                while True:
                    asked = Asked(os.read(self._device, 65535))
                    if asked.is_request:
                        due.extend((asked.at + delay, said, asked) for delay, said in self._answer(asked))
            except BlockingIOError:
                pass
            now = time.monotonic()
            for entry in sorted((entry for entry in due if entry[0] <= now), key=lambda entry: entry[0]):
                due.remove(entry)
                os.write(self._device, entry[1])
                self.seconds[int.from_bytes(entry[2].message[6:8], "big")] = time.monotonic() - entry[2].at


def far_end_says(
    answer: Answer, *probes: Icmp, timeout: float = 0.6, before: str = ""
) -> tuple[list[Outcome], IcmpPinger]:
    """What the probes see of a far end, on sockets of the given sort, and the pinger with its counts."""

    async def work() -> tuple[list[Outcome], IcmpPinger]:
        pinger = IcmpPinger()
        with FarEnd(answer):
            outcomes = await asyncio.gather(*(probe.run(look(pinger, timeout)) for probe in probes))
            await asyncio.sleep(0.05)  # what is late comes in
            await pinger.close()
        return outcomes, pinger

    found: tuple[list[Outcome], IcmpPinger] = in_namespace(before, work)
    return found


both_sockets = pytest.mark.parametrize("sort", [UNPRIVILEGED, ""], ids=["unprivileged", "raw"])
both_families = pytest.mark.parametrize("host", ["10.7.0.2", "fd07::2"], ids=["ipv4", "ipv6"])


@pytest.mark.root
@both_sockets
@both_families
def test_round_trips_are_the_networks(sort: str, host: str) -> None:
    outcomes, pinger = far_end_says(
        lambda asked: [(0.03, asked.reply())], Icmp(host=host, count=4, spacing=0.02), before=sort
    )
    (outcome,) = outcomes
    assert (outcome.state, outcome.reason, outcome.measures["loss_ratio"]) == (UP, "", 0)
    assert outcome.latency is not None
    assert 0.03 <= outcome.measures["rtt_min_seconds"] <= outcome.latency <= outcome.measures["rtt_max_seconds"]
    assert outcome.measures["rtt_min_seconds"] < 0.045
    assert 3.5 < outcome.measures["mos_score"] < 4.41
    assert (pinger.late, pinger.foreign) == (0, 0)


@pytest.mark.root
@both_sockets
@both_families
def test_only_the_true_reply_counts(sort: str, host: str) -> None:
    """Before it: one from elsewhere, one with other bytes; after it, the same again."""
    elsewhere = "fd07::9" if ":" in host else "10.7.0.9"

    def answer(asked: Asked) -> list[tuple[float, bytes]]:
        forged = [asked.reply(source=elsewhere), asked.reply(payload=bytes(56))]
        if sort == "":
            forged.append(asked.reply(identifier=1))  # another program's: none of our business, not even counted
        return [*((0.0, one) for one in forged), (0.04, asked.reply()), (0.06, asked.reply())]

    outcomes, pinger = far_end_says(answer, Icmp(host=host, count=2, spacing=0.1), before=sort)
    (outcome,) = outcomes
    assert outcome.state == UP
    assert outcome.measures["rtt_min_seconds"] >= 0.04
    assert outcome.measures["duplicates"] == 1  # the last reply ends the look: what comes after it is late
    assert pinger.foreign == 4
    assert pinger.late == 1


@pytest.mark.root
@both_sockets
def test_late_replies_are_loss(sort: str) -> None:
    outcomes, pinger = far_end_says(
        lambda asked: [(0.32, asked.reply())], Icmp(host="10.7.0.2", count=1), timeout=0.3, before=sort
    )
    assert outcomes[0].state == DOWN
    assert outcomes[0].reason == "10.7.0.2 did not answer 1 pings within 0.29 s"
    assert outcomes[0].measures["loss_ratio"] == 1
    assert pinger.late == 1


@pytest.mark.root
@both_sockets
@pytest.mark.parametrize(
    ("host", "kind", "code", "words"),
    [
        ("10.7.0.2", 3, 1, "nobody answers for that address on its own network"),
        ("10.7.0.2", 3, 13, "a firewall refuses the packets"),
        ("10.7.0.2", 11, 0, "the packet passed too many routers (a routing loop?)"),
        ("fd07::2", 1, 0, "there is no route to it"),
        ("fd07::2", 3, 0, "the packet passed too many routers (a routing loop?)"),
        ("fd07::2", 1, 77, "it cannot be delivered (ICMP type 1, code 77)"),
    ],
)
def test_refusals_on_the_way_are_the_reason(sort: str, host: str, kind: int, code: int, words: str) -> None:
    router = "fd07::fe" if ":" in host else "10.7.0.254"
    started = time.monotonic()
    outcomes, _ = far_end_says(
        lambda asked: [(0.0, asked.error(kind, code, router))],
        Icmp(host=host, count=3, spacing=0.02),
        timeout=5,
        before=sort,
    )
    assert outcomes[0].state == DOWN
    assert outcomes[0].reason == f"{host} did not answer 3 pings; {router} says: {words}"
    assert time.monotonic() - started < 4  # nothing more to wait for


@pytest.mark.root
@both_sockets
def test_one_targets_refusal_is_not_anothers(sort: str) -> None:
    """On one unprivileged socket a pending error of one target shows up when sending to the next."""
    good = [Icmp(host=f"10.7.0.{place}", count=3, spacing=0.02) for place in range(10, 20)]
    bad = [Icmp(host=f"10.7.0.{place}", count=3, spacing=0.02) for place in range(100, 110)]

    def answer(asked: Asked) -> list[tuple[float, bytes]]:
        refused = int(asked.target.rpartition(".")[2]) >= 100
        return [(0.0, asked.error(3, 1, "10.7.0.254") if refused else asked.reply())]

    mixed = [probe for pair in zip(bad, good, strict=True) for probe in pair]
    outcomes, pinger = far_end_says(answer, *mixed, before=sort)
    assert [outcome.state for outcome in outcomes] == [DOWN, UP] * 10
    assert all(outcome.measures["loss_ratio"] == 0 for outcome in outcomes[1::2])
    assert pinger.foreign == 0


@pytest.mark.root
@both_sockets
def test_five_hundred_in_flight(sort: str) -> None:
    """Every target's round trip is its own, although all wait at once on one socket."""
    hosts = [f"10.8.{place // 250}.{place % 250 + 1}" for place in range(500)]
    delays = {host: 0.1 + place % 10 / 100 for place, host in enumerate(hosts)}

    async def work() -> tuple[list[Outcome], int]:
        pinger = IcmpPinger()
        with FarEnd(lambda asked: [(delays[asked.target], asked.reply())]):
            outcomes = await asyncio.gather(*(Icmp(host=host, count=1).run(look(pinger, 3.0)) for host in hosts))
            sockets = len(pinger._channels)
            await pinger.close()
        return outcomes, sockets

    outcomes, sockets = in_namespace(sort, work)
    assert sockets == 1
    assert [outcome.reason for outcome in outcomes] == [""] * 500
    extra = sorted((outcome.latency or 0) - delays[host] for host, outcome in zip(hosts, outcomes, strict=True))
    assert extra[0] >= 0
    assert extra[250] < 0.05  # the far end is a Python thread; mixed-up replies would be off by up to 90 ms both ways


@pytest.mark.root
def test_a_busy_agent_is_not_in_the_round_trip() -> None:
    async def work() -> tuple[Outcome, float]:
        pinger = IcmpPinger()
        far_end = FarEnd(lambda asked: [(0.01, asked.reply())])
        with far_end:
            await Icmp(host="127.0.0.1", count=1).run(look(pinger))
            await asyncio.sleep(0.05)  # from now on the kernel stamps
            looking = asyncio.create_task(Icmp(host="10.7.0.2", count=1).run(look(pinger, 2.0)))
            for _ in range(3):
                await asyncio.sleep(0)  # the request is sent
            assert pinger._channels[4]._pending
            time.sleep(0.3)  # noqa: ASYNC251  # the loop is held, as by a slow callback
            outcome = await looking
            await pinger.close()
        return outcome, max(far_end.seconds.values())

    outcome, stayed = in_namespace("", work)
    assert outcome.latency is not None
    assert 0.01 <= outcome.latency < stayed + 0.05 < 0.3


@pytest.mark.root
def test_replies_thrown_away_by_this_machine_are_no_loss() -> None:
    """A flood fills the receive buffer while the agent is held; the true reply comes last and finds no room."""

    async def work() -> Outcome:
        pinger = IcmpPinger()
        flood = FarEnd(lambda asked: [(0.03, asked.reply(payload=bytes(1400)))] * 99 + [(0.06, asked.reply())])
        with flood:
            await Icmp(host="127.0.0.1", count=1).run(look(pinger))
            pinger._channels[4]._sock.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            looking = asyncio.create_task(Icmp(host="10.7.0.2", count=1).run(look(pinger, 0.3)))
            for _ in range(3):
                await asyncio.sleep(0)  # the request is sent
            time.sleep(0.2)  # noqa: ASYNC251  # too busy to read
            outcome = await looking
            await pinger.close()
        return outcome

    outcome = in_namespace("", work)
    assert outcome.state == UNKNOWN
    assert "packets unread, maybe the missing replies" in outcome.reason


NFT = """
nft add table inet t
nft add chain inet t c '{{ type filter hook {hook} priority 0; }}'
nft add rule inet t c {rule}
"""


@pytest.mark.root
@both_sockets
@pytest.mark.parametrize(("host", "protocol"), [("127.0.0.1", "icmp"), ("::1", "icmpv6")])
def test_loss_by_a_firewall(sort: str, host: str, protocol: str) -> None:
    async def work() -> list[Outcome]:
        pinger = IcmpPinger()
        lossy = [Icmp(host=host, count=10, spacing=0.01, max_loss=allowed) for allowed in (1.0, 0.3)]
        outcomes = [await probe.run(look(pinger, 0.3)) for probe in lossy]
        await pinger.close()
        return outcomes

    rule = f"{protocol} type echo-request numgen inc mod 2 0 drop"
    tolerant, strict = in_namespace(sort + NFT.format(hook="input", rule=rule), work)
    assert (tolerant.state, tolerant.measures["loss_ratio"]) == (UP, 0.5)
    assert (strict.state, strict.reason) == (DOWN, f"{host} left 5 of 10 pings unanswered")
    assert strict.measures["mos_score"] < 2


@pytest.mark.root
@both_sockets
def test_what_this_machine_forbids_is_no_evidence(sort: str) -> None:
    async def work() -> list[Outcome]:
        pinger = IcmpPinger()
        outcomes = [await Icmp(host=host, count=2).run(look(pinger, 0.4)) for host in ("127.0.0.1", "255.255.255.255")]
        await pinger.close()
        return outcomes

    firewalled, broadcast = in_namespace(sort + NFT.format(hook="output", rule="icmp type echo-request drop"), work)
    assert (firewalled.state, firewalled.measures) == (UNKNOWN, {})
    assert "firewall" in firewalled.reason
    assert broadcast.state in (UNKNOWN, DOWN)
    assert broadcast.latency is None


@pytest.mark.root
@both_sockets
@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_no_route(sort: str, host: str) -> None:
    async def work() -> Outcome:
        pinger = IcmpPinger()
        outcome = await Icmp(host=host, count=2, spacing=0.01).run(look(pinger, 3.0))
        await pinger.close()
        return outcome

    outcome = in_namespace(sort, work)
    assert (outcome.state, outcome.measures["loss_ratio"]) == (DOWN, 1)
    assert "no route to its network" in outcome.reason


@pytest.mark.root
def test_without_the_right_it_says_what_to_do() -> None:
    script = (
        "import asyncio\n"
        "from agent.probe import Limits, ProbeContext\n"
        "from agent.probes.icmp import Icmp\n"
        "outcome = asyncio.run(Icmp(host='127.0.0.1').run(ProbeContext(1.0, Limits(), {})))\n"
        "print(outcome.state, outcome.reason)\n"
    )
    command = ["unshare", "-n", "setpriv", "--bounding-set=-net_raw", sys.executable, "-c", script]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True).stdout
    assert said.startswith(f"{UNKNOWN} this machine does not let the agent ping")
    assert "CAP_NET_RAW" in said
    assert "net.ipv4.ping_group_range" in said


@pytest.mark.root
async def test_loopback_by_name_and_number() -> None:
    pinger = IcmpPinger()
    for host in ("127.0.0.1", "localhost", "[::1]", "::1"):
        outcome = await Icmp(host=host, count=3, spacing=0.01).run(look(pinger))
        assert (outcome.state, outcome.reason) == (UP, "")
        assert 0 < outcome.measures["rtt_min_seconds"] < 0.01
        assert ("resolve_seconds" in outcome.measures) == (host == "localhost")
        assert outcome.measures.keys() <= {measure.name for measure in Icmp.measures}
    assert await _family(pinger, "127.0.0.1", "ipv6") == (UNKNOWN, "127.0.0.1 is not an IPv6 address")
    assert (await _family(pinger, "no-such-name.invalid", "any"))[0] in (DOWN, UNKNOWN)
    assert await _family(pinger, "fe80::1%nowhere", "any") == (
        UNKNOWN,
        "fe80::1%nowhere names an interface that this machine does not have",
    )
    await pinger.close()


async def _family(pinger: IcmpPinger, host: str, family: Any) -> tuple[int, str]:
    outcome = await Icmp(host=host, family=family, count=1).run(look(pinger))
    return outcome.state, outcome.reason


@pytest.mark.root
async def test_large_pings_sequences_that_wrap_and_looks_that_are_dropped() -> None:
    pinger = IcmpPinger()
    assert (await Icmp(host="127.0.0.1", count=2, spacing=0.01, size=8972).run(look(pinger))).state == UP
    channel = pinger._channels[4]
    channel._sequence = 0xFFFD
    outcome = await Icmp(host="127.0.0.1", count=5, spacing=0.01).run(look(pinger))
    assert (outcome.measures["loss_ratio"], channel._sequence) == (0, 2)
    dropped = asyncio.create_task(Icmp(host="127.0.0.1", count=50, spacing=0.01).run(look(pinger)))
    await asyncio.sleep(0.02)
    dropped.cancel()
    await asyncio.gather(dropped, return_exceptions=True)
    assert not channel._pending
    assert not channel._done
    await pinger.close()


async def test_the_agents_limits_hold() -> None:
    limits = Limits(networks=(ip_network("10.0.0.0/8"),))
    outcome = await Icmp(host="127.0.0.1").run(look(IcmpPinger(), limits=limits))
    assert (outcome.state, outcome.reason) == (UNKNOWN, "127.0.0.1 is outside the networks this agent may probe")


@pytest.mark.root
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_the_portable_way(host: str) -> None:
    pinger = PortablePinger()
    outcome = await Icmp(host=host, count=3, spacing=0.01).run(look(pinger))
    assert (outcome.state, outcome.measures["loss_ratio"]) == (UP, 0)
    assert 0 < outcome.measures["rtt_min_seconds"] < 0.1


@pytest.mark.root
def test_the_portable_way_with_a_far_end() -> None:
    def answer(asked: Asked) -> list[tuple[float, bytes]]:
        if asked.target == "10.7.0.3":
            return [(0.0, asked.error(3, 1, "10.7.0.254"))]
        return [(0.0, asked.reply(source="10.7.0.9")), (0.03, asked.reply())] if asked.target == "10.7.0.2" else []

    async def work() -> list[Outcome]:
        pinger = PortablePinger()
        with FarEnd(answer):
            probes = [Icmp(host=f"10.7.0.{place}", count=2, spacing=0.01) for place in (2, 3, 4)]
            return list(await asyncio.gather(*(probe.run(look(pinger, 0.5)) for probe in probes)))

    true, refused, silent = in_namespace("", work)
    assert true.state == UP
    assert true.measures["rtt_min_seconds"] >= 0.03
    assert refused.state == DOWN
    assert refused.reason.startswith("10.7.0.3 did not answer 2 pings; 10.7.0.254 says: ")
    assert silent.reason == "10.7.0.4 did not answer 2 pings within 0.49 s"


times = st.integers(0, 10**12)


@given(sent=times, rtt=times, queued=times, wall=st.integers(-(10**18), 10**18), step=st.integers(-(10**15), 10**15))
def test_a_step_of_the_wall_clock_before_the_reply_changes_nothing(
    sent: int, rtt: int, queued: int, wall: int, step: int
) -> None:
    """The reply comes ``rtt`` after the request, is read ``queued`` later; the wall clock is stepped in between."""
    now = sent + rtt + queued
    arrivals = ReceiveClock(lambda: now, lambda: now + wall + step)
    arrivals.synchronise()
    assert arrivals.rtt(sent, sent + rtt + wall + step) == rtt


@given(sent=times, rtt=times, queued=times, step=st.integers(-(10**15), 10**15))
def test_a_step_after_it_gives_no_impossible_time(sent: int, rtt: int, queued: int, step: int) -> None:
    now = sent + rtt + queued
    arrivals = ReceiveClock(lambda: now, lambda: now + step)
    arrivals.synchronise()
    found = arrivals.rtt(sent, sent + rtt)
    assert 0 <= found <= rtt + queued
    assert found in (rtt - step, rtt + queued)
    assert arrivals.rtt(sent, None) == rtt + queued


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.binary(max_size=99))
def test_requests_are_icmplibs_and_their_checksum_holds(identifier: int, sequence: int, payload: bytes) -> None:
    theirs = ICMPv4Socket.__new__(ICMPv4Socket)
    theirs._sock = None
    made = packets.echo_request(4, identifier, sequence, payload)
    assert made == theirs._create_packet(identifier, sequence, payload)
    assert summed(made) == 0
    assert packets.echo_request(6, identifier, sequence, payload)[:4] == b"\x80\0\0\0"
    assert packets.identifier_and_sequence(made) == (identifier, sequence)


@given(st.sampled_from([4, 6]), st.binary(max_size=200))
def test_no_packet_trips_the_reader(version: int, junk: bytes) -> None:
    assert packets.icmp_offset(version, junk) <= 60
    found = packets.request_in_error(version, memoryview(junk))
    assert found is None or len(found[0]) == (4 if version == 4 else 16)


def test_a_pinger_refuses_what_it_cannot_number() -> None:
    async def work() -> None:
        pinger = IcmpPinger()
        await Icmp(host="127.0.0.1", count=1).run(look(pinger))
        channel = pinger._channels.get(4)
        if channel is None:
            pytest.skip("needs root: no right to ping here")
        channel._reserved = 0x10000
        with pytest.raises(ProbeFailed, match="waiting for an answer already"):
            await pinger.ping(ip_address("127.0.0.1"), 1, 0.1, 56, 1.0)
        channel._reserved = 0
        await pinger.close()

    asyncio.run(work())


@pytest.mark.parametrize(("rating", "score"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_mos_agrees_with_the_table_of_g107_annex_b(rating: float, score: float) -> None:
    assert mos_from_rating(rating) == pytest.approx(score, abs=0.01)


@given(st.floats(0, 10), st.floats(0, 5), st.floats(0, 1), st.floats(0, 1))
def test_mos_falls_as_the_path_gets_worse(rtt: float, shaking: float, loss: float, more: float) -> None:
    score = mos(rtt, shaking, loss)
    assert 1 <= score <= 4.41
    worse = [mos(rtt + more, shaking, loss), mos(rtt, shaking + more, loss), mos(rtt, shaking, min(1, loss + more))]
    assert max(worse) <= score + 1e-9


def test_jitter_is_the_mean_difference_of_neighbours() -> None:
    assert jitter([0.010, 0.014, 0.012]) == pytest.approx(0.003)
