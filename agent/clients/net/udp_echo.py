"""Send bursts of UDP packets to an echo server (RFC 862), timed by the kernel's receive timestamps."""

import asyncio
import os
import socket
import sys
import time
from typing import Final

from agent.clients.net.address_policy import socket_address
from agent.clients.net.kernel_stamps import TIMESTAMP_SPACE, ReceiveClock, enable_timestamps, receive_timestamp
from agent.clients.net.ping_result import PingResult
from agent.clients.net.stream import endpoint
from agent.failure import from_oserror
from agent.probe import Address
from inventory.protocol.states import DOWN, UNKNOWN

TOKEN_SIZE: Final = 8  # random bytes by which a burst knows its own packets
MIN_SIZE: Final = TOKEN_SIZE + 4  # and a packet's place in the burst
_LARGEST: Final = 65_535
_AT_ONCE: Final = 64  # packets read before others get a turn


class UdpEchoBurst:
    """``count`` packets of ``size`` bytes (at least SMALLEST), ``spacing`` seconds apart.

    ``dscp``: how routers are asked to treat them (RFC 2474). The socket is connected: the kernel keeps other senders
    out and passes on "port unreachable".
    """

    def __init__(self, address: Address, port: int, count: int, spacing: float, size: int, dscp: int) -> None:
        self._address = address
        self._port = port
        self._spacing = spacing
        self._token = os.urandom(TOKEN_SIZE)
        self._padding = bytes(size - MIN_SIZE)
        self._sent: list[int] = []  # monotonic ns
        self._rtts = [-1] * count  # ns
        self._errors: list[str] = []
        self._state = DOWN
        self._duplicates = 0
        self._dscp = dscp
        self._arrivals = ReceiveClock()

    async def send(self, seconds: float) -> PingResult:
        """What came back within ``seconds``. Raises ProbeFailed when this machine, or the network at once, says no."""
        who = endpoint(self._address, self._port)
        family = socket.AF_INET6 if self._address.version == 6 else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                enable_timestamps(sock)
                self._set_dscp(sock)
                sock.connect(socket_address(self._address, self._port))
                await self._exchange(sock, who, seconds)
        except OSError as error:
            raise from_oserror(error, who) from None
        rtts = tuple(rtt / 1e9 for rtt in self._rtts if rtt >= 0)
        return PingResult(len(self._rtts), rtts, tuple(self._errors), self._state, self._duplicates)

    def _set_dscp(self, sock: socket.socket) -> None:
        if self._dscp and self._address.version == 6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, self._dscp << 2)
        elif self._dscp:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, self._dscp << 2)

    async def _exchange(self, sock: socket.socket, who: str, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        timers = [loop.call_later(seconds, _finish, done)]
        if sys.platform == "linux":
            loop.add_reader(sock, self._read, sock, who, done)
        reading = None if sys.platform == "linux" else loop.create_task(self._read_plainly(sock, who, done))
        try:
            self._send(sock, who, done, timers)
            await done
        finally:
            for timer in timers:
                timer.cancel()
            if reading is not None:
                reading.cancel()
            else:
                loop.remove_reader(sock)

    def _send(
        self, sock: socket.socket, who: str, done: "asyncio.Future[None]", timers: list[asyncio.TimerHandle]
    ) -> None:
        """Send the next packet and set the timer for the one after it."""
        place = len(self._sent)
        self._sent.append(time.monotonic_ns())
        try:
            sock.send(self._token + place.to_bytes(4, "big") + self._padding)
        except OSError as error:
            self._record_error(error, who)
        if place + 1 < len(self._rtts):
            again = asyncio.get_running_loop().call_later(self._spacing, self._send, sock, who, done, timers)
            timers[1:] = [again]
        else:
            self._finish_if_complete(done)

    def _record_error(self, error: OSError, who: str) -> None:
        """A packet that this machine did not send, or the answer to an earlier one that was turned away."""
        failure = from_oserror(error, who)
        self._errors.append(failure.reason)
        if failure.state == UNKNOWN:
            self._state = UNKNOWN

    def _finish_if_complete(self, done: "asyncio.Future[None]") -> None:
        if len(self._sent) == len(self._rtts) and min(self._rtts) >= 0:
            _finish(done)

    def _read(self, sock: socket.socket, who: str, done: "asyncio.Future[None]") -> None:
        for _ in range(_AT_ONCE):
            try:
                packet, ancillary, _flags, _sender = sock.recvmsg(_LARGEST, TIMESTAMP_SPACE)
            except BlockingIOError:
                break
            except OSError as error:
                self._record_error(error, who)
                continue
            self._record_reply(packet, receive_timestamp(ancillary))
        self._finish_if_complete(done)

    async def _read_plainly(self, sock: socket.socket, who: str, done: "asyncio.Future[None]") -> None:
        """The way where the kernel does not stamp, or the loop cannot watch a socket (Windows)."""
        while not done.done():
            try:
                packet = await asyncio.get_running_loop().sock_recv(sock, _LARGEST)
            except OSError as error:
                self._record_error(error, who)
                await asyncio.sleep(self._spacing)
                continue
            self._record_reply(packet, None)
            self._finish_if_complete(done)

    def _record_reply(self, packet: bytes, stamp: int | None) -> None:
        self._arrivals.synchronise()
        place = int.from_bytes(packet[TOKEN_SIZE:MIN_SIZE], "big")
        if len(packet) < MIN_SIZE or not packet.startswith(self._token) or place >= len(self._sent):
            return  # none of ours
        if self._rtts[place] >= 0:
            self._duplicates += 1
        else:
            self._rtts[place] = self._arrivals.rtt(self._sent[place], stamp)


def _finish(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)
