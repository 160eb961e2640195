"""An event loop whose clock jumps from one timer to the next: hours pass in milliseconds."""

import asyncio
import selectors
from typing import Any


class SkippingSelector(selectors.DefaultSelector):
    """Waits for nothing: what the loop would have slept is added to its clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if not events and timeout:
            self.now += timeout
        return events


class SkippingLoop(asyncio.SelectorEventLoop):
    """An event loop on a clock that jumps from one timer to the next."""

    def __init__(self) -> None:
        self.skipping = SkippingSelector()
        super().__init__(self.skipping)
        self.asleep_ms = 0

    def time(self) -> float:
        return self.skipping.now

    # the agent's clock
    def boot_ms(self) -> int:
        return 1_000_000 + round(self.skipping.now * 1000) + self.asleep_ms

    def wall_ms(self) -> int:
        return self.boot_ms()

    def boot_id(self) -> bytes:
        return b"bootboot"

    async def until(self, boot_ms: int) -> None:
        await asyncio.sleep((boot_ms - self.boot_ms()) / 1000)
