"""The agents' listener: enrol, renew, plan, push, throughput, over TLS against the collector's own CA; no more.

The agent's identity is its certificate's, whatever the request says. Revocation and dates are judged at every
request; an expired certificate may only renew. A peer that has not proven who it is gets little time and little
memory. Built on aiohttp's low-level server: a few paths need no router, and a push should cost its ingest.
"""

import asyncio
import base64
import logging
import math
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from collector.ingest.limits import RETRY_AFTER, PushError
from collector.keys import pki
from collector.store.errors import StoreError
from collector.store.registry import EnrolmentRefused, Registry, RenewalRefused
from collector.web.admission import Door, DoorLimits, agents_limits
from collector.web.attempts import FailedAttempts
from collector.web.client_certificates import Peer, Peers
from collector.web.machines import MachineWatch, Sender
from collector.web.throughput import ThroughputServer, TransferDenied
from inventory.base.http_listener import hide_versions
from inventory.protocol import machine
from inventory.protocol.wire import (
    MAX_BODY,
    PUSH_TYPE,
    SIGNATURE_HEADER,
    VERSIONS,
    VERSIONS_HEADER,
    Ack,
    ack_type,
    encode_ack,
    push_type,
    versions_text,
)

log = logging.getLogger(__name__)

PUSH_VERSIONS = {push_type(version): version for version in VERSIONS}  # by media type
VERSIONS_SPOKEN = versions_text()

KEEPALIVE = 600.0  # seconds; well above any push interval, a new TLS connection costs 13 x a kept one
STRANGER_TIME = 15.0  # seconds a connection without a certificate has, from its start to the end of its last request
REQUEST_TIME = 300.0  # seconds for a known agent's request, body included: 1 MiB at 64 kbit/s takes 131
AT_ONCE = 4_096  # bytes of a body that nobody has to be asked to wait for
MAX_JSON = 32_768  # bytes of an enrolment request
MAX_STRANGERS = 64  # requests without a certificate at once
MAX_UPLOADING = 2 << 20  # bytes of pushes of one agent that are in work at once


class PlanSource(Protocol):
    """Where plans come from."""

    def plan(self, agent: str) -> tuple[str, bytes] | None:
        """(digest in hex, canonical bytes) of the agent's plan, None when the inventory has no such agent."""


class PushHandler(Protocol):
    """What takes a push: answers, or raises collector.ingest.ingest.PushError. ``uploading``: ms its body took."""

    def __call__(self, agent: str, body: bytes, uploading: int) -> Awaitable[Ack]: ...


class _Enrol(msgspec.Struct, forbid_unknown_fields=True):
    secret: str
    csr: str


class _Renew(msgspec.Struct, forbid_unknown_fields=True):
    csr: str


