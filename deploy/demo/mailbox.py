"""A mail server on loopback that takes every mail and notes when it said yes: for the demo and end-to-end tests."""

import asyncio
import email
import email.policy
import warnings
from email.message import EmailMessage

import msgspec

from deploy.demo.estate import now_ms

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of a module that the library still imports and Python has said goodbye to
    from aiosmtpd.smtp import SMTP, Envelope, Session


class Arrival(msgspec.Struct, frozen=True):
    """A mail as it was accepted, at ``at`` (ms)."""

    at: int
    to: str
    mail: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.mail["Subject"])


class MailSink:
    """``arrivals``: in order. Listens at ``port`` once started."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, enable_SMTPUTF8=True, ident="demo"), "127.0.0.1", self.port
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """aiosmtpd's hook for a whole mail."""
        raw = envelope.content if isinstance(envelope.content, bytes) else str(envelope.content or "").encode()
        mail = email.message_from_bytes(raw, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.arrivals += [Arrival(now_ms(), to, mail) for to in envelope.rcpt_tos]
        return "250 taken"
