"""CPS-MIB: CyberPower. Built like APC's older objects; tenths of volts and hertz, hundredths of seconds."""

from typing import Final

from agent.clients.ups.mib import CodesRow, DateRow, Mib, NumberRow

MIB: Final = Mib(
    name="CPS-MIB",
    root="1.3.6.1.4.1.3808.1.1.1",
    vendors=("1.3.6.1.4.1.3808",),
    markers=("4.1.1.0", "2.1.1.0", "2.2.1.0"),
    rows=(
        CodesRow(
            "4.1.1.0",
            {
                2: "mains",
                3: "battery",
                4: "mains boost",
                5: "off",  # sleeping
                6: "off",
                7: "off",  # rebooting
                8: "mains",
                9: "mains bypass",
                10: "mains trim",
                11: "mains overload",
            },
        ),
        CodesRow("2.1.1.0", {2: "", 3: "low", 4: "no_battery"}),
        CodesRow("2.2.5.0", {1: "", 2: "replace"}),
        CodesRow("10.1.0", {1: "", 2: "hot", 3: "fault"}),
        CodesRow("7.2.3.0", {1: "test_passed", 2: "test_failed", 3: "", 4: "testing"}),
        CodesRow("7.2.7.0", {1: "", 2: "", 3: "calibrating"}),
        DateRow("self_test_timestamp", "7.2.4.0"),
        DateRow("battery_age_seconds", "2.1.3.0"),
        NumberRow("on_battery_seconds", "2.1.2.0", 0.01),
        NumberRow("runtime_seconds", "2.2.4.0", 0.01),
        NumberRow("charge_ratio", "2.2.1.0", 0.01),
        NumberRow("battery_volts", "2.2.2.0", 0.1),
        NumberRow("temperature_celsius", "2.2.3.0"),
        NumberRow("temperature_celsius", "10.2.0"),
        NumberRow("input_volts", "3.2.1.0", 0.1),
        NumberRow("input_hertz", "3.2.4.0", 0.1),
        NumberRow("output_volts", "4.2.1.0", 0.1),
        NumberRow("output_hertz", "4.2.2.0", 0.1),
        NumberRow("load_ratio", "4.2.3.0", 0.01),
    ),
)
