"""Real services and WAN links on loopback whose faults are made on purpose, each with the moment it happened.

Used by the demo and by end-to-end tests. Times are wall-clock milliseconds of this machine.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import msgspec

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Outage(msgspec.Struct):
    """When something was truly broken: from ``begun`` until ``ended``."""

    what: str
    begun: int
    ended: int = 0


class DemoService:
    """A TCP service on loopback that can die (nothing listens any more, conversations break) and come back."""

    def __init__(self, name: str, handler: Handler) -> None:
        self.name = name
        self.port = 0
        self.outages: list[Outage] = []
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        if self.outages and not self.outages[-1].ended:
            self.outages[-1].ended = now_ms()

    def die(self) -> None:
        """From one moment to the next, as a killed process does."""
        self.stop()
        self.outages.append(Outage(self.name, now_ms()))

    def stop(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the other side went away: its own affair
        finally:
            self._open.discard(writer)
            writer.close()


def web_page(title: str) -> Handler:
    """A small HTTP service: one page, whatever is asked."""
    body = f"<!doctype html><title>{title}</title><p>{title}".encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
    answer = head.encode() + b"Connection: close\r\n\r\n" + body

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return handle


def greeting(line: str) -> Handler:
    """A service that greets, as mail servers and printers do, and waits for the other side to leave."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(line.encode() + b"\r\n")
        await writer.drain()
        await reader.read()

    return handle


def link_to(port: int) -> Handler:
    """A leased line's two ends: whatever comes in here goes to ``port``, and back."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.wait(
                [asyncio.ensure_future(_copy(reader, far_writer)), asyncio.ensure_future(_copy(far_reader, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            far_writer.transport.abort()

    return handle


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # a cut line
