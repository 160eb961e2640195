"""The agent's process: from the identity and the first plan to a clean stop.

A failed sync of the spool ends it with exit code 1: its supervisor starts it anew from what is on the disk.
"""

import asyncio
import contextlib
import logging
import random
import signal
from typing import Final

from agent import identity as identities
from agent import plans
from agent.clock import Clock, SystemClock
from agent.config import Settings
from agent.plans import BadPlan, Kept, PlanStore
from agent.service import Agent, open_spool
from agent.spool import Spool, SpoolBroken, SpoolError, SpoolLocked
from agent.systemd import Notifier
from agent.uplink import Unreachable, Uplink, tls_context

log = logging.getLogger("agent.run")

LOCK_ATTEMPTS: Final = 10
LOCK_WAIT: Final = 0.1  # seconds


async def first_plan(settings: Settings, identity: identities.Identity, stop: asyncio.Event) -> Kept | None:
    """The kept plan, else the collector's, asked for until it gives one; None when stopped meanwhile."""
    store = PlanStore(settings.state_dir, identity.agent)
    kept = store.current()
    wait, told = 1.0, ""
    while kept is None and not stop.is_set():
        uplink = Uplink(identity.url, tls_context([identity.authority], identities.path_in(settings.state_dir)))
        try:
            kept = await plans.fetch(uplink, identity.agent, None)
            if kept is not None:
                store.keep(kept)
                break
        except (Unreachable, BadPlan) as error:
            if str(error) != told:
                log.warning("there is no plan yet: %s", error)
                told = str(error)
        finally:
            await uplink.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait * random.uniform(0.5, 1.0)):
                await stop.wait()
        wait = min(wait * 2, 60.0)
    return kept


async def take_spool(settings: Settings, agent: str, kept: Kept, clock: Clock) -> Spool:
    """Open the spool. Whoever only looks at its lock (doctor, status) is waited for. Raises SpoolError, OSError."""
    store = PlanStore(settings.state_dir, agent)
    for _ in range(LOCK_ATTEMPTS):
        try:
            return open_spool(settings, store, kept, clock)
        except SpoolLocked:
            await asyncio.sleep(LOCK_WAIT)
    return open_spool(settings, store, kept, clock)


async def run(settings: Settings, clock: Clock | None = None, stop: asyncio.Event | None = None) -> int:
    """The agent until SIGTERM or SIGINT (or ``stop``). The exit code: 0 stopped, 1 something is wrong."""
    clock = clock or SystemClock()
    notifier = Notifier()
    if stop is None:
        stop = asyncio.Event()
        for sign in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    try:
        identity = identities.load(settings.state_dir)
        kept = await first_plan(settings, identity, stop)
        if kept is not None and not stop.is_set():
            spool = await take_spool(settings, identity.agent, kept, clock)
            await Agent(settings, identity, kept, spool, clock, notifier).run(stop)
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
