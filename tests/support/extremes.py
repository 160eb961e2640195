"""Every field of every wire type through its extremes: pushes made by introspection, so that a new field is tried
without anybody adding it."""

import copy
import math
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from inventory.protocol.plan import digest_of
from inventory.protocol.wire import Batch, Echo, Phrase, Position, Present, Push, Reading, Record, Run

INTEGERS = (0, 1, -1, 2**31, 2**41, 2**41 + 1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63))
OTHERS = (math.nan, math.inf, -math.inf, 1e300, "x", None, True, [], {})
TEXTS = ("", "x" * 5_000, "a\nb\x1b[31m\u202e\x00", '["{0}", ["a", ["{0}"]]]', "{0} {1:d}", 5, None, b"\xff")
BYTES = (b"", b"\xff" * 300, "x", 5, None)
FIRST = 2  # elements of a list that are tried: all are alike

RECORD_EXAMPLES: dict[str, dict[str, Any]] = {  # in an order in which none undoes what another says
    "stop": {"why": "stopped"},
    "clock": {"wall_ms": 1_793_000_000_000, "step_ms": 5_000},
    "refused": {"check": "0123456789abcdef", "why": "not within the networks"},
    "damaged": {"epoch": 5, "first": 3, "last": 9},
    "dropped": {"epoch": 5, "first": 3, "last": 9},
    "disk": {"state": "failing", "why": "no room"},
    "epoch": {"why": "cloned"},
    "start": {"wall_ms": 1_793_000_000_000, "version": "1", "platform": "x", "clean": False},
}


class ExtremePush(NamedTuple):
    """A push with one field changed."""

    where: str  # the field
    what: str  # what stands there
    body: bytes


class PushExample(NamedTuple):
    """What a true push of this moment would say."""

    boot: bytes
    boot_ms: int
    wall_ms: int
    echo: Echo | None
    watermark: Position | None
    epoch: int
    plan: bytes  # encoded
    widths: tuple[int, ...]  # value columns of the plan's checks, two of them at least

    def push(self) -> Push:
        """With something in every field."""
        now, widths, digest = self.boot_ms, self.widths, digest_of(self.plan)
        records = [Record(now - 90, kind, data) for kind, data in RECORD_EXAMPLES.items()]
        runs = [Run(0, 0, now - 100, now - 95, 3, Phrase("{0} is odd", ("it",)), 2, 60, 20, 40)]
        batch = Batch(
            epoch=self.epoch,
            previous=self.watermark,
            last=60,
            plan=digest,
            boot=self.boot,
            base=now - 80,
            checks=[0, 1],
            counts=[2, 1],
            at=[0, 5, 1],
            states=b"\x00\x02\x00",
            latency=[1_500, None, 900],
            values=[7] * (2 * widths[0] + widths[1]),
            reasons=[(1, Phrase("{0}: {1}", ("a", Phrase("{0}", ("b",)))))],
            runs=runs,
            records=records,
            missing=[(20, 30)],
            breach="lost",
            first=1,
        )
        checks = len(widths)
        present = Present(digest, self.boot, now, bytes(checks), [now - 1_000] * checks, [4] * checks)
        sent = Reading(self.boot, now, self.wall_ms)
        return Push(
            version=2,
            sent=sent,
            echo=self.echo,
            batch=batch,
            present=present,
            backlog=3,
            plans=[self.plan],
            health={"looks": 5.0},
        )


def body_of(raw: Any) -> bytes:
    return zlib.compress(msgspec.msgpack.encode(raw), 1)


def places(raw: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a decoded push, lists and maps themselves too."""
    if before:
        yield before
    if isinstance(raw, list):
        alike = before and len(raw) > FIRST and len({type(one) for one in raw}) == 1 and not isinstance(raw[0], list)
        for index, value in enumerate(raw[:FIRST] if alike else raw):
            yield from places(value, (*before, index))
    elif isinstance(raw, dict):
        for key, value in raw.items():
            yield from places(value, (*before, key))


def _extremes(value: Any) -> Iterator[Any]:
    if isinstance(value, str):
        yield from TEXTS
    elif isinstance(value, bytes):
        yield from BYTES
    elif isinstance(value, list | dict):
        yield from ({}, [], None, 5, [value, value])
    else:
        yield from INTEGERS
        yield from OTHERS


def changes(raw: Any) -> Iterator[tuple[tuple[Any, ...], str, Any]]:
    """(path, what, how) of every change: another value; ``how`` is MISSING or TWICE where it is left out or doubled."""
    for path in places(raw):
        value = _at(raw, path)
        for extreme in _extremes(value):
            yield path, repr(extreme)[:40], extreme
        yield path, "missing", MISSING
        yield path, "twice", TWICE
        if isinstance(value, list | dict):
            yield from ((path, what, together) for what, together in _together(value))


def _together(value: Any) -> Iterator[tuple[str, Any]]:
    """All integers of a list or map at once, at the ends and beside each other."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    numbers = [key for key in keys if isinstance(value[key], int) and not isinstance(value[key], bool)]
    if len(numbers) < 2:
        return
    for even, odd in ((LEAST, LEAST), (MOST, MOST), (LEAST, MOST), (MOST, LEAST), (2**53, 2**53), (0, 2**53)):
        together = copy.copy(value)
        for number, key in enumerate(numbers):
            together[key] = odd if number % 2 else even
        yield f"all {even}, {odd}", together
    for number in range(len(numbers) - 1):  # a range from end to end, whatever stands before it
        together = copy.copy(value)
        together[numbers[number]], together[numbers[number + 1]] = LEAST, MOST
        yield f"{numbers[number]} to {numbers[number + 1]} from end to end", together


LEAST, MOST = -(2**63), 2**64 - 1
MISSING, TWICE = object(), object()


def changed(raw: Any, path: tuple[Any, ...], how: Any) -> Any:
    """A copy with one place changed."""
    result = copy.deepcopy(raw)
    holder, last = _at(result, path[:-1]), path[-1]
    if how is MISSING:
        del holder[last]
    elif how is TWICE:
        if isinstance(holder, list):
            holder.insert(last, copy.deepcopy(holder[last]))
        else:
            holder[f"{last}2"] = holder[last]
    else:
        holder[last] = how
    return result


def _at(raw: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        raw = raw[step]
    return raw


def raw_of(push: Push) -> Any:
    """As msgpack has it: lists, maps and plain values."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(push))


def unfilled(value: Any, path: str = "push") -> Iterator[str]:
    """Fields of an example that say nothing, so that nothing of them would be tried."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from unfilled(getattr(value, name), f"{path}.{name}")
    elif value is None or (isinstance(value, list | dict | tuple | bytes | str) and not value):
        yield path
    elif isinstance(value, list | tuple):
        yield from unfilled(value[0], f"{path}[0]")
