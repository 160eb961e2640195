"""The agents' listener against everything that may come in over the network, with real TLS on loopback."""

import asyncio
import base64
import io
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from collector.ingest.limits import PushError
from collector.keys import files as keys_files
from collector.keys import pki
from collector.keys.plan_signatures import PlanVerifier
from collector.store.errors import StoreError
from collector.store.opening import open_store
from collector.store.registry import Registry
from collector.store.revocations import Revocations
from collector.web import client_certificates
from collector.web.agents import AgentsListener
from inventory.base.trust import NO_CHECK_TIME
from inventory.protocol import wire
from inventory.protocol.authority import SERVER_NAME
from inventory.protocol.machine import HEADER, SendingMachine, machine_text, read_machine

NOW = 1_790_000_000_000
DAY = 86_400_000


class Machine:
    """An agent's machine: a key, a request, a TLS context that trusts one CA."""

    def __init__(self, directory: Path, name: str = "x") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.directory = directory / name
        self.directory.mkdir()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(self.key, hashes.SHA256())
        self.csr = csr.public_bytes(serialization.Encoding.PEM).decode()
        plain = serialization.NoEncryption()
        pem = self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        (self.directory / "key").write_bytes(pem)

    def context(self, authority: pki.CertificateAuthority, certificate: str | None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=authority.pem)
        context.verify_flags |= NO_CHECK_TIME
        if certificate is not None:
            (self.directory / "cert").write_text(certificate)
            context.load_cert_chain(self.directory / "cert", self.directory / "key")
        return context


class Collector:
    """Everything behind a running listener; ``pushed`` is what came through, ``now`` its clock."""

    def __init__(self, tmp_path: Path, **settings: Any) -> None:
        self.tmp_path = tmp_path
        self.settings = settings  # of the listener
        self.now = NOW
        self.pushed: list[tuple[str, bytes]] = []
        self.plans = {"so-ttt": ("00112233aabbccdd", b'{"agent":"so-ttt"}')}
        self.refuse: PushError | None = None
        self.uploads: list[int] = []

    async def __aenter__(self) -> "Collector":
        self.authority = keys_files.authority(self.tmp_path / "pki", self.now)
        self.store = open_store(self.tmp_path / "collector.db")
        self.revocations = Revocations(self.tmp_path / "revoked.jsonl")
        self.registry = Registry(self.store, self.authority, self.revocations, wall=lambda: self.now)
        self.listener = AgentsListener(
            self.registry, self, self.push, wall=lambda: self.now, may_push=lambda agent: agent in self.plans,
            **{"stranger_time": 0.6, **self.settings},
        )  # fmt: skip
        files = keys_files.server(self.tmp_path / "pki", self.authority, (), self.now)
        await self.listener.start("127.0.0.1", 0, client_certificates.tls_context(self.authority.pem, *files))
        self.url = f"https://127.0.0.1:{self.listener.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.listener.stop(0.2)
        await self.store.close()

    def plan(self, agent: str) -> tuple[str, bytes] | None:
        return self.plans.get(agent)

    async def push(self, agent: str, body: bytes, uploading: int) -> wire.Ack:
        if self.refuse is not None:
            raise self.refuse
        self.pushed.append((agent, body))
        self.uploads.append(uploading)
        return wire.Ack(incarnation="i", verdict="none", received_ms=1, sent_ms=2)

    def certificate(self, machine: Machine, agent: str = "so-ttt", days: float = 90) -> str:
        return self.authority.sign_agent(machine.csr, agent, pki.new_serial(self.now), self.now, days).pem

    def session(self, machine: Machine, certificate: str | None) -> aiohttp.ClientSession:
        context = machine.context(self.authority, certificate)
        connector = aiohttp.TCPConnector(ssl=context)
        return aiohttp.ClientSession(self.url, connector=connector, auto_decompress=False)


