"""One HTTP/1.1 exchange on a fresh connection (RFC 9112) for probes; every length is bounded.

Written for looks, not for clients in general: the request says ``Connection: close`` and asks for no encoding;
an answer that is encoded all the same is decoded within the same bounds (``body``).
"""

import functools
import re
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

import msgspec

from agent.clients.net.resolve import address_literal, bare_host
from agent.clients.net.stream import TcpStream
from agent.failure import ProbeFailed, printable
from inventory.protocol.reasons import sentence

MAX_HEAD: Final = 65_536  # bytes of status line and header fields, interim answers included
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.\d[ \t]+([1-9]\d\d)(?:[ \t][^\r\n]*)?\r?$")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST: Final = re.compile(r"[0-9a-z_](?:[0-9a-z_.-]{0,252})")
_UNSAFE: Final = re.compile(r"[\x00-\x20\x7f]")
_SAFE_PATH: Final = re.compile(r"[!-~]*")


class Url(msgspec.Struct, frozen=True):
    """``host`` as it is resolved (IDNA, with the dot or the interface that it may have), ``authority`` as the Host
    field carries it, without these; ``path`` with its query."""

    tls: bool
    host: str
    port: int
    authority: str
    path: str

    @property
    def origin(self) -> tuple[bool, str, int]:
        return (self.tls, self.host, self.port)

    def __str__(self) -> str:
        shown = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        port = "" if self.port == (443 if self.tls else 80) else f":{self.port}"
        return f"{'https' if self.tls else 'http'}://{shown}{port}{self.path}"


@functools.lru_cache(maxsize=1024)
def parse_url(text: str) -> Url:
    """Raises ValueError, in words. A name and password in a URL are refused: they would be secrets in a plan."""
    if _UNSAFE.search(text):
        raise ValueError(sentence("a URL has no spaces or control characters"))
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https"):
        raise ValueError(sentence("the URL must begin with http:// or https://"))
    if "@" in parts.netloc:
        raise ValueError(sentence("the URL must not carry a user name or password"))
    tls = parts.scheme == "https"
    try:
        port = parts.port if parts.port is not None else (443 if tls else 80)
    except ValueError:
        raise ValueError(sentence("the URL's port is not a number from 1 to 65535")) from None
    if port == 0:
        raise ValueError(sentence("the URL's port is not a number from 1 to 65535"))
    host = ascii_host(unquote(parts.hostname or ""))
    bare = bare_host(host)
    shown = f"[{bare}]" if ":" in bare else bare
    authority = shown if port == (443 if tls else 80) else f"{shown}:{port}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _SAFE_PATH.fullmatch(path):  # letters beyond ASCII go percent-encoded, as UTF-8
        path = "".join(c if "!" <= c <= "~" else "".join(f"%{b:02X}" for b in c.encode()) for c in path)
    return Url(tls, host, port, authority, path)


def redirect_url(url: Url, location: bytes) -> Url:
    """Where a Location leads. Its bytes go on as they came, percent-encoded where no URL may have them. Raises
    ValueError, in words."""
    # tabs and backslashes as browsers have them (WHATWG URL)
    text = location.partition(b"#")[0].strip().replace(b"\t", b"")
    path, question, query = text.partition(b"?")
    text = path.replace(b"\\", b"/") + question + query
    return parse_url(urljoin(str(url), "".join(chr(b) if 0x20 < b < 0x7F else f"%{b:02X}" for b in text)))


def ascii_host(name: str) -> str:
    """A host name as the resolver, TLS and the Host field want it (IDNA), or an address. Raises ValueError."""
    if not name:
        raise ValueError(sentence("there is no host name"))
    address = address_literal(name)
    if address is not None:
        return str(address)
    if len(name) > 253:
        raise ValueError(sentence("the host name is too long"))
    try:
        ascii_name = name.lower() if name.isascii() else name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError(sentence("{name} is not a host name", name=printable(name))) from None
    if not _HOST.fullmatch(ascii_name) or ".." in ascii_name or any(len(part) > 63 for part in ascii_name.split(".")):
        raise ValueError(sentence("{name} is not a host name", name=printable(name)))
    return ascii_name


