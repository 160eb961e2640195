"""Frames on disk: how a result, a record or a fold is written, and how what survives is found again.

A frame is crc (4 bytes) | kind (1) and length (3) | seq (4) | body, little-endian; the CRC-32 covers all after
itself. What many frames share (epoch, boot, plan, the zero of their times) is a context frame. It stands before
every sync's frames, twice where it is new, and its own CRC seeds theirs: a frame is never read under a context
that is not its own, and one damaged context loses nothing. A damaged frame is stepped over by looking for the
next bytes that pass their CRC.
"""

import re
from collections.abc import Iterator
from struct import Struct as Packing
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from inventory.protocol.reasons import MAX_REASON, Phrase, to_wire
from inventory.protocol.wire import Position, Record, Run

MAGIC: Final = b"hdspool2"
READABLE: Final = (MAGIC, b"hdspool1")  # 1: a reason is plain text, never a phrase

# Kinds: bytes that text and small integers seldom hold, so that a search for the next frame stops seldom.
CONTEXT: Final = 0xE1
RESULT: Final = 0xE2
RECORD: Final = 0xE3
FOLD: Final = 0xE4

MAX_RECORD: Final = 16 << 10
MAX_SEQ: Final = 1 << 31
_HEADER: Final = Packing("<III")
_HEAD: Final = _HEADER.size
_LAST: Final = Packing("<I")
_LIFE: Final = Packing("<Q")
_CANDIDATE: Final = re.compile(rb"[\xe1-\xe4]")


class CheckResult(msgspec.Struct, array_like=True, frozen=True):
    """One look. ``check``: place in the plan. ``at``: boot ms of its start. ``latency``: microseconds.

    ``values``: in the plan's columns for the check's kind.
    """

    check: int
    at: int
    state: int
    latency: int | None
    values: tuple[int | None, ...]
    reason: str = ""


class StoredResult(msgspec.Struct, array_like=True, frozen=True):
    """A result as stored: ``at`` is ms after the context's base; what is empty at the end is left out."""

    check: int
    at: int
    state: int
    latency: int | None = None
    values: tuple[int | None, ...] = ()
    reason: str | Phrase = ""


class Fold(msgspec.Struct, array_like=True, frozen=True):
    """What a stretch of frames was folded into. Records are kept as they were."""

    runs: list[Run] = []
    records: list[Record] = []


class _Shared(msgspec.Struct, array_like=True, frozen=True):
    epoch: int
    boot: bytes
    plan: bytes
    base: int
    after: Position | None


class FrameContext:
    """What the frames after it share. ``base``: the boot ms their times count from. ``after``: where the chain
    stood when the epoch began. ``seed``: starts their CRCs."""

    __slots__ = ("after", "base", "boot", "encoded", "epoch", "plan", "seed")

    def __init__(self, epoch: int, boot: bytes, plan: bytes, base: int, after: Position | None) -> None:
        self.epoch, self.boot, self.plan, self.base, self.after = epoch, boot, plan, base, after
        self.encoded = _encode(_Shared(epoch, boot, plan, base, after))
        self.seed = crc32(self.encoded)

    def under(self, plan: bytes) -> "FrameContext":
        """The same epoch under another plan."""
        return FrameContext(self.epoch, self.boot, plan, self.base, self.after)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, FrameContext) and self.encoded == other.encoded)

    def __hash__(self) -> int:
        return self.seed


class SpoolFrame(NamedTuple):
    """A frame read or to be written. It stands for the seqs ``seq`` to ``last`` (one, unless it is a fold)."""

    kind: int
    seq: int
    last: int
    context: FrameContext
    body: bytes


class Heading(NamedTuple):
    """A context frame as read: the frames after it begin at ``seq``; ``life``: ms the spool had lived."""

    context: FrameContext
    seq: int
    life: int


_encode = msgspec.msgpack.Encoder().encode
_shared = msgspec.msgpack.Decoder(_Shared).decode
decode_result = msgspec.msgpack.Decoder(StoredResult).decode
decode_record = msgspec.msgpack.Decoder(Record).decode
_fold = msgspec.msgpack.Decoder(Fold).decode


def decode_fold(body: bytes) -> Fold:
    return _fold(body[_LAST.size :])


def rows_of(frame: "SpoolFrame") -> int:
    """Runs and records in a frame, as a collector counts them; a result is none of these."""
    if frame.kind == FOLD:
        folded = decode_fold(frame.body)
        return len(folded.runs) + len(folded.records)
    return int(frame.kind == RECORD)


