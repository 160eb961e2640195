"""The power probe: what the load runs on, asked once for it and for the UPS's health."""

import asyncio
import itertools
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import probes
from agent.clients.ups.model import UpsReading, power_source
from agent.clients.ups.reader import SHARED_SECONDS, TimedReading, UpsProbe, UpsReadings
from agent.failure import ProbeFailed
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes.power import Power
from agent.probes.ups import Ups
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.credentials import known
from tests.support.nut import MAINS, RealUpsd, nut_server, require_nut

SECRET = "kim-n6an-canary"


def look(timeout: float = 3.0) -> ProbeContext:
    return ProbeContext(timeout, Limits(), {}, known("ups", {"user": "watcher", "password": SECRET}))


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        ("OL CHRG", UP, ""),
        ("OL BYPASS", UP, ""),
        ("OL BOOST", UP, ""),
        ("OL TRIM", UP, ""),
        ("OL RB OVER", UP, ""),  # the UPS is not well; its mains are
        ("OL LB", UP, ""),
        ("ALARM OL", UP, ""),
        ("OB DISCHRG", DEGRADED, "on battery, charge 100%, runtime 40 min"),
        ("OB LB", DEGRADED, "on battery, charge 100%, runtime 40 min"),  # the load is fed until it is not
        ("OB CAL", DEGRADED, "on battery, charge 100%, runtime 40 min (calibrating)"),
        ("FSD OB LB", DEGRADED, "on battery, charge 100%, runtime 40 min, about to cut its output"),
        ("OFF", DOWN, "no power: the output is off"),
        ("OL OFF", DOWN, "no power: the output is off"),
        ("WAIT", UNKNOWN, "upsd has just started and knows nothing yet"),
        ("", UNKNOWN, "upsd's driver has not told the UPS's status yet"),
        ("ALARM", UNKNOWN, "it does not say what it runs on"),
    ],
)
async def test_each_status_is_a_source(status: str, state: int, reason: str) -> None:
    async with nut_server(tram={**MAINS, "ups.status": status}) as served:
        outcome = await Power(host="127.0.0.1", port=served.port).run(look())
    assert outcome.state == state
    if status != "WAIT":
        assert outcome.reason == reason


async def test_what_it_measures_is_what_it_was_told() -> None:
    async with nut_server(tram=MAINS) as served:
        outcome = await Power(host="127.0.0.1", port=served.port).run(look())
        del served.upses["tram"]["battery.runtime"]
        served.upses["tram"]["input.voltage"] = ""
        fewer = await Power(host="127.0.0.1", port=served.port).run(look())
    assert outcome.measures == {
        "charge_ratio": 1.0,
        "runtime_seconds": 2400.0,
        "load_ratio": 0.35,
        "input_volts": 228.4,
    }
    assert outcome.latency is not None
    assert fewer.measures == {"charge_ratio": 1.0, "load_ratio": 0.35}, "what is not said is missing, never 0"
    declared = {measure.name for measure in Power.measures}
    assert outcome.measures.keys() <= declared <= {measure.name for measure in Ups.measures}


flags = st.dictionaries(
    st.sampled_from(["mains", "battery", "off", "bypass", "low", "ending", "overload", "replace", "calibrating"]),
    st.booleans(),
)


@given(flags)
def test_the_source_follows_from_the_flags(said: dict[str, bool]) -> None:
    """Against the rules one by one: no evidence is never up, and what feeds the load decides alone."""
    reading = UpsReading(dict(said)).normalise()
    state, reason = power_source(reading)
    if said.get("off"):
        assert state == DOWN
    elif said.get("battery"):
        assert state == DEGRADED
    elif said.get("mains") or said.get("bypass") or said.get("battery") is False:
        assert state == UP
    else:
        assert state == UNKNOWN
    assert (reason == "") == (state == UP)
    assert power_source(UpsReading(dict(said), lost="old numbers")) == (UNKNOWN, "old numbers")


async def test_silence_and_lost_ups_are_no_evidence() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        outcome = await Power(host="127.0.0.1", port=port).run(look(0.1))
        assert outcome == Outcome(UNKNOWN, f"upsd at 127.0.0.1 port {port} did not answer in full within 0.1 s")
    refused = await Power(host="127.0.0.1", port=port).run(look())
    assert refused == Outcome(UNKNOWN, f"127.0.0.1:{port} refused the connection")
    async with nut_server(tram=MAINS) as served:
        other = await Power(host="127.0.0.1", port=served.port, ups="khac").run(look())
    assert other.state == UNKNOWN and other.measures == {}


