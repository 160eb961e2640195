"""XUPS-MIB: Eaton and Powerware. Whole volts, seconds, tenths of hertz; much is told by the table of alarms alone."""

from typing import Final

from agent.clients.ups.mib import AlarmTableRow, CodesRow, DateRow, Mib, NumberRow

ALARMS: Final = {
    3: "battery",
    4: "low",
    7: "overload",
    8: "fault",
    9: "low",  # discharged
    10: "fault",
    11: "bypass",
    13: "off",
    16: "ending",
    23: "replace",
    24: "off",
    25: "test_failed",
    26: "lost",
    28: "testing",
    29: "hot",
    31: "hot",
    32: "charger_fault",
    33: "fault",
    34: "fault",
    35: "fault",
    36: "fault",
    42: "fault",
    43: "off",
    44: "bypass",
}

MIB: Final = Mib(
    name="XUPS-MIB",
    root="1.3.6.1.4.1.534.1",
    vendors=("1.3.6.1.4.1.534",),
    markers=("4.5.0", "2.1.0", "2.4.0"),
    rows=(
        CodesRow(
            "4.5.0",
            {
                2: "off",
                3: "mains",
                4: "mains bypass",
                5: "battery",
                6: "mains boost",
                7: "mains trim",
                8: "mains",
                9: "mains",
                10: "mains",
                11: "mains bypass",
                12: "mains",
            },
        ),
        CodesRow("2.5.0", {1: "", 2: "discharging", 3: "", 4: "", 6: "no_battery", 7: "testing", 8: "battery_fault"}),
        CodesRow("2.7.0", {1: "battery_fault", 2: ""}),
        CodesRow("2.8.0", {1: "no_battery", 2: ""}),
        CodesRow("2.9.0", {1: "replace", 2: ""}),  # over-aged
        CodesRow("2.10.0", {1: "low", 2: ""}),
        CodesRow("4.10.0", {1: "off", 2: "", 3: ""}),
        AlarmTableRow("7.1.0", "7.2.1.2", "7", ALARMS),
        CodesRow("8.2.0", {2: "test_passed", 3: "test_failed", 4: "testing", 5: "", 6: "", 7: ""}),
        DateRow("battery_age_seconds", "2.6.0"),
        NumberRow("runtime_seconds", "2.1.0"),
        NumberRow("battery_volts", "2.2.0"),
        NumberRow("charge_ratio", "2.4.0", 0.01),
        NumberRow("input_hertz", "3.1.0", 0.1),
        NumberRow("input_volts", "3.4.1.2", column=True),
        NumberRow("load_ratio", "4.4.1.8", 0.01, column=True),
        NumberRow("load_ratio", "4.1.0", 0.01),
        NumberRow("output_hertz", "4.2.0", 0.1),
        NumberRow("output_volts", "4.4.1.2", column=True),
        NumberRow("temperature_celsius", "6.1.0"),
    ),
)
