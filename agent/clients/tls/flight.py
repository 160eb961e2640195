"""Read a TLS 1.2 server's first flight, which is sent in clear: its certificates and a stapled OCSP response.

Python's ssl module neither asks for a stapled response nor gives one out. Up to TLS 1.2 the server's first flight is
not encrypted (RFC 5246, 7.3), so a ClientHello with ``status_request`` (RFC 6066, 8) and a small parser see it. The
handshake is never completed, and nothing here is proof of anything: the response is signed, and judged elsewhere.
A server that speaks only TLS 1.3 refuses, in an alert; ``flight13`` is for that.
"""

import os
import struct
from typing import Final

import msgspec

from agent.clients.net.resolve import address_literal
from agent.clients.net.stream import TcpStream
from agent.failure import ProbeFailed

MAX_FLIGHT: Final = 262_144  # bytes

MAX_RECORD: Final = (1 << 14) + 256  # bytes, encrypted ones included (RFC 8446, 5.2)

ALERT, HANDSHAKE = 21, 22  # types of record
SERVER_HELLO, CERTIFICATE, _STATUS = 2, 11, 22  # types of message

_SUITES: Final = (
    0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8,  # ECDHE with GCM or ChaCha20
    0xC023, 0xC027, 0xC009, 0xC013, 0xC00A, 0xC014,  # ECDHE with CBC
    0x009E, 0x009F, 0x0033, 0x0039,  # DHE
    0x009C, 0x009D, 0x003C, 0x002F, 0x0035,  # RSA
    0x00FF,  # secure renegotiation is understood
)  # fmt: skip
_GROUPS: Final = (0x001D, 0x0017, 0x0018, 0x0019)  # x25519, P-256, P-384, P-521
_SIGNATURES: Final = (0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0201)


class Flight(msgspec.Struct, frozen=True):
    """``chain``: certificates as sent, leaf first, DER. ``staple``: an OCSPResponse in DER, or None."""

    chain: tuple[bytes, ...]
    staple: bytes | None


def client_hello(server_name: str, suites: tuple[int, ...] = _SUITES, extra_extensions: bytes = b"") -> bytes:
    """A ClientHello, framed, that asks for a stapled response; of TLS 1.2, unless ``more`` extensions say otherwise."""
    name = server_name.encode("ascii")
    extensions = b"".join(
        (
            b"" if address_literal(server_name) else extension(0, vector(2, b"\x00" + vector(2, name))),
            extension(5, b"\x01\x00\x00\x00\x00"),  # status_request: OCSP, any responder, no extensions
            extension(10, vector(2, uint16_list(_GROUPS))),
            extension(11, b"\x01\x00"),  # uncompressed points
            extension(13, vector(2, uint16_list(_SIGNATURES))),
            extra_extensions,
        )
    )
    body = b"\x03\x03" + os.urandom(32) + b"\x00" + vector(2, uint16_list(suites)) + b"\x01\x00" + vector(2, extensions)
    hello = b"\x01" + vector(3, body)
    return b"\x16\x03\x01" + vector(2, hello)


def vector(width: int, data: bytes) -> bytes:
    return len(data).to_bytes(width, "big") + data


def uint16_list(values: tuple[int, ...]) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


def extension(number: int, data: bytes) -> bytes:
    return number.to_bytes(2, "big") + vector(2, data)


async def fetch_flight(stream: TcpStream, hello: bytes, parser: "FlightParser") -> Flight | None:
    """Ask on a fresh connection; None when the server does not show its certificates this way, for any reason."""
    try:
        await stream.send(hello)
        while not parser.done:
            data = await stream.receive()
            if not data:
                break
            parser.feed(data)
    except ProbeFailed:
        pass  # a reset after the flight takes nothing away from it
    return parser.flight


class FlightParser:
    """Records in, a flight out. Ends quietly at the first thing that does not belong.

    ``refused``: the server answered with an alert.
    """

    def __init__(self) -> None:
        self.done = self.refused = False
        self._chain: tuple[bytes, ...] = ()
        self._staple: bytes | None = None
        self._records = bytearray()
        self._messages = bytearray()
        self._size = 0

    @property
    def flight(self) -> Flight | None:
        return Flight(self._chain, self._staple) if self._chain else None

    def feed(self, data: bytes) -> None:
        self._size += len(data)
        self._records += data
        while not self.done and len(self._records) >= 5:
            kind, length = self._records[0], int.from_bytes(self._records[3:5], "big")
            if self._records[1] != 3 or not length or length > MAX_RECORD:
                self.done = True
            elif len(self._records) < 5 + length:
                break
            else:
                header, body = bytes(self._records[:5]), bytes(self._records[5 : 5 + length])
                del self._records[: 5 + length]
                self._handle_record(kind, header, body)
        self.done = self.done or self._size > MAX_FLIGHT

    def _handle_record(self, kind: int, header: bytes, body: bytes) -> None:
        if kind == HANDSHAKE:
            self._handle_handshake(body)
        else:
            self.refused = kind == ALERT
            self.done = True

    def _handle_handshake(self, data: bytes) -> None:
        """Messages may be spread over records, and share one."""
        self._messages += data
        while not self.done and len(self._messages) >= 4:
            length = int.from_bytes(self._messages[1:4], "big")
            if length > MAX_FLIGHT:
                self.done = True
            elif len(self._messages) < 4 + length:
                return
            else:
                kind, body = self._messages[0], bytes(self._messages[4 : 4 + length])
                del self._messages[: 4 + length]
                self._handle_message(kind, body)

    def _handle_message(self, kind: int, body: bytes) -> None:
        if kind == CERTIFICATE and not self._chain:
            self._chain = parse_certificates(body)
            self.done = not self._chain
        elif kind == _STATUS and self._chain:
            self._staple = parse_certificate_status(body)
            self.done = True
        elif kind != SERVER_HELLO or self._chain:
            self.done = True  # the key exchange follows: no staple came; or it is nothing that belongs here


def parse_certificate_status(body: bytes) -> bytes | None:
    """The OCSPResponse of a CertificateStatus, or None when it is of another type or its length does not fit."""
    return body[4:] if body[:1] == b"\x01" and len(body) - 4 == int.from_bytes(body[1:4], "big") else None


def parse_certificates(body: bytes) -> tuple[bytes, ...]:
    """The certificate list of a TLS 1.2 Certificate message; () when its lengths do not fit."""
    if len(body) < 3 or int.from_bytes(body[:3], "big") != len(body) - 3:
        return ()
    chain, at = [], 3
    while at < len(body):
        end = at + 3 + int.from_bytes(body[at : at + 3], "big")
        if end > len(body) or end == at + 3:
            return ()
        chain.append(body[at + 3 : end])
        at = end
    return tuple(chain)
