"""Check zip and zip64 files (PKWARE's APPNOTE): every member read and compared with its checksum, one after another.

The directory is walked in pieces, so that a million members cost no memory. Taken up again where a member begins.
"""

import bz2
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from agent.backup.integrity.inflate import Inflate
from agent.backup.integrity.meter import (
    PIECE,
    BrokenCopy,
    BrokenStructure,
    CannotVerify,
    MeteredFile,
    State,
    SuspectCopy,
)
from inventory.protocol.reasons import sentence

_END: Final = struct.Struct("<4s4H2LH")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATE, _BZIP2 = 0, 8, 12
_ENCRYPTED: Final = 1 | 1 << 6 | 1 << 13  # usual, strong, and with a hidden directory
_PATCHED: Final = 1 << 5
_NEWEST: Final = 63  # version 6.3 of the format, the newest that programs in use unpack
_FULL: Final = 0xFFFFFFFF


class ZipEntry(msgspec.Struct, frozen=True):
    """A member as the directory has it."""

    name: bytes
    version: int  # of the format that it needs, 20 for 2.0
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int


class Zip:
    """A zip archive."""

    def __init__(self, source: MeteredFile, state: State | None) -> None:
        self._source = source
        self._done: int = state["done"] if state is not None else 0
        self._packed: int = state["packed"] if state is not None else 0
        self._cannot: str = state["cannot"] if state is not None else ""
        self.members = 0
        self.content: int = state["content"] if state is not None else 0  # bytes, by the directory

    def run(self) -> None:
        """Raises Broken, Cannot, Suspect."""
        begin, size, count, shift = self._directory()
        for number, entry in enumerate(self._entries(begin, size, count)):
            self.members += 1
            if number < self._done:
                continue
            self._packed += entry.packed
            self.content += entry.size
            if self._packed > self._source.size:
                raise SuspectCopy(sentence("its members lie over each other, as in a bomb; it was not read on"))
            self._member(number + 1, entry, entry.offset + shift)
            self._done = number + 1
            if self._source.meter.mark_due:
                self._source.meter.save_mark(
                    {"done": self._done, "packed": self._packed, "cannot": self._cannot, "content": self.content}
                )
        if self.members != count & 0xFFFF and self.members != count:
            raise BrokenStructure(
                sentence(
                    "its directory has {members} members, and ought to have {count}", members=self.members, count=count
                )
            )
        if self._cannot:
            raise CannotVerify(self._cannot)

    def _directory(self) -> tuple[int, int, int, int]:
        """(where it begins, its size, how many members, bytes that stand before the archive)."""
        source = self._source
        tail_at = max(0, source.size - 65_535 - _END.size)
        tail = source.read_at(tail_at, source.size - tail_at)
        places = [match.start() for match in re.finditer(b"PK\x05\x06", tail)]
        places = [place for place in places if len(tail) - place >= _END.size]
        if not places:
            raise BrokenStructure(sentence("its end, with the directory of its members, is missing"))
        # a comment may hold the same four letters: the true one leads to a directory, and its comment ends the file
        fitting = [place for place in places if self._leads_to_directory(tail, place, tail_at)]
        exact = [
            place for place in fitting if len(tail) - place - _END.size == tail[place + 20] + 256 * tail[place + 21]
        ]
        return self._end(tail, (exact or fitting or places)[-1], tail_at)

    def _leads_to_directory(self, tail: bytes, place: int, tail_at: int) -> bool:
        try:
            begin, _, count, _ = self._end(tail, place, tail_at)
            return not count or self._source.read_at(begin, 4) == b"PK\x01\x02"
        except BrokenCopy:
            return False

    def _end(self, tail: bytes, place: int, tail_at: int) -> tuple[int, int, int, int]:
        """As :meth:`_directory`, by the end that stands at ``place``."""
        source = self._source
        _, _, _, _, count, size, begin, _ = _END.unpack_from(tail, place)
        end = tail_at + place
        if (count == 0xFFFF or size == _FULL or begin == _FULL) and end >= _LOCATOR.size:
            magic, _, at, _ = _LOCATOR.unpack(source.read_at(end - _LOCATOR.size, _LOCATOR.size))
            if magic == b"PK\x06\x07":
                if at + _END64.size > source.size:
                    raise BrokenStructure(sentence("its directory is not where it ought to be"))
                fields = _END64.unpack(source.read_at(at, _END64.size))
                if fields[0] != b"PK\x06\x06":
                    raise BrokenStructure(sentence("its directory is not where it ought to be"))
                count, size, begin, end = fields[7], fields[8], fields[9], at
        shift = end - size - begin  # a program that unpacks itself may stand before it
        if shift < 0:
            raise BrokenStructure(sentence("its directory is not where it ought to be"))
        return begin + shift, size, count, shift

    def _entries(self, begin: int, size: int, count: int) -> Iterator[ZipEntry]:
        held, at, end = b"", begin, begin + size
        while True:
            while len(held) < 3 * 65_536 and at < end:
                piece = self._source.read_at(at, min(PIECE, end - at))
                held, at = held + piece, at + len(piece)
            if not held:
                return
            if len(held) < _ENTRY.size or held[:4] != b"PK\x01\x02":
                raise BrokenStructure(sentence("the directory of its members is damaged"))
            fields = _ENTRY.unpack_from(held)
            name, extra, comment = fields[10], fields[11], fields[12]
            whole = _ENTRY.size + name + extra + comment
            if whole > len(held):
                raise BrokenStructure(sentence("the directory of its members is damaged"))
            more = held[_ENTRY.size + name : _ENTRY.size + name + extra]
            yield _entry(held[_ENTRY.size : _ENTRY.size + name], fields, more)
            held = held[whole:]

    def _member(self, number: int, entry: ZipEntry, offset: int) -> None:
        if offset + _LOCAL.size > self._source.size:
            raise BrokenStructure(sentence("member {number} lies past the file's end", number=number))
        local = _LOCAL.unpack(self._source.read_at(offset, _LOCAL.size))
        if local[0] != b"PK\x03\x04":
            raise BrokenStructure(sentence("member {number} is not where the directory says", number=number))
        # its name there may be another (\\ for /, another charset): everybody goes by the directory's
        if entry.flags & _ENCRYPTED:
            self._cannot = sentence("it is encrypted: its members are there, their content cannot be judged")
            return
        if entry.flags & _PATCHED or entry.version > _NEWEST:
            self._cannot = sentence(
                "its members are there, but take a special program to unpack: they cannot be judged"
            )
            return
        begin = offset + _LOCAL.size + local[9] + local[10]
        if begin + entry.packed > self._source.size:
            raise BrokenStructure(sentence("member {number} lies past the file's end", number=number))
        self._source.offset = begin
        try:
            crc, size = self._content(entry)
        except BrokenCopy as error:
            raise BrokenCopy(sentence("member {number}: {error}", number=number, error=error)) from None
        if crc is not None and (crc, size) != (entry.crc, entry.size):
            raise BrokenCopy(sentence("member {number}: its content does not match its checksum", number=number))

    def _content(self, entry: ZipEntry) -> tuple[int | None, int]:
        """(checksum, size) of what comes out; no checksum where the method is not known here."""
        if entry.method == _DEFLATE:
            return self._deflated(entry.packed)
        if entry.method == _STORED:
            return self._decode(entry.packed, lambda piece: piece)
        if entry.method == _BZIP2:
            decoder = bz2.BZ2Decompressor()

            def unpacked(piece: bytes) -> bytes:
                return b"" if decoder.eof else decoder.decompress(piece, PIECE)

            return self._decode(entry.packed, unpacked, lambda: not decoder.needs_input and not decoder.eof)
        self._cannot = sentence(
            "it holds members packed by method {method}, which is not known here", method=entry.method
        )
        return None, 0

    def _pieces(self, count: int) -> Iterator[bytes]:
        while count:
            piece = self._source.read(min(PIECE, count))
            if not piece:
                raise BrokenCopy(sentence("the file ends too early"))
            count -= len(piece)
            yield piece

    def _decode(
        self, count: int, unpack: Callable[[bytes], bytes], more: Callable[[], bool] = lambda: False
    ) -> tuple[int, int]:
        crc = size = 0
        for piece in self._pieces(count):
            data = piece
            while True:
                try:
                    out = unpack(data)
                except OSError:
                    raise BrokenCopy(sentence("its content is damaged")) from None
                self._source.count_unpacked(len(out))
                crc, size = zlib.crc32(out, crc), size + len(out)
                data = b""
                if not more():
                    break
        return crc, size

    def _deflated(self, count: int) -> tuple[int, int]:
        inflate = Inflate()
        try:
            for piece in self._pieces(count):
                at = 0
                while not inflate.ended and (at < len(piece) or inflate.full):
                    out, at = inflate.feed(piece, at, False)
                    self._source.count_unpacked(len(out))
            if not inflate.ended:
                raise BrokenCopy(sentence("its content ends in the middle"))
            return inflate.crc, inflate.length
        finally:
            inflate.close()


def _entry(name: bytes, fields: tuple[int, ...], extra: bytes) -> ZipEntry:
    flags, method, crc, packed, size, offset = fields[3], fields[4], fields[7], fields[8], fields[9], fields[16]
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            values = iter(struct.unpack_from(f"<{length // 8}Q", extra[at + 4 : at + 4 + length].ljust(length, b"\0")))
            size = next(values, size) if size == _FULL else size
            packed = next(values, packed) if packed == _FULL else packed
            offset = next(values, offset) if offset == _FULL else offset
        at += 4 + length
    return ZipEntry(name, fields[2] & 0xFF, flags, method, crc, packed, size, offset)
