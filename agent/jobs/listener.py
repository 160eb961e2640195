"""The HTTP listener for pings: ``/ping/JOB``, ``/start``, ``/fail``, ``/log``, ``/0`` to ``/255``; GET, HEAD, POST.

On this machine's loopback and on a Unix socket anybody may ping; on the LAN, where that is configured, who has the
token (``Authorization: Bearer TOKEN``, or ``/ping/TOKEN/JOB``). A ping is answered with 200 once it is on the disk.
"""

import asyncio
import hmac
import logging
import re
import time
import uuid
from collections.abc import Callable, Collection
from typing import Final

import msgspec
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestHandler

from agent.jobs.stamp import SLACK_MS, Stamp, to_wall_time
from agent.jobs.state import FAIL, LOG, PAUSE, RESUME, START, SUCCESS, PingEvent
from agent.jobs.store import MOST_BODY, JobStore
from inventory.base.http_listener import HostNames, hide_versions

log = logging.getLogger("agent.jobs")

MOST_CONNECTIONS: Final = 32
MOST_REFUSED: Final = 500  # connections at once that are still told so
MOST_TAKEN: Final = 1_000_000  # bytes of a body that are read at all
MOST_FIELD: Final = 16_384  # bytes of the request line, and of a header field
REQUEST: Final = 10.0  # seconds that a whole request may take
DRAIN: Final = 2.0  # seconds for which what is not wanted is still read, so that the answer is heard
BURST: Final = 60  # pings of one job at once
REFILL: Final = 0.5  # pings of one job a second in the long run

WORDS: Final = {"start": START, "fail": FAIL, "log": LOG, "pause": PAUSE, "resume": RESUME}
LOCAL_WORDS: Final = ("pause", "resume")
_CODE: Final = re.compile(r"\d{1,10}", re.ASCII)
_RID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_WHEN: Final = re.compile(r"([0-9a-f]{16}) (\d{1,15}) (\d{1,15})", re.ASCII)
LIMIT: Final = {"Ping-Body-Limit": str(MOST_BODY)}


class PingRequest(msgspec.Struct, frozen=True):
    """One ping as asked for, before it is known whether it is taken. ``token``: what it showed, if anything."""

    job: str
    action: str
    exit: int | None
    token: str


class PingCounts(msgspec.Struct):
    """Since the agent started."""

    accepted: int = 0
    refused: int = 0
    unknown: dict[str, int] = {}
    unknown_total: int = 0


