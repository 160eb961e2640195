"""Contacts who want no daily digest any more, as they said by the link in one. Incidents reach them all the same."""

from collector.store.interfaces.store import Store, Transaction


class Unsubscribed:
    """``contacts``: their ids, as of the last :meth:`load` or :meth:`add`."""

    def __init__(self, store: Store) -> None:
        self.contacts: frozenset[str] = frozenset()
        self._store = store

    async def load(self) -> None:
        self.contacts = await self._store.read(lambda tx: tx.unsubscribed.all())

    async def add(self, contact: str, now: int) -> None:
        """Durable when it returns."""

        def work(tx: Transaction) -> None:
            tx.unsubscribed.add(contact, now)
            tx.audit.add(now, contact, "no digest", {"contact": contact})

        await self._store.write(work)
        self.contacts |= {contact}
