"""Maintenance beside the pushes: checkpoints, the collector's own life, deferred batches, pruning."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from collector.ingest.clock import ClockTrust
from collector.ingest.committer import Committer
from collector.store import prune
from collector.store.errors import StoreError
from collector.store.interfaces.store import Store
from collector.store.records import AddedEvent
from inventory.base.clock import Clock

log = logging.getLogger("collector.ingest")

LIFE_EVERY: Final = 20  # seconds between records of being alive
PRUNE_EVERY: Final = 10  # seconds between two rounds of pruning, one when it is behind
PRUNE_STEPS: Final = 8  # small steps in a round: 4,000 rows


class Maintenance:
    """One tick a second."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        trust: ClockTrust,
        committer: Committer,
        place_deferred: Callable[[], Awaitable[None]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._trust = trust
        self._committer = committer
        self._place_deferred = place_deferred
        self._run = 0  # this run's row in the collector's life
        self._was_trusted = True
        self._began_boot_ms = 0
        self._ticks = 0
        self._pruning_behind = False
        self._last_error = ""

    async def begin(self) -> None:
        """A new row in the collector's life."""
        boot, trusted = self._clock.boot_id(), self._trust.trusted
        began, now = self._clock.boot_ms(), self._clock.wall_ms()
        self._began_boot_ms, self._was_trusted = began, trusted
        self._run = await self._store.write(lambda tx: tx.life.begin(boot, began, now, trusted))
        if not trusted:
            log.warning("results are kept, and placed in time later: %s", self._trust.why)

    async def run(self) -> None:
        while True:
            await asyncio.sleep(1)
            try:
                await self.tick()
            except StoreError as error:
                if str(error) != self._last_error:  # the change, not the state
                    log.warning("%s", error)
                self._last_error = str(error)
            except Exception:  # a bug here must not end checkpoints and pruning for good
                log.exception("a tick of the maintenance failed")
            else:
                self._last_error = ""

    async def tick(self) -> None:
        """One second's work."""
        self._ticks += 1
        trusted = self._trust.recheck()
        if trusted != self._was_trusted:
            await self._trust_changed(trusted)
        if trusted:
            await self._place_deferred()
        self._committer.request_save()
        if self._ticks % LIFE_EVERY == 0:
            await self.record_alive()
        if trusted and (self._pruning_behind or self._ticks % PRUNE_EVERY == 0):
            await self._prune()

    async def record_alive(self, *, stopped: bool = False) -> None:
        """Record being alive, by a believed clock only."""
        if not self._trust.recheck() or not self._run:
            return
        run, now, boot_ms = self._run, self._clock.wall_ms(), self._clock.boot_ms()
        started, ended = now - (boot_ms - self._began_boot_ms), now if stopped else None
        await self._store.write(lambda tx: tx.life.record(run, boot_ms, now, started, ended))
        self._trust.record(now)

    async def end(self) -> None:
        await self.record_alive(stopped=True)

    async def _prune(self) -> None:
        self._pruning_behind = False
        for _ in range(PRUNE_STEPS):
            if await prune.step(self._store, self._clock.wall_ms()) < prune.STEP_ROWS:
                return
        self._pruning_behind = True

    async def _trust_changed(self, trusted: bool) -> None:
        self._was_trusted = trusted
        steps = [step.ms for step in self._trust.accepted_steps]
        self._trust.accepted_steps.clear()
        if trusted:
            log.info("the clock is believed again")
        else:
            log.warning("results are kept, and placed in time later: %s", self._trust.why)
        data = {"trusted": trusted, "why": self._trust.why, "steps": steps}
        event = AddedEvent(self._clock.wall_ms(), "", None, "collector clock", data, True)
        await self._store.write(lambda tx: tx.events.add([event]))
