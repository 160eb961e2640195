"""``/metrics``: the fleet's series, the goals', the collector's own, as the asker wants them, made off the loop."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain

from aiohttp import web

from collector.metrics import fleet, measured
from collector.metrics.exposition import negotiate
from collector.metrics.fleet import ScrapedAgent, pieces
from collector.metrics.own import SelfMetrics
from inventory.protocol import kinds


def _no_more(openmetrics: bool) -> Iterator[str]:
    return iter(())


class MetricsHandler:
    """Answers scrapes; several take turns piece by piece, so that one that is not read holds up nobody else's.

    ``shown`` gives the agents as published, ``goals`` the goals' families (``openmetrics`` as argument), ``wall`` ms;
    ``more`` gives further families, and is asked in the thread.
    """

    def __init__(
        self,
        shown: Callable[[], Awaitable[Sequence[ScrapedAgent]]],
        goals: Callable[[bool], Iterable[str]],
        own: SelfMetrics,
        wall: Callable[[], int],
        more: Callable[[bool], Iterator[str]] = _no_more,
    ) -> None:
        self.seconds = 0.0  # the last one took
        self.count = 0
        self._shown = shown
        self._kinds = kinds.load()
        self._goals = goals
        self._own = own
        self._wall = wall
        self._more = more
        self._thread = ThreadPoolExecutor(1, "metrics")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        form = negotiate(request.headers.get("Accept", ""), request.headers.get("Accept-Encoding", ""))
        started = time.perf_counter()
        # one moment for all families: states are replaced, never changed
        agents, now = await self._shown(), self._wall()
        # the collector's own figures are the loop's: they are read here
        rest = (*self._goals(form.openmetrics), self._own.text(form.openmetrics))
        checks = fleet.text(agents, now, form.openmetrics)
        values = measured.text(agents, now, self._kinds, form.openmetrics)
        power = measured.power(agents, form.openmetrics)
        parts = pieces(chain(checks, power, values, self._more(form.openmetrics), rest), form)
        response = web.StreamResponse(headers={"Content-Type": form.content_type, "Vary": "Accept"})
        if form.gzip:
            response.headers["Content-Encoding"] = "gzip"
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        while (piece := await loop.run_in_executor(self._thread, _next, parts)) is not None:
            if piece:
                await response.write(piece)
        await response.write_eof()
        self.seconds = time.perf_counter() - started
        self.count += 1
        return response

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _next(parts: Iterator[bytes]) -> bytes | None:
    return next(parts, None)
