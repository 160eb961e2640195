"""Keeps the last bytes of a command's output."""

import os
import threading
from typing import IO


class OutputTail:
    """The last bytes of what passed through, from any number of streams."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept = bytearray()
        self._lock = threading.Lock()

    def add(self, data: bytes) -> None:
        with self._lock:
            self._kept += data
            if len(self._kept) > 2 * self._size:
                del self._kept[: -self._size]

    def last(self) -> bytes:
        with self._lock:
            return bytes(self._kept[-self._size :])


def drain(source: IO[bytes], tail: OutputTail) -> None:
    """Read to the end, keep the end."""
    while data := os.read(source.fileno(), 65_536):
        tail.add(data)
