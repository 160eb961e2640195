"""Leased circuits: how long each was down, whose it was and why; counted once settled."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from collector.causes import links
from collector.causes.lives import POWER_RETURN_MS
from collector.causes.verdicts import CauseAnalysis
from collector.queries.causes import analyse_causes
from collector.queries.circuits import checks_of_link, with_downtime
from collector.queries.reader import LedgerReader
from collector.store.interfaces.store import Store
from collector.store.records import LinkKey

log = logging.getLogger("collector.links")

EVERY: Final = 30.0  # seconds between two rounds of counting


class Circuits:
    """Counts each circuit's time down, once it is settled."""

    def __init__(self, store: Store, reader: LedgerReader) -> None:
        # ms by (link, provider, cause) since this incarnation of the store began; they never go back
        self.down: Mapping[LinkKey, int] = {}
        self._store = store
        self._reader = reader
        self._until: dict[str, int] = {}
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        self.down, self._until = await self._store.read(lambda tx: (tx.circuits.down(), tx.circuits.settled()))

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.count()
            except Exception:
                # it is counted from where it was, whenever that is possible again
                log.exception("the circuits' time down could not be counted")

    async def count(self) -> None:
        """Add what has settled since the last time."""
        async with self._lock:
            due = await self._due()
            if not due:
                return
            begin = min(due.values())

            def work(analysis: CauseAnalysis) -> dict[str, links.SettledDowntime]:
                return {
                    link: links.additions(analysis.topology, analysis.evidence, link, since)
                    for link, since in due.items()
                }

            additions = await analyse_causes(self._reader, work, begin)
            added = {(link, *key): ms for link, one in additions.items() for key, ms in one.down.items() if ms > 0}
            settled = {link: one.until for link, one in additions.items() if one.until > due[link]}
            if added:
                counted = {link: settled[link] for link, *_ in added}
                await self._store.write(lambda tx: tx.circuits.add(added, counted))
                self.down = {key: self.down.get(key, 0) + added.get(key, 0) for key in self.down.keys() | added.keys()}
            self._until |= settled

    async def _due(self) -> dict[str, int]:
        """Circuits with time down that may not be counted yet, and from when on; the others go on in memory."""
        every = list(self._reader.inventory.links)
        since = {link: max(self._until.get(link, 0), self._store.count_from) for link in every}
        begin = min(since.values(), default=0)
        affected = set(await with_downtime(self._reader, every, begin))
        for link in every:
            if link not in affected and (not_down_until := self._not_down_until(link)) is not None:
                self._until[link] = max(since[link], not_down_until)
        return {link: since[link] for link in every if link in affected}

    def _not_down_until(self, link: str) -> int | None:
        """The moment before which no check of the circuit can turn out to have been down; None: one never looked."""
        lasts = []
        for entry in checks_of_link(self._reader, link):
            tail = self._reader.fleet.tail(self._reader.registered(entry))
            if tail is None:
                return None
            lasts.append(tail.last - tail.error_to - POWER_RETURN_MS)
        return min(lasts, default=None)
