"""A TCP connection, with or without TLS on it, read and written in order, each phase timed by its caller.

Plain sockets on the event loop and TLS over memory buffers: half the cost of asyncio's transports and protocols
for a connection that lives for one exchange, and errors come to the one who waits, never to a log.
Every way to end by a deadline is the caller's ``asyncio.timeout``.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Sequence
from typing import Final

from agent.clients.net.kernel_stamps import handshake_seconds
from agent.failure import ProbeFailed, from_oserror
from agent.probe import Address, Limits
from inventory.protocol.reasons import sentence
from inventory.protocol.states import UNKNOWN

MAX_ADDRESSES: Final = 4  # of a name with many, the first few are tried
CHUNK: Final = 65_536


class TcpStream:
    """A connected socket. ``who`` names its far end in reasons."""

    __slots__ = ("_incoming", "_loop", "_outgoing", "_reads", "_sock", "tls", "who")

    def __init__(self, sock: socket.socket, who: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._reads = 0
        self.who = who
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
        try:
            await self._loop.sock_sendall(self._sock, data)
        except OSError as error:
            raise from_oserror(error, self.who) from None

    async def _receive(self, size: int = CHUNK) -> bytes:
        self._reads += 1
        if self._reads % 4 == 0:
            # reading what has already come does not yield: a fast, endless sender would hold the loop
            await asyncio.sleep(0)
        try:
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
                raise ProbeFailed(
                    sentence("{who} broke the TLS connection: {error}", who=self.who, error=tls_error_text(error))
                ) from None
            if self._outgoing.pending:  # a key update asks for an answer
                await self._send(self._outgoing.read())
            self._feed(await self._receive())

    def _feed(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> ssl.SSLObject:
        """Shake hands. Raises ssl.SSLError as it is (its meaning is the caller's matter), Trouble for the socket."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._send(self._outgoing.read())
                self._feed(await self._receive())
            except ssl.SSLError:
                if self._outgoing.pending:  # tell the far end why, if it still listens
                    try:
                        self._sock.send(self._outgoing.read())
                    except OSError:
                        pass
                raise
        if self._outgoing.pending:
            await self._send(self._outgoing.read())
        self.tls = tls
        return tls

    def close(self) -> None:
        self._sock.close()


async def connect(addresses: Sequence[Address], port: int, limits: Limits, seconds: float) -> tuple[TcpStream, float]:
    """Connect to the first address that answers; the stream and how long that address took, in seconds.

    Each address but the last gets its share of ``seconds``, so that one that swallows packets does not hide the
    next. Every address is judged by the agent's limits first. Raises ProbeFailed with the last address's reason, or the
    last that says something about the target.
    """
    deadline = time.perf_counter() + seconds
    failures = [ProbeFailed(sentence("no address to connect to"), UNKNOWN)]
    candidates = addresses[:MAX_ADDRESSES]
    for place, address in enumerate(candidates):
        forbidden = limits.forbids(address, port)
        if forbidden:
            failures.append(ProbeFailed(forbidden, UNKNOWN))
            continue
        start = time.perf_counter()
        remaining = len(candidates) - place
        try:
            async with asyncio.timeout((deadline - start) / remaining if remaining > 1 else None):
                stream = await _connect(address, port)
            return stream, handshake_seconds(stream._sock, time.perf_counter() - start)
        except ProbeFailed as error:
            failures.append(error)
        except TimeoutError:
            failures.append(ProbeFailed(sentence("{address} did not answer", address=endpoint(address, port))))
    raise max(reversed(failures), key=lambda failure: failure.state != UNKNOWN)


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
        await loop.sock_connect(sock, (str(address), port))
    except OSError as error:
        sock.close()
        raise from_oserror(error, who) from None
    except BaseException:
        sock.close()
        raise
    return TcpStream(sock, who)


def endpoint(address: Address, port: int) -> str:
    """192.0.2.1:443 or [2001:db8::1]:443."""
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def tls_error_text(error: ssl.SSLError) -> str:
    """OpenSSL's name of an error, readable: ``tlsv1 alert protocol version``."""
    return (error.reason or str(error)).replace("_", " ").lower()
