"""The kind snmp against Debian's snmpd and devices of our own: time, ports, rates, resources, sensors, any number."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent import probes
from agent.cli.kinds_file import describe
from agent.cli.main import main
from agent.clients.look_memory import CheckMemory
from agent.clients.snmp import SnmpClient, ber
from agent.credentials import Credentials
from agent.probe import Limits, Outcome, ProbeContext
from agent.runtime.thresholds import integers
from inventory.base.types import Secret
from inventory.protocol.plan import Column, Plan, PlannedCheck
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.paths import ROOT
from tests.support.snmp import (
    IF,
    IFX,
    Snmpd,
    SnmpDevice,
    SnmpRequest,
    TimedReplies,
    counter,
    counter64,
    device,
    integer,
    octets,
    opaque_float,
    reply,
    snmpd,
    switch,
    ticks,
    unsigned,
)

CANARY = "c4nary-of-soctrang"
USER = f"createUser robot SHA {CANARY} AES {CANARY}-2\nrouser robot authpriv\n"
CREDENTIALS = Credentials(
    {
        "core": {"community": Secret(CANARY)},
        "robot": {"user": Secret("robot"), "auth_password": Secret(CANARY), "priv_password": Secret(f"{CANARY}-2")},
        "empty": {"user": Secret("robot")},
    }
)


class Agent:
    """Looks with what an agent shares between them; its clock is ours."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.clients: dict[type[Any], Any] = {CheckMemory: CheckMemory(lambda: self.now)}

    async def look(self, port: int, timeout: float = 3.0, limits: Limits | None = None, **params: Any) -> Outcome:
        probe = probes.build("snmp", {"host": "127.0.0.1", "port": port, **params})
        return await probe.run(ProbeContext(timeout, limits or Limits(), self.clients, CREDENTIALS))

    def later(self, made: SnmpDevice, seconds: float) -> None:
        """Time goes by, for the device too."""
        self.now += seconds
        now = ber.decode_value(*made.objects["1.3.6.1.2.1.1.3.0"])
        assert isinstance(now, int)
        made.objects["1.3.6.1.2.1.1.3.0"] = ticks(now + int(seconds * 100))
        made.objects.pop("1.3.6.1.6.3.10.2.1.3.0", None)


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    made = Agent()
    yield made
    for client in made.clients.values():
        await client.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snmpd]:
    with snmpd(tmp_path_factory.mktemp("snmpd"), USER) as made:
        yield made


# -- Debian's snmpd


@pytest.mark.real
@pytest.mark.parametrize(
    "params", [{"version": "1"}, {}, {"version": "3", "credential": "robot"}], ids=["1", "2c", "3"]
)
async def test_a_real_device(agent: Agent, server: Snmpd, params: dict[str, Any]) -> None:
    outcome = await agent.look(server.port, interfaces=["lo"], resources=True, **params)
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.latency is not None
    assert 0 < outcome.latency < 2
    seen = outcome.measures
    assert abs(seen["uptime_seconds"] - (await booted())) < 30
    assert "rebooted" not in seen
    assert (seen["interfaces_up"], seen["interfaces_down"]) == (1, 0)
    assert "in_bytes_per_second" not in seen
    assert 0 <= seen.get("cpu_ratio", 0) <= 1  # net-snmp has it only after its first minute
    memory = psutil.virtual_memory()
    assert abs(seen["memory_ratio"] - (memory.total - memory.available) / memory.total) < 0.2
    assert 0 < seen["storage_ratio"] <= 1
    agent.now += 60
    again = (await agent.look(server.port, interfaces=["lo"], resources=True, **params)).measures
    assert again["errors_per_second"] == 0
    assert again["in_bytes_per_second"] >= 0


async def booted() -> float:
    return asyncio.get_running_loop().time()  # Linux: seconds since the machine started


@pytest.mark.real
async def test_any_number_of_a_real_device(agent: Agent, server: Snmpd) -> None:
    outcome = await agent.look(server.port, oid="1.3.6.1.2.1.1.7.0", scale=0.5)
    assert (outcome.state, outcome.measures["value"]) == (UP, 36)
    load = await agent.look(server.port, oid="1.3.6.1.4.1.2021.10.1.6.1")
    assert 0 <= load.measures["value"] < 1_000
    assert (await agent.look(server.port, oid="1.3.6.1.2.1.1.5.0")).reason == (
        "127.0.0.1 has no number at 1.3.6.1.2.1.1.5.0, but 'core-switch'"
    )
    missing = await agent.look(server.port, oid="1.3.6.1.2.1.1.99.0")
    assert (missing.state, missing.reason) == (DOWN, "127.0.0.1 has no object 1.3.6.1.2.1.1.99.0")


