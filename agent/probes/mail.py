"""The kind ``mail``: send a marked mail through one server, find it through IMAP, and remove it."""

import asyncio
import time
from typing import Annotated, Final, Literal

from msgspec import Meta

from agent.clients.mail.imap import ImapClient
from agent.clients.mail.session import MailServer, MailSession, expiry_warning, is_single_line
from agent.clients.mail.smtp import SmtpClient, is_address
from agent.clients.mail.trip import MailRoundTrip
from agent.failure import ProbeFailed
from agent.first_steps import CALL
from agent.probe import CredentialUse, Measure, Outcome, Probe, ProbeContext
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import Why, sentence
from inventory.protocol.states import DEGRADED, DOWN, UP

_REMOVAL_SHARE: Final = 0.1  # of the look's time, kept for removing the mail that came


class Mail(Probe, frozen=True, kw_only=True):
    """Send a marked mail, wait until it is in the mailbox, delete it; the latency is the mail's transit time.

    The mailbox is opened first, and a mail is sent only if that works: what could not be removed is not sent. Mails
    that earlier looks left there (they came too late) are removed, at most 100 a look; no other mail is touched. Down:
    a server refuses, a certificate has a fault that the kind ``tls`` names, or the mail has not come in nine tenths of
    the timeout, which is to be as long as a mail may take. Degraded: a certificate ends within ``warn_days``, or the
    mail came but could not be deleted. Give the robot an account of its own: searches are quick in a small mailbox.
    """

    kind = "mail"
    title = "a mail's round trip"
    target = ("smtp_host", "smtp_port", "imap_host", "imap_port", "sender", "recipient", "mailbox")
    addressed_by = ("smtp_host", "imap_host")
    measures = (
        Measure("transit_seconds", "seconds", "From the sending server's yes to the mail in the mailbox"),
        Measure("handover_seconds", "seconds", "From connecting to the sending server to its yes to the mail"),
        Measure("mailbox_seconds", "seconds", "From connecting to the IMAP server to the open mailbox"),
        Measure("leftovers", "count", "Mails of earlier looks that were removed"),
        Measure("smtp_certificate_expiry_timestamp_seconds", "timestamp", "When the SMTP server's certificate expires"),
        Measure("imap_certificate_expiry_timestamp_seconds", "timestamp", "When the IMAP server's certificate expires"),
    )
    down_mail = MailWords(
        steps=(
            "A trial mail did not arrive. Send yourself a mail and see whether it comes within 5 minutes.",
            "If you look after the mail server: look at its queue and whether its disk has free space.",
            "See that the trial mailbox is not full and its password was not changed.",
            CALL,
        ),
    )
    degraded_mail = MailWords(
        steps=(
            "Mails arrive, but late. Tell colleagues that wait for one to be patient, and not to send it twice.",
            "If you look after the mail server: see whether many mails wait in its queue, and to whom.",
            "Somebody may be sending advertising through a stolen password: look for one sender of very many mails.",
        ),
    )
    example = "{smtp_host: mail.example, recipient: robot@mail.example, credential: mail-robot}"

    smtp_host: Annotated[str, Meta(min_length=1, max_length=253, description="Server to send through")]
    recipient: Annotated[str, Meta(max_length=320, description="Mail address whose mailbox is looked into")]
    credential: Annotated[
        str,
        Meta(min_length=1, max_length=100, description="Credential (user, password) of the agent's own file for IMAP"),
    ]
    sender: Annotated[str, Meta(max_length=320, description="Mail address to send from, instead of the recipient")] = ""
    imap_host: Annotated[str, Meta(max_length=253, description="IMAP server, if it is another host")] = ""
    mailbox: Annotated[str, Meta(min_length=1, max_length=200, description="Mailbox where the mail arrives")] = "INBOX"
    smtp_port: Annotated[int, Meta(ge=1, le=65535, description="Port to send to: 25, 587 or 465")] = 25
    imap_port: Annotated[int, Meta(ge=1, le=65535, description="Port of the IMAP server: 993 or 143")] = 993
    smtp_security: Annotated[
        Literal["starttls", "tls", "none"], Meta(description="How the connection to send through is secured")
    ] = "starttls"
    imap_security: Annotated[
        Literal["starttls", "tls", "none"], Meta(description="How the connection to the mailbox is secured")
    ] = "tls"
    smtp_credential: Annotated[
        str, Meta(max_length=100, description="Credential for sending; without one no login is tried")
    ] = ""
    clear_password: Annotated[bool, Meta(description="Log in even with security none, the password in clear")] = False
    verify: Annotated[bool, Meta(description="Judge certificates' issuers and names too, not only the dates")] = True
    warn_days: Annotated[float, Meta(ge=0, le=3650, description="Degraded when fewer days are left")] = 14
    family: Annotated[Literal["any", "ipv4", "ipv6"], Meta(description="Addresses to use")] = "any"
    authority: Annotated[
        str, Meta(description="PEM file at the agent with the CAs to trust, instead of the machine's own")
    ] = ""

    def __post_init__(self) -> None:
        for name, address in (("recipient", self.recipient), ("sender", self.sender or self.recipient)):
            if not is_address(address):
                raise ValueError(sentence("{name} is not a mail address of plain letters (name@domain)", name=name))
        if not is_single_line(self.mailbox):
            raise ValueError(sentence("mailbox has a line break or another control character"))
        for server in self.mail_servers():
            server.validate()

    def mail_servers(self) -> tuple[MailServer, MailServer]:
        """Where to send, where to look."""
        shared = {
            "clear_password": self.clear_password,
            "verify": self.verify,
            "authority": self.authority,
            "family": self.family,
        }
        return (
            MailServer(
                host=self.smtp_host,
                port=self.smtp_port,
                security=self.smtp_security,
                credential=self.smtp_credential,
                **shared,  # type: ignore[arg-type]  # fields of different types
            ),
            MailServer(
                host=self.imap_host or self.smtp_host,
                port=self.imap_port,
                security=self.imap_security,
                credential=self.credential,
                **shared,  # type: ignore[arg-type]
            ),
        )

    def credential_uses(self) -> tuple[CredentialUse, ...]:
        return tuple(use for server in self.mail_servers() for use in server.credential_uses())

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return tuple((server.host, server.port) for server in self.mail_servers())

    async def run(self, context: ProbeContext) -> Outcome:
        return await _RoundTrip(self, context).run()