@pytest.fixture
async def collector(tmp_path):
    async with Collector(tmp_path) as running:
        yield running


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def signed_by(collector: Collector, response: aiohttp.ClientResponse, agent: str = "so-ttt") -> bool:
    """Whether the answer brings the signature of this agent's plan."""
    signature = base64.b64decode(response.headers[wire.SIGNATURE_HEADER], validate=True)
    verifier = PlanVerifier([collector.authority.pem])
    assert not verifier.verify("so-tc", collector.plans[agent][1], signature)
    return verifier.verify(agent, collector.plans[agent][1], signature)


def named(**more: object) -> dict:
    return {"server_hostname": SERVER_NAME, **more}


async def push(session: aiohttp.ClientSession, body: bytes = b"a push", kind: str = wire.PUSH_TYPE, **more) -> tuple:
    data = io.BytesIO(body)
    async with session.post("/v1/push", data=data, headers={"Content-Type": kind}, **named(**more)) as response:
        return response.status, await response.read()


def error(answer: tuple) -> str:
    return msgspec.json.decode(answer[1])["error"]


async def test_a_push_arrives_under_the_certificates_name_and_is_acknowledged(collector, machine):
    async with collector.session(machine, collector.certificate(machine)) as session:
        status, body = await push(session)
        assert status == 200
        assert wire.decode_ack(body).verdict == "none"
        # another agent's name in the request counts for nothing
        await push(session, b"again")
        async with session.post(
            "/v1/push?agent=so-tc",
            data=b"third",
            headers={"Content-Type": wire.PUSH_TYPE, "X-Agent": "so-tc"},
            **named(),
        ) as response:
            assert response.status == 200
    assert collector.pushed == [("so-ttt", b"a push"), ("so-ttt", b"again"), ("so-ttt", b"third")]
    assert collector.listener.requests["push", 200] == 3


async def test_enrol_fetch_the_plan_push(collector, machine):
    code = await collector.registry.make_code("so-ttt", "test")
    _, secret, _ = code.split("-")
    async with collector.session(machine, None) as stranger:
        async with stranger.get("/v1/enroll", **named()) as response:
            assert await response.text() == collector.authority.pem
        async with stranger.post("/v1/enroll", json={"secret": secret, "csr": machine.csr}, **named()) as response:
            answer = await response.json()
            assert (response.status, answer["agent"], answer["ca"]) == (200, "so-ttt", collector.authority.pem)
    async with collector.session(machine, answer["certificate"]) as session:
        async with session.get("/v1/plan", **named()) as response:
            assert await response.read() == b'{"agent":"so-ttt"}'
            assert response.headers["ETag"] == '"00112233aabbccdd"'
            assert signed_by(collector, response)
        for etag in ('"00112233aabbccdd"', 'W/"00112233aabbccdd"', '"ff", "00112233aabbccdd"'):
            async with session.get("/v1/plan", headers={"If-None-Match": etag}, **named()) as response:
                assert response.status == 304
                assert signed_by(collector, response)  # the agent may have it of a program that kept no signature
        async with session.get("/v1/plan", headers={"If-None-Match": '"ffff"'}, **named()) as response:
            assert response.status == 200
        assert (await push(session))[0] == 200
        collector.plans.clear()
        async with session.get("/v1/plan", **named()) as response:
            assert response.status == 404


async def test_without_a_certificate_nothing_but_enrolling(collector, machine):
    async with collector.session(machine, None) as session:
        assert (await push(session))[0] == 401
        for method, path in [("GET", "/v1/plan"), ("POST", "/v1/renew")]:
            async with session.request(method, path, **named()) as response:
                assert response.status == 401
        for path in ("/", "/metrics", "/v1/push/", "/v1", "/api/v1/checks", "/v1/../v1/plan%00"):
            async with session.get(path, **named()) as response:
                assert response.status == 404
        async with session.get("/v1/push", **named()) as response:
            assert response.status == 405
    assert collector.pushed == []


