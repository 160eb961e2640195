"""The goals as they stood a moment ago: evaluated in the background, for pages and metrics."""

import asyncio
import logging
from collections.abc import Sequence

from collector.goals import Evaluation
from collector.reading import Reader
from inventory.words import Text

log = logging.getLogger(__name__)


class Board:
    """``evaluations`` as of ``at`` (ms, 0: none yet)."""

    def __init__(self, reader: Reader) -> None:
        self.evaluations: Sequence[Evaluation] = ()
        self.at = 0
        self.wake = asyncio.Event()
        self._reader = reader

    def name(self, goal: str) -> Text:
        known = self._reader.inventory.goals.get(goal)
        return known.name if known is not None else Text(goal, goal)

    async def refresh(self) -> None:
        at = self._reader.wall()
        self.evaluations = await self._reader.evaluations()
        self.at = at

    async def run(self, every: float) -> None:
        """Refresh every so many seconds, or when woken."""
        while True:
            self.wake.clear()
            try:
                await self.refresh()
            except Exception:
                # yesterday's figures with their time beside them are better than none
                log.exception("the goals could not be evaluated")
            try:
                async with asyncio.timeout(every):
                    await self.wake.wait()
            except TimeoutError:
                pass
