"""The scheduler: runs every check of the plan at its own interval, none delayed by another.

One ticker a check, so that a check cannot overlap itself. At most ``slots`` looks are in flight, and a look's clock
starts when it has its slot: bursts then do not show up as latency. State lives here from look to look; what is
recorded goes out through ``take``.
"""

import asyncio
import ipaddress
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from agent.credentials import Credentials
from agent.probe import Hub, Limits, Probe, ProbeContext
from agent.runtime.run_once import ProbeRunner
from agent.runtime.thresholds import integers, microseconds, state_and_reason
from agent.runtime.ticks import Ticks
from agent.spool import CheckResult
from inventory.base.clock import Clock
from inventory.protocol import states
from inventory.protocol.plan import Column, Plan, PlannedCheck
from inventory.protocol.reasons import Why, bounded, sentence
from inventory.protocol.wire import Present

log = logging.getLogger("agent.schedule")

MIN_SLOTS: Final = 50
MAX_SLOTS: Final = 500
NEWS_RESULTS: Final = 3  # looks in a new state that are news: so many make an incident, and half as many its end

Build = Callable[[str, Mapping[str, Any]], Probe]
OnResult = Callable[[CheckResult, bool], None]


class ScheduledCheck:
    """One check at run time: its place in the plan now, its state since when, its ticker."""

    def __init__(self, check: PlannedCheck, clock: Clock) -> None:
        now = clock.boot_ms()
        self.check = check
        self.index = 0
        self.columns: tuple[Column, ...] = ()
        self.probe: Probe | None = None  # None: refused
        self.ticks = Ticks(check, now)
        self.runner = ProbeRunner(clock)
        self.state: int | None = None
        self.since = now
        self.looks = 0
        self.reason = ""
        self.running = False
        self.ticker: asyncio.Task[None] | None = None

    def record_state(self, state: int, at: int) -> bool:
        """Take a look's state; True if it is news: another state, or a first look that was not up."""
        if state == self.state:
            self.looks += 1
            return False
        news = self.state is not None or state != states.UP
        self.state, self.since, self.looks = state, at, 1
        return news


