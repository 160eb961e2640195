"""Ingest's maintenance beside the pushes: checkpoints, the collector's own life, deferred batches, pruning."""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import apsw

from collector.ingest.state import NewEvent
from collector.store import prune
from collector.store.errors import StoreError

if TYPE_CHECKING:
    from collector.ingest.ingest import Ingest

log = logging.getLogger("collector.ingest")

LIFE_EVERY: Final = 20  # seconds between records of being alive
PRUNE_EVERY: Final = 10  # seconds between two rounds of pruning, one when it is behind
PRUNE_STEPS: Final = 8  # small steps in a round: 4,000 rows


class Maintenance:
    """One tick a second. ``life``: this run's row."""

    def __init__(self, ingest: "Ingest") -> None:
        self._ingest = ingest
        self._life_row = 0
        self._was_trusted = True
        self._began_boot_ms = 0
        self._ticks = 0
        self._pruning_behind = False  # with pruning
        self._last_error = ""

    async def begin(self) -> None:
        """A new row in the collector's life."""
        ingest = self._ingest
        self._began_boot_ms = ingest.clock.boot_ms()
        self._was_trusted = ingest.trust.trusted
        now = ingest.clock.wall_ms()
        row = (ingest.clock.boot, self._began_boot_ms, now, now, ingest.trust.trusted)

        def work(db: apsw.Connection) -> int:
            columns = "boot, boot_ms, started, alive, trusted"
            db.execute(f"INSERT INTO collector_life ({columns}) VALUES (?, ?, ?, ?, ?)", row)
            return db.last_insert_rowid()

        self._life_row = await ingest.database.write(work)
        if not ingest.trust.trusted:
            log.warning("results are kept, and placed in time later: %s", ingest.trust.why)

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
                log.exception("the keeper's tick failed")
            else:
                self._last_error = ""

    async def tick(self) -> None:
        """One second's work."""
        ingest = self._ingest
        self._ticks += 1
        trusted = ingest.trust.recheck()
        if trusted != self._was_trusted:
            await self._trust_changed(trusted)
        if trusted:
            await ingest.place_deferred()
        ingest.committer.request_save()
        if self._ticks % LIFE_EVERY == 0:
            await self.record_alive()
        if trusted and (self._pruning_behind or self._ticks % PRUNE_EVERY == 0):
            self._pruning_behind = False
            for _ in range(PRUNE_STEPS):
                if await prune.step(ingest.database, ingest.clock.wall_ms()) < prune.STEP_ROWS:
                    break
            else:
                self._pruning_behind = True

    async def record_alive(self, *, stopped: bool = False) -> None:
        """Record being alive, by a believed clock only."""
        ingest = self._ingest
        if not ingest.trust.recheck() or not self._life_row:
            return
        now, boot_ms = ingest.clock.wall_ms(), ingest.clock.boot_ms()
        started = now - (boot_ms - self._began_boot_ms)
        columns = "boot_ms = ?, alive = ?, started = iif(trusted, started, ?), trusted = 1, stopped = ?"
        sql = f"UPDATE collector_life SET {columns} WHERE id = ?"
        values = (boot_ms, now, started, now if stopped else None, self._life_row)
        await ingest.database.write(lambda db: db.execute(sql, values))
        ingest.trust.record(now)

    async def end(self) -> None:
        await self.record_alive(stopped=True)

    async def _trust_changed(self, trusted: bool) -> None:
        ingest = self._ingest
        self._was_trusted = trusted
        now = ingest.clock.wall_ms()
        steps = [step.ms for step in ingest.trust.accepted_steps]
        ingest.trust.accepted_steps.clear()
        if trusted:
            log.info("the clock is believed again")
        else:
            log.warning("results are kept, and placed in time later: %s", ingest.trust.why)
        data = {"trusted": trusted, "why": ingest.trust.why, "steps": steps}
        await ingest.store_event("", NewEvent(now, None, "collector clock", data, True))
