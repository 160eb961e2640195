"""Mail servers: Debian's dovecot on loopback, a relay that delivers, scripted servers, certificates with faults."""

import asyncio
import contextlib
import datetime
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent import probes
from agent.credentials import Credentials
from agent.probe import Limits, Outcome, ProbeContext
from deploy.programs import free_port
from inventory.base.types import Secret

PASSWORD = 'Canary-7 "\\ pass'  # what no reason, measure or log may show
USER = "robot"
NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
DOVECOT = "/usr/sbin/dovecot"

ConnectionHandler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class IssuedCertificate:
    """A key and a certificate, on disk as ``file`` (both) and ``root`` (the certificate to trust)."""

    def __init__(
        self,
        directory: Path,
        host: str = "127.0.0.1",
        begins: datetime.datetime = NOW - 2 * DAY,
        ends: datetime.datetime = NOW + 90 * DAY,
        trusted: bool = True,
    ) -> None:
        authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root = _sign(
            authority, "Mail Test Root", "Mail Test Root", authority, NOW + 900 * DAY, NOW - 900 * DAY, ca=True
        )
        leaf = _sign(key, "mail.example", "Mail Test Root", authority, ends, begins, host=host)
        other = ec.generate_private_key(ec.SECP256R1())
        trust = root if trusted else _sign(other, "Other", "Other", other, NOW + DAY, NOW - DAY, ca=True)
        pem = serialization.Encoding.PEM
        secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.ends = leaf.not_valid_after_utc.timestamp()
        self.file, self.root = directory / "server.pem", directory / "root.pem"
        self.file.write_bytes(secret + leaf.public_bytes(pem))
        self.root.write_bytes(trust.public_bytes(pem))

    def context(self) -> ssl.SSLContext:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self.file)
        return tls