class PingRefused(Exception):
    """A ping that is not taken: the status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Listener:
    """Hears pings for the jobs that ``job_names`` answers, and keeps them in the book."""

    def __init__(
        self,
        store: JobStore,
        job_names: Callable[[], Collection[str]],
        token: str = "",
        names: Collection[str] = (),
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._job_names = job_names
        self._token = token
        self._names = HostNames(names)
        self._monotonic = monotonic
        self._buckets: dict[str, tuple[float, float]] = {}
        self._writing = asyncio.Lock()
        self.open_connections: set[asyncio.Protocol] = set()
        self.counts = PingCounts()

    def protocol_factory(self, *, guarded: bool) -> Callable[[], asyncio.Protocol]:
        """For connections from this machine, or (guarded) from the LAN: the token is asked for."""

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            try:
                async with asyncio.timeout(REQUEST):
                    return await self._exchange(request, guarded=guarded)
            except PingRefused as refused:
                self.counts.refused += 1
                return _refusal(refused)

        hide_versions()
        server = web.Server(handle)

        def connection() -> asyncio.Protocol:
            if len(self.open_connections) < MOST_CONNECTIONS:
                return _Connection(self, server)
            self.counts.refused += 1
            return _OneTooMany(self)

        return connection

    async def _exchange(self, request: web.BaseRequest, *, guarded: bool) -> web.StreamResponse:
        if request.version not in ((1, 0), (1, 1)):
            raise PingRefused(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
        ping = parse_ping(request)
        self._authorize(request, ping, guarded=guarded)
        body, length = await _read_body(request)
        event = event_of(request, length, ping, self._store.now(), guarded=guarded)
        try:
            async with self._writing:  # one after the other: each reads what the last one wrote
                await asyncio.to_thread(self._store.add_ping, ping.job, event, body)
        except OSError as error:
            log.error("a ping of %s cannot be kept: %s", ping.job, error)
            raise PingRefused(503, f"the ping cannot be kept: {error.strerror}") from None
        self.counts.accepted += 1
        log.debug("ping of %s: %s", ping.job, ping.action)
        return _response(200, "OK", LIMIT)

    def _authorize(self, request: web.BaseRequest, ping: PingRequest, *, guarded: bool) -> None:
        """Raises PingRefused."""
        if not guarded and not self._is_meant(request):  # on the LAN the token tells
            raise PingRefused(421, "this agent has no such name; if it ought to, pings.names of its own file says so")
        if guarded and not hmac.compare_digest(ping.token.encode(), self._token.encode()):
            raise PingRefused(401, "this ping needs the token of this agent's own file")
        if any(field in request.headers for field in ("origin", "referer")) or (
            request.headers.get("sec-fetch-site", "none") != "none"
        ):
            raise PingRefused(403, "a web page may not ping for a job")
        if ping.action in LOCAL_WORDS and (guarded or request.method != "POST"):
            raise PingRefused(403, f"{ping.action} is by POST, and on the agent's own machine only")
        if ping.job not in self._job_names():
            self._count_unknown(ping.job)
            raise PingRefused(404, f"no job {ping.job!r} in this agent's plan")
        if not self._within_rate(ping.job):
            raise PingRefused(429, f"{ping.job} pings too often; try again")

    def _is_meant(self, request: web.BaseRequest) -> bool:
        """Whether the request is for a name of this machine: a browser led here under another one is sent away.

        Without any name (HTTP/1.0) it is no browser."""
        local = request.transport.get_extra_info("sockname") if request.transport is not None else None
        asked = request.headers.getall("host", [])
        if not request.raw_path.startswith("/"):
            asked = [*asked, request.raw_path.partition("://")[2].partition("/")[0]]
        return all(self._names.includes(host, local) for host in asked)

    def _count_unknown(self, job: str) -> None:
        counts = self.counts
        counts.unknown_total += 1
        if job in counts.unknown or len(counts.unknown) < 20:
            counts.unknown[job] = counts.unknown.get(job, 0) + 1

    def _within_rate(self, job: str) -> bool:
        now = self._monotonic()
        left, before = self._buckets.get(job, (float(BURST), now))
        left = min(BURST, left + (now - before) * REFILL)
        allowed = left >= 1
        self._buckets[job] = (left - allowed, now)
        return allowed


class _Connection(RequestHandler):
    """One request, in its time: aiohttp itself waits for ever for a request to begin or for its header to end."""

    __slots__ = ("_listener", "_timer")

    def __init__(self, listener: Listener, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # its own code asks whether there is one
            lingering_time=DRAIN,
            max_field_size=MOST_FIELD,
            max_line_size=MOST_FIELD,
            auto_decompress=False,
        )
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._listener.open_connections.add(self)
        self._timer = asyncio.get_running_loop().call_later(REQUEST + DRAIN, self._end_late)

    def _end_late(self) -> None:
        self._listener.counts.refused += 1
        self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._timer.cancel()
        self._listener.open_connections.discard(self)
        super().connection_lost(exc)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        self._listener.counts.refused += 1
        return _response(status, (message or "not understood").splitlines()[0] + "\n")


class _OneTooMany(asyncio.Protocol):
    """Told so at once, and heard to its end so that the answer arrives; of very many, dropped."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if len(self._listener.open_connections) >= MOST_REFUSED:
            transport.abort()
            return
        self._listener.open_connections.add(self)
        transport.write(_TOO_MANY)
        if transport.can_write_eof():
            transport.write_eof()
        self._timer = asyncio.get_running_loop().call_later(DRAIN, transport.abort)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self in self._listener.open_connections:
            self._listener.open_connections.discard(self)
            self._timer.cancel()


