"""The kind ``tide``: how high the river stands, by a gauge that says it to whoever connects."""

import asyncio
from typing import Annotated

from msgspec import Meta

from agent.clients.net.resolve import Resolver
from agent.clients.net.stream import connect
from agent.failure import ProbeFailed
from agent.probe import Measure, Outcome, Probe, ProbeContext
from inventory.protocol.states import UP


class Tide(Probe, frozen=True, kw_only=True):
    """Asks a tide gauge for the level of the water: up when it says one. What is too high a threshold says."""

    kind = "tide"
    title = "tide gauge"
    target = ("gauge", "port")
    addressed_by = ("gauge",)
    measures = (
        Measure("level", "number", "Height of the water in metres"),
        Measure("connect_seconds", "seconds", "Time to connect", exported=False),
    )
    example = "{gauge: 192.0.2.30, port: 7000}"

    gauge: Annotated[str, Meta(min_length=1, max_length=253, description="Host name or address of the gauge")]
    port: Annotated[int, Meta(ge=1, le=65535, description="TCP port")] = 7000

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return ((self.gauge, self.port),)

    async def run(self, context: ProbeContext) -> Outcome:
        try:
            addresses = await context.client(Resolver, Resolver).addresses(self.gauge, "any")
            stream, latency = await connect(addresses, self.port, context.limits, context.timeout)
            try:
                async with asyncio.timeout(context.timeout):
                    level = float(await stream.receive())
            finally:
                stream.close()
        except ProbeFailed as failure:
            return Outcome(failure.state, failure.reason)
        return Outcome(UP, "", latency, {"level": level, "connect_seconds": latency})
