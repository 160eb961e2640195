"""SNMP version 3 discovery (RFC 3414, section 4): which engine answers at an address. Needs no credential."""

import os

from agent.clients.net.datagram import DatagramRequest, DatagramTimeout
from agent.clients.snmp.ber import (
    GET,
    REPORT,
    MalformedMessage,
    encode_element,
    encode_integer,
    expect_element,
    read_element,
    read_integer,
)
from agent.failure import ProbeFailed
from agent.probe import Address

_SEQUENCE, _OCTETS = 0x30, 0x04
_REPORTABLE, _USER_BASED = 4, 3
_LARGEST = 65_507


async def engine_at(address: Address, port: int, seconds: float) -> bytes | None:
    """The engine's id, or None when nothing that speaks version 3 answers."""
    message_id = int.from_bytes(os.urandom(4), "big") & 0x7FFFFFFF
    request = DatagramRequest(
        address, port, discovery_request(message_id), lambda packet: _engine_id_in(packet, message_id)
    )
    try:
        return (await request.exchange(2, seconds)).message
    except (DatagramTimeout, ProbeFailed):
        return None


def discovery_request(message_id: int) -> bytes:
    """An empty GET for an engine not known yet; what answers has to report its own id."""
    head = (
        encode_integer(message_id)
        + encode_integer(_LARGEST)
        + encode_element(_OCTETS, bytes((_REPORTABLE,)))
        + encode_integer(_USER_BASED)
    )
    nobody = encode_element(_OCTETS, b"") + encode_integer(0) * 2 + encode_element(_OCTETS, b"") * 3
    get = encode_element(GET, encode_integer(message_id) + encode_integer(0) * 2 + encode_element(_SEQUENCE, b""))
    scoped = encode_element(_SEQUENCE, encode_element(_OCTETS, b"") * 2 + get)
    security = encode_element(_OCTETS, encode_element(_SEQUENCE, nobody))
    return encode_element(_SEQUENCE, encode_integer(3) + encode_element(_SEQUENCE, head) + security + scoped)


def is_version_3(packet: bytes) -> bool:
    """Whether these bytes begin like a message of version 3 that has come whole."""
    try:
        at, end = expect_element(packet, 0, _SEQUENCE, len(packet))
        version, at = read_integer(packet, at, end)
        _, at = expect_element(packet, at, _SEQUENCE, end)
        expect_element(packet, at, _OCTETS, end)
    except MalformedMessage:
        return False
    return version == 3


def _engine_id_in(packet: bytes, message_id: int) -> bytes | None:
    """The engine's id in a report that answers our question, or None."""
    try:
        at, end = expect_element(packet, 0, _SEQUENCE, len(packet))
        version, at = read_integer(packet, at, end)
        head, at = expect_element(packet, at, _SEQUENCE, end)
        answered, _ = read_integer(packet, head, at)
        security, at = expect_element(packet, at, _OCTETS, end)
        inner, _ = expect_element(packet, security, _SEQUENCE, at)
        start, stop = expect_element(packet, inner, _OCTETS, at)
        scoped, end = expect_element(packet, at, _SEQUENCE, end)
        _, after = expect_element(packet, scoped, _OCTETS, end)
        _, after = expect_element(packet, after, _OCTETS, end)
        pdu, _, _ = read_element(packet, after, end)
    except MalformedMessage:
        return None
    fits = (version, answered, pdu) == (3, message_id, REPORT) and 5 <= stop - start <= 32
    return packet[start:stop] if fits else None
