"""Read the body of an HTTP/1.1 answer (RFC 9112, section 6) within a limit, with its codings undone."""

import asyncio
import itertools
import re
from typing import Final

from agent.clients.http.codings import Decoder, UnknownCoding, decoders
from agent.clients.http.http1 import MAX_HEAD, Head
from agent.clients.net.stream import CHUNK, TcpStream
from agent.failure import ProbeFailed, printable
from inventory.protocol.reasons import Why, sentence

_CHUNK_SIZE: Final = re.compile(rb"0*[0-9a-fA-F]{1,15}")


class Body:
    """A body as it was read, no more than ``limit`` bytes of it, before and after decompressing.

    ``size``: bytes of content received; ``data``: the content, if it was to be kept. ``overlong``: it went on past
    the limit. ``surplus``: bytes came after the length that the header gave. ``trailing``: bytes came after the end of
    the compressed content, and say nothing. ``undecoded``: why it was only counted, where nobody looks into it.
    """

    __slots__ = (
        "_decoders",
        "_keep",
        "_limit",
        "_plain",
        "data",
        "overlong",
        "size",
        "surplus",
        "trailing",
        "undecoded",
    )

    def __init__(self, limit: int, transfer: list[bytes], content: list[bytes], keep: bool) -> None:
        """``transfer``, ``content``: the values of the two fields that name codings. Raises UnknownCoding, if kept."""
        self._limit = limit
        self._keep = keep
        self._plain = 0
        self.data = bytearray()
        self.size = 0
        self.overlong = self.surplus = self.trailing = False
        self.undecoded: Why = ""
        try:
            self._decoders = [*decoders(transfer), *decoders(content)] if transfer or content else []
        except UnknownCoding as unknown:
            if keep:
                raise
            self._decoders, self.undecoded = [], unknown.reason

    def feed(self, piece: bytes) -> bool:
        """Add content; False when there is enough. Raises ProbeFailed when it does not decompress."""
        self.size += len(piece)
        if self._decoders:
            self._decode(0, piece)
        else:
            self._take(piece)
        self.overlong = self.overlong or self.size > self._limit
        return not self.overlong

    def _decode(self, place: int, data: bytes) -> None:
        decoder: Decoder = self._decoders[place]
        last = place + 1 == len(self._decoders)
        while not self.overlong:
            # one byte more than there is room for tells whether there is more
            out = decoder.decode(data, min(CHUNK, self._limit - self._plain + 1))
            if out and last:
                self._take(out)
            elif out:
                self._decode(place + 1, out)
            if not out or not decoder.held:
                return
            data = b""

    def _take(self, piece: bytes) -> None:
        room = self._limit - self._plain
        self._plain += len(piece)
        if self._keep:
            self.data += piece[:room] if len(piece) > room else piece
        self.overlong = self.overlong or self._plain > self._limit

    def finish(self) -> None:
        """Raises ProbeFailed when the content ends before its compression does."""
        if self.overlong or not self.size:
            return
        if not all(decoder.ended for decoder in self._decoders):
            raise ProbeFailed(sentence("the body is damaged: its compressed stream is cut short"))
        self.trailing = any(decoder.trailing or decoder.held for decoder in self._decoders)


async def read_body(stream: TcpStream, head: Head, method: str, limit: int, keep: bool = True) -> Body:
    """The content of an answer, at most ``limit`` bytes of it. Raises ProbeFailed when it ends early or is damaged."""
    transfer = [
        name
        for value in head.fields.get(b"transfer-encoding", ())
        for name in (part.strip().lower() for part in value.split(b","))
        if name not in (b"", b"identity")
    ]
    chunked = False
    while transfer and transfer[-1] == b"chunked":  # said twice it is still done once: curl reads it too
        chunked = bool(transfer.pop())
    if b"chunked" in transfer:
        raise ProbeFailed(
            sentence("the body's transfer encoding is {transfer}", transfer=printable(b", ".join(transfer)))
        )
    body = Body(limit, transfer, head.fields.get(b"content-encoding", []), keep)
    if method == "HEAD" or head.status in (101, 204, 304):
        return body
    if chunked:
        await _read_chunks(stream, head.rest, body)
    elif b"content-length" in head.fields and not transfer:
        await _read_length(stream, head.rest, body, content_length(head.fields[b"content-length"]))
    else:
        piece = head.rest
        while body.feed(piece):
            piece = await stream.receive()
            if not piece:
                break
    body.finish()
    return body


def content_length(values: list[bytes]) -> int:
    """The one length that is given, once or several times over (RFC 9112, 6.3). Raises ProbeFailed."""
    lengths = {part.strip() for value in values for part in value.split(b",")}
    if len(lengths) > 1:
        raise ProbeFailed(sentence("the answer gives several different lengths of its body"))
    (length,) = lengths
    if not length.isdigit() or len(length) > 18:
        raise ProbeFailed(sentence("the answer gives {values} as the length of its body", values=printable(length)))
    return int(length)


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
