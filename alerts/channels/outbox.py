"""The outbox of mails: rows that the evaluator committed, and the interface that the sender works on.

The store implements it.
"""

from typing import Protocol

from alerts.incident.about import About


class OutgoingMail(About, frozen=True, kw_only=True, rename={"last_error": "why"}):
    """One mail to one contact, as it goes out."""

    id: int
    address: str
    made: int  # when it was decided (ms)
    subject: str
    text: str  # the same in plain words, for channels that are no mail
    body: bytes  # the whole RFC 5322 message, made when it was decided, so that sending it again sends the same
    tries: int = 0  # so far
    hooked: bool = False  # went out by the webhook already
    last_error: str = ""  # why it was put off last time


class Outbox(Protocol):
    """Every call is durable when it returns. Times are ms."""

    async def due(self, now: int, limit: int) -> list[OutgoingMail]:
        """Those that wait and whose time has come, oldest first, critical ones before others."""

    async def sent(self, mail: OutgoingMail, at: int, channel: str) -> None:
        """Accepted by a relay (``channel`` names it)."""

    async def hooked(self, mail: OutgoingMail, at: int) -> None:
        """Went out by the webhook; the mail is still to be sent."""

    async def later(self, mail: OutgoingMail, at: int, error: str) -> None:
        """Not now: try again at ``at``; one more try."""

    async def failed(self, mail: OutgoingMail, at: int, error: str) -> None:
        """Never: the address is refused for good, or it is too old."""

    async def waiting(self) -> tuple[int, int | None]:
        """How many are neither sent nor failed, and when the oldest of them was made."""