class Scheduler:
    """Runs a plan. ``take`` gets each result and whether it is news: a change of state, or a look that confirms one."""

    def __init__(
        self,
        *,
        clock: Clock,
        build: Build,
        on_result: OnResult,
        limits: Limits | None = None,
        credentials: Credentials | None = None,
        storage: Path | None = None,
        hub: Callable[[], Hub | None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._build = build
        self._on_result = on_result
        self._limits = limits or Limits()
        self._credentials = credentials or Credentials()
        self._storage = storage  # of the probes, a directory a kind
        self._hub = hub  # asked at each look: a new plan may name another
        self._clients: dict[type[Any], Any] = {}
        self._slots = asyncio.Semaphore(MIN_SLOTS)
        self._scheduled: dict[str, ScheduledCheck] = {}
        self._order: list[ScheduledCheck] = []
        # set when a ticker dies: a bug, or the spool
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def apply_plan(self, plan: Plan) -> list[tuple[str, str]]:
        """Take up a plan, at once and whole: checks that it shares with the last one keep rhythm and state.

        Returns what is refused, as (uid, why): kinds this agent does not know, parameters it does not understand,
        targets outside its own limits. Those are never looked at.
        """
        refused = []
        before, self._scheduled, self._order = self._scheduled, {}, []
        for place, check in enumerate(plan.checks):
            scheduled = before.pop(check.uid, None) or ScheduledCheck(check, self._clock)
            self._scheduled[check.uid] = scheduled
            self._order.append(scheduled)
            why = self._apply_check(scheduled, check, place, plan.columns.get(check.kind, ()))
            if why:
                refused.append((check.uid, why))
        for gone in before.values():
            _cancel(gone)
        self._slots = asyncio.Semaphore(slots_for(plan.checks))
        return refused

    def _apply_check(
        self, scheduled: ScheduledCheck, check: PlannedCheck, place: int, columns: tuple[Column, ...]
    ) -> str:
        """Give a check its place and its probe; returns why it is refused, or ""."""
        old, fresh = scheduled.check, scheduled.probe is None
        scheduled.check, scheduled.index, scheduled.columns = check, place, columns
        why = ""
        if fresh or (old.kind, old.params) != (check.kind, check.params):
            scheduled.probe, why = self._build_probe(check)
        if scheduled.probe is None:
            _cancel(scheduled)
            return why
        timing = (old.interval, old.recheck) != (check.interval, check.recheck)
        if timing:
            scheduled.ticks.reschedule(check, self._clock.boot_ms())
        if timing and not scheduled.running:
            _cancel(scheduled)  # asleep until the old time
        if scheduled.ticker is None:
            scheduled.ticker = asyncio.create_task(self._tick(scheduled), name=f"check {check.name}")
            scheduled.ticker.add_done_callback(self._ended)
        return ""

    def _build_probe(self, check: PlannedCheck) -> tuple[Probe | None, str]:
        if check.interval <= 0 or check.timeout <= 0:
            return None, sentence("its interval and timeout must be more than 0")
        try:
            probe = self._build(check.kind, check.params)
            why = outside_limits(probe, self._limits)
        except Exception as error:  # whatever a kind makes of parameters from elsewhere, the others go on
            return None, sentence("this agent cannot make it: {error}", error=error)
        return (None, why) if why else (probe, "")

    def _ended(self, ticker: "asyncio.Task[None]") -> None:
        error = None if ticker.cancelled() else ticker.exception()
        if error is not None and not self.failed.done():
            self.failed.set_exception(error)

    async def _tick(self, scheduled: ScheduledCheck) -> None:
        """The life of one check."""
        clock = self._clock
        while True:
            wait = scheduled.ticks.due - clock.boot_ms()
            if wait > 0:
                await asyncio.sleep(wait / 1000)
                continue
            if scheduled.runner.busy:
                now = clock.boot_ms()
                scheduled.ticks.record(states.UNKNOWN, False, now, now)
                continue
            async with self._slots:
                await self._run_check(scheduled)

    async def _run_check(self, scheduled: ScheduledCheck) -> None:
        check, probe = scheduled.check, scheduled.probe
        if probe is None:
            return
        started = self._clock.boot_ms()
        scheduled.running = True
        try:
            storage = self._storage / check.kind if self._storage is not None else None
            context = ProbeContext(
                check.timeout / 1000, self._limits, self._clients, self._credentials, storage, self._hub()
            )
            outcome = await scheduled.runner.run(check.name, probe, context)
        finally:
            scheduled.running = False
        if outcome.skipped:  # none was due: there is no result, the last one speaks on
            last_state = states.UNKNOWN if scheduled.state is None else scheduled.state
            scheduled.ticks.record(last_state, False, started, self._clock.boot_ms())
            return
        try:
            state, reason = state_and_reason(outcome, scheduled.check.thresholds)
            values = integers(outcome.measures, scheduled.columns)
            latency = microseconds(outcome.latency)
        except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
            state, reason = (
                states.UNKNOWN,
                bounded(sentence("the probe answered what cannot be recorded: {error}", error=error)),
            )
            values, latency = tuple(None for _ in scheduled.columns), None
        before = scheduled.state
        changed = scheduled.record_state(state, started)
        scheduled.reason = reason
        scheduled.ticks.record(state, changed, started, self._clock.boot_ms())
        if changed:
            was = "first look" if before is None else states.NAMES[before]
            log.info("check %s is %s (%s)%s", check.name, states.NAMES[state], was, reason and f": {reason}")
        news = changed or (scheduled.ticks.rechecking and scheduled.looks <= NEWS_RESULTS)
        self._on_result(CheckResult(scheduled.index, started, state, latency, values, reason), news)

    def checks(self) -> Sequence[ScheduledCheck]:
        """Every check of the plan, in its order, the refused ones too."""
        return self._order

    def present(self, plan: bytes) -> Present:
        """The state of every check now, in the plan's order; what was never looked at is unknown."""
        order = self._order
        return Present(
            plan,
            self._clock.boot_id(),
            self._clock.boot_ms(),
            bytes(states.UNKNOWN if scheduled.state is None else scheduled.state for scheduled in order),
            [scheduled.since for scheduled in order],
            [scheduled.looks for scheduled in order],
        )

    async def stop(self) -> None:
        """No look begins or is recorded after this; what the probes share is closed."""
        tickers = [scheduled.ticker for scheduled in self._order if scheduled.ticker is not None]
        for scheduled in self._order:
            _cancel(scheduled)
        if tickers:
            await asyncio.wait(tickers, timeout=1)
        for client in self._clients.values():
            try:
                await client.close()
            except Exception:
                log.exception("a shared client does not close")
        self._clients.clear()


def outside_limits(probe: Probe, limits: Limits) -> Why:
    """Why this probe's targets are outside the agent's own limits, or "". Names are judged once resolved."""
    for host, port in probe.endpoints():
        try:
            address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
        except ValueError:
            if port is not None and limits.ports and port not in limits.ports:
                return sentence("port {port} is not one this agent may probe", port=port)
            continue
        if why := limits.forbids(address, port):
            return why
    return ""


def slots_for(checks: tuple[PlannedCheck, ...]) -> int:
    """How many looks at once: enough for every check down and running into its timeout, within bounds."""
    busy = sum(
        min(1.0, check.timeout / max(1, min(check.interval, 2 * check.recheck)))
        for check in checks
        if check.timeout > 0
    )
    return min(max(MIN_SLOTS, math.ceil(busy)), MAX_SLOTS)


def _cancel(scheduled: ScheduledCheck) -> None:
    if scheduled.ticker is not None:
        scheduled.ticker.cancel()
        scheduled.ticker = None
