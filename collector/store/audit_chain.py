"""The audit's hash chain: each row's hash covers the row and the hash before, so that no row can be changed, left out
or put in without every later hash being another. What is missing at the end shows only beside a head noted elsewhere.
"""

import hashlib
from typing import Final

import msgspec

GENESIS: Final = bytes(32)  # before the first row

_encode: Final = msgspec.json.Encoder().encode


def chained(previous: bytes, number: int, at: int, who: str, what: str, data: str) -> bytes:
    """The row's hash: SHA-256 over the hash before and ``[number,at,"who","what","data"]`` as JSON without spaces.

    ``data`` is the JSON text as it is kept.
    """
    return hashlib.sha256(previous + _encode([number, at, who, what, data])).digest()
