"""A minimal collector for the agent's tests: real TLS and HTTP, the chain's rule, no store; misbehaves on request."""

import asyncio
import datetime
import json
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.uplink.identity import Identity
from inventory.protocol import wire
from inventory.protocol.plan import Plan, digest_of
from inventory.protocol.wire import Ack, Batch, Position, Push


class FakeAuthority:
    """A private CA, as a collector has."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test CA {secrets.token_hex(4)}")])
        self.certificate = self._build(name, name, self.key.public_key(), x509.BasicConstraints(True, 0), None, 3650)
        self.pem = _pem(self.certificate)

    def _build(
        self, subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, constraint: x509.BasicConstraints,
        alternative: str | None, days: float, begins: datetime.datetime | None = None,
    ) -> x509.Certificate:  # fmt: skip
        begins = begins or datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        builder = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
            .serial_number(x509.random_serial_number()).not_valid_before(begins)
            .not_valid_after(begins + datetime.timedelta(days=days)).add_extension(constraint, critical=True)
        )  # fmt: skip
        if alternative:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(alternative)]), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    @staticmethod
    @cache
    def sample() -> "FakeAuthority":
        """One for all who need no more than any authority."""
        return FakeAuthority()

    def issue(self, name: str, alternative: str | None = None, begins: datetime.datetime | None = None) -> str:
        """Key and certificate in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraint = x509.BasicConstraints(False, None)
        certificate = self._build(
            subject, self.certificate.subject, key.public_key(), constraint, alternative, 90, begins
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return private.decode() + _pem(certificate)

    def sign(self, request: str, agent: str) -> str:
        """A certificate for the key of a request."""
        key = x509.load_pem_x509_csr(request.encode()).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, agent)])
        return _pem(self._build(subject, self.certificate.subject, key, x509.BasicConstraints(False, None), None, 90))

    def identity(self, url: str, agent: str = "site-1") -> Identity:
        key, certificate = self.issue(agent).split("-----BEGIN CERTIFICATE-----")
        now = int(time.time() * 1000)
        return Identity(
            agent=agent, url=url, key=key, certificate="-----BEGIN CERTIFICATE-----" + certificate, authority=self.pem,
            issued=now, expires=now + 90 * 86_400_000,
        )  # fmt: skip


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


PushHandler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse | None]]


class FakeCollector:
    """A collector of few words: keeps the chain's rule, remembers what it took, misbehaves on request."""

    def __init__(self, authority: FakeAuthority) -> None:
        self.authority = authority
        self.client_authority = authority.pem
        self.watermark: Position | None = None
        self.incarnation = "one"
        self.accepted: list[Batch] = []
        self.pushes: list[Push] = []
        self.bodies: list[bytes] = []  # of these pushes
        self.versions: tuple[int, ...] = wire.VERSIONS  # of the wire, that it takes
        self.connections = 0
        self.peers: list[str] = []
        self.handlers: list[PushHandler] = []  # each answers one push, or None: as usual
        self.override: Callable[[Push], Ack | None] = lambda push: None
        self.plan = Plan(agent="site-1", agency="a", site="s").encode()
        self.plan_signature = ""  # as its header; "": it signs nothing
        self.enrol_page = ""
        self.acks_name_plan = False  # in its acks
        self.plan_requests = 0
        self.revoked = False
        self.renewals: list[str] = []
        self.port = 0
        self._server: Any = None
        self._http: Any = None

    async def open(self, tmp_path: Path, server: str = "", port: int = 0) -> "FakeCollector":
        pem = tmp_path / f"server-{id(self)}.pem"
        pem.write_text(server or self.authority.issue("collector", "haidang-collector"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        context.load_verify_locations(cadata=self.client_authority)
        context.verify_mode = ssl.CERT_OPTIONAL
        self._http = web.Server(self._answer, access_log=None)
        collector = self

        def protocol() -> asyncio.Protocol:
            collector.connections += 1
            connection: asyncio.Protocol = collector._http()
            return connection

        self._server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._http.shutdown(0.1)
            self._server = None

    def results(self) -> list[tuple[int, int]]:
        """(check, at) of every result taken."""
        results = []
        for batch in self.accepted:
            at = iter(batch.at)
            for place, count in zip(batch.places(), batch.counts, strict=True):
                moment = batch.base
                for _ in range(count):
                    moment += next(at)
                    results.append((place, moment))
        return results

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        peer_certificate = request.transport.get_extra_info("peercert") or {}
        self.peers += [
            value for part in peer_certificate.get("subject", ()) for key, value in part if key == "commonName"
        ]
        if request.path == "/v1/enroll" and request.method == "GET":
            return web.Response(text=self.enrol_page)
        if self.revoked:
            return web.Response(status=403, body=b'{"error":"revoked"}', content_type="application/json")
        if request.path == "/v1/plan":
            self.plan_requests += 1
            headers = {wire.SIGNATURE_HEADER: self.plan_signature} if self.plan_signature else {}
            if request.headers.get("If-None-Match") == f'"{digest_of(self.plan).hex()}"':
                return web.Response(status=304, headers=headers)
            return web.Response(body=self.plan, content_type="application/json", headers=headers)
        body = await request.read()
        if request.path == "/v1/renew":
            return self._renew(body)
        if self.handlers:
            response = await self.handlers.pop(0)(request)
            if response is not None:
                return response
        version = wire.version_of(request.content_type, wire.push_type)
        if version not in self.versions:
            problem = json.dumps({"error": f"a push is {wire.push_type(self.versions[-1])}"}).encode()
            return web.Response(status=400, body=problem, content_type="application/json", headers=self._headers())
        self.bodies.append(body)
        push = wire.decode_push(body)
        self.pushes.append(push)
        ack = self.override(push) or self.accept(push)
        return web.Response(
            body=wire.encode_ack(ack, version), content_type=wire.ack_type(version), headers=self._headers()
        )

    def _headers(self) -> dict[str, str]:
        """Who speaks only the first version of the wire does not know that there are others, and says nothing."""
        return {} if self.versions == (1,) else {wire.VERSIONS_HEADER: ", ".join(map(str, self.versions))}

    def _renew(self, body: bytes) -> web.Response:
        agent = self.peers[-1]
        self.renewals.append(agent)
        certificate = self.authority.sign(json.loads(body)["csr"], agent)
        answer = {"agent": agent, "certificate": certificate, "ca": self.authority.pem}
        return web.Response(body=json.dumps(answer).encode(), content_type="application/json")

    def accept(self, push: Push) -> Ack:
        batch = push.batch
        if batch is None:
            return self.ack("none")
        if batch.previous == self.watermark:
            self.watermark = Position(batch.epoch, batch.last)
            self.accepted.append(batch)
            return self.ack("taken")
        mine = self.watermark
        if mine is not None and batch.epoch == mine.epoch and batch.last <= mine.seq:
            return self.ack("repeat")
        return self.ack("reposition")

    def ack(self, verdict: str, **more: Any) -> Ack:
        now = int(time.time() * 1000)
        plan = digest_of(self.plan) if self.acks_name_plan else None
        return Ack(
            incarnation=self.incarnation,
            verdict=verdict,
            received_ms=now - 3,
            sent_ms=now,
            watermark=self.watermark,
            plan=plan,
            **more,
        )
