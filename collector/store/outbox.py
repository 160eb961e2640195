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

    async def sent(self, letter: OutgoingMail, at: int, way: str) -> None:
        await self._store.write(lambda tx: tx.outbox.sent(letter.id, at, way))

    async def hooked(self, letter: OutgoingMail, at: int) -> None:
        await self._store.write(lambda tx: tx.outbox.hooked(letter.id, at))

    async def later(self, letter: OutgoingMail, at: int, why: str) -> None:
        await self._store.write(lambda tx: tx.outbox.later(letter.id, at, why))

    async def failed(self, letter: OutgoingMail, at: int, why: str) -> None:
        await self._store.write(lambda tx: tx.outbox.failed(letter.id, at, why))

    async def waiting(self) -> tuple[int, int | None]:
        """How many are neither sent nor failed, and when the oldest of them was made (ms)."""
        return await self._store.read(lambda tx: tx.outbox.waiting())