async def test_its_parameters_are_those_of_the_kind_ups(caplog: pytest.LogCaptureFixture) -> None:
    assert Power.__struct_fields__ == Ups.__struct_fields__ == UpsProbe.__struct_fields__
    assert Power.target == Ups.target
    with pytest.raises(probes.BadProbe, match="power: way snmp needs a credential"):
        probes.build("power", {"host": "a", "way": "snmp"})
    caplog.set_level(logging.DEBUG)
    async with nut_server(tram=MAINS) as served:  # knows no USERNAME: the login fails
        outcome = await Power(host="127.0.0.1", port=served.port, credential="ups").run(look())
    assert outcome.state == UNKNOWN
    assert SECRET not in f"{outcome!r} {caplog.text}"


# one UPS, two checks


async def test_one_answer_serves_both_kinds_and_never_one_of_them_twice() -> None:
    async with nut_server(tram=MAINS) as served:
        where: dict[str, Any] = {"host": "127.0.0.1", "port": served.port}
        shared = look()
        health, power = await asyncio.gather(Ups(**where).run(shared), Power(**where).run(shared))
        assert served.reads == {"tram": 1}
        assert (health.state, power.state, health.latency) == (UP, UP, power.latency)
        served.upses["tram"]["ups.status"] = "OB"
        assert (await Power(**where).run(shared)).state == DEGRADED, "its own last reading is not served again"
        assert (await Ups(**where).run(shared)).state == DEGRADED
        assert served.reads == {"tram": 2}
        assert (await Ups(**where, ups="tram").run(shared)).state == DEGRADED
        assert served.reads == {"tram": 3}, "asked in another way, it is another UPS"


class Asking:
    """Readings with a clock of the test's, and a UPS that answers with a number."""

    def __init__(self) -> None:
        self.now = 100.0
        self.readings = UpsReadings(lambda: self.now)
        self.count = itertools.count(1)

    async def get(self, kind: type[UpsProbe], ask: Callable[[], Awaitable[TimedReading]] | None = None) -> float | None:
        return (await self.readings.get(kind(host="a"), ask or self.answer))[1]

    async def answer(self) -> TimedReading:
        return UpsReading({"battery": True}), float(next(self.count))


async def test_a_reading_grows_old() -> None:
    asking = Asking()
    assert await asking.get(Ups) == 1
    asking.now += SHARED_SECONDS
    assert await asking.get(Power) == 1
    assert await asking.get(Power) == 2
    asking.now += SHARED_SECONDS + 0.01
    assert await asking.get(Ups) == 3


async def test_a_failed_look_is_shared_with_nobody_and_forgets_since_when() -> None:
    asking = Asking()

    async def fails() -> TimedReading:
        raise ProbeFailed("silent", UNKNOWN)

    async def mains() -> TimedReading:
        return UpsReading({"battery": False}), None

    await asking.get(Ups, mains)
    asking.now += 30
    told = await asking.readings.get(Power(host="a"), asking.answer)
    assert told[0].values == {"on_battery_seconds": 0.0}
    asking.now += 30
    told = await asking.readings.get(Power(host="a"), asking.answer)
    assert told[0].values["on_battery_seconds"] == 30
    asking.now += 30
    with pytest.raises(ProbeFailed):
        await asking.get(Power, fails)
    assert await asking.get(Ups) == 3, "the next one asks itself"
    told = await asking.readings.get(Power(host="a"), asking.answer)
    assert "on_battery_seconds" not in told[0].values


async def test_one_that_gives_up_waiting_leaves_the_other_its_answer() -> None:
    asking = Asking()
    answers = asyncio.Event()

    async def slow() -> TimedReading:
        await answers.wait()
        return UpsReading({"battery": True}), 7.0

    first = asyncio.create_task(asking.get(Ups, slow))
    await asyncio.sleep(0)
    waiting = asyncio.create_task(asking.get(Power, slow))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    answers.set()
    assert await first == 7.0
    abandoned = asyncio.create_task(asking.get(Ups, asyncio.Event().wait))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    abandoned.cancel()
    with pytest.raises(asyncio.CancelledError):
        await abandoned
    assert await asking.get(Power) == 1, "a look that was cut off holds nobody up"


# with NUT itself


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealUpsd]:
    require_nut()
    made = RealUpsd(tmp_path_factory.mktemp("nut"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.mark.real
@pytest.mark.root
async def test_the_mains_go_and_come_back_as_upsd_tells_it(rig: RealUpsd) -> None:
    probe, shared = Power(host="127.0.0.1", port=rig.port, ups="tram"), look()
    for status, state in (("OL", UP), ("OB DISCHRG", DEGRADED), ("OFF", DOWN), ("OL CHRG", UP)):
        await asyncio.to_thread(rig.set_variables, ups_status=status)
        async with asyncio.timeout(15):
            while (outcome := await probe.run(shared)).state != state:  # the driver polls every second
                await asyncio.to_thread(rig.upsc)
    assert outcome.measures["charge_ratio"] == 0.97
    assert outcome.measures["load_ratio"] == 0.24
