"""SNMP version 3 against Debian's snmpd: levels, wrong passwords, restarts, another engine at the same address."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from agent.clients.snmp import SnmpClient, SnmpNoResponse, SnmpSession, SnmpTarget, SnmpUser, access_from_credential
from agent.clients.snmp.discovery import engine_at
from agent.failure import ProbeFailed
from inventory.base.types import Secret
from inventory.protocol.states import DOWN, UNKNOWN
from tests.support.snmp import Snmpd, snmpd

pytestmark = pytest.mark.real

USERS = """
createUser alice SHA alices-password AES alices-secret
rouser alice authpriv
createUser bob SHA-256 bobs-password
rouser bob auth
createUser carol
rouser carol noauth
"""
ALICE = {
    "user": "alice", "auth": "sha1", "auth_password": "alices-password", "priv": "aes128",
    "priv_password": "alices-secret",
}  # fmt: skip
BOB = {"user": "bob", "auth": "sha256", "auth_password": "bobs-password"}
CAROL = {"user": "carol"}
SECRETS = ("alices-password", "alices-secret", "bobs-password", "not-the-password")
UPTIME, NAME, NONE = "1.3.6.1.2.1.1.3.0", "1.3.6.1.2.1.1.5.0", "1.3.6.1.2.1.1.99.0"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snmpd]:
    with snmpd(tmp_path_factory.mktemp("snmpd"), USERS) as made:
        yield made


@pytest.fixture
async def snmp() -> AsyncIterator[SnmpClient]:
    made = SnmpClient()
    yield made
    await made.close()


async def session(snmp: SnmpClient, server: Snmpd, credential: dict[str, str], seconds: float = 5.0) -> SnmpSession:
    access = access_from_credential("core", "3", credential)
    return await snmp.session(SnmpTarget(ip_address("127.0.0.1"), server.port, access), seconds)


@pytest.mark.parametrize("credential", [ALICE, BOB, CAROL], ids=["authPriv", "authNoPriv", "noAuthNoPriv"])
async def test_every_level(snmp: SnmpClient, server: Snmpd, credential: dict[str, str]) -> None:
    talk = await session(snmp, server, credential)
    found = await talk.get([UPTIME, NAME, NONE, "1.3.6.1.2.1.1.2.0", "1.3.6.1.2.1.4.20.1.1.127.0.0.1"])
    assert found[NAME] == b"core-switch"
    assert isinstance(found[UPTIME], int)
    assert NONE not in found
    assert found["1.3.6.1.2.1.1.2.0"] == "1.3.6.1.4.1.8072.3.2.10"
    assert found["1.3.6.1.2.1.4.20.1.1.127.0.0.1"] == "127.0.0.1"
    walk = await talk.walk("1.3.6.1.2.1.2.2.1.2", "1.3.6.1.2.1.2.2.1.8")
    assert walk.cut == ""
    assert b"lo" in walk.columns[0].values()
    assert list(walk.columns[0]) == list(walk.columns[1])


async def test_ipv6(snmp: SnmpClient, server: Snmpd) -> None:
    target = SnmpTarget(ip_address("::1"), server.port, access_from_credential("core", "3", BOB))
    assert (await (await snmp.session(target, 5.0)).get([NAME]))[NAME] == b"core-switch"


@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        ({**ALICE, "auth_password": "not-the-password"}, "does not accept this credential: auth_password"),
        ({**BOB, "auth": "sha1"}, "does not accept this credential: auth_password"),
        ({**BOB, "user": "mallory"}, "does not know the user of this credential"),
        ({**BOB, "user": "carol"}, "does not let this user ask at this level"),
        ({key: ALICE[key] for key in ("user", "auth", "auth_password")}, "does not let this credential read"),
    ],
)
async def test_what_is_wrong_with_a_credential_is_said(
    snmp: SnmpClient, server: Snmpd, credential: dict[str, str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ProbeFailed, match=reason) as told:
        await (await session(snmp, server, credential, 3.0)).get([NAME])
    assert told.value.state == UNKNOWN
    said = told.value.reason + caplog.text + repr(access_from_credential("core", "3", credential))
    assert not [secret for secret in SECRETS if secret in said]


async def test_a_wrong_privacy_password_is_silence_with_a_hint(snmp: SnmpClient, server: Snmpd) -> None:
    wrong = {**ALICE, "priv_password": "not-the-password"}
    with pytest.raises(
        SnmpNoResponse, match=r"speaks version 3, but did not answer this user .*: priv_password"
    ) as told:
        await (await session(snmp, server, wrong, 1.0)).get([NAME])
    assert told.value.state == DOWN
    assert (await (await session(snmp, server, ALICE)).get([NAME]))[NAME] == b"core-switch"


async def test_nothing_there(snmp: SnmpClient, tmp_path: Path) -> None:
    with pytest.raises(SnmpNoResponse, match=r"did not answer within .* s: no SNMP version 3 there"):
        await (await session(snmp, Snmpd(tmp_path), BOB, 0.5)).get([NAME])


async def test_two_keys_of_one_user_do_not_disturb_each_other(snmp: SnmpClient, server: Snmpd) -> None:
    async def wrong() -> None:
        with pytest.raises(ProbeFailed, match="auth_password"):
            await (await session(snmp, server, {**BOB, "auth_password": "not-the-password"}, 3.0)).get([NAME])

    async def right() -> None:
        assert (await (await session(snmp, server, BOB)).get([NAME]))[NAME] == b"core-switch"

    await asyncio.gather(right(), wrong(), right(), wrong(), right())


async def test_the_device_restarts(snmp: SnmpClient, tmp_path: Path) -> None:
    """Its engine's boots go up: questions with the old figure are refused once, then asked anew."""
    with snmpd(tmp_path, USERS) as server:
        for _ in range(2):
            assert (await (await session(snmp, server, ALICE)).get([NAME]))[NAME] == b"core-switch"
            server.stop()
            server.start()
        assert (await (await session(snmp, server, ALICE)).get([NAME]))[NAME] == b"core-switch"


