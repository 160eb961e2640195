"""Send pings by icmplib on platforms whose kernels do not timestamp packets (macOS, Windows).

A thread for each series, as icmplib waits in its own way; times are the program's, taken around its calls. A busy
machine is therefore in these figures: where the kernel stamps, :mod:`agent.clients.icmp.pinger` is the way.
"""

import asyncio
import os
import threading
import time
from typing import Any, Final

import icmplib

from agent.clients.icmp.pinger import IcmpPinger
from agent.clients.net.ping_result import PingResult
from agent.failure import ProbeFailed
from agent.probe import Address
from inventory.protocol.reasons import sentence
from inventory.protocol.states import DOWN, UNKNOWN

_Socket = Any  # icmplib's ICMPv4Socket or ICMPv6Socket: it has no types
_MOST: Final = 64  # series at once: a thread each
NOT_ALLOWED: Final = sentence(
    "this machine does not let the agent ping: it needs an administrator's right to raw sockets"
)


class PortablePinger(IcmpPinger):
    """The same as :class:`IcmpPinger` without its precision. Requests wait for each other."""

    def __init__(self, privileged: bool = False) -> None:
        super().__init__()
        self._privileged = privileged  # without: first try a socket that needs no privilege
        self._slots = asyncio.Semaphore(_MOST)

    async def ping(self, address: Address, count: int, spacing: float, size: int, seconds: float) -> PingResult:
        end = time.perf_counter() + seconds
        loop = asyncio.get_running_loop()
        done: asyncio.Future[PingResult] = loop.create_future()

        def finish(result: PingResult | Exception) -> None:
            if done.done():
                return
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)

        def work() -> None:
            try:
                result: PingResult | Exception = self._series(address, count, spacing, size, end)
            except icmplib.SocketPermissionError:
                result = ProbeFailed(NOT_ALLOWED, UNKNOWN)
            except (icmplib.ICMPLibError, OSError) as error:
                result = ProbeFailed(sentence("this machine cannot ping: {error}", error=error), UNKNOWN)
            except Exception as error:  # a bug: it has to reach the one who waits
                result = error
            try:
                loop.call_soon_threadsafe(finish, result)
            except RuntimeError:
                pass  # the loop has ended meanwhile

        async with self._slots:
            threading.Thread(target=work, name=f"ping {address}", daemon=True).start()
            return await done

    def _series(self, address: Address, count: int, spacing: float, size: int, end: float) -> PingResult:
        rtts: list[float] = []
        errors: list[str] = []
        state, foreign = DOWN, 0
        with self._open(address) as sock:
            identifier = int.from_bytes(os.urandom(2), "big")
            for sequence in range(count):
                share = (end - time.perf_counter()) / (count - sequence)
                if share <= 0:
                    errors.append(sentence("no time was left to send it"))
                    continue
                started = time.perf_counter()
                request = icmplib.ICMPRequest(str(address), identifier, sequence, payload_size=size)
                try:
                    foreign += _exchange(sock, request, str(address), started + share)
                    rtts.append(time.perf_counter() - started)
                except icmplib.TimeoutExceeded:
                    pass  # lost: no error has come for it
                except icmplib.ICMPError as error:  # an ICMP error came back
                    errors.append(
                        sentence("{source} says: {error}", source=error.reply.source, error=str(error).lower())
                    )
                except icmplib.ICMPSocketError as error:
                    errors.append(str(error))
                    state = UNKNOWN
                if sequence < count - 1:
                    time.sleep(max(0.0, min(spacing, share) - (time.perf_counter() - started)))
        self.foreign += foreign
        return PingResult(count, tuple(rtts), tuple(errors), state)

    def _open(self, address: Address) -> _Socket:
        kind = icmplib.ICMPv6Socket if address.version == 6 else icmplib.ICMPv4Socket
        if not self._privileged:
            try:
                return kind(privileged=False)
            except icmplib.SocketPermissionError:
                pass
        return kind(privileged=True)


def _exchange(sock: _Socket, request: icmplib.ICMPRequest, address: str, end: float) -> int:
    """Send and wait for the reply; how many replies from other addresses came first. Raises icmplib's errors."""
    foreign = 0
    sock.send(request)
    while (left := end - time.perf_counter()) > 0:
        reply = sock.receive(request, left)
        reply.raise_for_status()
        if reply.source.partition("%")[0] == address.partition("%")[0]:
            return foreign
        foreign += 1  # icmplib looks at identifier and sequence only
    raise icmplib.TimeoutExceeded(0)
