"""The outbox of mails: rows that the evaluator committed, and the interface that the sender works on.

The store implements it.
"""

from typing import Protocol

import msgspec

from alerts.incident.entities import NoticeKind
from inventory.model.alerting import Severity


class OutgoingMail(msgspec.Struct, frozen=True, kw_only=True):
    """One mail to one contact, as it goes out: ``body`` is the whole RFC 5322 message, made when it was decided, so
    that sending it again sends the same. ``ident``: its Message-ID's left side. ``text``: the same in plain words, for
    ways out that are no mail. ``tries`` so far; ``made``: when it was decided (ms).

    For the journal, as of the notice (see alerts.incident.reconcile.SentNotice): ``kinds``, and of each of
    ``incidents``
    ``roots``
    (its root as it was said), ``opened`` (ms), ``also`` and ``members``; ``thread``: ident of the mail that it answers;
    ``day``: of a digest. ``why``: it was put off last time."""

    id: int
    ident: str
    contact: str
    address: str
    kind: str
    severity: Severity
    incidents: tuple[str, ...]
    made: int
    subject: str
    text: str
    body: bytes
    tries: int = 0
    hooked: bool = False  # went out by the webhook already
    kinds: tuple[NoticeKind, ...] = ()
    roots: tuple[str, ...] = ()
    opened: tuple[int, ...] = ()
    also: tuple[tuple[str, ...], ...] = ()
    members: tuple[tuple[str, ...], ...] = ()
    thread: str = ""
    day: str = ""
    why: str = ""


class Outbox(Protocol):
    """Every call is durable when it returns. Times are ms."""

    async def due(self, now: int, limit: int) -> list[OutgoingMail]:
        """Those that wait and whose time has come, oldest first, critical ones before others."""

    async def sent(self, letter: OutgoingMail, at: int, way: str) -> None:
        """Accepted by a relay (``way`` names it)."""

    async def hooked(self, letter: OutgoingMail, at: int) -> None:
        """Went out by the webhook; the mail is still to be sent."""

    async def later(self, letter: OutgoingMail, at: int, why: str) -> None:
        """Not now: try again at ``at``; one more try."""

    async def failed(self, letter: OutgoingMail, at: int, why: str) -> None:
        """Never: the address is refused for good, or it is too old."""

    async def waiting(self) -> tuple[int, int | None]:
        """How many are neither sent nor failed, and when the oldest of them was made."""
