"""The agent at work: plan, schedule, spool and pushers put together.

One task keeps time for all (sync, clock steps, status, a push when it is due), one follows the plan, one renews the
certificate, one a collector pushes. The first of them to fail ends the agent.
"""

import asyncio
import contextlib
import logging
import os
import random
import ssl
import sys
from collections.abc import Coroutine
from typing import Any, Final

from agent import probes
from agent.clock import StepWatch
from agent.config import Settings
from agent.jobs.side import JobsService
from agent.runtime import status
from agent.runtime.scheduler import Scheduler
from agent.spool import CheckResult, Spool
from agent.uplink import identity as identities
from agent.uplink import plans
from agent.uplink.connection import Unreachable, Uplink, tls_context
from agent.uplink.hub import hub_of
from agent.uplink.plans import BadPlan, PlanStore, StoredPlan
from agent.uplink.push import Pusher
from inventory.base.clock import Clock
from inventory.base.systemd import Notifier
from inventory.protocol.plan import CollectorAddress, Plan
from inventory.protocol.wire import Ack, Present, Record

log = logging.getLogger("agent.service")

VERSION: Final = "0.1.0"
PLAN_EVERY: Final = 600.0  # seconds; an ack that names another plan fetches it at once
HEALTH_EVERY: Final = 300_000  # ms
RENEW_EVERY: Final = 3_600_000  # ms between attempts to renew
DEFAULT_COLLECTOR: Final = "collector"  # the one enrolled with, where the plan names none
FIRST_TICK: Final = 2.0  # seconds; doubles up to the push interval, so that a new agent is seen at once
LAST_PUSH: Final = 2.0  # seconds that a clean stop gives the last push


