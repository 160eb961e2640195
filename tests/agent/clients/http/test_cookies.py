"""Cookies as browsers have them (RFC 6265, 5.2 to 5.4), and Locations with bytes of any sort."""

import asyncio
import re
from typing import Any

import pytest

from agent.clients.http.cookies import Cookies
from agent.clients.http.http1 import Head, parse_url, redirect_url
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes import build
from inventory.protocol.states import UP

HERE = "http://h.example.test/a/b"


def sent(url: str, *lines: str | bytes, start: str = HERE) -> str:
    """The Cookie field for ``url`` after these Set-Cookie lines came from ``start``, one answer after the other."""
    cookies = Cookies()
    for line in lines:
        value = line if isinstance(line, bytes) else line.encode("latin-1")
        cookies.keep(parse_url(start), Head(302, {b"set-cookie": [value]}, b""))
    return dict(cookies.fields_for(parse_url(url))).get("Cookie", "")


GONE = "Thu, 01-Jan-1970 00:00:01 GMT"


@pytest.mark.parametrize(
    ("lines", "url", "field"),
    [
        (["S=1; path=/"], HERE, "S=1"),
        (["S=1; path=/", "S=; Max-Age=0; path=/"], HERE, ""),
        (["S=1; path=/", "S=; Max-Age=-1; path=/"], HERE, ""),
        (["S=1; path=/", f"S=deleted; expires={GONE}; path=/"], HERE, ""),
        (["S=1; path=/", "S=x; expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/"], HERE, ""),
        (["S=1; path=/", f"S=deleted; expires={GONE}; path=/other"], HERE, "S=1"),
        (["S=1; path=/", f"S=2; expires={GONE}; Max-Age=100; path=/"], HERE, "S=2"),
        (["S=1; path=/", "S=2; path=/"], HERE, "S=2"),
        (["S=1; path=/a"], "http://h.example.test/a/x", "S=1"),
        (["S=1; path=/a"], "http://h.example.test/ab", ""),
        (["S=1"], "http://h.example.test/a/other", "S=1"),
        (["S=1"], "http://h.example.test/", ""),
        (["S=1; path=no-slash"], "http://h.example.test/a/c", "S=1"),
        (["A=1; path=/", "B=2; path=/a"], HERE, "B=2; A=1"),
        (["A=1; path=/", "A=2; path=/a"], HERE, "A=2; A=1"),
        (["S=a b; path=/"], HERE, "S=a b"),
        (['S="x y"; path=/'], HERE, 'S="x y"'),
        (["S=a=b==; path=/"], HERE, "S=a=b=="),
        (["A B=3; path=/"], HERE, "A B=3"),
        (["S=1; path=/; Domain=example.test"], "http://other.example.test/", "S=1"),
        (["S=1; path=/; Domain=.example.test"], "http://other.example.test/", "S=1"),
        (["S=1; path=/; domain=EXAMPLE.test"], "http://other.example.test/", "S=1"),
        (["S=1; path=/"], "http://other.example.test/", ""),
        (["S=1; path=/"], "http://sub.h.example.test/", ""),
        (["S=1; path=/; Domain=other.example.test"], "http://other.example.test/", ""),
        (["S=1; path=/; Domain=evil.test"], "http://evil.test/", ""),
        (["S=1; path=/; Secure"], HERE, ""),
        (["S=1; path=/; HttpOnly; SameSite=Strict; Priority=High"], HERE, "S=1"),
        (["S=1; path=/; Version=1; Comment=x"], HERE, "S=1"),
        ([b"S=caf\xe9; path=/"], HERE, "S=caf\xe9"),
        ([b"S=1\r\nX: y; path=/"], HERE, ""),
        ([b"S=\x01; path=/"], HERE, ""),
        (["=only; path=/"], "http://h.example.test/", ""),
    ],
)
def test_kept_and_sent(lines: list[Any], url: str, field: str) -> None:
    assert sent(url, *lines) == field


def test_hosts_that_are_addresses_or_have_no_dot() -> None:
    for host in ("127.0.0.1", "localhost", "[::1]"):
        url = f"http://{host}:81/"
        assert sent(url, "S=1; path=/", start=url) == "S=1"
        assert sent(url, f"S=1; path=/; Domain={host}", start=url) == "S=1"
    assert sent("https://h.example.test/", "S=1; path=/; Secure", start="https://h.example.test/") == "S=1"


# through the probe


async def walk(pages: dict[str, tuple[str, list[str]]], path: str = "/start") -> Outcome:
    """A site of redirects: path -> (where to, or a pattern that the Cookie field has to fit; Set-Cookie lines)."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        found = re.search(r"\r\nCookie: (.*)\r\n", head)
        where, lines = pages.get(head.split()[1], ("never", []))
        fields = "".join(f"Set-Cookie: {line}\r\n" for line in lines)
        if where.startswith("/"):
            answer = f"HTTP/1.1 302 Found\r\n{fields}Location: {where}\r\nContent-Length: 0\r\n\r\n"
        else:
            status = "200 OK" if re.fullmatch(where, found[1] if found else "") else "403 Forbidden"
            answer = f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"
        writer.write(answer.encode("latin-1"))
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{path}"
        return await build("http", {"url": url}).run(ProbeContext(5, Limits(), {}))
    finally:
        server.close()


async def test_a_cookie_that_is_taken_back_is_not_sent() -> None:
    found = await walk(
        {
            "/start": ("/mid", ["S=old; path=/"]),
            "/mid": ("/land", [f"S=deleted; expires={GONE}; Max-Age=0; path=/"]),
            "/land": ("", []),
        }
    )
    assert (found.state, found.reason) == (UP, "")


async def test_the_same_place_with_another_cookie_is_no_circle() -> None:
    found = await walk({"/start": ("/next", ["S=a b; path=/"]), "/next": ("S=a b", [])})
    assert (found.state, found.reason) == (UP, "")
    found = await walk(
        {"/start": ("/admin/x", ["S=good; path=/", "S=; Max-Age=0; path=/admin"]), "/admin/x": ("S=good", [])}
    )
    assert (found.state, found.reason) == (UP, "")


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        (b"/t/caf\xe9", "/t/caf%E9"),
        ("/t/cà".encode(), "/t/c%C3%A0"),
        (b"/a b?c d", "/a%20b?c%20d"),
        (b"/x%41?y=%zz", "/x%41?y=%zz"),
        (b"other", "/dir/other"),
        (b"?q=\xff", "/dir/page?q=%FF"),
        (b"..\\up", "/up"),
        (b"/tab\tbed", "/tabbed"),
        (b"/cut#here", "/cut"),
        (b"//h.example.test/x", "/x"),
    ],
)
def test_the_bytes_of_a_location_go_on_as_they_came(location: bytes, asked: str) -> None:
    assert redirect_url(parse_url("http://h.example.test/dir/page"), location).path == asked


def test_names_in_a_location_and_what_is_of_the_socket_alone() -> None:
    base = parse_url("http://h.example.test/")
    assert redirect_url(base, "http://máy.example.test/".encode()).host == "xn--my-mia.example.test"
    dotted = parse_url("https://www.example.test.:444/x")
    assert (dotted.host, dotted.authority) == ("www.example.test.", "www.example.test:444")
    assert redirect_url(dotted, b"/y").host == "www.example.test."
    zoned = parse_url("http://[fe80::2%25v0]:8080/x")
    assert (zoned.host, zoned.authority) == ("fe80::2%v0", "[fe80::2]:8080")
    assert redirect_url(zoned, b"/y").host == "fe80::2%v0"
