"""The agent at work: schedule, spool, pushers, plan and certificate put together, from the start to a clean stop.

One task keeps time for all (sync, clock steps, status, a push when it is due), one follows the plan, one renews the
certificate, one serves jobs, one a collector pushes. The first of them to fail ends the agent.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Mapping
from typing import Any, Final, Protocol

from agent.config import Settings
from agent.runtime.certificates import CertificateRenewer
from agent.runtime.plan_follower import PlanFollower
from agent.runtime.pushers import Pushers
from agent.runtime.reporter import AgentReporter
from agent.runtime.scheduler import Build, Scheduler
from agent.runtime.state import RunningAgent
from agent.runtime.step_watch import StepWatch
from agent.runtime.tasks import ServiceTasks
from agent.spool import CheckResult, Spool
from agent.uplink.plans import PlanStore, SignedPlan, StoredPlan
from inventory.base.clock import Clock
from inventory.base.systemd import Notifier
from inventory.protocol.plan import Plan
from inventory.protocol.reasons import pack
from inventory.protocol.wire import Ack, Present, Record

log = logging.getLogger("agent.service")

FIRST_TICK: Final = 2.0  # seconds; doubles up to the push interval, so that a new agent is seen at once
LAST_PUSH: Final = 2.0  # seconds that a clean stop gives the last push


class LocalJobs(Protocol):
    """What serves the jobs and drills of this machine."""

    def use_plan(self, plan: Plan) -> None: ...
    def clock_was_set(self) -> None: ...
    def stats(self) -> Mapping[str, float]: ...
    async def run(self) -> None: ...


class AgentService:
    """One life of the agent between opening and closing its spool."""

    def __init__(
        self,
        settings: Settings,
        state: RunningAgent,
        spool: Spool,
        clock: Clock,
        notifier: Notifier,
        *,
        build: Build,
        jobs: LocalJobs,
    ) -> None:
        self._state = state
        self._spool = spool
        self._clock = clock
        self._notifier = notifier
        self._jobs = jobs
        self._tasks = ServiceTasks()
        self._step_watch = StepWatch(clock)
        self._plans = PlanStore(state.state_dir, state.identity.agent)
        self._scheduler = Scheduler(
            clock=clock,
            build=build,
            on_result=self._on_result,
            limits=settings.limits.parsed(),
            credentials=settings.make_credentials(),
            storage=state.state_dir / "probes",
            hub=state.hub,
        )
        self._pushers = Pushers(state, spool, clock, self, self._tasks)
        self._follower = PlanFollower(state, self._plans, self._pushers, self._apply_plan)
        self._renewer = CertificateRenewer(state, clock, self._pushers.renew_tls)
        self._reporter = AgentReporter(state, clock, spool, self._scheduler, self._pushers, jobs.stats)

    # -- life

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``. Raises SpoolBroken, or a bug of ours."""
        self._pushers.serve_plan()
        self._apply_plan(self._state.stored)
        self._tasks.start("tick", self._tick())
        self._tasks.start("plan", self._follower.run())
        self._tasks.start("certificate", self._renewer.run())
        self._tasks.start("jobs", self._jobs.run())
        log.info("agent %s runs with %d checks", self._state.identity.agent, len(self._state.plan.checks))
        stopped = asyncio.create_task(stop.wait())
        ends: tuple[asyncio.Future[Any], ...] = (stopped, self._tasks.failed, self._scheduler.failed)
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends[1:]:
                if end.done():
                    end.result()
        finally:
            clean = stopped.done()
            for end in ends:
                end.cancel()
            await self._shut_down(clean)

    def _apply_plan(self, stored: StoredPlan) -> None:
        """Go over to a plan: frames from now on are made under it."""
        if stored.digest != self._state.stored.digest:
            log.info("a new plan %s: %d checks", stored.digest.hex(), len(stored.plan.checks))
        collectors, authorities = self._state.collectors, self._state.plan.authorities
        self._state.stored = stored
        if self._state.collectors != collectors:
            self._pushers.serve_plan()
        if stored.plan.authorities != authorities:
            self._pushers.renew_tls()
        self._spool.use_plan(stored.digest)
        self._jobs.use_plan(stored.plan)
        names = {check.uid: check.name for check in stored.plan.checks}
        self._state.refused = []
        for uid, why in self._scheduler.apply_plan(stored.plan):
            log.warning("check %s is refused: %s", names[uid], why)
            self._state.refused.append((names[uid], why))
            self._spool.append(Record(self._clock.boot_ms(), "refused", {"check": uid, "why": pack(why)}))
        self._plans.prune(self._spool.referenced_plans(), stored.digest)

    async def _tick(self) -> None:
        """At every tick of the push interval: the clock, the disk, the status file, and a push."""
        wait = FIRST_TICK
        while True:
            every = max(self._state.plan.push_every, 1_000) / 1000
            wait = min(wait, every)
            await self._notifier.sleep(wait * random.uniform(0.9, 1.1))
            wait *= 2
            step = self._step_watch.check()
            if step is not None:
                log.warning("the wall clock was set: %+.1f s", step.data["step_ms"] / 1000)
                self._spool.append(step)
                self._jobs.clock_was_set()
            self._spool.sync()
            if self._pushers.forbidden:
                self._renewer.hurry()
            self._reporter.write_status()
            self._pushers.tick()

    def _on_result(self, result: CheckResult, news: bool) -> None:
        self._state.looks += 1
        self._spool.append(result)
        if news:
            self._pushers.hurry()

    async def _shut_down(self, clean: bool) -> None:
        """Stop looking; after a fault no more than that. Else record the stop and push once more if that is quick."""
        self._notifier.notify("STOPPING=1")
        await self._tasks.stop()
        await self._scheduler.stop()
        try:
            if clean:
                self._spool.append(Record(self._clock.boot_ms(), "stop", {"why": "stopped"}))
                self._spool.sync()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAST_PUSH):
                        await self._pushers.push_once()
        finally:
            self._spool.close()
            await self._pushers.close()

    # -- what the pushers ask (agent.uplink.push.PushContext)

    def present(self) -> Present:
        return self._scheduler.present(self._state.stored.digest)

    def plan(self, digest: bytes) -> SignedPlan | None:
        stored = self._state.stored
        return stored.signed if digest == stored.digest else self._plans.get(digest)

    def health(self, collector: str) -> dict[str, float]:
        return self._reporter.health(collector)

    def acknowledged(self, collector: str, ack: Ack) -> None:
        self._reporter.acknowledged(collector)
        self._renewer.check(ack.sent_ms)
        if ack.plan is not None and ack.plan != self._state.stored.digest and collector == self._state.authority:
            self._follower.hurry()
