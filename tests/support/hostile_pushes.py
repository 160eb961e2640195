"""Bodies of pushes made by hand, as no encoder of ours would: small to send, dear to decode."""

import zlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

pack = msgspec.msgpack.encode


class Sender(NamedTuple):
    """What of an agent stands in its pushes. ``now``: boot ms; ``plan``: digest."""

    boot: bytes
    now: int
    epoch: int
    plan: bytes


def array(count: int) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big")


def mapping(count: int) -> bytes:
    return b"\xdf" + count.to_bytes(4, "big")


def wide_phrase(depth: int) -> bytes:
    """A reason of 24 values, each of them such a reason."""
    return b"\x92\xa0" + (b"\xdc\x00\x18" + wide_phrase(depth - 1) * 24 if depth else b"\x90")


ELEMENTS = {  # the smallest that pass for one, by the column's name
    "checks": b"\x01",
    "counts": b"\x01",
    "at": b"\x01",
    "latency": b"\xc0",
    "values": b"\x01",
    "reasons": b"\x92\x00\xa1a",
    "runs": b"\x95\x00\x00\x00\x00\x01",
    "records": b"\x93\x00\xa0\x80",
    "missing": b"\x92\x20\x20",
}


def body_with(agent: Sender, fields: dict[str, bytes], columns: dict[str, bytes] | None = None) -> bytes:
    """A push whose fields, or whose batch's columns, are these bytes."""
    parts = {
        "version": pack(1),
        "sent": pack([agent.boot, agent.now, 0]),
        "echo": pack(None),
        "batch": pack(None),
        "present": pack(None),
        "backlog": pack(0),
        "plans": b"\x90",
        "health": b"\x80",
        **fields,
    }
    if columns is not None:
        head = b"".join(map(pack, (agent.epoch, None, 2**40, agent.plan, agent.boot, agent.now - 50)))
        usual = dict.fromkeys(ELEMENTS, b"\x90")
        names = ["checks", "counts", "at", "states", "latency", "values", "reasons", "runs", "records", "missing"]
        packed = {**usual, "states": b"\xc4\x00", **columns}
        parts["batch"] = b"\xdc\x00\x12" + head + b"".join(packed[name] for name in names) + pack("") + pack(0)
    return zlib.compress(b"\x98" + b"".join(parts.values()), 9)


def bombs(agent: Sender, size: int) -> Iterator[tuple[str, bytes]]:
    """Bodies that inflate to so many bytes of whatever costs most to hold, one for each place that takes many."""
    for name, element in ELEMENTS.items():
        count = size // len(element)
        yield name, body_with(agent, {}, {name: array(count) + element * count})
    count = size // 2
    yield "data", body_with(agent, {}, {"records": b"\x91\x93\x00\xa5start" + mapping(count) + b"\xa0\x01" * count})
    nested = b"\x93\x00\xa5start\x81\xa1a" + array(size) + b"\x90" * size
    yield "nested data", body_with(agent, {}, {"records": b"\x91" + nested})
    spread = b"\x93\x00\xa5start\x81\xa1a\xdc\x10\x00" + b"\x90" * 4096
    yield "data of many", body_with(agent, {}, {"records": array(size // len(spread)) + spread * (size // len(spread))})
    phrase = b"\x92\x00" + wide_phrase(3)
    count = max(1, size // len(phrase))
    yield "phrases", body_with(agent, {}, {"reasons": array(count) + phrase * count})
    yield "deep", body_with(agent, {}, {"reasons": b"\x91\x92\x00" + b"\x92\xa0\x91" * (size // 3) + b"\xa0"})
    yield "health", body_with(agent, {"health": mapping(size // 3) + b"\xa1a\x01" * (size // 3)})
    yield "plans", body_with(agent, {"plans": array(size // 2) + b"\xc4\x00" * (size // 2)})
    head = b"".join(map(pack, (agent.plan, agent.boot, agent.now, b"\0")))
    for place in (0, 1):
        columns = [array(size) + b"\x01" * size if place == at else b"\x90" for at in (0, 1)]
        yield f"present {place}", body_with(agent, {"present": b"\x96" + head + b"".join(columns)})
    extra = b"\x99" + zlib.decompress(body_with(agent, {}))[1:] + array(size) + b"\x90" * size
    yield "more fields", zlib.compress(extra, 9)
