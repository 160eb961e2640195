"""The outbox in the store: what the evaluator wants sent, and what became of it (alerts.channels.outbox.Outbox)."""

from alerts.channels.outbox import OutgoingMail
from collector.store.interfaces.store import Store


class StoredOutbox:
    """Every call is durable when it returns."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def due(self, now: int, limit: int) -> list[OutgoingMail]:
        """Those whose time has come: critical ones before others, oldest first."""
        return await self._store.read(lambda tx: tx.outbox.due(now, limit))

    async def sent(self, mail: OutgoingMail, at: int, channel: str) -> None:
        await self._store.write(lambda tx: tx.outbox.sent(mail.id, at, channel))

    async def hooked(self, mail: OutgoingMail, at: int) -> None:
        await self._store.write(lambda tx: tx.outbox.hooked(mail.id, at))

    async def later(self, mail: OutgoingMail, at: int, error: str) -> None:
        await self._store.write(lambda tx: tx.outbox.later(mail.id, at, error))

    async def failed(self, mail: OutgoingMail, at: int, error: str) -> None:
        await self._store.write(lambda tx: tx.outbox.failed(mail.id, at, error))

    async def waiting(self) -> tuple[int, int | None]:
        """How many are neither sent nor failed, and when the oldest of them was made (ms)."""
        return await self._store.read(lambda tx: tx.outbox.waiting())
