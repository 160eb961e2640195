"""List the entries of a compiled gettext catalogue, which the standard library cannot."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MAGIC: Final = 0x950412DE


def entries(path: Path) -> Iterator[tuple[str, str]]:
    """(English, translation) of each entry. Raises OSError; ValueError for what is no catalogue."""
    data = path.read_bytes()
    if len(data) < 20:
        raise ValueError(f"{path.name} is not a compiled catalogue")
    order = "<" if struct.unpack_from("<I", data)[0] == _MAGIC else ">"
    magic, _, count, ids, texts = struct.unpack_from(f"{order}5I", data)
    if magic != _MAGIC:
        raise ValueError(f"{path.name} is not a compiled catalogue")
    for index in range(count):
        english, translation = (_text(data, order, table + 8 * index) for table in (ids, texts))
        if english:  # the head has none
            yield english, translation


def _text(data: bytes, order: str, at: int) -> str:
    length, start = struct.unpack_from(f"{order}2I", data, at)
    return data[start : start + length].decode("utf-8")
