"""UPSs by NUT: Debian's upsd and its dummy-ups driver on loopback, and servers that only look like upsd."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clients.ups import nut
from agent.clients.ups.model import ups_state
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes.ups import Ups
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.credentials import several
from tests.support.nut import HEALTHY, PASSWORD, RealUpsd, require_nut

NOW = 1_790_000_000.0  # 21 September 2026
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealUpsd]:
    require_nut()
    made = RealUpsd(tmp_path_factory.mktemp("nut"))
    try:
        made.start()
        yield made
    finally:
        made.stop()


def look(timeout: float = 3.0, credential: dict[str, str] | None = None) -> ProbeContext:
    return ProbeContext(timeout, Limits(), {}, several(dict.fromkeys(("tram", "x"), credential or {})))


async def until(probe: Ups, shared: ProbeContext, wanted: Callable[[Outcome], bool]) -> Outcome:
    """upsd passes on what its driver polls every second."""
    deadline = time.monotonic() + 15
    while not wanted(outcome := await probe.run(shared)):
        assert time.monotonic() < deadline, f"it stays {outcome}"
        await asyncio.sleep(0.1)
    return outcome


@pytest.mark.real
@pytest.mark.root
async def test_a_healthy_ups_is_up_with_what_it_says_in_base_units(rig: RealUpsd) -> None:
    outcome = await Ups(host="127.0.0.1", port=rig.port, ups="tram").run(look())
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.latency is not None
    assert 0 < outcome.latency < 1
    told = dict(outcome.measures)
    assert 0 < told.pop("battery_age_seconds") == pytest.approx(time.time() - 1_711_843_200, abs=10)
    assert told.pop("self_test_timestamp") == 1_771_027_200
    assert told == pytest.approx(
        {
            "charge_ratio": 0.97,
            "runtime_seconds": 2460,
            "load_ratio": 0.24,
            "battery_volts": 54.6,
            "input_volts": 228.4,
            "output_volts": 230.1,
            "input_hertz": 50.0,
            "output_hertz": 50.0,
            "temperature_celsius": 31.5,
            "on_mains": 1,
            "on_battery": 0,
            "low_battery": 0,
            "bypass": 0,
            "overload": 0,
            "boost": 0,
            "trim": 0,
            "replace_battery": 0,
            "calibrating": 0,
            "output_off": 0,
            "self_test_passed": 1,
        }
    )


@pytest.mark.real
@pytest.mark.root
async def test_mains_to_battery_to_low_and_back_live(rig: RealUpsd) -> None:
    """The only UPS needs no name. Quotes and backslashes in a value break nothing."""
    probe, shared = Ups(host="127.0.0.1", port=rig.port), look()
    assert (await probe.run(shared)).state == UP
    rig.set_variables(battery_charge="62", ups_status="OB DISCHRG")
    outcome = await until(probe, shared, lambda seen: seen.state == DEGRADED)
    assert outcome.reason.startswith("on battery for ")
    assert outcome.reason.endswith(" s, charge 62%, runtime 41 min")
    assert (outcome.measures["on_battery"], outcome.measures["on_mains"]) == (1, 0)
    rig.set_variables(ups_status="OB LB")
    outcome = await until(probe, shared, lambda seen: seen.state == DOWN)
    assert outcome.reason.startswith("its battery is low: on battery for ")
    assert outcome.measures["low_battery"] == 1
    rig.set_variables(battery_charge="97", ups_status="OL CHRG")
    outcome = await until(probe, shared, lambda seen: seen.state == UP)
    assert 0 <= outcome.measures["on_mains_seconds"] < 15
    assert "on_battery_seconds" not in outcome.measures
    assert nut._split_words('VAR tram ups.mfr "A \\"quoted\\" \\\\ name"') == [
        "VAR",
        "tram",
        "ups.mfr",
        'A "quoted" \\ name',
    ]


@pytest.mark.real
@pytest.mark.root
async def test_what_upsd_cannot_tell_is_unknown_and_named(tmp_path: Path) -> None:
    require_nut()
    rig = RealUpsd(tmp_path / "nut", ("tram", "phong-may"), staleness=2)
    try:
        rig.start()
        nameless = await Ups(host="127.0.0.1", port=rig.port).run(look())
        assert nameless.state == UNKNOWN
        assert nameless.reason.endswith(" has 2 UPSs ('phong-may, tram'): say which one (ups)")
        other = await Ups(host="127.0.0.1", port=rig.port, ups="kho").run(look())
        assert (other.state, other.reason) == (
            UNKNOWN,
            "upsd knows no UPS of that name (UNKNOWN-UPS); it has 'phong-may, tram'",
        )
        probe, shared = Ups(host="127.0.0.1", port=rig.port, ups="tram"), look()
        rig.drivers["tram"].send_signal(signal.SIGSTOP)
        stale = await until(probe, shared, lambda seen: seen.state == UNKNOWN)
        assert stale == Outcome(UNKNOWN, "upsd has no fresh data: its driver does not hear the UPS (DATA-STALE)")
        rig.drivers["tram"].kill()
        rig.drivers["tram"].wait(10)
        gone = await until(probe, shared, lambda seen: "DRIVER" in seen.reason)
        assert gone == Outcome(UNKNOWN, "upsd's driver for it is not running (DRIVER-NOT-CONNECTED)")
        assert (await Ups(host="127.0.0.1", port=rig.port, ups="phong-may").run(look())).state == UP
        rig.start_driver("tram")
        assert (await until(probe, shared, lambda seen: seen.state != UNKNOWN)).state == UP
    finally:
        rig.stop()
    silent = await Ups(host="127.0.0.1", port=rig.port, ups="tram").run(look())
    assert silent == Outcome(UNKNOWN, f"127.0.0.1:{rig.port} refused the connection")


@pytest.mark.real
@pytest.mark.root
@pytest.mark.parametrize("password", [PASSWORD, "wr0ng-canary"])
async def test_who_asks_may_be_told_and_leaves_no_trace(
    rig: RealUpsd, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    """upsd takes every password until it is asked for more than reading."""
    caplog.set_level(logging.DEBUG)
    credential = {"user": "admin", "password": password}
    outcome = await Ups(host="127.0.0.1", port=rig.port, ups="tram", credential="tram").run(look(3, credential))
    assert outcome.state == UP
    assert "canary" not in f"{outcome} {caplog.text}"


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


def answers(*replies: bytes, hang: bool = False) -> Talk:
    """Each line is answered by the next of these."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await reader.readline()
            writer.write(reply)
            await writer.drain()
        if hang:
            await reader.read()

    return talk


