"""The messages that agent and collector exchange, as msgpack, deflated (zlib) around a push.

How a push is built. An agent's frames are one chain: (epoch, 1..n), then (next epoch, 1..m), and so on. A batch
is a stretch of one epoch under one plan and names the position that it continues from. The collector takes it
only if that position is its watermark, so the chain has no hole that nobody declared, and nothing is taken twice.

Results travel in columns, sorted by check and then by time: the ledger needs a check's results side by side,
columns of small integers compress to a few bytes a result, and a decoder makes few objects.

Times of results are milliseconds of the agent's boot-time clock; the collector places them.

Numbers that stand once in a message have types that bound them (protocol.bounds), so that the decoder refuses what
cannot be. Those of single results, runs, records and checks are plain: who takes them sets the bad ones aside.

Versions. 1: a reason is an English sentence. 2: it may be a phrase, a template and its values (protocol.reasons);
nothing else differs, so that what reads 2 reads 1. A program speaks VERSION and the two before it. The version stands
in the media type and in the message. Every answer to a push says in the header VERSIONS_HEADER what the collector
takes; an agent begins with the oldest that it speaks, by a push without a batch, and goes on with the newest that both
do. An answer is of the version of its push.
"""

import re
import zlib
from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any

import msgspec

from inventory.protocol.bounds import BootId, BootMs, Count, Digest, Epoch, PauseMs, Seq, WallMs
from inventory.protocol.reasons import Phrase, in_english, unpack

VERSION = 2
VERSIONS = (1, 2)  # that this program speaks, oldest first: N-2, N-1, N as far as there are so many
MAX_BODY = 1 << 20  # compressed bytes of a push
MAX_THROUGHPUT = 10 << 20  # bytes of one measurement of throughput, either way
MAX_DECODED = 16 << 20  # what it may inflate to
SIGNATURE_HEADER = "Haidang-Plan-Signature"  # of an answer to GET /v1/plan: base64 of the plan's signature
VERSIONS_HEADER = "Haidang-Wire"  # of an answer to a push: the versions that the collector takes, as "1, 2"


def push_type(version: int) -> str:
    """The media type of a push."""
    return f"application/vnd.haidang.push.v{version}+msgpack"


def ack_type(version: int) -> str:
    """The media type of an acknowledgement."""
    return f"application/vnd.haidang.ack.v{version}+msgpack"


PUSH_TYPE = push_type(VERSION)


def version_of(media_type: str, of: Callable[[int], str]) -> int | None:
    """The version that a media type (:func:`push_type` or :func:`ack_type`) names; None: none that we speak."""
    return next((version for version in VERSIONS if media_type == of(version)), None)


def versions_text() -> str:
    """The value of VERSIONS_HEADER."""
    return ", ".join(map(str, VERSIONS))


def common_version(headers: Mapping[str, str]) -> int:
    """The newest version that this program and who answered with these headers (lower-case names) both speak.

    Who says nothing speaks version 1; who has none in common is spoken to in the oldest, and refuses it in words.
    """
    theirs = {int(number) for number in re.findall(r"\d{1,4}", headers.get(VERSIONS_HEADER.lower(), "1"))}
    return max(theirs.intersection(VERSIONS), default=VERSIONS[0])


class Position(msgspec.Struct, array_like=True, frozen=True):
    """A place in an agent's chain of frames. Epochs are random: two of them have no order but the chain's."""

    epoch: Epoch
    seq: Seq


class Reading(msgspec.Struct, array_like=True, frozen=True):
    """The agent's clocks at one moment. ``boot`` names the boot (8 bytes); wall is its own, unproven."""

    boot: BootId
    boot_ms: BootMs
    wall_ms: WallMs


class Echo(msgspec.Struct, array_like=True, frozen=True):
    """The collector's time as the last ack gave it (``sent_ms``), and the boot time at which that ack arrived."""

    sent_ms: WallMs
    boot_ms: BootMs


