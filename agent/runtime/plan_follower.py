"""Follows the plan: fetched from its authority now, when an ack names another one, and every ten minutes."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from typing import Final

from agent.runtime.pushers import Pushers
from agent.runtime.state import RunningAgent
from agent.uplink import plans
from agent.uplink.connection import Unreachable, Uplink
from agent.uplink.plans import BadPlan, PlanStore, StoredPlan

log = logging.getLogger("agent.plan")

EVERY: Final = 600.0  # seconds; an ack that names another plan fetches it at once


class PlanFollower:
    """``apply`` is given each new plan once it is on the disk; another signature of the same one is only kept."""

    def __init__(
        self, state: RunningAgent, store: PlanStore, pushers: Pushers, apply: Callable[[StoredPlan], None]
    ) -> None:
        self._state = state
        self._store = store
        self._pushers = pushers
        self._apply = apply
        self._due = asyncio.Event()

    def hurry(self) -> None:
        """There is another plan."""
        self._due.set()

    async def run(self) -> None:
        """For ever."""
        last_error = ""
        while True:
            try:
                fetched = await self._fetch()
                if fetched is not None:
                    self._store.keep(fetched)
                    if fetched.digest == self._state.stored.digest:
                        self._state.stored = fetched
                    else:
                        self._apply(fetched)
                last_error = ""
            except (Unreachable, BadPlan, OSError) as error:
                if str(error) != last_error:
                    log.warning("the plan stays as it is: %s", error)
                    last_error = str(error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY * random.uniform(0.9, 1.1)):
                    await self._due.wait()
            self._due.clear()

    async def _fetch(self) -> StoredPlan | None:
        """From the plan's authority; where that is not reached, from the collector this agent was enrolled with."""
        agent, known = self._state.identity.agent, self._state.stored
        authority = self._pushers[self._state.authority].uplink
        try:
            return await plans.fetch(authority, agent, known)
        except Unreachable:
            if authority.url == self._state.identity.url.rstrip("/"):
                raise
            # the plan may name a wrong address, and could then never be corrected
            uplink = Uplink(self._state.identity.url, self._state.tls_context())
            try:
                fetched = await plans.fetch(uplink, agent, known)
            finally:
                await uplink.close()
            same = fetched is not None and fetched.digest == known.digest
            return None if same and known.signature else fetched  # the authority's signature stays
