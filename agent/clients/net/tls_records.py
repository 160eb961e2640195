"""What a TLS server says in clear before it encrypts: up to version 1.2 its certificates, and whether it wants ours.

OpenSSL tells neither once the handshake has failed (RFC 5246, sections 6.2.1 and 7.4).
"""

import ssl
from typing import Final

import msgspec

MAX_FLIGHT: Final = 131_072  # bytes of a handshake that are kept to be read
_HANDSHAKE_RECORD: Final = 22
_CERTIFICATE, _CERTIFICATE_REQUEST = 11, 13


class ClientCertificateWanted(ssl.SSLError):
    """The handshake failed after the server asked for a certificate of ours. ``chain``: its own, leaf first, DER."""

    def __init__(self, error: ssl.SSLError, chain: tuple[bytes, ...]) -> None:
        super().__init__(*error.args)
        self.chain = chain


class ServerFlight(msgspec.Struct, frozen=True):
    """``chain``: the certificates sent in clear, leaf first, as DER."""

    chain: tuple[bytes, ...] = ()
    wants_certificate: bool = False


def read_flight(data: bytes) -> ServerFlight:
    """From the bytes that a server has sent so far; what is not whole or not in clear is left out."""
    chain: tuple[bytes, ...] = ()
    wants = False
    messages, at = _handshake_bytes(data), 0
    while at + 4 <= len(messages):
        end = at + 4 + int.from_bytes(messages[at + 1 : at + 4], "big")
        if end > len(messages):
            break
        if messages[at] == _CERTIFICATE:
            chain = _certificates(messages[at + 4 : end])
        wants = wants or messages[at] == _CERTIFICATE_REQUEST
        at = end
    return ServerFlight(chain, wants)


def _handshake_bytes(data: bytes) -> bytes:
    messages, at = b"", 0
    while at + 5 <= len(data) and data[at] == _HANDSHAKE_RECORD:
        end = at + 5 + int.from_bytes(data[at + 3 : at + 5], "big")
        messages += data[at + 5 : end]
        at = end
    return messages


def _certificates(body: bytes) -> tuple[bytes, ...]:
    found, at = [], 3
    while at + 3 <= len(body):
        end = at + 3 + int.from_bytes(body[at : at + 3], "big")
        if end > len(body):
            break
        found.append(body[at + 3 : end])
        at = end
    return tuple(found)
