"""SNMP's bytes: against pysnmp's own encoder, and against anything that a stranger may send."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyasn1.codec.ber import decoder, encoder
from pyasn1.type import univ
from pysnmp.proto import api
from pysnmp.proto.rfc1902 import (
    Counter32,
    Counter64,
    Gauge32,
    Integer32,
    IpAddress,
    ObjectIdentifier,
    OctetString,
    Opaque,
    TimeTicks,
)

from agent.clients.snmp import ber
from agent.clients.snmp.ber import MalformedMessage

V2: Any = api.PROTOCOL_MODULES[api.SNMP_VERSION_2C]
subids = st.integers(0, 2**32 - 1)
oids = st.tuples(st.just(1), st.integers(0, 39)).flatmap(
    lambda head: st.lists(subids, max_size=20).map(lambda tail: ".".join(map(str, (*head, *tail))))
)


def theirs(pdu_type: Any, oid_values: list[tuple[str, Any]], request_id: int = 7) -> bytes:
    """A message of version 2c as pysnmp writes it."""
    pdu = pdu_type()
    V2.apiPDU.set_defaults(pdu)
    V2.apiPDU.set_request_id(pdu, request_id)
    V2.apiPDU.set_varbinds(pdu, oid_values)
    message = V2.Message()
    V2.apiMessage.set_defaults(message)
    V2.apiMessage.set_community(message, "public")
    V2.apiMessage.set_pdu(message, pdu)
    made: bytes = encoder.encode(message)
    return made


@given(st.lists(oids, min_size=1, max_size=8), st.integers(1, 2**31 - 1))
def test_a_question_is_the_same_bytes_as_pysnmps(asked: list[str], request_id: int) -> None:
    ours = ber.encode_request(1, b"public", ber.GET, request_id, [ber.encode_oid(oid) for oid in asked])
    assert ours == theirs(V2.GetRequestPDU, [(oid, V2.Null("")) for oid in asked], request_id)


@given(st.lists(oids, max_size=5), st.integers(0, 2**31 - 1), st.integers(1, 1000))
def test_any_decoder_reads_our_bulk_question(asked: list[str], request_id: int, repetitions: int) -> None:
    ours = ber.encode_request(
        1, b"public", ber.GETBULK, request_id, [ber.encode_oid(oid) for oid in asked], repetitions
    )
    message, rest = decoder.decode(ours, asn1Spec=V2.Message())
    pdu = V2.apiMessage.get_pdu(message)
    assert (rest, int(pdu[0]), int(pdu[1]), int(pdu[2])) == (b"", request_id, 0, repetitions)
    assert [str(name) for name, _ in V2.apiBulkPDU.get_varbinds(pdu)] == asked


VALUES = [
    (Integer32(-5), -5), (Integer32(2**31 - 1), 2**31 - 1), (Counter32(2**32 - 1), 2**32 - 1), (Gauge32(128), 128),
    (TimeTicks(0), 0), (Counter64(2**64 - 1), 2**64 - 1), (OctetString(b"\x00\xff"), b"\x00\xff"),
    (OctetString(""), b""), (ObjectIdentifier("1.3.6.1.4.1.8072"), "1.3.6.1.4.1.8072"),
    (IpAddress("192.0.2.7"), "192.0.2.7"), (Opaque(b"\x9f\x78\x04\x3f\xc0\x00\x00"), 1.5),
    (Opaque(b"\x9f\x79\x08\x3f\xf8\x00\x00\x00\x00\x00\x00"), 1.5), (Opaque(b"\x9f\x78\x04\x3f"), b"\x9f\x78\x04\x3f"),
    (univ.Null(""), None), (V2.NoSuchObject(""), None), (V2.NoSuchInstance(""), None),
    (V2.EndOfMibView(""), ber.END_OF_MIB),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), VALUES, ids=lambda value: repr(value)[:40])
def test_values(value: Any, expected: Any) -> None:
    message = ber.parse_message(theirs(V2.ResponsePDU, [("1.3.6.1.2.1.1.3.0", value)]))
    assert message.varbinds == [(ber.encode_oid("1.3.6.1.2.1.1.3.0"), expected)]
    assert (message.version, message.community, message.request_id) == (1, b"public", 7)


def test_what_no_value_is() -> None:
    for tag, content in ((0x02, b""), (0x02, b"x" * 9), (0x46, b""), (0x40, b"abc"), (0x31, b"abc"), (0x41, b"")):
        assert ber.decode_value(tag, content) is None
    assert ber.decode_value(0x41, b"\xff\xff\xff\xff") == 2**32 - 1  # without the zero that keeps it positive


@given(oids)
def test_identifiers_survive(oid: str) -> None:
    assert ber.oid_text(ber.encode_oid(oid)) == oid
    assert ber.encode_oid("." + oid) == ber.encode_oid(oid)


@given(st.lists(oids, min_size=2, max_size=2))
def test_identifiers_are_in_the_order_of_their_numbers(pair: list[str]) -> None:
    first, second = (ber.decode_oid(ber.encode_oid(oid)) for oid in pair)
    written = [tuple(map(int, oid.split("."))) for oid in pair]
    assert (first < second) == (written[0] < written[1])


@pytest.mark.parametrize("text", ["", "1", "1.40", "3.1", "1.3.6.x", "1..3", "1.3.-1", "1.3.4294967296", "1." * 200])
def test_no_identifiers(text: str) -> None:
    with pytest.raises(ValueError, match="is not an object identifier"):
        ber.encode_oid(text)


HONEST = theirs(V2.ResponsePDU, [("1.3.6.1.2.1.1.3.0", TimeTicks(5)), ("1.3.6.1.2.1.1.5.0", OctetString("core"))])


@given(st.binary(max_size=300))
def test_anything_at_all_is_garbled_or_read(packet: bytes) -> None:
    try:
        ber.parse_message(packet)
    except MalformedMessage:
        pass


@given(st.integers(0, len(HONEST) - 1), st.integers(0, 255))
def test_a_flipped_byte_is_garbled_or_read(place: int, byte: int) -> None:
    packet = HONEST[:place] + bytes((byte,)) + HONEST[place + 1 :]
    try:
        ber.parse_message(packet)
    except MalformedMessage:
        pass


@given(st.integers(0, len(HONEST) - 1))
def test_what_is_cut_short_is_garbled(size: int) -> None:
    with pytest.raises(MalformedMessage):
        ber.parse_message(HONEST[:size])


def test_padding_after_the_message_is_ignored() -> None:
    assert ber.parse_message(HONEST + b"\0\0\0") == ber.parse_message(HONEST)


def test_other_types_and_versions_are_no_answers() -> None:
    for packet in (
        theirs(V2.GetRequestPDU, []),
        HONEST.replace(b"\x02\x01\x01", b"\x02\x01\x03", 1),
        b"\x30\x80" + HONEST[2:],
        b"\x30\x84\xff\xff\xff\xff" + HONEST[2:],
    ):
        with pytest.raises(MalformedMessage):
            ber.parse_message(packet)
