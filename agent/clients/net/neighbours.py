"""The kernel's tables of neighbours, own addresses and gateways, read by rtnetlink (Linux).

Layouts: linux/netlink.h, linux/rtnetlink.h, linux/neighbour.h, linux/if_addr.h. Reading needs no privilege. Where
netlink is kept from us (a sandbox), ``/proc/net`` says less: which addresses have a hardware address, not since when.
"""

import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

import msgspec

from agent.failure import ProbeFailed
from inventory.protocol.reasons import sentence
from inventory.protocol.states import UNKNOWN

_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_ATTRIBUTE: Final = struct.Struct("=HH")  # rtattr: length, type
_NEIGHBOUR: Final = struct.Struct("=BxxxiHBB")  # ndmsg: family, interface, state, flags, type
_AGES: Final = struct.Struct("=III")  # nda_cacheinfo: ticks since confirmed, used, updated
_ERROR, _DONE = 2, 3
_GET_ADDRESSES, _GET_ROUTES, _GET_NEIGHBOURS = 22, 26, 30
_DUMP: Final = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_BODY: Final = {_GET_ADDRESSES: 8, _GET_ROUTES: 12, _GET_NEIGHBOURS: _NEIGHBOUR.size}
_IFA_LOCAL, _RTA_GATEWAY, _NDA_DST, _NDA_LLADDR, _NDA_CACHEINFO = 2, 5, 1, 2, 3

INCOMPLETE, REACHABLE, STALE, DELAY, PROBE = 0x01, 0x02, 0x04, 0x08, 0x10  # NUD_*
PENDING: Final = INCOMPLETE | DELAY | PROBE  # the kernel is asking, or about to
ANSWERED: Final = REACHABLE | STALE | DELAY | PROBE  # it did answer, once; what an administrator wrote is not here
_LARGEST: Final = 1 << 17  # of one read; the kernel fills at most 32 KiB


class Neighbour(msgspec.Struct, frozen=True):
    """An entry of the neighbour table. ``hardware``: its address there, b"" while nobody answered.

    ``state``: NUD_* of the kernel. ``confirmed``: seconds since it last proved to be there; None where that is not
    known.
    """

    address: IPv4Address
    hardware: bytes
    state: int
    confirmed: float | None


class NetworkTables:
    """The kernel's tables, IPv4. Everything raises Trouble (no evidence) where this machine does not tell."""

    def __init__(self, netlink: bool = sys.platform == "linux", proc: Path = Path("/proc/thread-self/net")) -> None:
        self._netlink = netlink
        self._proc = proc

    def neighbours(self) -> list[Neighbour]:
        """Who has answered for which address, and who is being asked for."""
        if (messages := self._dump(_GET_NEIGHBOURS)) is not None:
            return [
                neighbour
                for body, message_attributes in messages
                if (neighbour := _parse_neighbour(body, message_attributes)) is not None
            ]
        return [neighbour for line in self._proc_lines("arp") if (neighbour := _parse_arp_line(line)) is not None]

    def own_addresses(self, toward: IPv4Address) -> set[IPv4Address]:
        """This machine's addresses; at least the one from which it would speak to ``toward``."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.connect((str(toward), 9))  # sends nothing
            except OSError as error:
                raise ProbeFailed(
                    sentence("this machine has no way to {toward}: {error}", toward=toward, error=error.strerror),
                    UNKNOWN,
                ) from None
            addresses = {IPv4Address(sock.getsockname()[0])}
        for _, message_attributes in self._dump(_GET_ADDRESSES) or ():
            if _IFA_LOCAL in message_attributes:
                addresses.add(IPv4Address(message_attributes[_IFA_LOCAL]))
        return addresses

    def addresses(self) -> list[tuple[bytes, dict[int, bytes]]] | None:
        """This machine's addresses, IPv4 and IPv6, as (body, attributes); None where netlink is not to be had."""
        return self._dump(_GET_ADDRESSES, socket.AF_UNSPEC)

    def gateways(self) -> set[IPv4Address]:
        """The next hops of all routes; empty where this machine does not tell."""
        messages = self._dump(_GET_ROUTES)
        if messages is not None:
            hops = [
                message_attributes[_RTA_GATEWAY]
                for _, message_attributes in messages
                if _RTA_GATEWAY in message_attributes
            ]
            return {IPv4Address(hop) for hop in hops if len(hop) == 4}
        try:
            hops_in_file = [bytes.fromhex(line.split()[2]) for line in self._proc_lines("route")]
        except (ProbeFailed, ValueError, IndexError):
            return set()
        return {IPv4Address(hop[::-1] if sys.byteorder == "little" else hop) for hop in hops_in_file if any(hop)}

    def _dump(self, table: int, family: int = socket.AF_INET) -> list[tuple[bytes, dict[int, bytes]]] | None:
        """A dump of one table; None where netlink is not to be had."""
        if not self._netlink:
            return None
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
                sock.settimeout(1.0)
                sock.bind((0, 0))
                request = bytes([family]).ljust(_BODY[table], b"\0")
                sock.sendto(_HEADER.pack(_HEADER.size + len(request), table, _DUMP, 1, 0) + request, (0, 0))
                return list(_messages(sock, table))
        except OSError:
            return None

    def _proc_lines(self, name: str) -> list[str]:
        path = self._proc / name
        try:
            return path.read_text("ascii").splitlines()[1:]
        except (OSError, UnicodeDecodeError):
            raise ProbeFailed(
                sentence("this machine does not tell its neighbours: neither netlink nor {path}", path=path), UNKNOWN
            ) from None


