"""The door of a listener: which connections come in, before anything of them is read.

A connection is a stranger until its handshake is done and shows whose it is; from then on it is known, and what
strangers do no longer touches it. Of strangers there may be so many, and of one address so many: one more puts out one
of them, drawn by lot, or where very many come it is put out itself, so that who is quick (an agent: a handshake takes a
fraction of a second) gets in with fair odds beside others that sit and wait, or come again some hundred times a second.
An agent may have so many connections: one more puts out its oldest.

Everything is bounded well below the descriptors that the process may have; when they run short all the same, nothing
is accepted for a moment. What is turned away is counted, and told once a second at the most.
"""

import asyncio
import contextlib
import errno
import ipaddress
import logging
import random
import resource
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

log = logging.getLogger(__name__)

HANDSHAKE_TIME: Final = 15.0  # seconds
A_HANDSHAKE: Final = 0.25  # seconds that an honest one takes, over a slow line
MAX_ADDRESSES: Final = 10_000  # of which it is known how many came
ACCEPT_AT_ONCE: Final = 8  # in one round of the loop
PAUSE: Final = 0.5  # seconds without accepting when descriptors run short
TELL_EVERY: Final = 1.0  # seconds between two lines about who was turned away
RESERVED_DESCRIPTORS: Final = 64  # for the store, the inventory, mails, and what else is opened
_SHORT: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Factory = Callable[[], asyncio.BaseProtocol]
Identify = Callable[[asyncio.BaseTransport], str | None]


@dataclass(frozen=True)
class DoorLimits:
    """How many connections there may be: ``total`` of all, ``strangers`` of those, ``per_address`` of these,
    ``per_agent`` of one name."""

    total: int
    strangers: int
    per_address: int
    per_agent: int