async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"BEGIN LIST VAR u\n")
    while True:
        writer.write(b'VAR u ups.status "OL"\n' * 500)
        await writer.drain()


async def one_long_line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (answers(b"ERR ACCESS-DENIED\n"), "upsd does not let this agent see it (ACCESS-DENIED)"),
        (answers(b"ERR DATA-STALE\n"), "upsd has no fresh data: its driver does not hear the UPS (DATA-STALE)"),
        (answers(b"ERR SOMETHING-NEW\n"), "upsd answered with an error: 'SOMETHING-NEW'"),
        (answers(b"ERR\n"), "does not answer like upsd: 'ERR'"),
        (answers(b"220 mail.example ESMTP\r\n"), "does not answer like upsd: '220 mail.example ESMTP'"),
        (answers(b"BEGIN LIST VAR other\n"), "does not answer like upsd: 'BEGIN LIST VAR other'"),
        (answers(b'BEGIN LIST VAR u\nVAR u ups.status "O', hang=True), "did not answer in full within 0.4 s"),
        (answers(b"", hang=True), "did not answer in full within 0.4 s"),
        (answers(b'BEGIN LIST VAR u\nVAR u ups.status "OL"\n'), "closed the connection in the middle of an answer"),
        (answers(b'BEGIN LIST VAR u\nVAR u ups.status "OL"\nERR DRIVER-NOT-CONNECTED\n'), "(DRIVER-NOT-CONNECTED)"),
        (answers(b"BEGIN LIST VAR u\nEND LIST VAR u\n"), "upsd's driver has not told the UPS's status yet"),
        (answers(b'BEGIN LIST VAR u\nVAR\nVAR u\n""\n"\nEND LIST VAR u\n'), "has not told the UPS's status yet"),
        (answers(b'BEGIN LIST VAR u\nVAR u ups.status "\xff\x00"\nEND LIST VAR u\n'), "does not say what it runs on"),
        (floods, "sends without end, unlike upsd"),
        (one_long_line, "sends without end, unlike upsd"),
    ],
)
async def test_servers_that_only_look_like_upsd(talk: Talk, reason: str) -> None:
    async with service(talk) as port:
        outcome = await Ups(host="127.0.0.1", port=port, ups="u").run(look(0.4))
    assert outcome.state == UNKNOWN
    assert outcome.reason.endswith(reason)


