"""ICMP echo requests, replies and errors as bytes (RFC 792, RFC 4443)."""

import struct
from collections.abc import Sequence
from typing import Final

from inventory.protocol.reasons import sentence

TOKEN_SIZE: Final = 8  # bytes at the start of the payload by which a reply is known to be ours
_HEADER: Final = struct.Struct("!BBHHH")
_NUMBERS: Final = struct.Struct("!HH")
REQUEST: Final = {4: 8, 6: 128}
REPLY: Final = {4: 0, 6: 129}
ERRORS: Final = {4: (3, 11, 12), 6: (1, 2, 3, 4)}
_ICMP: Final = {4: 1, 6: 58}  # protocol numbers

_ERROR_TEXTS: Final = {
    (4, 3, 0): sentence("there is no route to its network"),
    (4, 3, 1): sentence("nobody answers for that address on its own network"),
    (4, 3, 2): sentence("the host does not speak ICMP"),
    (4, 3, 3): sentence("no such port"),
    (4, 3, 4): sentence("the packet is too large for a link on the way"),
    (4, 3, 9): sentence("its network is closed by its administrator"),
    (4, 3, 10): sentence("the host is closed by its administrator"),
    (4, 3, 13): sentence("a firewall refuses the packets"),
    (4, 11, 0): sentence("the packet passed too many routers (a routing loop?)"),
    (4, 11, 1): sentence("pieces of the packet were lost on the way"),
    (6, 1, 0): sentence("there is no route to it"),
    (6, 1, 1): sentence("a firewall refuses the packets"),
    (6, 1, 2): sentence("it is beyond the scope of our address"),
    (6, 1, 3): sentence("nobody answers for that address on its own network"),
    (6, 1, 4): sentence("no such port"),
    (6, 1, 5): sentence("our address is refused by policy"),
    (6, 1, 6): sentence("the route to it rejects packets"),
    (6, 2, 0): sentence("the packet is too large for a link on the way"),
    (6, 3, 0): sentence("the packet passed too many routers (a routing loop?)"),
    (6, 3, 1): sentence("pieces of the packet were lost on the way"),
}


def error_text(version: int, kind: int, code: int) -> str:
    """What an ICMP error means."""
    return _ERROR_TEXTS.get((version, kind, code)) or sentence(
        "it cannot be delivered (ICMP type {kind}, code {code})", kind=kind, code=code
    )


def checksum(data: bytes) -> int:
    """RFC 1071 for data that is not all zero: a ones' complement sum of 16-bit words is the number modulo 65535."""
    if len(data) % 2:
        data += b"\0"
    return 0xFFFF - (int.from_bytes(data, "big") % 0xFFFF or 0xFFFF)


def echo_request(version: int, identifier: int, sequence: int, payload: bytes) -> bytes:
    """An echo request. For IPv6 the kernel fills in the checksum: it covers the addresses."""
    kind = REQUEST[version]
    body = _HEADER.pack(kind, 0, 0, identifier, sequence) + payload
    if version == 6:
        return body
    return _HEADER.pack(kind, 0, checksum(body), identifier, sequence) + payload


def icmp_offset(version: int, packet: Sequence[int]) -> int:
    """Where a packet's ICMP message starts: behind its IPv4 header, or its IPv6 header without extensions.

    0 when it is no such packet.
    """
    if version == 4:
        start = (packet[0] & 0x0F) * 4 if len(packet) >= 20 else 0
        return start if start >= 20 and packet[9] == _ICMP[4] else 0
    return 40 if len(packet) >= 40 and packet[6] == _ICMP[6] else 0


def identifier_and_sequence(message: bytes | bytearray | memoryview, at: int = 0) -> tuple[int, int]:
    """(identifier, sequence) of the echo message that starts at ``at``, which is at least 8 bytes long."""
    pair: tuple[int, int] = _NUMBERS.unpack_from(message, at + 4)
    return pair


def request_in_error(version: int, message: memoryview) -> tuple[bytes, int, int] | None:
    """(destination, identifier, sequence) of the echo request that an ICMP error is about; None: another packet's."""
    packet = message[8:]
    start = icmp_offset(version, packet)
    if not start or len(packet) < start + 8 or packet[start] != REQUEST[version]:
        return None
    destination = bytes(packet[16:20] if version == 4 else packet[24:40])
    return (destination, *identifier_and_sequence(packet, start))
