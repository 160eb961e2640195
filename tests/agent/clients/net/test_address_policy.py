"""One policy over a name's addresses, for every kind: families in turn, a dead address hides no good one and costs no
latency."""

import asyncio
import contextlib
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clients.net.address_policy import (
    MAX_ADDRESSES,
    candidates,
    connection_stagger,
    datagram_stagger,
    first_to_answer,
    interleaved,
    together,
)
from agent.clients.net.resolve import Resolver, bare_host
from agent.failure import ProbeFailed
from agent.probe import Address, Limits, Outcome, ProbeContext
from agent.probes import build
from inventory.protocol.states import DOWN, UNKNOWN, UP
from tests.support.dns_server import dns_server
from tests.support.nut import nut_server
from tests.support.snmp import SnmpDevice, switch, ticks

UPTIME = {"1.3.6.1.2.1.1.3.0": ticks(1_000_000)}

addresses = st.lists(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), min_size=1, max_size=12, unique=True)


@given(addresses)
def test_families_take_turns_in_their_own_order(given_addresses: list[Address]) -> None:
    ordered = interleaved(given_addresses)
    assert sorted(map(str, ordered)) == sorted(map(str, given_addresses))
    assert ordered[0] == given_addresses[0]
    for version in (4, 6):
        of_family = [address for address in given_addresses if address.version == version]
        assert [address for address in ordered if address.version == version] == of_family
    if len({address.version for address in given_addresses}) == 2:
        assert {address.version for address in ordered[:2]} == {4, 6}


@given(addresses, st.lists(st.sampled_from(["10.0.0.0/8", "0.0.0.0/1", "2000::/3", "::/1"]), max_size=2))
def test_only_what_the_limits_allow_is_asked(given_addresses: list[Address], networks: list[str]) -> None:
    limits = Limits(networks=tuple(map(ip_network, networks)))
    allowed = [address for address in given_addresses if not limits.forbids(address)]
    if not allowed:
        with pytest.raises(ProbeFailed) as raised:
            candidates(given_addresses, limits)
        assert raised.value.state == UNKNOWN
        return
    assert candidates(given_addresses, limits) == interleaved(allowed)[:MAX_ADDRESSES]


@given(st.integers(1, 8), st.floats(0.1, 60))
def test_all_get_their_turn_within_the_time(count: int, seconds: float) -> None:
    assert connection_stagger(count, seconds) * (count - 1) < seconds / 2
    assert 0 < connection_stagger(count, seconds) <= 0.25
    assert datagram_stagger(count, seconds) * count < seconds


HOSTS = [ip_address(f"127.0.0.{last}") for last in range(2, 7)]


@pytest.mark.parametrize("good", range(5))
async def test_the_good_one_is_found_wherever_it_stands(good: int) -> None:
    asked: list[Address] = []
    discarded: list[str] = []

    async def ask(address: Address) -> str:
        asked.append(address)
        if address == HOSTS[good]:
            return str(address)
        if HOSTS.index(address) % 2:
            raise ProbeFailed(f"{address} refused")  # type: ignore[arg-type]
        await asyncio.Event().wait()
        raise AssertionError

    first = await asyncio.wait_for(first_to_answer(HOSTS, ask, 0.01, discarded.append), 2)
    assert (first.answer, first.address) == (str(HOSTS[good]), HOSTS[good])
    assert asked == HOSTS[: good + 1] and not discarded
    assert (first.waited == 0.0) == (good == 0)


async def test_an_answer_that_nobody_takes_is_discarded() -> None:
    both = asyncio.Event()
    discarded: list[Address] = []

    async def ask(address: Address) -> Address:
        if address == HOSTS[1]:
            both.set()
        await both.wait()
        return address

    first = await first_to_answer(HOSTS[:2], ask, 0.01, discarded.append)
    await asyncio.sleep(0)
    assert first.answer == HOSTS[0] and discarded == [HOSTS[1]]


def test_what_all_of_them_came_to() -> None:
    failures = [ProbeFailed("no evidence", UNKNOWN), *(ProbeFailed(f"{n} refused") for n in range(5))]  # type: ignore[arg-type]
    one = together(failures)
    assert one.state == DOWN and one.reason.startswith("0 refused; 1 refused; 2 refused; and 2 addresses more")
    assert together(failures[:1]).state == UNKNOWN


# every kind


class Names(Resolver):
    """Knows one name, with these addresses."""

    def __init__(self, *hosts: str) -> None:
        super().__init__()
        self._hosts = [ip_address(host) for host in hosts]

    async def addresses(self, host: str, family: str = "any") -> list[Address]:
        return list(self._hosts)


GOOD = "127.0.0.1"


