"""The collector's state of one agent. It is replaced whole by its successor after the commit, never changed:
whoever reads one, in whatever thread, sees one moment.
"""

from typing import Any

import msgspec

from collector.ingest.states.fast_path import LatestResult, Ledger
from collector.ingest.states.sums import Bucket, Sums
from collector.ingest.states.timing import Timing
from collector.ledger.state_step import LedgerTail
from collector.store import cells
from inventory.protocol.bounds import LATENCY_US, MOMENT_MS, MOST
from inventory.protocol.states import NAMES, UNKNOWN, UP
from inventory.protocol.wire import Position

MAX_RECENT = 32  # ranges remembered, so that a repeat can be compared with what was taken
EARLIEST, LATEST = MOMENT_MS  # ms: what a moment of the collector can be


class Overlay(msgspec.Struct, array_like=True, frozen=True):
    """The present state of all checks of an agent with a backlog. For pages and paging, never for the ledger."""

    at: int  # ms of the collector's clock when it was received
    boot: bytes  # the agent's boot in which it was said
    boot_ms: int  # and when in that boot
    checks: dict[int, tuple[int, int, int]]  # by check's row: state, since when as placed, consecutive looks


class RecentFrames(msgspec.Struct, array_like=True, frozen=True):
    """Frames as they were taken."""

    batch: int  # the number of their batch
    epoch: int
    first: int  # seq
    last: int


class AgentState(msgspec.Struct, kw_only=True):
    """All that is known of one agent at one moment."""

    agent: str
    stream: int  # the agent's number in the store
    watermark: Position | None = None  # the end of its chain here
    batch: int = 0  # the last batch that is applied here
    ledger: Ledger = Ledger()  # see ``tails`` and ``latest``
    timing: Timing = msgspec.field(default_factory=Timing)
    recent: tuple[RecentFrames, ...] = ()  # what was taken last
    deferred: tuple[int, ...] = ()  # batches that wait until the collector's clock is believed
    overlay: Overlay | None = None  # its present state, while it has a backlog
    contact: int = 0  # ms: when it was last heard, by a believed clock
    backlog: int = 0  # frames it said it still has
    started: int | None = None  # ms: its last start
    stopped: int | None = None  # ms: of a clean stop since then
    results: int = 0  # applied
    unplaceable: int = 0  # results that could not be placed in time
    dead: int = 0  # records dead-lettered
    health: dict[str, float] = {}  # numbers it tells about itself
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
        """A copy to work on; take its :meth:`writable_ledger` before replacing a tail."""
        return msgspec.structs.replace(self)

    def writable_ledger(self) -> Ledger:
        """A ledger of its own, without a fast path, whose tails may be replaced (not changed) one by one."""
        ledger = self.ledger.materialized()
        self.ledger = Ledger(ledger.tails.copy(), ledger.latest.copy())
        return self.ledger


def check_sound(state: AgentState) -> None:
    """Raises ValueError or TypeError for a state that cannot be: nobody who reads one has to ask. Cheap, for every
    push: of the checks' tails :func:`check_tail` judges when they are read."""
    started, stopped, contact = state.started, state.stopped, state.contact
    if not (  # comparisons, not calls: this is done for every push
        (started is None or EARLIEST <= started <= LATEST)
        and (stopped is None or EARLIEST <= stopped <= LATEST)
        and (contact == 0 or EARLIEST <= contact <= LATEST)  # 0: never heard
        and 0 <= state.batch <= MOST
        and 0 <= state.backlog <= MOST
        and 0 <= state.results <= MOST
        and 0 <= state.unplaceable <= MOST
        and 0 <= state.dead <= MOST
    ):
        raise ValueError("moments or counts that cannot be")
    if not (
        isinstance(state.health, dict)
        and isinstance(state.about, dict)
        and isinstance(state.recent, tuple)
        and isinstance(state.deferred, tuple)
        and isinstance(state.timing, Timing)
        and isinstance(state.overlay, Overlay | None)
        and isinstance(state.watermark, Position | None)
    ):
        raise TypeError("a field of another type")


def check_tail(tail: LedgerTail) -> LedgerTail:
    """The tail. Raises ValueError or TypeError for one that cannot be."""
    if not (UP <= tail.state <= UNKNOWN and 0 <= tail.hold <= MOST and 0 <= tail.error_to <= MOST):
        raise ValueError("a state that does not exist, or a hold that cannot be")
    moments = (tail.start, tail.sure_from, tail.last)
    if not all(-MOST <= at <= MOST for at in moments) or not 0 <= tail.error_from <= MOST:
        raise ValueError("moments that cannot be")
    if len(tail.settled) != len(NAMES) or not -MOST <= tail.looks <= MOST or not isinstance(tail.reason, str):
        raise ValueError("counts that cannot be")
    return tail


def check_latest(newest: LatestResult) -> LatestResult:
    """The result. Raises ValueError or TypeError for one that cannot be."""
    if not (-MOST <= newest.at <= MOST and isinstance(newest.reason, str) and isinstance(newest.values, list)):
        raise ValueError("a newest result that cannot be")
    if newest.latency is not None and not LATENCY_US.hold(newest.latency):
        raise ValueError("a latency that cannot be")
    return newest


class Checkpoint(msgspec.Struct, array_like=True, frozen=True):
    """An :class:`AgentState` as stored; its fields are explained there."""

    watermark: Position | None
    tails: dict[int, LedgerTail]
    latest: dict[int, LatestResult]
    timing: Timing
    recent: tuple[RecentFrames, ...]
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
