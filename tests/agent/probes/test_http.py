"""The kind http against real servers on loopback: what is right, what is wrong, and every way to be hostile."""

import asyncio
import contextlib
import datetime
import gzip
import ipaddress
import random
import re
import socket
import ssl
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from agent.clients.http.http1 import parse_fields, parse_url
from agent.clients.net.resolve import Resolver
from agent.clients.net.stream import connect
from agent.failure import ProbeFailed
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes import BadProbe, build
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.nginx import nginx

Requests = list[bytes]
Writer = asyncio.StreamWriter
Answer = bytes | Callable[[bytes, Writer], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(
    answer: Answer, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[tuple[int, Requests]]:
    """Answers every request head with the same bytes, or leaves it to a handler."""
    requests: Requests = []
    open_ones: set[asyncio.StreamWriter] = set()

    async def handle(reader: asyncio.StreamReader, writer: Writer) -> None:
        open_ones.add(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            if length:
                head += await reader.readexactly(int(length[1]))
            requests.append(head)
            if callable(answer):
                await answer(head, writer)
            else:
                writer.write(answer)
                await writer.drain()
        writer.close()
        open_ones.discard(writer)

    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # clients that leave early are the point
    listening = await asyncio.start_server(handle, host, 0, ssl=context)
    over = asyncio.ensure_future(listening.wait_closed())  # asked for before closing, or Python 3.11 does not wait
    try:
        yield listening.sockets[0].getsockname()[1], requests
    finally:
        listening.close()
        for writer in open_ones:
            writer.transport.abort()
        await asyncio.wait_for(over, 5)


async def fetch(url: str, timeout: float = 5, limits: Limits | None = None, **params: Any) -> Outcome:
    clients: dict[type[Any], Any] = {}
    return await build("http", {"url": url, **params}).run(ProbeContext(timeout, limits or Limits(), clients))


async def outcome_of(answer: Answer, timeout: float = 5, **params: Any) -> Outcome:
    async with server(answer) as (port, _):
        return await fetch(f"http://127.0.0.1:{port}/", timeout, **params)


def ok(body: bytes, *fields: str) -> bytes:
    lines = "".join(f"{field}\r\n" for field in (*fields, f"Content-Length: {len(body)}"))
    return b"HTTP/1.1 200 OK\r\n" + lines.encode() + b"\r\n" + body


def chunked(*pieces: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + end


async def test_good_answer_is_up_with_every_phase_timed():
    async with server(ok(b"hello")) as (port, requests):
        found = await fetch(f"http://localhost:{port}/a?b=c#d", headers=["X-Look: 1"])
    assert (found.state, found.reason) == (UP, "")
    phases = [found.measures[f"{name}_seconds"] for name in ("resolve", "connect", "first_byte", "body")]
    assert all(phase > 0 for phase in phases) and sum(phases) <= (found.latency or 0)
    assert found.measures["http_status"] == 200 and found.measures["body_bytes"] == 5
    assert "tls_seconds" not in found.measures and found.measures["redirects"] == 0
    head = requests[0].split(b"\r\n")
    assert head[0] == b"GET /a?b=c HTTP/1.1" and b"Host: localhost:%d" % port in head
    assert b"X-Look: 1" in head and b"Connection: close" in head


async def test_body_and_method_are_sent_and_an_address_is_not_resolved():
    async with server(ok(b"", "Allow: x")) as (port, requests):
        found = await fetch(f"http://127.0.0.1:{port}/", method="POST", body="đèn")
    assert found.state == UP and "resolve_seconds" not in found.measures
    assert b"Content-Length: 5\r\n" in requests[0] and requests[0].endswith("\r\n\r\nđèn".encode())


async def test_head_has_no_body_whatever_its_length_says():
    found = await outcome_of(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", timeout=1, method="HEAD")
    assert found.state == UP and found.measures["body_bytes"] == 0


async def test_ipv6_literal():
    async with server(ok(b"six"), host="::1") as (port, requests):
        found = await fetch(f"http://[::1]:{port}/")
    assert found.state == UP and b"Host: [::1]:%d" % port in requests[0]


@pytest.mark.parametrize(
    ("status", "expected", "state"),
    [
        (200, ["200-299"], UP),
        (404, ["200-299"], DOWN),
        (404, [200, 404], UP),
        (401, ["200-299", "401-403"], UP),
        (500, [200], DOWN),
        (204, ["200-299"], UP),
    ],
)
async def test_status(status, expected, state):
    found = await outcome_of(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status, expect_status=expected)
    assert found.state == state and found.measures["http_status"] == status
    assert state == UP or found.reason == f"status {status} instead of {', '.join(map(str, expected))}"


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"expect_body": "Cổng thông tin"}, ""),
        ({"expect_body": "Cổng khác"}, "the body does not contain 'Cổng khác'"),
        ({"refuse_body": "thông"}, "the body contains 'thông'"),
        ({"refuse_body": "lỗi"}, ""),
        ({"expect_pattern": r"(?i)^cổng\s+\w+ tin$"}, ""),
        ({"expect_pattern": r"\d{3}"}, r"the body does not match '\d{3}'"),
        ({"refuse_pattern": r"th.ng"}, "the body matches 'th.ng'"),
    ],
)
async def test_body_is_judged(params, reason):
    found = await outcome_of(ok("Cổng thông tin".encode()), **params)
    assert (found.state, found.reason) == (DOWN if reason else UP, reason)


@pytest.mark.parametrize(
    "answer",
    [
        chunked(b"hel", b"lo"),
        chunked(b"hello", end=b"0;last=1\r\nTrailer: x\r\n\r\n"),
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok(b"hello"),
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        ok(gzip.compress(b"hello", mtime=0), "Content-Encoding: gzip"),
        ok(zlib.compress(b"hello"), "Content-Encoding: deflate"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
async def test_every_framing_of_a_body_is_read(answer):
    async def by_bytes(_: bytes, writer: Writer) -> None:
        for at in range(len(answer)):
            writer.write(answer[at : at + 1])
            if at % 7 == 0:
                await asyncio.sleep(0)

    for handler in (answer, by_bytes):
        found = await outcome_of(handler, expect_pattern="^hello$")
        assert (found.state, found.reason) == (UP, "")


# Hostile answers


BAD = {
    "nothing": (b"", "the answer is empty"),
    "garbage": (b"\x00\xff\x16\x03 garbage\r\n\r\n", "the answer is not HTTP/1: it begins '?ÿ??"),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP/1: it begins 'SSH-2.0-OpenSSH_9.2'"),
    "HTTP/2": (b"HTTP/2 200 OK\r\n\r\n", "not HTTP/1"),
    "bad status": (b"HTTP/1.1 20x OK\r\n\r\n", "no status of three digits"),
    "status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", "no status of three digits"),
    "cut in the header": (b"HTTP/1.1 200 OK\r\nContent-", "the connection ended within the answer's header"),
    "no field": (b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "a line that is no field: 'nonsense"),
    "huge header": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000, "header is longer than 65536 bytes"),
    "huge line": (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, "header is longer than 65536 bytes"),
    "endless 1xx": (b"HTTP/1.1 102 Processing\r\n\r\n" * 5_000, "header is longer than 65536 bytes"),
    "short body": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "the body ended after 5 of 10 bytes"),
    "two lengths": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "several different lengths",
    ),
    "negative length": (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "gives '-1' as the length"),
    "huge length": (b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n", "as the length"),
    "cut in a chunk": (chunked(b"hello", end=b"ff\r\nabc"), "the body ended within its chunks"),
    "no last chunk": (chunked(b"hello", end=b""), "the body ended within its chunks"),
    "bad chunk size": (chunked(end=b"xyz\r\n"), "'xyz' is no length"),
    "negative chunk": (chunked(end=b"-1\r\n"), "'-1' is no length"),
    "chunk too long": (chunked(end=b"2\r\nabcdef\r\n0\r\n\r\n"), "chunks are damaged"),
    "endless chunk line": (chunked(end=b"1;" + b"x" * 10_000), "a line is too long"),
    "endless trailer": (chunked(end=b"0\r\n" + b"X: y\r\n" * 20_000), "the body's trailer is endless"),
    "chunks within": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        "transfer encoding is 'chunked, gzip'",
    ),
    "not gzip": (ok(b"plain", "Content-Encoding: gzip"), "it does not decompress"),
    "cut gzip": (ok(gzip.compress(b"hello" * 100)[:20], "Content-Encoding: gzip"), "compressed stream is cut short"),
}


