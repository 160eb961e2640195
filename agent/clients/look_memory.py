"""Keep state for a check between its results: counters that become rates, a device's uptime, where its ports are."""

from collections.abc import Callable, Hashable
from typing import Final, TypeVar

from inventory.base.clock import boottime

M = TypeVar("M")
FORGET_AFTER: Final = 86_400.0  # seconds after which what nobody asked for is dropped: its check is gone
_TIDY_EVERY: Final = 3_600.0  # seconds


class CheckMemory:
    """A shared client: ``look.client(Remembered, Remembered).of(probe, make)``. Lost with the agent's process."""

    def __init__(self, now: Callable[[], float] = boottime) -> None:
        self.now = now
        self._entries: dict[Hashable, tuple[float, object]] = {}
        self._tidied = now()

    def get(self, key: Hashable, make: Callable[[], M]) -> M:
        """What is kept under a key (a probe: its type and its parameters), made when there is nothing."""
        now = self.now()
        if now - self._tidied > _TIDY_EVERY:
            self._entries = {key: entry for key, entry in self._entries.items() if now - entry[0] < FORGET_AFTER}
            self._tidied = now
        value = self._entries[key][1] if key in self._entries else make()
        self._entries[key] = now, value
        return value  # type: ignore[return-value]  # a key is always asked for with the same make

    async def close(self) -> None:
        self._entries.clear()
