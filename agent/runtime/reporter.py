"""Reports about the agent itself: numbers for its collectors, and the status file for whoever asks on the machine."""

import logging
import os
from collections.abc import Callable, Mapping
from typing import Final

from agent.runtime import status
from agent.runtime.pushers import Pushers
from agent.runtime.scheduler import Scheduler
from agent.runtime.state import RunningAgent
from agent.spool import Spool
from inventory.base.clock import Clock
from inventory.base.version import VERSION

log = logging.getLogger("agent.status")

HEALTH_EVERY: Final = 300_000  # ms


class AgentReporter:
    """``job_stats``: the numbers of who listens for jobs."""

    def __init__(
        self,
        state: RunningAgent,
        clock: Clock,
        spool: Spool,
        scheduler: Scheduler,
        pushers: Pushers,
        job_stats: Callable[[], Mapping[str, float]],
    ) -> None:
        self._state = state
        self._clock = clock
        self._spool = spool
        self._scheduler = scheduler
        self._pushers = pushers
        self._job_stats = job_stats
        self._started = clock.boot_ms()
        self._acknowledged: dict[str, int] = {}  # by collector, boot ms
        self._write_error = ""

    def health(self, collector: str) -> dict[str, float]:
        """Numbers about the agent, every five minutes; empty between."""
        now = self._clock.boot_ms()
        acknowledged = self._acknowledged.get(collector)
        if acknowledged is not None and now - acknowledged < HEALTH_EVERY:
            return {}
        return {
            **status.process_numbers(),
            "uptime_seconds": (now - self._started) / 1000,
            "checks": float(len(self._state.plan.checks)),
            "checks_refused": float(len(self._state.refused)),
            "looks": float(self._state.looks),
            "certificate_expires": self._state.identity.expires / 1000,
            **self._job_stats(),
            **{f"spool_{name}": value for name, value in self._spool.stats().items()},
        }

    def acknowledged(self, collector: str) -> None:
        """This collector has what was last given to it."""
        if self.health(collector):
            self._acknowledged[collector] = self._clock.boot_ms()

    def write_status(self) -> None:
        """What cannot be written is said once."""
        try:
            status.write(self._state.state_dir, self._status())
            self._write_error = ""
        except OSError as error:
            if str(error) != self._write_error:
                log.warning("the status file cannot be written: %s", error)
                self._write_error = str(error)

    def _status(self) -> status.Status:
        clock, spool, stored = self._clock, self._spool, self._state.stored
        return status.Status(
            version=VERSION,
            agent=self._state.identity.agent,
            pid=os.getpid(),
            boot=clock.boot_id().hex(),
            boot_ms=clock.boot_ms(),
            wall_ms=clock.wall_ms(),
            started=self._started,
            plan=stored.digest.hex(),
            push_every=stored.plan.push_every,
            states=status.state_counts(self._scheduler.checks()),
            troubles=status.unhealthy_checks(self._scheduler.checks()),
            refused=self._state.refused,
            collectors=[
                status.CollectorStatus(pusher.name, pusher.contact, spool.backlog(pusher.name))
                for pusher in self._pushers
            ],
            spool=spool.stats(),
            notes=[note] if (note := getattr(clock, "note", "")) else [],
        )
