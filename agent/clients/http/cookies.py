"""Cookies on the way through redirects, as browsers keep and send them (RFC 6265): the standard library's jar."""

import email.message
import re
from typing import TYPE_CHECKING, Any, Final

from agent.clients.http.http1 import Head, Url
from agent.clients.net.resolve import address_literal

if TYPE_CHECKING:
    from http.cookiejar import CookieJar

MAX_COOKIES: Final = 50  # taken from one answer
_DOMAIN: Final = re.compile(r";\s*domain\s*=\s*\"?\.?([^;\"\s]*)[^;]*", re.IGNORECASE)
_BAD_PATH: Final = re.compile(r";\s*path\s*=\s*(?!/)[^;]*", re.IGNORECASE)
_VERSION: Final = re.compile(r";\s*(?:version|port)\s*=[^;]*", re.IGNORECASE)


class Cookies:
    """The cookies of one look. Without any, nothing is loaded and nothing is sent."""

    def __init__(self) -> None:
        self._jar: CookieJar | None = None

    def keep(self, url: Url, head: Head) -> None:
        """Take in, or delete, what an answer says."""
        said = [line.decode("latin-1").replace("\t", " ") for line in head.fields.get(b"set-cookie", ())[:MAX_COOKIES]]
        # what goes into our own header must not be able to end a line there
        lines = [_as_browsers_read(line, url) for line in said if not any(c < " " or c == "\x7f" for c in line)]
        if not lines:
            return
        if self._jar is None:
            from http.cookiejar import CookieJar, DefaultCookiePolicy  # who meets no cookie does without

            # a cookie without Domain is its host's own
            strict = DefaultCookiePolicy(strict_ns_domain=DefaultCookiePolicy.DomainStrictNonDomain)
            self._jar = CookieJar(strict)
        self._jar.extract_cookies(_Answer(lines), _Request(url))  # type: ignore[arg-type]  # they are all it uses

    def fields_for(self, url: Url) -> tuple[tuple[str, str], ...]:
        """The Cookie field to send, or none."""
        if self._jar is None:
            return ()
        request = _Request(url)
        self._jar.add_cookie_header(request)  # type: ignore[arg-type]
        return (("Cookie", request.cookie),) if request.cookie else ()


def _as_browsers_read(line: str, url: Url) -> str:
    """What the jar takes in another way than browsers do: a Domain that is the host itself, a Path without its /, and
    the attributes of RFC 2965, which nobody else knows."""
    pair, semicolon, attributes = line.partition(";")
    attributes = _VERSION.sub("", _BAD_PATH.sub("", semicolon + attributes))
    domain = _DOMAIN.search(attributes)
    if domain and (not domain[1] or (domain[1].lower() == _host(url) and _host_only(_host(url)))):
        attributes = _DOMAIN.sub("", attributes)
    return pair + attributes


def _host(url: Url) -> str:
    return url.authority.rpartition(":")[0] if url.authority.rpartition("]")[2].count(":") else url.authority


def _host_only(host: str) -> bool:
    return "." not in host or address_literal(host) is not None


class _Answer:
    """As the jar wants to have it."""

    def __init__(self, lines: list[str]) -> None:
        self._message = email.message.Message()
        for line in lines:
            self._message["Set-Cookie"] = line

    def info(self) -> email.message.Message:
        return self._message


class _Request:
    """As the jar wants to have it (http.cookiejar's documentation says which methods)."""

    unverifiable = False
    origin_req_host = ""

    def __init__(self, url: Url) -> None:
        self._url = url
        self.type = "https" if url.tls else "http"
        self.host = url.authority
        self.cookie = ""

    def get_full_url(self) -> str:
        return str(self._url)

    def has_header(self, name: str) -> bool:
        return False

    def get_header(self, name: str, default: Any = None) -> Any:
        return default

    def add_unredirected_header(self, name: str, value: str) -> None:
        if name == "Cookie":
            self.cookie = value