@pytest.mark.parametrize("name", BAD)
async def test_damaged_answers_are_down_with_a_plain_reason(name):
    answer, words = BAD[name]
    found = await outcome_of(answer, timeout=2)
    assert found.state == DOWN and words in found.reason
    assert found.reason.isprintable() and len(found.reason) < 200


async def test_reset_is_said():
    async def reset(_: bytes, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")
        await writer.drain()
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    found = await outcome_of(reset)
    assert found.state == DOWN and "reset the connection" in found.reason


async def _drip(writer: Writer, start: bytes, piece: bytes) -> None:
    writer.write(start)
    with contextlib.suppress(OSError):
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("start", "piece", "reason"),
    [
        (b"", b"", "no answer came within 0.3 s"),
        (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", "the answer's header did not end within 0.3 s"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x", "the body did not end within 0.3 s"),
        (chunked(end=b""), b"1\r\nx\r\n", "the body did not end within 0.3 s"),
    ],
)
async def test_slow_answers_end_at_the_timeout(start, piece, reason):
    async def drip(_: bytes, writer: Writer) -> None:
        await _drip(writer, start, piece)

    begun = time.monotonic()
    found = await outcome_of(drip, timeout=0.3)
    assert (found.state, found.reason, found.latency) == (DOWN, reason, None)
    assert time.monotonic() - begun < 1.5


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65_536),
        (chunked(end=b""), b"1\r\nx\r\n" * 10_000),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 65_536),
        # stored blocks of no bytes: input without end, output without a byte
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\n\r\n\x78\x9c", b"\x00\x00\x00\xff\xff" * 10_000),
    ],
)
async def test_endless_fast_bodies_end_at_the_limit_and_hold_nobody_up(start, piece):
    async def flood(_: bytes, writer: Writer) -> None:
        writer.write(start)
        with contextlib.suppress(OSError):
            while True:
                writer.write(piece)
                await writer.drain()

    found = await outcome_of(flood, max_body=200_000)
    assert found.state == DEGRADED
    assert found.reason == "the body is longer than 200000 bytes; the rest was not read"


