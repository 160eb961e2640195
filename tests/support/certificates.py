"""Certificates of the tests' own, and TLS servers on loopback that show them."""

import asyncio
import contextlib
import datetime
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
DAY = datetime.timedelta(days=1)
HOST = "127.0.0.1"


class Issued:
    """A certificate with its key. ``plain``: without the extensions that RFC 5280 asks of an authority."""

    def __init__(
        self, name: str, issuer: "Issued | None" = None, *, ca: bool = False, names: tuple[str, ...] = ("localhost",),
        ends: datetime.datetime = NOW + 90 * DAY, begins: datetime.datetime = NOW - 2 * DAY, key: Any = None,
        extensions: tuple[x509.ExtensionType, ...] = (), plain: bool = True,
    ) -> None:  # fmt: skip
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(issuer.x509.subject if issuer else subject, subject, self.key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        if names and not ca:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(x509.DNSName, names))), False)
        if not plain:
            signer = issuer.key if issuer else self.key
            identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
            builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
            builder = builder.add_extension(identifier, False)
            if ca:
                usage = dict.fromkeys(
                    ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
                     "key_agreement", "encipher_only", "decipher_only"), False)  # fmt: skip
                builder = builder.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), True)
        for extension in extensions:
            builder = builder.add_extension(extension, False)
        self.x509 = builder.sign(issuer.key if issuer else self.key, hashes.SHA256())
        self.pem = self.x509.public_bytes(serialization.Encoding.PEM)
        self.key_pem = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def server_context(folder: Path, *chain: Issued, **settings: Any) -> ssl.SSLContext:
    file = folder / f"{chain[0].x509.serial_number}.pem"
    file.write_bytes(chain[0].key_pem + b"".join(certificate.pem for certificate in chain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    for name, value in settings.items():
        setattr(context, name, value)
    return context


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


@contextlib.asynccontextmanager
async def serving(talk: Talk, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ssl.SSLError, asyncio.IncompleteReadError):
            await talk(reader, writer)
            await writer.drain()
            writer.close()

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # refused handshakes are the point
    server = await asyncio.start_server(handle, HOST, 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@contextlib.contextmanager
def refusing(context: ssl.SSLContext) -> Iterator[int]:
    """A server whose handshakes fail, in threads: asyncio's closes without the alert that says why."""
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                client.settimeout(2)
                with contextlib.suppress(OSError), client, contextlib.suppress(ssl.SSLError):
                    context.wrap_socket(
                        client, server_side=True, suppress_ragged_eofs=False, do_handshake_on_connect=True
                    )

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
