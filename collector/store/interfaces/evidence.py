"""Repositories of what ingest commits: batches and checkpoints, spans, sums, events, plans and checks.

Every method belongs to the transaction whose repository it is called on; numbers of rows grow in the order of commits.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from alerts.incident.finding import IngestFinding
from collector.ledger.state_step import Span
from collector.store.records import (
    AddedDeadLetter,
    AddedEvent,
    ClosedSpan,
    DeadLetter,
    DeferredBatch,
    DeferredPush,
    PlacedBatch,
    QuarantinedAgent,
    RegisteredCheck,
    SavedCheckpoint,
    StoredBatch,
    StoredCheckpoint,
    StoredEvent,
    StoredSums,
    SumBucket,
)


class BatchRepository(Protocol):
    """Pushes as received, and those of them that wait for the collector's clock."""

    def add(self, batches: Sequence[StoredBatch]) -> None: ...

    def after(self, number: int, limit: int) -> list[StoredBatch]:
        """Those numbered past it, in order."""

    def of_stream(self, stream: int, number: int, limit: int) -> list[StoredBatch]:
        """One agent's, those numbered past it, in order."""

    def newest_of(self, stream: int) -> StoredBatch | None: ...

    def body(self, number: int) -> bytes | None:
        """The push, None when it was pruned."""

    def last(self) -> int:
        """The highest number, 0 when there is none."""

    def defer(self, batches: Sequence[DeferredBatch]) -> None: ...

    def deferred(self) -> dict[int, int]:
        """Batches that wait, in order, each with its agent's stream."""

    def deferred_push(self, number: int) -> DeferredPush:
        """One that waits. Raises KeyError."""

    def place(self, batches: Sequence[PlacedBatch]) -> None:
        """These wait no longer."""

    def refuse(self, number: int) -> None:
        """It is one that was refused, and waits no longer."""

    def prune(self, covered: int, before: int, limit: int) -> int:
        """Delete the oldest that were received before a moment, up to the first younger one and up to number
        ``covered``, never one that waits, nor one of an agent in quarantine; gives how many."""


class CheckpointRepository(Protocol):
    """An agent's stream, its checkpoint, and from where a restart replays."""

    def stream(self, agent: str) -> int:
        """The agent's number; a new agent gets one."""

    def all(self) -> list[StoredCheckpoint]: ...

    def body(self, stream: int) -> bytes | None: ...

    def save(self, checkpoints: Sequence[SavedCheckpoint]) -> None: ...

    def replace_body(self, stream: int, body: bytes) -> None:
        """The same state, written anew."""

    def forget(self, stream: int) -> None:
        """The agent's state begins anew, behind the batch that the checkpoint held."""

    def replay_after(self) -> int:
        """Every batch up to this number is in a checkpoint."""

    def set_replay_after(self, number: int) -> None: ...


class SpanRepository(Protocol):
    """The ledger: closed spans. They are only added, and stay for ever."""

    def add(self, spans: Sequence[tuple[int, Span]]) -> None:
        """Each with its check's row."""

    def closed(self, checks: Sequence[int], begin: int, end: int) -> dict[int, list[Span]]:
        """Those of these checks that reach into the window, in order. Every check asked for is there."""

    def problems_after(self, number: int, limit: int) -> tuple[list[ClosedSpan], int]:
        """Spans degraded or down past a row, as they were committed; and the row to go on from."""

    def not_up(self, limit: int, before: int) -> list[ClosedSpan]:
        """The newest that were not up and ended before a moment, by their end, newest first."""

    def with_state(self, checks: Iterable[int], state: int, begin: int) -> set[int]:
        """Which of these checks have a span of this state that ends after ``begin``."""

    def first_start(self, check: int) -> int | None:
        """Where its first closed span begins."""

    def last(self) -> int:
        """The highest row, 0 when there is none."""


class SumRepository(Protocol):
    """Sums of latency and measures, in buckets of five minutes and of an hour."""

    def add(self, sums: Sequence[StoredSums]) -> None: ...

    def of_check(self, stream: int, check: int, begin: int, end: int, width: int) -> list[SumBucket]:
        """One check's buckets of this width that begin in the window, in order; several of one bucket add up."""

    def history(self, stream: int, check: int, begin: int, end: int, width: int) -> list[SumBucket]:
        """One check's buckets in the window, none of it twice: of an hour also the short ones not added up yet."""

    def roll_up(self, before: int, limit: int) -> int:
        """Add up the oldest hour before a moment that has short ones not added up yet; gives how many went into it."""

    def prune(self, width: int, before: int, limit: int) -> int:
        """Delete the oldest of this width that begin before a moment; short ones only once they are added up."""


class EventRepository(Protocol):
    """Findings and the agents' own lives: what the evaluator reads and people are shown."""

    def add(self, events: Sequence[AddedEvent]) -> None: ...

    def newest(
        self, *, agent: str | None = None, begin: int = 0, end: int = 2**62, limit: int = 1000
    ) -> list[StoredEvent]:
        """The newest in the window, newest first."""

    def findings_after(self, number: int, limit: int = 1000) -> list[tuple[int, IngestFinding]]:
        """Findings past a row, in the order in which they were committed, with their rows."""

    def findings_since(self, begin: int) -> list[IngestFinding]:
        """Recent findings of things that happened from ``begin`` on, in the order in which they were committed."""

    def agent_life(self, agent: str, begin: int) -> list[tuple[int, str, dict[str, Any]]]:
        """(at, kind, data) of an agent's starts and clean stops from ``begin`` on, in order."""

    def last(self) -> int:
        """The highest row, 0 when there is none."""

    def prune(self, before: int, limit: int) -> int: ...


class DeadLetterRepository(Protocol):
    """What could not be taken, with the reason."""

    def add(self, letters: Sequence[AddedDeadLetter]) -> None: ...

    def newest(self, *, agent: str | None = None, limit: int = 100) -> list[DeadLetter]:
        """Newest first."""

    def prune(self, before: int, keep: int, limit: int) -> int:
        """Delete the oldest: those from before a moment, and those beyond the newest ``keep``."""


class QuarantineRepository(Protocol):
    """Agents of which nothing is taken until a person releases them."""

    def all(self) -> list[QuarantinedAgent]:
        """Oldest first."""

    def put(self, agents: Sequence[QuarantinedAgent]) -> None:
        """One that is there already stays as it is."""

    def release(self, agent: str) -> bool:
        """Whether it was there."""


class PlanRepository(Protocol):
    """Plans by digest, for ever: a frame is judged by the plan it was made under."""

    def add(self, digest: bytes, agent: str, body: bytes, received: int) -> None:
        """One that is there already stays as it is."""

    def all(self) -> list[tuple[bytes, bytes]]:
        """(digest, body)."""


class CheckRepository(Protocol):
    """Every check that a plan ever named."""

    def all(self) -> list[RegisteredCheck]: ...

    def save(self, check: RegisteredCheck) -> RegisteredCheck:
        """Change it, or keep a new one (``id`` 0) under a row of its own; gives it as kept."""

    def begin_earlier(self, looks: Sequence[tuple[int, int]]) -> None:
        """(ms, row) of first looks: a check born later, or not yet, is born then."""