async def test_a_certificate_of_another_authority_ends_at_the_handshake(collector, machine):
    other = pki.CertificateAuthority.create(NOW)
    foreign = other.sign_agent(machine.csr, "so-ttt", 5, NOW, 90).pem
    async with collector.session(machine, foreign) as session:
        with pytest.raises(aiohttp.ClientError):
            await push(session)
    assert collector.pushed == []


async def test_the_collectors_own_server_certificate_is_no_agents(collector, machine):
    pem = (collector.tmp_path / "pki" / "server.pem").read_text()
    (machine.directory / "key").write_bytes((collector.tmp_path / "pki" / "server.key").read_bytes())
    async with collector.session(machine, pem) as session:
        with pytest.raises(aiohttp.ClientError):
            await push(session)
    assert collector.pushed == []


async def test_an_expired_certificate_may_renew_and_nothing_else(collector, machine):
    old = collector.certificate(machine, days=90)
    collector.now += 91 * DAY
    async with collector.session(machine, old) as session:
        answer = await push(session)
        assert (answer[0], error(answer)) == (403, "expired")
        async with session.get("/v1/plan", **named()) as response:
            assert response.status == 403
        async with session.post("/v1/renew", json={"csr": machine.csr}, **named()) as response:
            assert response.status == 200
            renewed = await response.json()
    assert renewed["agent"] == "so-ttt"
    async with collector.session(machine, renewed["certificate"]) as session:
        assert (await push(session))[0] == 200


async def test_an_agent_that_the_inventory_no_longer_has_may_neither_push_nor_renew(collector, machine):
    async with collector.session(machine, collector.certificate(machine)) as session:
        assert (await push(session))[0] == 200
        del collector.plans["so-ttt"]
        answer = await push(session)
        assert (answer[0], error(answer)) == (403, "unknown")
        async with session.post("/v1/renew", json={"csr": machine.csr}, **named()) as response:
            assert (response.status, await response.json()) == (403, {"error": "unknown"})
    assert len(collector.pushed) == 1


async def test_a_connection_outlives_its_certificate_but_its_requests_do_not(collector, machine):
    async with collector.session(machine, collector.certificate(machine, days=1)) as session:
        assert (await push(session))[0] == 200
        collector.now += 2 * DAY
        assert error(await push(session)) == "expired"


async def test_a_collectors_clock_of_1970_locks_nobody_out(collector, machine):
    certificate = collector.certificate(machine)
    collector.now = 12_000
    async with collector.session(machine, certificate) as session:
        assert (await push(session))[0] == 200


async def test_a_revocation_counts_at_once_on_a_kept_connection_and_survives_a_restored_store(collector, machine):
    async with collector.session(machine, collector.certificate(machine)) as session:
        assert (await push(session))[0] == 200
        # from another process: its own database connection, its own idea of the file
        beside = open_store(collector.tmp_path / "collector.db")
        elsewhere = Revocations(collector.tmp_path / "revoked.jsonl")
        await Registry(beside, collector.authority, elsewhere, wall=lambda: NOW).revoke("so-ttt", "an", "stolen")
        await beside.close()
        answer = await push(session)
        assert (answer[0], error(answer)) == (403, "revoked")
        async with session.post("/v1/renew", json={"csr": machine.csr}, **named()) as response:
            assert response.status == 403
    # the store of yesterday, which knows nothing of it
    restored = open_store(collector.tmp_path / "yesterday.db")
    registry = Registry(
        restored, collector.authority, Revocations(collector.tmp_path / "revoked.jsonl"), wall=lambda: 0
    )
    await registry.load()
    assert registry.revocations.is_revoked("so-ttt", pki.new_serial(NOW))
    await restored.close()
    # a machine set up anew gets in again, even when the clock has gone back since
    collector.now -= DAY
    _, secret, _ = (await collector.registry.make_code("so-ttt", "an")).split("-")
    _, issued = await collector.registry.enrol(secret, machine.csr)
    async with collector.session(machine, issued.pem) as session:
        assert (await push(session))[0] == 200


