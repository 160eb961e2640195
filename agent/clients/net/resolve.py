"""Resolve host names to addresses for every probe: one look-up per name at a time, in its own thread.

``getaddrinfo`` cannot be interrupted. With a shared pool a dead resolver would fill it and one check would delay
another; a thread per name and no more than ``MAX_THREADS`` of them cannot.
"""

import asyncio
import functools
import ipaddress
import socket
import threading
from typing import Any, Final

from agent.failure import ProbeFailed
from agent.probe import Address
from inventory.protocol.reasons import sentence
from inventory.protocol.states import UNKNOWN

MAX_THREADS: Final = 64
FAMILIES: Final = {"any": socket.AF_UNSPEC, "ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}

_ERROR_TEXTS: Final = {
    socket.EAI_NONAME: sentence("there is no such name"),
    socket.EAI_AGAIN: sentence("the resolver does not answer"),
    socket.EAI_FAIL: sentence("the resolver failed"),
    getattr(socket, "EAI_NODATA", None): sentence("the name has no address"),
    getattr(socket, "EAI_ADDRFAMILY", None): sentence("the name has no address of this family"),
}


@functools.lru_cache(maxsize=1024)
def address_literal(host: str) -> Address | None:
    """The address that ``host`` spells out (brackets and zone allowed), or None when it is a name."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def bare_host(host: str) -> str:
    """The name or address as TLS, certificates and the Host field have it: the dot that makes a name absolute and an
    address's interface are the resolver's and the socket's alone (RFC 6066, section 3; RFC 6874)."""
    address = address_literal(host)
    if address is not None:
        return str(address).partition("%")[0]
    return host.rstrip(".") or host


class Resolver:
    """The agent's one way to addresses (a shared client: ``look.client(Resolver, Resolver)``)."""

    def __init__(self) -> None:
        self._pending: dict[tuple[str, str], asyncio.Future[list[Address]]] = {}

    async def addresses(self, host: str, family: str = "any") -> list[Address]:
        """The addresses of a name in the system's order. Raises Trouble, with the reason in words."""
        address = address_literal(host)
        if address is not None:
            if family != "any" and family != f"ipv{address.version}":
                raise ProbeFailed(
                    sentence("{host} is not an {it} address", host=host, it=family.replace("ipv", "IPv")), UNKNOWN
                )
            return [address]
        future = self._pending.get((host, family))
        if future is None:
            if len(self._pending) >= MAX_THREADS:
                raise ProbeFailed(sentence("too many name look-ups are waiting for an answer"), UNKNOWN)
            future = self._start_lookup(host, family)
        return await asyncio.shield(future)  # others may wait for the same answer

    def _start_lookup(self, host: str, family: str) -> "asyncio.Future[list[Address]]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Address]] = loop.create_future()
        self._pending[host, family] = future

        def finish(answer: list[Address] | ProbeFailed) -> None:
            self._pending.pop((host, family), None)
            if future.done():
                return
            if isinstance(answer, ProbeFailed):
                future.set_exception(answer)
                future.exception()  # the one who asked may be gone by now
            else:
                future.set_result(answer)

        def look_up() -> None:
            answer = _look_up(host, family)
            try:
                loop.call_soon_threadsafe(finish, answer)
            except RuntimeError:
                pass  # the loop has ended meanwhile

        threading.Thread(target=look_up, name=f"resolve {host}", daemon=True).start()
        return future

    async def close(self) -> None:
        for future in self._pending.values():
            future.cancel()
        self._pending.clear()


def _look_up(host: str, family: str) -> list[Address] | ProbeFailed:
    try:
        answers = socket.getaddrinfo(host, None, FAMILIES[family], socket.SOCK_STREAM)
    except socket.gaierror as error:
        words = _ERROR_TEXTS.get(error.errno) or str(error.strerror or error)
        return ProbeFailed(sentence("cannot resolve {host}: {words}", host=host, words=words))
    except (OSError, UnicodeError) as error:
        return ProbeFailed(sentence("cannot resolve {host}: {error}", host=host, error=error))
    addresses = dict.fromkeys(_address(answer[4]) for answer in answers)
    return list(addresses) or ProbeFailed(sentence("cannot resolve {host}: the name has no address", host=host))


def _address(sockaddr: tuple[Any, ...]) -> Address:
    """With its interface, where it has one: a link-local address is nothing without."""
    bare = str(sockaddr[0]).partition("%")[0]
    scope = sockaddr[3] if len(sockaddr) > 3 else 0
    return ipaddress.ip_address(f"{bare}%{_interface(scope)}" if scope else bare)


def _interface(index: int) -> str:
    try:
        return socket.if_indextoname(index)
    except OSError:
        return str(index)
