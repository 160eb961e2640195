"""The one door: a store, and a transaction with every repository in it.

A unit of work is a plain function that is given a :class:`Transaction` and calls its repositories. It runs in a thread
that may block, so a store over the network waits there for its answers and the loop never does; it must not wait for
anything else, nor keep the transaction. What it gives back is all that leaves the store.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

from collector.store.interfaces.alerting import (
    CircuitRepository,
    CursorRepository,
    IncidentRepository,
    OutboxRepository,
    PowerRepository,
    UnsubscribedRepository,
)
from collector.store.interfaces.evidence import (
    BatchRepository,
    CheckpointRepository,
    CheckRepository,
    DeadLetterRepository,
    EventRepository,
    PlanRepository,
    QuarantineRepository,
    SpanRepository,
    SumRepository,
)
from collector.store.interfaces.people import (
    AuditRepository,
    CertificateRepository,
    CodeRepository,
    ExclusionRepository,
    IncarnationRepository,
    KeptMachineRepository,
    LifeRepository,
    RevocationRepository,
    SessionRepository,
)

T = TypeVar("T")


class Transaction(Protocol):
    """The repositories, bound to one transaction: what they read is of one moment, what they write is kept whole or
    not at all."""

    batches: BatchRepository
    checkpoints: CheckpointRepository
    spans: SpanRepository
    sums: SumRepository
    events: EventRepository
    dead_letters: DeadLetterRepository
    quarantine: QuarantineRepository
    plans: PlanRepository
    checks: CheckRepository
    incidents: IncidentRepository
    cursor: CursorRepository
    outbox: OutboxRepository
    unsubscribed: UnsubscribedRepository
    circuits: CircuitRepository
    power: PowerRepository
    codes: CodeRepository
    certificates: CertificateRepository
    revocations: RevocationRepository
    kept_machines: KeptMachineRepository
    audit: AuditRepository
    sessions: SessionRepository
    exclusions: ExclusionRepository
    life: LifeRepository
    incarnations: IncarnationRepository

    def sizes(self) -> dict[str, int]:
        """Rows by table, about, and all ``bytes``."""


class Store(Protocol):
    """An opened store. Every call raises StoreError when the store cannot do it."""

    incarnation: str  # random, new whenever the store is created or restored
    count_from: int  # when the incarnation began: counters count from here

    @property
    def broken(self) -> asyncio.Event:
        """Set when the process has to end: what is kept is not known."""

    @property
    def commit_seconds(self) -> float:
        """What the last commit took, until it was durable."""

    @property
    def wal_pages(self) -> int:
        """Of the log that is not copied back yet."""

    async def read(self, work: Callable[[Transaction], T]) -> T:
        """Do ``work``, which only reads, on one snapshot, in a thread."""

    def read_now(self, work: Callable[[Transaction], T]) -> T:
        """As :meth:`read`, on this thread: for starting up, when there is no one to keep waiting."""

    async def write(self, work: Callable[[Transaction], T]) -> T:
        """Do ``work`` in a transaction of its own, in the writer's thread. Durable when it returns; when ``work``
        raises, nothing of it is kept and the exception passes."""

    async def commit(self, work: Callable[[Transaction], T]) -> T:
        """As :meth:`write`, for the many small statements of a group commit: ``work`` may run on the loop's thread,
        and only the wait until it is durable leaves it."""

    async def close(self) -> None:
        """Waits for what is under way."""