class AgentService:
    """One life of the agent between opening and closing its spool."""

    def __init__(
        self,
        settings: Settings,
        identity: identities.Identity,
        stored: StoredPlan,
        spool: Spool,
        clock: Clock,
        notifier: Notifier,
    ) -> None:
        self._settings = settings
        self._identity = identity
        self._stored = stored
        self._clock = clock
        self._notifier = notifier
        self._plans = PlanStore(settings.state_dir, identity.agent)
        self._started = clock.boot_ms()
        self._addresses = collectors_of(stored.plan, identity)
        self._spool = spool
        limits, credentials = settings.limits.parsed(), settings.make_credentials()
        self._scheduler = Scheduler(
            clock=clock,
            build=probes.build,
            on_result=self._on_result,
            limits=limits,
            credentials=credentials,
            storage=settings.state_dir / "probes",
            hub=lambda: hub_of(self._stored.plan, self._identity, settings.state_dir),
        )
        self._jobs_service = JobsService(settings, clock)
        self._pushers: dict[str, Pusher] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()  # connections to collectors no longer served
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._refused: list[tuple[str, str]] = []
        self._step_watch = StepWatch(clock)
        self._plan_due = asyncio.Event()
        self._renew_due = asyncio.Event()
        self._renew_tried: int | None = None
        self._health_acked: dict[str, int] = {}  # by collector, boot ms
        self._status_error = ""
        self._looks = 0

    # -- life

    async def run(self, stop: asyncio.Event) -> None:
        """Until ``stop``. Raises SpoolBroken, or a bug of ours."""
        self._update_pushers()
        self._apply_plan(self._stored)
        self._start("keep", self._tick())
        self._start("plan", self._follow_plan())
        self._start("renew", self._renew())
        self._start("side", self._jobs_service.run())
        log.info("agent %s runs with %d checks", self._identity.agent, len(self._stored.plan.checks))
        stopped = asyncio.create_task(stop.wait())
        ends: tuple[asyncio.Future[Any], ...] = (stopped, self._failed, self._scheduler.failed)
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

    def _start(self, name: str, job: Coroutine[Any, Any, None]) -> None:
        """Run a job that never ends; when it fails, the agent does."""
        task = self._tasks[name] = asyncio.create_task(job, name=name)

        def ended(task: "asyncio.Task[None]") -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None and not self._failed.done():
                self._failed.set_exception(error)

        task.add_done_callback(ended)

    async def _shut_down(self, clean: bool) -> None:
        """Stop looking; after a fault no more than that. Else record the stop and push once more if that is quick."""
        self._notifier.notify("STOPPING=1")
        for job in self._tasks.values():
            job.cancel()
        await asyncio.wait(self._tasks.values(), timeout=1)
        await self._scheduler.stop()
        try:
            if clean:
                self._spool.append(Record(self._clock.boot_ms(), "stop", {"why": "stopped"}))
                self._spool.sync()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAST_PUSH):
                        await asyncio.gather(*(pusher.attempt() for pusher in self._pushers.values()))
        finally:
            self._spool.close()
            for pusher in self._pushers.values():
                await pusher.uplink.close()

    def _update_pushers(self) -> None:
        """One pusher for each collector of the plan; what those have in common with the last plan goes on."""
        addresses = {address.name: address for address in self._addresses}
        for name, pusher in tuple(self._pushers.items()):
            if name not in addresses or pusher.uplink.url != addresses[name].url.rstrip("/"):
                self._tasks.pop(f"push {name}").cancel()
                closing = asyncio.create_task(self._pushers.pop(name).uplink.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        self._spool.serve(tuple(addresses))
        for name, address in addresses.items():
            if name not in self._pushers:
                uplink = Uplink(address.url, self._context())
                pusher = self._pushers[name] = Pusher(name, uplink, self._spool, self._clock, self)
                self._start(f"push {name}", pusher.run())

    def _on_result(self, result: CheckResult, news: bool) -> None:
        self._looks += 1
        self._spool.append(result)
        if news:
            self._hurry_pushers()

    def _hurry_pushers(self) -> None:
        for pusher in self._pushers.values():
            pusher.hurry()

    async def _tick(self) -> None:
        """At every tick of the push interval: the clock, the disk, the status file, and a push."""
        wait = FIRST_TICK
        while True:
            every = max(self._stored.plan.push_every, 1_000) / 1000
            wait = min(wait, every)
            await self._notifier.sleep(wait * random.uniform(0.9, 1.1))
            wait *= 2
            step = self._step_watch.check()
            if step is not None:
                log.warning("the wall clock was set: %+.1f s", step.data["step_ms"] / 1000)
                self._spool.append(step)
                self._jobs_service.clock_was_set()
            self._spool.sync()
            if any(pusher.contact.status == 403 for pusher in self._pushers.values()):
                self._renew_due.set()  # perhaps the certificate has expired
            self._write_status()
            for pusher in self._pushers.values():
                pusher.tick()

    # -- plans

    async def _follow_plan(self) -> None:
        """Fetch the plan now, when an ack names another one, and every ten minutes."""
        last_error = ""
        while True:
            try:
                fetched = await self._fetch()
                if fetched is not None:
                    self._plans.keep(fetched)
                    self._apply_plan(fetched)
                last_error = ""
            except (Unreachable, BadPlan, OSError) as error:
                if str(error) != last_error:
                    log.warning("the plan stays as it is: %s", error)
                    last_error = str(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PLAN_EVERY * random.uniform(0.9, 1.1)):
                    await self._plan_due.wait()
            self._plan_due.clear()

    async def _fetch(self) -> StoredPlan | None:
        """From the plan's authority; where that is not reached, from the collector this agent was enrolled with."""
        authority = self._authority()
        try:
            return await plans.fetch(authority.uplink, self._identity.agent, self._stored.digest)
        except Unreachable:
            if authority.uplink.url == self._identity.url.rstrip("/"):
                raise
            # the plan may name a wrong address, and could then never be corrected
            uplink = Uplink(self._identity.url, self._context())
            try:
                return await plans.fetch(uplink, self._identity.agent, self._stored.digest)
            finally:
                await uplink.close()

    def _authority(self) -> Pusher:
        first = max(self._addresses, key=lambda address: address.authority)
        return self._pushers[first.name]

    def _apply_plan(self, stored: StoredPlan) -> None:
        """Go over to a plan: frames from now on are made under it."""
        if stored.digest != self._stored.digest:
            log.info("a new plan %s: %d checks", stored.digest.hex(), len(stored.plan.checks))
        previous, self._stored = self._stored, stored
        addresses = collectors_of(stored.plan, self._identity)
        if addresses != self._addresses:
            self._addresses = addresses
            self._update_pushers()
        if previous.plan.authorities != stored.plan.authorities:
            self._reload_tls()
        self._spool.use_plan(stored.digest)
        self._jobs_service.use_plan(stored.plan)
        names = {check.uid: check.name for check in stored.plan.checks}
        self._refused = []
        for uid, why in self._scheduler.apply_plan(stored.plan):
            log.warning("check %s is refused: %s", names[uid], why)
            self._refused.append((names[uid], why))
            self._spool.append(Record(self._clock.boot_ms(), "refused", {"check": uid, "why": why}))
        self._plans.prune(self._spool.referenced_plans(), stored.digest)

    # -- identity

    def _context(self) -> ssl.SSLContext:
        authorities = [self._identity.authority, *self._stored.plan.authorities]
        return tls_context(authorities, identities.path_in(self._settings.state_dir))

    def _reload_tls(self) -> None:
        """Another certificate of ours, or other authorities: new connections from now on."""
        for pusher in self._pushers.values():
            pusher.uplink.use(self._context())
            pusher.hurry()

    async def _renew(self) -> None:
        """Renew the certificate when that is due. In a process of its own: the library for keys is large."""
        while True:
            await self._renew_due.wait()
            self._renew_due.clear()
            now = self._clock.boot_ms()
            if self._renew_tried is not None and now - self._renew_tried < RENEW_EVERY:
                continue
            self._renew_tried = now
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "agent.cli.main", "renew", "--state-dir", str(self._settings.state_dir),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            stdout, _ = await process.communicate()
            text = stdout.decode(errors="replace").strip()
            if process.returncode != 0:
                log.warning("the certificate was not renewed: %s", text)
                continue
            log.info("%s", text)
            self._identity = identities.load(self._settings.state_dir)
            self._reload_tls()

    # -- what pushers ask (push.Duties)

    def present(self) -> Present:
        return self._scheduler.present(self._stored.digest)

    def plan(self, digest: bytes) -> bytes | None:
        return self._stored.encoded if digest == self._stored.digest else self._plans.get(digest)

    def health(self, collector: str) -> dict[str, float]:
        """Numbers about the agent, every five minutes; empty between."""
        now = self._clock.boot_ms()
        acked_at = self._health_acked.get(collector)
        if acked_at is not None and now - acked_at < HEALTH_EVERY:
            return {}
        return {
            **status.process_numbers(),
            "uptime_seconds": (now - self._started) / 1000,
            "checks": float(len(self._stored.plan.checks)),
            "checks_refused": float(len(self._refused)),
            "looks": float(self._looks),
            "certificate_expires": self._identity.expires / 1000,
            **self._jobs_service.stats(),
            **{f"spool_{name}": value for name, value in self._spool.stats().items()},
        }

    def acknowledged(self, collector: str, ack: Ack) -> None:
        if self.health(collector):
            self._health_acked[collector] = self._clock.boot_ms()
        if ack.sent_ms >= self._identity.renew_at:
            self._renew_due.set()
        if ack.plan is not None and ack.plan != self._stored.digest and collector == self._authority().name:
            self._plan_due.set()

    def _write_status(self) -> None:
        clock, spool = self._clock, self._spool
        current = status.Status(
            version=VERSION,
            agent=self._identity.agent,
            pid=os.getpid(),
            boot=clock.boot_id().hex(),
            boot_ms=clock.boot_ms(),
            wall_ms=clock.wall_ms(),
            started=self._started,
            plan=self._stored.digest.hex(),
            push_every=self._stored.plan.push_every,
            states=status.state_counts(self._scheduler.checks()),
            troubles=status.unhealthy_checks(self._scheduler.checks()),
            refused=self._refused,
            collectors=[
                status.CollectorStatus(name, pusher.contact, spool.backlog(name))
                for name, pusher in self._pushers.items()
            ],
            spool=spool.stats(),
            notes=[note] if (note := getattr(clock, "note", "")) else [],
        )
        try:
            status.write(self._settings.state_dir, current)
            self._status_error = ""
        except OSError as error:
            if str(error) != self._status_error:
                log.warning("the status file cannot be written: %s", error)
                self._status_error = str(error)


def collectors_of(plan: Plan, identity: identities.Identity) -> tuple[CollectorAddress, ...]:
    """The collectors to serve; a plan that names none means the one this agent was enrolled with."""
    return plan.collectors or (CollectorAddress(name=DEFAULT_COLLECTOR, url=identity.url, authority=True),)
