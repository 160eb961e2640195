"""Check zstd files by the system's libzstd (on Debian it is there with dpkg itself): every frame's blocks and checksum.

Taken up again where a frame begins (pzstd and ``zstd`` on several files write many, ``zstd`` on one file one).
"""

import ctypes
from functools import cache
from typing import Any, Final

from agent.backup.integrity.meter import BrokenCopy, CannotVerify, MeteredFile, State
from agent.backup.integrity.sinks import Sink
from inventory.protocol.reasons import sentence

MAGIC: Final = b"\x28\xb5\x2f\xfd"
OUT: Final = 256 * 1024
_WINDOW_TOO_LARGE: Final = "Frame requires too much memory for decoding"


class _Buffer(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t))


@cache
def library() -> Any:
    """libzstd. Raises Cannot when this machine has none."""
    try:
        libzstd = ctypes.CDLL("libzstd.so.1")
    except OSError:
        raise CannotVerify(sentence("this machine has no libzstd to read zstd with; install libzstd1")) from None
    libzstd.ZSTD_createDStream.restype = ctypes.c_void_p
    libzstd.ZSTD_freeDStream.argtypes = (ctypes.c_void_p,)
    libzstd.ZSTD_initDStream.argtypes = (ctypes.c_void_p,)
    libzstd.ZSTD_initDStream.restype = ctypes.c_size_t
    libzstd.ZSTD_decompressStream.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    libzstd.ZSTD_decompressStream.restype = ctypes.c_size_t
    libzstd.ZSTD_isError.argtypes = (ctypes.c_size_t,)
    libzstd.ZSTD_getErrorName.argtypes = (ctypes.c_size_t,)
    libzstd.ZSTD_getErrorName.restype = ctypes.c_char_p
    return libzstd


class Zstd:
    """All frames of one file. A window of more than 128 MiB (``--long`` of 28 and more) is not taken up."""

    def __init__(self, source: MeteredFile, sink: Sink, state: State | None) -> None:
        self._source = source
        self._sink = sink
        if state is not None:
            source.offset = state["offset"]
            sink.restore(state["sink"])

    def run(self) -> None:
        """Raises Broken, Cannot."""
        lib = library()
        stream = lib.ZSTD_createDStream()
        try:
            lib.ZSTD_initDStream(stream)
            self._frames(lib, stream)
        finally:
            lib.ZSTD_freeDStream(stream)
        self._sink.finish()

    def _frames(self, lib: Any, stream: int) -> None:
        space = ctypes.create_string_buffer(OUT)
        out = _Buffer(ctypes.addressof(space), OUT, 0)
        inside = False  # a frame
        while data := self._source.read():
            held = ctypes.c_char_p(data)
            input_buffer = _Buffer(ctypes.cast(held, ctypes.c_void_p).value, len(data), 0)
            more = True
            while more:
                out.pos = 0
                code = lib.ZSTD_decompressStream(stream, ctypes.byref(out), ctypes.byref(input_buffer))
                if lib.ZSTD_isError(code):
                    self._fail(lib.ZSTD_getErrorName(code).decode("ascii", "replace"))
                if out.pos:
                    self._source.count_unpacked(out.pos)
                    self._sink.feed(ctypes.string_at(space, out.pos))
                inside = code != 0
                more = input_buffer.pos < input_buffer.size or (out.pos == OUT and inside)
                if not inside and self._source.meter.mark_due:
                    offset = self._source.offset - input_buffer.size + input_buffer.pos
                    self._source.meter.save_mark({"offset": offset, "sink": self._sink.state()})
        if inside:
            raise BrokenCopy(
                sentence("it ends in the middle, after {unpacked} unpacked bytes", unpacked=self._source.meter.unpacked)
            )

    def _fail(self, words: str) -> None:
        if words == _WINDOW_TOO_LARGE:
            raise CannotVerify(sentence("to unpack it takes more than 128 MiB of memory"))
        raise BrokenCopy(sentence("damaged near byte {offset}: {words}", offset=self._source.offset, words=words))
