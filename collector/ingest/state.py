"""The collector's state of one agent. It is replaced whole by its successor after the commit, never changed:
whoever reads one, in whatever thread, sees one moment.
"""

from typing import Any, NamedTuple

import msgspec

from collector.ingest.fast_path import LatestResult, Ledger
from collector.ingest.sums import Bucket, Sums
from collector.ingest.timing import Timing
from collector.ledger.steps import LedgerTail, Span
from collector.store import cells
from inventory.protocol.wire import Position

MAX_RECENT = 32  # ranges remembered, so that a repeat can be compared with what was taken


class Overlay(msgspec.Struct, array_like=True, frozen=True):
    """The present state of every check of an agent with a backlog. For pages and paging, never for the ledger.

    By check's row: (state, since as placed, consecutive looks).
    """

    at: int
    boot: bytes
    boot_ms: int
    checks: dict[int, tuple[int, int, int]]


class TakenFrames(msgspec.Struct, array_like=True, frozen=True):
    """Frames first..last of an epoch, as taken in a row of ``batches``."""

    batch: int
    epoch: int
    first: int
    last: int


class AgentState(msgspec.Struct, kw_only=True):
    """``batch``: the last row of ``batches`` accounted here. ``contact``: when it was last heard. ``deferred``: rows
    that wait for the collector's clock. ``backlog``: frames it said it still has. ``stopped``: of a clean stop, else
    None. ``unplaceable``: results that could not be placed in time. ``dead``: records dead-lettered.
    """

    agent: str
    stream: int
    watermark: Position | None = None
    batch: int = 0
    ledger: Ledger = Ledger()
    timing: Timing = msgspec.field(default_factory=Timing)
    recent: tuple[TakenFrames, ...] = ()
    deferred: tuple[int, ...] = ()
    overlay: Overlay | None = None
    contact: int = 0
    backlog: int = 0
    started: int | None = None
    stopped: int | None = None
    results: int = 0
    unplaceable: int = 0
    dead: int = 0
    health: dict[str, float] = {}
    about: dict[str, Any] = {}  # of its last start: version, platform
    sums: Sums = msgspec.field(default_factory=Sums)  # shared by successors; changed only after a commit

    @property
    def tails(self) -> dict[int, LedgerTail]:
        """The open end of each check's ledger, by row. To read only, in any thread."""
        self.ledger = ledger = self.ledger.materialized()
        return ledger.tails

    @property
    def latest(self) -> dict[int, LatestResult]:
        """Each check's newest result, by row. To read only, in any thread."""
        self.ledger = ledger = self.ledger.materialized()
        return ledger.latest

    def successor(self) -> "AgentState":
        """A copy to work on; :meth:`unfold` its ledger before changing a tail."""
        return msgspec.structs.replace(self)

    def writable_ledger(self) -> Ledger:
        """A ledger of its own, without a streak, whose tails may be replaced (not changed) one by one."""
        ledger = self.ledger.materialized()
        self.ledger = Ledger(ledger.tails.copy(), ledger.latest.copy())
        return self.ledger


class Checkpoint(msgspec.Struct, array_like=True, frozen=True):
    """An :class:`AgentState` as stored."""

    watermark: Position | None
    tails: dict[int, LedgerTail]
    latest: dict[int, LatestResult]
    timing: Timing
    recent: tuple[TakenFrames, ...]
    overlay: Overlay | None
    contact: int
    backlog: int
    started: int | None
    stopped: int | None
    results: int
    unplaceable: int
    dead: int
    health: dict[str, float]
    about: dict[str, Any]
    sums: list[tuple[int, bytes, bytes]]  # start, plan, cells as in the store


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Checkpoint)
_COPIED = [name for name in Checkpoint.__struct_fields__ if name != "sums"]


def checkpoint_sums(checkpoint: bytes) -> list[tuple[int, bytes, bytes]]:
    """(start, plan, cells as in the store) of the buckets that were open when a checkpoint was written."""
    return _decoder.decode(checkpoint).sums


def encode_state(state: AgentState, sums: list[Bucket]) -> bytes:
    """``sums``: the buckets that stay open."""
    packed = [(bucket.start, bucket.plan, cells.encode(bucket.cells)) for bucket in sums]
    return _encoder.encode(Checkpoint(**{name: getattr(state, name) for name in _COPIED}, sums=packed))


def decode_state(agent: str, stream: int, batch: int, body: bytes) -> AgentState:
    checkpoint = _decoder.decode(body)
    copied = {name: getattr(checkpoint, name) for name in _COPIED if name not in ("tails", "latest")}
    return AgentState(
        agent=agent,
        stream=stream,
        batch=batch,
        ledger=Ledger(checkpoint.tails, checkpoint.latest),
        sums=Sums([Bucket(start, plan, cells.decode(body)) for start, plan, body in checkpoint.sums]),
        **copied,
    )


def with_zero_counters(body: bytes) -> bytes:
    """A checkpoint whose counters start over: what a restored store begins with."""
    checkpoint = _decoder.decode(body)
    for tail in checkpoint.tails.values():
        tail.settled = [0, 0, 0, 0]
    return _encoder.encode(checkpoint)


class NewEvent(NamedTuple):
    """An event to store: :class:`alerts.incident.finding.IngestFinding` plus whether it is one."""

    at: int
    check: str | None
    kind: str
    data: dict[str, Any]
    finding: bool


class NewDeadLetter(msgspec.Struct, frozen=True):
    """A dead letter to store: ``count`` records with one reason, and the beginning of the first."""

    reason: str
    count: int
    body: bytes


class Effect(msgspec.Struct):
    """What a push does to the store, besides its own row."""

    spans: list[tuple[int, Span]] = []
    events: list[NewEvent] = []
    dead_letters: list[NewDeadLetter] = []
    born: list[tuple[int, int]] = []
