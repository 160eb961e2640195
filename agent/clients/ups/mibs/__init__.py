"""The families of UPS MIBs: the vendors' in the order in which they are tried, and the standard one."""

from typing import Final

from agent.clients.ups.mib import Mib
from agent.clients.ups.mibs import (
    cyberpower,
    dell,
    huawei,
    megatec,
    mg_snmp,
    powernet,
    rfc1628,
    socomec,
    tripplite,
    vertiv,
    xups,
)

STANDARD: Final = rfc1628.MIB
VENDORS: Final[tuple[Mib, ...]] = (
    powernet.MIB,
    mg_snmp.MIB,  # before XUPS: Eaton's cards of MGE's line serve a corner of that too
    xups.MIB,
    cyberpower.MIB,
    dell.MIB,
    socomec.MIB,
    socomec.OLDER,
    vertiv.MIB,
    vertiv.ITA2,
    tripplite.MIB,
    megatec.MIB,
    huawei.MIB,
)