async def test_bomb_is_cut_at_the_limit():
    bomb = gzip.compress(bytes(20_000_000))
    found = await outcome_of(ok(bomb, "Content-Encoding: gzip"), max_body=100_000, expect_body="never there")
    assert found.state == DOWN and found.reason.startswith("the first 100000 bytes of the body does not contain")
    assert found.measures["body_bytes"] < 100_000
    found = await outcome_of(ok(bomb, "Content-Encoding: gzip"), max_body=100_000)
    assert found.state == DEGRADED


async def test_more_than_the_length_says_is_degraded_and_not_judged():
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello, and then some"
    found = await outcome_of(answer, refuse_body="some")
    assert (found.state, found.reason) == (DEGRADED, "the body is longer than its Content-Length says")


async def test_hostile_page_does_not_hold_the_loop_for_a_pattern():
    """A search that backtracks would need longer than the universe has; the loop must go on meanwhile."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)

    ticker = asyncio.create_task(tick())
    found = await outcome_of(ok(b"a" * 100_000), expect_pattern=r"(a+)+\d$")
    assert found.state == DOWN and "does not match" in found.reason
    # of what RE2 takes longest over, some 0.3 s
    page = random.Random(1).randbytes(75_000).hex().encode()
    found = await outcome_of(ok(page), expect_pattern=r"(?:.{0,30}a.{0,30}b){3}z")
    ticker.cancel()
    assert found.state == DOWN and "does not match" in found.reason and ticks > 3


# Redirects


def redirecting(where: Callable[[int, bytes], str], status: int = 302, fields: str = "") -> Answer:
    """Redirects by the request's path; to where "" is given, answers."""

    async def answer(head: bytes, writer: Writer) -> None:
        path = head.split(b" ")[1]
        port = writer.get_extra_info("sockname")[1]
        target = where(port, path)
        if target:
            writer.write(f"HTTP/1.1 {status} Moved\r\nLocation: {target}\r\n{fields}\r\n".encode())
        else:
            writer.write(ok(path))
        await writer.drain()

    return answer