async def test_an_agent_revoked_in_the_inventory_is_out_whatever_its_certificate(collector, machine):
    collector.revocations.inventory = {"so-ttt"}
    async with collector.session(machine, collector.certificate(machine)) as session:
        assert error(await push(session)) == "revoked"
    _, secret, _ = (await collector.registry.make_code("so-ttt", "an")).split("-")
    async with (
        collector.session(machine, None) as stranger,
        stranger.post("/v1/enroll", json={"secret": secret, "csr": machine.csr}, **named()) as response,
    ):
        assert (response.status, await response.json()) == (403, {"error": "revoked"})


async def test_bodies_that_are_too_big_or_not_what_they_say(collector, machine):
    async with collector.session(machine, collector.certificate(machine)) as session:
        assert (await push(session, b"x" * wire.MAX_BODY))[0] == 200
        assert (await push(session, b"x" * (wire.MAX_BODY + 1)))[0] == 413

        async def endless():
            for _ in range(40):
                yield b"y" * 65536

        async with session.post(
            "/v1/push", data=endless(), headers={"Content-Type": wire.PUSH_TYPE}, **named()
        ) as response:
            assert response.status == 413
        assert (await push(session, kind="application/json"))[0] == 400
        async with session.post(
            "/v1/push", data=b"x", headers={"Content-Type": wire.PUSH_TYPE, "Content-Encoding": "gzip"}, **named()
        ) as response:
            assert response.status == 400
        collector.refuse = PushError(400, "not a push: truncated")
        assert error(await push(session)) == "not a push: truncated"
        collector.refuse.status = 503
        async with session.post("/v1/push", data=b"x", headers={"Content-Type": wire.PUSH_TYPE}, **named()) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "5")
    assert [len(body) for _, body in collector.pushed] == [wire.MAX_BODY]


async def test_enrolment_requests_that_are_none(collector, machine):
    async with collector.session(machine, None) as session:
        for body in (b"", b"{", b"[]", b'{"secret":1,"csr":2}', b"\xff\xfe", b"[" * 30_000, b'{"secret":"a"}'):
            async with session.post("/v1/enroll", data=body, **named()) as response:
                assert response.status == 400, body[:20]
                assert "error" in await response.json()
        async with session.post("/v1/enroll", data=b"x" * 40_000, **named()) as response:
            assert response.status == 413
        async with session.post("/v1/enroll", json={"secret": "a", "csr": "b"}, **named()) as response:
            assert response.status == 400


async def raw(collector: Collector, machine: Machine, certificate: str | None):
    context = machine.context(collector.authority, certificate)
    return await asyncio.open_connection("127.0.0.1", collector.listener.port, ssl=context, server_hostname=SERVER_NAME)


async def test_garbage_instead_of_http_is_a_400_and_hurts_nobody(collector, machine):
    for garbage in (
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/push HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/push HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /v1/plan HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
        b"GET /v1/plan HTTP/1.1\r\n" + b"\x00\x01: \xff\r\n\r\n",
    ):
        reader, writer = await raw(collector, machine, None)
        writer.write(garbage)
        status = await asyncio.wait_for(reader.readline(), 5)
        assert b" 400 " in status, garbage[:40]
        rest = await asyncio.wait_for(reader.read(), 5)
        assert b"Server: haidang\r" in rest and b"aiohttp" not in rest and b"Python" not in rest
        writer.close()
    # not even TLS
    reader, writer = await asyncio.open_connection("127.0.0.1", collector.listener.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert b"HTTP" not in await asyncio.wait_for(reader.read(), 5)
    writer.close()
    async with collector.session(machine, collector.certificate(machine)) as session:
        assert (await push(session))[0] == 200


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"POST /v1/enroll HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        b"POST /v1/enroll HTTP/1.1\r\nContent-Length: 50\r\n\r\n{",
    ],
    ids=["silent", "in its head", "in its body"],
)
async def test_a_stranger_that_dawdles_is_cut_off(collector, machine, beginning):
    reader, writer = await raw(collector, machine, None)
    writer.write(beginning)

    async def dribble() -> None:
        while beginning:
            await asyncio.sleep(0.1)
            writer.write(b"x")

    dribbling = asyncio.create_task(dribble())
    try:
        rest = await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        rest = b""
    finally:
        dribbling.cancel()
        writer.close()
    assert b" 200 " not in rest
    async with collector.session(machine, collector.certificate(machine)) as session:
        assert (await push(session))[0] == 200


