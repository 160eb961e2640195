"""What a machine finds to watch around itself."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import dns.message
import dns.rcode
import pytest

from agent.probes.dns import Dns
from deploy.local import surroundings


def test_gateways_are_read_from_the_kernels_tables(tmp_path: Path) -> None:
    routes = tmp_path / "route"
    little = socket.inet_aton("198.51.100.1")[::-1].hex().upper()  # as a little-endian machine prints it
    routes.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        f"eth0\t00000000\t{little}\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        f"eth0\t00006433\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
        f"eth1\t00000000\t{little}\t0003\t0\t0\t9\t00000000\t0\t0\t0\n"
    )
    routes6 = tmp_path / "ipv6_route"
    nothing = "0" * 32
    link_local = "fe80" + "0" * 27 + "1"
    routes6.write_text(
        f"{nothing} 00 {nothing} 00 {link_local} 00000400 00000001 00000000 00000003 eth0\n"
        f"{nothing} 00 {nothing} 00 {nothing} ffffffff 00000001 00000000 00200200 lo\n"
    )
    found = surroundings.gateways(routes, routes6)
    assert [(each.id, each.params["host"]) for each in found] == [
        ("gateway", "198.51.100.1"),
        ("gateway-2", "fe80::1%eth0"),
    ]


def test_resolvers_are_read_in_order_and_junk_is_passed_over(tmp_path: Path) -> None:
    configuration = tmp_path / "resolv.conf"
    configuration.write_text(
        "# made by hand\nsearch example\nnameserver 192.0.2.53\nnameserver\nnameserver 2001:db8::53\n"
    )
    found = surroundings.resolvers(configuration)
    assert [each.params["server"] for each in found] == ["192.0.2.53", "2001:db8::53"]
    assert [each.id for each in found] == ["resolver", "resolver-2"]


class Closed(asyncio.DatagramProtocol):
    """A resolver of a closed network: answers every question with one code."""

    def __init__(self, code: dns.rcode.Rcode) -> None:
        self.code = code

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        answer = dns.message.make_response(dns.message.from_wire(data))
        answer.set_rcode(self.code)
        self.transport.sendto(answer.to_wire(), address)


@pytest.mark.parametrize(
    ("code", "expected"), [(dns.rcode.NXDOMAIN, "NXDOMAIN"), (dns.rcode.REFUSED, "REFUSED"), (dns.rcode.NOERROR, None)]
)
async def test_a_resolver_without_the_root_is_expected_to_answer_as_it_does(
    tmp_path: Path, code: dns.rcode.Rcode, expected: str | None
) -> None:
    configuration = tmp_path / "resolv.conf"
    configuration.write_text("nameserver 127.0.0.1\n")
    (found,) = surroundings.resolvers(configuration)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: Closed(code), ("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    asked = await surroundings.expect_current_rcode(found, port=port)
    transport.close()
    assert asked.params.get("rcode") == expected
    Dns(**asked.params)


async def test_a_resolver_that_does_not_answer_is_watched_as_any(tmp_path: Path) -> None:
    configuration = tmp_path / "resolv.conf"
    configuration.write_text("nameserver 127.0.0.1\n")
    (found,) = surroundings.resolvers(configuration)
    assert await surroundings.expect_current_rcode(found, timeout=0.2, port=1) == found


def test_a_machine_without_these_files_has_neither(tmp_path: Path) -> None:
    assert surroundings.gateways(tmp_path / "no", tmp_path / "no6") == []
    assert surroundings.resolvers(tmp_path / "no") == []


def test_a_listening_service_is_found_at_an_address_that_reaches_it_and_ours_are_not() -> None:
    with socket.create_server(("", 0)) as theirs, socket.create_server(("127.0.0.1", 0)) as ours:
        port = theirs.getsockname()[1]
        found = surroundings.services(without={ours.getsockname()[1]})
        ports = {each.params["port"]: each for each in found}
        if len(found) < surroundings.MOST_SERVICES:
            assert ports[port].params["host"] == "127.0.0.1"
            assert ports[port].kind == "tcp"
        assert ours.getsockname()[1] not in ports


def test_own_addresses_are_never_empty() -> None:
    assert all(each.kind == "icmp" for each in surroundings.own_addresses())
    assert surroundings.own_addresses()


async def test_a_site_that_does_not_answer_is_not_watched() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0):
        site = await asyncio.wait_for(surroundings.reachable_site(["https://192.0.2.255.invalid/"], 0.5), 5)
    assert site is None
