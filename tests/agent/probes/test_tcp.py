"""The TCP probe against real listeners on loopback, and networks that say no."""

import asyncio
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import Any

import pytest

from agent import probes
from agent.clients.net.kernel_stamps import handshake_seconds
from agent.clients.net.resolve import Resolver
from agent.failure import ProbeFailed
from agent.probe import Address, Limits, Outcome, ProbeContext
from agent.probes.tcp import MOST_READ, Tcp
from inventory.protocol.states import DOWN, UNKNOWN, UP
from tests.support.paths import ROOT

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def look(timeout: float = 2.0, limits: Limits | None = None, resolver: Resolver | None = None) -> ProbeContext:
    return ProbeContext(timeout, limits or Limits(), {Resolver: resolver} if resolver else {})


@asynccontextmanager
async def service(talk: Talk, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A listener that runs ``talk`` for each connection; its port."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass  # the probe has left
        finally:
            writer.close()

    server = await asyncio.start_server(one, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def says(*pieces: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)

    return talk


async def keeps_quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def never_ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 4096)
        await writer.drain()


async def echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"you said " + await reader.readline())
    await writer.drain()


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_port_that_takes_connections_is_up(host: str) -> None:
    async with service(keeps_quiet, host) as port:
        outcome = await Tcp(host=host, port=port).run(look())
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.latency == outcome.measures["connect_seconds"]
    assert 0 < outcome.measures["connect_seconds"] < 0.5
    assert outcome.measures.keys() == {"connect_seconds"}


async def test_a_name_is_resolved_and_timed_apart() -> None:
    async with service(keeps_quiet) as port:
        outcome = await Tcp(host="localhost", port=port, family="ipv4").run(look())
    assert outcome.state == UP
    assert outcome.measures["resolve_seconds"] > 0
    assert outcome.latency == outcome.measures["connect_seconds"]


class Names(Resolver):
    """A resolver whose names are known beforehand: which addresses a name has is the test's matter."""

    def __init__(self, *known: str, wait: float = 0.0) -> None:
        super().__init__()
        self._known = known
        self._wait = wait

    async def addresses(self, host: str, family: str = "any") -> list[Address]:
        await asyncio.sleep(self._wait)
        return [found for name in self._known for found in await super(Names, self).addresses(name, family)]


async def test_the_next_address_is_tried() -> None:
    async with service(keeps_quiet, "127.0.0.3") as port:
        probe = Tcp(host="two.example", port=port)
        assert (await probe.run(look(resolver=Names("127.0.0.2", "127.0.0.3")))).state == UP
        outcome = await probe.run(look(resolver=Names("127.0.0.3", "127.0.0.2")))
        assert outcome.state == UP
        nowhere = await probe.run(look(resolver=Names("127.0.0.2", "127.0.0.4")))
        assert (nowhere.state, nowhere.reason) == (
            DOWN,
            f"127.0.0.2:{port} refused the connection; 127.0.0.4:{port} refused the connection",
        )


async def test_refused(free_port: int) -> None:
    outcome = await Tcp(host="127.0.0.1", port=free_port).run(look())
    assert outcome == Outcome(DOWN, f"127.0.0.1:{free_port} refused the connection")


async def test_no_answer() -> None:
    """A full queue of connections swallows the next one's packets, like a firewall that drops."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        started = time.monotonic()
        outcome = await Tcp(host="127.0.0.1", port=port).run(look(0.3))
    assert outcome == Outcome(DOWN, f"127.0.0.1 port {port} did not answer within 0.3 s")
    assert 0.29 < time.monotonic() - started < 1


async def test_a_name_that_takes_too_long_says_so() -> None:
    outcome = await Tcp(host="slow.example", port=9).run(look(0.05, resolver=Names("127.0.0.1", wait=5)))
    assert outcome == Outcome(DOWN, "the name slow.example was not resolved within 0.05 s")


@pytest.mark.parametrize(
    ("talk", "send", "expect", "state", "reason"),
    [
        (says(b"220 mail.example ESMTP\r\n"), "", "220 ", UP, ""),
        (says(b"SSH-", b"2.0-Open", b"SSH\r\n"), "", "SSH-2.0", UP, ""),
        (echoes, "xin chào\n", "you said xin chào", UP, ""),
        (says(b"554 no\r\n"), "", "220 ", DOWN, "closed the connection; expected '220 ', heard '554 no??'"),
        (says(), "", "220 ", DOWN, "closed the connection; expected '220 ', heard nothing"),
        (says(b"\xff\x00\x1b[2J"), "", "220 ", DOWN, "expected '220 ', heard 'ÿ??[2J'"),
        (keeps_quiet, "", "220 ", DOWN, "took the connection but did not say '220 ' within 0.4 s"),
        (never_ends, "", "220 ", DOWN, f"did not say '220 ' within {MOST_READ // 1024} KiB"),
        (resets, "hello\n", "220 ", DOWN, "reset the connection"),
    ],
)
async def test_what_the_service_says(talk: Talk, send: str, expect: str, state: int, reason: str) -> None:
    async with service(talk) as port:
        outcome = await Tcp(host="127.0.0.1", port=port, send=send, expect=expect).run(look(0.4))
    assert outcome.state == state
    assert outcome.reason.endswith(reason)
    assert outcome.latency == outcome.measures["connect_seconds"]
    assert ("banner_seconds" in outcome.measures) == (state == UP)


async def test_a_busy_agent_is_not_in_the_connection_time() -> None:
    """The loop is held while the handshake goes on: the kernel knows when it ended."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        looking = asyncio.create_task(Tcp(host="127.0.0.1", port=listener.getsockname()[1]).run(look()))
        for _ in range(3):
            await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251  # the loop is held, as by a slow callback
        outcome = await looking
    assert outcome.latency is not None
    assert 0 < outcome.latency < 0.1