T = TypeVar("T")
_Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class AgentsListener:
    """The agents' side of the collector. ``wall``: ms since the epoch; ``may_push``: whether an agent may."""

    def __init__(
        self,
        registry: Registry,
        plans: PlanSource,
        push: PushHandler,
        *,
        wall: Callable[[], int],
        may_push: Callable[[str], bool] = lambda agent: True,
        stranger_time: float = STRANGER_TIME,
        throughput: ThroughputServer | None = None,
        limits: DoorLimits | None = None,
        uploading: int = MAX_UPLOADING,
    ) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()  # (path's name, status)
        self._registry = registry
        self._plans = plans
        self._push = push
        self._wall = wall
        self._may_push = may_push
        self._stranger_time = stranger_time
        self._throughput = throughput or ThroughputServer()
        self._peers = Peers()
        self._plan_signatures: dict[str, tuple[str, str]] = {}  # by agent: the plan's digest, its signature
        self._machines = MachineWatch(registry, wall)
        self._failed_codes = FailedAttempts(time.monotonic)
        self._strangers = 0
        self._limits = limits or agents_limits(256, 32, 8, 128)
        self._most_uploading = uploading
        self._uploading: Counter[str] = Counter()  # bytes by agent
        self._routes: dict[tuple[str, str], tuple[str, _Handler]] = {
            ("POST", "/v1/push"): ("push", self._take_push),
            ("GET", "/v1/plan"): ("plan", self._send_plan),
            ("GET", "/v1/enroll"): ("authority", self._send_authority),
            ("POST", "/v1/enroll"): ("enroll", self._enrol),
            ("POST", "/v1/renew"): ("renew", self._renew),
            ("GET", "/v1/throughput"): ("throughput", self._transfer),
            ("POST", "/v1/throughput"): ("throughput", self._transfer),
        }
        self._methods = {path for _, path in self._routes}
        self._server: web.Server | None = None
        self._door: Door | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int, context: ssl.SSLContext) -> None:
        """Raises OSError when the port cannot be had."""
        hide_versions()
        self._server = web.Server(
            self._answer, access_log=None, keepalive_timeout=KEEPALIVE, auto_decompress=False, lingering_time=5.0
        )
        self._door = Door("agents", self._server, self._limits, self._known_agent)
        await self._door.listen(host, port, context)
        self._sweeper = asyncio.create_task(self._sweep(self._server))

    @property
    def port(self) -> int:
        assert self._door is not None
        port: int = self._door.sockets[0].getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        return len(self._server.connections) if self._server else 0

    @property
    def door(self) -> Door:
        """Who is let in; after start."""
        assert self._door is not None
        return self._door

    def _known_agent(self, transport: asyncio.BaseTransport) -> str | None:
        """Whose connection this is: an agent's that is not revoked."""
        peer = self._peers.of(transport)
        return None if peer is None or self._registry.revocations.is_revoked(peer.agent, peer.serial) else peer.agent

    async def stop(self, grace: float = 2.0) -> None:
        """Stop listening, let requests in hand end within ``grace`` seconds."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._door is not None:
            self._door.close()
            await self._door.wait_closed()
        if self._server is not None:
            self._server.pre_shutdown()
            await self._server.shutdown(grace)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response: web.StreamResponse
        route = self._routes.get((request.method, request.path))
        if route is None:
            path_exists = request.path in self._methods
            response = _problem(405, "not that way") if path_exists else _problem(404, "nothing is here")
            self.requests["other", response.status] += 1
            response.force_close()
            return response
        name, handle = route
        try:
            response = await handle(request)
        except _Refused as refused:
            response = refused.response
        except (TimeoutError, ConnectionError):
            response = _problem(408, "the request did not come in time")
            response.force_close()
        except (StoreError, OSError) as error:  # a full disk: who comes again is served then
            log.warning("%s of an agent cannot be answered: %s", name, error)
            response = _problem(503, "the collector cannot keep this now, try again")
            response.headers["Retry-After"] = str(math.ceil(RETRY_AFTER))
            response.force_close()
        if name == "push":
            response.headers[VERSIONS_HEADER] = VERSIONS_SPOKEN
        self.requests[name, response.status] += 1
        return response

    async def _agent(self, request: web.BaseRequest, *, expired: bool = False) -> Peer:
        """Whose request this is; ``expired``: an expired certificate will do. Raises _Refused."""
        peer = self._peers.of(request.transport)
        if peer is None:
            raise _Refused(401, "a client certificate of this collector is needed", close=True)
        if why := await self._registry.admit(peer.agent, peer.serial):
            raise _Refused(403, why)
        if peer.not_after <= self._wall() and not expired:
            raise _Refused(403, "expired")
        return peer

    async def _pusher(self, request: web.BaseRequest) -> Peer:
        """The same, and it may push. Raises _Refused."""
        peer = await self._agent(request)
        if not self._may_push(peer.agent):
            raise _Refused(403, "unknown")
        return peer

    async def _take_push(self, request: web.BaseRequest) -> web.Response:
        peer = await self._pusher(request)
        sender = _sender(peer, request)
        if why := await self._machines.judge(sender):
            raise _Refused(403, why)
        version = PUSH_VERSIONS.get(request.content_type)
        if version is None or request.headers.get("Content-Encoding"):
            raise _Refused(400, f"a push is {PUSH_TYPE} or of an older version, without a content encoding")
        begun = time.monotonic()
        size = 0

        def arrived(more: int) -> None:
            nonlocal size
            size += more
            self._uploading[peer.agent] += more
            if self._uploading[peer.agent] > self._most_uploading:
                raise _Refused(429, "this agent sends too much at once", close=True, retry_after=1)

        try:
            body = _body_at_once(request)
            if body is None:
                body = await _body(request, MAX_BODY, REQUEST_TIME, arrived)
                if why := self._registry.revocations.why_void(peer.agent, peer.serial):  # while it came
                    raise _Refused(403, why)
            ack = await self._push(peer.agent, body, int((time.monotonic() - begun) * 1000))
        except PushError as refused:
            answer = _problem(refused.status, refused.message)
            if after := refused.retry_after or (RETRY_AFTER if refused.status == 503 else 0.0):
                answer.headers["Retry-After"] = str(math.ceil(after))
            return answer
        finally:
            self._uploading[peer.agent] -= size
        await self._note_machine(sender, ack.verdict)
        return web.Response(body=encode_ack(ack, version), content_type=ack_type(version))

    async def _note_machine(self, sender: Sender, verdict: str) -> None:
        """What was taken stays taken, whatever comes of this."""
        try:
            await self._machines.note(sender, verdict)
        except StoreError as error:
            log.warning("agent %s: that several machines push as it could not be kept: %s", sender.agent, error)

    async def _transfer(self, request: web.BaseRequest) -> web.StreamResponse:
        peer = await self._pusher(request)
        transfer = self._throughput.send if request.method == "GET" else self._throughput.receive
        try:
            return await transfer(peer.agent, request)
        except TransferDenied as refused:
            answer = _problem(refused.status, refused.message)
            if refused.wait:
                answer.headers["Retry-After"] = str(refused.wait)
            answer.force_close()  # what it posts is not read
            return answer

    async def _send_plan(self, request: web.BaseRequest) -> web.Response:
        peer = await self._agent(request)
        plan = self._plans.plan(peer.agent)
        if plan is None:
            raise _Refused(404, "the inventory has no such agent")
        digest, encoded = plan
        signature = self._signature(peer.agent, digest, encoded)
        headers = {"ETag": f'"{digest}"', "Cache-Control": "private, no-cache", SIGNATURE_HEADER: signature}
        etags = request.headers.get("If-None-Match", "")
        if digest in (part.strip().removeprefix("W/").strip('"') for part in etags.split(",")):
            return web.Response(status=304, headers=headers)
        return web.Response(body=encoded, content_type="application/json", headers=headers)

    def _signature(self, agent: str, digest: str, encoded: bytes) -> str:
        """In base64, made once a plan; with 304 too, for the agent may have the plan of an older program or CA."""
        signed, signature = self._plan_signatures.get(agent, ("", ""))
        if signed != digest:
            signature = base64.b64encode(self._registry.authority.sign_plan(agent, encoded)).decode()
            self._plan_signatures[agent] = digest, signature
        return signature

    async def _send_authority(self, request: web.BaseRequest) -> web.Response:
        response = web.Response(text=self._registry.authority.pem, content_type="application/x-pem-file")
        response.force_close()  # the client comes back pinned to it
        return response

    async def _enrol(self, request: web.BaseRequest) -> web.Response:
        enrolment = await self._stranger_json(request, _Enrol)
        address = _address(request)
        if wait := self._failed_codes.wait(address):
            denial = _Refused(429, "too many attempts", close=True)
            denial.response.headers["Retry-After"] = str(wait)
            raise denial
        try:
            agent, issued = await self._registry.enrol(enrolment.secret, enrolment.csr)
        except EnrolmentRefused as refused:
            self._failed_codes.failed(address)
            raise _Refused(403, refused.code, close=True) from None
        except pki.RequestRefused as refused:
            raise _Refused(400, str(refused), close=True) from None
        log.info("enrolled agent=%s from %s", agent, address)
        return self._certificate(agent, issued)

    async def _renew(self, request: web.BaseRequest) -> web.Response:
        await self._agent(request, expired=True)
        renewal = _json(await _body(request, MAX_JSON, self._stranger_time), _Renew)
        peer = await self._agent(request, expired=True)  # a person may have decided while the body came
        if self._plans.plan(peer.agent) is None:
            raise _Refused(403, "unknown")
        if await self._machines.judge(_sender(peer, request)) == "replaced":
            raise _Refused(403, "replaced")
        try:
            issued = await self._registry.renew(peer.agent, renewal.csr, peer.serial, peer.not_after)
        except RenewalRefused as refused:
            raise _Refused(429 if refused.code == "too many renewals" else 403, refused.code) from None
        except pki.RequestRefused as refused:
            raise _Refused(400, str(refused)) from None
        log.info("renewed agent=%s", peer.agent)
        return self._certificate(peer.agent, issued)

    async def _stranger_json(self, request: web.BaseRequest, kind: type[T]) -> T:
        """The JSON of a request from someone without a name yet, few of them at once."""
        if self._strangers >= MAX_STRANGERS:
            raise _Refused(503, "busy, try again", close=True)
        self._strangers += 1
        try:
            return _json(await _body(request, MAX_JSON, self._stranger_time), kind)
        finally:
            self._strangers -= 1

    def _certificate(self, agent: str, issued: pki.SignedCertificate) -> web.Response:
        answer = {"agent": agent, "certificate": issued.pem, "ca": self._registry.authority.pem}
        response = web.Response(body=msgspec.json.encode(answer), content_type="application/json")
        response.force_close()  # the next request shows the new certificate
        return response

    async def _sweep(self, server: web.Server) -> None:
        """Close connections of strangers after their time; aiohttp has no limit on how long a head may take."""
        since: dict[object, float] = {}
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(self._stranger_time / 3, 5.0))
            now = loop.time()
            here = server.connections
            since = {connection: since.get(connection, now) for connection in here}
            for connection in here:
                transport = connection.transport
                if now - since[connection] > self._stranger_time and self._peers.of(transport) is None:
                    connection.force_close()
                    if isinstance(transport, asyncio.Transport):
                        transport.abort()


def _address(request: web.BaseRequest) -> str:
    """Where a request comes from."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    return str(peer[0]) if peer else ""


