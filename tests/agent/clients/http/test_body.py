"""Bodies in every coding, cut in every way: all members are read, what is refused is found wherever it stands."""

import asyncio
import gzip
import itertools
import zlib
from collections.abc import Callable
from typing import Any

import brotli
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.clients.http.body import Body, content_length
from agent.clients.http.codings import UnknownCoding, decoders
from agent.failure import ProbeFailed
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes import build
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

try:
    from compression import zstd
except ImportError:
    from backports import zstd


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "deflate, raw": raw_deflate,
    "br": brotli.compress,
    "zstd": zstd.compress,
    "identity": bytes,
    "none": bytes,
}
SEVERAL = ("gzip", "zstd")  # that may have one member, or frame, after the other


def name_of(coding: str) -> bytes:
    return coding.partition(",")[0].encode()


def unpacked(packed: bytes, codings: list[bytes], cuts: list[int], limit: int = 1 << 20) -> Body:
    body = Body(limit, [], codings, True)
    ends = sorted({cut % (len(packed) + 1) for cut in cuts} | {0, len(packed)})
    for start, end in itertools.pairwise(ends):
        if not body.feed(packed[start:end]):
            break
    body.finish()
    return body


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(sorted(PACK)), min_size=1, max_size=3),
    st.lists(st.binary(max_size=3000), min_size=1, max_size=4),
    st.lists(st.integers(0, 1 << 16), max_size=5),
)
def test_whatever_is_packed_comes_out_whole(codings: list[str], parts: list[bytes], cuts: list[int]) -> None:
    pack = PACK[codings[0]]
    data = b"".join(map(pack, parts)) if codings[0] in SEVERAL else pack(b"".join(parts))
    for coding in codings[1:]:
        data = PACK[coding](data)
    body = unpacked(data, [name_of(coding) for coding in codings], cuts)
    assert bytes(body.data) == b"".join(parts)
    assert not body.trailing and not body.overlong


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(set(PACK) - {"identity", "none"})), st.integers(0, 100), st.lists(st.integers(0, 99)))
def test_no_more_than_the_limit_is_kept_however_much_comes_out(coding: str, room: int, cuts: list[int]) -> None:
    data = PACK[coding](bytes(3_000_000))
    body = unpacked(data, [name_of(coding)], cuts, len(data) + room)
    assert body.overlong and len(body.data) == len(data) + room


@pytest.mark.parametrize("coding", ["gzip", "deflate", "deflate, raw", "zstd"])
@pytest.mark.parametrize("junk", [b"x", b"junk after it", b"\x1f\x8bno member"])
def test_bytes_after_the_end_are_told(coding: str, junk: bytes) -> None:
    packed = PACK[coding](b"fine")
    if coding == "gzip" and junk.startswith(b"\x1f\x8b"):
        with pytest.raises(ProbeFailed, match="does not decompress"):
            unpacked(packed + junk, [b"gzip"], [])
        return
    for cuts in ([], [len(packed)], list(range(len(packed) + len(junk)))):
        body = unpacked(packed + junk, [name_of(coding)], cuts)
        assert bytes(body.data) == b"fine" and body.trailing


