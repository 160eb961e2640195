"""``/metrics``: the fleet's series and every part's, in the format that the asker wants, made off the loop."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Final, Protocol

from aiohttp import web

from collector.metrics import agencies, exposition, fleet, measured
from collector.metrics import agents as agents_series
from collector.metrics.fleet import ScrapedAgent, pieces
from collector.metrics.negotiation import NotAcceptable, negotiate
from inventory.base.families import Family, FamilySamples
from inventory.protocol import kinds

log = logging.getLogger("collector.metrics")

SCRAPES = Family("haidang_collector_scrapes_total", "counter", "Scrapes answered.")
SCRAPE_DURATION = Family("haidang_collector_last_scrape_duration_seconds", "gauge", "How long the last scrape took.")
END_MARK: Final = "# EOF\n"  # of OpenMetrics


class MetricSource(Protocol):
    """A part of the collector that has metrics of its own."""

    def metrics(self) -> Iterator[FamilySamples]: ...


class MetricsHandler:
    """Answers scrapes; several take turns piece by piece, so that one that is not read holds up nobody else's.

    ``agents`` gives the agents as published, ``wall`` ms. The parts' own metrics come from what is registered.
    """

    def __init__(self, agents: Callable[[], Awaitable[Sequence[ScrapedAgent]]], wall: Callable[[], int]) -> None:
        self._agents = agents
        self._wall = wall
        self._kinds = kinds.load()
        self._sources: list[MetricSource] = []
        self._slow_sources: list[MetricSource] = []
        self._scrapes = 0
        self._seconds = 0.0  # the last one took
        self._thread = ThreadPoolExecutor(1, "metrics")
        self.register(self)

    def register(self, *sources: MetricSource) -> None:
        """Parts that belong to the loop: they are asked there, at once."""
        self._sources += sources

    def register_slow(self, *sources: MetricSource) -> None:
        """Parts that have to be worked out: they are asked in the thread, and read nothing that the loop changes."""
        self._slow_sources += sources

    def metrics(self) -> Iterator[FamilySamples]:
        yield SCRAPES.of(self._scrapes)
        yield SCRAPE_DURATION.of(self._seconds)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        try:
            form = negotiate(request.headers.get("Accept", ""), request.headers.get("Accept-Encoding", ""))
        except NotAcceptable as refused:
            return web.Response(status=406, text=f"{refused}\n", headers={"Vary": "Accept"})
        started = time.perf_counter()
        # one moment for all families: states are replaced, never changed
        agents, now = await self._agents(), self._wall()
        own = [samples for source in self._sources for samples in _collected(source)]
        parts = pieces(self._text(agents, now, own, form.openmetrics), form)
        response = web.StreamResponse(headers={"Content-Type": form.content_type, "Vary": "Accept, Accept-Encoding"})
        if form.gzip:
            response.headers["Content-Encoding"] = "gzip"
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        while (piece := await loop.run_in_executor(self._thread, _next, parts)) is not None:
            if piece:
                await response.write(piece)
        await response.write_eof()
        self._seconds = time.perf_counter() - started
        self._scrapes += 1
        return response

    def _text(
        self, agents: Sequence[ScrapedAgent], now: int, own: Sequence[FamilySamples], openmetrics: bool
    ) -> Iterator[str]:
        yield from fleet.text(agents, now, openmetrics)
        yield from agencies.text(agents, now, openmetrics)
        yield from agents_series.text(agents, now, openmetrics)
        yield from measured.power(agents, openmetrics)
        yield from measured.text(agents, now, self._kinds, openmetrics)
        slow = (_collected(source) for source in self._slow_sources)
        yield from exposition.text(chain(*slow, own), openmetrics)
        if openmetrics:
            yield END_MARK

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _collected(source: MetricSource) -> list[FamilySamples]:
    """One part that fails must not hide the others' figures."""
    try:
        return list(source.metrics())
    except Exception:
        log.exception("no metrics of %s", type(source).__name__)
        return []


def _next(parts: Iterator[bytes]) -> bytes | None:
    return next(parts, None)