class Run(msgspec.Struct, array_like=True, frozen=True):
    """Consecutive results of one check in one state, folded: no gap inside exceeds the check's hold.

    ``first`` and ``last`` are boot-time ms of the first and last look. Latency in microseconds.
    """

    check: int
    state: int
    first: int
    last: int
    count: int
    reason: str | Phrase = ""
    latency_count: int = 0
    latency_sum: int = 0
    latency_min: int = 0
    latency_max: int = 0


class Record(msgspec.Struct, array_like=True, frozen=True):
    """Something in the agent's own life at boot-time ms ``at``.

    Kinds: ``start`` {wall_ms, version, platform, clean: was the last end a clean stop}, ``stop`` {why},
    ``clock`` {wall_ms, step_ms} (the wall clock was stepped), ``refused`` {check, why} (a plan item outside the
    agent's own limits; why is a packed reason), ``damaged`` {epoch, first, last} (frames that did not survive),
    ``dropped`` likewise (given up for space), ``disk`` {state, why} (writes failing or back), ``epoch`` {why}
    (numbering began anew amid a life).
    """

    at: int
    kind: str
    data: dict[str, Any] = {}


class Batch(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """Frames (first..last) of one epoch under one plan; first is previous.seq + 1, or 1 when the epoch is new.

    ``plan`` is its digest (8 bytes). ``base``: boot ms. ``checks``: places in the plan, ascending, delta-coded
    (first absolute). ``counts``: results of each. ``at``: for each check its first result as ms after base, then ms
    since the check's previous one. ``states``: one byte a result. ``latency``: microseconds or None. ``values``: for
    each result the values of its kind's columns (plan.columns), in order, None where missing. ``reasons``: (place in
    the columns, reason) where a result has one. ``runs`` are older than every plain result of the batch.
    ``missing``: ranges of seq inside this batch that did not survive.
    ``breach``: "" for a whole chain, else why the chain between previous and first is broken although previous is
    the collector's watermark: "lost" (frames between are gone here) or "rolled back" (this disk never had them).
    first is then given.
    """

    epoch: Epoch
    previous: Position | None
    last: Seq
    plan: Digest
    boot: bytes
    base: int
    checks: list[int] = []
    counts: list[int] = []
    at: list[int] = []
    states: bytes = b""
    latency: list[int | None] = []
    values: list[int | None] = []
    reasons: list[tuple[int, str | Phrase]] = []
    runs: list[Run] = []
    records: list[Record] = []
    missing: list[tuple[int, int]] = []
    breach: str = ""
    first: Seq = 0

    @property
    def start(self) -> int:
        """The seq of the first frame."""
        if self.breach:
            return self.first
        return self.previous.seq + 1 if self.previous and self.previous.epoch == self.epoch else 1

    def places(self) -> list[int]:
        """``checks`` without the delta coding."""
        return list(accumulate(self.checks))


class Present(msgspec.Struct, array_like=True, frozen=True):
    """The state of every check now, in the plan's order, while a backlog is still to come. Never in the ledger.

    ``states``: one byte a check. ``since``: boot ms at which each took it. ``looks``: consecutive looks in it.
    """

    plan: Digest
    boot: BootId
    boot_ms: BootMs
    states: bytes
    since: list[int]
    looks: list[int]


class Push(msgspec.Struct, array_like=True, frozen=True, kw_only=True):
    """What an agent sends. Without a batch it only asks for the watermark (and keeps the clock's mapping fresh).

    ``backlog``: frames past the watermark, this batch not counted. ``plans``: plans the collector asked for.
    ``signatures``: of each of these plans, as the collector that served it gave it; b"" where the agent has none.
    ``health``: the agent about itself (names as in ``agent.runtime.status``), now and then.
    """

    version: int
    sent: Reading
    echo: Echo | None = None
    batch: Batch | None = None
    present: Present | None = None
    backlog: Count = 0
    plans: list[bytes] = []
    health: dict[str, float] = {}
    signatures: list[bytes] = []


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """What the collector answers; only this, parsed, acknowledges.

    ``verdict``: "taken"; "repeat" (had it already); "reposition" (the batch does not continue the watermark: go on
    from there); "conflict" (other content under the same positions: start a new epoch); "refused" (dead-lettered,
    with ``reason``; the watermark has passed it); "none" (no batch was sent).
    ``received_ms`` and ``sent_ms``: the collector's time, 0 while it does not trust its own clock.
    ``plan``: digest of the agent's plan as it is now. ``want``: digests of plans to send along and push again.
    ``pause_ms``: how long to wait before the next batch of a backlog.
    """

    incarnation: str
    verdict: str
    received_ms: WallMs
    sent_ms: WallMs
    watermark: Position | None = None
    plan: Digest | None = None
    want: list[bytes] = []
    pause_ms: PauseMs = 0
    reason: str = ""
    version: int = VERSION


class WireError(Exception):
    """A body that is not a message of ours; the text says why, in words for a log."""


_encoder = msgspec.msgpack.Encoder()
_push_decoder = msgspec.msgpack.Decoder(Push)
_ack_decoder = msgspec.msgpack.Decoder(Ack)


class _PushVersion(msgspec.Struct, array_like=True):
    """What every version's push begins with, whatever follows."""

    version: int


class _AckVersion(msgspec.Struct):
    version: int = VERSION


_push_version = msgspec.msgpack.Decoder(_PushVersion)
_ack_version = msgspec.msgpack.Decoder(_AckVersion)
_NOT_OURS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def encode_push(push: Push) -> bytes:
    """zlib over msgpack: the same push is the same bytes. Of version 1, it says its reasons in English only."""
    if push.version < 2 and push.batch is not None:
        push = msgspec.structs.replace(push, batch=_batch_in_english(push.batch))
    return zlib.compress(_encoder.encode(push), 6)


def _batch_in_english(batch: Batch) -> Batch:
    return msgspec.structs.replace(
        batch,
        reasons=[(place, in_english(reason)) for place, reason in batch.reasons],
        runs=[msgspec.structs.replace(run, reason=in_english(run.reason)) for run in batch.runs],
        records=[_record_in_english(record) for record in batch.records],
    )


def _record_in_english(record: Record) -> Record:
    why = record.data.get("why")
    if not isinstance(why, str) or unpack(why).plain:
        return record
    return msgspec.structs.replace(record, data={**record.data, "why": in_english(str(unpack(why)))})


def inflate(body: bytes, limit: int = MAX_DECODED) -> bytes:
    """Undo the compression of a push. Raises WireError on damage, trailing bytes, or more than ``limit`` bytes."""
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(body, limit)
    except zlib.error as error:
        raise WireError(f"not zlib: {error}") from None
    if inflater.unconsumed_tail:
        raise WireError(f"inflates to more than {limit} bytes")
    if not inflater.eof:
        raise WireError("truncated")
    if inflater.unused_data:
        raise WireError("bytes after the compressed stream")
    return data


def decode_push(body: bytes) -> Push:
    """Raises WireError for anything that is not a push of a version that we read."""
    data = inflate(body)
    try:
        push = _push_decoder.decode(data)
    except _NOT_OURS as error:
        _refuse_version(_push_version, data, "collector")
        raise WireError(f"not a push: {error}") from None
    if push.version not in VERSIONS:
        _refuse_version(_push_version, data, "collector")
    return push


def encode_ack(ack: Ack, version: int = VERSION) -> bytes:
    """``version``: of the push that is answered."""
    return _encoder.encode(msgspec.structs.replace(ack, version=version))


def decode_ack(body: bytes) -> Ack:
    """Raises WireError for anything else, a captive portal's page for one."""
    try:
        ack = _ack_decoder.decode(body)
    except _NOT_OURS as error:
        _refuse_version(_ack_version, body, "agent")
        raise WireError(f"not an acknowledgement: {error}") from None
    if ack.version not in VERSIONS:
        _refuse_version(_ack_version, body, "agent")
    return ack


def _refuse_version(
    decoder: "msgspec.msgpack.Decoder[_PushVersion] | msgspec.msgpack.Decoder[_AckVersion]", data: bytes, who: str
) -> None:
    """Raises WireError if this is of a version that we do not read; it may have another shape."""
    try:
        version = decoder.decode(data).version
    except _NOT_OURS:
        return
    if version not in VERSIONS:
        raise WireError(f"wire version {version}, this {who} reads {', '.join(map(str, reversed(VERSIONS)))}")
