"""Check bzip2 files: every block's checksum, stream after stream; resumed where a stream begins."""

import bz2
from typing import Final

from agent.backup.integrity.meter import BrokenCopy, MeteredFile, State
from agent.backup.integrity.sinks import Sink
from inventory.protocol.reasons import sentence

MAGIC: Final = b"BZh"
OUT: Final = 256 * 1024


class Bzip2:
    """All streams of one file (pbzip2 writes many, bzip2 one)."""

    def __init__(self, source: MeteredFile, sink: Sink, state: State | None) -> None:
        self._source = source
        self._sink = sink
        if state is not None:
            source.offset = state["offset"]
            sink.restore(state["sink"])

    def run(self) -> None:
        """Raises Broken."""
        source, streams, rest = self._source, 0, b""
        while data := rest or source.read():
            if streams and not data.startswith(MAGIC[: len(data)]):
                break  # what follows the last stream is no part of it, as bzip2 itself has it
            rest = self._stream(data)
            streams += 1
            if source.meter.mark_due:
                source.meter.save_mark({"offset": source.offset - len(rest), "sink": self._sink.state()})
        self._sink.finish()

    def _stream(self, data: bytes) -> bytes:
        """One stream; returns the bytes after it."""
        decoder = bz2.BZ2Decompressor()
        try:
            while True:
                out = decoder.decompress(data, OUT)
                if out:
                    self._source.count_unpacked(len(out))
                    self._sink.feed(out)
                if decoder.eof:
                    return decoder.unused_data
                data = b""
                if decoder.needs_input:
                    data = self._source.read()
                    if not data:
                        raise BrokenCopy(
                            sentence(
                                "it ends in the middle, after {unpacked} unpacked bytes",
                                unpacked=self._source.meter.unpacked,
                            )
                        )
        except OSError:
            raise BrokenCopy(sentence("damaged near byte {offset}", offset=self._source.offset)) from None
