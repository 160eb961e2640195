"""Send one UDP request on a socket of its own and wait for its reply, timed by the kernel's receive timestamp."""

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from agent.clients.net.address_policy import socket_address
from agent.clients.net.kernel_stamps import TIMESTAMP_SPACE, ReceiveClock, enable_timestamps, receive_timestamp
from agent.clients.net.stream import endpoint
from agent.failure import from_oserror
from agent.probe import Address

LARGEST: Final = 65_535
_AT_ONCE: Final = 64  # packets read before others get a turn: a flood must not hold the loop

T = TypeVar("T")


class DatagramReply(Generic[T]):
    """``sent``: when the first sending began, ``time.monotonic_ns``. ``seconds``: from there to the arrival.

    ``ignored``: packets that were no answer to this question.
    """

    __slots__ = ("ignored", "message", "seconds", "sent")

    def __init__(self, message: T, sent: int, seconds: float, ignored: int) -> None:
        self.message = message
        self.sent = sent
        self.seconds = seconds
        self.ignored = ignored


class DatagramTimeout(Exception):
    """The time went by. ``ignored`` packets came that were no answer to this question."""

    def __init__(self, ignored: int) -> None:
        super().__init__(f"no answer ({ignored} other packets)")
        self.ignored = ignored


class DatagramRequest(Generic[T]):
    """Sends ``request`` up to ``tries`` times and takes the first packet that ``accept`` makes something of.

    The socket is connected: the kernel keeps other senders out and passes on "port unreachable". ``accept`` gets
    each packet and returns None for what is no answer; it must not raise.
    """

    def __init__(self, address: Address, port: int, request: bytes, accept: Callable[[bytes], T | None]) -> None:
        self._address = address
        self._port = port
        self._request = request
        self._accept = accept
        self._arrivals = ReceiveClock()
        self._ignored = 0
        self._sent = 0

    async def exchange(self, tries: int, seconds: float) -> DatagramReply[T]:
        """Raises NoAnswer after ``seconds``, Trouble when the network says no."""
        who = endpoint(self._address, self._port)
        loop = asyncio.get_running_loop()
        try:
            family = socket.AF_INET6 if self._address.version == 6 else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                enable_timestamps(sock)
                sock.connect(socket_address(self._address, self._port))
                future: asyncio.Future[DatagramReply[T]] = loop.create_future()
                stop = self._listen(sock, future)
                try:
                    return await self._send_and_wait(sock, future, tries, seconds)
                finally:
                    stop()
        except OSError as error:
            raise from_oserror(error, who) from None

    def _listen(self, sock: socket.socket, future: "asyncio.Future[DatagramReply[T]]") -> Callable[[], object]:
        """Have ``answered`` filled in; returns what ends it."""
        loop = asyncio.get_running_loop()
        if sys.platform == "linux":
            number = sock.fileno()  # for a socket that it does not know the loop would write out what it is
            loop.add_reader(number, self._read, sock, future)
            return lambda: loop.remove_reader(number)
        return loop.create_task(self._read_plainly(sock, future)).cancel

    async def _send_and_wait(
        self, sock: socket.socket, future: "asyncio.Future[DatagramReply[T]]", tries: int, seconds: float
    ) -> DatagramReply[T]:
        self._sent = time.monotonic_ns()
        for _ in range(tries):
            sock.send(self._request)
            await asyncio.wait((future,), timeout=seconds / tries)
            if future.done():
                return future.result()
        raise DatagramTimeout(self._ignored)

    def _read(self, sock: socket.socket, future: "asyncio.Future[DatagramReply[T]]") -> None:
        for _ in range(_AT_ONCE):
            if future.done():
                return
            try:
                packet, ancillary, _flags, _sender = sock.recvmsg(LARGEST, TIMESTAMP_SPACE)
            except BlockingIOError:
                return
            except OSError as error:
                future.set_exception(error)
                return
            self._process_packet(packet, receive_timestamp(ancillary), future)

    async def _read_plainly(self, sock: socket.socket, future: "asyncio.Future[DatagramReply[T]]") -> None:
        """The way where the kernel does not stamp, or the loop cannot watch a socket (Windows)."""
        while not future.done():
            try:
                packet = await asyncio.get_running_loop().sock_recv(sock, LARGEST)
            except OSError as error:
                if not future.done():
                    future.set_exception(error)
                return
            if not future.done():
                self._process_packet(packet, None, future)

    def _process_packet(self, packet: bytes, stamp: int | None, future: "asyncio.Future[DatagramReply[T]]") -> None:
        self._arrivals.synchronise()
        elapsed = self._arrivals.rtt(self._sent, stamp)
        message = self._accept(packet)
        if message is None:
            self._ignored += 1
        else:
            future.set_result(DatagramReply(message, self._sent, elapsed / 1e9, self._ignored))
