"""Limits of what is in work: so many pushes at all, so many parts of backlogs, and of one agent one at a time."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Final

from inventory.protocol.wire import Push

MAX_WAITING: Final = 2_000  # pushes in work; further ones are told to come again
BULK_AT_ONCE: Final = 16  # parts of backlogs in work; the others wait, live pushes do not
BULK_BYTES: Final = 4_096  # bytes of a body from which it is taken for a part of a backlog
BULK_RESULTS: Final = 200  # or results


class PushError(Exception):
    """An answer without acknowledgement: HTTP status and a sentence. ``verdict``: how it is counted.

    ``retry_after``: seconds after which a 503 may be tried again.
    """

    def __init__(self, status: int, message: str, *, verdict: str = "undecodable", retry_after: int = 5) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.verdict = verdict
        self.retry_after = retry_after


def is_bulk(push: Push) -> bool:
    """Whether a push of a small body is a part of a backlog all the same."""
    return push.batch is not None and len(push.batch.states) >= BULK_RESULTS


class PushLimits:
    def __init__(self) -> None:
        self.in_work = 0
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

    def turn(self, agent: str, *, bulk: bool) -> AbstractAsyncContextManager[None]:
        """A push's turn: behind the agent's earlier pushes, and if it is part of a backlog, behind other such parts."""
        lock = self.agent_lock(agent)
        return BulkTurn(self.bulk, lock) if bulk else lock


class BulkTurn:
    """First behind the other parts of backlogs, then behind the agent's own earlier pushes."""

    def __init__(self, bulk: asyncio.Semaphore, agent: asyncio.Lock) -> None:
        self._bulk = bulk
        self._agent = agent

    async def __aenter__(self) -> None:
        await self._bulk.acquire()
        try:
            await self._agent.acquire()
        except BaseException:
            self._bulk.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._agent.release()
        self._bulk.release()
