"""Starts the agent's own drills when they are due: each run is a process of its own, one at a time."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Iterable
from typing import Final

from agent.config import DrillSettings, Settings
from agent.jobs.drills.store import DrillRecord, DrillResult, DrillStore, directory, retry_at
from agent.jobs.stamp import FLOOR_MS, Stamp, to_wall_time
from inventory.base.clock import Clock
from inventory.grammars.schedule import schedule_of
from inventory.protocol.reasons import sentence

log = logging.getLogger("agent.jobs")

LAST_WORDS: Final = 5.0  # seconds for a drill to clean up when the agent stops


class DrillScheduler:
    """``tick`` every minute or so; at most one drill runs."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._store = DrillStore(directory(settings.state_dir), clock)
        self._registered: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    def tick(self, planned: Iterable[str]) -> None:
        """Wait for the drills that the plan or the agent's own file names; start one that is due. Raises OSError."""
        for name in {*planned, *self._settings.drills} - self._registered:
            self._store.register(name)
            self._registered.add(name)
        if self._task is not None and not self._task.done():
            return
        now = self._store.now()
        for name, drill in self._settings.drills.items():
            record = self._store.record(name)
            if drill.planned and record is not None and is_due(drill, record, now):
                self._task = asyncio.create_task(self._run(name), name=f"drill {name}")
                return

    async def stop(self) -> None:
        """End the drill that runs; it is due again when the agent is back."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await self._process.wait()
        if self._task is not None:
            self._task.cancel()

    async def _run(self, name: str) -> None:
        before = self._store.now()
        where = ["--state-dir", str(self._settings.state_dir)]
        if self._settings.at.file:
            where += ["--config", self._settings.at.file]
        log.info("restore drill %s begins", name)
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "agent.cli.main", "drill", name, "run", "--scheduled", *where,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            stdout, _ = await self._process.communicate()
            text = stdout.decode(errors="replace").strip()
            log.log(logging.WARNING if self._process.returncode else logging.INFO, "%s", text)
            record = self._store.record(name)
            if record is not None and record.attempt is not None:
                code = self._process.returncode
                note = sentence("the drill was cut off (its process ended with {code})", code=code)
                self._store.record_result(name, DrillResult(at=before, ok=False, note=note))
        except OSError as error:
            log.error("restore drill %s: %s", name, error)


def is_due(drill: DrillSettings, record: DrillRecord, now: Stamp) -> bool:
    """By its schedule, counted from the last run; one that was cut off is due again a day later."""
    if record.attempt is not None:
        return retry_at(record, now)
    schedule = schedule_of(drill.every, drill.cron, drill.oncalendar, drill.time_zone)
    if not schedule.regular and now.wall_ms < FLOOR_MS:
        return False
    last = record.last.at if record.last is not None else record.since
    due = schedule.next_after(to_wall_time(now, last).at)
    return due is not None and due <= now.wall_ms / 1000
