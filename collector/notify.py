"""Notifies systemd of the state (sd_notify(3)): a datagram to the socket that NOTIFY_SOCKET names."""

import asyncio
import os
import socket
from collections.abc import Mapping


def notify(message: str, environment: Mapping[str, str] = os.environ) -> None:
    """Send one message; nothing happens where there is no systemd."""
    path = environment.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(message.encode(), address)
    except OSError:
        pass  # its absence must not stop the collector


async def watchdog(environment: Mapping[str, str] = os.environ) -> None:
    """Say that the loop still turns, twice as often as systemd asks; ends at once where it does not ask."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    if not microseconds.isdecimal():
        return
    while True:
        notify("WATCHDOG=1", environment)
        await asyncio.sleep(int(microseconds) / 2_000_000)