class _Connection:
    """One that was accepted."""

    __slots__ = ("accepted", "address", "begun", "opening", "transport")

    def __init__(self, accepted: socket.socket, address: str) -> None:
        self.accepted = accepted
        self.address = address
        self.begun = False  # its handshake, or what comes in its place: from then on asyncio has the socket
        self.opening: asyncio.Task[None] | None = None
        self.transport: asyncio.BaseTransport | None = None

    @property
    def ended(self) -> bool:
        if self.transport is not None:
            return self.transport.is_closing()
        return self.opening is not None and self.opening.done()

    def put_out(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()
        elif self.opening is not None:
            self.opening.cancel()
            if not self.begun:
                self.accepted.close()


class Door:
    """Listens, and makes a protocol of ``factory`` for each connection that is let in. ``identify``: whose it is once
    its handshake is done; None: a stranger's. ``what``: the listener's name in the log."""

    def __init__(self, what: str, factory: Factory, limits: DoorLimits, identify: Identify = lambda _: None) -> None:
        self.what = what
        self.limits = limits
        self.put_out: Counter[str] = Counter()  # by why
        self._factory = factory
        self._identify = identify
        self._context: ssl.SSLContext | None = None
        self._sockets: list[socket.socket] = []
        self._strangers: list[_Connection] = []
        self._known: dict[str, list[_Connection]] = {}
        self._arrivals: dict[str, tuple[float, int, int]] = {}  # by address: since when, how many, how many before
        self._untold: Counter[str] = Counter()
        self._telling: asyncio.TimerHandle | None = None
        self._resuming: asyncio.TimerHandle | None = None

    async def listen(self, host: str, port: int, context: ssl.SSLContext | None = None) -> None:
        """Raises OSError when the port cannot be had."""
        self._context = context
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        try:
            for family, _, _, _, address in dict.fromkeys(found):
                self._sockets.append(_listening(family, address))
                if port == 0:
                    break  # one port, not one for each family
        except OSError:
            self.close()
            raise
        self._resume()

    @property
    def sockets(self) -> list[socket.socket]:
        return self._sockets

    @property
    def strangers(self) -> int:
        self._forget_ended()
        return len(self._strangers)

    @property
    def connections(self) -> int:
        self._forget_ended()
        return len(self._strangers) + sum(map(len, self._known.values()))

    def close(self) -> None:
        """Let nobody in any more; who is in stays."""
        self._stop_accepting()
        for timer in (self._telling, self._resuming):
            if timer is not None:
                timer.cancel()
        for listening in self._sockets:
            listening.close()
        self._sockets = []
        for connection in self._strangers:
            if connection.transport is None:
                connection.put_out()

    async def wait_closed(self) -> None:
        """Until the handshakes that were under way have ended."""
        opening = [one.opening for one in self._strangers if one.opening is not None]
        await asyncio.gather(*opening, return_exceptions=True)

    # accepting

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(ACCEPT_AT_ONCE):
            try:
                accepted, address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                self._pause()
                return
            accepted.setblocking(False)
            self._admit(accepted, address_key(address))

    def _admit(self, accepted: socket.socket, address: str) -> None:
        connection = _Connection(accepted, address)
        if not self._make_room(address):
            accepted.close()
            return
        self._strangers.append(connection)
        connection.opening = asyncio.create_task(self._open(connection))

    def _make_room(self, address: str) -> bool:
        """Put out a stranger where one more would be too many. False: it is the new one."""
        self._forget_ended()
        limits, arrived = self.limits, self._count_arrival(address)
        own = [one for one in self._strangers if one.address == address]
        if len(own) >= limits.per_address:
            return self._draw(own, arrived, "address")
        if len(self._strangers) < limits.strangers and self.connections < limits.total:
            return True
        if self._strangers:
            ((most, _),) = Counter(one.address for one in self._strangers).most_common(1)
            candidates = [one for one in self._strangers if one.address == most]
            return self._draw(candidates, arrived if most == address else 0, "strangers")
        if self._known:
            self._put_out(max(self._known.values(), key=len)[0], "agent")
        return True

    def _draw(self, candidates: list[_Connection], arrived: int, why: str) -> bool:
        """One of the candidates gives place to a new one; of so many that arrived in the time that a handshake takes
        no more than there are places for, so that who is in has the time."""
        if random.random() * arrived > len(candidates):  # a lot, not a secret
            self._count(why)
            return False
        self._put_out(random.choice(candidates), why)
        return True

    def _count_arrival(self, address: str) -> int:
        """How many came from the address in the time of a handshake, this one included."""
        now = asyncio.get_running_loop().time()
        begun, count, before = self._arrivals.get(address, (now, 0, 0))
        if now - begun > A_HANDSHAKE:
            begun, count, before = now, 0, count if now - begun < 2 * A_HANDSHAKE else 0
            if len(self._arrivals) >= MAX_ADDRESSES:
                self._arrivals.clear()
        self._arrivals[address] = (begun, count + 1, before)
        return max(count + 1, before)

    def _put_out(self, connection: _Connection, why: str) -> None:
        connection.put_out()
        if connection in self._strangers:
            self._strangers.remove(connection)
        self._count(why)

    async def _open(self, connection: _Connection) -> None:
        """The handshake, and whose the connection is."""
        connection.begun, accepted = True, connection.accepted
        loop = asyncio.get_running_loop()
        limits: dict[str, Any] = {"ssl_handshake_timeout": HANDSHAKE_TIME} if self._context is not None else {}
        try:
            transport, _ = await loop.connect_accepted_socket(self._factory, accepted, ssl=self._context, **limits)
        except OSError as error:  # whatever it said, it was no handshake
            log.debug("no connection at the listener of the %s: %s", self.what, error)
            return
        connection.transport = transport
        agent = self._identify(transport)
        if agent is None:
            return
        with contextlib.suppress(ValueError):
            self._strangers.remove(connection)
        own = self._known.setdefault(agent, [])
        own.append(connection)
        own[:] = [one for one in own if not one.ended]
        while len(own) > self.limits.per_agent:
            own.pop(0).put_out()
            self._count("agent")

    def _forget_ended(self) -> None:
        self._strangers = [one for one in self._strangers if not one.ended]
        for name in [name for name, own in self._known.items() if any(one.ended for one in own)]:
            self._known[name] = [one for one in self._known[name] if not one.ended]
            if not self._known[name]:
                del self._known[name]

    # when descriptors run short

    def _pause(self) -> None:
        self._stop_accepting()
        for connection in self._strangers[: len(self._strangers) // 2]:
            self._put_out(connection, "descriptors")
        self._count("descriptors")
        self._resuming = asyncio.get_running_loop().call_later(PAUSE, self._resume)

    def _stop_accepting(self) -> None:
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            loop.remove_reader(listening)

    def _resume(self) -> None:
        loop = asyncio.get_running_loop()
        for listening in self._sockets:
            loop.add_reader(listening, self._accept, listening)

    # telling

    def _count(self, why: str) -> None:
        self.put_out[why] += 1
        self._untold[why] += 1
        if self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(TELL_EVERY, self._tell)

    def _tell(self) -> None:
        counts = ", ".join(f"{count} {WHY[why]}" for why, count in sorted(self._untold.items()))
        log.warning("connections put out at the listener of the %s: %s", self.what, counts)
        self._untold.clear()
        self._telling = None


WHY: Final = {
    "address": "of an address with too many that have not said who they are",
    "strangers": "that had not said who they are, of too many",
    "agent": "of an agent that has too many",
    "descriptors": "for want of file descriptors",
}


def address_key(address: Any) -> str:
    """What counts as one address: an IPv4 address, an IPv6 network of 64 bits."""
    if not isinstance(address, tuple):
        return "local"
    found = ipaddress.ip_address(str(address[0]).partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return str(found)


def agents_limits(strangers: int, per_address: int, per_agent: int, operators: int) -> DoorLimits:
    """The agents' door within the descriptors of this process, of which ``operators`` are for the other listener."""
    total = max(16, descriptors() - RESERVED_DESCRIPTORS - operators)
    strangers = min(strangers, max(8, total // 2))
    return DoorLimits(total, strangers, min(per_address, max(4, strangers // 2)), per_agent)


def operators_limits(connections: int) -> DoorLimits:
    """The operators' door: whoever comes is a stranger there."""
    connections = min(connections, max(8, descriptors() // 4))
    return DoorLimits(connections, connections, connections, connections)


def descriptors() -> int:
    """How many the process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 16 if soft == resource.RLIM_INFINITY else min(soft, 1 << 16)


def raise_descriptors() -> None:
    """As many as this user may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _listening(family: int, address: Any) -> socket.socket:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(1024)
    except BaseException:
        listening.close()
        raise
    return listening