async def test_a_known_agent_keeps_its_connection(collector, machine):
    async with collector.session(machine, collector.certificate(machine)) as session:
        await push(session)
        await asyncio.sleep(1.2)  # twice a stranger's time
        await push(session)
        assert collector.listener.connections == 1


def test_keys_are_private_kept_and_never_made_anew_over_something(tmp_path):
    first = keys_files.authority(tmp_path / "pki", NOW)
    assert (tmp_path / "pki" / "ca.key").stat().st_mode & 0o777 == 0o600
    assert keys_files.authority(tmp_path / "pki", NOW + 1).fingerprint == first.fingerprint
    certificate, key = keys_files.server(tmp_path / "pki", first, ("a.example",), NOW)
    before = certificate.read_bytes()
    assert key.stat().st_mode & 0o777 == 0o600
    keys_files.server(tmp_path / "pki", first, ("a.example",), NOW + DAY)
    assert certificate.read_bytes() == before
    keys_files.server(tmp_path / "pki", first, ("b.example",), NOW + DAY)
    assert pki.names_of(certificate.read_bytes()) == {SERVER_NAME, "b.example"}
    keys_files.server(tmp_path / "pki", first, ("b.example",), NOW + 200 * DAY)
    assert pki.not_after(certificate.read_bytes()) == NOW + (200 + pki.SERVER_DAYS) * DAY
    (tmp_path / "pki" / "ca.key").unlink()
    with pytest.raises(keys_files.KeysBroken, match="enrol every agent again"):
        keys_files.authority(tmp_path / "pki", NOW)


async def test_the_time_a_push_took_to_upload_is_told(collector, machine):
    """A backlog over 64 kbit/s takes minutes to arrive: the clock's mapping rests on when it began to."""

    async def slowly():
        yield b"half "
        await asyncio.sleep(0.5)
        yield b"a push"

    async with collector.session(machine, collector.certificate(machine)) as session:
        headers = {"Content-Type": wire.PUSH_TYPE}
        async with session.post("/v1/push", data=slowly(), headers=headers, **named()) as answer:
            assert answer.status == 200
        await push(session)
    assert collector.uploads[0] >= 200 > collector.uploads[1]


# -- identities


async def enrolled(collector, machine) -> str:
    _, secret, _ = (await collector.registry.make_code("so-ttt", "an")).split("-")
    return (await collector.registry.enrol(secret, machine.csr))[1].pem


async def status_of(session: aiohttp.ClientSession, method: str, path: str, **more) -> tuple:
    async with session.request(method, path, **named(**more)) as response:
        return response.status, await response.read()


async def test_the_machine_that_was_replaced_is_out_once_the_new_one_is_in_use(collector, machine, tmp_path):
    old = await enrolled(collector, machine)
    newer = Machine(tmp_path, "newer")
    async with collector.session(machine, old) as session:
        assert (await push(session))[0] == 200
        collector.now += DAY
        new = await enrolled(collector, newer)
        assert (await push(session))[0] == 200  # the answer with the new one may have been lost
        async with collector.session(newer, new) as replacement:
            assert (await status_of(replacement, "GET", "/v1/plan"))[0] == 200
        refused = [
            await push(session),
            await status_of(session, "GET", "/v1/plan"),
            await status_of(session, "POST", "/v1/renew", json={"csr": machine.csr}),
            await status_of(session, "GET", "/v1/throughput"),
        ]
        assert [(answer[0], error(answer)) for answer in refused] == [(403, "replaced")] * 4
    told = [what for _, _, what, _ in await collector.store.read(lambda tx: tx.audit.all())]
    assert told.count("replaced") == 1