async def _read_body(request: web.BaseRequest) -> tuple[bytes, int]:
    """The first bytes of the body, and how many there are. Raises PingRefused past MOST_TAKEN, told or sent."""
    if (request.content_length or 0) > MOST_TAKEN:
        raise PingRefused(413, f"a body of more than {MOST_TAKEN} bytes")
    if request.headers.get("expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    kept, length = bytearray(), 0
    try:
        async for piece in request.content.iter_any():
            length += len(piece)
            if length > MOST_TAKEN:
                raise PingRefused(413, f"a body of more than {MOST_TAKEN} bytes")
            kept += piece[: MOST_BODY - len(kept)]
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError) as error:
        raise PingRefused(400, f"not a whole body: {error}") from None
    return bytes(kept), length


def _response(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """The connection ends with it."""
    response = web.Response(status=status, text=message, headers=headers)
    response.force_close()
    return response


def _refusal(refused: PingRefused) -> web.Response:
    headers = {"Retry-After": "5"} if refused.status in (429, 503) else {}
    headers |= {"Allow": "GET, HEAD, POST"} if refused.status == 405 else {}
    headers |= {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
    return _response(refused.status, refused.message + "\n", headers)


_TOO_MANY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 34\r\nConnection: close\r\n\r\n"
    b"too many pings at once; try again\n"
)


def parse_ping(request: web.BaseRequest) -> PingRequest:
    """What is asked for: /ping/JOB, /ping/JOB/ACTION, and each with /ping/TOKEN before. Raises PingRefused."""
    if request.method not in ("GET", "HEAD", "POST"):
        raise PingRefused(405, "ping by GET, HEAD or POST")
    first, *rest = [part for part in request.rel_url.parts if part != "/"] or [""]
    if rest and not rest[-1]:
        rest.pop()
    if first != "ping" or not rest or len(rest) > 3:
        raise PingRefused(
            404, "ping at /ping/JOB, /ping/JOB/start, /ping/JOB/fail, /ping/JOB/log or /ping/JOB/EXITCODE"
        )
    action, exit_code = SUCCESS, None
    if len(rest) > 1 and (rest[-1] in WORDS or _CODE.fullmatch(rest[-1])):
        word = rest.pop()
        if word in WORDS:
            action = WORDS[word]
        else:
            exit_code = int(word)
            if exit_code > 255:
                raise PingRefused(400, f"{word} is no exit code: they end at 255")
            action = FAIL if exit_code else SUCCESS
    if len(rest) > 2:
        raise PingRefused(404, f"there is no ping {rest[-1]!r}")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    shown = rest[0] if len(rest) == 2 else token.strip() if scheme.lower() == "bearer" else ""
    return PingRequest(rest[-1], action, exit_code, shown)


def event_of(request: web.BaseRequest, length: int, ping: PingRequest, now: Stamp, *, guarded: bool) -> PingEvent:
    """The ping as an event. A wrapper that could not reach this agent says later when it was. Raises PingRefused."""
    rid = request.query.get("rid", "")
    if rid and not _RID.fullmatch(rid):
        raise PingRefused(400, "rid has to be a UUID")
    sent = request.headers.get("haidang-ping-id", "")
    if sent and not _RID.fullmatch(sent):
        raise PingRefused(400, "Haidang-Ping-Id has to be a UUID")
    at = now
    if (when := request.headers.get("haidang-ping-at")) is not None:
        match = _WHEN.fullmatch(when)
        if match is None or guarded:
            raise PingRefused(400, "Haidang-Ping-At is for pings that waited on this machine")
        at = Stamp(match[1], int(match[2]), int(match[3]))
        if to_wall_time(now, at).at_ms > now.wall_ms + (0 if at.boot == now.boot else SLACK_MS):
            raise PingRefused(400, "a ping of the future")
    return PingEvent(
        action=ping.action,
        at=at,
        rid=str(uuid.UUID(rid)) if rid else "",
        exit=ping.exit,
        bytes=length,
        id=sent.lower(),
    )
