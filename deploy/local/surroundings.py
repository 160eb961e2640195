"""Discovers what a machine can watch around itself, without asking anybody and without root.

The default gateway, the resolvers, its own addresses, the services that listen on it, and a web site if one can
be reached. Each becomes one check of the starter inventory.
"""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import msgspec
import psutil

WEB_SITES = ("https://www.chinhphu.vn/", "https://example.com/")
MOST_SERVICES = 12  # a machine with hundreds of listeners does not want a check for each
# by number, because /etc/services is not on every machine
WELL_KNOWN = {22: "ssh", 25: "smtp", 53: "dns", 80: "http", 143: "imap", 443: "https", 445: "smb", 631: "ipp",
              3306: "mysql", 3389: "rdp", 5432: "postgresql", 8080: "http-alt"}  # fmt: skip


class StarterCheck(msgspec.Struct, frozen=True):
    """One thing to watch: ``kind`` and ``params`` are a check's in the inventory."""

    id: str
    vi: str
    en: str
    kind: str
    params: dict[str, Any]


async def discover_checks(own_ports: Iterable[int] = ()) -> list[StarterCheck]:
    """Everything worth a check, the nearest first. ``own_ports`` are ours and not worth watching."""
    resolver_checks = [await expect_current_rcode(each) for each in resolvers()]
    checks = [*gateways(), *resolver_checks, *own_addresses(), *services(set(own_ports))]
    site = await reachable_site()
    if site:
        checks.append(StarterCheck("web", f"Trang web {site}", f"Web site {site}", "http", {"url": site}))
    return checks


def gateways(
    routes: Path = Path("/proc/net/route"), routes6: Path = Path("/proc/net/ipv6_route")
) -> list[StarterCheck]:
    """The default gateways (Linux; elsewhere nothing is found)."""
    addresses = []
    for line in _lines(routes)[1:]:
        fields = line.split()
        # destination and mask 0: the default route; addresses are hexadecimal in host byte order
        if len(fields) > 7 and fields[1] == fields[7] == "00000000" and fields[2] != "00000000":
            addresses.append(str(ipaddress.IPv4Address(struct.pack("=L", int(fields[2], 16)))))
    for line in _lines(routes6):
        fields = line.split()
        if len(fields) > 9 and fields[0] == "0" * 32 and fields[1] == "00" and fields[4] != "0" * 32:
            address = ipaddress.IPv6Address(bytes.fromhex(fields[4]))
            addresses.append(f"{address}%{fields[9]}" if address.is_link_local else str(address))
    return [
        StarterCheck(_numbered("gateway", place), f"Cổng mặc định {address}", f"Default gateway {address}", "icmp",
              {"host": address})
        for place, address in enumerate(dict.fromkeys(addresses))
    ]  # fmt: skip


def resolvers(configuration: Path = Path("/etc/resolv.conf")) -> list[StarterCheck]:
    """The name servers: asked for the root's name servers, which every resolver knows."""
    checks: list[StarterCheck] = []
    for line in _lines(configuration):
        fields = line.split()
        if len(fields) < 2 or fields[0] != "nameserver":
            continue
        params = {"server": fields[1], "name": ".", "type": "NS"}
        text = f"máy chủ tên miền {fields[1]}", f"Resolver {fields[1]}"
        checks.append(StarterCheck(_numbered("resolver", len(checks)), text[0].capitalize(), text[1], "dns", params))
    return checks


async def expect_current_rcode(resolver: StarterCheck, timeout: float = 2.0, port: int = 53) -> StarterCheck:
    """The check of a resolver that has another code for the question than "no error" expects that code.

    Resolvers of closed networks know no root and yet work; what matters is that one goes on answering as it does.
    """
    question = dns.message.make_query(resolver.params["name"], resolver.params["type"])
    try:
        answer = await dns.asyncquery.udp(question, resolver.params["server"], timeout, port)
    except (dns.exception.DNSException, OSError, ValueError):
        return resolver
    code = dns.rcode.to_text(answer.rcode())
    if code not in ("NXDOMAIN", "REFUSED", "SERVFAIL", "NOTIMP"):
        return resolver
    return msgspec.structs.replace(resolver, params={**resolver.params, "rcode": code})


def own_addresses() -> list[StarterCheck]:
    """This machine's own addresses on interfaces that are up; loopback when there is nothing else."""
    addresses: list[tuple[str, str]] = []
    up = {name for name, stats in psutil.net_if_stats().items() if stats.isup}
    for name, entries in psutil.net_if_addrs().items():
        if name not in up:
            continue
        for entry in entries:
            if entry.family == socket.AF_INET and not ipaddress.ip_address(entry.address).is_loopback:
                addresses.append((name, entry.address))
    return [
        StarterCheck(f"interface-{_slug(name)}-{place}" if place else f"interface-{_slug(name)}",
              f"Địa chỉ {address} của {name}", f"Address {address} of {name}", "icmp", {"host": address})
        for place, (name, address) in enumerate(addresses or [("lo", "127.0.0.1")])
    ]  # fmt: skip


def services(without: set[int]) -> list[StarterCheck]:
    """TCP services that listen here, on an address at which this machine reaches them."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except (psutil.AccessDenied, OSError):
        return []
    listening: dict[int, str] = {}
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or connection.laddr.port in without:
            continue
        address = ipaddress.ip_address(connection.laddr.ip)
        if address.is_unspecified:
            address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
        listening.setdefault(connection.laddr.port, str(address))
    checks = []
    for port, host in sorted(listening.items())[:MOST_SERVICES]:
        name = WELL_KNOWN.get(port, f"port-{port}")
        params = {"host": host, "port": port}
        vi, en = f"Dịch vụ {name} ({host} cổng {port})", f"Service {name} ({host} port {port})"
        checks.append(StarterCheck(f"service-{name}", vi, en, "tcp", params))
    return checks


async def reachable_site(sites: Iterable[str] = WEB_SITES, timeout: float = 3.0) -> str | None:
    """The first web site whose TLS port answers."""
    for site in sites:
        host = site.split("/")[2]
        try:
            async with asyncio.timeout(timeout):
                _, writer = await asyncio.open_connection(host, 443)
        except (OSError, TimeoutError):
            continue
        writer.close()
        return site
    return None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []


def _numbered(name: str, place: int) -> str:
    return name if place == 0 else f"{name}-{place + 1}"


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-") or "x"
