"""The socket for pings: unprivileged where the kernel allows it, raw otherwise (Linux).

Unprivileged (a datagram socket of protocol ICMP), the kernel hands over our own replies alone, sets the identifier,
and keeps errors in the socket's error queue. Raw, every ICMP packet of the machine comes in, less what the filter
set here keeps out, and errors are packets among them.
"""

import os
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

import msgspec

from agent.clients.icmp import packets
from agent.clients.net.address_policy import socket_address
from agent.clients.net.error_queue import MSG_ERRQUEUE, RECVERR
from agent.clients.net.kernel_stamps import TIMESTAMP_SPACE, enable_timestamps, receive_timestamp
from agent.failure import ProbeFailed, from_oserror
from agent.probe import Address
from inventory.protocol.reasons import sentence
from inventory.protocol.states import UNKNOWN

BUFFER: Final = 4 << 20  # bytes of receive buffer asked for; the kernel may give less
NOT_ALLOWED: Final = sentence(
    "this machine does not let the agent ping: give its service CAP_NET_RAW, or its group "
    "a place in the sysctl net.ipv4.ping_group_range"
)
_READ: Final = 192  # bytes of a packet that are looked at: an error with two full IPv4 headers has 136
_AT_ONCE: Final = 256  # packets read before others get a turn: a flood must not hold the loop

# Numbers of Linux that the socket module of Python 3.11 has no names for.
_SO_RCVBUFFORCE: Final = 33
_SO_MEMINFO, _DROPS = 55, 8  # linux/sock_diag.h: the ninth number counts packets thrown away
_SOL_RAW, _ICMP_FILTER, _ICMP6_FILTER = 255, 1, 1
_IP_MTU_DISCOVER, _IP_PMTUDISC_DONT = 10, 0
_EXTENDED: Final = struct.Struct("=IBBBBII")  # sock_extended_err; the offender's address follows it
_LOCAL: Final = 1  # its origin when this machine itself is the offender


class EchoEvent(msgspec.Struct, gc=False):
    """What concerns the request ``sequence``: a reply with its first payload bytes as ``token``, or an error.

    ``source``: who sent it, a link-local address with its interface's number. ``stamp``: when it came, wall-clock
    ns, if the kernel said so. ``about``: the address, packed, that an error is about.
    """

    sequence: int
    source: str
    stamp: int | None = None
    token: bytes = b""
    failed_destination: bytes = b""
    error: str = ""


class EchoSocket:
    """Sends echo requests and hears what concerns them. Raises Trouble when this machine gives us no such socket."""

    def __init__(self, version: int, monotonic_ns: Callable[[], int], unprivileged: bool = True) -> None:
        self.version = version
        self._monotonic_ns = monotonic_ns
        self.sock, self.raw = _open(version, unprivileged)
        self.sock.setblocking(False)
        enable_timestamps(self.sock)
        _enlarge_buffer(self.sock)
        if version == 4:  # a large ping may be cut into pieces on the way, like anybody's packets
            self.sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DONT)
        if self.raw:
            self._identifier = int.from_bytes(os.urandom(2), "big")
            _set_filter(self.sock, version)
        else:
            self.sock.bind(("::" if version == 6 else "0.0.0.0", 0))  # noqa: S104 the kernel chooses an identifier
            self._identifier = self.sock.getsockname()[1]
            self.sock.setsockopt(*RECVERR[version], 1)

    def send(self, target: tuple[Any, ...], sequence: int, payload: bytes) -> int:
        """Send one request; when, in monotonic ns, taken as late as possible. Raises OSError."""
        packet = packets.echo_request(self.version, self._identifier, sequence, payload)
        sent = self._monotonic_ns()
        self.sock.sendto(packet, target)
        return sent

    def receive(self) -> list[EchoEvent]:
        """What has come in, at most 256 packets of it."""
        events: list[EchoEvent] = []
        recvmsg = self.sock.recvmsg
        for _ in range(_AT_ONCE):
            try:
                packet, ancillary, _flags, sender = recvmsg(_READ, TIMESTAMP_SPACE)
            except BlockingIOError:
                break
            except OSError:
                continue  # reports (and clears) an error whose details are in the error queue
            source = _source(sender)
            if (event := self._parse_reply(packet, source) or self._parse_error(packet, source)) is not None:
                event.stamp = receive_timestamp(ancillary)
                events.append(event)
        if not self.raw:
            events.extend(self._queued_errors())
        return events

    def _parse_reply(self, packet: bytes, source: str) -> EchoEvent | None:
        start = packets.icmp_offset(4, packet) if self.raw and self.version == 4 else 0
        if len(packet) < start + 8 or packet[start] != packets.REPLY[self.version]:
            return None
        identifier, sequence = packets.identifier_and_sequence(packet, start)
        if identifier != self._identifier:
            return None  # another program's
        return EchoEvent(sequence, source, None, packet[start + 8 : start + 8 + packets.TOKEN_SIZE])

    def _parse_error(self, packet: bytes, source: str) -> EchoEvent | None:
        """An ICMP error on the raw socket that is about one of our requests."""
        start = packets.icmp_offset(4, packet) if self.raw and self.version == 4 else 0
        if len(packet) < start + 8 or packet[start] not in packets.ERRORS[self.version]:
            return None
        request_sent = packets.request_in_error(self.version, memoryview(packet)[start:])
        if request_sent is None or request_sent[1] != self._identifier:
            return None
        words = packets.error_text(self.version, packet[start], packet[start + 1])
        return EchoEvent(
            request_sent[2],
            source,
            failed_destination=request_sent[0],
            error=sentence("{source} says: {words}", source=source, words=words),
        )

    def _queued_errors(self) -> list[EchoEvent]:
        events: list[EchoEvent] = []
        for _ in range(_AT_ONCE):
            try:
                packet, ancillary, _flags, target = self.sock.recvmsg(_READ, 512, MSG_ERRQUEUE)
            except OSError:
                break
            for level, kind, data in ancillary:
                if (level, kind) == RECVERR[self.version] and len(packet) >= 8 and target:
                    destination = _packed_address(self.version, target[0])
                    events.append(
                        EchoEvent(
                            packets.identifier_and_sequence(packet)[1],
                            "",
                            failed_destination=destination,
                            error=_queued_error_text(self.version, data),
                        )
                    )
        return events

    def dropped_packets(self) -> int:
        """Packets that this machine threw away so far because nobody read them in time."""
        try:
            numbers = self.sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)
        except OSError:
            return 0
        return int(struct.unpack_from("=I", numbers, 4 * _DROPS)[0]) if len(numbers) >= 36 else 0

    def target_and_source(self, address: Address) -> tuple[tuple[Any, ...], str]:
        """(where to send, who a reply must come from), both as the kernel names it. Raises Trouble."""
        if address.version == 4:
            return (str(address), 0), str(address)
        target = socket_address(address, 0)
        return target, _source(target)

    def close(self) -> None:
        self.sock.close()


