"""The kernel's own timing: how long a TCP handshake took, and when a packet arrived."""

import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

_RTT, _RETRANSMITS = 68, 100  # places in struct tcp_info (linux/tcp.h)
_TCP_INFO: Final = getattr(socket, "TCP_INFO", 11)
_SO_TIMESTAMPNS: Final = 35  # asm-generic/socket.h; the socket module of Python 3.11 has no name for it
_TIMESPEC: Final = struct.Struct("@ll")
TIMESTAMP_SPACE: Final = socket.CMSG_SPACE(_TIMESPEC.size) if hasattr(socket, "CMSG_SPACE") else 0


def handshake_seconds(connection: socket.socket, measured: float) -> float:
    """How long a just made TCP connection took: the kernel's own figure, else ``seen``, what the program saw.

    The kernel times the handshake where it happens; a busy program sees its end later. It has no figure when a
    packet had to be sent again: then that waiting is part of the time, and ``seen`` is right.
    """
    if sys.platform != "linux":
        return measured
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 104)
    except OSError:
        return measured
    if len(info) < 104:
        return measured
    rtt, retransmits = struct.unpack_from("=I", info, _RTT)[0], struct.unpack_from("=I", info, _RETRANSMITS)[0]
    return min(rtt / 1e6, measured) if rtt and not retransmits else measured


def enable_timestamps(sock: socket.socket) -> bool:
    """Have the kernel stamp what comes in (SO_TIMESTAMPNS). False where it does not do that."""
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


class KernelTimestamping:
    """Keeps the kernel stamping all the agent's life (a shared client: ``look.client(Stamping, Stamping)``).

    Linux stamps packets as they arrive only while some socket wants it, and starts a moment after the first one asks:
    what reaches a fresh socket within that moment is stamped when it is read, which a busy program does late.
    """

    def __init__(self) -> None:
        self._sock: socket.socket | None = None
        try:
            self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            enable_timestamps(self._sock)
        except OSError:
            pass  # the looks' own sockets will say what is wrong

    async def close(self) -> None:
        if self._sock is not None:
            self._sock.close()


def receive_timestamp(ancillary: Sequence[tuple[int, int, bytes]]) -> int | None:
    """The receive stamp among recvmsg's ancillary data: wall-clock ns, or None."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return None


class ReceiveClock:
    """Puts the kernel's wall-clock stamps on the monotonic clock, on which the send times are.

    The two clocks are compared when packets are read, a moment after they came in: a step of the wall clock between
    sending and arrival is harmless. One in that last moment gives a time before the sending or after the reading;
    then the time of reading, which is never too early, is taken instead.
    """

    def __init__(
        self,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns
        self._offset = 0
        self._now = 0

    def synchronise(self) -> None:
        """Compare the clocks: once before a series of :meth:`rtt`, after its packets were read."""
        best = 1 << 62
        for _ in range(3):
            before, wall, after = self._monotonic_ns(), self._wall_ns(), self._monotonic_ns()
            self._now = after
            if after - before < best:
                best = after - before
                self._offset = wall - (before + after) // 2
            if best < 2_000:  # not interrupted in between
                break

    def rtt(self, sent: int, stamp: int | None) -> int:
        """Nanoseconds from ``sent`` (monotonic) to the arrival stamped ``stamp`` (wall clock; None: just now)."""
        elapsed = self._now - sent
        if stamp is None:
            return elapsed
        travelled = stamp - self._offset - sent
        return travelled if 0 <= travelled <= elapsed else elapsed