@pytest.mark.real
def test_once_prints_what_a_device_says(
    server: Snmpd, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The whole way from a plan and the agent's own file; the passwords are in the file and nowhere else."""
    caplog.set_level(logging.DEBUG)
    (tmp_path / "word").write_text(CANARY)
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"credentials:\n  robot: {{user: robot, auth_password_file: word, priv_password: {CANARY}-2}}\n"
        f"  wrong: {{user: robot, auth_password: {CANARY}-3, priv_password: {CANARY}-2}}\n"
        f"  core: {{community: {CANARY}}}\n"
    )
    common = {"host": "127.0.0.1", "port": server.port}
    checks = {
        "right": {**common, "version": "3", "credential": "robot", "interface": "lo"},
        "wrong": {**common, "version": "3", "credential": "wrong"},
        "silent": {**common, "credential": "core"},
        "nameless": {**common, "credential": "none"},
    }
    plan = Plan(
        agent="a", agency="b", site="c",
        checks=tuple(
            PlannedCheck(
                uid=f"{place:x}", name=name, kind="snmp", interval=60_000,
                timeout=1_000 if name == "silent" else 5_000, hold=1, recheck=1, params=params,
            )
            for place, (name, params) in enumerate(checks.items())
        ),
    )  # fmt: skip
    (tmp_path / "plan.json").write_bytes(plan.encode())
    arguments = ["once", "--config", str(config), "--plan", str(tmp_path / "plan.json")]
    assert main([*arguments, "--json"]) == 1
    said = capsys.readouterr()
    seen = {line["check"]: line for line in map(json.loads, said.out.splitlines())}
    assert (seen["right"]["state"], seen["right"]["measures"]["interfaces_up"]) == ("up", 1)
    assert "auth_password (or auth) is wrong" in seen["wrong"]["reason"]
    assert "a wrong community, or no SNMP there" in seen["silent"]["reason"]
    assert seen["nameless"]["state"] == "unknown"
    assert "there is no credential 'none' in " in seen["nameless"]["reason"]
    main(arguments)
    everything = said.out + said.err + str(capsys.readouterr()) + caplog.text + plan.encode().decode()
    assert CANARY not in everything


# -- reboots


async def test_a_reboot_is_told(agent: Agent) -> None:
    async with device(switch(1)) as made:
        first = await agent.look(made.port)
        assert first.measures == {"uptime_seconds": 86_400, "ignored_replies": 0}
        agent.later(made, 60)
        assert (await agent.look(made.port)).measures["rebooted"] == 0
        agent.now += 60
        made.objects["1.3.6.1.2.1.1.3.0"] = ticks(1_000)
        again = await agent.look(made.port)
        assert (again.state, again.measures["rebooted"], again.measures["uptime_seconds"]) == (UP, 1, 10)


# -- interfaces


async def test_only_ports_that_matter_make_a_difference(agent: Agent) -> None:
    async with device(switch(24, up=lambda port: port not in (3, 5, 20))) as made:
        assert (await agent.look(made.port)).state == UP
        fine = await agent.look(made.port, interfaces=["Gi0/1", "gi0/2"])
        assert (fine.state, fine.measures["interfaces_up"], fine.measures["interfaces_down"]) == (UP, 2, 0)
        wrong = await agent.look(made.port, interfaces=["Gi0/[1-9]", "office 2?"])
        assert (wrong.state, wrong.measures["interfaces_up"], wrong.measures["interfaces_down"]) == (DEGRADED, 11, 3)
        assert wrong.reason == (
            "127.0.0.1: 3 interfaces are down: Gi0/3 (office 3), Gi0/5 (office 5), Gi0/20 (office 20)"
        )
        made.objects[f"{IF}.7.3"] = made.objects[f"{IF}.7.5"] = made.objects[f"{IF}.7.20"] = integer(2)
        off = await agent.look(made.port, interfaces=["Gi0/[1-9]", "office 2?"])
        assert (off.state, off.measures["interfaces_down"]) == (UP, 0)