async def test_sixty_renewals_in_a_row_are_four(collector, machine):
    async with collector.session(machine, await enrolled(collector, machine)) as session:
        answers = [await status_of(session, "POST", "/v1/renew", json={"csr": machine.csr}) for _ in range(60)]
    assert [status for status, _ in answers] == [200] * 4 + [429] * 56
    assert error(answers[-1]) == "too many renewals"


async def test_a_certificate_that_ended_long_ago_needs_a_new_code(collector, machine):
    certificate = await enrolled(collector, machine)
    collector.now += 410 * DAY
    async with collector.session(machine, certificate) as session:
        answer = await status_of(session, "POST", "/v1/renew", json={"csr": machine.csr})
    assert (answer[0], error(answer)) == (403, "a new code is needed")


async def test_who_guesses_codes_has_to_wait(collector, machine):
    secret = (await collector.registry.make_code("so-ttt", "an")).split("-")[1]
    async with collector.session(machine, None) as stranger:
        guesses = [
            await status_of(stranger, "POST", "/v1/enroll", json={"secret": f"{n:016d}", "csr": machine.csr})
            for n in range(12)
        ]
        right = await status_of(stranger, "POST", "/v1/enroll", json={"secret": secret, "csr": machine.csr})
    assert [status for status, _ in guesses] == [403] * 10 + [429] * 2
    assert (right[0], error(right)) == (429, "too many attempts")


# -- two machines with one identity


def says(start: str, boot: str = "b" * 16, name: str = "pc") -> dict:
    return {HEADER: machine_text(SendingMachine(boot, start * 8, name)), "Content-Type": wire.PUSH_TYPE}


async def push_as(session: aiohttp.ClientSession, headers: dict) -> tuple:
    return await status_of(session, "POST", "/v1/push", data=b"a push", headers=headers)


async def findings(collector) -> list:
    events = await collector.store.read(lambda tx: tx.events.newest())
    return [event.data["machines"] for event in events if event.kind == "two machines"]


async def test_two_machines_with_one_identity_are_named_and_the_one_that_a_person_keeps_goes_on(collector, machine):
    """A copied disk: the same key and certificate twice."""
    certificate = await enrolled(collector, machine)
    one, two = says("a1", "1" * 16, "pc-một"), says("b2", "2" * 16, "pc-hai")
    async with collector.session(machine, certificate) as first, collector.session(machine, certificate) as second:
        for _ in range(2):
            assert (await push_as(first, one))[0] == 200
            assert (await push_as(second, two))[0] == 200
        collector.now += 60_000
        assert (await push_as(first, one))[0] == 200
        [machines] = await findings(collector)
        assert {(found["name"], found["boot"], found["address"]) for found in machines} == {
            ("pc-một", "1" * 16, "127.0.0.1"), ("pc-hai", "2" * 16, "127.0.0.1"),
        }  # fmt: skip
        # by another process, as the command does
        beside = Registry(collector.store, collector.authority, collector.revocations, wall=lambda: collector.now)
        seen = await beside.machines("so-ttt")
        kept = next(found for found in seen if found.name == "pc-hai")
        await beside.keep("so-ttt", kept, [found for found in seen if found is not kept], "an")
        answer = await push_as(first, one)
        assert (answer[0], error(answer)) == (403, "replaced")
        answer = await status_of(first, "POST", "/v1/renew", json={"csr": machine.csr}, headers={HEADER: one[HEADER]})
        assert (answer[0], error(answer)) == (403, "replaced")
        answer = await push_as(second, two)
        assert (answer[0], error(answer)) == (403, "expired"), "so that it renews by itself"
        answer = await status_of(second, "POST", "/v1/renew", json={"csr": machine.csr}, headers={HEADER: two[HEADER]})
        assert answer[0] == 200
        renewed = msgspec.json.decode(answer[1])["certificate"]
        async with collector.session(machine, renewed) as own:
            assert (await push_as(own, two))[0] == 200
            collector.now += 3_600_000
            assert (await push_as(own, says("c3", "3" * 16)))[0] == 200, "after a reboot as well"
        for session, headers in ((first, one), (second, two)):
            answer = await push_as(session, headers)
            assert (answer[0], error(answer)) == (403, "replaced")
    assert await collector.store.read(lambda tx: tx.kept_machines.all()) == []


