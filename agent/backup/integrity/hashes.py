"""Checksums that can be resumed: libcrypto's plain functions, whose state is a few bytes without pointers.

Where there is no libcrypto to call, hashlib's do the same but begin anew after a restart.
"""

import ctypes
import hashlib
from functools import cache
from typing import Any, Final

_STATE_SIZE: Final = 256  # bytes; the largest state, SHA-512's, takes 216
LENGTHS: Final = {32: "md5", 40: "sha1", 64: "sha256", 96: "sha384", 128: "sha512"}  # by hex digits
_SIZES: Final = {"md5": 16, "sha1": 20, "sha256": 32, "sha384": 48, "sha512": 64}


@cache
def _library() -> Any:
    for name in ("libcrypto.so.3", "libcrypto.so.1.1"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        if all(hasattr(library, f"{kind.upper()}_Init") for kind in _SIZES):
            return library
    return None


class ResumableHash:
    """One checksum being made. ``state`` is None where it cannot be kept."""

    def __init__(self, kind: str, state: bytes | None = None) -> None:
        self.kind = kind
        self._lib = _library()
        if self._lib is None:
            self._hashlib = hashlib.new(kind, usedforsecurity=False)
            return
        self._context = ctypes.create_string_buffer(state or b"", _STATE_SIZE)
        if state is None:
            self._call("Init", self._context)

    def _call(self, name: str, *arguments: Any) -> None:
        if getattr(self._lib, f"{self.kind.upper()}_{name}")(*arguments) != 1:
            raise RuntimeError(f"libcrypto does not do {self.kind}")

    def update(self, data: bytes) -> None:
        if self._lib is None:
            self._hashlib.update(data)
        else:
            self._call("Update", self._context, data, ctypes.c_size_t(len(data)))

    def state(self) -> bytes | None:
        return None if self._lib is None else self._context.raw

    def hexdigest(self) -> str:
        if self._lib is None:
            return self._hashlib.hexdigest()
        digest = ctypes.create_string_buffer(_SIZES[self.kind])
        self._call("Final", digest, self._context)
        return digest.raw.hex()
