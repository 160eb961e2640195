"""The dead-man's switch: ping an outside address while all is well; it raises the alarm when the pings stop."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from alerts.channels.config import DeadmanSettings as Settings
from alerts.channels.health import ChannelHealth
from alerts.channels.http import DeliveryFailed, HttpClient

log = logging.getLogger("alerts.deadman")


class DeadmanPinger:
    """``well``: "" while all is well, else why not: then there is no ping, and the outside draws its conclusion."""

    def __init__(
        self,
        settings: Settings,
        health_check: Callable[[], str],
        *,
        now: Callable[[], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.health = ChannelHealth("deadman")
        self._every = settings.every / 1000
        self._web = HttpClient(str(settings.url), min(settings.timeout, settings.every), settings.ca)
        self._health_check = health_check
        self._now = now or (lambda: time.time_ns() // 1_000_000)
        self._monotonic = monotonic
        self._sleep = sleep
        self._silence_reason = ""

    async def run(self) -> None:
        """Until cancelled. Moments are counted from the first, so that they do not drift."""
        due = self._monotonic()
        while True:
            await self.run_once()
            late = self._monotonic() - due
            due += self._every * max(1, int(late // self._every) + 1)
            await self._sleep(max(0.0, due - self._monotonic()))

    async def run_once(self) -> bool:
        """One ping, if all is well; True when it got through. Raises nothing."""
        try:
            why = self._health_check()
        except Exception:
            log.exception("whether all is well could not be told")
            why = "whether all is well could not be told"
        if why:
            self.health.skipped += 1
            if why != self._silence_reason:
                log.warning("no dead-man's ping: %s", why)
            self._silence_reason = why
            return False
        self._silence_reason = ""
        try:
            await self._web.request("GET")
        except DeliveryFailed as error:
            if self.health.record_failure(self._now(), self._monotonic(), str(error)):
                log.warning("the dead-man's ping does not get through: %s", error)
            return False
        except Exception as error:
            self.health.record_failure(self._now(), self._monotonic(), type(error).__name__)
            log.exception("the dead-man's ping failed")
            return False
        if self.health.record_success(self._now()):
            log.info("the dead-man's ping gets through again")
        return True