def _sign(
    key: ec.EllipticCurvePrivateKey,
    name: str,
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    ends: datetime.datetime,
    begins: datetime.datetime,
    host: str = "",
    ca: bool = False,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if host:
        address = x509.IPAddress(ipaddress.ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(signer, hashes.SHA256())


@contextlib.asynccontextmanager
async def tcp_server(
    talk: ConnectionHandler, context: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[int]:
    """A listener on loopback that runs ``talk`` for each connection; its port."""
    connections: set[asyncio.Task[None]] = set()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await talk(reader, writer)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            pass  # the probe has left
        finally:
            connections.discard(task)
            writer.close()

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # refused handshakes are the point
    server = await asyncio.start_server(one, "127.0.0.1", port, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the loop's next turn


def scripted(*steps: bytes | tuple[bytes, bytes] | ssl.SSLContext) -> ConnectionHandler:
    """A server that says bytes, waits for a line that begins with the first of a pair and answers with the second
    (TAG stands for the command's tag), and begins TLS."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for step in steps:
            if isinstance(step, ssl.SSLContext):
                await writer.start_tls(step)
                continue
            response = step
            if isinstance(step, tuple):
                line = await reader.readline()
                expected, response = step
                if expected not in line:
                    return  # the probe says something else: the test's own expectation fails
                response = response.replace(b"TAG", line.split()[0] if line.split() else b"")
            writer.write(response)
            await writer.drain()
        await reader.read()

    return talk


async def run_probe(
    kind: str,
    timeout: float = 3.0,
    limits: Limits | None = None,
    password: str = PASSWORD,
    extra: dict[str, str] | None = None,
    **params: Any,
) -> Outcome:
    """One look, with the robot's credential as an agent's file gives it."""
    named = {"robot": {"user": Secret(USER), "password": Secret(password), **(extra or {})}, "half": {"user": "x"}}
    clients: dict[type[Any], Any] = {}
    try:
        probe = probes.build(kind, params)
        return await probe.run(ProbeContext(timeout, limits or Limits(), clients, Credentials(named)))
    finally:
        for client in clients.values():
            await client.close()


class DeliveringRelay:
    """The server behind dovecot's submission: takes every mail and delivers it into the robot's Maildir.

    ``delay``: seconds until it is there. ``refuse``: a reply to RCPT instead of yes. ``lose``: say yes, deliver
    nothing. ``delivered``: set after each delivery.
    """

    def __init__(self, new: Path) -> None:
        self.new = new
        self.delay = 0.0
        self.refuse = b""
        self.lose = False
        self.delivered = asyncio.Event()
        self.mails: list[bytes] = []
        self._late: set[asyncio.Task[None]] = set()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 relay.example ESMTP\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                mail = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append(mail)
                if not self.lose:
                    late = asyncio.create_task(self._deliver(mail[:-3].replace(b"\r\n..", b"\r\n.")))
                    self._late.add(late)
                    late.add_done_callback(self._late.discard)
                writer.write(b"250 2.0.0 queued as 4F1\r\n")
            elif verb == b"RCPT" and self.refuse:
                writer.write(self.refuse)
            elif verb == b"QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 relay.example\r\n")
            await writer.drain()

    async def _deliver(self, mail: bytes) -> None:
        if self.delay:
            await asyncio.sleep(self.delay)
        deliver_to(self.new, mail)
        self.delivered.set()


def deliver_to(new: Path, mail: bytes) -> None:
    """Into a Maildir, as a delivery agent does it."""
    name = f"{time.time_ns()}.{os.urandom(4).hex()}.test"
    written = new.parent / "tmp" / name
    written.write_bytes(mail)
    written.chmod(0o644)
    written.rename(new / name)


class Dovecot:
    """Debian's dovecot with IMAP, IMAPS and submission on free ports, with a private configuration, unprivileged."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.imap, self.imaps, self.submission, self.relay = (free_port() for _ in range(4))
        self.certificate = IssuedCertificate(directory)
        self.maildir = directory / "mail" / USER
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        root = os.geteuid() == 0
        user = "nobody" if root else str(os.geteuid())
        (self.directory / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}::::::\n", "utf-8")
        for name in ("new", "cur", "tmp"):
            (self.maildir / name).mkdir(parents=True)
        (self.directory / "dovecot.conf").write_text(self._configuration(), "utf-8")
        if root:
            for path in (self.directory, *self.directory.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")
        who: dict[str, Any] = {"user": user, "group": "nogroup", "extra_groups": []} if root else {}
        self._process = subprocess.Popen([DOVECOT, "-F", "-c", str(self.directory / "dovecot.conf")], **who)
        deadline = time.monotonic() + 20
        for port in (self.imap, self.imaps, self.submission):
            while True:
                assert self._process.poll() is None, self.log()
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, self.log()
                    time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)

    def log(self) -> str:
        file = self.directory / "log"
        return file.read_text("utf-8", "replace") if file.exists() else ""

    def mails(self) -> list[bytes]:
        """What is in the mailbox."""
        files = [*(self.maildir / "new").iterdir(), *(self.maildir / "cur").iterdir()]
        return [file.read_bytes() for file in files]

    def clear_mailbox(self) -> None:
        for folder in ("new", "cur"):
            for file in (self.maildir / folder).iterdir():
                file.unlink()

    def _configuration(self) -> str:
        here = self.directory
        me = "nobody" if os.geteuid() == 0 else _name_of(os.geteuid())
        group = "nogroup" if os.geteuid() == 0 else str(os.getegid())
        return f"""
protocols = imap submission
listen = 127.0.0.1
base_dir = {here}/run
state_dir = {here}/state
log_path = {here}/log
default_internal_user = {me}
default_internal_group = {group}
default_login_user = {me}
first_valid_uid = 1
ssl = yes
ssl_cert = <{self.certificate.file}
ssl_key = <{self.certificate.file}
auth_mechanisms = plain login
auth_failure_delay = 0
mail_location = maildir:{here}/mail/%u
mail_home = {here}/home/%u
submission_relay_host = 127.0.0.1
submission_relay_port = {self.relay}
submission_relay_ssl = no
hostname = mail.example
passdb {{
  driver = passwd-file
  args = {here}/users
}}
userdb {{
  driver = static
  args = uid={me} gid={group}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.imap}
  }}
  inet_listener imaps {{
    port = {self.imaps}
  }}
}}
service submission-login {{
  chroot =
  inet_listener submission {{
    port = {self.submission}
  }}
}}
"""


def _name_of(uid: int) -> str:
    import pwd

    return pwd.getpwuid(uid).pw_name


def running_dovecot() -> Iterator[Dovecot]:
    """For a fixture: started, and stopped by its pid at the end."""
    if not Path(DOVECOT).exists():
        pytest.skip("needs dovecot-imapd and dovecot-submissiond")
    for last in (False, False, True):
        # not below pytest's folder, which an unprivileged server cannot enter
        with tempfile.TemporaryDirectory(prefix="haidang-dovecot-") as name:
            Path(name).chmod(0o755)
            dovecot = Dovecot(Path(name))
            try:
                try:
                    dovecot.start()
                except AssertionError:
                    if last or "in use" not in dovecot.log():
                        raise
                    continue  # somebody took a port between the choice and the start
                yield dovecot
                return
            finally:
                dovecot.stop()