def _sender(peer: Peer, request: web.BaseRequest) -> Sender:
    said = machine.read_machine(request.headers.get(machine.HEADER, ""))
    return Sender(peer.agent, peer.serial, _address(request), said)


class _Refused(Exception):
    def __init__(self, status: int, message: str, *, close: bool = False, retry_after: int = 0) -> None:
        super().__init__(message)
        self.response = _problem(status, message)
        if retry_after:
            self.response.headers["Retry-After"] = str(retry_after)
        if close:
            self.response.force_close()


def _problem(status: int, message: str) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode({"error": message}), content_type="application/json")


def _body_at_once(request: web.BaseRequest) -> bytes | None:
    """The body of a small request that came together with its head, as nearly every push does. None: it may have to be
    waited for."""
    length = request.content_length
    if length is None or length > AT_ONCE or not request.content.is_eof():
        return None
    return request.content.read_nowait()


async def _body(
    request: web.BaseRequest, limit: int, seconds: float, arrived: Callable[[int], None] = lambda _: None
) -> bytes:
    """The whole body, of at most ``limit`` bytes, within ``seconds``; ``arrived`` is told of each piece's size.
    Raises _Refused or TimeoutError."""
    if (request.content_length or 0) > limit:
        raise _Refused(413, f"a body may have {limit} bytes", close=True)
    async with asyncio.timeout(seconds):
        chunks = bytearray()
        async for chunk in request.content.iter_any():
            chunks += chunk
            arrived(len(chunk))
            if len(chunks) > limit:
                raise _Refused(413, f"a body may have {limit} bytes", close=True)
    return bytes(chunks)


def _json(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _Refused(400, f"not what was asked for: {error}", close=True) from None
