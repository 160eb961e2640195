"""What does not count at this moment, kept at hand for metrics: a scrape asks of every check there is."""

import asyncio
import logging
from collections.abc import Sequence, Set
from typing import Final

import msgspec

from collector.queries.exclusions import Exclusions
from collector.queries.reader import LedgerReader
from collector.store.records import DeclaredExclusion
from inventory.times import calendars

log = logging.getLogger("collector.exclusions")

EVERY: Final = 5.0  # seconds between two looks: so late may a scrape learn that maintenance has begun


class ExclusionInForce(msgspec.Struct, frozen=True):
    """An exclusion that holds at this moment. Times are ms."""

    id: str  # of the inventory, or the number of one that was declared
    origin: str  # "inventory" or "declared"
    begins: int
    ends: int
    reason: str


class PresentExclusions:
    """``rows``: the checks whose time does not count now. ``in_force``: why, calendars left out."""

    def __init__(self, reader: LedgerReader) -> None:
        self.rows: Set[int] = frozenset()
        self.uids: Set[str] = frozenset()  # the same, and those that no agent was told of yet
        self.in_force: Sequence[ExclusionInForce] = ()
        self._reader = reader

    async def run(self) -> None:
        while True:
            try:
                await self.refresh()
            except Exception:
                # what was so five seconds ago is better than nothing
                log.exception("the exclusions in force could not be read")
            await asyncio.sleep(EVERY)

    async def refresh(self) -> None:
        now = self._reader.wall()
        declared = await self._reader.read(lambda tx: tx.exclusions.in_force())
        self.in_force = exclusions_at(self._reader, declared, now)
        self.uids, self.rows = await asyncio.to_thread(self._excluded, declared, now)

    def _excluded(self, declared: Sequence[DeclaredExclusion], now: int) -> tuple[Set[str], Set[int]]:
        inventory = self._reader.inventory
        excluded = Exclusions(inventory, declared).at(now)
        uids = frozenset(uid for uid, check in inventory.checks.items() if excluded(check))
        entries = (self._reader.of_inventory(uid) for uid in uids)
        return uids, frozenset(entry.row for entry in entries if entry is not None)


def exclusions_at(reader: LedgerReader, declared: Sequence[DeclaredExclusion], now: int) -> Sequence[ExclusionInForce]:
    """Those of the inventory and those that people declared that hold at a moment."""
    zone = reader.inventory.province.zone
    planned = (
        ExclusionInForce(
            one.id, "inventory", calendars.epoch_ms(one.begins, zone), calendars.epoch_ms(one.ends, zone), one.reason
        )
        for one in reader.inventory.exclusions
    )
    noted = (ExclusionInForce(str(one.id), "declared", one.begins, one.ends, one.reason) for one in declared)
    return [one for one in (*planned, *noted) if one.begins <= now < one.ends]
