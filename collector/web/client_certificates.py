"""RemoteClient certificates of the agents' connections, looked up once a connection."""

import ssl
from asyncio import BaseTransport
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from inventory.base.trust import NO_CHECK_TIME


class Peer(msgspec.Struct, frozen=True):
    """An agent's certificate, chain verified at the handshake."""

    agent: str
    serial: int
    not_after: int  # ms since the epoch


class Peers:
    """Certificates by connection. Dates and revocation are not judged here: they may change while it lasts."""

    def __init__(self) -> None:
        self._by_connection: WeakKeyDictionary[BaseTransport, Peer | None] = WeakKeyDictionary()

    def of(self, transport: BaseTransport | None) -> Peer | None:
        """The peer of this connection, None without a certificate (or when the connection is gone)."""
        if transport is None:
            return None
        try:
            return self._by_connection[transport]
        except KeyError:
            peer = self._by_connection[transport] = _peer(transport.get_extra_info("peercert"))
            return peer


def _peer(certificate: dict[str, Any] | None) -> Peer | None:
    """From what ssl.SSLSocket.getpeercert() gives: empty without a certificate."""
    if not certificate:
        return None
    names = [value for part in certificate["subject"] for key, value in part if key == "commonName"]
    if len(names) != 1:
        return None
    not_after = int(ssl.cert_time_to_seconds(certificate["notAfter"]) * 1000)
    return Peer(names[0], int(certificate["serialNumber"], 16), not_after)


def tls_context(authorities_pem: str, certificate: Path, key: Path) -> ssl.SSLContext:
    """The agents' listener's TLS: 1.2 or later, a client certificate of a CA trusted here or none, no dates checked.

    An expired certificate has to get through to be renewed, and a collector's clock that is wrong must not lock
    every agent out; the listener judges dates itself.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=authorities_pem)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= NO_CHECK_TIME
    context.num_tickets = 0  # agents keep their connection; a ticket would carry the whole certificate back and forth
    return context