class _RoundTrip:
    """One look: the sessions, and what they measured."""

    def __init__(self, probe: Mail, context: ProbeContext) -> None:
        sending, reading = probe.mail_servers()
        self.probe = probe
        self.context = context
        self.end = time.monotonic() + context.timeout
        self.smtp = SmtpClient(sending, context, self.end)
        self.imap = ImapClient(reading, context, self.end)
        self.session: MailSession = self.imap  # which is being talked to
        self.trip = MailRoundTrip(
            f"{probe.endpoints()} {probe.mailbox}", probe.sender or probe.recipient, probe.recipient
        )
        self.measures: dict[str, float] = {}

    async def run(self) -> Outcome:
        try:
            async with asyncio.timeout(self.context.timeout):
                state, reason = await self._make_trip()
        except ProbeFailed as failure:
            state, reason = self._after_arrival(
                failure.state,
                sentence("{protocol}: {reason}", protocol=self.session.protocol, reason=failure.reason),
            )
        except TimeoutError:
            words = sentence(
                "{protocol} with {who}: {waiting}",
                protocol=self.session.protocol,
                who=self.session.who,
                waiting=self.session.waiting,
            )
            state, reason = self._after_arrival(
                DOWN, sentence("{words} within {timeout:n} s", words=words, timeout=self.context.timeout)
            )
        finally:
            self.smtp.close()
            self.imap.close()
        for session in (self.smtp, self.imap):
            if session.expiries:
                name = f"{session.protocol.lower()}_certificate_expiry_timestamp_seconds"
                self.measures[name] = session.expiries[0]
        return Outcome(state, reason, self.measures.get("transit_seconds"), self.measures)

    def _after_arrival(self, state: int, reason: Why) -> tuple[int, Why]:
        """Trouble after the mail has come is no longer the mail's."""
        if "transit_seconds" in self.measures:
            return DEGRADED, sentence("the mail came, but was not deleted: {reason}", reason=reason)
        return state, reason

    async def _make_trip(self) -> tuple[int, Why]:
        following = await self._open_mailbox()
        taken_over, words = await self._send()
        self.session = self.imap
        until = self.end - self.context.timeout * _REMOVAL_SHARE
        uids = await self.trip.wait_for_arrival(self.imap, following, until)
        waited = time.monotonic() - taken_over
        if not uids:
            return DOWN, sentence(
                "{who} took the mail ({words}), but it was not in the mailbox {waited:n} s later",
                who=self.smtp.who,
                words=words,
                waited=f"{waited:.3g}",
            )
        self.measures["transit_seconds"] = waited
        if not await self.imap.remove(uids):
            return DEGRADED, sentence("the mail came, but cannot be deleted without others' mails")
        await self.imap.logout()
        for session in (self.smtp, self.imap):
            if warning := expiry_warning(session.expiries, self.probe.warn_days):
                return DEGRADED, sentence("{protocol}: {warning}", protocol=session.protocol, warning=warning)
        return UP, ""

    async def _open_mailbox(self) -> int | None:
        """Log in, open the mailbox, remove what is left there; the UID that the next mail gets, if that is said."""
        imap = self.session = self.imap
        await imap.open()
        if (login := imap.login_here()) is not None:
            await imap.login(login)
        _, following = await imap.select(self.probe.mailbox, read_only=False)
        self.measures["mailbox_seconds"] = time.monotonic() - imap.connect_started
        self.measures["leftovers"] = await self.trip.remove_leftovers(imap)
        return following

    async def _send(self) -> tuple[float, str]:
        """Hand the mail over; when that was (time.monotonic()), and the server's words."""
        smtp = self.session = self.smtp
        await smtp.open()
        if (login := smtp.login_here()) is not None:
            await smtp.login(login)
        reply = await self.trip.send(smtp)
        taken_over = time.monotonic()
        self.measures["handover_seconds"] = taken_over - smtp.connect_started
        await smtp.quit()
        smtp.close()
        return taken_over, smtp.quoted(f"{reply.code} {' '.join(reply.lines)}")
