"""Undo the codings of a body (gzip, deflate, br, zstd), as browsers and curl do; output is bounded at every step.

All members and frames of a body are read, and what follows the last one is told. ``deflate`` is taken with zlib's
header and without it (RFC 9110, 8.4.1.2, tells why both are found).
"""

import importlib
import sys
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from agent.failure import ProbeFailed, printable
from inventory.protocol.reasons import sentence
from inventory.protocol.states import UNKNOWN

MAX_CODINGS: Final = 5  # one over the other, as browsers take them
_PLAIN: Final = frozenset({b"", b"identity", b"none", b"binary"})  # names of no coding, the last two in no standard
_GZIP_MAGIC: Final = b"\x1f\x8b"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


class UnknownCoding(ProbeFailed):
    """A coding that cannot be undone here: no evidence of what the body says."""


class Decoder(Protocol):
    """Undoes one coding. ``ended``: a member is complete, and no other begun; ``trailing``: bytes follow the last."""

    ended: bool
    trailing: bool

    def decode(self, data: bytes, most: int) -> bytes:
        """At most ``most`` bytes, from ``data`` and what was kept back before. Raises ProbeFailed."""

    @property
    def held(self) -> bool:
        """Whether it may have more to give without new data."""


def decoders(values: Iterable[bytes]) -> list[Decoder]:
    """For the values of Content-Encoding (or Transfer-Encoding), in the order to apply. Raises UnknownCoding."""
    names = [name.strip().lower() for value in values for name in value.split(b",")]
    names = [name for name in names if name not in _PLAIN]
    if len(names) > MAX_CODINGS:
        raise UnknownCoding(sentence("the body is encoded {count} times over", count=len(names)), UNKNOWN)
    return [_decoder(name) for name in reversed(names)]


def _decoder(name: bytes) -> Decoder:
    if name in (b"gzip", b"x-gzip", b"deflate", b"x-deflate"):
        return _Deflate()
    make = _brotli if name == b"br" else _zstd if name == b"zstd" else None
    step = make() if make is not None else None
    if step is None:
        raise UnknownCoding(
            sentence("the body is encoded as {encoding}, which this agent cannot undo", encoding=printable(name)),
            UNKNOWN,
        )
    return step


def damaged() -> ProbeFailed:
    return ProbeFailed(sentence("the body is damaged: it does not decompress"))


class _Deflate:
    """gzip members (RFC 1952), zlib (RFC 1950) or raw deflate (RFC 1951), by how the data begins."""

    def __init__(self) -> None:
        self.ended = self.trailing = False
        self._pending = b""
        self._inflate: Any = None
        self._raw_too = b""  # what to read as raw deflate, should it turn out not to be zlib's after all
        self._gzip = False

    @property
    def held(self) -> bool:
        return bool(self._pending) and not self.trailing

    def decode(self, data: bytes, most: int) -> bytes:
        data, self._pending = self._pending + data, b""
        out = b""
        while data and len(out) < most and not self.trailing:
            if self._inflate is None:
                if len(data) < 2:
                    break
                if not self._begin(data):
                    return out
            try:
                piece = self._inflate.decompress(data, most - len(out))
            except zlib.error:
                if not self._raw_too:
                    raise damaged() from None
                data, self._raw_too, self._inflate = self._raw_too, b"", zlib.decompressobj(-15)
                continue
            if piece:
                self._raw_too = b""
            elif self._raw_too:
                self._raw_too = self._raw_too if data is self._raw_too else self._raw_too + data
            out += piece
            data = self._inflate.unconsumed_tail
            if self._inflate.eof:
                data, self._inflate, self.ended, self._raw_too = self._inflate.unused_data, None, True, b""
        self._pending = data
        return out

    def _begin(self, data: bytes) -> bool:
        """Set up for what begins here; False when that is no further member."""
        if self.ended:
            if self._gzip and data[:2] == _GZIP_MAGIC:
                self._inflate, self.ended = zlib.decompressobj(31), False
                return True
            self.trailing = bool(data.strip(b"\0"))  # padding with zeros is no content (gzip takes it too)
            return False
        self._gzip = data[:2] == _GZIP_MAGIC
        if self._gzip:
            self._inflate = zlib.decompressobj(31)
        elif data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0:
            self._inflate, self._raw_too = zlib.decompressobj(15), data
        else:
            self._inflate = zlib.decompressobj(-15)
        return True


