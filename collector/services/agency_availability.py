"""The availability of every agency over a few windows, worked out in the background for metrics.

Of all checks about an agency together, by time: a check that counts half as long counts half as much. What is excluded
counts for nobody, as on the pages.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from collector.ledger.figures import Figure
from collector.ledger.windows import window_at
from collector.queries.availability import figures
from collector.queries.reader import CheckEntry, LedgerReader
from inventory.base.families import Family, FamilySamples

log = logging.getLogger("collector.availability")

WINDOWS: Final = ("rolling-1d", "rolling-30d", "month")
CHUNK_CHECKS: Final = 1_000  # read at once: a read is a moment, and the store is not to be held for long
EVERY: Final = (30.0, 900.0)  # seconds between two rounds, by how long one takes
SHARE: Final = 20  # a round takes at most this fraction of the time

RATIO = Family(
    "haidang_agency_availability_ratio",
    "gauge",
    "Availability of all checks about the agency over a window so far: the best figure, what is proven (lower), what "
    "is not disproven (upper).",
    ("agency", "window", "bound"),
)


class AgencyAvailability:
    """``figures``: by agency and window, the sums over its checks; agencies without checks are left out."""

    def __init__(self, reader: LedgerReader) -> None:
        self.figures: Mapping[tuple[str, str], Figure] = {}
        self._reader = reader

    async def run(self) -> None:
        while True:
            started = time.perf_counter()
            try:
                await self.refresh()
            except Exception:
                # what was so before is better than nothing
                log.exception("the availability of the agencies could not be worked out")
            await asyncio.sleep(min(max((time.perf_counter() - started) * SHARE, EVERY[0]), EVERY[1]))

    async def refresh(self) -> None:
        reader = self._reader
        now, zone = reader.wall(), reader.inventory.province.zone
        windows = [(window.start, window.end) for window in (window_at(name, now, zone) for name in WINDOWS)]
        totals: dict[tuple[str, str], Figure] = {}
        for chunk in _chunks(reader.current_checks()):
            by_row = await figures(reader, chunk, windows)
            for entry in chunk:
                assert entry.check is not None
                for name, figure in zip(WINDOWS, by_row[entry.row], strict=True):
                    key = (entry.check.agency, name)
                    totals[key] = added(totals[key], figure) if key in totals else figure
        self.figures = totals

    def metrics(self) -> Iterator[FamilySamples]:
        yield RATIO.by(
            ((agency, window, bound), value)
            for (agency, window), figure in self.figures.items()
            for bound, value in (("best", figure.best), ("lower", figure.lower), ("upper", figure.upper))
        )


def added(one: Figure, other: Figure) -> Figure:
    """Both together."""
    return Figure(*(a + b for a, b in zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)))


def _chunks(entries: Iterable[CheckEntry]) -> Iterator[Sequence[CheckEntry]]:
    every = list(entries)
    for begin in range(0, len(every), CHUNK_CHECKS):
        yield every[begin : begin + CHUNK_CHECKS]
