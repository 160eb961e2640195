"""DELL-SNMP-UPS-MIB: what it adds to RFC 1628, which Dell's cards serve beside it."""

from typing import Final

from agent.clients.ups.mib import Codes, Mib, Number

MIB: Final = Mib(
    name="DELL-SNMP-UPS-MIB",
    root="1.3.6.1.4.1.674.10902.2",
    vendors=("1.3.6.1.4.1.674.10902",),
    markers=("120.5.3.0", "110.1.0"),
    rows=(
        Codes("110.1.0", {3: "", 6: "fault"}),  # non-recoverable; what else is wrong the standard's objects name
        Codes("120.5.2.0", {1: "test_passed", 2: "test_failed", 3: "test_failed", 4: "", 5: "testing", 6: "", 7: ""}),
        Number("runtime_seconds", "120.5.3.0"),
    ),
)
