"""UPS-MIB, RFC 1628: the standard one. Voltages are whole volts, the battery's tenths, frequencies tenths of hertz.

Cards differ from it in scale (tenths of volts where volts belong), in indexes (n or n.0) and in what they leave out.
"""

from typing import Final

from agent.clients.ups.mib import AlarmTableRow, CodesRow, Mib, NumberRow
from agent.clients.ups.model import UpsReading

# upsWellKnownAlarms, RFC 1628 section 4
ALARMS: Final = {
    1: "replace",  # upsAlarmBatteryBad: "determined to require replacement"
    2: "battery",
    3: "low",
    4: "low",
    5: "hot",
    7: "fault",
    8: "overload",
    9: "bypass",
    11: "off",
    12: "off",
    13: "charger_fault",
    14: "off",
    15: "off",
    16: "fault",
    17: "fault",
    18: "fault",
    19: "test_failed",
    20: "lost",
    21: "off",  # upsAlarmAwaitingPower: the output waits for the mains
    23: "ending",
    24: "testing",
}


def _set_calibrating(reading: UpsReading) -> None:
    """The test's identity stays when it is over: it tells something only beside a test that runs."""
    if reading.flags.pop("deep", False) and reading.flags.get("testing"):
        reading.set_flag("calibrating", True)


MIB: Final = Mib(
    name="UPS-MIB",
    root="1.3.6.1.2.1.33.1",
    vendors=(),
    markers=("2.1.0", "2.4.0", "4.1.0"),
    rows=(
        CodesRow(
            "4.1.0",
            {2: "off", 3: "mains", 4: "mains bypass", 5: "battery", 6: "mains boost", 7: "mains trim"},
        ),
        CodesRow("2.1.0", {2: "", 3: "low", 4: "low"}),
        AlarmTableRow("6.1.0", "6.2.1.2", "6.3", ALARMS),
        CodesRow("7.1.0", {"1.3.6.1.2.1.33.1.7.7.5": "deep"}),  # upsTestDeepBatteryCalibration
        CodesRow("7.3.0", {1: "test_passed", 2: "test_failed", 3: "test_failed", 4: "", 5: "testing", 6: ""}),
        NumberRow("on_battery_seconds", "2.2.0"),
        NumberRow("runtime_seconds", "2.3.0", 60),
        NumberRow("charge_ratio", "2.4.0", 0.01),
        NumberRow("battery_volts", "2.5.0", 0.1),
        NumberRow("temperature_celsius", "2.7.0"),
        NumberRow("input_hertz", "3.3.1.2", 0.1, column=True),
        NumberRow("input_volts", "3.3.1.3", column=True),
        NumberRow("output_hertz", "4.2.0", 0.1),
        NumberRow("output_volts", "4.4.1.2", column=True),
        NumberRow("load_ratio", "4.4.1.5", 0.01, column=True),
    ),
    finish=_set_calibrating,
)
