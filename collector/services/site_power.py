"""The power of each site as a whole, counted in the background from the ledgers of its checks of kind power.

Counters of settled time, as a check's are: each count goes on from where the last one ended, up to where no later
evidence can change any of the site's UPSs. Which UPSs feed what comes from the inventory (``fed_by``).
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from collector.ledger.counted import count
from collector.ledger.figures import history
from collector.ledger.power import durations_by_source, site_timeline
from collector.ledger.state_step import LedgerTail, Span
from collector.ledger.timeline import TimelineSegment, timeline
from collector.queries.reader import CheckEntry, LedgerReader
from collector.store.errors import StoreError
from collector.store.interfaces.store import Store, Transaction
from collector.store.records import PowerCounter
from inventory.model.entities import Check, Device, Inventory
from inventory.protocol import kinds
from inventory.protocol.states import UNKNOWN

EVERY: Final = (5.0, 60.0)  # seconds between two counts, by how long one takes
SHARE: Final = 50  # a count takes at most this fraction of the time
SAVED_EVERY: Final = 600.0  # seconds between two writes: what was not written is counted again from the ledger
UPS: Final = "ups"  # the kind of device

log = logging.getLogger(__name__)

Feed = frozenset[str]  # ids of UPSs


class WatchedSite(msgspec.Struct, frozen=True):
    """A site whose power is watched."""

    ups: Mapping[str, Sequence[CheckEntry]]  # by the UPS's id, the checks of kind power that look at it
    feeds: Sequence[Feed]  # the sets of UPSs that feed something there


class SitePower:
    """Counts what every site that a check of kind power is about runs on."""

    def __init__(self, store: Store, reader: LedgerReader) -> None:
        self.counters: Mapping[str, PowerCounter] = {}  # by site
        self._store = store
        self._reader = reader
        self._saved = time.monotonic()
        self._watched: tuple[Any, Mapping[str, WatchedSite]] = (None, {})

    async def load(self) -> None:
        """What was counted before."""
        self.counters = await self._store.read(lambda tx: tx.power.counters(self._store.incarnation))

    async def run(self) -> None:
        """Count now and then; what is counted is kept at the end."""
        try:
            while True:
                started = time.perf_counter()
                try:
                    await self.refresh()
                except Exception:
                    log.exception("the power of the sites could not be counted")
                await asyncio.sleep(min(max((time.perf_counter() - started) * SHARE, EVERY[0]), EVERY[1]))
        finally:
            await self.save()

    async def refresh(self) -> None:
        key = (self._reader.version, len(self._reader.fleet.checks))
        if self._watched[0] != key:
            self._watched = (key, await asyncio.to_thread(self._find_sites))
        watched = self._watched[1]
        at_sites = {site: self._tails(one) for site, one in watched.items()}
        before, count_from = self.counters, self._store.count_from

        def work(tx: Transaction) -> dict[str, PowerCounter]:
            counters = dict(before)
            for site, one in watched.items():
                counted = self._advance(tx, one, at_sites[site], before.get(site), count_from)
                if counted is not None:
                    counters[site] = counted
            return counters

        self.counters = await self._store.read(work)
        if time.monotonic() - self._saved >= SAVED_EVERY:
            await self.save()

    async def save(self) -> None:
        counters, incarnation = self.counters, self._store.incarnation
        self._saved = time.monotonic()
        try:
            await self._store.write(lambda tx: tx.power.put(counters, incarnation))
        except StoreError as error:
            log.warning("the power of the sites is not kept yet: %s", error)

    def _find_sites(self) -> dict[str, WatchedSite]:
        """The sites that power checks are about."""
        inventory = self._reader.inventory
        by_site: dict[str, dict[str, list[CheckEntry]]] = {}
        for entry in self._reader.current_checks():
            if entry.check is not None and entry.kind in kinds.about("power"):
                of_site = by_site.setdefault(entry.check.site, {})
                of_site.setdefault(ups_of(entry.check, inventory), []).append(entry)
        return {site: WatchedSite(ups, feeds_of(site, ups, inventory)) for site, ups in by_site.items()}

    def _tails(self, watched: WatchedSite) -> dict[int, LedgerTail | None]:
        """The open end of each check that an agent was ever told of, by row; None before its first look."""
        registered = [self._reader.registered(entry) for checks in watched.ups.values() for entry in checks]
        return {check.id: self._reader.fleet.tail(check) for check in registered if check.born is not None}

    def _advance(
        self,
        tx: Transaction,
        watched: WatchedSite,
        tails: Mapping[int, LedgerTail | None],
        before: PowerCounter | None,
        count_from: int,
    ) -> PowerCounter | None:
        """The counter as far as it has settled; None before the first look."""
        looked = [tail for tail in tails.values() if tail is not None]
        if not looked:
            return before
        to = min(tail.last if tail is not None else 0 for tail in tails.values())
        if before is None:
            before = PowerCounter(
                max(count_from, min(_first_look(tx, row, tail) for row, tail in tails.items() if tail))
            )
        if to <= before.upto:
            return before
        window = (before.upto, to)

        def segments_of(entry: CheckEntry) -> list[TimelineSegment]:
            tail, registered = tails[entry.row], self._reader.registered(entry)
            spans = _history(tx, entry.row, tail, window)
            return timeline(spans, count(window, to, (registered.born, registered.ended)))

        lines = {
            name: [segments_of(entry) for entry in checks if entry.row in tails] for name, checks in watched.ups.items()
        }
        unwatched = [[TimelineSegment(*window, UNKNOWN)]]
        feeds = [[line for name in sorted(feed) for line in lines.get(name, unwatched)] for feed in watched.feeds]
        more = durations_by_source(site_timeline(feeds))
        mains, battery, none, unknown = (old + new for old, new in zip(before.settled, more, strict=True))
        return PowerCounter(to, (mains, battery, none, unknown))


def ups_of(check: Check, inventory: Inventory) -> str:
    """The id of the UPS that a check is about; the check's own uid where the inventory has no such device."""
    devices = [device for device in _devices(check.site, inventory) if device.kind == UPS]
    named = [device for device in devices if check.key.endswith(f"-{_short(device)}")]
    same_address = [device for device in devices if device.address and device.address == check.params.get("host")]
    for candidates in (
        [device for device in same_address if device in named],
        same_address if len(same_address) == 1 else [],
        named,
    ):
        if candidates:
            return max(candidates, key=lambda device: len(device.id)).id
    return check.uid


