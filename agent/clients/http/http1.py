"""One HTTP/1.1 exchange on a fresh connection (RFC 9112) for probes; every length is bounded.

Written for looks, not for clients in general: the request says ``Connection: close`` and asks for no encoding;
an answer that is encoded all the same is decoded within the same bounds.
"""

import asyncio
import functools
import itertools
import re
import zlib
from typing import Final
from urllib.parse import urlsplit

import msgspec

from agent.clients.net.resolve import address_literal
from agent.clients.net.stream import TcpStream
from agent.failure import ProbeFailed, printable
from inventory.protocol.reasons import sentence

MAX_HEAD: Final = 65_536  # bytes of status line and header fields, interim answers included
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?\r?$")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST: Final = re.compile(r"[0-9a-z_](?:[0-9a-z_.-]{0,252})")
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f]")
_CHUNK_SIZE: Final = re.compile(rb"[0-9a-fA-F]{1,15}")
_SAFE_PATH: Final = re.compile(r"[!-~]*")


class Url(msgspec.Struct, frozen=True):
    """``host`` as it is resolved (IDNA), ``authority`` as the Host field carries it, ``path`` with its query."""

    tls: bool
    host: str
    port: int
    authority: str
    path: str

    @property
    def origin(self) -> tuple[bool, str, int]:
        return (self.tls, self.host, self.port)

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.path}"


@functools.lru_cache(maxsize=1024)
def parse_url(text: str) -> Url:
    """Raises ValueError, in words. A name and password in a URL are refused: they would be secrets in a plan."""
    if _UNSAFE.search(text):
        raise ValueError(sentence("a URL has no spaces or control characters"))
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https"):
        raise ValueError(sentence("the URL must begin with http:// or https://"))
    if "@" in parts.netloc:
        raise ValueError(sentence("the URL must not carry a user name or password"))
    tls = parts.scheme == "https"
    try:
        port = parts.port if parts.port is not None else (443 if tls else 80)
    except ValueError:
        raise ValueError(sentence("the URL's port is not a number from 1 to 65535")) from None
    if port == 0:
        raise ValueError(sentence("the URL's port is not a number from 1 to 65535"))
    host = ascii_host(parts.hostname or "")
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port == (443 if tls else 80) else f"{shown}:{port}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _SAFE_PATH.fullmatch(path):  # letters beyond ASCII go percent-encoded, as UTF-8
        path = "".join(c if "!" <= c <= "~" else "".join(f"%{b:02X}" for b in c.encode()) for c in path)
    return Url(tls, host, port, authority, path)


def ascii_host(name: str) -> str:
    """A host name as the resolver, TLS and the Host field want it (IDNA), or an address. Raises ValueError."""
    if not name:
        raise ValueError(sentence("there is no host name"))
    address = address_literal(name)
    if address is not None:
        return str(address)
    if len(name) > 253:
        raise ValueError(sentence("the host name is too long"))
    try:
        ascii_name = name.lower() if name.isascii() else name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError(sentence("{name} is not a host name", name=printable(name))) from None
    if not _HOST.fullmatch(ascii_name) or ".." in ascii_name or any(len(part) > 63 for part in ascii_name.split(".")):
        raise ValueError(sentence("{name} is not a host name", name=printable(name)))
    return ascii_name