@pytest.mark.parametrize("coding", sorted(set(PACK) - {"identity", "none"}))
def test_cut_short_or_spoiled_is_damaged(coding: str) -> None:
    packed = PACK[coding](b"some text that is long enough to be cut")
    for end in (1, len(packed) // 2, len(packed) - 1):
        with pytest.raises(ProbeFailed, match=r"cut short|does not decompress"):
            unpacked(packed[:end], [name_of(coding)], [])


def test_one_over_the_other_has_an_end() -> None:
    with pytest.raises(UnknownCoding, match="6 times over"):
        decoders([b"gzip, gzip", b"gzip, gzip, gzip, gzip"])


@pytest.mark.parametrize(
    ("values", "length"), [([b"9"], 9), ([b"9, 9"], 9), ([b"9", b"9"], 9), ([b"9,9", b" 9"], 9), ([b"0"], 0)]
)
def test_equal_lengths_are_one(values: list[bytes], length: int) -> None:
    assert content_length(values) == length


@pytest.mark.parametrize("values", [[b"9, 8"], [b"9", b"8"], [b"+9"], [b""], [b"9x"], [b"-1"], [b"9" * 19]])
def test_other_lengths_are_none(values: list[bytes]) -> None:
    with pytest.raises(ProbeFailed):
        content_length(values)


# by the probe


async def look(answer: bytes, timeout: float = 5, **params: Any) -> Outcome:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        return await build("http", {"url": url, **params}).run(ProbeContext(timeout, Limits(), {}))
    finally:
        server.close()


def answer(body: bytes, *fields: str, length: bool = True) -> bytes:
    lines = [*fields, *([f"Content-Length: {len(body)}"] if length else [])]
    return b"HTTP/1.1 200 OK\r\n" + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n" + body


def chunks(body: bytes, size: int = 7) -> bytes:
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize("coding", sorted(PACK))
@pytest.mark.parametrize("chunked", [False, True])
async def test_the_last_member_counts(coding: str, chunked: bool) -> None:
    parts = [b"fine so far\n", b"database ERROR\n"]
    packed = b"".join(map(PACK[coding], parts)) if coding in SEVERAL else PACK[coding](b"".join(parts))
    field = f"Content-Encoding: {name_of(coding).decode()}"
    page = (
        answer(chunks(packed), field, "Transfer-Encoding: chunked", length=False) if chunked else answer(packed, field)
    )
    assert (await look(page, expect_body="ERROR")).state == UP
    bad = await look(page, refuse_body="ERROR")
    assert (bad.state, bad.reason) == (DOWN, "the body contains 'ERROR'")
    assert (await look(page, refuse_pattern="ERR.R")).state == DOWN


@pytest.mark.parametrize(
    "page",
    {
        "transfer identity": answer(b"HEALTH-OK", "Transfer-Encoding: identity", length=False),
        "length twice": answer(b"HEALTH-OK", "Content-Length: 9, 9", length=False),
        "length in two fields": answer(b"HEALTH-OK", "Content-Length: 9"),
        "identity twice": answer(b"HEALTH-OK", "Content-Encoding: identity, identity"),
        "transfer gzip, chunked": answer(
            chunks(gzip.compress(b"HEALTH-OK")), "Transfer-Encoding: gzip, chunked", length=False
        ),
        "transfer gzip to the end": answer(gzip.compress(b"HEALTH-OK"), "Transfer-Encoding: gzip", length=False),
        "chunked twice": answer(
            chunks(b"HEALTH-OK"), "Transfer-Encoding: chunked", "Transfer-Encoding: chunked", length=False
        ),
        "chunked with a length": answer(chunks(b"HEALTH-OK"), "Transfer-Encoding: chunked"),
        "folded field": answer(b"HEALTH-OK", "X-Long: one\r\n two"),
        "blank before the colon": answer(b"HEALTH-OK", "Content-Length : 9", length=False),
        "no reason phrase": answer(b"HEALTH-OK").replace(b"200 OK", b"200"),
        "blanks": answer(b"HEALTH-OK").replace(b"1.1 200 OK", b"1.1  200   OK"),
        "1.2": answer(b"HEALTH-OK").replace(b"HTTP/1.1", b"HTTP/1.2"),
    }.items(),
    ids=lambda page: page[0],
)
async def test_what_curl_reads_is_read(page: tuple[str, bytes]) -> None:
    found = await look(page[1], expect_body="HEALTH-OK")
    assert (found.state, found.reason) == (UP, "")


async def test_a_coding_of_nobody_is_no_evidence_for_a_condition_and_else_degraded() -> None:
    page = answer(b"?", "Content-Encoding: compress")
    plain, wanted, refused = await look(page), await look(page, expect_body="x"), await look(page, refuse_body="x")
    assert plain.state == DEGRADED and "'compress', which this agent cannot undo" in plain.reason
    assert (wanted.state, refused.state) == (UNKNOWN, UNKNOWN)


async def test_what_cannot_be_looked_into_is_not_without_a_text() -> None:
    head = await look(answer(b""), method="HEAD", refuse_body="ERROR")
    assert head.state == UNKNOWN and "HEAD" in head.reason
    more = await look(answer(b"a" * 100 + b"ERROR"), refuse_body="ERROR", max_body=50)
    assert more.state == DEGRADED and "the rest was not read" in more.reason
    after = await look(answer(gzip.compress(b"fine") + b"ERROR", "Content-Encoding: gzip"), refuse_body="ERROR")
    assert after.state == DEGRADED and "bytes that say nothing" in after.reason


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"HTTP/1.1 OK", "no status of three digits: 'HTTP/1.1 OK'"),
        (b"HTTP/1.1 20x OK", "no status of three digits: 'HTTP/1.1 20x OK'"),
        (b"HTTP/1.1 2000 OK", "no status of three digits"),
        (b"HTTP/2 200", "is not HTTP/1: it begins 'HTTP/2 200'"),
        (b"SSH-2.0-x", "is not HTTP/1: it begins 'SSH-2.0-x'"),
    ],
)
async def test_the_first_line_in_words(line: bytes, words: str) -> None:
    found = await look(line + b"\r\nContent-Length: 0\r\n\r\n", timeout=2)
    assert found.state == DOWN and words in found.reason


async def test_any_status_of_three_digits_may_be_expected() -> None:
    page = answer(b"x").replace(b"200 OK", b"999 Request denied")
    assert (await look(page, expect_status=[999])).state == UP
    assert (await look(page)).reason == "status 999 instead of 200-299"
    nowhere = await look(answer(b"").replace(b"200 OK", b"302 Found"))
    assert nowhere.reason == "status 302 instead of 200-299; it does not say where to (no Location)"
