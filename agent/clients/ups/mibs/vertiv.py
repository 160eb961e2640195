"""LIEBERT-GP-POWER-MIB and LIEBERT-GP-FLEXIBLE-MIB: Vertiv, Liebert. The flexible table gives texts in final units.

VERTIV-ITA2-MIB: the cards of the ITA2, single- and three-phase; tenths of volts and percent, hundredths of hertz.
"""

from typing import Final

from agent.clients.ups.mib import CodesRow, DateRow, Mib, NumberRow

FLEXIBLE: Final = "9.20.1.20.1.2.1"  # lgpFlexibleEntryValue of the data points of a UPS
EVENTS: Final = "9.20.1.20.1.2.100"  # the same of its events
TENTHS: Final = "9.30.1.20.1.2.1"  # the data points as integers, for cards without the texts

SOURCE: Final = {
    2: "off",
    3: "mains",
    4: "mains bypass",
    5: "battery",
    6: "mains boost",
    7: "mains trim",
    "none": "off",
    "normal": "mains",
    "bypass": "mains bypass",
    "maintenance bypass": "mains bypass",
    "eco mode": "mains",
    "battery": "battery",
    "booster": "mains boost",
    "reducer": "mains trim",
    "off": "off",
}


def _event(point: int, flag: str) -> CodesRow:
    flags = {f"active {sort}": flag for sort in ("event", "warning", "alarm", "alarm acknowledged")}
    return CodesRow(f"{EVENTS}.{point}", {**flags, "inactive event": "", "normal": ""})


MIB: Final = Mib(
    name="LIEBERT-GP-POWER-MIB",
    root="1.3.6.1.4.1.476.1.42.3",
    vendors=("1.3.6.1.4.1.476",),
    markers=("5.3.55.0", "5.1.18.0", "5.1.19.0", f"{FLEXIBLE}.4872", f"{FLEXIBLE}.4153"),
    rows=(
        CodesRow("5.3.55.0", SOURCE),
        CodesRow(f"{FLEXIBLE}.4872", SOURCE),
        CodesRow("5.3.10.0", {1: "bypass", 2: ""}),
        _event(4162, "low"),
        _event(4168, "discharging"),
        _event(4215, "off"),
        _event(4219, "hot"),
        _event(4233, "fault"),
        _event(5806, "overload"),
        _event(6182, "replace"),
        CodesRow(
            f"{FLEXIBLE}.6181",
            {"passed": "test_passed", "failed": "test_failed", "in progress": "testing", "unknown": ""},
        ),
        DateRow("battery_age_seconds", f"{FLEXIBLE}.4160"),
        NumberRow("runtime_seconds", f"5.1.18.0 {FLEXIBLE}.4150", 60),
        NumberRow("charge_ratio", f"5.1.19.0 {FLEXIBLE}.4153", 0.01),
        NumberRow("battery_volts", f"{FLEXIBLE}.4148"),
        NumberRow("battery_volts", "5.2.4.1.4.1"),
        NumberRow("temperature_celsius", f"{FLEXIBLE}.4156"),
        NumberRow("temperature_celsius", "4.1.3.3.1.3.1"),
        NumberRow("input_volts", f"{FLEXIBLE}.4096"),
        NumberRow("input_volts", "5.2.3.1.20.1", column=True),  # measurement point 1, by line
        NumberRow("input_volts", "5.2.3.1.5.1", column=True),  # to neutral, before that between lines
        NumberRow("input_volts", "5.2.3.1.4.1", column=True),
        NumberRow("input_hertz", f"{FLEXIBLE}.4105 5.2.2.1.6.1"),
        NumberRow("output_volts", f"{FLEXIBLE}.4385 {FLEXIBLE}.4128"),
        NumberRow("output_volts", "5.2.3.1.20.3", column=True),  # measurement point 3
        NumberRow("output_volts", "5.2.3.1.5.3", column=True),
        NumberRow("output_volts", "5.2.3.1.4.3", column=True),
        NumberRow("output_hertz", f"{FLEXIBLE}.4207 5.2.2.1.6.3"),
        NumberRow("load_ratio", f"{FLEXIBLE}.5861", 0.01),
        NumberRow("load_ratio", f"{FLEXIBLE}.4223", 0.01),
        NumberRow("load_ratio", "5.2.3.1.19.3", 0.01, column=True),
        NumberRow("load_ratio", "5.2.2.1.11.3", 0.01),
        NumberRow("runtime_seconds", f"{TENTHS}.4150", 60),
        NumberRow("charge_ratio", f"{TENTHS}.4153", 0.001),
        NumberRow("battery_volts", f"{TENTHS}.4148", 0.1),
        NumberRow("input_volts", f"{TENTHS}.4096", 0.1),
        NumberRow("input_hertz", f"{TENTHS}.4105", 0.1),
        NumberRow("output_volts", f"{TENTHS}.4385", 0.1),
        NumberRow("load_ratio", f"{TENTHS}.5861", 0.01),
    ),
)

ITA2: Final = Mib(
    name="VERTIV-ITA2-MIB",
    root="1.3.6.1.4.1.13400.2.54",
    vendors=("1.3.6.1.4.1.13400",),
    markers=("2.1.2.0", "2.5.10.0", "2.5.7.0"),
    rows=(
        CodesRow("2.1.1.0", {0: "", 1: "", 2: "fault"}),
        CodesRow("2.1.2.0", {0: "off", 1: "mains", 2: "battery", 3: "mains bypass", 4: "battery"}),  # 4: with the mains
        NumberRow("runtime_seconds", "2.5.7.0", 60),
        NumberRow("charge_ratio", "2.5.10.0", 0.01),
        NumberRow("battery_volts", "2.5.1.0", 0.1),  # its positive half, where it has two
        NumberRow("temperature_celsius", "2.5.8.0", 0.1, whole=60),
        NumberRow("temperature_celsius", "2.5.8.0", 0.001),
        NumberRow("temperature_celsius", "2.5.9.0", 0.1, whole=60),  # around it
        NumberRow("temperature_celsius", "2.5.9.0", 0.001),
        NumberRow("input_volts", "2.2.1.0 2.2.2.0 2.2.3.0", 0.1),
        NumberRow("input_hertz", "2.2.4.0", 0.01),
        NumberRow("output_volts", "2.3.1.0 2.3.2.0 2.3.3.0", 0.1),
        NumberRow("output_hertz", "2.3.7.0", 0.01),
        NumberRow("load_ratio", "2.3.14.0 2.3.15.0 2.3.16.0", 0.001),
    ),
)
