"""An SMTP connection to one mail relay: opened when a mail needs it, kept while mails follow, closed after them."""

import asyncio
import os
import ssl
import time
from types import TracebackType
from typing import Final

import aiosmtplib
from aiosmtplib import SMTPException, SMTPHeloError, SMTPResponseException

from alerts.channels.config import RelaySettings
from alerts.channels.outbox import OutgoingMail
from alerts.channels.smtp_verdict import NO_REPLY, Stage, Verdict, verdict
from inventory.base.trust import judge_alike

MAX_REPLY_LENGTH: Final = 200  # characters of a server's words that are kept
QUIT_TIMEOUT_S: Final = 2.0  # seconds for QUIT


class SmtpRefusal(Exception):
    """Why a mail was not taken. ``stage``: how far it came; ``code``: the server's, or NO_REPLY; ``uncertain``: the
    mail had been handed over, but whether it was taken is not known."""

    def __init__(self, stage: Stage, code: int, reply: str, *, uncertain: bool = False) -> None:
        super().__init__(reply)
        self.stage = stage
        self.code = code
        self.reply = reply
        self.uncertain = uncertain
        self.verdict: Verdict = verdict(stage, code, reply)

    def __str__(self) -> str:
        reply_text = f"{self.code} {self.reply}" if self.code != NO_REPLY else self.reply
        return f"{STAGE_NAMES[self.stage]}: {reply_text}"


STAGE_NAMES: Final[dict[Stage, str]] = {
    "connect": "no connection",
    "greeting": "turned away",
    "hello": "greeting refused",
    "tls": "no TLS",
    "login": "login refused",
    "sender": "sender refused",
    "recipient": "recipient refused",
    "data": "letter refused",
}


