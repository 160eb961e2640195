"""From where a request comes: the client behind a trusted proxy, under which name, and from whose page."""

import ipaddress

import msgspec
from aiohttp import web

from collector.config import ProxyConfig
from inventory.base.http_listener import HostNames, address_of

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_PORTS = {"http": "80", "https": "443"}


class RemoteClient(msgspec.Struct, frozen=True):
    """Who is at the other end, seen through a trusted proxy."""

    address: str  # IP address, "" where it is not known
    host: str | None  # under which name it asked, port and all; None: it gave none
    scheme: str  # http or https, as its browser sees it
    proxied: bool  # by a trusted proxy
    private: bool  # nobody on the way can read what it sends


class Origins:
    """Judges requests by the listener's names and its trusted proxies."""

    def __init__(self, names: HostNames, proxy: ProxyConfig) -> None:
        self._names = names
        self._proxies = [ipaddress.ip_network(text, strict=False) for text in proxy.addresses]

    def client(self, request: web.BaseRequest) -> RemoteClient:
        """Headers that speak for somebody else count only when a trusted proxy sends them."""
        peer = _end(request, "peername")
        here = _end(request, "sockname")
        tls = request.transport is not None and request.transport.get_extra_info("ssl_object") is not None
        host = request.headers.get("Host")
        if not self._is_proxy(peer):
            local = all((one := address_of(end)) is not None and one.is_loopback for end in (peer, here))
            return RemoteClient(peer, host, "https" if tls else "http", proxied=False, private=tls or local)
        behind = self._forwarded_for(request)
        address = behind or peer
        scheme = _last(request, "X-Forwarded-Proto").lower()
        at_the_proxy = (said := address_of(behind)) is not None and said.is_loopback
        # a proxy that says nothing is trusted to have asked its clients for TLS; one that says http has not
        private = scheme in ("https", "") or at_the_proxy
        scheme = scheme if scheme in _PORTS else "https" if tls else "http"
        return RemoteClient(address, _last(request, "X-Forwarded-Host") or host, scheme, proxied=True, private=private)

    def names_us(self, request: web.BaseRequest, client: RemoteClient) -> bool:
        """Whether the request is for a name of this listener. Without any (HTTP/1.0) no browser sent it."""
        if len(request.headers.getall("Host", ())) > 1:
            return False
        local = request.transport.get_extra_info("sockname") if request.transport is not None else None
        target = request.raw_path
        if not target.startswith(("/", "*")):  # the absolute form, which has a name of its own
            authority = target.partition("://")[2].partition("/")[0].partition("?")[0]
            if not self._names.includes(authority, local):
                return False
        return client.host is None or self._names.includes(client.host, local)

    def _is_proxy(self, peer: str) -> bool:
        address = address_of(peer)
        return address is not None and any(address in network for network in self._proxies)

    def _forwarded_for(self, request: web.BaseRequest) -> str:
        """The last address that no trusted proxy has: those before it, anybody can have written. "": none."""
        said = [one for value in request.headers.getall("X-Forwarded-For", ()) for one in value.split(",")]
        furthest = ""
        for text in reversed(said):
            address = address_of(_without_port(text.strip()))
            if address is None:
                return ""
            furthest = str(address)
            if not self._is_proxy(furthest):
                break
        return furthest


def is_foreign(request: web.BaseRequest, client: RemoteClient) -> bool:
    """Whether a browser says that it was a page of somebody else's that made it send this."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = request.headers.get("Origin")
    return origin is not None and not is_own_origin(origin, client)


def has_proof(request: web.BaseRequest) -> bool:
    """Whether a browser said at all from where it sends."""
    return "Origin" in request.headers or "Sec-Fetch-Site" in request.headers


def is_own_origin(origin: str, client: RemoteClient) -> bool:
    """Whether an Origin header names this listener as the client sees it."""
    scheme, separator, authority = origin.lower().partition("://")
    if not separator or scheme != client.scheme or client.host is None:
        return False
    return _with_port(authority, scheme) == _with_port(client.host.lower(), scheme)


def throttled_as(address: str) -> str:
    """What counts as one address: an IPv6 network of 64 bits is one customer's."""
    found = address_of(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))
    return address


def _without_port(text: str) -> str:
    """Some proxies write 203.0.113.5:40000 or [2001:db8::5]:40000."""
    host, colon, port = text.rpartition(":")
    return host if colon and port.isdecimal() and (host.endswith("]") or ":" not in host) else text


def _with_port(authority: str, scheme: str) -> str:
    tail = authority.rpartition("]")[2]
    return authority if ":" in tail else f"{authority}:{_PORTS[scheme]}"


def _end(request: web.BaseRequest, name: str) -> str:
    end = request.transport.get_extra_info(name) if request.transport is not None else None
    address = address_of(str(end[0])) if isinstance(end, tuple) else None
    return str(address) if address is not None else ""


def _last(request: web.BaseRequest, name: str) -> str:
    values = request.headers.getall(name, ())
    return values[-1].rpartition(",")[2].strip() if values else ""
