"""The base of the SMTP and IMAP clients: a connection of lines, TLS on it when it is time, a password that never shows.

A session reads within bounds and quotes what a server says only as far as it does not give a password back.
Every text that goes into a command is checked for line breaks first: neither a plan nor a credential can smuggle
in a command of its own.
"""

import asyncio
import base64
import ipaddress
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Final, Self

import msgspec

from agent.clients.http.http1 import ascii_host
from agent.clients.net.address_policy import candidates
from agent.clients.net.resolve import Resolver, address_literal
from agent.clients.net.stream import TcpStream, connect
from agent.clients.tls import chain as tls_chain
from agent.clients.tls.contexts import (
    TlsContexts,
    expiry_of,
    handshake_failure,
    issuer_path,
    judged_chain,
    presented_chain,
)
from agent.failure import ProbeFailed, printable
from agent.probe import Address, CredentialUse, Destination, ProbeContext
from inventory.base.clock import CLOCK_FLOOR
from inventory.protocol.reasons import Why, sentence
from inventory.protocol.states import UNKNOWN

MAX_LINE: Final = 8192  # bytes
MAX_SAID: Final = 1 << 20  # bytes that a server may say in one session
QUOTED: Final = 80  # characters of a server's own words in a reason
_MARGIN: Final = 0.05  # seconds before the look's end in which the second look at a refused certificate ends

STARTTLS, TLS, CLEAR = "starttls", "tls", "none"


class MailServer(msgspec.Struct, frozen=True, kw_only=True):
    """Where a mail server is, and how the way in is secured.

    ``security``: STARTTLS, TLS (from the first byte) or CLEAR. ``credential``: its name, or "" for none.
    """

    host: str
    port: int
    security: str
    credential: str = ""
    clear_password: bool = False
    server_name: str = ""
    verify: bool = True
    authority: str = ""
    family: str = "any"

    @property
    def exposed(self) -> Why:
        """Why somebody in between could read a password that is given to it, or ""."""
        if self.security == CLEAR:
            return sentence("the connection is not encrypted (security: none)")
        return "" if self.verify else sentence("its certificate is not verified (verify: false)")

    @property
    def proved(self) -> str:
        """The name that its certificate has to prove, "" where none has."""
        return "" if self.exposed else self.server_name or self.host

    def destination(self, address: Address) -> Destination:
        """The server as the place that a password goes to. ``address``: whom the connection reaches."""
        return Destination(self.host, address, self.proved, self.exposed)

    def credential_uses(self) -> tuple[CredentialUse, ...]:
        if not self.credential:
            return ()
        return (CredentialUse(self.credential, self.host, self.exposed, self.proved),)

    def validate(self) -> None:
        """Raises ValueError for what cannot be, in words for the person who wrote it."""
        ascii_host(self.host)
        if self.server_name:
            ascii_host(self.server_name)
        if self.credential and self.security == CLEAR and not self.clear_password:
            raise ValueError(
                sentence(
                    "a password would go over the network in clear: "
                    "use starttls or tls, or allow it with clear_password"
                )
            )


class Login(msgspec.Struct, frozen=True):
    """Who to log in as. Its text never shows the password."""

    name: str
    user: str
    password: str

    @classmethod
    def from_credential(cls, name: str, credential: Mapping[str, str]) -> Self:
        """From what the agent's file says under ``name``. Raises ProbeFailed (no evidence) when that does not do."""
        for key in ("user", "password"):
            value = credential.get(key, "")
            if not value:
                raise ProbeFailed(
                    sentence("the credential {name} in the agent's file has no {key}", name=repr(name), key=key),
                    UNKNOWN,
                )
            if not is_single_line(value):
                raise ProbeFailed(
                    sentence(
                        "the credential {name}: its {key} has a line break or another control character",
                        name=repr(name),
                        key=key,
                    ),
                    UNKNOWN,
                )
        return cls(name, str(credential["user"]), str(credential["password"]))

    @property
    def plain(self) -> str:
        """The response of the SASL mechanism PLAIN (RFC 4616)."""
        return base64.b64encode(f"\0{self.user}\0{self.password}".encode()).decode()

    def __repr__(self) -> str:
        return f"Login({self.name!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("name", self.name)]