def _messages(sock: socket.socket, table: int) -> Iterator[tuple[bytes, dict[int, bytes]]]:
    """(body, attributes) of each message of a dump, up to its end. Raises OSError for the kernel's refusal."""
    while True:
        data = sock.recv(_LARGEST)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, _flags, _sequence, _port = _HEADER.unpack_from(data, at)
            if kind == _DONE or length < _HEADER.size:
                return
            message = data[at + _HEADER.size : at + length]
            if kind == _ERROR:
                number = -struct.unpack_from("=i", message)[0]
                raise OSError(number, os.strerror(number))
            yield message[: _BODY[table]], parse_attributes(message[_BODY[table] :])
            at += (length + 3) & ~3


def parse_attributes(data: bytes) -> dict[int, bytes]:
    """A message's attributes by type; what is cut off is left out."""
    values = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size or at + length > len(data):
            break
        values[kind] = data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return values


def _parse_neighbour(body: bytes, message_attributes: dict[int, bytes]) -> Neighbour | None:
    address = message_attributes.get(_NDA_DST, b"")
    if len(address) != 4 or len(body) < _NEIGHBOUR.size:
        return None
    _family, _interface, state, _flags, _type = _NEIGHBOUR.unpack(body)
    confirmed = None
    if len(message_attributes.get(_NDA_CACHEINFO, b"")) >= _AGES.size:
        confirmed = _AGES.unpack_from(message_attributes[_NDA_CACHEINFO])[0] / os.sysconf("SC_CLK_TCK")
    hardware = message_attributes.get(_NDA_LLADDR, b"")
    return Neighbour(IPv4Address(address), hardware if any(hardware) else b"", state, confirmed)


def _parse_arp_line(line: str) -> Neighbour | None:
    """A line of /proc/net/arp: address, type, flags, hardware address, ... Flags: 2 complete, 4 permanent."""
    fields = line.split()
    try:
        address, flags = ipaddress.IPv4Address(fields[0]), int(fields[2], 16)
        hardware = bytes.fromhex(fields[3].replace(":", ""))
    except (ValueError, IndexError):
        return None
    if flags & 4:
        return None
    return Neighbour(address, hardware if any(hardware) else b"", STALE if flags & 2 else INCOMPLETE, None)
