"""HTTP to one collector: one kept connection, TLS against the collector's private CA and nothing else.

Every answer is an :class:`CollectorResponse` or an :class:`Unreachable` in words; no library's exception gets out.
"""

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from agent.uplink.http_library import aiohttp
from inventory.base.trust import NO_CHECK_TIME, judge_alike
from inventory.protocol.authority import SERVER_NAME

MAX_ANSWER: Final = 16 << 20
KEEP_ALIVE: Final = 900.0  # seconds; a new TLS connection costs the collector 13 x a kept one
CONNECT: Final = 20.0
TOTAL: Final = 120.0  # a full push over 64 kbit/s takes its time


class Unreachable(Exception):
    """No answer from a collector; the text says why in words. ``kind``: dns, refused, timeout, tls, cut."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class CollectorResponse(msgspec.Struct, frozen=True):
    """What a collector, or something in its place, answered. ``headers`` has lower-case names."""

    status: int
    content_type: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def error_text(self) -> str:
        """The error that a collector gives in its JSON, else the status."""
        try:
            error = msgspec.json.decode(self.body, type=dict[str, object]).get("error")
        except (msgspec.DecodeError, UnicodeDecodeError):
            error = None
        return error[:300] if isinstance(error, str) and error else f"HTTP {self.status}"


def tls_context(authorities: Sequence[str], identity: Path | None) -> ssl.SSLContext:
    """Trusts these PEM certificates alone; shows the identity's certificate if there is one.

    Raises ssl.SSLError or OSError when the files are not what they should be.
    """
    context = judge_alike(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= NO_CHECK_TIME  # an agent whose clock says 1970 has to get through
    context.load_verify_locations(cadata="\n".join(authorities))
    if identity is not None:
        context.load_cert_chain(identity)
    return context


def unverified_context() -> ssl.SSLContext:
    """For one question only: what the collector's CA is, to be compared with the enrolment code's fingerprint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Uplink:
    """One collector's address and the connection to it."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        self.url = url.rstrip("/")
        self._context = context
        self._session: aiohttp.ClientSession | None = None
        self._stale = False

    def use(self, context: ssl.SSLContext) -> None:
        """From the next request on with this context (a renewed certificate, another CA)."""
        self._context = context
        self._stale = True

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> CollectorResponse:
        """Raises Unreachable. A redirect is an answer like any other, not followed."""
        if self._stale:
            await self.close()
            self._stale = False
        session = self._session
        fresh = session is None
        if session is None:
            session = self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=2, keepalive_timeout=KEEP_ALIVE),
                timeout=aiohttp.ClientTimeout(total=TOTAL, sock_connect=CONNECT),
                headers={"User-Agent": "haidang-agent"},
                auto_decompress=False,
            )
        try:
            try:
                return await self._exchange(session, method, path, body, headers)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if fresh or isinstance(error, aiohttp.ClientConnectorError):
                    raise
                # the kept connection had died unseen; every request of ours may be made twice
                return await self._exchange(session, method, path, body, headers)
        except (TimeoutError, OSError, ValueError, aiohttp.ClientError) as error:
            await self.close()
            raise unreachable(error, self.url) from error

    async def _exchange(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str] | None,
    ) -> CollectorResponse:
        async with session.request(
            method,
            self.url + path,
            data=body,
            headers=headers,
            ssl=self._context,
            server_hostname=SERVER_NAME if self._context.check_hostname else None,
            allow_redirects=False,
        ) as response:
            content = bytearray()
            async for chunk in response.content.iter_any():
                content += chunk
                if len(content) > MAX_ANSWER:
                    raise ValueError(f"an answer of more than {MAX_ANSWER} bytes")
            names = {name.lower(): value for name, value in response.headers.items()}
            return CollectorResponse(response.status, response.content_type, names, bytes(content))


def unreachable(error: Exception, url: str) -> Unreachable:
    """An exception of aiohttp, ssl or the system as what went wrong, in words."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or getattr(chain[-1], "os_error", None)) and cause not in chain:
        chain.append(cause)
    for exception in chain:
        # aiohttp's own classes say they are SSL errors, but lack what those know: the cause has it
        if isinstance(exception, ssl.SSLCertVerificationError) and not isinstance(exception, aiohttp.ClientError):
            detail = exception.verify_message or exception.reason
            return Unreachable("tls", f"the certificate shown at {url} is not the collector's ({detail})")
        if isinstance(exception, ssl.SSLError) and not isinstance(exception, aiohttp.ClientError):
            return Unreachable("tls", f"no TLS with {url}: {exception.reason or exception}")
        if isinstance(exception, aiohttp.ClientConnectorDNSError):
            detail = exception.os_error.strerror or str(exception.os_error)
            return Unreachable("dns", f"the name in {url} does not resolve: {detail}")
        if isinstance(exception, TimeoutError):
            return Unreachable("timeout", f"no answer from {url} in time")
        if isinstance(exception, ConnectionRefusedError):
            return Unreachable("refused", f"nothing listens at {url} (connection refused)")
    if isinstance(error, aiohttp.InvalidURL):
        return Unreachable("url", f"{url!r} is not an address of the form https://HOST:PORT")
    text = str(error) or type(error).__name__
    return Unreachable("cut", f"the exchange with {url} broke off: {text}")
