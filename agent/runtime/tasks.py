"""The tasks of the agent's service: none ends by itself, and the first that fails ends the agent."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class ServiceTasks:
    """Tasks by name. ``failed`` gets the first one's exception."""

    def __init__(self) -> None:
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, job: Coroutine[Any, Any, None]) -> None:
        task = self._tasks[name] = asyncio.create_task(job, name=name)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.failed.done():
            self.failed.set_exception(error)

    def cancel(self, name: str) -> None:
        self._tasks.pop(name).cancel()

    async def stop(self) -> None:
        """Cancel all of them, and wait a moment for their farewells."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.wait(self._tasks.values(), timeout=1)