async def test_redirects_are_followed_and_counted():
    ways = {b"/": "/a b", b"/a%20b": "c?x=1#frag", b"/c?x=1": "//127.0.0.1:{port}/é", b"/%C3%A9": ""}
    answer = redirecting(lambda port, path: ways[path].format(port=port))
    async with server(answer) as (port, requests):
        found = await fetch(f"http://127.0.0.1:{port}/", expect_body="/%C3%A9")
    assert found.state == UP and found.measures["redirects"] == 3 == len(requests) - 1


@pytest.mark.parametrize(
    ("where", "params", "words"),
    [
        (lambda port, path: f"/{len(path)}" + "x" * len(path), {}, "redirected more than 5 times"),
        (lambda port, path: "/a" if path == b"/b" else "/b", {}, "redirected in a circle"),
        (lambda port, path: "ftp://example.com/", {}, "must begin with http:// or https://"),
        (lambda port, path: "http://user:secret@example.com/", {}, "must not carry a user name"),
        (lambda port, path: "http://[::bad/", {}, "redirected to"),
        (lambda port, path: "http://127.0.0.1:99999/", {}, "port is not a number"),
        (lambda port, path: "/x", {"max_redirects": 0}, "status 302 instead of 200-299"),
    ],
)
async def test_redirects_that_are_not_followed(where, params, words):
    found = await outcome_of(redirecting(where), **params)
    assert found.state == DOWN and words in found.reason


async def test_redirect_is_right_where_it_is_expected():
    found = await outcome_of(redirecting(lambda *_: "/x"), max_redirects=0, expect_status=[302])
    assert found.state == UP


async def test_cookies_set_on_the_way_are_kept_and_go_nowhere_else():
    async def answer(head: bytes, writer: Writer) -> None:
        if b"Cookie: session=1" in head:
            writer.write(ok(b"in"))
        else:
            cookies = "Set-Cookie: session=1; HttpOnly\r\nSet-Cookie: bad=\x01\r\n"
            writer.write(f"HTTP/1.1 302 Found\r\nLocation: /\r\n{cookies}\r\n".encode())
        await writer.drain()

    async with server(answer) as (port, requests):
        found = await fetch(f"http://127.0.0.1:{port}/", expect_body="in")
        assert found.state == UP and b"bad" not in requests[-1]
        away = redirecting(lambda *_: f"http://localhost:{port}/elsewhere", fields="Set-Cookie: session=1\r\n")
        async with server(away) as (other, _):
            await fetch(f"http://127.0.0.1:{other}/", headers=["X-Key: k"], max_redirects=1)
        assert b"/elsewhere" in requests[-1] and b"Cookie" not in requests[-1] and b"X-Key" not in requests[-1]


@pytest.mark.parametrize(("status", "method"), [(303, b"GET"), (301, b"GET"), (307, b"POST")])
async def test_method_after_a_redirect(status, method):
    answer = redirecting(lambda _, path: "/end" if path == b"/" else "", status)
    async with server(answer) as (port, requests):
        await fetch(f"http://127.0.0.1:{port}/", method="POST", body="x")
    assert requests[1].startswith(method + b" /end") and requests[1].endswith(b"\r\n\r\n" + b"x" * (method == b"POST"))


async def test_limits_hold_for_redirects_too():
    loopback = Limits(networks=(ipaddress.ip_network("127.0.0.0/8"),))
    async with server(redirecting(lambda *_: "http://192.0.2.1/")) as (port, _):
        found = await fetch(f"http://127.0.0.1:{port}/", limits=loopback)
        assert found.state == UNKNOWN and found.reason == "192.0.2.1 is outside the networks this agent may probe"
        found = await fetch(f"http://127.0.0.1:{port}/", limits=Limits(ports=(80,)))
        assert found.state == UNKNOWN and "is not one this agent may probe" in found.reason


