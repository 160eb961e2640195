"""The names of a listener: its own and no others, however they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inventory.base.http_listener import HostNames, address_of

LOOPBACK, LAN, SIX = ("127.0.0.1", 8440), ("192.0.2.7", 8440), ("::1", 8440, 0, 0)
NAMES = HostNames(["monitor.province.example", "2001:DB8::1", "Giám.example"])


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1:8440", LOOPBACK), ("127.0.0.1", LOOPBACK), ("localhost:8440", LOOPBACK), ("LOCALHOST", LOOPBACK),
        ("[::1]:8440", SIX), ("localhost", SIX), ("[::1]", LOOPBACK), ("127.0.0.1:9", ("::ffff:127.0.0.1", 1, 0, 0)),
        ("127.0.0.53:80", LOOPBACK), ("192.0.2.7:8440", LAN), ("192.0.2.7", ("::ffff:192.0.2.7", 8440, 0, 0)),
        ("monitor.province.example", LAN), ("Monitor.Province.example:443", LOOPBACK), ("[2001:db8:0::1]:1", LAN),
        ("evil.example", "/run/pings.sock"), ("[fe80::1]", ("fe80::1%eth0", 1, 0, 2)),
    ],
)  # fmt: skip
def test_own_names(host: str, local: object) -> None:
    assert NAMES.includes(host, local)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("evil.example", LOOPBACK), ("evil.example:8440", LOOPBACK), ("127.0.0.1.evil.example", LOOPBACK),
        ("localhost.evil.example", LOOPBACK), ("evil.example#127.0.0.1", LOOPBACK), ("127.0.0.1@evil.ex", LOOPBACK),
        ("evil.example/127.0.0.1", LOOPBACK), ("localhost\x00", LOOPBACK), ("localhost ", LOOPBACK),
        (" localhost", LOOPBACK), ("localhost,evil.example", LOOPBACK), ("localhost:", LOOPBACK),
        ("localhost:x", LOOPBACK), ("localhost:123456", LOOPBACK), ("", LOOPBACK), ("::1", LOOPBACK), ("[::1", SIX),
        ("0x7f.0.0.1", LOOPBACK), ("2130706433", LOOPBACK), ("127.1", LOOPBACK), ("0177.0.0.1", LOOPBACK),
        ("localhost", LAN), ("127.0.0.1", LAN), ("192.0.2.8", LAN), ("0.0.0.0", LAN), ("xlocalhost", LOOPBACK),
        ("a.monitor.province.example", LAN), ("monitor.province.example.", LAN), ("monitor-province.example", LAN),
        ("１２７.0.0.1", LOOPBACK), ("ｌocalhost", LOOPBACK), ("[2001:db8::2]", LAN),
    ],
)  # fmt: skip
def test_other_names(host: str, local: object) -> None:
    assert not NAMES.includes(host, local)


@given(st.text(max_size=40), st.sampled_from(["", ":8440", ":80"]))
def test_whatever_stands_there_only_loopback_is_loopback(host: str, port: str) -> None:
    """No spelling gets in that is not one of a loopback address, localhost, or a name given."""
    if HostNames(["given.example"]).includes(host + port, LOOPBACK):
        bare = host.partition(":")[0] if not host.startswith("[") else host.partition("]")[0] + "]"
        address = address_of(bare)
        assert bare.lower() in ("localhost", "given.example") or (address is not None and address.is_loopback)


@given(st.from_regex(r"(localhost|127\.0\.0\.1|given\.example)[.a-z0-9@:-]{1,20}", fullmatch=True))
def test_a_name_that_goes_on_is_another_one(host: str) -> None:
    rest = host.removeprefix("localhost").removeprefix("127.0.0.1").removeprefix("given.example")
    address = address_of(host.partition(":")[0])
    taken = HostNames(["given.example"]).includes(host, LOOPBACK)
    is_port = rest[:1] == ":" and rest[1:].isdigit() and len(rest) <= 6
    assert taken == (is_port or (address is not None and address.is_loopback and (":" not in host or is_port_of(host))))


def is_port_of(host: str) -> bool:
    port = host.partition(":")[2]
    return port.isdigit() and len(port) <= 5
