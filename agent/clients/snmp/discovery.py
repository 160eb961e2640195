"""Version 3's first question (RFC 3414, section 4): which SNMP engine answers at an address. Needs no credential."""

import os

from agent.clients.net.datagram import NoAnswer, Question
from agent.clients.snmp.ber import GET, REPORT, Garbled, element, integer, number, span, wrapped
from agent.failure import Trouble
from agent.probe import Address

_SEQUENCE, _OCTETS = 0x30, 0x04
_REPORTABLE, _USER_BASED = 4, 3
_LARGEST = 65_507


async def engine_at(address: Address, port: int, seconds: float) -> bytes | None:
    """The engine's id, or None when nothing that speaks version 3 answers."""
    message_id = int.from_bytes(os.urandom(4), "big") & 0x7FFFFFFF
    request = Question(address, port, question(message_id), lambda packet: _engine_in(packet, message_id))
    try:
        return (await request.ask(2, seconds)).message
    except (NoAnswer, Trouble):
        return None


def question(message_id: int) -> bytes:
    """An empty GET for an engine not known yet; what answers has to report its own id."""
    head = integer(message_id) + integer(_LARGEST) + wrapped(_OCTETS, bytes((_REPORTABLE,))) + integer(_USER_BASED)
    nobody = wrapped(_OCTETS, b"") + integer(0) * 2 + wrapped(_OCTETS, b"") * 3
    get = wrapped(GET, integer(message_id) + integer(0) * 2 + wrapped(_SEQUENCE, b""))
    scoped = wrapped(_SEQUENCE, wrapped(_OCTETS, b"") * 2 + get)
    security = wrapped(_OCTETS, wrapped(_SEQUENCE, nobody))
    return wrapped(_SEQUENCE, integer(3) + wrapped(_SEQUENCE, head) + security + scoped)


def is_version_3(packet: bytes) -> bool:
    """Whether these bytes begin like a message of version 3 that has come whole."""
    try:
        at, end = span(packet, 0, _SEQUENCE, len(packet))
        version, at = number(packet, at, end)
        _, at = span(packet, at, _SEQUENCE, end)
        span(packet, at, _OCTETS, end)
    except Garbled:
        return False
    return version == 3


def _engine_in(packet: bytes, message_id: int) -> bytes | None:
    """The engine's id in a report that answers our question, or None."""
    try:
        at, end = span(packet, 0, _SEQUENCE, len(packet))
        version, at = number(packet, at, end)
        head, at = span(packet, at, _SEQUENCE, end)
        answered, _ = number(packet, head, at)
        security, at = span(packet, at, _OCTETS, end)
        inner, _ = span(packet, security, _SEQUENCE, at)
        start, stop = span(packet, inner, _OCTETS, at)
        scoped, end = span(packet, at, _SEQUENCE, end)
        _, after = span(packet, scoped, _OCTETS, end)
        _, after = span(packet, after, _OCTETS, end)
        pdu, _, _ = element(packet, after, end)
    except Garbled:
        return None
    fits = (version, answered, pdu) == (3, message_id, REPORT) and 5 <= stop - start <= 32
    return packet[start:stop] if fits else None