async def test_another_device_takes_the_address(snmp: SnmpClient, tmp_path: Path) -> None:
    with snmpd(tmp_path, USERS) as server:
        assert (await (await session(snmp, server, ALICE)).get([NAME]))[NAME] == b"core-switch"
        first = await engine_at(ip_address("127.0.0.1"), server.port, 1.0)
        server.stop()
        server.engine = "two"
        server.start()
        assert await engine_at(ip_address("127.0.0.1"), server.port, 1.0) not in (first, None)
        assert (await (await session(snmp, server, ALICE, 3.0)).get([NAME]))[NAME] == b"core-switch"


@pytest.mark.parametrize(
    ("credential", "reason"),
    [
        ({}, "names no user"),
        ({"user": "a", "auth": "md5", "auth_password": "x" * 8}, "has an auth that is none of sha1, sha256"),
        ({"user": "a", "auth": "sha1"}, r"has auth but no auth_password \(auth_password_file\)"),
        ({"user": "a", "auth_password": "short"}, "has an auth_password of less than 8 characters"),
        ({"user": "a", "priv_password": "x" * 8}, "has a priv_password but no auth_password"),
        ({"user": "a", "community": "hunter2"}, "has the key 'community'"),
    ],
)
def test_no_user(credential: dict[str, str], reason: str) -> None:
    with pytest.raises(ProbeFailed, match=f"^the credential 'core' {reason}") as told:
        access_from_credential("core", "3", credential)
    assert told.value.state == UNKNOWN
    assert "hunter2" not in told.value.reason


def test_what_a_credential_says() -> None:
    secret = "x" * 8
    assert access_from_credential("core", "3", {"user": "a", "auth_password": secret}) == SnmpUser(
        "a", "sha1", Secret(secret)
    )
    with pytest.raises(ProbeFailed, match=r"has no community \(community_file\)"):
        access_from_credential("core", "2c", {"user": "a"})


class Babbler(asyncio.DatagramProtocol):
    """Answers whatever it is sent with what is not SNMP, or with its own question."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for packet in (b"", b"noise", data, data[:-3], bytes((data[0], 0x84)) + b"\xff" * 40, data[:20] + b"\0" * 200):
            self.transport.sendto(packet, addr)


async def test_a_device_that_babbles(snmp: SnmpClient, caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()
    heard: list[dict[str, object]] = []
    loop.set_exception_handler(lambda loop, context: heard.append(context))
    transport, _ = await loop.create_datagram_endpoint(Babbler, local_addr=("127.0.0.1", 0))
    port: int = transport.get_extra_info("sockname")[1]
    try:
        target = SnmpTarget(ip_address("127.0.0.1"), port, access_from_credential("core", "3", ALICE))
        with pytest.raises(ProbeFailed, match=r"did not answer|no answer of version 3"):
            await (await snmp.session(target, 1.0)).get([NAME])
        assert await engine_at(ip_address("127.0.0.1"), port, 0.2) is None
    finally:
        transport.close()
    assert (heard, caplog.text) == ([], "")
