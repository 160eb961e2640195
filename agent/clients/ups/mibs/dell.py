"""DELL-SNMP-UPS-MIB: what it adds to RFC 1628, which most of Dell's cards serve beside it.

What is so is told as a list of the numbers of its traps (the odd ones); what the battery does by its own status.
"""

from typing import Final

from agent.clients.ups.mib import CodesRow, Mib, NumberListRow, NumberRow

# the traps' numbers, those that begin something
ACTIVE: Final = {
    9: "boost",
    17: "off",  # emergency power off
    19: "overload",
    21: "overload",
    23: "overload",
    33: "fault",
    35: "fault",
    37: "charger_fault",
    39: "fault",
    41: "ending",
    43: "low",
    45: "fault",
    49: "battery_fault",
    51: "hot",
    55: "bypass",
    57: "battery",
    59: "bypass",
    61: "testing",
    63: "replace",
    65: "fault",
    69: "no_battery",
    71: "off",
    89: "overload",
    93: "replace",
}

MIB: Final = Mib(
    name="DELL-SNMP-UPS-MIB",
    root="1.3.6.1.4.1.674.10902.2",
    vendors=("1.3.6.1.4.1.674.10902",),
    markers=("120.5.3.0", "110.1.0"),
    rows=(
        CodesRow("110.1.0", {3: "", 4: "", 5: "fault", 6: "fault"}),  # critical, non-recoverable
        NumberListRow("120.4.2.0", ACTIVE),
        CodesRow("120.5.1.0", {1: "", 2: "discharging", 3: "", 4: "", 5: ""}),
        CodesRow(
            "120.5.2.0", {1: "test_passed", 2: "test_failed", 3: "test_failed", 4: "", 5: "testing", 6: "", 7: ""}
        ),
        NumberRow("runtime_seconds", "120.5.3.0"),
    ),
)