@pytest.mark.parametrize(
    ("oper", "admin", "state", "reason"),
    [
        (1, 1, UP, ""),
        (2, 1, DOWN, "127.0.0.1: 1 interface is down: Gi0/2 (office 2)"),
        (7, 1, DOWN, "127.0.0.1: 1 interface is down: Gi0/2 (office 2)"),
        (2, 2, DOWN, "127.0.0.1: 1 interface is switched off by an administrator: Gi0/2 (office 2)"),
        (5, 1, UP, ""),
    ],
)
async def test_one_port_in_detail(agent: Agent, oper: int, admin: int, state: int, reason: str) -> None:
    async with device(switch(4)) as made:
        made.objects |= {f"{IF}.8.2": integer(oper), f"{IF}.7.2": integer(admin)}
        seen = await agent.look(made.port, interface="GigabitEthernet0/2")
        assert (seen.state, seen.reason, seen.measures["speed_bytes_per_second"]) == (state, reason, 125_000_000)


async def test_a_port_that_is_not_there(agent: Agent) -> None:
    async with device(switch(8)) as made:
        seen = await agent.look(made.port, interface="Gi1/1")
        assert (seen.state, seen.reason) == (
            DOWN,
            "127.0.0.1: no interface fits Gi1/1; there are: Gi0/1, Gi0/2, Gi0/3, Gi0/4 and 4 more",
        )
        assert (await agent.look(made.port, interfaces=["Gi1/*"])).state == DEGRADED
        bare = {oid: cell for oid, cell in made.objects.items() if not oid.startswith((IF, IFX))}
        made.objects = bare
        assert (await agent.look(made.port, interfaces=["*"])).reason == "127.0.0.1: it tells of no interfaces"


async def test_one_of_the_ports_that_matter_is_gone(agent: Agent) -> None:
    async with device(switch(8)) as made:
        seen = await agent.look(made.port, interfaces=["Gi0/1", "office 9", "Te*"])
        assert (seen.state, seen.reason) == (DEGRADED, "127.0.0.1: no interface fits office 9, Te*")
        assert seen.measures["interfaces_up"] == 1


async def test_rates_of_64_bit_counters(agent: Agent) -> None:
    async with device(switch(3)) as made:
        params = {"interfaces": ["Gi0/[12]"]}
        assert "in_bytes_per_second" not in (await agent.look(made.port, **params)).measures
        agent.later(made, 60)
        made.objects |= {
            f"{IFX}.6.1": counter64(10**12 + 60 * 100_000_000), f"{IFX}.6.2": counter64(10**12 + 60 * 1_000),
            f"{IFX}.10.1": counter64(2 * 10**12 + 60 * 5_000), f"{IF}.14.1": counter(6), f"{IF}.13.2": counter(120),
        }  # fmt: skip
        seen = (await agent.look(made.port, **params)).measures
        assert seen["in_bytes_per_second"] == pytest.approx(100_001_000)
        assert seen["out_bytes_per_second"] == pytest.approx(5_000)
        assert seen["utilisation_ratio"] == pytest.approx(0.8)
        assert seen["errors_per_second"] == pytest.approx(0.1)
        assert seen["discards_per_second"] == pytest.approx(2)
        assert "speed_bytes_per_second" not in seen
        # a re-look a moment later has no rate of its own, the one after it has
        agent.later(made, 1)
        assert "in_bytes_per_second" not in (await agent.look(made.port, **params)).measures
        agent.later(made, 59)
        assert (await agent.look(made.port, **params)).measures["in_bytes_per_second"] == 0


async def test_32_bit_counters_wrap_and_are_not_believed_when_they_may_have_wrapped_twice(agent: Agent) -> None:
    async with device(switch(1, wide=False)) as made:
        made.objects |= {f"{IF}.5.1": unsigned(10**8), f"{IF}.10.1": counter(2**32 - 1_000)}
        await agent.look(made.port, interfaces=["*"])
        agent.later(made, 60)
        made.objects[f"{IF}.10.1"] = counter(5_000)
        assert (await agent.look(made.port, interfaces=["*"])).measures["in_bytes_per_second"] == pytest.approx(100)
        agent.later(made, 400)  # at 100 Mbit/s it may have gone round by now
        assert "in_bytes_per_second" not in (await agent.look(made.port, interfaces=["*"])).measures


