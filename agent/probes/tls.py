"""The kind ``tls``: shake hands, check the certificate, name what is wrong with it."""

import asyncio
import ssl
import time
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from msgspec import Meta

from agent.clients.http.http1 import ascii_host
from agent.clients.net.resolve import Resolver, address_literal, bare_host
from agent.clients.net.stream import CertificateRequired, TcpStream, connect
from agent.clients.net.tls_records import ClientCertificateWanted
from agent.clients.tls import chain as tls_chain
from agent.clients.tls.contexts import (
    TlsContexts,
    expiry_of,
    handshake_failure,
    issuer_path,
    judged_chain,
    presented_chain,
)
from agent.clients.tls.question import StapleQuestion
from agent.clients.tls.staple import StapleChecker
from agent.failure import ProbeFailed
from agent.probe import Address, Measure, Outcome, Probe, ProbeContext
from inventory.base.clock import CLOCK_FLOOR
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import Why, joined, sentence
from inventory.protocol.states import DEGRADED, DOWN, UP

_REFUSAL_SECONDS: Final = 0.1  # that a server of TLS 1.3 is given, at least, to refuse
_VERSIONS: Final = {"TLSv1": 10, "TLSv1.1": 11, "TLSv1.2": 12, "TLSv1.3": 13}
_WAITED_FOR: Final = {
    "resolve": sentence("the name was not resolved"),
    "connect": sentence("no connection was made"),
    "handshake": sentence("the TLS handshake did not end"),
}


class Tls(Probe, frozen=True, kw_only=True):
    """Shake hands with a TLS server and judge its certificate; latency is from connecting to the handshake's end.

    Down, with the fault's name first: expired, not yet valid, wrong host, self-signed, unknown issuer, incomplete
    chain (the server does not send an intermediate), revoked (a stapled OCSP response says so). A refused certificate
    is looked at once more, without judging, to name the fault. Degraded: fewer than ``warn_days`` left for the
    certificate or another of the path by which it was verified (whatever else the server sends), or a stapled response
    that is out of date, wrongly signed or missing though the certificate demands one. The stapled response is asked
    for on a second connection: at the first look, for another certificate, every hour, and at each look while
    something is wrong with it. With ``revocation: true`` the certificate's OCSP responder or its list of revoked
    certificates (CRL) is asked then, where no response is stapled; degraded when nobody can be asked. A server that
    wants a certificate of the agent's is up when its own is good, and ``once`` says so. With ``verify: false`` dates
    and a stapled response are judged, not issuer and name.
    """

    kind = "tls"
    title = "certificate (TLS)"
    target = ("host", "port", "server_name")
    measures = (
        Measure("resolve_seconds", "seconds", "Time to resolve the host name; left out for addresses", exported=False),
        Measure("connect_seconds", "seconds", "Time to connect", exported=False),
        Measure("handshake_seconds", "seconds", "Time of the TLS handshake", exported=False),
        Measure("certificate_expiry_timestamp_seconds", "timestamp", "When the server's certificate expires"),
        Measure("chain_expiry_timestamp_seconds", "timestamp", "When the first of the certificates relied on expires"),
        Measure("tls_version", "status", "Version of TLS agreed on, times ten: 12 or 13", exported=False),
        Measure(
            "revocation_known", "flag", "Whether somebody said that the certificate is not revoked", exported=False
        ),
    )
    down_mail = MailWords(
        steps=(
            "Browsers refuse the page or warn of it: its certificate has ended, or is not for this name.",
            "Tell users not to click the warning away, and not to enter passwords there meanwhile.",
            "Have the certificate renewed by whoever looks after the server, and the web program started again.",
            "See that the server's date and time are right.",
        ),
    )
    degraded_mail = MailWords(
        headline="Certificate needs attention",
        explains=True,
        steps=(
            "The page still works. The certificate will end soon or has a fault. See above which and when.",
            "Have it renewed now, not on the last day: after that browsers refuse the page.",
            "If it renews by itself, it did not this time: let whoever looks after the server see why.",
        ),
    )
    example = "{host: portal.example, warn_days: 21}"

    host: Annotated[str, Meta(description="Host name or address", min_length=1, max_length=253)]
    port: Annotated[int, Meta(description="Port", ge=1, le=65535)] = 443
    server_name: Annotated[
        str, Meta(description="Name for SNI and to look for in the certificate, instead of the host", max_length=253)
    ] = ""
    warn_days: Annotated[float, Meta(description="Degraded when fewer days are left", ge=0, le=3650)] = 14
    verify: Annotated[
        bool,
        Meta(
            description="Judge issuer and name too, not only the dates; else old versions and weak keys are taken too"
        ),
    ] = True
    staple: Annotated[bool, Meta(description="Ask for a stapled OCSP response, on a second connection")] = True
    revocation: Annotated[
        bool, Meta(description="Ask the certificate's OCSP responder or CRL too, where no response is stapled")
    ] = False
    family: Annotated[Literal["any", "ipv4", "ipv6"], Meta(description="Addresses to use")] = "any"
    authority: Annotated[
        str, Meta(description="PEM file at the agent with the CAs to trust, instead of the machine's own")
    ] = ""

    def __post_init__(self) -> None:
        ascii_host(self.host)
        if self.server_name:
            ascii_host(self.server_name)

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return ((ascii_host(self.host), self.port),)

    async def run(self, context: ProbeContext) -> Outcome:
        return await _Handshake(self, context).run()


