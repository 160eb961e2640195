"""The UDP socket for SNMP: one a family for all devices, replies told apart by request id, sender and form.

What does not answer a question that waits (late, twice, from another address or port, of another type, garbled, with
a foreign id) is ignored, and counted for the one who waits. On Linux the kernel's receive stamps time the answers,
and "port unreachable" comes back through the socket's error queue.
"""

import asyncio
import contextlib
import errno
import os
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from agent.clients.net.address_policy import socket_address
from agent.clients.net.error_queue import MSG_ERRQUEUE, RECVERR
from agent.clients.net.kernel_stamps import TIMESTAMP_SPACE, ReceiveClock, enable_timestamps, receive_timestamp
from agent.clients.net.stream import endpoint
from agent.clients.snmp.ber import MalformedMessage, SnmpMessage, parse_message
from agent.failure import ProbeFailed, from_oserror
from agent.probe import Address
from inventory.protocol.reasons import Why, joined, sentence, template
from inventory.protocol.states import UNKNOWN

LARGEST: Final = 65_535
_AT_ONCE: Final = 64  # packets read before others get a turn: a flood must not hold the loop
_BUFFER: Final = 1 << 20  # bytes of receive buffer asked for: answers of many devices come at once
_SEND_AGAIN: Final = 0.005  # seconds to wait while the socket's send buffer is full
_FINAL: Final = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN}
_SHOWN: Final = {
    "late": template("{who} late or repeated"),
    "other": template("{who} from another address or port"),
    "garbled": template("{who} not SNMP answers"),
}


class PendingRequest:
    """One question that waits for its answer. ``ignored``: by sort, what came instead."""

    __slots__ = ("answer", "community", "ignored", "port", "request", "rtt", "sender", "sent", "version")

    def __init__(
        self, sender: str, port: int, version: int, request: bytes, answer: "asyncio.Future[SnmpMessage]"
    ) -> None:
        self.sender = sender  # the address that the answer has to come from, as the kernel spells it
        self.port = port
        self.version = version
        self.request = request
        self.answer = answer
        self.sent = 0  # monotonic ns, of the first sending
        self.rtt = 0  # ns
        self.ignored = dict.fromkeys(_SHOWN, 0)


class SnmpTimeout(Exception):
    """The time went by. ``ignored`` says what came instead, if anything."""

    def __init__(self, ignored: Why) -> None:
        super().__init__(ignored)
        self.ignored = ignored


