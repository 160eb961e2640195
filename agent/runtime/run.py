"""The agent's process: from the identity and the first plan to a clean stop.

A failed sync of the spool ends it with exit code 1: its supervisor starts it anew from what is on the disk.
"""

import asyncio
import logging
import platform
import random
import signal
import sys
from collections.abc import Sequence
from typing import Final

from agent import probes
from agent.config import Settings
from agent.jobs.service import JobsService
from agent.runtime.service import AgentService
from agent.runtime.state import RunningAgent, collectors_of
from agent.spool import Spool, SpoolBroken, SpoolError, SpoolLocked
from agent.uplink import identity as identities
from agent.uplink import plans
from agent.uplink.connection import Unreachable, Uplink, tls_context
from agent.uplink.plans import BadPlan, PlanStore, StoredPlan
from inventory.base import files
from inventory.base.clock import Clock, SystemClock
from inventory.base.systemd import Notifier
from inventory.base.version import VERSION

log = logging.getLogger("agent.run")

FILES: Final = 8_192
LOCK_ATTEMPTS: Final = 10
LOCK_WAIT: Final = 0.1  # seconds


async def first_plan(
    settings: Settings, identity: identities.Identity, notifier: Notifier, stop: asyncio.Event
) -> StoredPlan | None:
    """The kept plan, else the collector's, asked for until it gives one; None when stopped meanwhile."""
    store = PlanStore(settings.state_dir, identity.agent)
    stored = store.current()
    wait, last_error = 1.0, ""
    while stored is None and not stop.is_set():
        uplink = Uplink(identity.url, tls_context([identity.authority], identities.path_in(settings.state_dir)))
        try:
            stored = await plans.fetch(uplink, identity.agent, None)
            if stored is not None:
                store.keep(stored)
                break
        except (Unreachable, BadPlan) as error:
            if str(error) != last_error:
                log.warning("there is no plan yet: %s", error)
                last_error = str(error)
        finally:
            await uplink.close()
        await notifier.sleep(wait * random.uniform(0.5, 1.0), stop)
        wait = min(wait * 2, 60.0)
    return stored


def open_spool(settings: Settings, identity: identities.Identity, stored: StoredPlan, clock: Clock) -> Spool:
    """Raises SpoolError, OSError."""

    store = PlanStore(settings.state_dir, identity.agent)

    def holds(digest: bytes) -> Sequence[int] | None:
        kept = store.get(digest)
        return [check.hold for check in plans.read(kept.encoded).plan.checks] if kept is not None else None

    return Spool.open(
        settings.state_dir / "spool",
        boot=clock.boot_id(),
        boot_ms=clock.boot_ms(),
        plan=stored.digest,
        limit_bytes=settings.spool.limit,
        start={"wall_ms": clock.wall_ms(), "version": VERSION, "platform": platform.platform(terse=True)},
        collectors=[address.name for address in collectors_of(stored.plan, identity)],
        holds=holds,
    )


async def open_spool_when_free(
    settings: Settings, identity: identities.Identity, stored: StoredPlan, clock: Clock
) -> Spool:
    """Open the spool. Whoever only looks at its lock (doctor, status) is waited for. Raises SpoolError, OSError."""
    for _ in range(LOCK_ATTEMPTS):
        try:
            return open_spool(settings, identity, stored, clock)
        except SpoolLocked:
            await asyncio.sleep(LOCK_WAIT)
    return open_spool(settings, identity, stored, clock)


def stop_on_signals() -> asyncio.Event:
    """Set at SIGTERM or SIGINT."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(sign, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(sign, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


def raise_file_limit() -> None:
    """As many open files as this process may have: hundreds of looks may be in flight, each with a socket."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        target = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
        if soft < target:
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))


async def run(settings: Settings, clock: Clock | None = None, stop: asyncio.Event | None = None) -> int:
    """The agent until SIGTERM or SIGINT (or ``stop``). The exit code: 0 stopped, 1 something is wrong."""
    clock = clock or SystemClock()
    notifier = Notifier()
    stop = stop or stop_on_signals()
    raise_file_limit()
    for directory in (settings.state_dir, *settings.waiting_pings):
        files.remove_left_over(directory)
    try:
        identity = identities.load(settings.state_dir)
        notifier.notify("READY=1")
        stored = await first_plan(settings, identity, notifier, stop)
        if stored is not None and not stop.is_set():
            spool = await open_spool_when_free(settings, identity, stored, clock)
            state = RunningAgent(settings.state_dir, identity, stored)
            jobs = JobsService(settings, clock)
            service = AgentService(settings, state, spool, clock, notifier, build=probes.build, jobs=jobs)
            await service.run(stop)
    except identities.NoIdentity as error:
        log.error("%s", error)
        return 1
    except SpoolBroken as error:
        log.critical("%s. The agent ends, to start again from what is on the disk.", error)
        return 1
    except (SpoolError, OSError) as error:
        log.critical("the spool cannot be used: %s", error)
        return 1
    return 0
