"""What the store keeps, as values: what repositories take and give. Times are ms of the collector's time."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from collector.ledger.state_step import Span
from inventory.model.entities import Selector
from inventory.protocol.identity import CheckIdentity

LinkKey = tuple[str, str, str]  # link, provider, cause
Lifespan = tuple[int | None, int | None]  # of a check: born, ended; None: not known, not ended


# -- evidence and ledger


class StoredBatch(NamedTuple):
    """A push as received: the evidence. Tuples, because a commit writes hundreds of them."""

    id: int  # given by who writes it: batches are numbered in the order of their commit
    stream: int  # the agent's, see StoredCheckpoint
    received: int
    believed: bool  # False: by a clock that was not believed, so it says nothing about the agent's
    epoch: int
    first: int
    last: int
    placing: bytes | None  # how it was placed in time; None: it could not be; empty: refused
    body: bytes


class DeferredBatch(NamedTuple):
    """A batch that waits until the collector trusts its clock."""

    batch: int
    boot: bytes  # of the collector
    received: int  # ms of the collector's boot-time clock


class DeferredPush(NamedTuple):
    """A deferred batch with what is needed to place it."""

    boot: bytes
    received: int  # ms of the collector's boot-time clock
    body: bytes


class PlacedBatch(NamedTuple):
    """A deferred batch that is placed now."""

    batch: int
    received: int
    believed: bool  # whether it can be said after all when it was received
    placing: bytes | None


class StoredCheckpoint(NamedTuple):
    """Where a restart takes an agent's state up."""

    stream: int  # the agent's number, for life
    agent: str
    batch: int  # every batch of this agent up to this one is in the checkpoint
    body: bytes | None  # see collector.ingest.states.state; None: nothing was saved yet


class SavedCheckpoint(NamedTuple):
    """A checkpoint to write."""

    stream: int
    batch: int
    contact: int  # when the agent was last heard
    body: bytes


class ClosedSpan(msgspec.Struct, frozen=True):
    """A closed span that was not up."""

    id: int  # its row: rows grow in the order in which spans were committed
    check: int  # the check's row
    span: Span


class StoredSums(NamedTuple):
    """Sums of all checks of an agent in one bucket. Several of one bucket add up."""

    stream: int
    start: int
    width: int
    plan: bytes  # digest: names the value columns
    body: bytes  # see collector.store.cells


class SumBucket(msgspec.Struct, frozen=True):
    """One check's bucket."""

    start: int
    width: int
    plan: bytes  # digest: names the value columns
    measures: list[list[int]]  # latency (µs), then the plan's columns: each [n, sum, least, most], n = 0: not measured


class QuarantinedAgent(NamedTuple):
    """An agent of which nothing is taken, because it made the collector fail."""

    agent: str
    since: int
    place: str  # at what, a word: see collector.ingest.quarantine
    why: str  # a packed reason
    batch: int  # the stored batch that did it, 0: none


# -- plans, checks, events


class RegisteredCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A check as registered: its row is for life."""

    id: int  # its row
    agent: str
    uid: str
    name: str
    kind: str
    born: int | None  # None until a plan was served or a look was placed
    ended: int | None

    @property
    def identity(self) -> CheckIdentity:
        return CheckIdentity(self.agent, self.uid)


class AddedEvent(NamedTuple):
    """An event to keep."""

    at: int
    agent: str  # "": the collector's own
    check: str | None  # its uid
    kind: str
    data: Mapping[str, Any]
    finding: bool  # it is for the evaluator too


class StoredEvent(msgspec.Struct, frozen=True):
    """An event as kept."""

    id: int
    at: int
    agent: str
    check: str | None  # its uid
    kind: str
    data: dict[str, Any]
    finding: bool  # it is for the evaluator too


class AddedDeadLetter(NamedTuple):
    """What could not be taken."""

    at: int
    agent: str
    reason: str
    times: int  # how many of the same stand in this row
    body: bytes  # the beginning of the first


class DeadLetter(msgspec.Struct, frozen=True):
    """What could not be taken, as kept."""

    id: int
    at: int
    agent: str
    reason: str
    count: int  # how many of the same stand in this row
    body: bytes  # the beginning of the first


# -- the collector's own life


class CollectorRun(msgspec.Struct, frozen=True):
    """One run of the collector."""

    started: int
    alive: int  # known to be alive until then
    stopped: int | None  # None: it was killed, or still runs
    trusted: bool  # whether it trusted its clock


class Incarnation(msgspec.Struct, frozen=True):
    """One life of the store: created, or restored from a copy."""

    id: str  # random
    count_from: int  # counters of settled time start here at 0


# -- what the evaluator remembers


class EvaluatorCursor(msgspec.Struct, frozen=True):
    """Where the evaluator was."""

    events: int  # every event up to this row was taken
    spans: int  # every closed span up to this row
    at: int = 0  # when it last committed
    book: bytes | None = None  # the state of incidents without the incidents; None: it never ran


class PowerCounter(msgspec.Struct, frozen=True):
    """Settled time of a site's power."""

    upto: int  # counted up to here
    settled: tuple[int, int, int, int] = (0, 0, 0, 0)  # ms on mains, on battery, without power, unknown