def _source(sender: tuple[Any, ...]) -> str:
    """One spelling for the address that is pinged and the one that answers."""
    bare = str(sender[0]).partition("%")[0]
    return f"{bare}%{sender[3]}" if len(sender) > 3 and sender[3] else bare


def _open(version: int, unprivileged: bool) -> tuple[socket.socket, bool]:
    """(socket, is it raw)."""
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if version == 6 else (socket.AF_INET, 1)
    if unprivileged:
        try:
            return socket.socket(family, socket.SOCK_DGRAM, protocol), False
        except OSError:
            pass  # our group is outside net.ipv4.ping_group_range, or the kernel has no such sockets
    try:
        return socket.socket(family, socket.SOCK_RAW, protocol), True
    except PermissionError:
        raise ProbeFailed(NOT_ALLOWED, UNKNOWN) from None
    except OSError as error:
        failure = from_oserror(error, sentence("this machine's socket for pings"))
        raise ProbeFailed(failure.reason, UNKNOWN) from None


def _enlarge_buffer(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, BUFFER)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)  # without privilege: up to net.core.rmem_max


def _set_filter(sock: socket.socket, version: int) -> None:
    """Let only replies and errors through: on loopback our own requests would come in too."""
    passed = (packets.REPLY[version], *packets.ERRORS[version])
    if version == 4:
        blocked = 0xFFFFFFFF & ~sum(1 << kind for kind in passed)
        sock.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("=I", blocked))
        return
    mask = [0xFFFFFFFF] * 8
    for kind in passed:
        mask[kind >> 5] &= ~(1 << (kind & 31))
    sock.setsockopt(socket.IPPROTO_ICMPV6, _ICMP6_FILTER, struct.pack("=8I", *mask))


def _packed_address(version: int, name: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if version == 6 else socket.AF_INET, name.partition("%")[0])


def _queued_error_text(version: int, data: bytes) -> str:
    """An entry of the error queue in words."""
    number, origin, kind, code, *_ = _EXTENDED.unpack_from(data)
    if origin == _LOCAL:
        return from_oserror(OSError(number, os.strerror(number)), "it").reason
    at, family, size = (8, socket.AF_INET6, 16) if version == 6 else (4, socket.AF_INET, 4)
    offender = data[_EXTENDED.size + at : _EXTENDED.size + at + size]
    words = packets.error_text(version, kind, code)
    return (
        sentence("{family} says: {words}", family=socket.inet_ntop(family, offender), words=words)
        if len(offender) == size
        else words
    )
