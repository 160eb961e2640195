"""Check gzip files (RFC 1952): every member's header, data, checksum and length."""

import zlib
from typing import Final

from agent.backup.integrity.inflate import Inflate
from agent.backup.integrity.meter import BrokenCopy, MeteredFile, State, SuspectCopy
from agent.backup.integrity.sinks import Sink
from inventory.protocol.reasons import sentence

MAGIC: Final = b"\x1f\x8b"
LONGEST_HEADER: Final = 1 << 17
_FHCRC, _FEXTRA, _FNAME, _FCOMMENT = 2, 4, 8, 16


class Gzip:
    """All members of one file, from the beginning or from where it was left."""

    def __init__(self, source: MeteredFile, sink: Sink, state: State | None) -> None:
        self._source = source
        self._sink = sink
        self._data, self._at = b"", 0
        self._last = 0  # the byte before those that lie ready
        self._members = 0
        self._resume: State | None = None
        if state is not None:
            source.offset, self._members, self._resume = state["offset"], state["members"], state["inflate"]
            sink.restore(state["sink"])

    def run(self) -> None:
        """Raises Broken."""
        while True:
            if self._resume is None:
                if not self._more_members():
                    break
                self._header()
            self._member(Inflate(self._resume))
            self._resume = None
            self._members += 1
        self._sink.finish()

    def _more_members(self) -> bool:
        if self._fill(1) == 0:
            if self._members == 0:
                raise BrokenCopy(sentence("the file is empty"))
            return False
        if self._members and self._data[self._at] == 0:  # padding, as tapes and block devices leave it
            while self._fill(1):
                if self._data[self._at :].strip(b"\0"):
                    raise SuspectCopy(sentence("after its end come bytes that are no gzip data"))
                self._at = len(self._data)
            return False
        return True

    def _fill(self, count: int) -> int:
        """How many bytes lie ready, after trying to have ``count``."""
        while len(self._data) - self._at < count:
            piece = self._source.read()
            if not piece:
                break
            self._last = self._before()
            self._data, self._at = self._data[self._at :] + piece, 0
        return len(self._data) - self._at

    def _before(self) -> int:
        return self._data[self._at - 1] if self._at else self._last

    def _read(self, count: int) -> bytes:
        if self._fill(count) < count:
            raise BrokenCopy(sentence("the file ends too early"))
        data = self._data[self._at : self._at + count]
        self._at += count
        return data

    def _header(self) -> None:
        if self._members and (self._fill(2) < 2 or self._data[self._at : self._at + 2] != MAGIC):
            # what stands before them has come out whole, and gzip itself only warns
            self._sink.finish()
            raise SuspectCopy(sentence("after its end come bytes that are no gzip data"))
        header = self._read(10)
        if header[:2] != MAGIC:
            raise BrokenCopy(sentence("it does not begin as gzip does"))
        if header[2] != 8 or header[3] & 0xE0:
            raise BrokenCopy(sentence("its header makes no sense"))
        if header[3] & _FEXTRA:
            size = self._read(2)
            header += size + self._read(int.from_bytes(size, "little"))
        for flag in (_FNAME, _FCOMMENT):
            while header[3] & flag:
                letter = self._read(1)
                header += letter
                if letter == b"\0":
                    break
                if len(header) > LONGEST_HEADER:
                    raise BrokenCopy(sentence("its header does not end"))
        if header[3] & _FHCRC and int.from_bytes(self._read(2), "little") != zlib.crc32(header) & 0xFFFF:
            raise BrokenCopy(sentence("its header does not match its checksum"))

    def _member(self, inflate: Inflate) -> None:
        meter = self._source.meter
        try:
            while not inflate.ended:
                if not inflate.full and self._fill(1) == 0:
                    raise BrokenCopy(
                        sentence("it ends in the middle, after {length} unpacked bytes", length=inflate.length)
                    )
                marking = meter.mark_due
                out, self._at = inflate.feed(self._data, self._at, marking)
                if out:
                    self._source.count_unpacked(len(out))
                    self._sink.feed(out)
                if marking and (state := inflate.state(self._before())) is not None:
                    meter.save_mark(
                        {
                            "offset": self._source.offset - len(self._data) + self._at,
                            "members": self._members,
                            "inflate": state,
                            "sink": self._sink.state(),
                        }
                    )
            trailer = self._read(8)
        finally:
            inflate.close()
        if int.from_bytes(trailer[:4], "little") != inflate.crc:
            raise BrokenCopy(sentence("its content does not match its checksum"))
        if int.from_bytes(trailer[4:], "little") != inflate.length & 0xFFFFFFFF:
            raise BrokenCopy(sentence("its content does not have the length it ought to have"))
