"""The one model of UPSs: numbers that are none, scales that are wrong, dates, and the state that follows."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clients.ups.dates import parse_date
from agent.clients.ups.model import (
    FLAG_FAULTS,
    FLAG_MEASURES,
    PLAUSIBLE,
    SENTINELS,
    SOURCES,
    UpsReading,
    duration_text,
    parse_number,
    ups_state,
)
from inventory.protocol.reasons import bounded
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP


@pytest.mark.parametrize(
    "nothing",
    [*SENTINELS, "", "  ", "NULL", "null", "N/A", "n/a", "-1", "-1.0", "65535", "4294967295", "nan", "unknown", b"",
     b"\0\0", None, True, "not set", "12/05/2024", "1.2.3", "10:30", float("nan"), "--", b"\xff\xff"],
)  # fmt: skip
def test_no_number_is_made_of_what_says_that_there_is_none(nothing: object) -> None:
    assert parse_number(nothing) is None


@pytest.mark.parametrize(
    ("said", "value"),
    [(0, 0), ("0", 0), ("230.1", 230.1), (b"230", 230), ("100.0 Percent", 100), ("27.3 Volts", 27.3), (" 5 ", 5),
     ("-12.5", -12.5), ("+7", 7), ("230,5 V", 230.5), ("50.0Hz", 50), (3.5, 3.5), (b"98\0", 98)],
)  # fmt: skip
def test_numbers_as_devices_write_them(said: object, value: float) -> None:
    assert parse_number(said) == value


def test_the_first_plausible_value_stays_unless_it_is_0() -> None:
    reading = UpsReading()
    for measure, *values in (
        ("charge_ratio", 1.8, 1.02, 0.5),
        ("runtime_seconds", 65_534 * 60.0, 900.0, 1.0),
        ("load_ratio", 9.9, 0.0, 0.4, 0.0),  # cards put 0 where they have only the older object
        ("input_hertz", 0.0, 49.9),
        ("input_volts", 0.0, 0.0),
        ("battery_volts", 0.0, 54.2, 3.0),
        ("temperature_celsius", -273.0, 0.0, 21.5),
        ("battery_age_seconds", 25 * 365 * 86_400.0, -86_400.0, 86_400.0),
    ):
        for value in values:
            reading.set_value(measure, value)
        reading.set_value(measure, None)
    assert reading.values == {
        "charge_ratio": 1.0,
        "runtime_seconds": 900,
        "load_ratio": 0.4,
        "input_hertz": 49.9,
        "input_volts": 0,
        "battery_volts": 54.2,
        "temperature_celsius": 21.5,
        "battery_age_seconds": 86_400,
    }


@pytest.mark.parametrize(
    ("measure", "raw", "value"),
    [("input_volts", 2284, 228.4), ("output_volts", 23_010, 230.1), ("input_volts", 398, 398),
     ("input_hertz", 500, 50), ("output_hertz", 5998, 59.98), ("input_hertz", 5.0, 50), ("input_hertz", 49.9, 49.9),
     ("temperature_celsius", 254, 25.4), ("temperature_celsius", 41, 41)],
)  # fmt: skip
def test_a_wrong_power_of_ten_is_undone(measure: str, raw: float, value: float) -> None:
    reading = UpsReading()
    reading.set_value(measure, raw)
    assert reading.values[measure] == pytest.approx(value)


def test_what_contradicts_the_rest_is_dropped() -> None:
    running = UpsReading(
        {"mains": True},
        {
            "input_volts": 0.0,
            "output_volts": 23.1,
            "runtime_seconds": 0.0,
            "charge_ratio": 0.0,
            "load_ratio": 0.0,
        },
    ).normalise()
    assert running.values == {"output_volts": 231, "charge_ratio": 0, "load_ratio": 0}
    full = UpsReading({"battery": False, "low": False}, {"charge_ratio": 0.0, "runtime_seconds": 0.0}).normalise()
    assert full.values == {}, "an empty battery would be low"
    empty = UpsReading({"mains": True, "low": True}, {"charge_ratio": 0.0, "runtime_seconds": 0.0}).normalise()
    assert empty.values == {"charge_ratio": 0, "runtime_seconds": 0}
    assert UpsReading({"mains": True}, {"input_volts": 2.3}).normalise().values == {}
    outage = UpsReading(
        {"battery": True}, {"input_volts": 0.0, "output_volts": 229.0, "runtime_seconds": 0.0}
    ).normalise()
    assert outage.values == {"input_volts": 0, "output_volts": 229, "runtime_seconds": 0}
    off = UpsReading({"off": True, "mains": True}, {"output_volts": 0.0}).normalise()
    assert (off.values, off.flags) == ({"output_volts": 0}, {"off": True, "mains": False, "battery": False})
    assert UpsReading({"mains": True, "battery": True}).normalise().flags["mains"] is False


def test_seconds_on_battery_tell_the_source_if_nothing_else_does() -> None:
    assert ups_state(UpsReading({}, {"on_battery_seconds": 0.0}).normalise()) == (UP, "")
    assert ups_state(UpsReading({}, {"on_battery_seconds": 200.0}).normalise()) == (DEGRADED, "on battery for 3 min")
    assert ups_state(UpsReading({}, {"charge_ratio": 1.0}).normalise()) == (UNKNOWN, "it does not say what it runs on")


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"discharging": True}, DEGRADED),
        ({"discharging": False}, UP),
        ({"discharging": True, "mains": True}, UP),  # a test that draws on the battery beside the mains
        ({"discharging": True, "off": True}, DOWN),
        ({"discharging": False, "battery": True}, DEGRADED),
        ({"discharging": True, "battery": False}, UP),
    ],
)
def test_what_the_battery_does_tells_the_source_if_nothing_else_does(said: dict[str, bool], state: int) -> None:
    reading = UpsReading(dict(said)).normalise()
    assert ups_state(reading)[0] == state
    assert "discharging" not in reading.flags


def test_more_than_the_rated_load_is_an_overload_unless_it_says_that_it_is_not() -> None:
    assert ups_state(UpsReading({"mains": True}, {"load_ratio": 1.04}).normalise()) == (DEGRADED, "overloaded")
    assert ups_state(UpsReading({"mains": True}, {"load_ratio": 1.0}).normalise()) == (UP, "")
    assert ups_state(UpsReading({"mains": True, "overload": False}, {"load_ratio": 1.04}).normalise()) == (UP, "")


def test_another_ones_words_fill_the_gaps_alone() -> None:
    vendor = UpsReading({"mains": True, "battery": False, "low": False}, {"charge_ratio": 0.9}, notes=["fan"])
    vendor.fill_from(
        UpsReading(
            {"battery": True, "low": True, "replace": True}, {"charge_ratio": 0.1, "load_ratio": 0.3}, "", ["fan"]
        )
    )
    assert vendor.flags == {"mains": True, "battery": False, "low": False, "replace": True}
    assert vendor.values == {"charge_ratio": 0.9, "load_ratio": 0.3}
    assert vendor.notes == ["fan"]
    silent = UpsReading({"battery": False})
    silent.fill_from(UpsReading({"battery": True, "mains": False}, lost="old"))
    assert (silent.flags, silent.lost) == ({"battery": True, "mains": False}, "old")


flags = st.dictionaries(st.sampled_from([*FLAG_MEASURES, *FLAG_FAULTS, "testing", "ending"]), st.booleans())
values = st.dictionaries(
    st.sampled_from(sorted(PLAUSIBLE)),
    st.one_of(st.none(), st.floats(), st.sampled_from(sorted(map(float, SENTINELS)))),
)


@given(flags, values)
def test_whatever_is_said_there_is_one_state_with_a_reason(
    said: dict[str, bool], told: dict[str, float | None]
) -> None:
    reading = UpsReading()
    for flag, value in said.items():
        reading.set_flag(flag, value)
    for measure, number_told in told.items():
        reading.set_value(measure, number_told)
    state, reason = ups_state(reading.normalise())
    assert (state == UP) == (not reason)
    assert bounded(reason) == reason or len(reason) > 200
    assert sum(reading.flags.get(source, False) for source in SOURCES) <= 1
    if reading.flags.get("battery"):
        assert state in (DEGRADED, DOWN)
    for measure, measured in reading.measures().items():
        low, high = PLAUSIBLE.get(measure, (0, 1))
        assert low <= measured <= high


def test_old_numbers_are_no_evidence_whatever_they_say() -> None:
    assert ups_state(UpsReading({"off": True, "low": True, "battery": True}, lost="it is old")) == (
        UNKNOWN,
        "it is old",
    )


def test_a_failed_self_test_and_one_that_runs() -> None:
    assert ups_state(UpsReading({"mains": True, "test_passed": False})) == (
        DEGRADED,
        "the last self-test was not passed",
    )
    assert ups_state(UpsReading({"mains": True, "test_passed": False, "testing": True})) == (UP, "")
    assert ups_state(UpsReading({"battery": True, "testing": True})) == (DEGRADED, "on battery (a self-test)")


@pytest.mark.parametrize(
    ("text", "day"),
    [("2024-03-31", (2024, 3, 31)), ("2024/3/1", (2024, 3, 1)), ("20240331", (2024, 3, 31)),
     ("04/30/25", (2025, 4, 30)),
     ("30/04/2025", (2025, 4, 30)), ("01/10/2022", (2022, 1, 10)), ("31.12.2023", (2023, 12, 31)),
     ("5.12.2023", (2023, 12, 5)), ("07-Mar-2024", (2024, 3, 7)), ("7 March 2024", (2024, 3, 7)),
     ("2024-03-31 10:20:30 +0700", (2024, 3, 31, 10, 20, 30)), ("09/12/99", (1999, 9, 12)),
     ("2024-03-31T10:20", (2024, 3, 31, 10, 20))],
)  # fmt: skip
def test_dates_as_they_are_written(text: str, day: tuple[int, ...]) -> None:
    assert parse_date(text) == datetime(*day, tzinfo=UTC).timestamp()  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    "text", ["", "UNKNOWN", "N/A", "0", "2024", "31/31/2024", "2024-02-30", "99-Foo-2024", "not set"]
)
def test_what_is_no_date(text: str) -> None:
    assert parse_date(text) is None


@given(st.text())
def test_no_text_trips_the_reader_of_dates(text: str) -> None:
    parse_date(text)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (119.4, "119 s"),
        (150, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (8700, "2 h 25 min"),
        (200_000, "2 d 7 h"),
    ],
)
def test_durations_for_people(seconds: float, words: str) -> None:
    assert duration_text(seconds) == words


def test_down_and_why() -> None:
    told = {"charge_ratio": 0.08, "runtime_seconds": 95.0, "on_battery_seconds": 1500.0}
    assert ups_state(UpsReading({"battery": True, "low": True}, told)) == (
        DOWN,
        "its battery is low: on battery for 25 min, charge 8%, runtime 95 s",
    )