async def test_no_rate_from_counters_that_were_set_back(agent: Agent) -> None:
    async with device(switch(1)) as made:
        await agent.look(made.port, interfaces=["*"])
        agent.later(made, 60)
        made.objects[f"{IFX}.6.1"] = counter64(5)
        assert "in_bytes_per_second" not in (await agent.look(made.port, interfaces=["*"])).measures
        agent.later(made, 60)
        made.objects |= {f"{IFX}.6.1": counter64(10**6), f"{IFX}.19.1": ticks(77)}  # a card was changed
        assert "in_bytes_per_second" not in (await agent.look(made.port, interfaces=["*"])).measures
        agent.later(made, 60)
        made.objects[f"{IFX}.6.1"] = counter64(10**15)  # 133 Tbit/s
        assert "in_bytes_per_second" not in (await agent.look(made.port, interfaces=["*"])).measures


async def test_a_nominal_speed_that_is_not_true_makes_no_utilisation(agent: Agent) -> None:
    async with device(switch(1)) as made:
        made.objects[f"{IFX}.15.1"] = unsigned(10)  # a tunnel: "10 Mbit/s"
        await agent.look(made.port, interface="Gi0/1")
        agent.later(made, 60)
        made.objects[f"{IFX}.6.1"] = counter64(10**12 + 60 * 10**8)
        seen = (await agent.look(made.port, interface="Gi0/1")).measures
        assert (seen["in_bytes_per_second"], "utilisation_ratio" in seen) == (10**8, False)


async def test_renumbered_ports_are_found_again(agent: Agent) -> None:
    async with device(switch(4)) as made:
        await agent.look(made.port, interface="Gi0/2")
        for column in (f"{IF}.2", f"{IF}.8", f"{IFX}.1", f"{IFX}.6", f"{IFX}.18"):
            made.objects[f"{column}.2"], made.objects[f"{column}.4"] = (
                made.objects[f"{column}.4"],
                made.objects[f"{column}.2"],
            )
        made.objects[f"{IF}.8.4"] = integer(2)
        agent.later(made, 60)
        assert (await agent.look(made.port, interface="Gi0/2")).reason == (
            "127.0.0.1: 1 interface is down: Gi0/2 (office 2)"
        )


async def test_two_thousand_interfaces(agent: Agent) -> None:
    async with device(switch(2_000, up=lambda port: port != 1_234)) as made:
        one = await agent.look(made.port, 20.0, interface="Gi0/1999")
        assert one.state == UP
        made.requests.clear()
        agent.later(made, 60)
        await agent.look(made.port, interface="Gi0/1999")
        assert len(made.requests) == 2  # where it is was kept
        every = await agent.look(made.port, 20.0, interfaces=["*"])
        assert (every.state, every.measures["interfaces_up"]) == (DEGRADED, 1_999)
        assert every.reason == "127.0.0.1: 1 interface is down: Gi0/1234 (office 1234)"


async def test_a_table_that_takes_too_long(agent: Agent) -> None:
    async with device(switch(100)) as made:
        made.rewrite = lambda asked, honest: [(0, honest)] if len(made.requests) < 4 else []
        hurried = await agent.look(made.port, 0.5, interfaces=["Gi*"])
        assert hurried.state == DEGRADED
        assert "its interfaces cannot be told: 127.0.0.1" in hurried.reason
        made.requests.clear()
        assert (await agent.look(made.port, 0.5, interface="Gi0/7")).state == UNKNOWN


async def test_a_device_without_names_has_descriptions(agent: Agent) -> None:
    async with device(switch(2, wide=False)) as made:
        seen = await agent.look(made.port, interface="*0/2", version="1")
        assert (seen.state, seen.measures["speed_bytes_per_second"]) == (UP, 125_000_000)


# -- resources, sensors, numbers

STORAGE, LOAD, SENSOR = "1.3.6.1.2.1.25.2.3.1", "1.3.6.1.2.1.25.3.3.1.2", "1.3.6.1.2.1.99.1.1.1"


def storage(index: int, kind: int, label: str, size: int, used: int) -> dict[str, Any]:
    row = {
        2: (0x06, ber.encode_oid(f"1.3.6.1.2.1.25.2.1.{kind}")),
        3: octets(label),
        5: integer(size),
        6: integer(used),
    }
    return {f"{STORAGE}.{column}.{index}": cell for column, cell in row.items()}


