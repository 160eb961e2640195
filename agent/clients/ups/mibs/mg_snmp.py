"""MG-SNMP-UPS-MIB: MGE, now Eaton. Yes (1) or no (2) for each condition; tenths of volts and of hertz; seconds."""

from typing import Final

from agent.clients.ups.mib import CodesRow, Mib, NumberRow
from agent.clients.ups.model import UpsReading


def _yes_no(oid: str, flag: str) -> CodesRow:
    return CodesRow(oid, {1: flag, 2: ""})


def _set_off(reading: UpsReading) -> None:
    """Off is neither from the mains nor from the inverter: either alone is how one or the other sort of UPS works."""
    utility, inverter = reading.flags.pop("utility_off", None), reading.flags.pop("inverter_off", None)
    if utility and inverter and not reading.flags.get("battery"):
        reading.set_flag("off", True)


MIB: Final = Mib(
    name="MG-SNMP-UPS-MIB",
    root="1.3.6.1.4.1.705.1",
    vendors=("1.3.6.1.4.1.705",),
    markers=("7.3.0", "5.2.0", "5.1.0"),
    rows=(
        CodesRow("7.3.0", {1: "battery", 2: "mains"}),
        _yes_no("7.4.0", "bypass"),
        _yes_no("7.7.0", "utility_off"),
        _yes_no("7.8.0", "boost"),
        _yes_no("7.9.0", "inverter_off"),
        _yes_no("7.10.0", "overload"),
        _yes_no("7.11.0", "hot"),
        _yes_no("7.12.0", "trim"),
        _yes_no("5.9.0", "battery_fault"),
        _yes_no("5.10.0", "no_battery"),
        _yes_no("5.11.0", "replace"),
        _yes_no("5.14.0", "low"),
        _yes_no("5.15.0", "charger_fault"),
        _yes_no("5.16.0", "low"),
        NumberRow("runtime_seconds", "5.1.0"),
        NumberRow("charge_ratio", "5.2.0", 0.01),
        NumberRow("battery_volts", "5.5.0", 0.1),
        NumberRow("temperature_celsius", "5.7.0"),
        NumberRow("input_volts", "6.2.1.2", 0.1, column=True),
        NumberRow("input_hertz", "6.2.1.3", 0.1, column=True),
        NumberRow("output_volts", "7.2.1.2", 0.1, column=True),
        NumberRow("output_hertz", "7.2.1.3", 0.1, column=True),
        NumberRow("load_ratio", "7.2.1.4", 0.01, column=True),
    ),
    finish=_set_off,
)
