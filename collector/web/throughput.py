"""Throughput between an agent and this collector: bytes given and taken for an agent to time, rationed.

It is measured over the listener that pushes take, so it must not cost them anything: few bytes, few times a day,
few at once, one small block of memory each, and the loop is given back after every block.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from inventory.protocol.wire import MAX_THROUGHPUT

PER_DAY: Final = 8  # transfers, either way, of one agent in any 24 hours
MAX_AT_ONCE: Final = 2  # transfers of all agents together: more would measure each other
MAX_SECONDS: Final = 150.0  # seconds for one; the probe's own limit is 120
RETRY_AFTER: Final = 60  # seconds after which to ask again
BLOCK: Final = 65_536
_DAY: Final = 86_400.0


class TransferDenied(Exception):
    """No transfer; ``status`` and ``message`` say why, ``wait`` seconds may change that (0: waiting will not)."""

    def __init__(self, status: int, message: str, wait: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.wait = wait


class ThroughputServer:
    """The hub's end of the throughput probe. The ration is in memory: a restart of the collector begins it anew.

    ``clock``: seconds that never go back.
    """

    def __init__(
        self, per_day: int = PER_DAY, clock: Callable[[], float] = time.monotonic, seconds: float = MAX_SECONDS
    ):
        self._per_day = per_day
        self._clock = clock
        self._seconds = seconds
        self._transfers: dict[str, deque[float]] = {}  # by agent, when each of the last day's transfers began
        self._running = 0

    async def send(self, agent: str, request: web.BaseRequest) -> web.StreamResponse:
        """As many random bytes as ``?bytes=`` asks for. Raises TransferDenied."""
        size = _size(request.query.get("bytes", ""))
        async with self._slot(agent):
            response = web.StreamResponse()
            response.content_type = "application/octet-stream"
            response.content_length = size
            response.force_close()
            transport = request.transport
            if isinstance(transport, asyncio.WriteTransport):
                transport.set_write_buffer_limits(high=BLOCK)
            block = os.urandom(min(size, BLOCK))  # once is enough: under TLS nothing on the way sees it repeat
            try:
                async with asyncio.timeout(self._seconds):
                    await response.prepare(request)
                    while size:
                        await response.write(block[:size])
                        size -= min(size, BLOCK)
                        await asyncio.sleep(0)  # writing does not wait while the network takes it all
            except ConnectionError:
                pass  # an agent that measures by the clock leaves early
            except TimeoutError:
                if isinstance(transport, asyncio.WriteTransport) and not transport.is_closing():
                    transport.abort()
            return response

    async def receive(self, agent: str, request: web.BaseRequest) -> web.StreamResponse:
        """Read what is posted and throw it away. Raises TransferDenied; TimeoutError when it comes too slowly."""
        if (request.content_length or 0) > MAX_THROUGHPUT:
            raise _too_much()
        async with self._slot(agent):
            if request.headers.get("Expect", "").lower() == "100-continue":
                await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                request.writer.output_size = 0  # not part of the answer
            received = 0
            try:
                async with asyncio.timeout(self._seconds):
                    async for piece in request.content.iter_any():
                        received += len(piece)
                        if received > MAX_THROUGHPUT:
                            raise _too_much()
            except ConnectionError:
                pass  # an agent that measures by the clock leaves early
            response = web.Response(status=204)
            response.force_close()
            return response

    @asynccontextmanager
    async def _slot(self, agent: str) -> AsyncIterator[None]:
        """One of the few places, and one of the agent's transfers. Raises TransferDenied."""
        now = self._clock()
        transfers = self._transfers.setdefault(agent, deque())
        while transfers and now - transfers[0] >= _DAY:
            transfers.popleft()
        if len(transfers) >= self._per_day:
            wait = int(transfers[0] + _DAY - now) + 1 if transfers else int(_DAY)
            raise TransferDenied(429, f"this agent has measured {self._per_day} times within a day, all it may", wait)
        if self._running >= MAX_AT_ONCE:
            raise TransferDenied(503, f"{MAX_AT_ONCE} others are measuring just now", RETRY_AFTER)
        transfers.append(now)
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


def _size(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and int(text) > 0):
        raise TransferDenied(400, "how many bytes are wanted goes into the address: ?bytes=N")
    if int(text) > MAX_THROUGHPUT:
        raise _too_much()
    return int(text)


def _too_much() -> TransferDenied:
    return TransferDenied(413, f"no more than {MAX_THROUGHPUT} bytes are measured with")
