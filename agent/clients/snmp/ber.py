"""Encode and decode the part of BER that SNMP uses: object identifiers, values, messages of versions 1 and 2c.

Outside this package an object identifier is dotted text; inside, it is its encoded bytes, so that an answer's are
compared with the question's without decoding either.
"""

import socket
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

from inventory.protocol.reasons import sentence

Value = int | float | bytes | str  # str: an object identifier or an IPv4 address

GET, GETNEXT, RESPONSE, GETBULK, REPORT = 0xA0, 0xA1, 0xA2, 0xA5, 0xA8
MOST_SUBIDS: Final = 128  # RFC 3416, section 4.1
_SEQUENCE, _INTEGER, _OCTETS, _NULL, _OID = 0x30, 0x02, 0x04, 0x05, 0x06
_ADDRESS, _OPAQUE, _COUNTER64 = 0x40, 0x44, 0x46
_UNSIGNED: Final = frozenset((0x41, 0x42, 0x43, 0x47))  # Counter32, Gauge32, TimeTicks, UInteger32
_OPAQUE_FLOATS: Final = {b"\x9f\x78\x04": ">f", b"\x9f\x79\x08": ">d"}
END_OF_MIB: Final = sentence(
    "end of the MIB"
)  # the value of a GETNEXT past the last object; no object has this as its value


class MalformedMessage(Exception):
    """These bytes are not what they ought to be."""


class SnmpMessage(msgspec.Struct, gc=False):
    """A message of version 1 (0) or 2c (1). ``varbinds``: (encoded identifier, value); None: no such object."""

    version: int
    community: bytes
    pdu: int
    request_id: int
    status: int
    index: int
    varbinds: list[tuple[bytes, Value | None]]


def encode_length(size: int) -> bytes:
    if size < 0x80:
        return bytes((size,))
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets


def encode_element(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + encode_length(len(content)) + content


def encode_integer(number: int) -> bytes:
    return encode_element(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


@lru_cache(maxsize=16_384)
def encode_oid(oid: str) -> bytes:
    """The content bytes of a dotted identifier. Raises ValueError when it is none."""
    numbers = [int(part) if part.isascii() and part.isdigit() else -1 for part in oid.removeprefix(".").split(".")]
    if not 2 <= len(numbers) <= MOST_SUBIDS or not all(0 <= number < 1 << 32 for number in numbers):
        raise ValueError(sentence("{oid} is not an object identifier; write it like 1.3.6.1.2.1.1.3.0", oid=repr(oid)))
    if numbers[0] > 2 or (numbers[0] < 2 and numbers[1] > 39):
        raise ValueError(sentence("{oid} is not an object identifier: it cannot begin like this", oid=repr(oid)))
    octets = bytearray()
    for number in (numbers[0] * 40 + numbers[1], *numbers[2:]):
        low = [number & 0x7F]
        while number := number >> 7:
            low.append(0x80 | (number & 0x7F))
        octets.extend(reversed(low))
    return bytes(octets)


def decode_oid(octets: bytes) -> tuple[int, ...]:
    """The numbers of an identifier. Raises Garbled."""
    numbers: list[int] = []
    number = 0
    for octet in octets:
        number = number << 7 | octet & 0x7F
        if octet < 0x80:
            numbers.append(number)
            number = 0
        elif number >> 32:
            raise MalformedMessage(sentence("a number in an object identifier is too large"))
    if not numbers or octets[-1] >= 0x80 or len(numbers) >= MOST_SUBIDS:
        raise MalformedMessage(sentence("an object identifier is cut short or too long"))
    first = min(numbers[0] // 40, 2)
    return (first, numbers[0] - 40 * first, *numbers[1:])


def oid_text(octets: bytes) -> str:
    return ".".join(map(str, decode_oid(octets)))


@lru_cache(maxsize=16_384)
def _null_varbind(oid: bytes) -> bytes:
    return encode_element(_SEQUENCE, encode_element(_OID, oid) + b"\x05\x00")


def encode_request(
    version: int, community: bytes, pdu: int, request_id: int, oids: Sequence[bytes], repetitions: int = 0
) -> bytes:
    """A GET, GETNEXT or (with ``repetitions``) GETBULK."""
    fields = encode_integer(request_id) + b"\x02\x01\x00" + encode_integer(repetitions)
    content = encode_element(pdu, fields + encode_element(_SEQUENCE, b"".join(map(_null_varbind, oids))))
    return encode_element(_SEQUENCE, encode_integer(version) + encode_element(_OCTETS, community) + content)


def expect_element(data: bytes, at: int, tag: int, end: int) -> tuple[int, int]:
    """(start, end) of the content of the element at ``at``, which must have this tag. Raises Garbled."""
    actual, start, stop = read_element(data, at, end)
    if actual != tag:
        raise MalformedMessage(
            sentence("tag 0x{actual} where 0x{tag} ought to be", actual=f"{actual:02x}", tag=f"{tag:02x}")
        )
    return start, stop


def read_element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """(tag, start, end) of the element at ``at``; it lies within ``end``. Raises Garbled."""
    if at + 2 > end:
        raise MalformedMessage(sentence("cut short"))
    size, start = data[at + 1], at + 2
    if size >= 0x80:
        count = size & 0x7F
        if not 1 <= count <= 4:  # an indefinite length is not allowed here (RFC 3417, section 8)
            raise MalformedMessage(sentence("a length that is none"))
        start += count
        size = int.from_bytes(data[at + 2 : start], "big")
    if start + size > end:
        raise MalformedMessage(sentence("cut short"))
    return data[at], start, start + size


def read_integer(data: bytes, at: int, end: int) -> tuple[int, int]:
    """(the integer at ``at``, where the next element begins). Raises Garbled."""
    start, stop = expect_element(data, at, _INTEGER, end)
    if not 1 <= stop - start <= 8:
        raise MalformedMessage(sentence("an integer of no or too many bytes"))
    return int.from_bytes(data[start:stop], "big", signed=True), stop


def parse_message(data: bytes) -> SnmpMessage:
    """The message in a datagram; what follows it is ignored, as some devices pad. Raises Garbled."""
    at, end = expect_element(data, 0, _SEQUENCE, len(data))
    version, at = read_integer(data, at, end)
    if version not in (0, 1):
        raise MalformedMessage(sentence("another version"))
    start, at = expect_element(data, at, _OCTETS, end)
    community = data[start:at]
    pdu, at, end = read_element(data, at, end)
    if pdu != RESPONSE:
        raise MalformedMessage(sentence("not a response"))
    request_id, at = read_integer(data, at, end)
    status, at = read_integer(data, at, end)
    index, at = read_integer(data, at, end)
    return SnmpMessage(version, community, pdu, request_id, status, index, read_varbinds(data, at, end))


def read_varbinds(data: bytes, at: int, end: int) -> list[tuple[bytes, Value | None]]:
    """The list of variable bindings at ``at``. Raises Garbled."""
    at, end = expect_element(data, at, _SEQUENCE, end)
    bindings: list[tuple[bytes, Value | None]] = []
    while at < end:
        start, stop = expect_element(data, at, _SEQUENCE, end)
        name, named = expect_element(data, start, _OID, stop)
        tag, content, last = read_element(data, named, stop)
        bindings.append((data[name:named], decode_value(tag, data[content:last])))
        at = stop
    return bindings


def decode_value(tag: int, content: bytes) -> Value | None:
    """A value by its type; None for no such object, null, and what is no value of SNMP. Raises Garbled."""
    if tag == _OCTETS:
        return content
    if tag == _INTEGER:
        return int.from_bytes(content, "big", signed=True) if 1 <= len(content) <= 8 else None
    if tag in _UNSIGNED:
        # some devices leave out the zero byte that keeps a large number from looking negative
        return int.from_bytes(content, "big") & 0xFFFFFFFF if 1 <= len(content) <= 8 else None
    if tag == _COUNTER64:
        return int.from_bytes(content, "big") & 0xFFFFFFFFFFFFFFFF if 1 <= len(content) <= 9 else None
    if tag == _OID:
        return oid_text(content)
    if tag == _ADDRESS:
        return socket.inet_ntoa(content) if len(content) == 4 else None
    if tag == _OPAQUE:
        form = _OPAQUE_FLOATS.get(content[:3])
        return float(struct.unpack(form, content[3:])[0]) if form and len(content) == 3 + content[2] else content
    return END_OF_MIB if tag == 0x82 else None
