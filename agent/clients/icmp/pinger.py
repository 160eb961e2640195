"""Send ICMP pings: one socket a family for all targets, timed by the kernel's receive timestamps.

A reply is taken only if its source, identifier, sequence and eight random bytes are those of a request that waits.
The time runs from just before the packet is handed to the kernel until the kernel stamps the reply: neither a busy
program nor other targets' packets are in it.
"""

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any, Final

from agent.clients.icmp.packets import TOKEN_SIZE
from agent.clients.icmp.socket_linux import EchoEvent, EchoSocket
from agent.clients.net.kernel_stamps import ReceiveClock
from agent.clients.net.ping_result import PingResult
from agent.failure import ProbeFailed, from_oserror
from agent.probe import Address
from inventory.protocol.reasons import sentence
from inventory.protocol.states import DOWN, UNKNOWN

_SEND_AGAIN: Final = 0.002  # seconds to wait while the socket's send buffer is full
_SEQUENCES: Final = 0x10000
_SENDS_BETWEEN_READS: Final = 64  # a burst's own replies must not fill the receive buffer


class _Request:
    """One echo request that was sent."""

    __slots__ = ("error", "rtt", "sent", "series")

    def __init__(self, series: "_Series", sent: int) -> None:
        self.series = series
        self.sent = sent  # monotonic ns
        self.rtt = -1  # ns; -1 while unanswered
        self.error = ""


