"""Failed logins in the log and in the audit: the first at once, then one line and row a minute and account.

So an attacker fills no disk. What was typed as a name and is no user's is not kept: it may be a password.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

from collector.store.errors import StoreError
from collector.store.interfaces.store import Store, Transaction

log = logging.getLogger("collector.access")

EVERY: Final = 60.0  # seconds
MAX_ADDRESSES: Final = 10  # named in a row; the rest is counted
MAX_COUNTED: Final = 1_000  # addresses told apart within a minute
UNKNOWN: Final = "an unknown name"


class FailedLogins:
    """Counts between two rows. ``wall``: ms since the epoch."""

    def __init__(self, store: Store, wall: Callable[[], int]) -> None:
        self.total = 0  # since the start
        self._store = store
        self._wall = wall
        self._addresses: dict[str, Counter[str]] = {}  # by account
        self._since = 0
        self._any = asyncio.Event()

    def note(self, account: str | None, address: str) -> None:
        """One more. ``account``: None for what is no user's name."""
        self.total += 1
        if not self._addresses:
            self._since = self._wall()
        counts = self._addresses.setdefault(UNKNOWN if account is None else account, Counter())
        counts[address if address in counts or len(counts) < MAX_COUNTED else "others"] += 1
        self._any.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._any.wait()
            await self.flush()
            await asyncio.sleep(EVERY)

    async def flush(self) -> None:
        """Write what was counted. What the store will not have is in the log all the same."""
        counted, self._addresses = self._addresses, {}
        self._any.clear()
        if not counted:
            return
        since, now = self._since, self._wall()
        rows = []
        for account, counts in counted.items():
            named = dict(counts.most_common(MAX_ADDRESSES))
            rows.append((account, {"count": counts.total(), "addresses": named, "from": since, "to": now}))
            others = len(counts) - len(named)
            more = f" and {others} other addresses" if others else ""
            log.warning("failed logins: %d as %s from %s%s", counts.total(), account, ", ".join(named), more)

        def work(tx: Transaction) -> None:
            for account, data in rows:
                tx.audit.add(now, account, "log in failed", data)

        try:
            await self._store.write(work)
        except StoreError as error:
            log.error("failed logins could not be written into the audit: %s", error)
