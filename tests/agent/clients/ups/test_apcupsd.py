"""UPSs by apcupsd's information server: one of our own on loopback that speaks its records, well and badly."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.clients.ups import apcupsd
from agent.clients.ups.model import ups_state
from agent.clients.ups.reader import UpsProbe
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes.power import MEASURED as POWER
from agent.probes.power import Power
from agent.probes.ups import Ups
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support import apcupsd as support_apcupsd
from tests.support.snmpsim import snmpsim
from tests.support.ups_recordings import RECORDINGS

NOW = 1_790_000_000.0  # 21 September 2026
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEALTHY = {
    "APC": "001,036,0870",
    "DATE": "2026-09-21 14:13:20 +0000",
    "HOSTNAME": "may-chu",
    "UPSNAME": "tram",
    "CABLE": "USB Cable",
    "DRIVER": "USB UPS Driver",
    "STATUS": "ONLINE",
    "LINEV": "228.0 Volts",
    "LOADPCT": "12.0 Percent",
    "BCHARGE": "100.0 Percent",
    "TIMELEFT": "45.5 Minutes",
    "MBATTCHG": "5 Percent",
    "OUTPUTV": "230.4 Volts",
    "ITEMP": "29.2 C",
    "LINEFREQ": "50.0 Hz",
    "BATTV": "27.3 Volts",
    "LASTXFER": "Low line voltage",
    "NUMXFERS": "3",
    "TONBATT": "0 Seconds",
    "XOFFBATT": "N/A",
    "SELFTEST": "OK",
    "LASTSTEST": "2026-02-14 03:00:00 +0000",
    "STATFLAG": "0x05000008",
    "BATTDATE": "2024-03-31",
    "END APC": "2026-09-21 14:13:30 +0000",
}


def record(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes(2, "big") + data


def status(**changes: str) -> bytes:
    return b"".join(record(f"{name:<9}: {value}\n") for name, value in {**HEALTHY, **changes}.items()) + b"\0\0"


@asynccontextmanager
async def service(talk: Talk) -> AsyncIterator[int]:
    """A listener that runs ``talk`` for each connection; its port."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass  # the probe has left
        finally:
            writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def serves(*pieces: bytes, hang: bool = False) -> Talk:
    """Answers the question ``status`` with these pieces, each in a packet of its own."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == b"\x00\x06status"
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if hang:
            await reader.read()

    return talk


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(record("LINEV    : 230.0 Volts\n") * 500)
        await writer.drain()


async def seen(talk: Talk, timeout: float = 2.0) -> Outcome:
    async with service(talk) as port:
        return await Ups(host="127.0.0.1", port=port, way="apcupsd").run(ProbeContext(timeout, Limits(), {}))


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_a_healthy_ups_whatever_pieces_it_comes_in(size: int) -> None:
    data = status()
    outcome = await seen(serves(*(data[at : at + size] for at in range(0, len(data), size))))
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.latency is not None
    told = dict(outcome.measures)
    assert told.pop("battery_age_seconds") == pytest.approx(time.time() - 1_711_843_200, abs=10)
    assert told == pytest.approx(
        {
            "charge_ratio": 1,
            "runtime_seconds": 2730,
            "load_ratio": 0.12,
            "battery_volts": 27.3,
            "input_volts": 228,
            "output_volts": 230.4,
            "input_hertz": 50,
            "temperature_celsius": 29.2,
            "self_test_passed": 1,
            "self_test_timestamp": 1_771_038_000,
            "on_mains": 1,
            "on_battery": 0,
            "low_battery": 0,
            "overload": 0,
            "boost": 0,
            "trim": 0,
            "replace_battery": 0,
            "calibrating": 0,
            "output_off": 0,
        }
    )


LOST = "apcupsd has lost its UPS (COMMLOST); its numbers are old"
ON_BATTERY = "on battery for 2 min, charge 100%, runtime 45 min"


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({"STATUS": "ONBATT", "STATFLAG": "0x05000010", "TONBATT": "130 Seconds"}, DEGRADED, ON_BATTERY),
        ({"STATUS": "ONBATT", "STATFLAG": "", "TONBATT": "130 Seconds"}, DEGRADED, ON_BATTERY),
        (
            {"STATUS": "ONBATT LOWBATT", "STATFLAG": "0x05000050", "TONBATT": "130 Seconds"},
            DOWN,
            f"its battery is low: {ON_BATTERY}",
        ),
        (
            {"STATUS": "ONBATT LOWBATT SHUTTING DOWN", "STATFLAG": "0x05000250", "TONBATT": "130 Seconds"},
            DOWN,
            f"it is about to cut its output: {ON_BATTERY}",
        ),
        ({"STATUS": "ONLINE OVERLOAD", "STATFLAG": "0x05000028"}, DEGRADED, "overloaded"),
        ({"STATUS": "ONLINE REPLACEBATT", "STATFLAG": "0x05000088"}, DEGRADED, "the battery is to be replaced"),
        ({"STATUS": "ONLINE REPLACEBATT", "STATFLAG": ""}, DEGRADED, "the battery is to be replaced"),
        ({"STATUS": "TRIM ONLINE", "STATFLAG": "0x0500000A"}, UP, ""),
        ({"STATUS": "BOOST ONLINE", "STATFLAG": "0x0500000C"}, UP, ""),
        ({"STATUS": "CAL ONLINE", "STATFLAG": "0x05000009"}, DEGRADED, "calibrating its battery"),
        ({"STATUS": "ONLINE NOBATT", "STATFLAG": "0x01000008"}, DEGRADED, "no battery is connected"),
        ({"STATUS": "ONLINE SLAVE", "STATFLAG": "0x05000408"}, UP, ""),
        ({"SELFTEST": "NG"}, DEGRADED, "the last self-test was not passed"),
        ({"SELFTEST": "BT"}, DEGRADED, "the last self-test was not passed"),
        ({"SELFTEST": "NO"}, UP, ""),
        ({"STATUS": "COMMLOST", "STATFLAG": "0x05000100"}, UNKNOWN, LOST),
        ({"STATUS": "ONLINE", "STATFLAG": "0x05000108"}, UNKNOWN, LOST),
        ({"STATUS": "COMMLOST", "STATFLAG": ""}, UNKNOWN, LOST),
        ({"STATUS": "", "STATFLAG": "0x05000000"}, UNKNOWN, "it does not say what it runs on"),
        ({"STATUS": "?", "STATFLAG": "zz"}, UNKNOWN, "it does not say what it runs on"),
    ],
)
async def test_what_a_status_means(changes: dict[str, str], state: int, reason: str) -> None:
    outcome = await seen(serves(status(**changes)))
    assert (outcome.state, outcome.reason) == (state, reason)
    if reason == LOST:
        assert not outcome.measures, "the numbers that it goes on serving are no evidence"


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (serves(b"\0\0"), "does not answer like apcupsd: there is no STATUS"),
        (serves(record("LINEV    : 230.0 Volts\n"), b"\0\0"), "does not answer like apcupsd: there is no STATUS"),
        (serves(b"HTTP/1.1 400 Bad Request\r\n"), "does not answer like apcupsd: a record of 18516 bytes"),
        (serves(record("hello")), "does not answer like apcupsd: 'hello'"),
        (serves(b"\0\x20STATUS   : ONL"), "closed the connection in the middle of an answer"),
        (serves(status()[:-2]), "closed the connection in the middle of an answer"),
        (serves(b"\0\x20STATUS   : ONL", hang=True), "did not answer in full within 0.3 s"),
        (serves(status()[:-2], hang=True), "did not answer in full within 0.3 s"),
        (floods, "does not answer like apcupsd: more than 500 records"),
        (serves(record("STATUS   : \xff\xfe\x00\n"), b"\0\0"), "it does not say what it runs on"),
    ],
)
async def test_servers_that_only_look_like_apcupsd(talk: Talk, reason: str) -> None:
    outcome = await seen(talk, 0.3)
    assert outcome.state == UNKNOWN
    assert outcome.reason.endswith(reason)


def test_what_is_missing_stays_missing() -> None:
    nothing = dict.fromkeys(("LINEV", "LOADPCT", "BCHARGE", "TIMELEFT", "OUTPUTV", "BATTV", "BATTDATE"), "N/A")
    reading = apcupsd.to_reading({**HEALTHY, **nothing, "ITEMP": "", "LINEFREQ": "-1.0 Hz", "SELFTEST": "??"}, NOW)
    assert ups_state(reading.normalise()) == (UP, "")
    assert reading.values == {}


def test_degrees_of_either_sort_and_old_formats() -> None:
    told = {
        "STATUS": "ONLINE",
        "ITEMP": "84.2 F Internal",
        "LOADPCT": "25.0 Percent Load Capacity",
        "BATTDATE": "09/12/24",
    }
    values = apcupsd.to_reading(told, NOW).normalise().values
    assert values["temperature_celsius"] == pytest.approx(29)
    assert values["load_ratio"] == 0.25
    assert values["battery_age_seconds"] == pytest.approx(NOW - 1_726_099_200)


# with apcupsd itself, on top of a simulated network card


@pytest.mark.real
async def test_what_apcupsd_itself_says(tmp_path: Path) -> None:
    """On mains, on battery, and once the card is gone: old numbers, marked COMMLOST."""
    on_mains, on_battery = RECORDINGS["apc-boost"], RECORDINGS["apc-battery"]
    (tmp_path / "card").mkdir()
    with contextlib.ExitStack() as daemons:
        with snmpsim(tmp_path / "card", {"mains": on_mains.rows, "battery": on_battery.rows}) as card:
            mains, battery = (
                daemons.enter_context(support_apcupsd.apcupsd(tmp_path / name, card, name))
                for name in ("mains", "battery")
            )
            outcomes = [await asked(Ups, mains), await asked(Power, mains), await asked(Ups, battery)]
            fed = await asked(Power, battery)
        gone = await until_lost(mains)
    assert [(one.state, one.reason) for one in outcomes[:2]] == [(UP, "")] * 2
    told = dict(outcomes[0].measures)
    assert told.pop("battery_age_seconds") > 0
    said = {name: on_mains.measures[name] for name in BOTH_SAY}
    assert told == pytest.approx({**said, "calibrating": 0, "overload": 0, "output_off": 0, "self_test_passed": 1})
    assert outcomes[1].measures == pytest.approx({name: said[name] for name in said if name in POWER})
    assert (fed.state, fed.measures["charge_ratio"]) == (DEGRADED, 0.71)
    assert outcomes[2].state == DEGRADED
    assert "the last self-test was not passed" in outcomes[2].reason and "(low" not in outcomes[2].reason
    assert (outcomes[2].measures["on_battery"], outcomes[2].measures["runtime_seconds"]) == (1, 1260)
    assert outcomes[2].measures.get("on_battery_seconds", 0) < 60, "since apcupsd saw it, not since the card did"
    assert gone == Outcome(UNKNOWN, "apcupsd has lost its UPS (COMMLOST); its numbers are old", gone.latency)


BOTH_SAY = (
    "on_mains", "on_battery", "low_battery", "boost", "trim", "replace_battery", "charge_ratio", "runtime_seconds",
    "load_ratio", "input_volts", "output_volts", "battery_volts", "input_hertz", "temperature_celsius",
)  # fmt: skip


async def asked(kind: type[UpsProbe], port: int) -> Outcome:
    return await kind(host="127.0.0.1", port=port, way="apcupsd").run(ProbeContext(3.0, Limits(), {}))


async def until_lost(port: int) -> Outcome:
    """apcupsd gives up on its UPS after some polls of a second."""
    for _ in range(150):
        outcome = await asked(Ups, port)
        if outcome.state == UNKNOWN:
            break
        await asyncio.sleep(0.2)
    return outcome
