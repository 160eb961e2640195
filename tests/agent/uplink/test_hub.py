"""Throughput to the hub: the real probe through mutual TLS to the real agents' listener, and what either refuses."""

import asyncio
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent import probes
from agent.clients.rationing import RunQuota
from agent.probe import Hub, Limits, Outcome, ProbeContext
from agent.probes.throughput import Throughput as Probe
from agent.runtime.scheduler import Scheduler
from agent.uplink import connection as uplink_connection
from agent.uplink.connection import tls_context
from agent.uplink.hub import hub_of
from agent.uplink.identity import Identity
from collector.keys import files as keys_files
from collector.keys import pki
from collector.store.opening import open_store
from collector.store.registry import Registry
from collector.store.revocations import Revocations
from collector.web import client_certificates
from collector.web.agents import AgentsListener
from collector.web.throughput import BLOCK, ThroughputServer
from inventory.base.clock import SystemClock
from inventory.protocol import wire
from inventory.protocol.authority import SERVER_NAME
from inventory.protocol.plan import CollectorAddress, Plan, PlannedCheck
from inventory.protocol.states import DOWN, UNKNOWN, UP

DAY = 86_400
MB = 1 << 20


class World:
    """A collector's listener, and an agent enrolled with it. ``now``: the ration's clock, seconds."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.now = 1000.0
        self.wall = int(time.time() * 1000)
        self.known = True
        self.acks = 0

    async def __aenter__(self) -> "World":
        self.authority = keys_files.authority(self.directory / "pki", self.wall)
        self.store = open_store(self.directory / "collector.db")
        self.revocations = Revocations(self.directory / "revoked.jsonl")
        self.registry = Registry(self.store, self.authority, self.revocations, wall=lambda: self.wall)
        self.listener = AgentsListener(
            self.registry,
            self,
            self.push,
            wall=lambda: self.wall,
            may_push=lambda _: self.known,
            throughput=ThroughputServer(clock=lambda: self.now),
        )
        files = keys_files.server(self.directory / "pki", self.authority, (), self.wall)
        await self.listener.start("127.0.0.1", 0, client_certificates.tls_context(self.authority.pem, *files))
        self.url = f"https://127.0.0.1:{self.listener.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.stop(0.2)
        await self.store.close()

    def plan(self, agent: str) -> tuple[str, bytes] | None:
        return None

    async def push(self, agent: str, body: bytes, uploading: int) -> wire.Ack:
        self.acks += 1
        return wire.Ack(incarnation="i", verdict="none", received_ms=1, sent_ms=2)

    def context(self, agent: str = "so-ttt", authority: pki.CertificateAuthority | None = None) -> ssl.SSLContext:
        """As the agent's service makes it, from one file with key and certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        text = csr.public_bytes(serialization.Encoding.PEM).decode()
        issued = self.authority.sign_agent(text, agent, pki.new_serial(self.wall), self.wall, 90).pem
        forms = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        path = self.directory / f"{agent}.pem"
        path.write_bytes(key.private_bytes(serialization.Encoding.PEM, *forms) + issued.encode())
        return tls_context([(authority or self.authority).pem], path)

    def hub(self, agent: str = "so-ttt", **more: Any) -> Hub:
        context = self.context(agent, **more)
        return Hub(self.url, lambda: context, SERVER_NAME)

    def look(self, agent: str = "so-ttt", **more: Any) -> ProbeContext:
        return ProbeContext(10.0, Limits(), {}, hub=self.hub(agent, **more))

    @property
    def answers(self) -> dict[int, int]:
        """Throughput requests answered, by status."""
        return {status: count for (name, status), count in self.listener.requests.items() if name == "throughput"}


@pytest.fixture
async def world(tmp_path, caplog):
    async with World(tmp_path) as running:
        yield running
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def probe(**params: Any) -> Probe:
    """One that may run now."""
    return Probe(url="hub", **{"hours": ("00:00-24:00",), "at_start": True, "max_bytes": 2 * MB, **params})