def parse_fields(lines: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """``Name: value`` lines as pairs. Raises ValueError for anything that could end a line or a field early."""
    fields = []
    for line in lines:
        name, colon, value = line.partition(":")
        value = value.strip()
        if not colon or not _TOKEN.fullmatch(name):
            raise ValueError(sentence("{line} is not a header field (Name: value)", line=printable(line)))
        if any((c < " " and c != "\t") or c == "\x7f" or c > "\xff" for c in value):
            raise ValueError(sentence("the header field {name} has characters that a header cannot carry", name=name))
        fields.append((name, value))
    return tuple(fields)


@functools.lru_cache(maxsize=1024)
def build_request(url: Url, method: str, fields: tuple[tuple[str, str], ...], body: bytes) -> bytes:
    """The request's bytes. ``fields`` may replace Host, User-Agent and Accept."""
    given_names = {name.lower() for name, _ in fields}
    defaults = (("Host", url.authority), ("User-Agent", "haidang-agent"), ("Accept", "*/*"))
    lines = [f"{method} {url.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in defaults if name.lower() not in given_names]
    lines += [f"{name}: {value}" for name, value in fields]
    lines += ["Accept-Encoding: identity", "Connection: close"]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Head:
    """The final answer's status and fields, and the first bytes of its body that came along."""

    __slots__ = ("fields", "rest", "status")

    def __init__(self, status: int, fields: dict[bytes, list[bytes]], rest: bytes) -> None:
        self.status = status
        self.fields = fields
        self.rest = rest

    def last_value(self, name: bytes) -> bytes | None:
        values = self.fields.get(name)
        return values[-1] if values else None


async def read_head(stream: TcpStream, first: bytes) -> Head:
    """The head of the final answer, from its first bytes on; interim (1xx) answers are passed over.

    Raises Trouble for anything that is not HTTP/1 or longer than MAX_HEAD.
    """
    data, used = first, 0
    while True:
        end = _end_of_head(data)
        while end < 0:
            if not data.startswith(b"HTTP/1."[: len(data)]):
                begins = data.partition(b"\n")[0].rstrip(b"\r")
                raise ProbeFailed(sentence("the answer is not HTTP/1: it begins {data}", data=printable(begins)))
            if used + len(data) > MAX_HEAD:
                raise ProbeFailed(sentence("the answer's header is longer than {max_head} bytes", max_head=MAX_HEAD))
            more = await stream.receive()
            if not more:
                raise ProbeFailed(
                    sentence("the connection ended within the answer's header")
                    if data
                    else sentence("the answer is empty")
                )
            searched = max(len(data) - 3, 0)
            data += more
            end = _end_of_head(data, searched)
        used += end
        if used > MAX_HEAD:
            raise ProbeFailed(sentence("the answer's header is longer than {max_head} bytes", max_head=MAX_HEAD))
        head = _parse_head(data[:end], data[end:])
        if head.status >= 200 or head.status == 101:
            return head
        data = head.rest


def _end_of_head(data: bytes, start: int = 0) -> int:
    """Where the empty line ends, or -1. Lines may end in a bare LF (RFC 9112, section 2.2)."""
    crlf = data.find(b"\r\n\r\n", start)
    bare = data.find(b"\n\n", start)
    if crlf < 0:
        return bare + 2 if bare >= 0 else -1
    return min(crlf + 4, bare + 2) if bare >= 0 else crlf + 4


def _parse_head(data: bytes, rest: bytes) -> Head:
    lines = data.split(b"\n")
    matched = _STATUS_LINE.match(lines[0])
    if not matched:
        line = lines[0].rstrip(b"\r")
        if not line.startswith(b"HTTP/1."):
            raise ProbeFailed(sentence("the answer is not HTTP/1: it begins {data}", data=printable(line)))
        raise ProbeFailed(
            sentence("the answer's first line has no status of three digits: {line}", line=printable(line))
        )
    fields: dict[bytes, list[bytes]] = {}
    values: list[bytes] = []
    for line in lines[1:]:
        if line[:1] in (b" ", b"\t") and values:  # an obsolete folded line goes on with the field before it
            values[-1] = (values[-1] + b" " + line.strip()).strip()
            continue
        name, colon, value = line.partition(b":")
        if colon:
            values = fields.setdefault(name.strip().lower(), [])
            values.append(value.strip())
        elif line.strip():
            raise ProbeFailed(sentence("the answer's header has a line that is no field: {line}", line=printable(line)))
    return Head(int(matched[1]), fields, rest)
