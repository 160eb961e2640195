"""Limits of what is in work: so many pushes at all, so many parts of backlogs, and of one agent one at a time."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from inventory.protocol.wire import Push

MAX_WAITING: Final = 2_000  # pushes in work; further ones are told to come again
BULK_AT_ONCE: Final = 16  # parts of backlogs in work; the others wait, live pushes do not
BULK_BYTES: Final = 4_096  # bytes of a body from which it is taken for a part of a backlog
BULK_RESULTS: Final = 200  # or results


class PushError(Exception):
    """An answer without acknowledgement: HTTP status and a sentence."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def is_bulk(push: Push) -> bool:
    """Whether a push of a small body is a part of a backlog all the same."""
    return push.batch is not None and len(push.batch.states) >= BULK_RESULTS


class PushLimits:
    def __init__(self) -> None:
        self.in_work = 0
        self.bulk = asyncio.Semaphore(BULK_AT_ONCE)
        self._agent_locks: dict[str, asyncio.Lock] = {}

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """One more push in work. Raises PushError if that is one too many."""
        if self.in_work >= MAX_WAITING:
            raise PushError(503, "too many pushes at once; try again")
        self.in_work += 1
        try:
            yield
        finally:
            self.in_work -= 1

    def agent_lock(self, agent: str) -> asyncio.Lock:
        """One push of an agent at a time; other agents' go on beside it."""
        lock = self._agent_locks.get(agent)
        if lock is None:
            lock = self._agent_locks[agent] = asyncio.Lock()
        return lock

    def turn(self, agent: str, *, bulk: bool) -> "Turn":
        """A push's turn, as an async context."""
        return Turn(self.bulk if bulk else None, self.agent_lock(agent))


class Turn:
    """Behind the other parts of backlogs, if it is one; then behind the agent's own earlier pushes."""

    __slots__ = ("_agent", "_bulk")

    def __init__(self, bulk: asyncio.Semaphore | None, agent: asyncio.Lock) -> None:
        self._bulk = bulk
        self._agent = agent

    async def __aenter__(self) -> None:
        if self._bulk is not None:
            await self._bulk.acquire()
        try:
            await self._agent.acquire()
        except BaseException:
            if self._bulk is not None:
                self._bulk.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._agent.release()
        if self._bulk is not None:
            self._bulk.release()