class SnmpChannel:
    """One family's socket. ``watch``: read it by ourselves. Raises Trouble when this machine gives us none."""

    def __init__(self, version: int, watch: bool = True) -> None:
        self._version = version
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self._arrivals = ReceiveClock()
        self._pending: dict[int, PendingRequest] = {}  # by request id
        self._by_host: dict[str, list[PendingRequest]] = {}
        self._transport: asyncio.DatagramTransport | None = None
        try:
            self._sock = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET, socket.SOCK_DGRAM)
            self._sock.setblocking(False)
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            if version == 6:
                self._sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._sock.bind(("::" if version == 6 else "0.0.0.0", 0))  # noqa: S104 it asks; answers are matched
            if sys.platform == "linux":
                enable_timestamps(self._sock)
                self._sock.setsockopt(*RECVERR[version], 1)
        except OSError as error:
            raise ProbeFailed(from_oserror(error, sentence("this machine's socket for SNMP")).reason, UNKNOWN) from None

    async def open(self) -> "SnmpChannel":
        """Begin to listen."""
        if self._watch:
            self._loop.add_reader(self._sock, self._read)
        else:
            endpoint_pair = await self._loop.create_datagram_endpoint(
                lambda: _DatagramReceiver(self._process_packet), sock=self._sock
            )
            self._transport = endpoint_pair[0]
        return self

    def new_id(self) -> int:
        """A random request id that nobody waits for."""
        while True:
            request_id = int.from_bytes(os.urandom(4), "big") & 0x7FFFFFFF
            if request_id not in self._pending:
                return request_id

    async def request(
        self, address: Address, port: int, version: int, make: Callable[[int], bytes], every: float, seconds: float
    ) -> tuple[SnmpMessage, float, int]:
        """(answer, its time in seconds from the first sending, packets ignored).

        ``make`` gives the request with an id; it is sent again every ``every`` seconds. Raises NoAnswer after
        ``seconds``, Trouble when the network says no.
        """
        request_id = self.new_id()
        bare = socket.inet_ntop(socket.AF_INET6, address.packed) if address.version == 6 else str(address)
        pending = PendingRequest(bare, port, version, make(request_id), self._loop.create_future())
        self._pending[request_id] = pending
        self._by_host.setdefault(bare, []).append(pending)
        deadline = self._loop.time() + seconds
        try:
            pending.sent = time.monotonic_ns()
            while (remaining := deadline - self._loop.time()) > 0:
                self._send(pending, socket_address(address, port))
                await asyncio.wait((pending.answer,), timeout=min(every, remaining))
                if pending.answer.done():
                    return pending.answer.result(), pending.rtt / 1e9, sum(pending.ignored.values())
            raise SnmpTimeout(_ignored_text(pending.ignored))
        except ConnectionRefusedError:
            raise ProbeFailed(
                sentence("{address} says that nothing listens there", address=endpoint(address, port))
            ) from None
        except OSError as error:
            raise from_oserror(error, endpoint(address, port)) from None
        finally:
            del self._pending[request_id]
            self._by_host[bare].remove(pending)
            if not self._by_host[bare]:
                del self._by_host[bare]
            pending.answer.cancel()

    def _send(self, pending: PendingRequest, destination: tuple[Any, ...]) -> None:
        if self._transport is not None:
            self._transport.sendto(pending.request, destination)
            return
        try:
            self._sock.sendto(pending.request, destination)
        except BlockingIOError:
            self._loop.call_later(_SEND_AGAIN, self._send_later, pending, destination)
        except OSError:
            self._read()  # the socket reports another target's error here: note it, and send again
            if not pending.answer.done():
                self._sock.sendto(pending.request, destination)

    def _send_later(self, pending: PendingRequest, destination: tuple[Any, ...]) -> None:
        if not pending.answer.done():
            with contextlib.suppress(OSError):  # it is sent again before long
                self._sock.sendto(pending.request, destination)

    def _read(self) -> None:
        packets = []
        for _ in range(_AT_ONCE):
            try:
                packets.append(self._sock.recvmsg(LARGEST, TIMESTAMP_SPACE))
            except BlockingIOError:
                break
            except OSError:
                continue  # reports (and clears) an error whose details are in the error queue
        self._arrivals.synchronise()
        for packet, ancillary, _flags, sender in packets:
            self._process_packet(packet, sender, receive_timestamp(ancillary))
        if sys.platform == "linux" and len(packets) < _AT_ONCE:
            self._read_errors()

    def _read_errors(self) -> None:
        """What the network said of requests of ours: the address and the port are those of the target."""
        for _ in range(_AT_ONCE):
            try:
                _packet, ancillary, _flags, target = self._sock.recvmsg(0, 512, MSG_ERRQUEUE)
            except OSError:
                return
            for level, kind, data in ancillary:
                if (level, kind) == RECVERR[self._version] and target and len(data) >= 4:
                    self._fail_requests(target, int.from_bytes(data[:4], sys.byteorder))

    def _fail_requests(self, target: tuple[Any, ...], number: int) -> None:
        for pending in self._by_host.get(target[0].partition("%")[0], ()):
            if pending.port == target[1] and number in _FINAL and not pending.answer.done():
                pending.answer.set_exception(OSError(number, os.strerror(number)))
                pending.answer.exception()  # the one who asked may be gone by now

    def _process_packet(self, packet: bytes, sender: tuple[Any, ...], stamp: int | None = None) -> None:
        host, port = sender[0].partition("%")[0], sender[1]
        try:
            message = parse_message(packet)
        except MalformedMessage:
            self._count_ignored(host, "garbled")
            return
        pending = self._pending.get(message.request_id)
        if pending is None or pending.version != message.version or pending.answer.done():
            self._count_ignored(host, "late")
        elif (pending.sender, pending.port) != (host, port):
            pending.ignored["other"] += 1
        else:
            pending.rtt = self._arrivals.rtt(pending.sent, stamp)
            pending.answer.set_result(message)

    def _count_ignored(self, host: str, sort: str) -> None:
        for pending in self._by_host.get(host, ()):
            pending.ignored[sort] += 1

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        else:
            self._loop.remove_reader(self._sock)
            self._sock.close()
        for pending in list(self._pending.values()):
            pending.answer.cancel()


class _DatagramReceiver(asyncio.DatagramProtocol):
    """Hands on what comes, where the kernel's stamps cannot be had."""

    def __init__(self, on_packet: Callable[[bytes, tuple[Any, ...]], None]) -> None:
        self._on_packet = on_packet

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._on_packet(data, addr)


def _ignored_text(ignored: dict[str, int]) -> Why:
    """ "3 packets came that do not answer (2 late or repeated, 1 from another address or port)", or ""."""
    total = sum(ignored.values())
    if not total:
        return ""
    sorts = joined((sentence(_SHOWN[sort], who=count) for sort, count in ignored.items() if count), ", ")
    packets = sentence("{count} packet", count=1) if total == 1 else sentence("{count} packets", count=total)
    return sentence("{total} came that are no answer ({sorts})", total=packets, sorts=sorts)
