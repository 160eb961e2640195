"""The pushers of the agent: one for each collector that its plan names."""

import asyncio
from collections.abc import Iterator

from agent.runtime.state import RunningAgent
from agent.runtime.tasks import ServiceTasks
from agent.spool import Spool
from agent.uplink.connection import Uplink
from agent.uplink.push import PushContext, Pusher
from inventory.base.clock import Clock


class Pushers:
    """Started and stopped as plans come; each is a task of the service."""

    def __init__(
        self, state: RunningAgent, spool: Spool, clock: Clock, context: PushContext, tasks: ServiceTasks
    ) -> None:
        self._state = state
        self._spool = spool
        self._clock = clock
        self._context = context
        self._tasks = tasks
        self._pushers: dict[str, Pusher] = {}
        self._closing: set[asyncio.Task[None]] = set()  # connections to collectors no longer served

    def __iter__(self) -> Iterator[Pusher]:
        return iter(self._pushers.values())

    def __getitem__(self, name: str) -> Pusher:
        return self._pushers[name]

    def serve_plan(self) -> None:
        """One pusher for each collector of the plan; what those have in common with the last plan goes on."""
        addresses = {address.name: address for address in self._state.collectors}
        for name, pusher in tuple(self._pushers.items()):
            if name not in addresses or pusher.uplink.url != addresses[name].url.rstrip("/"):
                self._tasks.cancel(f"push {name}")
                closing = asyncio.create_task(self._pushers.pop(name).uplink.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        self._spool.serve(tuple(addresses))
        for name, address in addresses.items():
            if name not in self._pushers:
                uplink = Uplink(address.url, self._state.tls_context())
                pusher = self._pushers[name] = Pusher(name, uplink, self._spool, self._clock, self._context)
                self._tasks.start(f"push {name}", pusher.run())

    def tick(self) -> None:
        """It is time for a push."""
        for pusher in self:
            pusher.tick()

    def hurry(self) -> None:
        """There is news."""
        for pusher in self:
            pusher.hurry()

    def renew_tls(self) -> None:
        """Another certificate of ours, or other authorities: new connections from now on."""
        for pusher in self:
            pusher.uplink.use(self._state.tls_context())
            pusher.hurry()

    @property
    def forbidden(self) -> bool:
        """Whether a collector does not know our certificate: perhaps it has expired."""
        return any(pusher.contact.status == 403 for pusher in self)

    async def push_once(self) -> None:
        await asyncio.gather(*(pusher.attempt() for pusher in self))

    async def close(self) -> None:
        for pusher in self:
            await pusher.uplink.close()