# -- people and identities


class EnrolmentCode(msgspec.Struct, frozen=True):
    """A code to enrol with; the secret itself is kept nowhere."""

    secret_hash: bytes
    agent: str
    made_at: int
    expires_at: int
    used_key: bytes | None = None  # hash of the public key it was used with
    used_at: int | None = None


class IssuedCertificate(msgspec.Struct, frozen=True):
    """A certificate to keep."""

    serial: str  # 40 hex digits: they sort
    agent: str
    issued_at: int
    not_after: int
    how: str  # enrolled, renewed, or kept: renewed by the machine that a person keeps


class RegisteredCertificate(msgspec.Struct, frozen=True):
    """An agent's newest certificate."""

    serial: int
    not_after: int


class Revocation(msgspec.Struct, frozen=True):
    """Certificates of an agent that are void."""

    agent: str
    up_to: str  # serials up to this one (40 hex digits)
    at: int
    who: str
    reason: str
    how: Literal["revoked", "replaced"] = "revoked"  # replaced: a newer enrolment is in use


class AgentMachine(msgspec.Struct, frozen=True):
    """A machine that pushes as an agent: what it says of itself, and what the collector sees. Times in ms.

    ``boot`` and ``start`` are "" for an agent of before, which does not say them.
    """

    boot: str
    start: str  # random for each start of its program
    name: str
    address: str
    serial: str  # of its certificate, 40 hex digits
    since: int
    last: int

    @property
    def ident(self) -> str:
        """What a person calls it by."""
        return self.start[:8] or self.serial[-8:]


class KeptMachine(msgspec.Struct, frozen=True):
    """Of several machines with one identity, the one that a person keeps."""

    agent: str
    up_to: str  # certificates up to this serial are for the kept machine alone
    kept: AgentMachine
    others: tuple[AgentMachine, ...]
    at: int
    who: str


class DeclaredExclusion(msgspec.Struct, frozen=True, kw_only=True):
    """Time that does not count, as a person declared it: [begins, ends)."""

    id: int
    select: Selector  # of which checks
    begins: int
    ends: int
    reason: str
    who: str
    at: int


class AuditRow(msgspec.Struct, frozen=True):
    """Something that a person or a program did."""

    number: int
    at: int
    who: str
    what: str
    data: str  # JSON
    hash: bytes  # see collector.store.audit_chain


class AuditHead(msgspec.Struct, frozen=True):
    """Where the audit's chain ends: noted elsewhere, it proves that nothing was cut off."""

    number: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.number}:{self.hash.hex()}"


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which rows of the audit; None: whatever it is."""

    who: str | None = None
    what: str | None = None
    agent: str | None = None  # that it is about, or that did it
    begin: int | None = None
    end: int | None = None


class StoredSession(NamedTuple):
    """A session of a person who logged in."""

    hash: bytes  # of the secret in the cookie, which is kept nowhere
    user: str
    mark: bytes  # of what was kept of the password when it began
    begun: int
    seen: int  # about when it was last in use
