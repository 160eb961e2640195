"""A TCP connection, with or without TLS on it, read and written in order, each phase timed by its caller.

Plain sockets on the event loop and TLS over memory buffers: half the cost of asyncio's transports and protocols
for a connection that lives for one exchange, and errors come to the one who waits, never to a log.
Every way to end by a deadline is the caller's ``asyncio.timeout``.
"""

import asyncio
import errno
import os
import socket
import ssl
import sys
import time
from collections.abc import Sequence
from typing import Final

from agent.clients.net.address_policy import candidates, connection_stagger, first_to_answer, socket_address
from agent.clients.net.kernel_stamps import handshake_seconds
from agent.clients.net.resolve import bare_host
from agent.clients.net.tls_records import MAX_FLIGHT, ClientCertificateWanted, read_flight
from agent.failure import ProbeFailed, from_oserror
from agent.probe import Address, Limits
from inventory.protocol.reasons import sentence, template

WANTS_CERTIFICATE: Final = template("{who} wants a certificate of the agent's, which has none to show")
_WATCHES: Final = sys.platform != "win32"  # its loop cannot watch a socket
_MARGIN: Final = 0.05  # seconds before the look's end in which the last address has failed
CHUNK: Final = 65_536


class CertificateRequired(ProbeFailed):
    """The server wants a certificate of ours, and says so."""


