"""Limits of what is in work: so many pushes at all, so many parts of backlogs, and of one agent one at a time.

Large pushes share one lane: of each the loop does one piece (decode, examine, apply), then everybody else's turn comes.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from inventory.protocol.wire import Push

MAX_WAITING: Final = 2_000  # pushes in work; further ones are told to come again
BULK_AT_ONCE: Final = 16  # parts of backlogs in work; the others wait, live pushes do not
BULK_BYTES: Final = 4_096  # bytes of a body from which it is taken for a part of a backlog
BULK_RESULTS: Final = 200  # or results, runs and records
SMALL: Final = 32 << 10  # bytes to which a body may inflate that is decoded at once
RETRY_AFTER: Final = 5.0  # seconds after which to come again when the collector has too much to do


class PushError(Exception):
    """An answer without acknowledgement: HTTP status and a sentence. ``verdict``: how it is counted.

    ``retry_after``: seconds after which to come again, 0 if it does not say.
    """

    def __init__(self, status: int, message: str, *, verdict: str = "undecodable", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.verdict = verdict
        self.retry_after = retry_after


def is_bulk(push: Push) -> bool:
    """Whether a push of a small body is a part of a backlog all the same."""
    batch = push.batch
    return batch is not None and len(batch.states) + len(batch.runs) + len(batch.records) >= BULK_RESULTS


class Memory:
    """So many bytes for all; who wants some waits in a queue. One that wants more than there is gets all of it."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def share(self, size: int) -> AsyncIterator["MemoryShare"]:
        """So many bytes, for as long as the context lasts."""
        share = MemoryShare(self, min(size, self.limit))
        await self._take(share.size)
        try:
            yield share
        finally:
            self.give_back(share.size)

    async def _take(self, size: int) -> None:
        if not self._queue and self.used + size <= self.limit:
            self.used += size
            return
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((size, ready))
        try:
            await ready
        except asyncio.CancelledError:
            if not ready.cancelled():  # it was its turn already
                self.give_back(size)
            raise

    def give_back(self, size: int) -> None:
        """From who has it. What is free goes to who waits longest."""
        self.used -= size
        while self._queue and (self._queue[0][1].done() or self.used + self._queue[0][0] <= self.limit):
            wanted, ready = self._queue.popleft()
            if not ready.done():
                self.used += wanted
                ready.set_result(None)


class MemoryShare:
    """What one push has of the memory for all."""

    def __init__(self, memory: Memory, size: int) -> None:
        self.size = size
        self._memory = memory

    def shrink(self, size: int) -> None:
        """So much is enough."""
        if size < self.size:
            freed, self.size = self.size - size, size
            self._memory.give_back(freed)


class PushLimits:
    """``memory``: inflated bytes of large pushes that are in work at once."""

    def __init__(self, memory: int) -> None:
        self.in_work = 0
        self.bulk_in_work = 0  # parts of backlogs whose turn it is
        self.memory = Memory(memory)
        self._lane = asyncio.Lock()
        self.bulk = asyncio.Semaphore(BULK_AT_ONCE)
        self._agent_locks: dict[str, asyncio.Lock] = {}

    def begin(self) -> None:
        """One more push in work. Raises PushError if that is one too many."""
        if self.in_work >= MAX_WAITING:
            raise PushError(503, "too many pushes at once; try again")
        self.in_work += 1

    def end(self) -> None:
        """One less."""
        self.in_work -= 1

    def agent_lock(self, agent: str) -> asyncio.Lock:
        """One push of an agent at a time; other agents' go on beside it."""
        lock = self._agent_locks.get(agent)
        if lock is None:
            lock = self._agent_locks[agent] = asyncio.Lock()
        return lock

    def bulk_turn(self, agent: str) -> AbstractAsyncContextManager[None]:
        """The turn of a part of a backlog: behind other such parts, and behind the agent's earlier pushes."""
        return BulkTurn(self, self.agent_lock(agent))

    def piece(self) -> AbstractAsyncContextManager[None]:
        """A piece of a large push's work, which holds the loop: one of them in each round."""
        return LanePiece(self._lane)


class BulkTurn:
    """First behind the other parts of backlogs, then behind the agent's own earlier pushes."""

    def __init__(self, limits: PushLimits, agent: asyncio.Lock) -> None:
        self._limits = limits
        self._agent = agent

    async def __aenter__(self) -> None:
        await self._limits.bulk.acquire()
        try:
            await self._agent.acquire()
        except BaseException:
            self._limits.bulk.release()
            raise
        self._limits.bulk_in_work += 1

    async def __aexit__(self, *_: object) -> None:
        self._limits.bulk_in_work -= 1
        self._agent.release()
        self._limits.bulk.release()


class LanePiece:
    """A piece of a large push's work: behind other such pieces, and with everybody else's turn after it."""

    def __init__(self, lane: asyncio.Lock) -> None:
        self._lane = lane

    async def __aenter__(self) -> None:
        await self._lane.acquire()

    async def __aexit__(self, *_: object) -> None:
        try:
            await asyncio.sleep(0)
        finally:
            self._lane.release()
