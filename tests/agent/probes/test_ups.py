"""The UPS probe: its parameters, its limits, what it makes of silence."""

import socket
from ipaddress import ip_network
from typing import Any

import pytest

from agent import probes
from agent.clients.ups.model import FLAG_MEASURES, PLAUSIBLE, UpsReading
from agent.clients.ups.reader import PowerSources
from agent.credentials import Credentials
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes.ups import Ups
from inventory.protocol.states import UNKNOWN
from tests.support.credentials import known


def look(timeout: float = 1.0, limits: Limits | None = None) -> ProbeContext:
    return ProbeContext(timeout, limits or Limits(), {})


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "ups: the parameter host is missing"),
        ({"host": "a", "way": "usb"}, "ups: way cannot be 'usb'"),
        ({"host": "a", "way": "snmp"}, "ups: way snmp needs a credential: the name under which the agent's file has"),
        ({"host": "a", "way": "apcupsd", "ups": "b"}, "ups: ups names a UPS in NUT; way apcupsd has no names"),
        ({"host": "a", "ups": 'b"\nSET VAR'}, "ups: ups: expected str matching regex"),
        ({"host": "a", "port": 65536}, "ups: port: expected int <= 65535"),
        ({"host": "a", "version": "4"}, "ups: version cannot be '4'"),
        ({"host": "a", "community": "public"}, "ups: there is no parameter community"),
    ],
)
def test_parameters_that_are_wrong_are_named(params: dict[str, Any], words: str) -> None:
    with pytest.raises(probes.BadProbe) as refused:
        probes.build("ups", params)
    assert str(refused.value).startswith(words)


@pytest.mark.parametrize(("way", "port"), [("nut", 3493), ("apcupsd", 3551), ("snmp", 161)])
async def test_each_way_has_its_port_and_the_agents_limits_hold(way: Any, port: int) -> None:
    probe = Ups(host="127.0.0.1", way=way, credential="x")
    assert probe.endpoints() == (("127.0.0.1", port),)
    limits = Limits(networks=(ip_network("10.0.0.0/8"),))
    given = ProbeContext(1.0, limits, {}, known("x", {"community": "c"}))
    outcome = await probe.run(given)
    assert outcome == Outcome(UNKNOWN, "127.0.0.1 is outside the networks this agent may probe")
    assert Ups(host="a", way=way, port=7, credential="x").endpoints() == (("a", 7),)


async def test_silence_says_nothing_of_the_power() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        for way, who in (("nut", "upsd"), ("apcupsd", "apcupsd")):
            outcome = await Ups(host="127.0.0.1", way=way, port=port).run(look(0.1))  # type: ignore[arg-type]
            assert outcome == Outcome(UNKNOWN, f"{who} at 127.0.0.1 port {port} did not answer in full within 0.1 s")
    refused = await Ups(host="127.0.0.1", port=port).run(look())
    assert refused == Outcome(UNKNOWN, f"127.0.0.1:{port} refused the connection")


async def test_a_credential_that_is_not_there_is_named() -> None:
    for way in ("nut", "snmp"):
        probe = Ups(host="127.0.0.1", way=way, credential="phong-may")
        outcome = await probe.run(ProbeContext(1.0, Limits(), {}, Credentials(file="agent.yaml")))
        assert outcome == Outcome(UNKNOWN, "there is no credential 'phong-may' in agent.yaml (credentials:)")


def test_what_the_model_can_say_is_declared() -> None:
    assert {measure.name for measure in Ups.measures} == {*FLAG_MEASURES.values(), *PLAUSIBLE}


def test_since_when_is_only_told_when_the_change_was_seen() -> None:
    now = [1000.0]
    sources, probe = PowerSources(lambda: now[0]), Ups(host="a")

    def noted(battery: bool | None, lost: str = "", **values: float) -> dict[str, float]:
        reading = UpsReading({} if battery is None else {"battery": battery}, dict(values), lost)
        sources.record(probe, reading)
        now[0] += 10
        return reading.values

    assert noted(True) == {}  # it may have been so for hours
    assert noted(True) == {}
    assert noted(False) == {"on_mains_seconds": 0}
    assert noted(False) == {"on_mains_seconds": 10}
    assert noted(True) == {"on_battery_seconds": 0}
    assert noted(True, on_battery_seconds=14.0) == {"on_battery_seconds": 14}  # the UPS itself knows better
    assert noted(None) == {}
    assert noted(True) == {}  # what was in between is not known
    assert noted(False, lost="old") == {}
    assert noted(False) == {}
