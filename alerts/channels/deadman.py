"""The dead-man's ping: an outside address hears from us while all is well, and raises the alarm when it does not."""

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
        self.standing = ChannelHealth("deadman")
        self._every = settings.every / 1000
        self._web = HttpClient(str(settings.url), min(settings.timeout, settings.every), settings.ca)
        self._health_check = health_check
        self._now = now or (lambda: time.time_ns() // 1_000_000)
        self._ticks = monotonic
        self._sleep = sleep
        self._silent = ""

    async def run(self) -> None:
        """Until cancelled. Moments are counted from the first, so that they do not drift."""
        due = self._ticks()
        while True:
            await self.once()
            late = self._ticks() - due
            due += self._every * max(1, int(late // self._every) + 1)
            await self._sleep(max(0.0, due - self._ticks()))

    async def once(self) -> bool:
        """One ping, if all is well; True when it got through. Raises nothing."""
        try:
            why = self._health_check()
        except Exception:
            log.exception("whether all is well could not be told")
            why = "whether all is well could not be told"
        if why:
            self.standing.held_back += 1
            if why != self._silent:
                log.warning("no dead-man's ping: %s", why)
            self._silent = why
            return False
        self._silent = ""
        try:
            await self._web.ask("GET")
        except DeliveryFailed as error:
            if self.standing.failed(self._now(), self._ticks(), str(error)):
                log.warning("the dead-man's ping does not get through: %s", error)
            return False
        except Exception as error:
            self.standing.failed(self._now(), self._ticks(), type(error).__name__)
            log.exception("the dead-man's ping failed")
            return False
        if self.standing.worked(self._now()):
            log.info("the dead-man's ping gets through again")
        return True