def _devices(site: str, inventory: Inventory) -> list[Device]:
    definition = inventory.sites.get(site)
    return (
        [inventory.devices[ident] for ident in definition.devices if ident in inventory.devices] if definition else []
    )


def _short(device: Device) -> str:
    return device.id.removeprefix(f"{device.site}-")


def feeds_of(site: str, watched: Iterable[str], inventory: Inventory) -> list[Feed]:
    """The sets of UPSs that feed something at a site, those of which none is watched left out.

    Where nobody said what feeds what, the UPSs that are watched feed it together.
    """
    watched_ids = frozenset(watched)
    declared = {frozenset(device.fed_by) for device in _devices(site, inventory)}
    if site in inventory.sites:
        declared.add(frozenset(inventory.sites[site].fed_by))
    feeds = sorted((feed for feed in declared if feed & watched_ids), key=sorted)
    return feeds or [watched_ids]


def _first_look(tx: Transaction, row: int, tail: LedgerTail) -> int:
    """When a check was first looked at."""
    first_start = tx.spans.first_start(row)
    return tail.start if first_start is None else min(tail.start, first_start)


def _history(tx: Transaction, row: int, tail: LedgerTail | None, window: tuple[int, int]) -> list[Span]:
    """All that touches the window; the store may be past the state that was published."""
    closed = tx.spans.closed([row], window[0] - 1, window[1] + 1)[row]
    if tail is None:
        return closed
    return history([span for span in closed if span.sure_from < tail.sure_from], tail, window[1])