class Ntp(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        import time

        now = int((time.time() + 2_208_988_800) * (1 << 32)) & ((1 << 64) - 1)
        stamps = struct.pack("!QQQQ", now, int.from_bytes(data[40:48], "big"), now, now)
        self.transport.sendto(bytes([0x24, 2, 6, 0xEC]) + bytes(8) + b"\x7f\0\0\1" + stamps, addr)


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


@contextlib.asynccontextmanager
async def datagrams(protocol: Callable[[], Any]) -> AsyncIterator[int]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(protocol, local_addr=(GOOD, 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


@contextlib.asynccontextmanager
async def says(greeting: bytes, *answers: bytes) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        with contextlib.suppress(OSError):
            for answer in answers:
                await reader.readline()
                writer.write(answer)
            await reader.read(1)
        writer.close()

    server = await asyncio.start_server(handle, GOOD, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextlib.asynccontextmanager
async def dns_port() -> AsyncIterator[int]:
    async with dns_server(host=GOOD) as (_, port):
        yield port


@contextlib.asynccontextmanager
async def nut_port() -> AsyncIterator[int]:
    async with nut_server(ups={"ups.status": "OL", "battery.charge": "100"}) as server:
        yield server.port


PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
Service = Callable[[], contextlib.AbstractAsyncContextManager[int]]
KINDS: dict[str, tuple[str, Service, dict[str, Any]]] = {
    "tcp": ("tcp", lambda: says(b"hello"), {"host": "x.test", "expect": "hello"}),
    "http": ("http", lambda: says(b"", *[b""] * 4, PAGE), {"url": "http://x.test:{port}/"}),
    "smtp": (
        "smtp",
        lambda: says(b"220 x ready\r\n", b"250 x\r\n", b"221 bye\r\n"),
        {"host": "x.test", "security": "none"},
    ),
    "imap": (
        "imap",
        lambda: says(b"* OK [CAPABILITY IMAP4rev1] ready\r\n", b"a1 OK\r\n", b"a2 OK\r\n"),
        {"host": "x.test", "security": "none"},
    ),
    "dns": ("dns", dns_port, {"server": "x.test", "name": "soctrang.example"}),
    "dns by tcp": ("dns", dns_port, {"server": "x.test", "name": "soctrang.example", "transport": "tcp"}),
    "ntp": ("ntp", lambda: datagrams(Ntp), {"server": "x.test"}),
    "snmp": ("snmp", lambda: datagrams(lambda: SnmpDevice({**UPTIME, **switch(2)})), {"host": "x.test"}),
    "path by udp": ("path", lambda: datagrams(Echo), {"host": "x.test", "count": 10, "spacing": 0.01}),
    "power by nut": ("power", nut_port, {"host": "x.test", "way": "nut", "ups": "ups"}),
}
# nothing listens at the first; the second swallows what comes (see the fixture)
REFUSES, SWALLOWS = "127.0.0.9", "127.0.0.10"


@contextlib.contextmanager
def swallowing(port: int) -> Any:
    """A port, UDP and TCP, whose packets nobody answers: the queue of connections is full."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind((SWALLOWS, port))
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((SWALLOWS, port))
        tcp.listen(0)
        waiting = []
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex((SWALLOWS, port))
            waiting.append(client)
        try:
            yield
        finally:
            for client in waiting:
                client.close()


async def look(kind: str, port: int, params: dict[str, Any], *hosts: str, timeout: float = 3.0) -> Outcome:
    given = {key: value.format(port=port) if isinstance(value, str) else value for key, value in params.items()}
    if "url" not in given:
        given["port"] = port
    clients: dict[type[Any], Any] = {Resolver: Names(*hosts)}
    try:
        return await build(kind, given).run(ProbeContext(timeout, Limits(), clients, lambda name: {}))
    finally:
        for client in clients.values():
            await client.close()


@pytest.mark.parametrize("name", sorted(KINDS))
async def test_a_dead_address_hides_no_good_one_and_costs_no_latency(name: str) -> None:
    kind, service, params = KINDS[name]
    async with service() as port:
        alone = await look(kind, port, params, GOOD)
        assert alone.state == UP, alone.reason
        after_refusal = await look(kind, port, params, REFUSES, GOOD)
        assert after_refusal.state == UP, after_refusal.reason
        with swallowing(port):
            after_silence = await look(kind, port, params, SWALLOWS, GOOD)
        assert after_silence.state == UP, after_silence.reason
        assert after_silence.latency is None or after_silence.latency < 0.2
        nobody = await look(kind, port, params, REFUSES, "127.0.0.11", timeout=1)
        assert nobody.state in (DOWN, UNKNOWN) and nobody.reason
        if kind not in ("path", "imap"):
            assert REFUSES in nobody.reason and "127.0.0.11" in nobody.reason


async def test_a_fault_says_which_address_answered_where_it_was_not_the_first() -> None:
    async with says(b"", *[b""] * 4, b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n") as port:
        alone = await look("http", port, KINDS["http"][2], GOOD)
        second = await look("http", port, KINDS["http"][2], REFUSES, GOOD)
    assert alone.reason == "status 500 instead of 200-299"
    assert second.reason == f"{GOOD}:{port}: status 500 instead of 200-299"


def in_namespace(commands: str, work: Callable[[], Awaitable[Any]]) -> Any:
    """Run in a network namespace of its own, which goes with its thread."""
    box: list[Any] = []

    def run() -> None:
        import ctypes

        try:
            if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):
                raise OSError("no namespace")
            subprocess.run(["sh", "-ec", f"ip link set lo up\n{commands}"], check=True, timeout=20)
            box.append(asyncio.run(work()))  # type: ignore[arg-type]
        except BaseException as error:
            box.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(box[0], BaseException):
        raise box[0]
    return box[0]


LINK = """
ip link add v0 type veth peer name v1
for end in v0 v1; do ip link set $end up; done
ip -6 addr add fe80::1/64 dev v0 nodad
ip -6 addr add fe80::2/64 dev v1 nodad
sleep 0.3
"""


@pytest.mark.root
def test_a_link_local_target_of_every_kind() -> None:
    """fe80::1 is this machine's own on v0: no second namespace is needed to be answered by it."""

    async def work() -> dict[str, Outcome]:
        host, loop, outcomes = "fe80::1%v0", asyncio.get_running_loop(), {}
        clients: dict[type[Any], Any] = {}

        async def see(name: str, kind: str, **params: Any) -> None:
            outcomes[name] = await build(kind, params).run(ProbeContext(2.0, Limits(), clients, lambda name: {}))

        scope = socket.if_nametoindex("v0")
        made = []
        for protocol in (Echo, Ntp, lambda: SnmpDevice(UPTIME)):
            udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            udp.bind(("fe80::1", 0, 0, scope))
            transport, _ = await loop.create_datagram_endpoint(protocol, sock=udp)
            made.append(transport)
        echo, ntp, snmp = (transport.get_extra_info("sockname")[1] for transport in made)

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError):  # the look of kind tcp says nothing
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(PAGE if b"Host: [fe80::1]:" in head else b"HTTP/1.1 400 No\r\n\r\n")
            writer.close()

        sock = socket.socket(socket.AF_INET6)
        sock.bind(("fe80::1", 0, 0, scope))
        server = await asyncio.start_server(handle, sock=sock)
        web = sock.getsockname()[1]
        await see("icmp", "icmp", host=host, count=2, spacing=0.01)
        await see("path", "path", host=host, count=10, spacing=0.01)
        await see("udp", "path", host=host, port=echo, count=10, spacing=0.01)
        await see("ntp", "ntp", server=host, port=ntp)
        await see("snmp", "snmp", host=host, port=snmp)
        await see("tcp", "tcp", host=host, port=web)
        await see("http", "http", url=f"http://[fe80::1%25v0]:{web}/")
        server.close()
        for transport in made:
            transport.close()
        for client in clients.values():
            await client.close()
        return outcomes

    outcomes = in_namespace(LINK, work)
    assert {name: (outcome.state, outcome.reason) for name, outcome in outcomes.items()} == dict.fromkeys(
        outcomes, (UP, "")
    )


@pytest.mark.root
def test_four_addresses_that_swallow_packets_and_one_that_works() -> None:
    dead = """
ip link add v0 type veth peer name v1
ip link set v0 up
ip link set v1 up
ip -6 addr add 2001:db8:1::2/64 dev v0 nodad
ip -6 route add 2001:db8:9::/64 via 2001:db8:1::1 dev v0
ip -6 neigh add 2001:db8:1::1 lladdr 02:00:00:00:00:01 dev v0 nud permanent
sleep 0.3
"""
    hosts = [*(f"2001:db8:9::{n}" for n in range(1, 5)), GOOD]

    async def work() -> list[Outcome]:
        outcomes = []
        async with says(b"", *[b""] * 4, PAGE) as port:
            outcomes.append(await look("http", port, KINDS["http"][2], *hosts, timeout=4))
        async with says(b"hello") as port:
            outcomes.append(await look("tcp", port, KINDS["tcp"][2], *hosts, timeout=4))
        clients: dict[type[Any], Any] = {Resolver: Names(*hosts)}
        for kind, params in (("icmp", {"count": 2}), ("path", {"count": 10, "spacing": 0.01})):
            outcomes.append(await build(kind, {"host": "x.test", **params}).run(ProbeContext(5, Limits(), clients)))
        for client in clients.values():
            await client.close()
        return outcomes

    for outcome in in_namespace(dead, work):
        assert (outcome.state, outcome.reason) == (UP, "")
        assert outcome.latency is not None and outcome.latency < 0.2


@pytest.mark.parametrize(
    ("host", "bare"),
    [("www.test.", "www.test"), ("www.test", "www.test"), ("fe80::2%v0", "fe80::2"), ("192.0.2.1", "192.0.2.1")],
)
def test_what_belongs_to_the_resolver_and_the_socket_alone(host: str, bare: str) -> None:
    assert bare_host(host) == bare


async def test_no_name_with_a_dot_at_its_end_goes_to_a_server() -> None:
    """The name in SNI, as the server hears it."""
    from agent.clients.net.stream import connect

    heard: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _tls, name, _context: heard.append(name)
    server = await asyncio.start_server(lambda reader, writer: writer.close(), GOOD, 0, ssl=context)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    stream, _ = await connect([ip_address(GOOD)], server.sockets[0].getsockname()[1], Limits(), 2)
    with contextlib.suppress(ssl.SSLError):
        await stream.start_tls(client, "www.example.test.")
    stream.close()
    server.close()
    assert heard == ["www.example.test"]