def parse_fields(lines: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """``Name: value`` lines as pairs. Raises ValueError for anything that could end a line or a field early."""
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        value = value.strip()
        if not colon or not _TOKEN.fullmatch(name):
            raise ValueError(sentence("{line} is not a header field (Name: value)", line=printable(line)))
        if any((c < " " and c != "\t") or c == "\x7f" or c > "\xff" for c in value):
            raise ValueError(sentence("the header field {name} has characters that a header cannot carry", name=name))
        fields.append((name, value))
    return tuple(fields)


@functools.lru_cache(maxsize=1024)
def build_request(url: Url, method: str, fields: tuple[tuple[str, str], ...], body: bytes) -> bytes:
    """The request's bytes. ``fields`` may replace Host, User-Agent and Accept."""
    given_names = {name.lower() for name, _ in fields}
    defaults = (("Host", url.authority), ("User-Agent", "haidang-agent"), ("Accept", "*/*"))
    lines = [f"{method} {url.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in defaults if name.lower() not in given_names]
    lines += [f"{name}: {value}" for name, value in fields]
    lines += ["Accept-Encoding: identity", "Connection: close"]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Head:
    """The final answer's status and fields, and the first bytes of its body that came along."""

    __slots__ = ("fields", "rest", "status")

    def __init__(self, status: int, fields: dict[bytes, list[bytes]], rest: bytes) -> None:
        self.status = status
        self.fields = fields
        self.rest = rest

    def last_value(self, name: bytes) -> bytes | None:
        values = self.fields.get(name)
        return values[-1] if values else None


async def read_head(stream: TcpStream, first: bytes) -> Head:
    """The head of the final answer, from its first bytes on; interim (1xx) answers are passed over.

    Raises Trouble for anything that is not HTTP/1 or longer than MAX_HEAD.
    """
    data, used = first, 0
    while True:
        end = _end_of_head(data)
        while end < 0:
            if not data.startswith(b"HTTP/1."[: len(data)]):
                raise ProbeFailed(sentence("the answer is not HTTP/1: it begins {data}", data=printable(data)))
            if used + len(data) > MAX_HEAD:
                raise ProbeFailed(sentence("the answer's header is longer than {max_head} bytes", max_head=MAX_HEAD))
            more = await stream.receive()
            if not more:
                raise ProbeFailed(
                    sentence("the connection ended within the answer's header")
                    if data
                    else sentence("the answer is empty")
                )
            searched = max(len(data) - 3, 0)
            data += more
            end = _end_of_head(data, searched)
        used += end
        if used > MAX_HEAD:
            raise ProbeFailed(sentence("the answer's header is longer than {max_head} bytes", max_head=MAX_HEAD))
        head = _parse_head(data[:end], data[end:])
        if head.status >= 200 or head.status == 101:
            return head
        data = head.rest


def _end_of_head(data: bytes, start: int = 0) -> int:
    """Where the empty line ends, or -1. Lines may end in a bare LF (RFC 9112, section 2.2)."""
    crlf = data.find(b"\r\n\r\n", start)
    bare = data.find(b"\n\n", start)
    if crlf < 0:
        return bare + 2 if bare >= 0 else -1
    return min(crlf + 4, bare + 2) if bare >= 0 else crlf + 4


def _parse_head(data: bytes, rest: bytes) -> Head:
    lines = data.split(b"\n")
    matched = _STATUS_LINE.match(lines[0])
    if not matched:
        raise ProbeFailed(sentence("the answer is not HTTP/1: it begins {data}", data=printable(data)))
    fields: dict[bytes, list[bytes]] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            fields.setdefault(name.lower(), []).append(value.strip())
        elif line.strip() and line[:1] not in b" \t":  # an obsolete folded line is passed over
            raise ProbeFailed(sentence("the answer's header has a line that is no field: {line}", line=printable(line)))
    return Head(int(matched[1]), fields, rest)


class Body:
    """A body as it was read, no more than ``limit`` bytes of it, before and after decompressing.

    ``size``: bytes of content received; ``data``: the content, if it was to be kept. ``overlong``: it went on past
    the limit. ``surplus``: bytes came after the length that the header gave.
    """

    __slots__ = ("_inflater", "_keep", "_limit", "_plain", "data", "overlong", "size", "surplus")

    def __init__(self, limit: int, encoding: bytes, keep: bool) -> None:
        self._limit = limit
        self._inflater = _inflater(encoding)
        self._keep = keep
        self._plain = 0
        self.data = bytearray()
        self.size = 0
        self.overlong = False
        self.surplus = False

    def feed(self, piece: bytes) -> bool:
        """Add content; False when there is enough."""
        self.size += len(piece)
        room = self._limit - self._plain
        if self._inflater is not None:
            try:
                # one byte more than there is room for tells whether there is more
                piece = self._inflater.decompress(piece, room + 1)
            except zlib.error:
                raise ProbeFailed(sentence("the body is damaged: it does not decompress")) from None
        self._plain += len(piece)
        if self._keep:
            self.data += piece[:room]
        self.overlong = self._plain > self._limit or self.size > self._limit
        return not self.overlong

    def finish(self) -> None:
        """Raises Trouble when the content ends before its compression does."""
        if self._inflater is not None and self.size and not self.overlong and not self._inflater.eof:
            raise ProbeFailed(sentence("the body is damaged: its compressed stream is cut short"))


def _inflater(encoding: bytes) -> "zlib._Decompress | None":
    encoding = encoding.lower()
    if encoding in (b"", b"identity"):
        return None
    if encoding in (b"gzip", b"x-gzip", b"deflate"):
        return zlib.decompressobj(47)  # gzip or zlib, by its header
    raise ProbeFailed(
        sentence("the body is encoded as {encoding}, which was not asked for", encoding=printable(encoding))
    )


async def read_body(stream: TcpStream, head: Head, method: str, limit: int, keep: bool = True) -> Body:
    """The content of an answer, at most ``limit`` bytes of it. Raises Trouble when it ends early or is damaged."""
    body = Body(limit, head.last_value(b"content-encoding") or b"", keep)
    if method == "HEAD" or head.status in (101, 204, 304):
        return body
    transfer = b", ".join(head.fields.get(b"transfer-encoding", [])).lower()
    if transfer == b"chunked":
        await _read_chunks(stream, head.rest, body)
    elif transfer:
        raise ProbeFailed(
            sentence(
                "the body's transfer encoding is {transfer}, which was not asked for", transfer=printable(transfer)
            )
        )
    elif b"content-length" in head.fields:
        await _read_length(stream, head.rest, body, _content_length(head.fields[b"content-length"]))
    else:
        piece = head.rest
        while body.feed(piece):
            piece = await stream.receive()
            if not piece:
                break
    body.finish()
    return body


def _content_length(values: list[bytes]) -> int:
    if len(set(values)) > 1:
        raise ProbeFailed(sentence("the answer gives several different lengths of its body"))
    if not values[0].isdigit() or len(values[0]) > 18:
        raise ProbeFailed(sentence("the answer gives {values} as the length of its body", values=printable(values[0])))
    return int(values[0])


async def _read_length(stream: TcpStream, piece: bytes, body: Body, length: int) -> None:
    while True:
        left = length - body.size
        if len(piece) > left:
            body.surplus = True
            piece = piece[:left]
        if not body.feed(piece) or body.size == length:
            return
        piece = await stream.receive()
        if not piece:
            raise ProbeFailed(sentence("the body ended after {size} of {length} bytes", size=body.size, length=length))


class _Chunks:
    """A chunked body's bytes, by line and by count."""

    def __init__(self, stream: TcpStream, data: bytes) -> None:
        self._stream = stream
        self._data = data
        self._at = 0

    async def _receive_more(self) -> None:
        piece = await self._stream.receive()
        if not piece:
            raise ProbeFailed(sentence("the body ended within its chunks"))
        self._data, self._at = self._data[self._at :] + piece, 0

    async def line(self, limit: int = 4096) -> bytes:
        """Up to the next line's end, which is dropped."""
        while (end := self._data.find(b"\n", self._at)) < 0 and len(self._data) - self._at <= limit:
            await self._receive_more()
        if end < 0 or end - self._at > limit:
            raise ProbeFailed(sentence("the body's chunks are damaged: a line is too long"))
        line, self._at = self._data[self._at : end], end + 1
        return line.removesuffix(b"\r")

    async def piece(self, most: int) -> bytes:
        """At least one byte, at most ``most``."""
        if self._at == len(self._data):
            await self._receive_more()
        piece = self._data[self._at : self._at + most]
        self._at += len(piece)
        return piece


async def _read_chunks(stream: TcpStream, data: bytes, body: Body) -> None:
    chunks = _Chunks(stream, data)
    for count in itertools.count(1):
        text = (await chunks.line()).partition(b";")[0].strip()
        if not _CHUNK_SIZE.fullmatch(text):
            raise ProbeFailed(sentence("the body's chunks are damaged: {text} is no length", text=printable(text)))
        left = int(text, 16)
        if left == 0:
            break
        while left:
            piece = await chunks.piece(left)
            left -= len(piece)
            if not body.feed(piece):
                return
        if await chunks.line(2):
            raise ProbeFailed(sentence("the body's chunks are damaged: one is longer than it says"))
        if count % 256 == 0:
            await asyncio.sleep(0)  # thousands of tiny chunks must not hold the loop
    trailers = 0
    while line := await chunks.line():
        trailers += len(line)
        if trailers > MAX_HEAD:
            raise ProbeFailed(sentence("the body's trailer is endless"))
