"""CPS-MIB: CyberPower. Built like APC's older objects; tenths of volts and hertz, hundredths of seconds."""

from typing import Final

from agent.clients.ups.mib import Codes, Day, Mib, Number

MIB: Final = Mib(
    name="CPS-MIB",
    root="1.3.6.1.4.1.3808.1.1.1",
    vendors=("1.3.6.1.4.1.3808",),
    markers=("4.1.1.0", "2.1.1.0", "2.2.1.0"),
    rows=(
        Codes(
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
        Codes("2.1.1.0", {2: "", 3: "low", 4: "no_battery"}),
        Codes("2.2.5.0", {1: "", 2: "replace"}),
        Codes("10.1.0", {1: "", 2: "hot", 3: "fault"}),
        Codes("7.2.3.0", {1: "test_passed", 2: "test_failed", 3: "", 4: "testing"}),
        Codes("7.2.7.0", {1: "", 2: "", 3: "calibrating"}),
        Day("self_test_timestamp", "7.2.4.0"),
        Day("battery_age_seconds", "2.1.3.0"),
        Number("on_battery_seconds", "2.1.2.0", 0.01),
        Number("runtime_seconds", "2.2.4.0", 0.01),
        Number("charge_ratio", "2.2.1.0", 0.01),
        Number("battery_volts", "2.2.2.0", 0.1),
        Number("temperature_celsius", "2.2.3.0"),
        Number("temperature_celsius", "10.2.0"),
        Number("input_volts", "3.2.1.0", 0.1),
        Number("input_hertz", "3.2.4.0", 0.1),
        Number("output_volts", "4.2.1.0", 0.1),
        Number("output_hertz", "4.2.2.0", 0.1),
        Number("load_ratio", "4.2.3.0", 0.01),
    ),
)