def test_without_a_kernels_figure_what_the_program_saw_counts() -> None:
    with socket.socket() as not_connected:
        assert handshake_seconds(not_connected, 1.5) == 1.5
    with socket.socket(socket.AF_UNIX) as not_tcp:
        assert handshake_seconds(not_tcp, 1.5) == 1.5


async def test_the_agents_limits_hold() -> None:
    async with service(keeps_quiet) as port:
        networks = Limits(networks=(ip_network("10.0.0.0/8"),))
        outcome = await Tcp(host="127.0.0.1", port=port).run(look(limits=networks))
        assert (outcome.state, outcome.reason) == (UNKNOWN, "127.0.0.1 is outside the networks this agent may probe")
        outcome = await Tcp(host="localhost", port=port).run(look(limits=Limits(ports=(1,))))
        assert (outcome.state, outcome.reason) == (UNKNOWN, f"port {port} is not one this agent may probe")
    assert Tcp(host="a.example", port=25).endpoints() == (("a.example", 25),)


@pytest.mark.root
@pytest.mark.parametrize(
    ("prepare", "host", "state", "words"),
    [
        ("true", "192.0.2.1", DOWN, "no route to its network"),
        ("true", "2001:db8::1", DOWN, "no route to its network"),
        ("ip route add unreachable 192.0.2.0/24", "192.0.2.1", DOWN, "no route to the host"),
        ("ip route add prohibit 192.0.2.0/24", "192.0.2.1", UNKNOWN, "does not permit"),
    ],
)
def test_networks_that_say_no(prepare: str, host: str, state: int, words: str) -> None:
    script = (
        "import asyncio\n"
        "from agent.probe import Limits, ProbeContext\n"
        "from agent.probes.tcp import Tcp\n"
        f"outcome = asyncio.run(Tcp(host={host!r}, port=9).run(ProbeContext(2.0, Limits(), {{}})))\n"
        "print(outcome.state, outcome.reason)\n"
    )
    shell = f'ip link set lo up && {prepare} && exec {sys.executable} -c "$SCRIPT"'
    done = subprocess.run(
        ["unshare", "-n", "sh", "-ec", shell],
        cwd=ROOT,
        env={"SCRIPT": script, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.startswith(f"{state} ")
    assert words in done.stdout


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"port": 1}, "tcp: the parameter host is missing"),
        ({"host": "a", "port": "80"}, "tcp: port: expected int, got str"),
        ({"host": "a", "port": 0}, "tcp: port: expected int >= 1"),
        ({"host": "a", "port": 65536}, "tcp: port: expected int <= 65535"),
        ({"host": "", "port": 1}, "tcp: host: expected str of length >= 1"),
        ({"host": "a", "port": 1, "hots": "b"}, "tcp: there is no parameter hots"),
        ({"host": "a", "port": 1, "family": "ipv5"}, "tcp: family cannot be 'ipv5'"),
        ({"host": None, "port": 1}, "tcp: host: expected str, got null"),
    ],
)
def test_parameters_that_are_wrong_are_named(params: dict[str, Any], words: str) -> None:
    with pytest.raises(probes.BadProbe) as refused:
        probes.build("tcp", params)
    assert str(refused.value) == words


async def test_a_resolver_that_hangs_delays_only_its_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    hung = threading.Event()
    really = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: Any) -> Any:
        if host == "hangs.example":
            hung.wait(20)
        return really(host, *rest)

    monkeypatch.setattr("agent.clients.net.resolve.socket.getaddrinfo", getaddrinfo)
    resolver = Resolver()
    async with service(keeps_quiet) as port:
        waiting = [
            asyncio.create_task(Tcp(host="hangs.example", port=port).run(look(0.3, resolver=resolver)))
            for _ in range(100)
        ]
        await asyncio.sleep(0)
        good = await Tcp(host="localhost", port=port, family="ipv4").run(look(1.0, resolver=resolver))
        threads = [thread for thread in threading.enumerate() if "hangs" in thread.name]
        outcomes = await asyncio.gather(*waiting)
    hung.set()
    assert good.state == UP
    assert len(threads) == 1
    assert {outcome.reason for outcome in outcomes} == {"the name hangs.example was not resolved within 0.3 s"}
    with pytest.raises(ProbeFailed):
        await resolver.addresses("127.0.0.1", "ipv6")
    await resolver.close()


async def test_an_expected_text_in_either_form() -> None:
    import unicodedata

    async with service(says(unicodedata.normalize("NFD", "Chào bạn\r\n").encode())) as port:
        outcome = await Tcp(host="127.0.0.1", port=port, expect="Chào bạn").run(look())
    assert (outcome.state, outcome.reason) == (UP, "")
