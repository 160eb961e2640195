"""SOCOMECUPS-MIB: Socomec with Net Vision 7 and 8, and the MIB of older Net Vision cards.

Tenths of volts, hertz and degrees. The output's source knows no battery: that is told by the battery's status and by
the alarms, objects that are 0 or 1.
"""

from typing import Final

from agent.clients.ups.mib import CodesRow, Mib, NumberRow
from agent.clients.ups.model import UpsReading

ALARMS: Final = {
    1: "ending",
    2: "overload",
    3: "hot",
    8: "fault",
    11: "fault",
    12: "no_battery",  # its circuit is open
    13: "low",
    14: "low",
    15: "battery",
    16: "hot",
    18: "test_failed",
    19: "replace",
    20: "fault",
    24: "charger_fault",
    26: "fault",
    28: "fault",
    32: "fault",
    33: "bypass",
    34: "off",
    36: "fault",
    54: "testing",
    55: "bypass",
}


def _set_battery(reading: UpsReading) -> None:
    """It counts the seconds on battery only while it is."""
    if reading.values.get("on_battery_seconds", 0) > 0:
        reading.set_flag("battery", True)


MIB: Final = Mib(
    name="SOCOMECUPS-MIB",
    root="1.3.6.1.4.1.4555.1.1.7.1",
    vendors=("1.3.6.1.4.1.4555.1.1.7",),
    markers=("4.1.0", "2.1.0", "2.4.0"),
    rows=(
        CodesRow(
            "4.1.0",
            {
                2: "mains bypass",
                3: "mains",
                4: "mains",
                5: "mains",
                6: "mains bypass",
                7: "off",  # standby
                8: "off",
                9: "mains",
                10: "mains",
            },
        ),
        CodesRow(
            "2.1.0",
            {
                2: "",
                3: "",
                4: "testing",
                5: "battery",
                6: "low",
                7: "low",
                8: "battery_fault",
                9: "no_battery",
            },
        ),
        *(CodesRow(f"6.3.{place}.0", {0: "", 1: word}) for place, word in ALARMS.items()),
        NumberRow("on_battery_seconds", "2.2.0"),
        NumberRow("runtime_seconds", "2.3.0", 60),
        NumberRow("charge_ratio", "2.4.0", 0.01),
        NumberRow("battery_volts", "2.5.0", 0.1),
        NumberRow("temperature_celsius", "2.6.0", 0.1, whole=60),
        NumberRow("temperature_celsius", "2.7.0", 0.1, whole=60),  # around it
        NumberRow("input_hertz", "3.2.0", 0.1),
        NumberRow("input_volts", "3.3.1.2", 0.1, column=True),
        NumberRow("output_hertz", "4.2.0", 0.1),
        NumberRow("output_volts", "4.4.1.2", 0.1, column=True),
        NumberRow("load_ratio", "4.4.1.4", 0.01, column=True),
        NumberRow("load_ratio", "4.7.0", 0.01),
    ),
    finish=_set_battery,
)

OLDER: Final = Mib(
    name="SOCOMEC-NETVISION-MIB",
    root="1.3.6.1.4.1.4555.1.1.1.1",
    vendors=("1.3.6.1.4.1.4555.1.1.1",),
    markers=("4.1.0", "2.1.0", "2.4.0"),
    rows=(
        CodesRow(
            "4.1.0",
            {
                2: "off",
                3: "mains",
                4: "mains bypass",
                5: "battery",
                6: "mains boost",
                7: "mains trim",
                8: "off",  # standby
                9: "mains",
            },
        ),
        CodesRow("2.1.0", {2: "", 3: "low", 4: "low", 5: "battery", 6: "battery_fault"}),
        NumberRow("on_battery_seconds", "2.2.0"),
        NumberRow("runtime_seconds", "2.3.0", 60),
        NumberRow("charge_ratio", "2.4.0", 0.01),
        NumberRow("battery_volts", "2.5.0", 0.1),
        NumberRow("temperature_celsius", "2.7.0", 0.1, whole=60),
        NumberRow("temperature_celsius", "2.6.0", 0.1, whole=60),  # around it
        NumberRow("input_volts", "3.3.1.5", 0.1, column=True),
        NumberRow("output_volts", "4.4.1.2", 0.1, column=True),
        NumberRow("load_ratio", "4.4.1.4", 0.01, column=True),
    ),
)
