"""The tide probe against a gauge on loopback, and against none."""

import asyncio

from agent.probes.tide import Tide

from agent.probe import Limits, ProbeContext
from inventory.protocol.states import DOWN, UP


async def test_says_how_high_the_water_is() -> None:
    async def gauge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"2.75\r\n")
        writer.close()

    server = await asyncio.start_server(gauge, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    outcome = await Tide(gauge="127.0.0.1", port=port).run(ProbeContext(2.0, Limits(), {}))
    assert (outcome.state, outcome.measures["level"]) == (UP, 2.75)
    server.close()
    await server.wait_closed()
    outcome = await Tide(gauge="127.0.0.1", port=port).run(ProbeContext(2.0, Limits(), {}))
    assert outcome.state == DOWN and "refused" in outcome.reason
