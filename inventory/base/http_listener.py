"""What every HTTP listener of ours has in common: the names that it answers to, and no versions in its answers.

A browser can be made to believe that a foreign name is this machine (DNS rebinding): a page of that name then talks to
what listens here, as if it were its own. The name that it sends (``Host``) is what tells.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

SERVER: Final = "haidang"  # the whole of the Server header
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253})(?::(\d{1,5}))?", re.ASCII)
_LOCALHOST: Final = "localhost"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class HostNames:
    """A listener's own names: those given, the address that a connection came in at, and on loopback ``localhost``.

    ``names``: host names or addresses, without ports. A port is not looked at: a page under one of these names is ours
    or this machine's, whatever way (a tunnel, a container's port) led to it.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = frozenset(_canonical(name) for name in names)

    def includes(self, host: str, local: object) -> bool:
        """Whether a request for ``host`` (the whole field, port and all) means this listener.

        ``local``: the connection's own end as the socket says it. Nobody's browser gets to a Unix socket, whose end is
        a path.
        """
        if not isinstance(local, tuple):
            return True
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = _canonical(match[1])
        if name in self._names:
            return True
        here = address_of(str(local[0]))
        asked = address_of(name)
        if asked is not None:
            return asked == here or (here is not None and here.is_loopback and asked.is_loopback)
        return name == _LOCALHOST and here is not None and here.is_loopback


def address_of(text: str) -> Address | None:
    """The IP address that is written so, an IPv4 one written as IPv6 as what it is; None when it is none."""
    try:
        address = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def hide_versions() -> None:
    """No answer names aiohttp, Python or their versions from now on, whoever makes it: also those to garbage."""
    from aiohttp import web_response

    vars(web_response)["SERVER_SOFTWARE"] = SERVER  # what a response without a Server header gets


def _canonical(name: str) -> str:
    address = address_of(name)
    return str(address) if address is not None else name.lower()