class MailSession(ABC):
    """One connection to a mail server in one look. ``protocol`` names it in reasons.

    ``taken``: seconds by phase (resolve, connect, greeting, tls, login). ``waiting``: what has not happened yet, for
    the reason of a look whose time runs out. ``expiries``: of the certificates sent, the server's own first, in
    seconds since the epoch.
    """

    protocol = "mail"

    def __init__(self, server: MailServer, context: ProbeContext, deadline: float) -> None:
        """``deadline``: when the look ends, by ``time.monotonic()``."""
        self.server = server
        self.context = context
        self.deadline = deadline
        self.timings: dict[str, float] = {}
        self.waiting = sentence("the name was not resolved")
        self.expiries: list[float] = []
        self.connect_started = 0.0  # when connecting began, by time.monotonic()
        self._stream: TcpStream | None = None
        self._buffer = bytearray()
        self._received_bytes = 0
        self._secrets: tuple[str, ...] = ()

    @property
    def who(self) -> str:
        return self._stream.who if self._stream is not None else self.server.host

    async def open(self) -> None:
        """Connect, hear the greeting, begin TLS: ready to log in. Raises Trouble."""
        await self._connect()
        if self.server.security == TLS:
            await self._start_tls()
        await self._read_greeting()
        if self.server.security == STARTTLS:
            await self._request_starttls()
            await self._start_tls()
        await self._after_tls()

    @abstractmethod
    async def _read_greeting(self) -> None:
        """Hear the greeting and what the server can do. Each protocol's own."""

    @abstractmethod
    async def _request_starttls(self) -> None:
        """STARTTLS, up to the point where the handshake may begin. Each protocol's own."""

    @abstractmethod
    async def _after_tls(self) -> None:
        """What is to be done after TLS began. Each protocol's own."""

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()

    def measures(self) -> dict[str, float]:
        """What the kinds of probe have in common: seconds by phase, and until when the certificates hold."""
        measures = {
            f"{'banner' if phase == 'greeting' else phase}_seconds": seconds for phase, seconds in self.timings.items()
        }
        if self.expiries:
            measures["certificate_expiry_timestamp_seconds"] = self.expiries[0]
            measures["chain_expiry_timestamp_seconds"] = min(self.expiries)
        return measures

    # the connection

    async def _connect(self) -> None:
        server, context = self.server, self.context
        host = ascii_host(server.host)
        started = time.monotonic()
        addresses = await context.client(Resolver, Resolver).addresses(host, server.family)
        if server.credential:
            allowed = candidates(addresses, context.limits, server.port)
            destinations = [server.destination(address) for address in allowed]
            context.check_credential(server.credential, destinations)
        self.connect_started = time.monotonic()
        if address_literal(host) is None:
            self.timings["resolve"] = self.connect_started - started
        self.waiting = sentence("no connection was made")
        left = max(self.deadline - self.connect_started, 0.01)
        self._stream, self.timings["connect"] = await connect(addresses, server.port, context.limits, left)
        self.connect_started += self._stream.waited

    def login_here(self) -> Login | None:
        """Who to log in as with the server that was reached; None without a credential.

        Raises ProbeFailed (no evidence) when the agent's file has none for it.
        """
        assert self._stream is not None
        name = self.server.credential
        if not name:
            return None
        to = self.server.destination(ipaddress.ip_address(self._stream.remote_address.partition("%")[0]))
        return Login.from_credential(name, self.context.credential(name, to))

    async def send(self, data: bytes) -> None:
        assert self._stream is not None
        await self._stream.send(data)

    async def read_line(self) -> bytes:
        """The next line without its end. Raises Trouble when none comes, or one without end."""
        assert self._stream is not None
        while (end := self._buffer.find(b"\n")) < 0 and len(self._buffer) <= MAX_LINE:
            await self._receive_more()
        if not 0 <= end <= MAX_LINE:
            raise ProbeFailed(
                sentence(
                    "{who} sends a line of more than {max_line} KiB, which is not {protocol}",
                    who=self.who,
                    max_line=MAX_LINE // 1024,
                    protocol=self.protocol,
                )
            )
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    async def read_exactly(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        if size > MAX_SAID:
            raise self._too_much_data()
        while len(self._buffer) < size:
            await self._receive_more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    async def _receive_more(self) -> None:
        assert self._stream is not None
        data = await self._stream.receive()
        if not data:
            closed = sentence("{who} closed the {protocol} connection", who=self.who, protocol=self.protocol)
            if self._buffer:
                closed = sentence("{so} after {buffer}", so=closed, buffer=self.quoted(bytes(self._buffer)))
            raise ProbeFailed(sentence("{closed}: {waiting}", closed=closed, waiting=self.waiting))
        self._received_bytes += len(data)
        if self._received_bytes > MAX_SAID:
            raise self._too_much_data()
        self._buffer += data

    def _too_much_data(self) -> ProbeFailed:
        return ProbeFailed(
            sentence(
                "{who} says more than {max_said} MiB in one {protocol} session",
                who=self.who,
                max_said=MAX_SAID >> 20,
                protocol=self.protocol,
            )
        )

    # what may be quoted

    def hide_password(self, login: Login) -> None:
        """From now on no reason quotes this password, plain or in the forms in which it travels."""
        coded = base64.b64encode(login.password.encode()).decode()
        escaped = login.password.replace("\\", "\\\\").replace('"', '\\"')  # as IMAP's LOGIN writes it
        self._secrets = (login.password, escaped, coded.rstrip("="), login.plain.rstrip("="))

    def quoted(self, answer: bytes | str) -> str:
        """A server's words for a reason, unless they give the password back."""
        text = answer.decode("utf-8", "replace") if isinstance(answer, bytes) else answer
        folded = text.casefold()
        if any(secret.casefold() in folded for secret in self._secrets):
            return sentence("'(not shown: it contains the password)'")
        return printable(text, QUOTED)

    # TLS

    async def _start_tls(self) -> None:
        """The handshake, and the certificate judged by the same rules and names as the kind tls."""
        assert self._stream is not None
        if self._buffer:
            # what was said in clear would be taken for what is said under TLS
            raise ProbeFailed(
                sentence("{who} goes on talking in clear after it agreed to TLS: somebody in between?", who=self.who)
            )
        self.waiting = sentence("the TLS handshake did not end")
        name = ascii_host(self.server.server_name or self.server.host)
        started = time.monotonic()
        try:
            tls = await self._stream.start_tls(self._tls_context(self.server.verify), name)
        except ssl.SSLCertVerificationError as error:
            raise await self._explain_refusal(error, name) from None
        except ssl.SSLError as error:
            raise handshake_failure(error, self.who) from None
        self.timings["tls"] = time.monotonic() - started
        self._check_certificate(judged_chain(tls, self.server.verify))

    def _check_certificate(self, chain: list[bytes]) -> None:
        """Note until when the certificate holds; without ``verify`` its dates are judged here."""
        self._note_expiries(chain)
        if (
            not self.server.verify
            and time.time() >= CLOCK_FLOOR
            and (fault := tls_chain.date_fault(chain, time.time()))
        ):
            raise ProbeFailed(fault)

    def _note_expiries(self, chain: list[bytes]) -> None:
        self.expiries = [date for date in map(expiry_of, chain) if date is not None]

    async def _explain_refusal(self, error: ssl.SSLCertVerificationError, name: str) -> ProbeFailed:
        """Name the fault by what the server sends to one who does not judge; in what time is left."""
        chain: list[bytes] = []
        second = type(self)(self.server, self.context, self.deadline)
        try:
            async with asyncio.timeout(self.deadline - time.monotonic() - _MARGIN):
                await second._connect()
                if self.server.security == STARTTLS:
                    await second._read_greeting()
                    await second._request_starttls()
                assert second._stream is not None
                chain = presented_chain(await second._stream.start_tls(self._tls_context(False), name))
        except (ProbeFailed, ssl.SSLError, TimeoutError):
            pass  # the first refusal stands, with less to say about it
        finally:
            second.close()
        self._note_expiries(issuer_path(chain))
        contexts = self.context.client(TlsContexts, TlsContexts)
        return tls_chain.explain_refusal(error, chain, name, contexts, self._tls_context(True), time.time())

    def _tls_context(self, verify: bool) -> ssl.SSLContext:
        contexts = self.context.client(TlsContexts, TlsContexts)
        return contexts.get(verify=verify, authority=self.server.authority, limits=self.context.limits)


def is_single_line(text: str) -> bool:
    """Without line breaks, NUL and the other control characters: fit to stand in a command."""
    return not any(c < " " or c in "\x7f\x85\u2028\u2029" for c in text)


def expiry_warning(expiries: list[float], warn_days: float) -> Why:
    """What there is to warn of in the certificates' ends, or ""."""
    now = time.time()
    return "" if now < CLOCK_FLOOR else tls_chain.expiry_warning(expiries, warn_days, now)