# HTTPS


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 and a name, its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("portal.example")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return file


@pytest.fixture
def tls_context(identity: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    return context


async def test_https_is_timed_and_its_certificate_dated(tls_context, identity):
    async with server(ok(b"x" * 300_000), tls_context) as (port, requests):
        found = await fetch(f"https://127.0.0.1:{port}/", authority=str(identity))
        named = await fetch(f"https://127.0.0.1:{port}/", authority=str(identity), server_name="portal.example")
    expected = x509.load_pem_x509_certificate(identity.read_bytes()).not_valid_after_utc.timestamp()
    assert found.state == UP and found.measures["tls_seconds"] > 0 and found.measures["body_bytes"] == 300_000
    assert found.measures["certificate_expiry_timestamp_seconds"] == expected
    assert named.state == UP and b"Host: 127.0.0.1" in requests[1]


async def test_https_refusals_are_named(tls_context, identity):
    async with server(ok(b"x"), tls_context) as (port, _):
        url = f"https://127.0.0.1:{port}/"
        assert (await fetch(url)).reason == "self-signed: nobody but itself vouches for the certificate"
        wrong = await fetch(url, authority=str(identity), server_name="other.example")
        assert wrong.state == DOWN and wrong.reason.startswith("wrong host: ")
        unverified = await fetch(url, verify=False)
    assert unverified.state == UP and "certificate_expiry_timestamp_seconds" in unverified.measures
    async with server(ok(b"x")) as (port, _):
        found = await fetch(f"https://127.0.0.1:{port}/", timeout=0.2)
    assert (found.state, found.reason) == (DOWN, "the TLS handshake did not end within 0.2 s")


async def test_downgrade_is_refused_unless_allowed(tls_context, identity):
    async with (
        server(ok(b"plain")) as (plain, _),
        server(redirecting(lambda *_: f"http://127.0.0.1:{plain}/"), tls_context) as (port, _),
    ):
        url = f"https://127.0.0.1:{port}/"
        refused = await fetch(url, authority=str(identity))
        allowed = await fetch(url, authority=str(identity), allow_downgrade=True)
    assert refused.state == DOWN and "without encryption" in refused.reason
    assert allowed.state == UP and allowed.measures["redirects"] == 1


# Connecting and resolving


async def test_failures_to_connect_are_told_apart(free_port):
    assert (await fetch(f"http://127.0.0.1:{free_port}/")).reason == f"127.0.0.1:{free_port} refused the connection"
    found = await fetch("http://no-such-name.invalid/", timeout=3)
    assert found.state == DOWN and ("no-such-name.invalid" in found.reason or "was not resolved" in found.reason)
    found = await fetch(f"http://127.0.0.1:{free_port}/", family="ipv6")
    assert found.state == UNKNOWN and found.reason == "127.0.0.1 is not an IPv6 address"


async def test_next_address_is_tried_and_each_is_judged():
    dead, forbidden, alive = map(ipaddress.ip_address, ("127.0.0.2", "127.0.9.9", "127.0.0.1"))
    limits = Limits(networks=(ipaddress.ip_network("127.0.0.0/24"),))
    async with server(ok(b"")) as (port, _):
        stream, took = await connect([dead, forbidden, alive], port, limits, 2)
        stream.close()
        assert stream.who == f"127.0.0.1:{port}" and took < 2
        for order in ([forbidden, dead], [dead, forbidden]):
            with pytest.raises(ProbeFailed, match=r"127\.0\.0\.2:\d+ refused the connection"):
                await connect(order, port, limits, 2)


async def test_silent_address_leaves_time_for_the_next():
    """A listener whose queue is full answers no SYN."""
    with socket.socket() as full:
        full.bind(("127.0.0.3", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.3", port))
            fillers.append(filler)
        await asyncio.sleep(0.05)
        with socket.socket() as alive:
            alive.bind(("127.0.0.1", port))
            alive.listen()
            addresses = [ipaddress.ip_address("127.0.0.3"), ipaddress.ip_address("127.0.0.1")]
            stream, took = await connect(addresses, port, Limits(), 0.4)
            stream.close()
            assert stream.who == f"127.0.0.1:{port}" and took < 0.2
        found = await fetch(f"http://127.0.0.3:{port}/", timeout=0.2)
        assert (found.state, found.reason) == (DOWN, "no connection was made within 0.2 s")
        for filler in fillers:
            filler.close()


async def test_one_name_is_looked_up_once_at_a_time():
    resolver = Resolver()
    first, second = await asyncio.gather(resolver.addresses("localhost"), resolver.addresses("localhost"))
    assert first is second and ipaddress.ip_address("127.0.0.1") in first
    await resolver.close()


async def test_environment_proxies_are_ignored(monkeypatch, free_port):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port}")
    assert (await outcome_of(ok(b""))).state == UP


@pytest.mark.real
async def test_real_web_server(tmp_path, free_port, identity):
    """nginx: gzip on, chunked, a redirect to https, a certificate."""
    (tmp_path / "index.html").write_text("Trang chủ" * 1000)
    async with nginx(tmp_path, free_port, identity):
        found = await fetch(f"https://127.0.0.1:{free_port}/index.html", authority=str(identity))
        assert found.measures["http_status"] == 200
        redirected = await fetch(f"http://127.0.0.1:{free_port}/", authority=str(identity))
        assert redirected.state == UP and redirected.measures["redirects"] == 1


# Configuration


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"url": "ftp://example.com/"}, "must begin with http:// or https://"),
        ({"url": "http://user:pw@example.com/"}, "must not carry a user name or password"),
        ({"url": "http://example.com/a b"}, "no spaces or control characters"),
        ({"url": "http://example.com/\r\nX: y"}, "no spaces or control characters"),
        ({"url": "http://example.com:0/"}, "port is not a number"),
        ({"url": "http://exa_$mple.com/"}, "is not a host name"),
        ({"url": "http:///path"}, "there is no host name"),
        ({"headers": ["X: a\r\nY: b"]}, "characters that a header cannot carry"),
        ({"headers": ["no colon"]}, "is not a header field"),
        ({"headers": ["Authorization: Basic x"]}, "would put a secret into the plan"),
        ({"headers": ["Content-Length: 3"]}, "is set by the probe itself"),
        ({"expect_status": ["2xx"]}, "neither a status nor a range"),
        ({"expect_status": [1000]}, "neither a status nor a range"),
        ({"expect_pattern": r"(a)\1"}, "invalid escape sequence"),
        ({"refuse_pattern": "("}, r"missing \)"),
        ({"max_body": -1}, "max_body"),
        ({"metod": "GET"}, "no parameter metod"),
        ({"method": "DELETE"}, "method cannot be"),
    ],
)
def test_mistakes_are_refused_in_words(params, words):
    with pytest.raises(BadProbe, match=words):
        build("http", {"url": "http://example.com/", **params})


def test_endpoints_name_what_is_contacted():
    assert build("http", {"url": "https://Sở.Example/x"}).endpoints() == (("xn--s-lym.example", 443),)
    assert build("http", {"url": "http://[2001:db8::1]:8080"}).endpoints() == (("2001:db8::1", 8080),)


def test_url_is_taken_apart():
    url = parse_url("HTTP://EXAMPLE.com:80/đường?q=é")
    assert (url.host, url.port, url.authority) == ("example.com", 80, "example.com")
    assert url.path == "/%C4%91%C6%B0%E1%BB%9Dng?q=%C3%A9" and str(url) == "http://example.com" + url.path


@given(st.text(max_size=60))
def test_no_url_can_end_a_line_of_the_request(text):
    try:
        url = parse_url(f"http://example.com/{text}")
    except ValueError:
        return
    assert re.fullmatch(r"[!-~]+", url.path + url.authority)


@given(st.text(max_size=60))
def test_no_field_can_end_a_line_of_the_request(text):
    try:
        fields = parse_fields((text,))
    except ValueError:
        return
    assert not any(c in name + value for name, value in fields for c in "\r\n\0")
