"""Repositories of identities, of what people did, and of the collector's own life."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from collector.store.records import (
    AuditFilter,
    AuditHead,
    AuditRow,
    CollectorRun,
    DeclaredExclusion,
    EnrolmentCode,
    Incarnation,
    IssuedCertificate,
    KeptMachine,
    RegisteredCertificate,
    Revocation,
    StoredSession,
)
from inventory.model.entities import Selector


class CodeRepository(Protocol):
    """Enrolment codes, by the hash of their secret."""

    def add(self, code: EnrolmentCode) -> None: ...

    def find(self, secret_hash: bytes) -> EnrolmentCode | None: ...

    def use(self, secret_hash: bytes, at: int, key: bytes) -> None: ...

    def end(self, agent: str) -> None:
        """None of the agent's codes is answered any more, nor is one that was used answered again."""

    def prune(self, before: int, limit: int) -> int:
        """Delete those that ended before a moment; gives how many."""


class CertificateRepository(Protocol):
    """Certificates issued."""

    def add(self, certificate: IssuedCertificate) -> None: ...

    def highest_serial(self, agent: str) -> str | None: ...

    def issued(self, agent: str, how: str, begin: int, end: int) -> int:
        """How many of this sort were issued to the agent in [begin, end)."""

    def replacing(self) -> list[tuple[str, str]]:
        """(agent, serial) with which each machine began that came after another; lowest serial first."""

    def next_enrolment(self, agent: str, serial: str) -> str | None:
        """The lowest serial above this one with which a machine of the agent began."""

    def prune(self, before: int, limit: int) -> int:
        """Delete those that ended before a moment, the newest of each agent left out; gives how many."""

    def newest(self) -> dict[str, RegisteredCertificate]:
        """By agent."""

    def first_issued(self, agent: str) -> int | None:
        """When the agent's first was issued, ms; None: none was."""


class RevocationRepository(Protocol):
    """Revocations, for ever."""

    def add(self, revocation: Revocation) -> None: ...

    def all(self) -> list[Revocation]:
        """Oldest first."""


class KeptMachineRepository(Protocol):
    """Which of several machines with one identity a person keeps, until only that one can come."""

    def put(self, kept: KeptMachine) -> None:
        """In place of an earlier one of the agent."""

    def all(self) -> list[KeptMachine]:
        """By agent."""

    def remove(self, agent: str) -> None: ...


class AuditRepository(Protocol):
    """What people and programs did, and when: rows are appended, numbered from 1 on, and chained by their hashes
    (collector.store.audit_chain). The store itself refuses to change or delete one."""

    def add(self, at: int, who: str, what: str, data: Mapping[str, Any]) -> None: ...

    def all(self) -> list[tuple[int, str, str, dict[str, Any]]]:
        """(at, who, what, data), oldest first."""

    def newest(self, chosen: AuditFilter, limit: int, before: int = 2**62) -> list[AuditRow]:
        """Those chosen with a number below ``before``, newest first."""

    def after(self, number: int, limit: int) -> list[AuditRow]:
        """Those past a number, oldest first."""

    def head(self) -> AuditHead:
        """Of the newest row; number 0 when there is none."""

    def first_broken(self) -> int | None:
        """The number of the first row that is not as it was written, None when every one is."""


class SessionRepository(Protocol):
    """Sessions of people who logged in, by the hash of their secret."""

    def all(self) -> list[StoredSession]: ...

    def add(self, session: StoredSession) -> None: ...

    def touch(self, session: bytes, seen: int) -> None:
        """It was in use."""

    def end(self, sessions: Iterable[bytes]) -> None: ...

    def end_all(self) -> None: ...


class ExclusionRepository(Protocol):
    """Time that does not count, as people declared it; withdrawn, never deleted."""

    def in_force(self) -> list[DeclaredExclusion]:
        """Oldest first."""

    def add(self, select: Selector, begins: int, ends: int, reason: str, who: str, at: int) -> int:
        """Gives its number."""

    def withdraw(self, number: int, who: str, at: int) -> bool:
        """False when none of that number is in force."""


class LifeRepository(Protocol):
    """The collector's own life: while it was down nobody was "down"."""

    def begin(self, boot: bytes, boot_ms: int, at: int, trusted: bool) -> int:
        """A run begins; gives its row."""

    def record(self, run: int, boot_ms: int, alive: int, started: int, stopped: int | None) -> None:
        """A run is alive by a believed clock. ``started``: taken unless the clock was believed before."""

    def runs(self, begin: int, end: int) -> list[CollectorRun]:
        """Those that reach into the window, in order."""

    def last_alive(self) -> int:
        """The latest moment recorded by a believed clock, 0 when there is none."""

    def boot_offset(self, boot: bytes) -> int | None:
        """The newest run's collector time less its boot-time clock, within this boot, if it was believed."""


class IncarnationRepository(Protocol):
    """The lives of the store; the last one is now."""

    def current(self) -> Incarnation | None:
        """None in a store that was only just made."""

    def begin(self, why: str, now_ms: int | None = None) -> str:
        """A new random incarnation, whose counters count from now; gives it."""
