"""Check xz files: decoded by liblzma, which checks every block; resumed at a block, by way of the index at the end.

To go on from block k a stream is made up of the same header, the blocks from k on and an index of those alone (the
.xz file format, 1.1.0, sections 2 to 4), so that liblzma still checks each block, and the index itself is checked here.
"""

import lzma
import zlib
from collections.abc import Iterator
from typing import Final

import msgspec

from agent.backup.integrity.meter import PIECE, BrokenCopy, CannotVerify, MeteredFile, State
from agent.backup.integrity.sinks import Sink
from inventory.protocol.reasons import sentence

MAGIC: Final = b"\xfd7zXZ\0"
MEMORY_LIMIT: Final = 256 << 20  # a dictionary of 64 MiB (xz -9) fits, a hostile one does not
LARGEST_INDEX: Final = 16 << 20
OUT: Final = 256 * 1024


class XzStream(msgspec.Struct, frozen=True):
    """One stream: where it begins, its blocks as (unpadded size, uncompressed size), its header, where it ends."""

    begin: int
    blocks: tuple[tuple[int, int], ...]
    header: bytes
    end: int

    def block(self, number: int) -> int:
        """Where a block begins; one past the last: where the index begins."""
        return self.begin + 12 + sum(_padded(size) for size, _ in self.blocks[:number])

    def index(self, first: int) -> bytes:
        """Index and footer for the blocks from ``first`` on."""
        remaining = self.blocks[first:]
        body = (
            b"\0"
            + _encode_integer(len(remaining))
            + b"".join(_encode_integer(size) + _encode_integer(out) for size, out in remaining)
        )
        body += bytes(-len(body) % 4)
        body += zlib.crc32(body).to_bytes(4, "little")
        tail = (len(body) // 4 - 1).to_bytes(4, "little") + self.header[6:8]
        return body + zlib.crc32(tail).to_bytes(4, "little") + tail + b"YZ"


class Xz:
    """All streams of one file, from the beginning or from the block where it was left."""

    def __init__(self, source: MeteredFile, sink: Sink, state: State | None) -> None:
        self._source = source
        self._sink = sink
        self._stream, self._block = 0, 0
        if state is not None:
            self._stream, self._block = state["stream"], state["block"]
            sink.restore(state["sink"])

    def run(self) -> None:
        """Raises Broken, Cannot."""
        try:
            streams = self._streams()
        except BrokenCopy:
            # it is damaged at its end; read it in order to say where
            self._decode(iter(self._source.read, b""))
            raise
        for number in range(self._stream, len(streams)):
            self._stream = number
            stream = streams[number]
            first = self._block
            self._decode(self._pieces(stream, first))
            self._block = 0
        self._sink.finish()

    def _pieces(self, stream: XzStream, first: int) -> Iterator[bytes]:
        """The bytes of a stream from a block on, with a mark between blocks when one is due."""
        if first == 0:
            yield stream.header
        offset = stream.block(first)
        if first:
            yield stream.header
        for number in range(first, len(stream.blocks)):
            if number > first and self._source.meter.mark_due:
                # the decoder has had, and has given, all of the blocks before
                self._source.meter.save_mark({"stream": self._stream, "block": number, "sink": self._sink.state()})
            end = offset + _padded(stream.blocks[number][0])
            self._source.offset = offset
            while self._source.offset < end:
                piece = self._source.read(min(PIECE, end - self._source.offset))
                if not piece:
                    raise BrokenCopy(sentence("the file ends too early"))
                yield piece
            offset = end
        yield stream.index(first)

    def _decode(self, pieces: Iterator[bytes]) -> None:
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY_LIMIT)
        try:
            for piece in pieces:
                out = decoder.decompress(piece, OUT)
                while out or not (decoder.needs_input or decoder.eof):
                    self._source.count_unpacked(len(out))
                    self._sink.feed(out)
                    out = b"" if decoder.eof else decoder.decompress(b"", OUT)
                if decoder.eof:
                    return
        except lzma.LZMAError as error:
            if "emory" in str(error):
                raise CannotVerify(
                    sentence(
                        "to unpack it takes more than {memory_limit} MiB of memory", memory_limit=MEMORY_LIMIT >> 20
                    )
                ) from None
            raise BrokenCopy(
                sentence("damaged near byte {offset}: {error}", offset=self._source.offset, error=error)
            ) from None
        raise BrokenCopy(
            sentence("it ends in the middle, after {unpacked} unpacked bytes", unpacked=self._source.meter.unpacked)
        )

    def _streams(self) -> list[XzStream]:
        """Every stream, found from the end: footer, index, header. Raises Broken."""
        streams: list[XzStream] = []
        end = self._source.size
        while end > 0:
            while end >= 4 and self._source.read_at(end - 4, 4) == b"\0\0\0\0":
                end -= 4  # padding
            if end < 32:
                raise BrokenCopy(sentence("the file ends too early"))
            stream = self._stream_before(end)
            streams.append(stream)
            end = stream.begin
        return streams[::-1]

    def _stream_before(self, end: int) -> XzStream:
        footer = self._source.read_at(end - 12, 12)
        if footer[10:] != b"YZ" or zlib.crc32(footer[4:10]) != int.from_bytes(footer[:4], "little"):
            raise BrokenCopy(sentence("its end is missing"))
        size = (int.from_bytes(footer[4:8], "little") + 1) * 4
        if size > LARGEST_INDEX:
            raise CannotVerify(sentence("its index is too large"))
        if size + 24 > end:
            raise BrokenCopy(sentence("its index makes no sense"))
        index = self._source.read_at(end - 12 - size, size)
        if zlib.crc32(index[:-4]) != int.from_bytes(index[-4:], "little"):
            raise BrokenCopy(sentence("its index does not match its checksum"))
        blocks = tuple(_records(index))
        begin = end - 12 - size - sum(_padded(unpadded) for unpadded, _ in blocks) - 12
        if begin < 0:
            raise BrokenCopy(sentence("its index tells of more than there is"))
        header = self._source.read_at(begin, 12)
        if header[:6] != MAGIC or header[6:8] != footer[8:10]:
            raise BrokenCopy(sentence("its header and its end do not belong together"))
        return XzStream(begin, blocks, header, end)


def _padded(size: int) -> int:
    return size + -size % 4


def _encode_integer(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _records(index: bytes) -> Iterator[tuple[int, int]]:
    """The sizes in an index. Raises Broken."""
    at = 1

    def number() -> int:
        nonlocal at
        value = shift = 0
        while True:
            if at >= len(index) or shift > 63:
                raise BrokenCopy(sentence("its index makes no sense"))
            byte = index[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    if index[0] != 0:
        raise BrokenCopy(sentence("its index makes no sense"))
    for _ in range(number()):
        yield number(), number()