def result_frame(context: FrameContext, seq: int, item: CheckResult) -> SpoolFrame:
    """Raises OverflowError when a number does not fit 64 bits."""
    fields: tuple[object, ...] = (item.check, item.at - context.base, item.state)
    if item.reason:
        reason = to_wire(item.reason)
        fields += (item.latency, item.values, reason[:MAX_REASON] if isinstance(reason, str) else reason)
    elif item.values:
        fields += (item.latency, item.values)
    elif item.latency is not None:
        fields += (item.latency,)
    return SpoolFrame(RESULT, seq, seq, context, _encode(fields))


def record_frame(context: FrameContext, seq: int, item: Record) -> SpoolFrame:
    """Raises ValueError when the record is longer than a record may be, TypeError for what msgpack cannot say."""
    body = _encode(item)
    if len(body) > MAX_RECORD:
        raise ValueError(f"a record of kind {item.kind!r} is {len(body)} bytes long; at most {MAX_RECORD} are kept")
    return SpoolFrame(RECORD, seq, seq, context, body)


def fold_frame(context: FrameContext, seq: int, last: int, fold: Fold) -> SpoolFrame:
    return SpoolFrame(FOLD, seq, last, context, _LAST.pack(last) + _encode(fold))


def write_heading(context: FrameContext, seq: int, life: int) -> bytes:
    return _write(CONTEXT, seq, _LIFE.pack(life) + context.encoded, 0)


def write_frame(frame: SpoolFrame) -> bytes:
    return _write(frame.kind, frame.seq, frame.body, frame.context.seed)


def size_of(frame: SpoolFrame) -> int:
    """Its bytes on disk."""
    return _HEAD + len(frame.body)


def _write(kind: int, seq: int, body: bytes, seed: int) -> bytes:
    covered = _HEADER.pack(0, kind | len(body) << 8, seq)[4:] + body
    return crc32(covered, seed).to_bytes(4, "little") + covered


def scan(data: bytes, context: FrameContext | None = None) -> Iterator[tuple[SpoolFrame | Heading, int]]:
    """All that survives in ``data``, each with the offset of its end. ``context``: what holds at its beginning."""
    everywhere: list[FrameContext] | None = None  # looked for only when something is damaged
    view = memoryview(data)
    pos, size = 0, len(data)
    while pos + _HEAD <= size:
        crc, head, seq = _HEADER.unpack_from(data, pos)
        kind = head & 0xFF
        end = pos + _HEAD + (head >> 8)
        if CONTEXT < kind <= FOLD and end <= size:
            covered = view[pos + 4 : end]
            if context is None or crc32(covered, context.seed) != crc:
                if everywhere is None:
                    everywhere = _contexts(data)
                matching = next((c for c in everywhere if crc32(covered, c.seed) == crc), None)
            else:
                matching = context
            if matching is not None:
                context = matching
                body = data[pos + _HEAD : end]
                last = _LAST.unpack_from(body)[0] if kind == FOLD else seq
                yield SpoolFrame(kind, seq, last, context, body), end
                pos = end
                continue
        elif kind == CONTEXT and (heading := _heading(data, pos)) is not None:
            context = heading.context if heading.context != context else context
            yield Heading(context, heading.seq, heading.life), end
            pos = end
            continue
        pos = _next_candidate(data, pos)


def _next_candidate(data: bytes, pos: int) -> int:
    """Where after ``pos`` a frame may begin: its kind is the byte at offset 4."""
    match = _CANDIDATE.search(data, pos + 5)
    return match.start() - 4 if match else len(data)


def _heading(data: bytes, pos: int) -> Heading | None:
    crc, head, seq = _HEADER.unpack_from(data, pos)
    end = pos + _HEAD + (head >> 8)
    if head & 0xFF != CONTEXT or end > len(data) or end - pos > 512 or crc32(data[pos + 4 : end]) != crc:
        return None
    start = pos + _HEAD
    try:
        shared = _shared(data[start + _LIFE.size : end])
    except msgspec.DecodeError:
        return None
    context = FrameContext(shared.epoch, shared.boot, shared.plan, shared.base, shared.after)
    return Heading(context, seq, _LIFE.unpack_from(data, start)[0])


def _contexts(data: bytes) -> list[FrameContext]:
    """Every context that survives anywhere in ``data``."""
    contexts: dict[FrameContext, None] = {}
    pos = data.find(bytes([CONTEXT])) - 4
    while pos + 4 >= 0 and pos + _HEAD <= len(data):
        if pos >= 0 and (heading := _heading(data, pos)) is not None:
            contexts[heading.context] = None
        after = data.find(bytes([CONTEXT]), pos + 5)
        if after < 0:
            break
        pos = after - 4
    return list(contexts)
