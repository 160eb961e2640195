"""The kind ``imap``: does a mail server greet, encrypt with a good certificate, let us log in and open the mailbox."""

import asyncio
import time
from typing import Annotated, Literal

from msgspec import Meta

from agent.clients.mail.imap import ImapClient as Session
from agent.clients.mail.session import MailServer, expiry_warning, is_single_line
from agent.failure import ProbeFailed
from agent.first_steps import BUSY, CALL
from agent.probe import CredentialUse, Measure, Outcome, Probe, ProbeContext
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import Why, sentence
from inventory.protocol.states import DEGRADED, DOWN, UP


class Imap(Probe, frozen=True, kw_only=True):
    """Talk IMAP up to an open mailbox: greeting, TLS, and with a credential the login and the mailbox, only to read.

    Down, with the reason: no connection, no greeting or a refusing one, STARTTLS not offered (or stripped on the way),
    a certificate with any fault that the kind ``tls`` names, a refused login, a mailbox that does not open. Degraded:
    the certificate, or one sent with it, ends within ``warn_days``. The latency runs from connecting until the last
    answer, the farewell not counted.
    """

    kind = "imap"
    title = "mailbox (IMAP)"
    target = ("host", "port", "security", "server_name", "credential", "mailbox")
    measures = (
        Measure("resolve_seconds", "seconds", "Time to resolve the host name; left out for addresses"),
        Measure("connect_seconds", "seconds", "Time to connect"),
        Measure("banner_seconds", "seconds", "From the connection (or, with security tls, its TLS) to the greeting"),
        Measure("tls_seconds", "seconds", "Time of the TLS handshake"),
        Measure("login_seconds", "seconds", "Time of the login"),
        Measure("select_seconds", "seconds", "Time to open the mailbox"),
        Measure("messages", "count", "Mails in the mailbox"),
        Measure("certificate_expiry_timestamp_seconds", "timestamp", "When the server's certificate expires"),
        Measure("chain_expiry_timestamp_seconds", "timestamp", "When the first of the certificates sent expires"),
    )
    down_mail = MailWords(
        steps=(
            "Try to read your mail, in the mail program and in the browser.",
            "Nothing is lost: incoming mail is kept at the server or waits at its sender's.",
            "If you look after the mail server: see whether the mailbox service runs and its disk has free space.",
            CALL,
        ),
    )
    degraded_mail = MailWords(
        steps=(
            "Mailboxes can be read, but slowly, or the server's certificate will end soon. See above which.",
            "If it is the certificate, have it renewed now, not on the last day.",
            BUSY,
            CALL,
        ),
    )
    example = "{host: mail.example, credential: mail-robot}"

    host: Annotated[str, Meta(min_length=1, max_length=253, description="Host name or address")]
    port: Annotated[int, Meta(ge=1, le=65535, description="Port: 993, or 143 with starttls")] = 993
    security: Annotated[
        Literal["starttls", "tls", "none"],
        Meta(description="How the connection is secured: starttls must then be offered, tls is from the first byte"),
    ] = "tls"
    credential: Annotated[
        str, Meta(max_length=100, description="Log in with this credential (user, password) of the agent's own file")
    ] = ""
    clear_password: Annotated[bool, Meta(description="Log in even with security none, the password in clear")] = False
    mailbox: Annotated[
        str, Meta(min_length=1, max_length=200, description="Mailbox to open once logged in, only to read")
    ] = "INBOX"
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
        if not is_single_line(self.mailbox):
            raise ValueError(sentence("mailbox has a line break or another control character"))

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
        state, latency, measures = UP, None, {}
        reason: Why = ""
        try:
            async with asyncio.timeout(context.timeout):
                await session.open()
                if (login := session.login_here()) is not None:
                    await session.login(login)
                    mails, _ = await session.select(self.mailbox, read_only=True)
                    if mails is not None:
                        measures["messages"] = float(mails)
                latency = time.monotonic() - session.connect_started
                await session.logout()
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
        return Outcome(state, reason, latency, {**measures, **session.measures()})
