"""Measure throughput one way over a connection: one HTTP/1.1 exchange, bounded in bytes and seconds.

The content is counted as it comes from or is taken by the network and is thrown away: nothing is decoded,
so there is nothing to inflate. The upload's content does not compress.
"""

import asyncio
import os
import struct
import sys
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

from agent.clients.http.http1 import Head, Url, build_request, read_head
from agent.clients.net.stream import CHUNK, TcpStream
from agent.failure import ProbeFailed, printable
from inventory.protocol.reasons import Reason, sentence
from inventory.protocol.states import UNKNOWN

MIN_BYTES: Final = 64 * 1024  # bytes below which a short transfer tells more of the round trip than of the rate
MIN_SECONDS: Final = 2.0  # seconds after which even few bytes tell a rate
MAX_CLOCK_DIFFERENCE: Final = 600.0  # seconds between the server's clock and ours past which one of them is wrong
_FRAME: Final = f"{CHUNK:x}\r\n".encode(), b"\r\n"
_PEEK_SECONDS: Final = 0.02  # seconds
_BYTES_ACKED: Final = 120  # place in struct tcp_info (linux/tcp.h, since 4.1)


class TransferRefused(ProbeFailed):
    """The server answered with a status that is none of success."""

    def __init__(self, reason: Reason, head: Head) -> None:
        super().__init__(reason)
        self.head = head


class Transfer(msgspec.Struct, frozen=True):
    """``counted`` bytes in ``seconds``; ``size``: all content that was carried, the first piece included."""

    size: int
    counted: int
    seconds: float

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.counted / self.seconds


async def download(
    stream: TcpStream, url: Url, max_bytes: int, seconds: float, on_head: Callable[[Head], None]
) -> Transfer:
    """Fetch at most ``most`` bytes for at most ``seconds``. ``begin`` gets the answer's head before its content.

    The rate is that from the first piece of content to the last. Raises Trouble; TimeoutError is the caller's.
    """
    # a server that knows ranges sends no more than is wanted; of any other what is on its way is lost
    await stream.send(build_request(url, "GET", (("Range", f"bytes=0-{max_bytes - 1}"),), b""))
    head = await read_head(stream, await stream.receive())
    if head.status not in (200, 206):
        raise TransferRefused(sentence("status {status} instead of 200 or 206", status=head.status), head)
    on_head(head)
    length = _content_length(head)
    chunked = head.last_value(b"transfer-encoding") is not None
    first = size = len(head.rest)
    tail = head.rest[-5:]
    started = last = time.perf_counter()
    ended = False
    try:
        async with asyncio.timeout(seconds):
            while (
                size < max_bytes
                and not (length is not None and size >= length)
                and not (chunked and _is_last_chunk(tail))
            ):
                piece = await stream.receive(min(CHUNK, max_bytes - size))
                if not piece:
                    ended = True
                    break
                last = time.perf_counter()
                first = first or len(piece)
                if size == 0:
                    started = last
                size += len(piece)
                tail = (tail + piece)[-5:]
    except TimeoutError:
        last = time.perf_counter()
    if ended and (chunked or (length is not None and size < length)):
        raise ProbeFailed(sentence("the content ended after {size} bytes, before its end", size=size))
    if size == 0:
        words = sentence("{who} sent no content", who=stream.who)
        if not ended and length != 0:
            words = sentence("{so} within {seconds:n} s", so=words, seconds=f"{seconds:.3g}")
        raise ProbeFailed(words)
    return _checked_transfer(size, size - first, last - started)


