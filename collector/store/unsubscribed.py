"""Contacts who want no daily digest any more, as they said by the link in one. Incidents reach them all the same."""

import apsw

from collector.store.registry import audit
from collector.store.sqlite.database import Database


class Unsubscribed:
    """``contacts``: their ids, as of the last :meth:`load` or :meth:`add`."""

    def __init__(self, database: Database) -> None:
        self.contacts: frozenset[str] = frozenset()
        self._database = database

    async def load(self) -> None:
        rows = await self._database.read(lambda db: db.execute("SELECT contact FROM unsubscribed").fetchall())
        self.contacts = frozenset(str(contact) for (contact,) in rows)

    async def add(self, contact: str, now: int) -> None:
        """Durable when it returns."""

        def work(db: apsw.Connection) -> None:
            db.execute("INSERT OR IGNORE INTO unsubscribed VALUES (?, ?)", (contact, now))
            audit(db, now, contact, "no digest", {"contact": contact})

        await self._database.write(work)
        self.contacts |= {contact}
