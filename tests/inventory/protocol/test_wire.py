"""The wire: what is sent is what is read; what is not ours, cut short or of another version is refused in words."""

import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.protocol import bounds
from inventory.protocol.wire import (
    MAX_DECODED,
    VERSION,
    Ack,
    Batch,
    Echo,
    Position,
    Present,
    Push,
    Reading,
    Record,
    Run,
    WireError,
    decode_ack,
    decode_push,
    encode_ack,
    encode_push,
    inflate,
)

NUMBER = st.integers(-(2**63), 2**64 - 1)
MANY: Any = {"max_size": 6}
BOOT = st.binary(min_size=8, max_size=8)
BOOT_MS, WALL_MS, SEQ, EPOCH = (
    st.integers(*limits) for limits in (bounds.BOOT_MS, bounds.WALL_MS, bounds.SEQ, bounds.EPOCH)
)
POSITION = st.builds(Position, EPOCH, SEQ)
JSON = st.dictionaries(st.text(**MANY), st.none() | st.booleans() | NUMBER | st.text(**MANY), **MANY)
RUN = st.builds(Run, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, st.text(), NUMBER, NUMBER, NUMBER, NUMBER)
BATCH = st.builds(
    Batch,
    epoch=EPOCH,
    previous=st.none() | POSITION,
    last=SEQ,
    plan=BOOT,
    boot=st.binary(**MANY),
    base=NUMBER,
    checks=st.lists(NUMBER, **MANY),
    counts=st.lists(NUMBER, **MANY),
    at=st.lists(NUMBER, **MANY),
    states=st.binary(**MANY),
    latency=st.lists(st.none() | NUMBER, **MANY),
    values=st.lists(st.none() | NUMBER, **MANY),
    reasons=st.lists(st.tuples(NUMBER, st.text()), **MANY),
    runs=st.lists(RUN, **MANY),
    records=st.lists(st.builds(Record, NUMBER, st.text(), JSON), **MANY),
    missing=st.lists(st.tuples(NUMBER, NUMBER), **MANY),
    breach=st.text(**MANY),
    first=SEQ,
)
PRESENT = st.builds(Present, BOOT, BOOT, BOOT_MS, st.binary(**MANY), st.lists(NUMBER), st.lists(NUMBER))
PUSH = st.builds(
    Push,
    version=st.just(VERSION),
    sent=st.builds(Reading, BOOT, BOOT_MS, WALL_MS),
    echo=st.none() | st.builds(Echo, WALL_MS, BOOT_MS),
    batch=st.none() | BATCH,
    present=st.none() | PRESENT,
    backlog=SEQ,
    plans=st.lists(st.binary(**MANY), **MANY),
    health=st.dictionaries(st.text(**MANY), st.floats(allow_nan=False), **MANY),
    signatures=st.lists(st.binary(**MANY), **MANY),
)
A_PUSH = Push(
    version=VERSION,
    sent=Reading(b"bootboot", 5, 6),
    batch=Batch(epoch=1, previous=Position(1, 2), last=4, plan=b"planplan", boot=b"bootboot", base=3, states=b"\0\2"),
)
AN_ACK = Ack(incarnation="x", verdict="taken", received_ms=1, sent_ms=2, watermark=Position(1, 4))


@given(PUSH)
def test_a_push_comes_out_as_it_went_in(push: Push) -> None:
    assert decode_push(encode_push(push)) == push


def test_an_ack_comes_out_as_it_went_in() -> None:
    assert decode_ack(encode_ack(AN_ACK)) == AN_ACK


def test_a_batch_begins_where_the_chain_says() -> None:
    def begins(**more: Any) -> int:
        return Batch(epoch=7, last=90, plan=b"", boot=b"", base=0, **more).start

    assert begins(previous=Position(7, 41)) == 42
    assert begins(previous=Position(6, 41)) == begins(previous=None) == 1
    assert begins(previous=Position(7, 41), breach="lost", first=60) == 60


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for decode, given_body in ((decode_push, body), (decode_push, zlib.compress(body)), (decode_ack, body)):
        try:
            decode(given_body)
        except WireError as error:
            assert str(error)


def test_cut_at_every_byte_it_is_refused() -> None:
    pushed, acked = encode_push(A_PUSH), encode_ack(AN_ACK)
    for end in range(len(pushed)):
        with pytest.raises(WireError):
            decode_push(pushed[:end])
    for end in range(len(acked)):
        with pytest.raises(WireError):
            decode_ack(acked[:end])
    with pytest.raises(WireError, match="bytes after the compressed stream"):
        decode_push(pushed + b"x")


def test_a_bomb_is_not_unfolded() -> None:
    with pytest.raises(WireError, match="inflates to more than"):
        inflate(zlib.compress(bytes(MAX_DECODED + 1)))
    assert len(inflate(zlib.compress(bytes(MAX_DECODED)))) == MAX_DECODED


@pytest.mark.parametrize("version", [0, VERSION + 1, VERSION + 7])
def test_another_version_is_refused_as_such_whatever_its_shape(version: int) -> None:
    encode = msgspec.msgpack.encode
    whole = msgspec.to_builtins(msgspec.structs.replace(A_PUSH, version=version), builtin_types=(bytes,))
    for push in (whole, [version], [version, "all", {"is": "different"}]):
        with pytest.raises(WireError, match=f"wire version {version}, this collector reads {VERSION}"):
            decode_push(zlib.compress(encode(push)))
    for ack in (msgspec.to_builtins(AN_ACK, builtin_types=(bytes,)) | {"version": version}, {"version": version}):
        with pytest.raises(WireError, match=f"wire version {version}, this agent reads {VERSION}"):
            decode_ack(encode(ack))