class _Steps:
    """A library's decompressor behind the same face. ``step(data, most)``; ``eof()``; ``rest()``: after the end."""

    def __init__(
        self,
        step: Callable[[bytes, int], bytes],
        waits: Callable[[], bool],
        eof: Callable[[], bool],
        errors: tuple[type[Exception], ...],
    ) -> None:
        self.ended = self.trailing = False
        self._step, self._waits, self._eof, self._errors = step, waits, eof, errors
        self._pending = b""

    @property
    def held(self) -> bool:
        return not self.ended and (bool(self._pending) or not self._waits())

    def decode(self, data: bytes, most: int) -> bytes:
        if self.ended:
            self.trailing = self.trailing or bool(data)
            return b""
        try:
            out = self._step(data, most)
        except self._errors:
            raise damaged() from None
        self.ended = self._eof()
        return out


def _brotli() -> Decoder | None:
    try:
        import brotli  # optional, and of no use to most agents
    except ImportError:
        return None
    decompressor = brotli.Decompressor()

    def step(data: bytes, most: int) -> bytes:
        # brotli refuses new data while output waits: it is taken piece by piece
        out: bytes = decompressor.process(data, output_buffer_limit=most)
        return out

    return _Brotli(step, decompressor.can_accept_more_data, decompressor.is_finished, (brotli.error,))


class _Brotli(_Steps):
    """Keeps data back while the library still has output to give; its limit of output is one of blocks, not bytes."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self._out = b""

    @property
    def held(self) -> bool:
        return bool(self._out) or super().held

    def decode(self, data: bytes, most: int) -> bytes:
        data, self._pending = self._pending + data, b""
        while len(self._out) < most and not self.ended:
            accepts = self._waits()
            if accepts and not data:
                break
            piece, data = (data, b"") if accepts else (b"", data)
            self._out += super().decode(piece, most)
        if self.ended and data:
            self.trailing = True
        else:
            self._pending = data
        out, self._out = self._out[:most], self._out[most:]
        return out


def _zstd() -> Decoder | None:
    try:
        if sys.version_info >= (3, 14):
            return _Zstd(importlib.import_module("compression.zstd"))
        from backports import zstd  # optional
    except ImportError:
        return None
    return _Zstd(zstd)


class _Zstd:
    """All frames of a body (RFC 8878); skippable ones are passed over by the library."""

    def __init__(self, library: Any) -> None:
        self.ended = self.trailing = False
        self._library = library
        # 8 MiB is the window that a body over HTTP may ask for (RFC 9659)
        self._options = {library.DecompressionParameter.window_log_max: 23}
        self._frame: Any = None
        self._pending = b""

    @property
    def held(self) -> bool:
        return not self.trailing and (bool(self._pending) or (self._frame is not None and not self._frame.needs_input))

    def decode(self, data: bytes, most: int) -> bytes:
        data, self._pending = self._pending + data, b""
        out = b""
        try:
            while len(out) < most and not self.trailing:
                if self._frame is None:
                    if len(data) < 4:
                        break
                    skippable = data[1:4] == b"\x2a\x4d\x18" and data[0] & 0xF0 == 0x50
                    if self.ended and not skippable and data[:4] != _ZSTD_MAGIC:
                        self.trailing = bool(data.strip(b"\0"))
                        return out
                    self._frame, self.ended = self._library.ZstdDecompressor(options=self._options), False
                elif self._frame.needs_input and not data:
                    break
                out += self._frame.decompress(data, most - len(out))
                data = b""
                if self._frame.eof:
                    data, self._frame, self.ended = self._frame.unused_data, None, True
        except self._library.ZstdError:
            raise damaged() from None
        self._pending = data
        return out
