"""Repositories of what is wrong, who is told, and what is counted in the background."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from alerts.channels.outbox import OutgoingMail
from alerts.incident.entities import Incident
from collector.store.records import EvaluatorCursor, LinkKey, PowerCounter


class IncidentRepository(Protocol):
    """Incidents, the open and the closed ones, for ever."""

    def put(self, incidents: Sequence[Incident]) -> None:
        """New ones, and those that changed, by their key."""

    def open(self) -> list[Incident]:
        """By key."""

    def find(self, key: str) -> Incident | None: ...

    def closed(self, limit: int, before: int = 2**62, since: int = 0) -> list[Incident]:
        """Closed in [since, before), the latest first."""


class CursorRepository(Protocol):
    """Where the evaluator has read to, and what it remembers besides incidents."""

    def load(self) -> EvaluatorCursor | None:
        """None: it never ran on this store."""

    def save(self, cursor: EvaluatorCursor) -> None: ...


class OutboxRepository(Protocol):
    """Mails to send and sent. One that is neither waits."""

    def put(self, mails: Sequence[OutgoingMail]) -> None:
        """New ones. One whose ident is there already is not put again."""

    def due(self, now: int, limit: int) -> list[OutgoingMail]:
        """Those that wait and whose time has come: critical ones before others, oldest first."""

    def sent(self, number: int, at: int, way: str) -> None: ...

    def hooked(self, number: int, at: int) -> None:
        """It went out by the webhook."""

    def later(self, number: int, at: int, why: str) -> None:
        """Not before ``at``; one more try is counted."""

    def failed(self, number: int, at: int, why: str) -> None: ...

    def waiting(self) -> tuple[int, int | None]:
        """How many wait, and when the oldest of them was made."""


class UnsubscribedRepository(Protocol):
    """Contacts who said that they want no daily digest."""

    def all(self) -> frozenset[str]: ...

    def add(self, contact: str, at: int) -> None: ...


class CircuitRepository(Protocol):
    """Time that links were down, by whose link it was then and why: settled time, counted once."""

    def down(self) -> dict[LinkKey, int]:
        """ms."""

    def settled(self) -> dict[str, int]:
        """Up to when each link is counted."""

    def add(self, added: Mapping[LinkKey, int], settled: Mapping[str, int]) -> None:
        """ms down to add, and up to when each link is counted by now."""

    def clear(self) -> None: ...


class PowerRepository(Protocol):
    """Settled time of each site's power, of one incarnation."""

    def counters(self, incarnation: str) -> dict[str, PowerCounter]:
        """By site."""

    def put(self, counters: Mapping[str, PowerCounter], incarnation: str) -> None: ...