class SmtpConnection:
    """At most one connection at a time. Not for use by two tasks at once.

    ``name``: to greet with; ``bounce``: the envelope's sender, "" for none.
    """

    def __init__(self, relay: RelaySettings, name: str, bounce: str = "") -> None:
        self.relay = relay
        self.bounce = bounce
        self.tls = ""  # version spoken on the open connection
        self.steps: list[tuple[Stage, float]] = []  # what went well on the way up to the first mail, in seconds
        self._name = relay.helo or name
        self._context: ssl.SSLContext | None = None
        self._smtp: aiosmtplib.SMTP | None = None
        self._stage: Stage = "connect"

    @property
    def timeout(self) -> float:
        return self.relay.timeout / 1000

    @property
    def connected(self) -> bool:
        return self._smtp is not None and self._smtp.is_connected

    async def send(self, mail: OutgoingMail, patience: float) -> str:
        """Hand the mail over: the server's words, once it has said that it has it. ``patience``: seconds for that
        last answer. Raises Refusal."""
        used = self.connected
        await self.open()
        try:
            return await self._transaction(mail, patience)
        except SmtpRefusal as refusal:
            disconnected = refusal.code in (NO_REPLY, 421) and not isinstance(refusal.__cause__, TimeoutError)
            if not used or refusal.stage != "sender" or not disconnected:
                raise
        # a server may close a connection that stood idle or brought enough mails: that is no problem
        self.abort()
        await self.open()
        return await self._transaction(mail, patience)

    async def open(self) -> None:
        """Connected, encrypted, logged in. Raises Refusal."""
        if self.connected:
            return
        self.abort()
        self.steps, self.tls = [], ""
        try:
            async with _TimedStep(self, self.timeout):
                await self._open()
        except SmtpRefusal:
            self.abort()  # half-way up it is of no use: it must not be taken for one that is logged in
            raise

    async def _open(self) -> None:
        relay, begun = self.relay, time.monotonic()
        self._stage = "tls"
        context = await self._tls_context() if relay.tls != "none" else None
        smtp = self._smtp = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.effective_port,
            local_hostname=self._name,
            timeout=self.timeout,
            use_tls=relay.tls == "tls",
            start_tls=False,
            tls_context=context,
        )
        self._stage = "connect"
        await smtp.connect()
        begun = self._record_step(begun)
        await self._hello(smtp)
        begun = self._record_step(begun)
        if relay.tls == "starttls":
            self._stage = "tls"
            await smtp.starttls()
            begun = self._record_step(begun)
            await self._hello(smtp)
        encrypted = smtp.get_transport_info("ssl_object")
        self.tls = encrypted.version() or "" if encrypted is not None else ""
        if relay.user:
            self._stage = "login"
            await smtp.login(relay.user, str(relay.password))
            self._record_step(begun)

    async def _hello(self, smtp: aiosmtplib.SMTP) -> None:
        self._stage = "hello"
        try:
            await smtp.ehlo()
        except SMTPHeloError:
            if self.relay.tls == "starttls" or self.relay.user or not smtp.is_connected:
                raise
            await smtp.helo()

    async def _tls_context(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = await asyncio.to_thread(tls_context, self.relay.ca, self.relay.verify)
        return self._context

    async def _transaction(self, mail: OutgoingMail, patience: float) -> str:
        smtp = self._smtp
        assert smtp is not None
        self._stage = "sender"
        async with _TimedStep(self, self.timeout):
            address, options = _recipient_and_options(mail, smtp)
            await smtp.mail(self.bounce, options=options)
            self._stage = "recipient"
            await smtp.rcpt(address, encoding="utf-8")
        self._stage = "data"
        async with _TimedStep(self, patience, uncertain=True):
            answer = await smtp.data(mail.body, timeout=patience)
        return one_line(answer.message)

    def _record_step(self, begun: float) -> float:
        now = time.monotonic()
        self.steps.append((self._stage, now - begun))
        return now

    async def reset(self) -> None:
        """After a refusal: ready for the next mail, or closed."""
        if self._smtp is None or not self._smtp.is_connected:
            return
        try:
            async with asyncio.timeout(QUIT_TIMEOUT_S):
                await self._smtp.rset()
        except (SMTPException, OSError, ValueError):
            self.abort()

    async def close(self) -> None:
        """With a farewell."""
        if self._smtp is not None and self._smtp.is_connected:
            try:
                async with asyncio.timeout(QUIT_TIMEOUT_S):
                    await self._smtp.quit()
            except (SMTPException, OSError, ValueError):
                pass  # it has all mails: how it says good-bye is its own affair
        self.abort()

    def abort(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None

    @property
    def stage(self) -> Stage:
        return self._stage


class _TimedStep:
    """So many seconds for a piece of the conversation; what goes wrong in it comes out as a Refusal."""

    def __init__(self, line: SmtpConnection, seconds: float, *, uncertain: bool = False) -> None:
        self._line = line
        self._seconds = seconds
        self._uncertain = uncertain
        self._timeout = asyncio.timeout(seconds * 1.5)  # the library counts each answer's; this, all of them

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            error = TimeoutError()
        if error is None or isinstance(error, SmtpRefusal):
            return
        line = self._line
        refusal = _refusal(line, error, self._uncertain, self._seconds)
        if refusal is None or refusal.code == NO_REPLY:
            line.abort()  # what comes late would be taken for the answer to something else
        if refusal is not None:
            raise refusal from error


def _refusal(line: SmtpConnection, error: BaseException, uncertain: bool, seconds: float) -> SmtpRefusal | None:
    """None for what is not the server's doing: a stop, a mistake of ours."""
    stage = line.stage
    if isinstance(error, SMTPResponseException) and error.code > 0:
        return SmtpRefusal(
            "greeting" if isinstance(error, aiosmtplib.SMTPConnectError) else stage, error.code, one_line(error.message)
        )
    if isinstance(error, TimeoutError):
        return SmtpRefusal(stage, NO_REPLY, f"no answer within {seconds:g} s", uncertain=uncertain)
    if (inner := _tls_error(error)) is not None:
        return SmtpRefusal("tls", NO_REPLY, inner)
    if isinstance(error, SMTPException | OSError):
        return SmtpRefusal(stage, NO_REPLY, _network_error(error), uncertain=uncertain)
    if isinstance(error, UnicodeError | ValueError):
        return (
            SmtpRefusal("recipient", 553, f"5.1.3 {one_line(str(error))}") if stage in ("sender", "recipient") else None
        )
    return None


def _network_error(error: Exception) -> str:
    inner = error.__cause__ if isinstance(error.__cause__, OSError) else error
    if isinstance(inner, OSError) and inner.errno is not None:
        description = os.strerror(inner.errno) if inner.errno > 0 else inner.strerror or ""
        return one_line(description[:1].lower() + description[1:])
    return one_line(error.message if isinstance(error, SMTPException) else str(error))


def _tls_error(error: BaseException) -> str | None:
    cause = error if isinstance(error, ssl.SSLError) else error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not to be trusted: {cause.verify_message}"
    if isinstance(cause, ssl.SSLError):
        return one_line((cause.reason or str(cause)).replace("_", " ").lower())
    return None


def _recipient_and_options(mail: OutgoingMail, smtp: aiosmtplib.SMTP) -> tuple[str, list[str]]:
    """The address as this server can read it, and the options of MAIL. Raises ValueError: it cannot be
    written, Refusal: not for this server."""
    options = []
    if smtp.supports_extension("size"):
        options.append(f"SIZE={len(mail.body)}")
    if smtp.supports_extension("8bitmime") and not mail.body.isascii():
        options.append("BODY=8BITMIME")
    local, at, domain = mail.address.rpartition("@")
    if not local or not at:
        raise ValueError("is not a mail address")
    if not domain.isascii():
        domain = domain.encode("idna").decode("ascii")
    if not local.isascii():
        if not smtp.supports_extension("smtputf8"):
            raise SmtpRefusal("recipient", 553, "5.6.7 it takes no addresses with letters other than English ones")
        options.append("SMTPUTF8")
    return f"{local}@{domain}", options


def tls_context(ca: object, verify: bool = True) -> ssl.SSLContext:
    """A context that believes the machine's authorities, or those in the file ``ca``. Raises OSError."""
    context = judge_alike(ssl.create_default_context(cafile=str(ca) if ca else None))
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def one_line(reply: str) -> str:
    """A stranger's words on one line, printable, not too long."""
    text = " ".join(reply.encode("utf-8", "replace").decode("utf-8").split())
    text = "".join(char if char.isprintable() else "?" for char in text)
    return text if len(text) <= MAX_REPLY_LENGTH else text[: MAX_REPLY_LENGTH - 3] + "..."
