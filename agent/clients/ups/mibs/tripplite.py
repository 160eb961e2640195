"""TRIPPLITE-PRODUCTS: Tripp Lite with WEBCARDLX, TLNETCARD and PowerAlert. Tables by device; tenths of volts, hertz."""

from typing import Final

from agent.clients.ups.mib import CodesRow, DateRow, Mib, NumberRow

MIB: Final = Mib(
    name="TRIPPLITE-PRODUCTS",
    root="1.3.6.1.4.1.850.1.1.3.1",
    vendors=("1.3.6.1.4.1.850",),
    markers=("3.3.1.1.1.1", "3.1.1.1.1.1", "3.1.1.1.4.1"),
    rows=(
        CodesRow(
            "3.3.1.1.1",
            {
                2: "off",
                3: "mains",
                4: "mains bypass",
                5: "battery",
                6: "mains boost",
                7: "mains trim",
                8: "mains",
                9: "mains",  # economy
                10: "mains testing",
            },
            column=True,
        ),
        CodesRow("3.1.1.1.1", {2: "", 3: "low", 4: "low"}, column=True),
        CodesRow("3.1.2.1.4", {0: "", 1: "", 2: "", 3: "discharging", 4: ""}, column=True),
        CodesRow("3.1.2.1.5", {0: "", 1: "charger_fault"}, column=True),
        CodesRow("3.1.5.1.1", {1: "", 2: "battery_fault", 3: "replace"}, column=True),
        CodesRow(
            "2.1.1.6",
            {
                0: "",
                1: "test_passed",
                2: "test_failed",
                3: "test_failed",
                4: "",
                5: "testing",
                6: "",
                7: "test_failed replace",
                8: "test_failed",
                9: "test_failed replace",
            },
            column=True,
        ),
        DateRow("self_test_timestamp", "2.1.1.5", column=True),
        DateRow("battery_age_seconds", "3.1.5.1.5", column=True),
        NumberRow("on_battery_seconds", "3.1.1.1.2", column=True),
        NumberRow("runtime_seconds", "3.1.1.1.3", 60, column=True),
        NumberRow("charge_ratio", "3.1.1.1.4", 0.01, column=True),
        NumberRow("battery_volts", "3.1.2.1.1", 0.1, column=True),
        NumberRow("temperature_celsius", "2.1.1.7", 0.1, column=True),
        NumberRow("input_hertz", "3.2.2.1.2", 0.1, column=True),
        NumberRow("input_volts", "3.2.2.1.3", 0.1, column=True),
        NumberRow("output_hertz", "3.3.1.1.3", 0.1, column=True),
        NumberRow("output_volts", "3.3.2.1.2", 0.1, column=True),
        NumberRow("load_ratio", "3.3.2.1.5", 0.01, column=True),
    ),
)
