"""The HTTP listener for pings: ``/ping/JOB``, ``/start``, ``/fail``, ``/log``, ``/0`` to ``/255``; GET, HEAD, POST.

On this machine's loopback and on a Unix socket anybody may ping; on the LAN, where that is configured, who has the
token (``Authorization: Bearer TOKEN``, or ``/ping/TOKEN/JOB``). A ping is answered with 200 once it is on the disk.
"""

import asyncio
import contextlib
import hmac
import logging
import re
import time
import uuid
from collections.abc import Callable, Collection
from typing import Final

import msgspec

from agent.jobs import http
from agent.jobs.book import MOST_BODY, JobStore
from agent.jobs.http import PingRefused, Request
from agent.jobs.stamp import SLACK_MS, Stamp, to_wall_time
from agent.jobs.state import FAIL, LOG, PAUSE, RESUME, START, SUCCESS, PingEvent

log = logging.getLogger("agent.jobs")

MOST_CONNECTIONS: Final = 32
MOST_REFUSED: Final = 500  # connections at once that are still told so
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


class Listener:
    """Hears pings for the jobs that ``known`` answers, and keeps them in the book."""

    def __init__(
        self,
        store: JobStore,
        job_names: Callable[[], Collection[str]],
        token: str = "",
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._job_names = job_names
        self._token = token
        self._monotonic = monotonic
        self._open = 0
        self._buckets: dict[str, tuple[float, float]] = {}
        self._writing = asyncio.Lock()
        self.counts = PingCounts()

    async def local(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection from this machine."""
        await self._connection(reader, writer, guarded=False)

    async def lan(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection from the LAN: the token is asked for."""
        await self._connection(reader, writer, guarded=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, guarded: bool) -> None:
        self._open += 1
        try:
            if self._open > MOST_REFUSED:
                raise OSError("too many even to be told")
            if self._open > MOST_CONNECTIONS:
                raise PingRefused(503, "too many pings at once; try again", drain=True)
            async with asyncio.timeout(REQUEST):
                response = await self._exchange(reader, writer, guarded=guarded)
            if response:
                writer.write(response)
                await self._drain_out(writer)
        except PingRefused as refused:
            await self._refuse(reader, writer, refused)
        except (TimeoutError, OSError):
            self.counts.refused += 1  # it never said what it wanted, or is gone
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(DRAIN):
                    await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, guarded: bool) -> bytes:
        request = await http.read_head(reader)
        if request is None:
            return b""
        ping = parse_ping(request)
        self._authorize(request, ping, guarded=guarded)
        request = await http.read_body(reader, writer, request, MOST_BODY)
        event = event_of(request, ping, self._store.now(), guarded=guarded)
        try:
            async with self._writing:  # one after the other: each reads what the last one wrote
                await asyncio.to_thread(self._store.add_ping, ping.job, event, request.body)
        except OSError as error:
            log.error("a ping of %s cannot be kept: %s", ping.job, error)
            raise PingRefused(503, f"the ping cannot be kept: {error.strerror}") from None
        self.counts.accepted += 1
        log.debug("ping of %s: %s", ping.job, ping.action)
        return http.encode_response(200, "OK", head=request.method == "HEAD", extra=LIMIT)

    def _authorize(self, request: Request, ping: PingRequest, *, guarded: bool) -> None:
        """Raises Refused."""
        if guarded and not hmac.compare_digest(ping.token.encode(), self._token.encode()):
            raise PingRefused(401, "this ping needs the token of this agent's own file")
        if "origin" in request.headers or request.headers.get("sec-fetch-site", "none") != "none":
            raise PingRefused(403, "a web page may not ping for a job")
        if ping.action in LOCAL_WORDS and (guarded or request.method != "POST"):
            raise PingRefused(403, f"{ping.action} is by POST, and on the agent's own machine only")
        if ping.job not in self._job_names():
            self._count_unknown(ping.job)
            raise PingRefused(404, f"no job {ping.job!r} in this agent's plan")
        if not self._within_rate(ping.job):
            raise PingRefused(429, f"{ping.job} pings too often; try again")

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

    async def _refuse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, refused: PingRefused) -> None:
        self.counts.refused += 1
        extra = {"Retry-After": "5"} if refused.status in (429, 503) else {}
        extra |= {"Allow": "GET, HEAD, POST"} if refused.status == 405 else {}
        extra |= {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(http.encode_response(refused.status, refused.message + "\n", extra=extra))
            await self._drain_out(writer)
            if refused.drain:
                if writer.can_write_eof():
                    writer.write_eof()
                async with asyncio.timeout(DRAIN):
                    while await reader.read(65_536):
                        pass

    async def _drain_out(self, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(DRAIN):
            await writer.drain()


def parse_ping(request: Request) -> PingRequest:
    """What is asked for: /ping/JOB, /ping/JOB/ACTION, and each with /ping/TOKEN before. Raises Refused."""
    if request.method not in ("GET", "HEAD", "POST"):
        raise PingRefused(405, "ping by GET, HEAD or POST")
    first, *rest = request.path
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


def event_of(request: Request, ping: PingRequest, now: Stamp, *, guarded: bool) -> PingEvent:
    """The ping as an event. A wrapper that could not reach this agent says later when it was. Raises Refused."""
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
        bytes=request.length,
        id=sent.lower(),
    )