async def test_resources_of_a_windows_server(agent: Agent) -> None:
    objects = {
        **storage(1, 4, "C:\\ Label:System", 1_000, 900), **storage(2, 4, "D:\\ Label:Data", -(2**31), 2**30),
        **storage(3, 7, "E:\\", 0, 0), **storage(4, 2, "Physical Memory", 100, 25),
        **{f"{LOAD}.{core}": integer(load) for core, load in ((3, 20), (4, 40), (5, 60), (6, 999))},
    }  # fmt: skip
    async with device({**switch(0), **objects}) as made:
        seen = (await agent.look(made.port, resources=True)).measures
        assert (seen["cpu_ratio"], seen["memory_ratio"], seen["storage_ratio"]) == (0.4, 0.25, 0.9)
        data = await agent.look(made.port, resources=True, storages=["D:*"])
        assert data.measures["storage_ratio"] == 0.5  # past 2^31 units the size looks negative
        missing = await agent.look(made.port, resources=True, storages=["Q:*"])
        assert (missing.state, "no storage fits Q:*; there are: C:" in missing.reason) == (DEGRADED, True)


async def test_a_device_without_resources_or_sensors(agent: Agent) -> None:
    async with device(switch(1)) as made:
        seen = await agent.look(made.port, resources=True, sensors=True)
        assert (seen.state, seen.reason) == (
            DEGRADED,
            "127.0.0.1: it does not tell of its processors, memory or storages; 127.0.0.1: it tells of no sensors",
        )
        assert set(seen.measures) == {"uptime_seconds", "ignored_replies"}


def sensor(index: int, kind: int, value: int, scale: int = 9, precision: int = 0, state: int = 1) -> dict[str, Any]:
    row = (kind, scale, precision, value, state)
    return {f"{SENSOR}.{column}.{index}": integer(number) for column, number in enumerate(row, 1)}


async def test_sensors(agent: Agent) -> None:
    objects = {
        **sensor(1, 8, 415, precision=1), **sensor(2, 8, 38_500, scale=8), **sensor(3, 8, 99, state=3),
        **sensor(4, 4, 230), **sensor(5, 8, 1_000_000_000), **sensor(6, 10, 4_200, state=3), **sensor(7, 8, -5),
    }  # fmt: skip
    async with device({**switch(0), **objects}) as made:
        seen = (await agent.look(made.port, sensors=True)).measures
        assert (seen["temperature_celsius"], seen["sensors_failed"]) == (41.5, 2)
        made.objects = {**switch(0), **sensor(7, 8, -5)}
        assert (await agent.look(made.port, sensors=True)).measures["temperature_celsius"] == -5
        made.objects = {**switch(0), **sensor(3, 8, 99, state=2)}
        assert "temperature_celsius" not in (await agent.look(made.port, sensors=True)).measures


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (integer(-40), -4), (counter64(2**63), 2**63 / 10), (octets("23.5"), 2.35), (octets("-1e3\0"), -100),
        (opaque_float(1.5), 0.15), (octets(""), None), (octets("nan"), None), (octets("12 V"), None),
        (opaque_float(float("inf")), None), ((0x05, b""), None),
    ],
)  # fmt: skip
async def test_any_number(agent: Agent, cell: tuple[int, bytes], value: float | None) -> None:
    async with device({**switch(0), "1.3.6.1.4.1.1.0": cell}) as made:
        seen = await agent.look(made.port, oid="1.3.6.1.4.1.1.0", scale=0.1)
        assert seen.measures.get("value") == (None if value is None else pytest.approx(value))
        assert seen.state == (DOWN if value is None else UP)


# -- what goes wrong


async def test_silence_and_nothing_there(agent: Agent) -> None:
    async with device(switch(1)) as made:
        made.community = b"another"
        seen = await agent.look(made.port, 0.2)
        assert (seen.state, seen.latency, dict(seen.measures)) == (DOWN, None, {})
        assert "did not answer within 0.18 s: a wrong community, or no SNMP there" in seen.reason
    assert (await agent.look(made.port, 0.2)).reason == f"127.0.0.1:{made.port} says that nothing listens there"


