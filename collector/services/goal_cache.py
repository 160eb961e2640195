"""A cache of the goals' evaluations, refreshed in the background, for pages and metrics."""

import asyncio
import logging
import time
from collections.abc import Sequence

from collector.goals.evaluate import Evaluation
from collector.queries.goals import evaluations
from collector.queries.reader import LedgerReader
from inventory.base.types import Text

SHARE = 50  # an evaluation takes at most this fraction of the time

log = logging.getLogger(__name__)


class GoalCache:
    """The goals' latest evaluations, and when they were made."""

    def __init__(self, reader: LedgerReader) -> None:
        self.evaluations: Sequence[Evaluation] = ()
        self.at = 0  # ms; 0: none yet
        self.wake = asyncio.Event()
        self._reader = reader

    def name(self, goal: str) -> Text:
        definition = self._reader.inventory.goals.get(goal)
        return definition.name if definition is not None else Text(goal, goal)

    async def refresh(self) -> None:
        at = self._reader.wall()
        self.evaluations = await evaluations(self._reader)
        self.at = at

    async def run(self, least: float, most: float) -> None:
        """Refresh when woken, and by itself: the more often the less it costs."""
        while True:
            self.wake.clear()
            started = time.perf_counter()
            try:
                await self.refresh()
            except Exception:
                # yesterday's figures with their time beside them are better than none
                log.exception("the goals could not be evaluated")
            every = min(max((time.perf_counter() - started) * SHARE, least), most)
            try:
                async with asyncio.timeout(every):
                    await self.wake.wait()
            except TimeoutError:
                pass