class _Handshake:
    """One look: the handshake, then what is known of the certificate."""

    def __init__(self, probe: Tls, context: ProbeContext) -> None:
        self.probe = probe
        self.context = context
        self.host = ascii_host(probe.host)
        self.name = ascii_host(probe.server_name) if probe.server_name else self.host
        self.contexts = context.client(TlsContexts, TlsContexts)
        self.measures: dict[str, float] = {}
        self.latency: float | None = None
        self.phase = "resolve"
        self.addresses: list[Address] = []
        self.address = ""  # that answered
        self.notes: list[Why] = []
        self.wants_certificate: Why = ""  # the server, of us

    async def run(self) -> Outcome:
        self.start = time.perf_counter()
        try:
            async with asyncio.timeout(self.context.timeout):
                chain = await self._handshake()
        except ProbeFailed as failure:
            return self._outcome(failure.state, failure.reason)
        except ssl.SSLCertVerificationError as error:
            fault = await self._explain_refusal(error)
            return self._outcome(fault.state, fault.reason)
        except TimeoutError:
            return self._outcome(
                DOWN,
                sentence(
                    "{waited_for} within {timeout:n} s",
                    waited_for=_WAITED_FOR[self.phase],
                    timeout=self.context.timeout,
                ),
            )
        return self._outcome(*await self._evaluate(chain))

    def _outcome(self, state: int, reason: Why) -> Outcome:
        if self.wants_certificate and self.wants_certificate != reason:
            reason = joined([reason, self.wants_certificate]) if reason else self.wants_certificate
        return Outcome(state, reason, self.latency, self.measures, notes=tuple(self.notes))

    def _seconds_left(self) -> float:
        return self.context.timeout - (time.perf_counter() - self.start)

    async def _connect(self) -> tuple[TcpStream, float]:
        return await connect(self.addresses, self.probe.port, self.context.limits, max(self._seconds_left(), 0.01))

    def _tls_context(self, verify: bool) -> ssl.SSLContext:
        return self.contexts.get(verify=verify, authority=self.probe.authority, limits=self.context.limits)

    async def _handshake(self) -> list[bytes]:
        """The measured handshake; the path to judge, leaf first. Raises what a refused certificate raises."""
        probe = self.probe
        self.addresses = await self.context.client(Resolver, Resolver).addresses(self.host, probe.family)
        if address_literal(self.host) is None:
            self.measures["resolve_seconds"] = time.perf_counter() - self.start
        context = self._tls_context(probe.verify)
        self.phase = "connect"
        stream, self.measures["connect_seconds"] = await self._connect()
        self.phase = "handshake"
        try:
            self.address = stream.remote_address
            started = time.perf_counter()
            tls = await stream.start_tls(context, self.name)
            elapsed = self.measures["handshake_seconds"] = time.perf_counter() - started
            self.latency = self.measures["connect_seconds"] + elapsed
            chain = judged_chain(tls, probe.verify)
            self._note_certificates(chain, tls.version())
            if probe.verify:
                self.contexts.add_intermediates(chain)
            if tls.version() == "TLSv1.3":
                await self._hear_refusal(stream)
            return chain
        except ssl.SSLCertVerificationError:
            raise
        except ClientCertificateWanted as wanted:
            # of version 1.2: its certificate was taken, or the handshake had ended before
            self.latency = self.measures["connect_seconds"] + time.perf_counter() - started
            self.wants_certificate = handshake_failure(wanted, stream.who).reason
            chain = issuer_path(list(wanted.chain))
            self._note_certificates(chain, "TLSv1.2")
            return chain
        except ssl.SSLError as error:
            raise handshake_failure(error, stream.who) from None
        finally:
            stream.close()

    async def _hear_refusal(self, stream: TcpStream) -> None:
        """In version 1.3 a server refuses after the client's handshake has ended."""
        seconds = min(max(_REFUSAL_SECONDS, 3 * self.measures["connect_seconds"]), max(self._seconds_left() / 2, 0.01))
        try:
            async with asyncio.timeout(seconds):
                await stream.hear_refusal()
        except CertificateRequired as wanted:
            self.wants_certificate = wanted.reason
        except (ProbeFailed, TimeoutError):
            pass  # it says nothing: it waits for us

    def _note_certificates(self, chain: Sequence[bytes], tls_version: str | None) -> None:
        dates = [date for date in map(expiry_of, chain) if date is not None]
        if dates:
            self.measures["certificate_expiry_timestamp_seconds"] = dates[0]
            self.measures["chain_expiry_timestamp_seconds"] = min(dates)
        version = _VERSIONS.get(tls_version or "")
        if version:
            self.measures["tls_version"] = version

    async def _explain_refusal(self, error: ssl.SSLCertVerificationError) -> ProbeFailed:
        """Name the fault by what the server sends to one who does not judge; in what time is left."""
        chain: list[bytes] = []
        try:
            async with asyncio.timeout(self._seconds_left()):
                stream, _ = await self._connect()
                try:
                    tls = await stream.start_tls(self._tls_context(verify=False), self.name)
                    chain = presented_chain(tls)
                    self._note_certificates(issuer_path(chain), tls.version())
                finally:
                    stream.close()
        except (ProbeFailed, ssl.SSLError, TimeoutError):
            pass  # the first refusal stands, with less to say about it
        context = self._tls_context(verify=True)
        return tls_chain.explain_refusal(error, chain, self.name, self.contexts, context, time.time())

    async def _evaluate(self, chain: list[bytes]) -> tuple[int, Why]:
        """State and reason of a certificate that OpenSSL took (or was not to judge)."""
        now = time.time()
        if now < CLOCK_FLOOR:
            return UP, ""  # only an unverified look comes here: it shook hands, and dates cannot be judged
        fault = tls_chain.date_fault(chain, now)
        if fault:
            return DOWN, fault
        if self.probe.staple or self.probe.revocation:
            failure = await self._check_staple(chain, now)
            if failure is not None:
                return failure.state, failure.reason
        ends = [date for date in map(expiry_of, chain) if date is not None]
        warning = tls_chain.expiry_warning(ends, self.probe.warn_days, now)
        return (DEGRADED, warning) if warning else (UP, "")

    async def _check_staple(self, chain: list[bytes], now: float) -> ProbeFailed | None:
        """What a stapled response says against the certificate. No answer on this way says nothing."""
        seconds = max(self._seconds_left(), 0.01)
        limits = self.context.limits
        question = StapleQuestion(
            self.address,
            self.probe.port,
            bare_host(self.name),
            tuple(chain),
            seconds=seconds,
            now=now,
            ask=self.probe.revocation,
            networks=tuple(map(str, limits.networks)),
            ports=limits.ports,
        )
        try:
            async with asyncio.timeout(seconds):
                answer = await self.context.client(StapleChecker, StapleChecker).check(question)
        except TimeoutError:
            answer = None
        except ProbeFailed as failure:
            return failure
        if answer is not None:
            self.measures["revocation_known"] = float(answer.known)
            self.notes += answer.notes
            return None
        if self.probe.revocation:
            return ProbeFailed(sentence("nobody has said in time whether the certificate is revoked"), DEGRADED)
        return None
