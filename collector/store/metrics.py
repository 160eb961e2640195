"""Metrics of the store: which incarnation it is, how long its last commit took, how large it has grown."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Final

from collector.store.errors import StoreError
from collector.store.interfaces.store import Store
from inventory.base.families import Family, FamilySamples

log = logging.getLogger("collector.store")

INCARNATION = Family(
    "haidang_collector_incarnation_info", "info", "The store's incarnation: another one means it was restored.", ("id",)
)
COUNTED_FROM = Family("haidang_collector_incarnation_timestamp_seconds", "gauge", "When counters began at 0.")
COMMIT_DURATION = Family(
    "haidang_collector_last_commit_duration_seconds", "gauge", "How long the last commit took, with its sync."
)
WAL_PAGES = Family("haidang_collector_wal_pages", "gauge", "Pages in the store's write-ahead log.")
BYTES = Family("haidang_collector_store_bytes", "gauge", "Size of the store.")
ROWS = Family("haidang_collector_store_rows", "gauge", "Rows in the store, about.", ("table",))

MEASURED_EVERY: Final = 60.0  # seconds
AUDIT_ROWS = Family(
    "haidang_collector_audit_rows", "gauge", "Rows of the audit: it only grows; fewer mean that rows were cut off."
)
TABLES: Final = ("batches", "spans", "sums", "events", "dead_letters")


class StoreMetrics:
    """Sizes are measured in the background: :meth:`run`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sizes: Mapping[str, int] = {}

    async def run(self) -> None:
        while True:
            try:
                await self.refresh()
            except StoreError as error:
                log.warning("the store could not be measured: %s", error)
            await asyncio.sleep(MEASURED_EVERY)

    async def refresh(self) -> None:
        """Measure it now. Raises StoreError."""
        self._sizes = await self._store.read(lambda tx: {**tx.sizes(), "audit": tx.audit.head().number})

    def metrics(self) -> Iterator[FamilySamples]:
        store, sizes = self._store, self._sizes
        yield INCARNATION.by([((store.incarnation,), 1)])
        yield COUNTED_FROM.of(store.count_from / 1000)
        yield COMMIT_DURATION.of(store.commit_seconds)
        yield WAL_PAGES.of(store.wal_pages)
        yield BYTES.of(sizes.get("bytes"))
        yield AUDIT_ROWS.of(sizes.get("audit"))
        yield ROWS.by(((table,), sizes.get(table)) for table in TABLES)
