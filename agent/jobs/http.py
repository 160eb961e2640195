"""Minimal HTTP/1.1 for pings: one request a connection, nothing kept of what is too large."""

import asyncio
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

MOST_HEAD: Final = 16_384  # bytes of the request line and header fields
MOST_TAKEN: Final = 1_000_000  # bytes of a body that are read at all
_LENGTH: Final = re.compile(r"\d{1,15}", re.ASCII)
_CHUNK: Final = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")

REASONS: Final = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 411: "Length Required", 413: "Content Too Large", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 501: "Not Implemented",
    503: "Service Unavailable", 505: "HTTP Version Not Supported",
}  # fmt: skip


class PingRefused(Exception):
    """A request that is not taken: the status and a sentence. ``drain``: the sender is still sending."""

    def __init__(self, status: int, message: str, *, drain: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.drain = drain


class Request(msgspec.Struct, frozen=True):
    """``path``: its segments, decoded. ``query``: the last value of each name. ``headers`` by lower-case name.

    ``body``: the first bytes of it; ``length``: all of them.
    """

    method: str
    path: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""
    length: int = 0


async def read_head(reader: asyncio.StreamReader) -> Request | None:
    """The request without its body; None when the connection closes before it. Raises Refused."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial.strip():
            return None
        raise PingRefused(400, "the request ends in its header") from None
    except asyncio.LimitOverrunError:
        raise PingRefused(431, f"a request line and header of more than {MOST_HEAD} bytes", drain=True) from None
    line, *fields = head.decode("latin-1").strip().replace("\r\n", "\n").split("\n")
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        raise PingRefused(400, "not a request of HTTP/1")
    if words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise PingRefused(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    headers: dict[str, str] = {}
    for field in fields:
        name, colon, value = field.partition(":")
        if not colon or not name or name != name.strip():
            raise PingRefused(400, "a header field without a name")
        name = name.lower()
        if name in headers and name in ("content-length", "transfer-encoding"):
            raise PingRefused(400, f"two fields {name}")
        headers[name] = value.strip()
    try:
        target = urlsplit(words[1])
        query = parse_qs(target.query, keep_blank_values=True, max_num_fields=20)
    except ValueError:
        raise PingRefused(400, "not a target of a request") from None
    segments = tuple(unquote(segment, errors="replace") for segment in target.path.strip("/").split("/"))
    return Request(words[0], segments, {name: values[-1] for name, values in query.items()}, headers)


async def read_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request, keep: int) -> Request:
    """The request with the first ``keep`` bytes of its body. Raises Refused past MOST_TAKEN, told or sent."""
    declared = request.headers.get("content-length")
    encoding = request.headers.get("transfer-encoding", "").lower()
    if encoding not in ("", "chunked"):
        raise PingRefused(501, "a transfer encoding other than chunked")
    if declared is not None and encoding:
        raise PingRefused(400, "both a length and chunks")
    if declared is None and not encoding:
        return request
    if declared is not None and not _LENGTH.fullmatch(declared):
        raise PingRefused(400, "a Content-Length that is no number")
    if declared is not None and int(declared) > MOST_TAKEN:
        # who asked whether to go on is told no, and sends nothing
        drain = request.headers.get("expect", "").lower() != "100-continue"
        raise PingRefused(413, f"a body of more than {MOST_TAKEN} bytes", drain=drain)
    if request.headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = _Body(reader, keep)
    try:
        if declared is not None:
            await body.read(int(declared))
        else:
            await body.read_chunks()
    except asyncio.IncompleteReadError:
        raise PingRefused(400, "the body is shorter than it was said to be") from None
    except asyncio.LimitOverrunError:
        raise PingRefused(400, "not a chunked body", drain=True) from None
    return msgspec.structs.replace(request, body=bytes(body.kept), length=body.length)


class _Body:
    """Reads, keeps the beginning, forgets the rest."""

    def __init__(self, reader: asyncio.StreamReader, keep: int) -> None:
        self._reader = reader
        self._keep = keep
        self.kept = bytearray()
        self.length = 0

    async def read(self, count: int) -> None:
        while count:
            piece = await self._reader.read(min(count, 65_536))
            if not piece:
                raise asyncio.IncompleteReadError(b"", count)
            count -= len(piece)
            self.length += len(piece)
            self.kept += piece[: self._keep - len(self.kept)]

    async def read_chunks(self) -> None:
        while True:
            match = _CHUNK.fullmatch(await self._reader.readuntil(b"\n"))
            if match is None:
                raise PingRefused(400, "not a chunked body", drain=True)
            size = int(match[1], 16)
            if not size:
                break
            if self.length + size > MOST_TAKEN:
                raise PingRefused(413, f"a body of more than {MOST_TAKEN} bytes", drain=True)
            await self.read(size)
            if (await self._reader.readuntil(b"\n")).strip():
                raise PingRefused(400, "not a chunked body", drain=True)
        for _ in range(20):  # trailer fields
            if not (await self._reader.readuntil(b"\n")).strip():
                return
        raise PingRefused(400, "not a chunked body", drain=True)


def encode_response(status: int, message: str, *, head: bool = False, extra: Mapping[str, str] | None = None) -> bytes:
    """A response as bytes; the connection ends with it."""
    body = message.encode()
    lines = [
        f"HTTP/1.1 {status} {REASONS[status]}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in (extra or {}).items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head else body)
