"""UPSs as snmpsim plays them: every value of the kinds ups, power and snmp, by version 2c and by all levels of 3."""

from collections.abc import Iterator
from typing import Any

import pytest

from agent.probe import Limits, Outcome, ProbeContext
from agent.probes.power import MEASURED, Power
from agent.probes.snmp import Snmp
from agent.probes.ups import Ups
from inventory.protocol.states import DOWN, UNKNOWN, UP
from tests.support.credentials import known
from tests.support.snmpsim import SECRETS, USERS, credential, snmpsim
from tests.support.ups_recordings import RECORDINGS

pytestmark = pytest.mark.real

LEVELS = ("2c", *USERS)


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with snmpsim(tmp_path_factory.mktemp("snmpsim"), {name: each.rows for name, each in RECORDINGS.items()}) as made:
        yield made


class Asking:
    """Looks at one recording, by one level, with their shared clients."""

    def __init__(self, port: int, level: str, recording: str, seconds: float = 5.0, **changes: str) -> None:
        self.where: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": port,
            "version": "3" if level in USERS else "2c",
            "credential": "phong-may",
        }
        self.look = ProbeContext(seconds, Limits(), {}, known("phong-may", {**credential(level, recording), **changes}))

    async def ups(self) -> Outcome:
        return await Ups(way="snmp", **self.where).run(self.look)

    async def power(self) -> Outcome:
        return await Power(way="snmp", **self.where).run(self.look)

    async def snmp(self, **more: Any) -> Outcome:
        return await Snmp(**self.where, **more).run(self.look)

    async def __aenter__(self) -> "Asking":
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self.look._clients.values():
            await client.close()


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", RECORDINGS)
async def test_every_value_comes_out(port: int, name: str, level: str) -> None:
    expected = RECORDINGS[name]
    async with Asking(port, level, name) as asking:
        ups, power = await asking.ups(), await asking.power()
    assert (ups.state, ups.reason) == (expected.state, expected.reason)
    told = dict(ups.measures)
    age = told.pop("battery_age_seconds", None)
    assert told == pytest.approx(expected.measures)
    assert (age is not None) == expected.aged
    assert power.state == expected.source
    assert power.measures == pytest.approx({key: told[key] for key in MEASURED if key in told})
    assert ups.latency is not None and power.latency is not None


@pytest.mark.parametrize("level", LEVELS)
async def test_the_card_as_a_device_of_its_own(port: int, level: str) -> None:
    async with Asking(port, level, "apc-boost") as asking:
        first = await asking.snmp(interfaces=("eth0",), oid="1.3.6.1.4.1.318.1.1.1.4.3.2.0")
        value = await asking.snmp(oid="1.3.6.1.4.1.318.1.1.1.3.2.1.0", scale=0.5)
        text = await asking.snmp(oid="1.3.6.1.2.1.1.5.0")
    assert (first.state, first.reason) == (
        DOWN,
        "127.0.0.1 has no object 1.3.6.1.4.1.318.1.1.1.4.3.2.0; 127.0.0.1: 1 interface is down: eth0",
    )
    assert first.measures == {
        "uptime_seconds": 86_400.5,
        "interfaces_up": 0,
        "interfaces_down": 1,
        "speed_bytes_per_second": 12_500_000,
        "ignored_replies": 0,
    }
    assert (value.state, value.measures["value"]) == (UP, 98)
    assert text.reason == "127.0.0.1 has no number at 1.3.6.1.2.1.1.5.0, but 'ups-tang-2'"


@pytest.mark.parametrize(
    ("level", "changes", "reason"),
    [
        ("authNoPriv", {"auth_password": "not-it-canary"}, "does not accept this credential: auth_password"),
        ("authPriv", {"auth": "sha256"}, "does not accept this credential: auth_password (or auth) is wrong"),
        ("authPriv", {"priv_password": "not-it-canary"}, "priv_password (or priv) is wrong"),
        ("noAuthNoPriv", {"user": "nobody-canary"}, "does not know the user of this credential"),
        ("2c", {"community": "wr0ng-canary"}, "did not answer within"),
    ],
)
async def test_what_is_wrong_with_the_credential_is_said_and_is_no_evidence_of_the_power(
    port: int, level: str, changes: dict[str, str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with Asking(port, level, "apc-boost", 1.0, **changes) as asking:
        outcomes = [await asking.ups(), await asking.power()]
    for outcome in outcomes:
        assert outcome.state == UNKNOWN
        assert reason in outcome.reason
        assert not outcome.measures
    assert not [secret for secret in (*SECRETS, "canary") if secret in f"{outcomes} {caplog.text}"]