class TcpStream:
    """A connected socket. ``who`` names its far end in reasons."""

    __slots__ = ("_asked", "_flight", "_incoming", "_loop", "_outgoing", "_reads", "_sock", "tls", "waited", "who")

    def __init__(self, sock: socket.socket, who: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._reads = 0
        self._asked = False  # something was sent since the last reading
        self._flight: bytearray | None = None  # what the server sends during the handshake
        self.who = who
        self.waited = 0.0  # seconds that went by on addresses that did not answer, before this one was begun
        self.tls: ssl.SSLObject | None = None

    @property
    def local_address(self) -> str:
        """This machine's address on the connection."""
        address: str = self._sock.getsockname()[0]
        return address

    @property
    def remote_address(self) -> str:
        """The address at the far end. Raises ProbeFailed when it has gone."""
        try:
            address: str = self._sock.getpeername()[0]
        except OSError as error:
            raise from_oserror(error, self.who) from None
        return address

    async def send(self, data: bytes) -> None:
        """Raises ProbeFailed when the far end has gone."""
        if self.tls is not None:
            self.tls.write(data)  # into memory: never blocks
            data = self._outgoing.read()
        await self._send(data)

    async def _send(self, data: bytes) -> None:
        self._asked = True
        try:
            sent = self._sock.send(data)  # most of what a look sends fits into the kernel's buffer
        except BlockingIOError:
            sent = 0
        except OSError as error:
            raise from_oserror(error, self.who) from None
        if sent < len(data):
            try:
                await self._loop.sock_sendall(self._sock, memoryview(data)[sent:])
            except OSError as error:
                raise from_oserror(error, self.who) from None

    async def _receive(self, size: int = CHUNK) -> bytes:
        self._reads += 1
        if self._reads % 4 == 0:
            # reading what has already come does not yield: a fast, endless sender would hold the loop
            await asyncio.sleep(0)
        try:
            if self._asked and _WATCHES:
                self._asked = False
                # the answer to what was just sent is not there yet: to ask the kernel for it first would cost as much
                await _readable(self._loop, self._sock)
                try:
                    return self._sock.recv(size)
                except BlockingIOError:
                    pass  # the kernel threw away a damaged packet
            return await self._loop.sock_recv(self._sock, size)
        except OSError as error:
            raise from_oserror(error, self.who) from None

    async def receive(self, size: int = CHUNK) -> bytes:
        """The next bytes, b"" at the end. A TLS stream cut off without a goodbye ends like any other."""
        if self.tls is None:
            return await self._receive(size)
        while True:
            try:
                return self.tls.read(size)
            except ssl.SSLWantReadError:
                pass
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLError as error:
                if error.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED":
                    raise CertificateRequired(sentence(WANTS_CERTIFICATE, who=self.who)) from None
                raise ProbeFailed(
                    sentence("{who} broke the TLS connection: {error}", who=self.who, error=tls_error_text(error))
                ) from None
            if self._outgoing.pending:  # a key update asks for an answer
                await self._send(self._outgoing.read())
            self._feed(await self._receive())

    def _feed(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
            if self._flight is not None and len(self._flight) < MAX_FLIGHT:
                self._flight += data
        else:
            self._incoming.write_eof()

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> ssl.SSLObject:
        """Shake hands. Raises ssl.SSLError as it is (its meaning is the caller's matter), Trouble for the socket."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._flight = bytearray()
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=bare_host(server_name))
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._send(self._outgoing.read())
                self._feed(await self._receive())
            except ssl.SSLError as error:
                if self._outgoing.pending:  # tell the far end why, if it still listens
                    try:
                        self._sock.send(self._outgoing.read())
                    except OSError:
                        pass
                flight = read_flight(bytes(self._flight))
                if flight.wants_certificate and not isinstance(error, ssl.SSLCertVerificationError):
                    raise ClientCertificateWanted(error, flight.chain) from None
                raise
        self._flight = None
        self.tls = (
            tls  # in version 1.3 our last word goes with the first that is sent, or before the first that is read
        )
        return tls

    async def hear_refusal(self) -> None:
        """What the server says first after the handshake of TLS 1.3: tickets, or that it wants a certificate of ours.

        Raises CertificateRequired, or ProbeFailed; ends by its caller's deadline.
        """
        assert self.tls is not None
        if self._outgoing.pending:
            await self._send(self._outgoing.read())
        self._feed(await self._receive())
        try:
            self.tls.read(1)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass
        except ssl.SSLError as error:
            if error.reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED":
                raise CertificateRequired(sentence(WANTS_CERTIFICATE, who=self.who)) from None

    def close(self) -> None:
        self._sock.close()


async def connect(addresses: Sequence[Address], port: int, limits: Limits, seconds: float) -> tuple[TcpStream, float]:
    """Connect to the first address that answers; the stream and how long that address took, in seconds.

    Addresses are tried by :mod:`agent.clients.net.address_policy`; the stream's ``waited`` is what the others took.
    Raises ProbeFailed with what they came to.
    """
    allowed = candidates(addresses, limits, port)

    if len(allowed) == 1:
        start = time.perf_counter()
        stream = await _connect(allowed[0], port)  # the caller's own deadline says more than one of ours
        return stream, handshake_seconds(stream._sock, time.perf_counter() - start)
    deadline = time.perf_counter() + seconds - min(_MARGIN, seconds / 10)

    async def attempt(address: Address) -> tuple[TcpStream, float]:
        start = time.perf_counter()
        try:
            async with asyncio.timeout(deadline - start):
                stream = await _connect(address, port)
        except TimeoutError:
            raise ProbeFailed(sentence("{address} did not answer", address=endpoint(address, port))) from None
        return stream, handshake_seconds(stream._sock, time.perf_counter() - start)

    first = await first_to_answer(
        allowed, attempt, connection_stagger(len(allowed), seconds), lambda late: late[0].close()
    )
    stream, took = first.answer
    stream.waited = first.waited
    return stream, took


async def _connect(address: Address, port: int) -> TcpStream:
    who = endpoint(address, port)
    loop = asyncio.get_running_loop()
    try:
        sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    except OSError as error:
        raise from_oserror(error, who) from None
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not _WATCHES:
            await loop.sock_connect(sock, socket_address(address, port))
        elif (error_number := sock.connect_ex(socket_address(address, port))) == errno.EINPROGRESS:
            await _writable(loop, sock)
            error_number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if _WATCHES and error_number:
            raise OSError(error_number, os.strerror(error_number))
    except OSError as error:
        sock.close()
        raise from_oserror(error, who) from None
    except BaseException:
        sock.close()
        raise
    return TcpStream(sock, who)


async def _readable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    number = sock.fileno()  # for a socket that it does not know the loop would write out what it is
    loop.add_reader(number, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_reader(number)


async def _writable(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    ready: asyncio.Future[None] = loop.create_future()
    number = sock.fileno()
    loop.add_writer(number, _wake, ready)
    try:
        await ready
    finally:
        loop.remove_writer(number)


def _wake(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def endpoint(address: Address, port: int) -> str:
    """192.0.2.1:443 or [2001:db8::1]:443."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def tls_error_text(error: ssl.SSLError) -> str:
    """OpenSSL's name of an error, readable: ``tlsv1 alert protocol version``."""
    return (error.reason or str(error)).replace("_", " ").lower()
