"""An SMTP relay (aiosmtpd) with faults on demand, and a sender on a fake clock in front of it."""

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from alerts.channels.config import ChannelSettings, RelaySettings
from alerts.channels.health import DeliveryStats
from alerts.channels.notification_log import NotificationLog
from alerts.channels.sender import MailSender
from inventory.base.types import Secret
from tests.support.clock import FakeClock
from tests.support.mail_servers import IssuedCertificate
from tests.support.outboxes import MemoryOutbox

USER, PASSWORD = "haidang", "một mật khẩu"
HANG, DROP = "hang", "drop"


class FakeRelay:
    """A relay on loopback. ``faults``: by stage (connect, EHLO, MAIL, RCPT, DATA, after) a reply instead of the usual,
    HANG, DROP, or a list of such, one a time (None: the usual). ``taken``: (sender, recipients, text) of every mail
    that was answered 250 or, with after: DROP, was taken without the answer getting out.
    """

    def __init__(self, certificate: IssuedCertificate | None = None, *, tls: bool = False, login: bool = False) -> None:
        self.faults: dict[str, Any] = {}
        self.accepted: list[tuple[str, list[str], bytes]] = []
        self.mail_arrived = asyncio.Event()  # set with each mail
        self.connections = 0
        self.stages: list[str] = []  # that were met
        self.on_stage: Callable[[str], None] = lambda stage: None  # told of each stage
        self.port = 0
        self._certificate = certificate
        self._tls = tls
        self._login = login
        self._server: asyncio.Server | None = None
        self._open: set[_Conversation] = set()

    @property
    def idents(self) -> list[str]:
        """Of what was taken, by its Subject."""
        return [
            next(line[9:] for line in text.decode().splitlines() if line.startswith("Subject: "))
            for _, _, text in self.accepted
        ]

    def relay(self, **fields: Any) -> RelaySettings:
        plain = {"host": "127.0.0.1", "port": self.port, "tls": "none", "timeout": 2_000}
        if self._certificate is not None:
            plain |= {"tls": "tls" if self._tls else "starttls", "ca": self._certificate.root}
        if self._login:
            plain |= {"user": USER, "password": Secret(PASSWORD)}
        return RelaySettings(**{**plain, **fields})

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        context = self._certificate.context() if self._certificate is not None else None
        self._server = await loop.create_server(
            lambda: _Conversation(self, None if self._tls else context, self._login),
            "127.0.0.1",
            self.port,
            ssl=context if self._tls else None,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """As when its machine dies: what is open breaks off."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for talk in list(self._open):
            talk.abort()
        await asyncio.sleep(0.01)

    def fault(self, stage: str) -> str | None:
        self.stages.append(stage)
        self.on_stage(stage)
        reply = self.faults.get(stage)
        if isinstance(reply, list):
            reply = reply.pop(0) if reply else None
        return reply

    # -- aiosmtpd's hooks

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        fault = await self._apply_fault("EHLO", server)
        return [fault] if fault else responses

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        fault = await self._apply_fault("MAIL", server)
        if fault:
            return fault
        envelope.mail_from = address
        return "250 2.1.0 fine"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        fault = await self._apply_fault("RCPT", server)
        if fault:
            return fault
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        fault = await self._apply_fault("DATA", server)
        if fault:
            return fault
        content = envelope.content
        assert isinstance(content, bytes)
        self.accepted.append((envelope.mail_from or "", list(envelope.rcpt_tos), content))
        self.mail_arrived.set()
        return "250 2.0.0 queued as 4F1"

    async def _apply_fault(self, stage: str, server: SMTP) -> str | None:
        fault = self.fault(stage)
        if fault == HANG:
            await asyncio.sleep(3600)
        if fault == DROP:
            assert server.transport is not None
            server.transport.abort()
            await asyncio.sleep(3600)
        return fault


class _Conversation(SMTP):
    def __init__(self, owner: FakeRelay, context: ssl.SSLContext | None, login: bool) -> None:
        with warnings.catch_warnings():
            # its auth_require_tls knows STARTTLS alone, so that TLS from the first byte looks like none to it
            warnings.filterwarnings("ignore", "Requiring AUTH while not requiring TLS")
            super().__init__(
                owner,
                hostname="relay.example",
                tls_context=context,
                auth_require_tls=not owner._tls,
                auth_required=login,
                authenticator=_authenticate if login else None,
                enable_SMTPUTF8=True,
                loop=asyncio.get_running_loop(),
            )
        self.owner = owner

    def connection_made(self, transport: Any) -> None:
        if self._over_ssl or self.session is not None:
            super().connection_made(transport)  # after STARTTLS
            return
        self.owner.connections += 1
        self.owner._open.add(self)
        fault = self.owner.fault("connect")
        if fault is None:
            super().connection_made(transport)
        elif fault == DROP:
            transport.abort()
        elif fault == HANG:
            self.transport = transport
        else:
            transport.write(fault.encode() + b"\r\n")
            transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        self.owner._open.discard(self)
        if self.session is not None:
            super().connection_lost(error)

    async def push(self, status: Any) -> None:
        text = status if isinstance(status, str) else status.decode()
        if text.startswith("250 2.0.0 queued"):
            fault = self.owner.fault("after")
            if fault is not None:
                if fault != DROP:
                    await super().push(status)  # the answer goes out, then it breaks off
                assert self.transport is not None
                self.transport.abort() if fault == DROP else self.transport.close()
                return
        await super().push(status)

    def abort(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.abort()


def _authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    fine = isinstance(data, LoginPassword) and data == LoginPassword(USER.encode(), PASSWORD.encode())
    return AuthResult(success=fine, handled=False)


@contextlib.asynccontextmanager
async def relays_running(*servers: FakeRelay) -> AsyncIterator[None]:
    for server in servers:
        await server.start()
    try:
        yield
    finally:
        for server in servers:
            await server.stop()


class SenderWorld:
    """A sender on a clock of its own; ``wait`` lets time pass, then sends until nothing is due."""

    def __init__(self, directory: Path, *relays: RelaySettings, **ways: Any) -> None:
        self.clock = FakeClock(wall=1_000_000, boot=50_000)
        self.directory = directory
        self.ways = ChannelSettings(from_="haidang@province.example", relays=relays, **ways)
        self.outbox = MemoryOutbox()
        self.start()

    def start(self) -> None:
        """Or again, as after a kill: what was in memory is gone."""
        self.counts = DeliveryStats()
        self.sender = MailSender(
            self.ways,
            self.outbox,
            NotificationLog(self.directory / "journal"),
            self.counts,
            now=self.clock.wall_ms,
            monotonic=self.clock.seconds,
        )

    async def send(self) -> float:
        """Until nothing more can be done now; seconds until there may be."""
        for _ in range(1000):
            wait = await self.sender.run_once()
            if wait > 0:
                return wait
        raise AssertionError("it does not come to rest")

    async def advance(self, seconds: float) -> float:
        self.clock.advance(seconds=seconds)
        return await self.send()

    async def close(self) -> None:
        for line in self.sender.connections:
            await line.close()
        self.sender.notification_log.close()
