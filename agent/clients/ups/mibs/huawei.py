"""HUAWEI-UPS-MIB: Huawei's UPS2000 and UPS5000. A column for each line; tenths of volts, hundredths of hertz."""

from typing import Final

from agent.clients.ups.mib import CodesRow, Mib, NumberRow

MIB: Final = Mib(
    name="HUAWEI-UPS-MIB",
    root="1.3.6.1.4.1.2011.6.174.1",
    vendors=("1.3.6.1.4.1.2011",),
    markers=("2.101.1.1.1", "6.100.1.3.1", "4.100.1.1.1"),
    rows=(
        CodesRow(
            "2.101.1.1",
            {
                1: "off",  # no supply
                2: "mains bypass",
                3: "mains",
                4: "battery",
                5: "battery",  # mains and battery together
                6: "mains",
                7: "battery",
            },
            column=True,
        ),
        CodesRow("2.101.1.3", {1: "no_battery", 2: "", 3: "", 4: "", 5: "", 6: "discharging"}, column=True),
        NumberRow("runtime_seconds", "6.100.1.4", column=True),
        NumberRow("charge_ratio", "6.100.1.3", 0.01, column=True),
        NumberRow("battery_volts", "6.100.1.1", 0.1, column=True),
        NumberRow("input_volts", "3.100.1.1 3.100.1.2 3.100.1.3", 0.1, column=True),
        NumberRow("input_hertz", "3.100.1.4", 0.01, column=True),
        NumberRow("output_volts", "4.100.1.1 4.100.1.2 4.100.1.3", 0.1, column=True),
        NumberRow("output_hertz", "4.100.1.7", 0.01, column=True),
        NumberRow("load_ratio", "4.100.1.14 4.100.1.15 4.100.1.16", 0.001, column=True),
    ),
)
