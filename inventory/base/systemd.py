"""Notifies systemd (ready, stopping, watchdog); silent where nobody listens."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping


class Notifier:
    """sd_notify(3) over its datagram socket."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            self._address = "\0" + self._address[1:]
        period = environ.get("WATCHDOG_USEC", "")
        # seconds between signs of life: half of what systemd waits for; None when it does not watch
        self.every = int(period) / 2_000_000 if period.isdigit() and int(period) and self._address else None

    def notify(self, message: str) -> None:
        """READY=1, STOPPING=1, WATCHDOG=1 or STATUS=..."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
                notify.sendto(message.encode(), self._address)
        except OSError:
            pass  # a manager that does not listen is no reason to stop

    async def keep_alive(self) -> None:
        """Give signs of life, as long as the loop turns and systemd asks for them."""
        while self.every is not None:
            self.notify("WATCHDOG=1")
            await asyncio.sleep(self.every)

    async def sleep(self, seconds: float, stop: asyncio.Event | None = None) -> None:
        """Sleep, or until ``stop``, with signs of life meanwhile."""
        stop = stop or asyncio.Event()
        while seconds > 0 and not stop.is_set():
            self.notify("WATCHDOG=1")
            nap = min(seconds, self.every or seconds)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(nap):
                    await stop.wait()
            seconds -= nap