async def test_a_refused_login_and_an_impossible_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    probe = {"host": "127.0.0.1", "ups": "u", "credential": "x"}
    async with service(answers(b"OK\n", b"ERR INVALID-PASSWORD\n")) as port:
        outcome = await Ups(port=port, **probe).run(look(1, {"user": "u", "password": "t0p-canary"}))  # type: ignore[arg-type]
    assert outcome == Outcome(UNKNOWN, "upsd does not accept the password (INVALID-PASSWORD)")
    heard: list[bytes] = []

    async def hears(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())

    async with service(hears) as port:
        outcome = await Ups(port=port, **probe).run(look(1, {"password": "x\nSET VAR u canary"}))  # type: ignore[arg-type]
    assert outcome == Outcome(UNKNOWN, "the credential's password has characters that NUT cannot take")
    assert b"canary" not in b"".join(heard)
    assert "canary" not in caplog.text


@given(st.lists(st.text(st.characters(blacklist_categories=("Cs", "Cc"))), min_size=1, max_size=4))
def test_words_survive_quoting(words: list[str]) -> None:
    line = " ".join(f'"{nut._escaped(word)}"' for word in words)
    assert nut._split_words(line) == words


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        ("OL", UP, ""),
        ("OL CHRG", UP, ""),
        ("OL BOOST", UP, ""),
        ("OL TRIM CHRG", UP, ""),
        ("OL ECO", UP, ""),
        ("OB", DEGRADED, "on battery, charge 97%, runtime 41 min"),
        ("OB CAL", DEGRADED, "on battery, charge 97%, runtime 41 min (calibrating)"),
        ("OB LB", DOWN, "its battery is low: on battery, charge 97%, runtime 41 min"),
        ("OL LB CHRG", DEGRADED, "its battery is low and would not carry an outage"),
        ("OL RB", DEGRADED, "the battery is to be replaced"),
        ("OL OVER", DEGRADED, "overloaded"),
        ("OL BYPASS", DEGRADED, "on bypass, the load is not protected"),
        ("BYPASS", DEGRADED, "on bypass, the load is not protected"),
        ("BOOST", UP, ""),
        ("OL ALARM", DEGRADED, "it says 'Fan failure!'"),
        ("OL CAL", DEGRADED, "calibrating its battery"),
        ("OFF", DOWN, "its output is off"),
        ("OL OFF", DOWN, "its output is off"),
        ("OB LB FSD", DOWN, "it is about to cut its output: on battery, charge 97%, runtime 41 min"),
        ("OL NOCOMM", UNKNOWN, "upsd's driver has lost the UPS; its numbers are old"),
        ("WAIT", UNKNOWN, "upsd's driver has not told the UPS's status yet"),
        ("", UNKNOWN, "upsd's driver has not told the UPS's status yet"),
        ("CHRG", UNKNOWN, "it does not say what it runs on"),
        ("OB OVER RB", DEGRADED, "on battery, charge 97%, runtime 41 min; overloaded; the battery is to be replaced"),
    ],
)
def test_what_a_status_means(status: str, state: int, reason: str) -> None:
    reading = nut.to_reading({**HEALTHY, "ups.status": status, "ups.alarm": "Fan failure!"}, NOW).normalise()
    assert ups_state(reading) == (state, reason)


def test_what_is_missing_stays_missing() -> None:
    told = {
        "ups.status": "OL",
        "battery.charge": "",
        "battery.runtime": "65535",
        "ups.load": "NULL",
        "input.voltage": "N/A",
        "output.voltage": "0.0",
        "battery.voltage": "-1",
        "battery.date": "not set",
        "ups.temperature": "4294967295",
        "ups.test.result": "No test initiated",
        "ups.test.date": "2020-01-01",
    }
    measures = nut.to_reading(told, NOW).normalise().measures()
    assert {name for name in measures if not name.startswith("on_")} == {
        "low_battery",
        "bypass",
        "overload",
        "boost",
        "trim",
        "replace_battery",
        "calibrating",
        "output_off",
    }


def test_three_phases_count_by_the_worst() -> None:
    told = {
        "ups.status": "OL",
        "input.L1-N.voltage": "231",
        "input.L2-N.voltage": "219.5",
        "input.L3-N.voltage": "228",
        "output.L1.power.percent": "20",
        "output.L2.power.percent": "71",
        "output.L3.power.percent": "33",
    }
    values = nut.to_reading(told, NOW).normalise().values
    assert values == {"input_volts": 219.5, "load_ratio": 0.71}


@pytest.mark.parametrize(
    ("result", "passed"),
    [
        ("Done and passed", True),
        ("OK - Battery GOOD", True),
        ("No error", True),
        ("Done and error", False),
        ("Done and warning", False),
        ("BAD - Battery capacity too low", False),
        ("Aborted", None),
        ("In progress", None),
        ("", None),
    ],
)
def test_self_tests(result: str, passed: bool | None) -> None:
    reading = nut.to_reading({"ups.status": "OL", "ups.test.result": result}, NOW)
    assert reading.flags.get("test_passed") == passed