async def test_a_device_that_stops_answering_in_the_middle(agent: Agent) -> None:
    async with device(switch(1)) as made:
        made.rewrite = lambda asked, honest: [(0, honest)] if len(made.requests) < 2 else []
        seen = await agent.look(made.port, 0.3, interfaces=["*"], resources=True)
        assert (seen.state, seen.measures["uptime_seconds"]) == (DEGRADED, 86_400)
        assert "answered at first, but not all questions within 0." in seen.reason
        assert seen.latency is not None


async def test_a_table_without_end_costs_this_check_alone(agent: Agent) -> None:
    async with device(switch(1)) as made:

        def round_and_round(asked: SnmpRequest, honest: bytes) -> TimedReplies:
            if asked.pdu == ber.GET:
                return [(0, honest)]
            return [(0, reply(asked, [(oid + ".1", octets("x")) for oid in asked.oids] * 2))]

        made.rewrite = round_and_round
        seen = await agent.look(made.port, interfaces=["*"], sensors=True)
        assert (seen.state, "goes round in circles" in seen.reason) == (DEGRADED, True)


async def test_packets_that_are_no_answers_are_counted(agent: Agent) -> None:
    async with device(switch(1)) as made:
        made.rewrite = lambda asked, honest: [(0, b"noise"), (0.02, honest)]
        assert (await agent.look(made.port)).measures["ignored_replies"] == 1


async def test_outside_the_agents_limits(agent: Agent) -> None:
    async with device(switch(1)) as made:
        for limits in (Limits(ports=(161,)), Limits(networks=(ip_network("192.0.2.0/24"),))):
            seen = await agent.look(made.port, limits=limits)
            assert (seen.state, made.requests) == (UNKNOWN, [])
            assert "may probe" in seen.reason


async def test_the_agent_lacks_what_the_check_names(agent: Agent) -> None:
    async with device(switch(1)) as made:
        for credential, version, words in (
            ("none", "2c", "there is no credential 'none' in the agent's file (credentials:)"),
            ("empty", "2c", "the credential 'empty' has no community (community_file)"),
            ("core", "3", "the credential 'core' has the key 'community'"),
        ):
            seen = await agent.look(made.port, credential=credential, version=version)
            assert (seen.state, words in seen.reason, made.requests) == (UNKNOWN, True, [])
        made.community = CANARY.encode()
        assert (await agent.look(made.port, credential="core")).state == UP


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"oid": "sysUpTime.0"}, "'sysUpTime.0' is not an object identifier; write it like 1.3.6.1.2.1.1.3.0"),
        ({"version": "3"}, "version 3 needs a credential, with a user"),
        ({"version": "2"}, "version cannot be '2'"),
        ({"interface": "a", "interfaces": ["b"]}, "give interface (one, in detail) or interfaces, not both"),
        ({"storages": ["/"]}, "storages are looked at with resources: true"),
        ({"scale": 0}, "scale must be a number other than 0"),
        ({"interfaces": [""]}, "interfaces[0]: expected `str` of length >= 1".replace("`", "")),
    ],
)
def test_parameters_that_cannot_be(params: dict[str, Any], words: str) -> None:
    with pytest.raises(probes.BadProbe) as told:
        probes.build("snmp", {"host": "192.0.2.1", **params})
    assert str(told.value) == f"snmp: {words}"


def test_rates_and_flags_fit_the_wire() -> None:
    columns = [Column(each["name"], each["per"]) for each in describe(probes.load("snmp"))["measures"]]
    names = [column.name for column in columns]
    values = integers({"errors_per_second": 0.0125, "value": 1.5, "rebooted": 1.0}, columns)
    assert values[names.index("errors_per_second")] == 12
    assert values[names.index("value")] == 1_500
    assert values[names.index("rebooted")] == 1
    assert values[names.index("uptime_seconds")] is None


async def test_version_2_does_without_pysnmp() -> None:
    script = (
        "import asyncio, sys\n"
        "from agent import probes\n"
        "from agent.probe import Limits, ProbeContext\n"
        "probe = probes.build('snmp', {'host': '127.0.0.1', 'port': 9})\n"
        "asyncio.run(probe.run(ProbeContext(0.2, Limits(), {})))\n"
        "print(*(name for name in sys.modules if name.partition('.')[0] in ('pysnmp', 'pyasn1', 'cryptography')))\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert (process.returncode, said.strip()) == (0, b"")


def test_the_client_is_closed_twice_without_harm() -> None:
    async def both() -> None:
        made = SnmpClient()
        await made.close()
        await made.close()

    asyncio.run(both())
