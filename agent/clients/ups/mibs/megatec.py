"""EPPC-MIB / XPPC-MIB: Megatec and Phoenixtec, and the many brands that sell their cards (NetAgent, NMC).

Built like APC's older objects; tenths of volts, hertz and degrees, whole seconds. Three-phase UPSs have a group of
their own, with loads in tenths of a percent.
"""

from typing import Final

from agent.clients.ups.mib import CodesRow, DateRow, Mib, NumberRow

MIB: Final = Mib(
    name="XPPC-MIB",
    root="1.3.6.1.4.1.935.1.1.1",
    vendors=("1.3.6.1.4.1.935",),
    markers=("4.1.1.0", "2.1.1.0", "2.2.1.0"),
    rows=(
        CodesRow(
            "4.1.1.0",
            {
                2: "mains",
                3: "battery",
                4: "mains boost",
                5: "off",  # sleeping
                6: "mains bypass",
                7: "off",  # rebooting
                8: "off",  # standby
                9: "mains trim",
            },
        ),
        CodesRow("2.1.1.0", {2: "", 3: "low"}),
        CodesRow("2.2.5.0", {1: "", 2: "replace"}),
        CodesRow("8.5.2.0", {14: "low", 16: ""}),  # three phases: its codes count through the whole group
        CodesRow("8.5.5.0", {4: "battery", 5: ""}),
        CodesRow("8.6.2.0", {8: "bypass", 9: ""}),  # the breaker that is thrown by hand
        CodesRow("8.6.4.0", {12: "", 13: "bypass"}),
        CodesRow("8.7.4.0", {14: "overload", 16: ""}),
        CodesRow("8.7.6.0", {14: "hot", 16: ""}),
        *(CodesRow(f"8.7.{place}.0", {14: "fault", 16: ""}) for place in (1, 2, 5, 7)),
        CodesRow("7.2.3.0", {1: "test_passed", 2: "test_failed", 3: "", 4: "testing"}),
        DateRow("self_test_timestamp", "7.2.4.0"),
        DateRow("battery_age_seconds", "2.1.3.0"),
        NumberRow("on_battery_seconds", "2.1.2.0"),
        NumberRow("runtime_seconds", "2.2.4.0"),
        NumberRow("charge_ratio", "2.2.1.0", 0.01),
        NumberRow("battery_volts", "2.2.2.0", 0.1),
        NumberRow("temperature_celsius", "2.2.3.0", 0.1, whole=60),
        NumberRow("input_volts", "3.2.1.0", 0.1),
        NumberRow("input_volts", "8.2.2.0 8.2.3.0 8.2.4.0", 0.1),
        NumberRow("input_hertz", "3.2.4.0 8.2.1.0", 0.1),
        NumberRow("output_volts", "4.2.1.0", 0.1),
        NumberRow("output_volts", "8.3.2.0 8.3.3.0 8.3.4.0", 0.1),
        NumberRow("output_hertz", "4.2.2.0 8.3.1.0", 0.1),
        NumberRow("load_ratio", "8.3.5.0 8.3.6.0 8.3.7.0", 0.001),
        NumberRow("load_ratio", "4.2.3.0", 0.01),
    ),
)