class _Series:
    """The requests of one ping, sent by timer, and the future that ends when nothing more is to be expected."""

    __slots__ = (
        "address",
        "destination",
        "duplicates",
        "errors",
        "open",
        "payload",
        "requests",
        "source",
        "state",
        "target",
    )

    def __init__(self, address: Address, target: tuple[Any, ...], source: str, count: int, size: int) -> None:
        self.address = address
        self.target = target  # where to send
        self.source = source  # who replies must come from
        self.destination = address.packed
        self.payload = (os.urandom(TOKEN_SIZE) + bytes(range(256)) * (size // 256 + 1))[:size]
        self.requests: dict[int, _Request] = {}  # by sequence
        self.open = count  # requests not sent yet, or sent and neither answered nor refused
        self.errors: list[str] = []  # of requests that could not be sent
        self.state = DOWN
        self.duplicates = 0


class IcmpPinger:
    """The agent's one way to ping (a shared client: ``context.client(IcmpPinger, open_pinger)``).

    ``late``: replies after their series ended. ``foreign``: replies with our identifier that answer none of our
    requests: wrong source or other bytes.
    """

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        unprivileged: bool = True,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._unprivileged = unprivileged  # try a socket that needs no privilege first
        self.arrivals = ReceiveClock(monotonic_ns, wall_ns)
        self._channels: dict[int, _Channel] = {}
        self.late = 0
        self.foreign = 0

    async def ping(self, address: Address, count: int, spacing: float, size: int, seconds: float) -> PingResult:
        """``count`` requests with ``size`` bytes of payload, ``spacing`` seconds apart, all over after ``seconds``.

        Raises ProbeFailed when this machine does not let us.
        """
        channel = self._channels.get(address.version)
        if channel is None:
            sock = EchoSocket(address.version, self._monotonic_ns, self._unprivileged)
            channel = self._channels[address.version] = _Channel(self, sock)
        return await channel.ping(address, count, spacing, size, seconds)

    async def close(self) -> None:
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()


class _Channel:
    """One socket, and the requests that wait on it by sequence number."""

    def __init__(self, pinger: IcmpPinger, sock: EchoSocket) -> None:
        self._pinger = pinger
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._pending: dict[int, _Request] = {}
        self._done: dict[_Series, asyncio.Future[None]] = {}
        self._sequence = int.from_bytes(os.urandom(2), "big")
        self._sends = 0
        self._reserved = 0  # requests of the series in progress, sent or to be sent
        self._loop.add_reader(sock.sock, self._read)

    async def ping(self, address: Address, count: int, spacing: float, size: int, seconds: float) -> PingResult:
        if self._reserved + count > _SEQUENCES:
            raise ProbeFailed(
                sentence("{reserved} pings are waiting for an answer already", reserved=self._reserved), UNKNOWN
            )
        series = _Series(address, *self._sock.target_and_source(address), count, size)
        done = self._done[series] = self._loop.create_future()
        dropped = self._sock.dropped_packets()
        deadline = self._loop.call_later(seconds, _finish, done)
        self._reserved += count
        try:
            self._send(series, done, count, spacing)
            await done
        finally:
            deadline.cancel()
            self._reserved -= count
            del self._done[series]
            for sequence in series.requests:
                del self._pending[sequence]
        requests = series.requests.values()
        return PingResult(
            count,
            tuple(request.rtt / 1e9 for request in requests if request.rtt >= 0),
            (*series.errors, *(request.error for request in requests if request.error and request.rtt < 0)),
            series.state,
            series.duplicates,
            self._sock.dropped_packets() - dropped,
        )

    def _send(self, series: _Series, done: "asyncio.Future[None]", remaining: int, spacing: float) -> None:
        """Send the next request and set the timer for the one after it."""
        if done.done():
            return
        sequence = self._free_sequence()
        try:
            sent = self._transmit(series, sequence)
        except BlockingIOError:
            self._loop.call_later(_SEND_AGAIN, self._send, series, done, remaining, spacing)
            return
        except OSError as error:
            failure = from_oserror(error, str(series.address))
            series.errors.append(failure.reason)
            series.state = failure.state
            self._request_done(series, done)
        else:
            series.requests[sequence] = self._pending[sequence] = _Request(series, sent)
        self._sends += 1
        if self._sends % _SENDS_BETWEEN_READS == 0:
            self._read()
        if remaining > 1:
            self._loop.call_later(spacing, self._send, series, done, remaining - 1, spacing)

    def _transmit(self, series: _Series, sequence: int) -> int:
        try:
            return self._sock.send(series.target, sequence, series.payload)
        except BlockingIOError:
            raise
        except OSError:
            if self._sock.raw:
                raise
            self._read()  # an unprivileged socket reports another target's error here: note it, and send again
            return self._sock.send(series.target, sequence, series.payload)

    def _free_sequence(self) -> int:
        while True:  # there is one: ``_reserved`` sees to that
            self._sequence = (self._sequence + 1) & 0xFFFF
            if self._sequence not in self._pending:
                return self._sequence

    def _request_done(self, series: _Series, done: "asyncio.Future[None]") -> None:
        series.open -= 1
        if series.open == 0:
            _finish(done)

    def _read(self) -> None:
        batch = self._sock.receive()
        self._pinger.arrivals.synchronise()
        for event in batch:
            request = self._pending.get(event.sequence)
            if request is None:
                self._pinger.late += 1
            elif not (self._record_error(request, event) if event.error else self._record_reply(request, event)):
                self._pinger.foreign += 1

    def _record_reply(self, request: _Request, event: EchoEvent) -> bool:
        """Note a reply. False if it is not to this request after all."""
        series = request.series
        if event.source != series.source or event.token != series.payload[:TOKEN_SIZE]:
            return False
        if request.rtt >= 0:
            series.duplicates += 1
            return True
        request.rtt = self._pinger.arrivals.rtt(request.sent, event.stamp)
        if not request.error:
            self._request_done(series, self._done[series])
        return True

    def _record_error(self, request: _Request, event: EchoEvent) -> bool:
        """Note an error. False if it is not about this request after all."""
        if event.failed_destination != request.series.destination:
            return False
        if request.rtt < 0 and not request.error:
            request.error = event.error
            self._request_done(request.series, self._done[request.series])
        return True

    def close(self) -> None:
        self._loop.remove_reader(self._sock.sock)
        self._sock.close()
        for done in self._done.values():
            done.cancel()


def _finish(done: "asyncio.Future[None]") -> None:
    if not done.done():
        done.set_result(None)
