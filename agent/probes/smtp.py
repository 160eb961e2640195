"""The kind ``smtp``: does a mail server greet, encrypt with a good certificate, and let us log in."""

import asyncio
import time
from typing import Annotated, Literal

from msgspec import Meta

from agent.clients.mail.session import MailServer, expiry_warning
from agent.clients.mail.smtp import SmtpClient as Session
from agent.failure import ProbeFailed
from agent.first_steps import BUSY, CALL, CHANGED
from agent.probe import CredentialUse, Measure, Outcome, Probe, ProbeContext
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import Why, sentence
from inventory.protocol.states import DEGRADED, DOWN, UP


class Smtp(Probe, frozen=True, kw_only=True):
    """Talk SMTP up to where a mail could be handed over: greeting, EHLO, TLS, and with a credential the login.

    Down, with the reason: no connection, no greeting or a refusing one, STARTTLS not offered (or stripped on the way),
    a certificate with any fault that the kind ``tls`` names, a refused login. Degraded: the certificate, or one sent
    with it, ends within ``warn_days``. No mail is sent; the kind ``mail`` does that. The latency runs from connecting
    until the server is ready for a mail, the farewell not counted.
    """

    kind = "smtp"
    title = "mail server (SMTP)"
    target = ("host", "port", "security", "server_name", "credential")
    measures = (
        Measure("resolve_seconds", "seconds", "Time to resolve the host name; left out for addresses"),
        Measure("connect_seconds", "seconds", "Time to connect"),
        Measure("banner_seconds", "seconds", "From the connection (or, with security tls, its TLS) to the greeting"),
        Measure("tls_seconds", "seconds", "Time of the TLS handshake"),
        Measure("login_seconds", "seconds", "Time of the login"),
        Measure("certificate_expiry_timestamp_seconds", "timestamp", "When the server's certificate expires"),
        Measure("chain_expiry_timestamp_seconds", "timestamp", "When the first of the certificates sent expires"),
    )
    down_mail = MailWords(
        steps=(
            "Try to send a mail to yourself and to an address outside.",
            "If you look after the mail server: see whether the mail service runs and its disk has free space.",
            CHANGED,
            CALL,
        ),
    )
    degraded_mail = MailWords(
        steps=(
            "Mails can be sent, but slowly, or the server's certificate will end soon. See above which.",
            "If it is the certificate, have it renewed now, not on the last day.",
            BUSY,
            CALL,
        ),
    )
    example = "{host: mail.example, port: 587, security: starttls}"

    host: Annotated[str, Meta(min_length=1, max_length=253, description="Host name or address")]
    port: Annotated[int, Meta(ge=1, le=65535, description="Port: 25, or 587 and 465 for submission")] = 25
    security: Annotated[
        Literal["starttls", "tls", "none"],
        Meta(description="How the connection is secured: starttls must then be offered, tls is from the first byte"),
    ] = "starttls"
    credential: Annotated[
        str, Meta(max_length=100, description="Log in with this credential (user, password) of the agent's own file")
    ] = ""
    clear_password: Annotated[bool, Meta(description="Log in even with security none, the password in clear")] = False
    helo: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9.-]*$", max_length=253, description="Name to give in EHLO, instead of the own address"
        ),
    ] = ""
    server_name: Annotated[
        str, Meta(max_length=253, description="Name for SNI and to look for in the certificate, instead of the host")
    ] = ""
    verify: Annotated[bool, Meta(description="Judge the certificate's issuer and name too, not only its dates")] = True
    warn_days: Annotated[float, Meta(ge=0, le=3650, description="Degraded when fewer days are left")] = 14
    family: Annotated[Literal["any", "ipv4", "ipv6"], Meta(description="Addresses to use")] = "any"
    authority: Annotated[
        str, Meta(description="PEM file at the agent with the CAs to trust, instead of the machine's own")
    ] = ""

    def __post_init__(self) -> None:
        self.mail_server().validate()

    def mail_server(self) -> MailServer:
        return MailServer(
            host=self.host,
            port=self.port,
            security=self.security,
            credential=self.credential,
            clear_password=self.clear_password,
            server_name=self.server_name,
            verify=self.verify,
            authority=self.authority,
            family=self.family,
        )

    def credential_uses(self) -> tuple[CredentialUse, ...]:
        return self.mail_server().credential_uses()

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return ((self.host, self.port),)

    async def run(self, context: ProbeContext) -> Outcome:
        session = Session(self.mail_server(), context, time.monotonic() + context.timeout)
        session.helo = self.helo
        state, latency = UP, None
        reason: Why = ""
        try:
            async with asyncio.timeout(context.timeout):
                await session.open()
                if (login := session.login_here()) is not None:
                    await session.login(login)
                latency = time.monotonic() - session.connect_started
                await session.quit()
            warning = expiry_warning(session.expiries, self.warn_days)
            if warning:
                state, reason = DEGRADED, warning
        except ProbeFailed as failure:
            state, reason = failure.state, failure.reason
        except TimeoutError:
            state, reason = (
                DOWN,
                sentence("{waiting} within {timeout:n} s", waiting=session.waiting, timeout=context.timeout),
            )
        finally:
            session.close()
        return Outcome(state, reason, latency, session.measures())
