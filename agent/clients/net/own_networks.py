"""The networks that this machine itself is connected to, as its interfaces have them.

Public ones are left out: behind a provider's address stand strangers. So are single addresses.
"""

import ipaddress
import socket
import struct
from collections.abc import Iterable
from typing import Final

from agent.clients.net.neighbours import NetworkTables
from agent.probe import Network

_ADDRESS: Final = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, interface
_IFA_ADDRESS, _IFA_LOCAL = 1, 2

LOOPBACK: Final = (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128"))


def connected_networks(tables: NetworkTables | None = None) -> tuple[Network, ...]:
    """Private networks of this machine's interfaces, loopback first; loopback alone where it does not tell."""
    dump = (tables or NetworkTables()).addresses()
    pairs = _by_psutil() if dump is None else _by_netlink(dump)
    found: dict[Network, None] = dict.fromkeys(LOOPBACK)
    for address, length in pairs:
        try:
            network = ipaddress.ip_network((address, length), strict=False)
        except ValueError:
            continue
        if network.is_private and not network.is_loopback and network.num_addresses > 1:
            found[network] = None
    return tuple(found)


def _by_netlink(dump: Iterable[tuple[bytes, dict[int, bytes]]]) -> list[tuple[bytes, int]]:
    pairs = []
    for body, attributes in dump:
        length = _ADDRESS.unpack(body)[1]
        if (address := attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS)) is not None:
            pairs.append((address, length))
    return pairs


def _by_psutil() -> list[tuple[str, int]]:
    import psutil  # only where the kernel has no netlink

    pairs = []
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family in (socket.AF_INET, socket.AF_INET6) and address.netmask:
                mask = int(ipaddress.ip_address(address.netmask))
                pairs.append((address.address.partition("%")[0], mask.bit_count()))
    return pairs