async def ask(world: World, head: str, context: ssl.SSLContext | None = None) -> tuple[Any, Any]:
    """A request in its raw bytes; its connection."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", world.listener.port, ssl=context or world.context(), server_hostname=SERVER_NAME
    )
    writer.write(f"{head}\r\nHost: a\r\n\r\n".encode())
    return reader, writer


async def until(done: Callable[[], bool]) -> None:
    for _ in range(1000):
        if done():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("it did not come to pass within 10 s")


async def test_both_ways_over_the_agents_own_tls(world):
    look = world.look()
    look.limits = Limits(ports=(1,))  # for what it probes; the collector it talks to anyway
    outcome = await probe(way="both").run(look)
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.measures["download_bytes"] == outcome.measures["upload_bytes"] == 2 * MB
    assert outcome.measures["download_bytes_per_second"] > MB
    assert outcome.measures["upload_bytes_per_second"] > MB
    assert outcome.latency is not None
    assert world.answers == {200: 1, 204: 1}


async def test_more_is_not_asked_for_than_the_collector_gives(world):
    outcome = await probe(way="both", max_bytes=1 << 30).run(world.look())
    assert outcome.state == UP
    assert outcome.measures["download_bytes"] == outcome.measures["upload_bytes"] == wire.MAX_THROUGHPUT


async def test_the_time_of_the_handshake_is_no_part_of_the_rate(world):
    """A relay that holds the client's first bytes and the server's first: the rate is that of the content."""
    held = 0.6

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, ahead = await asyncio.open_connection("127.0.0.1", world.listener.port)

        async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            await asyncio.sleep(held)  # the handshake's first flight
            while data := await source.read(BLOCK):
                sink.write(data)
                await sink.drain()
            sink.close()

        await asyncio.gather(carry(reader, ahead), carry(behind, writer), return_exceptions=True)

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    look = world.look()
    look.hub = Hub(
        f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", look.hub.tls_context, look.hub.server_name
    )
    begun = time.monotonic()
    outcome = await probe(way="both").run(look)
    took = time.monotonic() - begun
    server.close()
    assert outcome.state == UP
    assert took > 2 * held
    assert outcome.measures["download_seconds"] + outcome.measures["upload_seconds"] < took - 2 * held + 0.05


async def test_without_enrolment_there_is_no_hub(world):
    outcome = await probe().run(ProbeContext(10.0, Limits(), {}))
    words = "no hub to measure to: this machine is not enrolled, or its identity cannot be read"
    assert outcome == Outcome(UNKNOWN, words)


async def test_the_collectors_ration_is_an_agents_own_and_comes_back_after_a_day(world):
    for _ in range(4):
        assert (await probe(way="both", max_bytes=MB).run(world.look())).state == UP
    world.now += DAY - 1
    refused = await probe().run(world.look())
    assert refused.skipped  # nothing is recorded: the last result speaks on
    assert refused.reason == (
        "the collector refuses to be measured with: 'this agent has measured 8 times within a day, all it may'"
    )
    posted = await probe(way="up").run(world.look())
    assert posted.skipped
    assert posted.reason == refused.reason  # said before a byte of content went over the line
    reader, writer = await ask(world, "GET /v1/throughput?bytes=1 HTTP/1.1")
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    writer.close()
    assert head.startswith("HTTP/1.1 429 ")
    assert "\r\nRetry-After: 2\r\n" in head
    assert (await probe().run(world.look("so-tc"))).state == UP
    world.now += 1
    assert (await probe().run(world.look())).state == UP


async def test_a_refused_look_costs_the_agent_no_run(world):
    world.listener._throughput._per_day = 0
    ration = RunQuota()
    look = ProbeContext(10.0, Limits(), {RunQuota: ration}, hub=world.hub())
    assert (await probe(per_day=1).run(look)).skipped
    world.listener._throughput._per_day = 8
    assert (await probe(per_day=1).run(look)).state == UP
    assert (await probe(per_day=1).run(look)).reason == "not due: this part of the day has had its run"


async def test_a_ration_that_ends_between_the_two_ways_is_said_and_what_was_measured_is_kept(world):
    world.listener._throughput._per_day = 1
    outcome = await probe(way="both").run(world.look())
    assert (outcome.state, outcome.skipped) == (UNKNOWN, False)
    assert outcome.measures["download_bytes"] == 2 * MB
    assert "upload_bytes" not in outcome.measures


async def test_two_at_once_over_all_agents_and_pushes_go_on_meanwhile(world):
    slow = []
    for agent in ("so-a", "so-b"):
        reader, writer = await ask(world, "GET /v1/throughput?bytes=10485760 HTTP/1.1", world.context(agent))
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        assert head.startswith("HTTP/1.1 200 ")
        assert "\r\nContent-Length: 10485760\r\n" in head
        assert "\r\nDate: " in head
        slow.append((reader, writer))  # and no more is read
    for way in ("down", "up"):
        third = await probe(way=way).run(world.look())
        assert third.skipped
        assert third.reason == "the collector refuses to be measured with: '2 others are measuring just now'"
    hub = uplink_connection.Uplink(world.url, world.context())
    begun = time.monotonic()
    answer = await hub.request("POST", "/v1/push", b"a push", {"Content-Type": wire.PUSH_TYPE})
    assert time.monotonic() - begun < 2.0
    await hub.close()
    assert (answer.status, world.acks) == (200, 1)
    # one goes away in the middle, the other takes it all: both places are free again
    slow[0][1].transport.abort()
    content = await slow[1][0].readexactly(10485760)
    slow[1][1].close()
    assert len(set(content[:BLOCK])) == 256
    await until(lambda: not world.listener._throughput._running)
    assert (await probe(way="both").run(world.look())).state == UP


async def test_an_agent_that_leaves_when_its_time_is_up_is_no_error(world):
    """As on every slow line: much is still on its way in either direction."""
    for way in ("GET /v1/throughput?bytes=10485760", "POST /v1/throughput"):
        more = "\r\nTransfer-Encoding: chunked" if way.startswith("POST") else ""
        reader, writer = await ask(world, f"{way} HTTP/1.1{more}")
        if more:
            writer.write(b"10000\r\n" + bytes(BLOCK))
        else:
            await reader.readuntil(b"\r\n\r\n")
        await until(lambda: world.listener._throughput._running == 1)
        writer.transport.pause_reading()
        await asyncio.sleep(0.1)  # it waits for the network
        writer.transport.abort()
        await until(lambda: world.listener._throughput._running == 0)
        await until(lambda: not world.listener.connections)
    assert world.answers == {200: 1, 204: 1}


async def test_a_transfer_nobody_reads_holds_little_memory(world):
    reader, writer = await ask(world, "GET /v1/throughput?bytes=10485760 HTTP/1.1")
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.pause_reading()
    await asyncio.sleep(0.1)
    (connection,) = world.listener._server.connections
    assert connection.transport.get_write_buffer_size() <= 4 * BLOCK
    writer.transport.abort()


async def test_a_transfer_past_its_time_is_ended(world):
    world.listener._throughput._seconds = 0.2
    _, writer = await ask(world, "GET /v1/throughput?bytes=10485760 HTTP/1.1")
    writer.transport.pause_reading()
    posting, sender = await ask(world, "POST /v1/throughput HTTP/1.1\r\nContent-Length: 1000", world.context("so-b"))
    assert (await posting.readline()).startswith(b"HTTP/1.1 408 ")
    await until(lambda: not world.listener._throughput._running)
    writer.transport.abort()
    sender.close()


async def test_who_may_not_push_may_not_measure(world):
    look, other = world.look(), world.look("so-tc")

    async def reason(look: ProbeContext, way: str = "down") -> str:
        outcome = await probe(way=way).run(look)
        assert (outcome.state, outcome.skipped, outcome.measures) == (UNKNOWN, False, {})
        return outcome.reason.removeprefix("the collector refuses to be measured with: ")

    world.known = False
    assert await reason(look) == "'unknown'"
    world.known = True
    await world.registry.revoke("so-ttt", "an", "stolen")
    assert [await reason(look, way) for way in ("down", "up", "both")] == ["'revoked'"] * 3
    world.wall += 91 * DAY * 1000
    assert await reason(other) == "'expired'"
    stranger = tls_context([world.authority.pem], None)
    look.hub = Hub(world.url, lambda: stranger, SERVER_NAME)
    assert await reason(look, "up") == "'a client certificate of this collector is needed'"
    assert world.answers == {403: 5, 401: 1}


async def test_a_hub_of_another_authority_is_not_measured_to(world):
    other = pki.CertificateAuthority.create(world.wall)
    outcome = await probe().run(world.look(authority=other))
    assert outcome.state == DOWN
    assert "unknown issuer" in outcome.reason
    assert world.answers == {}


async def test_an_identity_that_cannot_be_used_says_so(world):
    def missing() -> ssl.SSLContext:
        return tls_context([world.authority.pem], world.directory / "nothing.pem")

    look = world.look()
    look.hub = Hub(world.url, missing, SERVER_NAME)
    outcome = await probe().run(look)
    assert outcome.state == UNKNOWN
    assert outcome.reason == "this agent's certificate cannot be used: No such file or directory"
    look.hub = Hub("http://127.0.0.1:1", missing, SERVER_NAME)
    assert "does not begin with https://" in (await probe().run(look)).reason


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /v1/throughput HTTP/1.1", 400),
        ("GET /v1/throughput?bytes=0 HTTP/1.1", 400),
        ("GET /v1/throughput?bytes=-5 HTTP/1.1", 400),
        ("GET /v1/throughput?bytes=1e9 HTTP/1.1", 400),
        ("GET /v1/throughput?bytes=%D9%A3 HTTP/1.1", 400),
        ("GET /v1/throughput?bytes=10485761 HTTP/1.1", 413),
        ("POST /v1/throughput HTTP/1.1\r\nContent-Length: 10485761", 413),
        ("PUT /v1/throughput HTTP/1.1", 405),
    ],
)
async def test_requests_that_are_none_cost_nothing(world, request_line, status):
    reader, writer = await ask(world, request_line)
    assert (await reader.readline()).startswith(f"HTTP/1.1 {status} ".encode())
    writer.close()
    assert not world.listener._throughput._running
    assert not any(world.listener._throughput._transfers.values())


async def test_a_body_without_a_length_is_cut_at_the_limit(world):
    reader, writer = await ask(world, "POST /v1/throughput HTTP/1.1\r\nTransfer-Encoding: chunked")
    piece = b"10000\r\n" + bytes(BLOCK) + b"\r\n"
    for _ in range(wire.MAX_THROUGHPUT // BLOCK):
        writer.write(piece)
        await writer.drain()
    writer.write(piece)
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()


@pytest.mark.parametrize("more", [{"upload_url": "http://a.example/"}, {"verify": False}, {"authority": "/x.pem"}])
def test_parameters_that_the_hub_leaves_no_room_for(more):
    with pytest.raises(ValueError, match="are not for url: hub"):
        Probe(url="hub", **more)


async def test_the_schedule_gives_each_look_the_hub(world):
    taken: list[Any] = []
    hub = world.hub()
    scheduler = Scheduler(
        clock=SystemClock(), build=probes.build, on_result=lambda result, _: taken.append(result), hub=lambda: hub
    )
    params = {"url": "hub", "hours": ["00:00-24:00"], "at_start": True, "max_bytes": MB}
    check = PlannedCheck(
        uid="01" * 8,
        name="rate",
        kind="throughput",
        params=params,
        interval=1_000,
        timeout=5_000,
        hold=60_000,
        recheck=1_000,
    )
    scheduler.apply_plan(Plan(agent="so-ttt", agency="so", site="a", checks=(check,)))
    await until(lambda: bool(taken))
    await scheduler.stop()
    assert (taken[0].state, taken[0].reason) == (UP, "")


def test_the_hub_is_the_plans_authority_or_else_where_the_agent_enrolled(tmp_path):
    identity = Identity(
        agent="so-ttt", url="https://first:8443/", key="", certificate="", authority="", issued=0, expires=1
    )
    two = (
        CollectorAddress(name="standby", url="https://standby:8443"),
        CollectorAddress(name="main", url="https://main:8443/", authority=True),
    )
    plan = Plan(agent="so-ttt", agency="so", site="a", collectors=two)
    assert hub_of(plan, identity, tmp_path).url == "https://main:8443"
    assert hub_of(Plan(agent="so-ttt", agency="so", site="a"), identity, tmp_path).url == "https://first:8443"