async def test_one_machine_that_restarts_reboots_and_renews_is_one(collector, machine):
    certificate = await enrolled(collector, machine)
    for boot in "123":
        for start in "abc":
            async with (
                collector.session(machine, certificate) as session,
                collector.session(machine, certificate) as other,
            ):
                for _ in range(3):  # by two connections of one pool
                    assert (await push_as(session, says(boot + start, boot * 16)))[0] == 200
                    assert (await push_as(other, says(boot + start, boot * 16)))[0] == 200
        collector.now += DAY
        async with collector.session(machine, certificate) as session:
            answer = await status_of(session, "POST", "/v1/renew", json={"csr": machine.csr})
            certificate = msgspec.json.decode(answer[1])["certificate"]
    assert await findings(collector) == []


@pytest.mark.parametrize("said", ["", "x", "\t" * 50, "a" * 5_000, f"{'a' * 16} {'b' * 16} %00%1B%0A{'%E2%80%AE' * 9}"])
async def test_what_a_machine_says_of_itself_may_be_anything(collector, machine, said):
    async with collector.session(machine, await enrolled(collector, machine)) as session:
        assert (await push_as(session, {HEADER: said, "Content-Type": wire.PUSH_TYPE}))[0] == 200
    assert read_machine(said).name.isprintable()


@pytest.mark.parametrize("fault", [StoreError("database or disk is full"), OSError(28, "No space left on device")])
async def test_while_nothing_can_be_kept_it_says_come_again(collector, machine, monkeypatch, fault):
    code = await collector.registry.make_code("so-ttt", "an")
    certificate = collector.certificate(machine)

    async def full(work: object) -> None:
        raise fault

    body = {"secret": code.split("-")[1], "csr": machine.csr}
    with monkeypatch.context() as patched:
        patched.setattr(collector.store, "write", full)
        for shown, path, asked in ((None, "enroll", body), (certificate, "renew", {"csr": machine.csr})):
            async with (
                collector.session(machine, shown) as session,
                session.post(f"/v1/{path}", json=asked, **named()) as response,
            ):
                assert response.status == 503 and int(response.headers["Retry-After"]) > 0
                assert "try again" in (await response.json())["error"]
    async with (
        collector.session(machine, None) as session,
        session.post("/v1/enroll", json=body, **named()) as response,
    ):
        assert response.status == 200, "the code is as good as before"


@pytest.mark.parametrize("path", ["renew", "push"])
async def test_what_was_begun_before_a_revocation_is_refused_after_it(collector, machine, path):
    """Who has stolen an identity keeps the body of a renewal back until it is revoked."""
    certificate = collector.certificate(machine)
    begun, kind = asyncio.Event(), {"Content-Type": wire.PUSH_TYPE}

    async def body():
        text = msgspec.json.encode({"csr": machine.csr})
        yield text[:5]
        begun.set()
        await asyncio.sleep(0.2)
        yield text[5:]

    async with collector.session(machine, certificate) as session:
        asking = asyncio.create_task(session.post(f"/v1/{path}", data=body(), headers=kind, **named()).__aenter__())
        await begun.wait()
        await asyncio.sleep(0.05)
        await collector.registry.revoke("so-ttt", "an", "stolen")
        response = await asking
        assert (response.status, (await response.json())["error"]) == (403, "revoked")
        response.close()
    assert (await collector.registry.certificates()).get("so-ttt") is None, "nothing was issued"
    assert collector.pushed == []
