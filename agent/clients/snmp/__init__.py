"""SNMP client: versions 1 and 2c of our own, version 3 by pysnmp, one interface for both.

``session = await look.client(Snmp, Snmp).session(Target(address, port, access), seconds)``, then
``await session.get(oids)`` gives {oid: value}, ``await session.walk(root, ...)`` columns of {index: value}.
Object identifiers are dotted numbers. Values are int, float, bytes, or str (an identifier or an IPv4 address).
What a device does not have is left out. Failures are Trouble, in words.
"""

from agent.clients.snmp.access import Community, SnmpTarget, SnmpUser, Version, access_from_credential
from agent.clients.snmp.ber import Value
from agent.clients.snmp.client import SnmpClient
from agent.clients.snmp.session import SnmpNoResponse, SnmpSession, TableWalk

__all__ = [
    "Community",
    "SnmpClient",
    "SnmpNoResponse",
    "SnmpSession",
    "SnmpTarget",
    "SnmpUser",
    "TableWalk",
    "Value",
    "Version",
    "access_from_credential",
]