async def upload(
    stream: TcpStream,
    url: Url,
    max_bytes: int,
    seconds: float,
    on_start: Callable[[], None],
    *,
    expect_continue: bool = False,
) -> Transfer:
    """Post at most ``most`` random bytes for at most ``seconds``; with ``ask`` only once the server will have them.

    The rate is that from the first byte to the answer, which a server gives when it has them all; when the time is
    up first, to what the far end had confirmed by then. Raises Trouble.
    """
    fields = (("Content-Type", "application/octet-stream"), *((("Expect", "100-continue"),) if expect_continue else ()))
    head = build_request(url, "POST", fields, b"")
    await stream.send(head.replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
    if expect_continue:
        await _await_continue(stream)
    block = os.urandom(CHUNK)  # twice deflate's window: repeating it does not compress
    on_start()
    before, started = _acknowledged_bytes(stream), time.perf_counter()
    sent = 0
    try:
        async with asyncio.timeout(seconds):
            while sent < max_bytes:
                size = min(CHUNK, max_bytes - sent)
                frame = _FRAME[0] if size == CHUNK else f"{size:x}\r\n".encode()
                await _send(stream, frame + block[:size] + _FRAME[1])
                sent += size
            await _send(stream, b"0\r\n\r\n")
            first = await stream.receive()
            elapsed = time.perf_counter() - started
            _require_success(await read_head(stream, first))
    except TimeoutError:
        elapsed = time.perf_counter() - started
        after = _acknowledged_bytes(stream)
        await _raise_if_refused(stream)
        carried = sent if before is None or after is None else min(after - before, sent + CHUNK)
        if carried == 0:
            raise ProbeFailed(
                sentence("{who} took no content within {seconds:n} s", who=stream.who, seconds=f"{seconds:.3g}")
            ) from None
        return _checked_transfer(carried, carried, elapsed)
    return _checked_transfer(sent, sent, elapsed)


async def _await_continue(stream: TcpStream) -> None:
    """Wait for "100 Continue" (RFC 9110, section 10.1.1). Raises Trouble, Refusal for any other answer."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < CHUNK:
        more = await stream.receive()
        if not more:
            break
        data += more
    if not data.startswith(b"HTTP/1.1 100 "):
        _require_success(await read_head(stream, data))
        raise ProbeFailed(sentence("{who} answered before it had anything", who=stream.who))


async def _send(stream: TcpStream, data: bytes) -> None:
    """Raises Trouble with the server's answer, if it gave one before it stopped listening."""
    try:
        await stream.send(data)
    except ProbeFailed as failure:
        try:
            first = await stream.receive()
        except ProbeFailed:
            raise failure from None
        if not first:
            raise
        _require_success(await read_head(stream, first))
        raise ProbeFailed(sentence("{who} answered before it had everything", who=stream.who)) from None


async def _raise_if_refused(stream: TcpStream) -> None:
    """A server may refuse at once and just not read on. Raises Trouble with the answer that has come already."""
    try:
        async with asyncio.timeout(_PEEK_SECONDS):
            if first := await stream.receive():
                _require_success(await read_head(stream, first))
    except TimeoutError:
        pass  # it still listens


def _require_success(head: Head) -> None:
    if not 200 <= head.status < 300:
        raise TransferRefused(sentence("status {status} instead of 200 to the upload", status=head.status), head)


def _checked_transfer(size: int, counted: int, seconds: float) -> Transfer:
    if seconds < MIN_SECONDS and counted < MIN_BYTES:
        raise ProbeFailed(
            sentence(
                "only {size} bytes came in {seconds:n} s: too few to tell a rate", size=size, seconds=f"{seconds:.3g}"
            ),
            UNKNOWN,
        )
    return Transfer(size, counted, max(seconds, 1e-6))


def _content_length(head: Head) -> int | None:
    """What the answer says of its content's length; None when it says nothing (or chunks do)."""
    text = head.last_value(b"content-length")
    if text is None or head.last_value(b"transfer-encoding") is not None:
        return None
    if not text.isdigit() or len(text) > 18:
        raise ProbeFailed(sentence("the answer gives {text} as the length of its content", text=printable(text)))
    return int(text)


def _is_last_chunk(tail: bytes) -> bool:
    """Whether chunks end here: the last one is empty. Content that only looks so ends a measurement early, no more."""
    return tail == b"0\r\n\r\n"


def _acknowledged_bytes(stream: TcpStream) -> int | None:
    """Bytes that the far end has confirmed so far, by the kernel; None where it does not say."""
    if sys.platform != "linux":
        return None
    import socket

    info = stream._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
    return int(struct.unpack_from("=Q", info, _BYTES_ACKED)[0]) if len(info) >= _BYTES_ACKED + 8 else None


def clock_difference(head: Head, wall: float) -> float:
    """By how many seconds the answer's Date is ahead of our wall clock; 0.0 where they agree or it has none."""
    try:
        theirs = parsedate_to_datetime((head.last_value(b"date") or b"").decode("ascii")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    ahead = theirs - wall
    return ahead if abs(ahead) > MAX_CLOCK_DIFFERENCE else 0.0
