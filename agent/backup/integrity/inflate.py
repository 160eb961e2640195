"""Inflate that can be resumed between blocks: zlib called directly, since Python's own wrapper cannot stop there.

A deflate stream can be taken up at the end of any of its blocks with the last 32 KiB that came out and the bits left
of the last byte that went in (zlib's manual: inflatePrime, inflateSetDictionary).
"""

import ctypes
from functools import cache
from typing import Any, Final

from agent.backup.integrity.meter import BrokenCopy, State
from inventory.protocol.reasons import sentence

OUT: Final = 256 * 1024
_NO_FLUSH, _BLOCK = 0, 5
_STREAM_END, _BUF_ERROR = 1, -5
_AT_BLOCK, _LAST_BLOCK = 128, 64


class _Stream(ctypes.Structure):
    _fields_ = (
        ("next_in", ctypes.c_void_p),
        ("avail_in", ctypes.c_uint),
        ("total_in", ctypes.c_ulong),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint),
        ("total_out", ctypes.c_ulong),
        ("msg", ctypes.c_char_p),
        ("state", ctypes.c_void_p),
        ("zalloc", ctypes.c_void_p),
        ("zfree", ctypes.c_void_p),
        ("opaque", ctypes.c_void_p),
        ("data_type", ctypes.c_int),
        ("adler", ctypes.c_ulong),
        ("reserved", ctypes.c_ulong),
    )


@cache
def library() -> Any:
    """zlib, which Python itself is linked with. Raises OSError when it is not found as a library of its own."""
    zlib = ctypes.CDLL("libz.so.1")
    zlib.zlibVersion.restype = ctypes.c_char_p
    zlib.crc32.restype = ctypes.c_ulong
    zlib.crc32.argtypes = (ctypes.c_ulong, ctypes.c_void_p, ctypes.c_uint)
    return zlib


class Inflate:
    """One raw deflate stream. ``ended``: it is complete; what follows it was not taken."""

    def __init__(self, state: State | None = None) -> None:
        self._zlib = library()
        self._stream = _Stream()
        self._out = ctypes.create_string_buffer(OUT)
        version = self._zlib.zlibVersion()
        if self._zlib.inflateInit2_(ctypes.byref(self._stream), -15, version, ctypes.sizeof(_Stream)) != 0:
            raise MemoryError("zlib has no memory")
        self.ended = False
        self.crc = 0
        self.length = 0  # bytes that came out
        if state is not None:
            self.crc, self.length = state["crc"], state["length"]
            window: bytes = state["window"]
            if state["bits"]:
                self._zlib.inflatePrime(ctypes.byref(self._stream), state["bits"], state["value"])
            if window:
                self._zlib.inflateSetDictionary(ctypes.byref(self._stream), window, len(window))

    def feed(self, data: bytes, begin: int, stop_at_block: bool) -> tuple[bytes, int]:
        """(what comes out, at most OUT bytes; up to where ``data`` was taken). Raises Broken."""
        held = ctypes.c_char_p(data)
        address = ctypes.cast(held, ctypes.c_void_p).value or 0
        stream = self._stream
        stream.next_in, stream.avail_in = address + begin, len(data) - begin
        stream.next_out, stream.avail_out = ctypes.addressof(self._out), OUT
        code = self._zlib.inflate(ctypes.byref(stream), _BLOCK if stop_at_block else _NO_FLUSH)
        if code not in (0, _STREAM_END, _BUF_ERROR):
            words = (stream.msg or b"the data make no sense").decode("ascii", "replace")
            raise BrokenCopy(
                sentence("damaged after {length} unpacked bytes: {words}", length=self.length, words=words)
            )
        produced = OUT - stream.avail_out
        self.crc = self._zlib.crc32(self.crc, ctypes.addressof(self._out), produced)
        self.length += produced
        self.ended = code == _STREAM_END
        return self._out.raw[:produced] if produced == OUT else ctypes.string_at(self._out, produced), len(
            data
        ) - stream.avail_in

    @property
    def full(self) -> bool:
        """More may come out without more going in."""
        return bool(self._stream.avail_out == 0)

    def state(self, last: int) -> State | None:
        """From where to go on, if this is between two blocks. ``last``: the last byte that went in."""
        kind = self._stream.data_type
        if self.ended or not kind & _AT_BLOCK or kind & _LAST_BLOCK:
            return None
        bits = kind & 7
        window, size = ctypes.create_string_buffer(32768), ctypes.c_uint(0)
        self._zlib.inflateGetDictionary(ctypes.byref(self._stream), window, ctypes.byref(size))
        return {
            "bits": bits,
            "value": last >> (8 - bits) if bits else 0,
            "window": window.raw[: size.value],
            "crc": self.crc,
            "length": self.length,
        }

    def close(self) -> None:
        self._zlib.inflateEnd(ctypes.byref(self._stream))
