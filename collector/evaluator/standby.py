"""The standby collector: it notifies nobody while the primary is well; asked over HTTP, believed for a minute."""

import asyncio
import logging
import time
from typing import Final

import aiohttp

log = logging.getLogger("collector.standby")

EVERY: Final = 10.0  # seconds between two questions
READY_FOR: Final = 60.0  # seconds that an answer holds
TIMEOUT: Final = 8.0


class Standby:
    """``url``: the primary's ``/-/ready``; "" for a collector that is nobody's standby.

    At the start the primary gets FRESH to answer: a standby that was just restarted must not page.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._last_ready = time.monotonic()
        self._logged_muted = True

    @property
    def muted(self) -> bool:
        """Whether the primary answered of late that it is ready."""
        return bool(self.url) and time.monotonic() - self._last_ready < READY_FOR

    async def run(self) -> None:
        """Until cancelled."""
        if not self.url:
            return
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as session:
            while True:
                if await self._ready(session):
                    self._last_ready = time.monotonic()
                if self.muted != self._logged_muted:
                    self._logged_muted = self.muted
                    log.warning("the primary %s", "is back: this standby is mute" if self.muted else "does not answer")
                await asyncio.sleep(EVERY)

    async def _ready(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(self.url, allow_redirects=False) as response:
                # a captive portal's page is no answer
                return response.status == 200 and (await response.content.read(64)).strip() == b"ready"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return False
