"""UPSs by SNMP: find which MIBs a device serves, then read its objects into the model.

The vendor's own MIB goes before RFC 1628, which many cards serve in part or with wrong scales; what the vendor's does
not say is filled from the standard's. What was found is remembered for each device and asked for anew when it stops
answering, when an object is gone, and every hour.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from agent.clients.snmp import Community, SnmpSession, SnmpTarget, Value
from agent.clients.ups.mib import AlarmTableRow, Mib
from agent.clients.ups.mibs import STANDARD, VENDORS
from agent.clients.ups.model import UpsReading
from agent.failure import ProbeFailed
from inventory.protocol.reasons import sentence
from inventory.protocol.states import UNKNOWN

SYS_OBJECT_ID: Final = "1.3.6.1.2.1.1.2.0"
RELEARN: Final = 3600.0  # seconds after which a device is asked anew what it has
MOST_ROWS: Final = 32  # of a column: lines, modules, batteries
MOST_REMEMBERED: Final = 1024
ROOTS: Final = 6  # looked below at once


class DeviceMibs(msgspec.Struct, frozen=True):
    """What a device has: its families, and the objects of theirs that it answers; none before all were asked for."""

    mibs: tuple[Mib, ...]
    since: float  # monotonic
    objects: tuple[str, ...] = ()


class UpsMibCache:
    """What each device turned out to speak (a shared client)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._devices: dict[SnmpTarget, DeviceMibs] = {}

    def names(self, target: SnmpTarget) -> tuple[str, ...]:
        """The MIBs found on a device, the most trusted first."""
        device = self._devices.get(target)
        return tuple(mib.name for mib in device.mibs) if device else ()

    async def read(self, target: SnmpTarget, session: SnmpSession) -> UpsReading:
        """What the device says of its UPS. Raises Trouble when it does not answer, or has no UPS MIB."""
        device = self._devices.get(target)
        try:
            device, cells = await self._read(target, session, device)
        except ProbeFailed:
            if session.latency is None or (device is not None and device.objects):
                self._devices.pop(target, None)  # what is there when it answers again may be another device
            raise
        self._remember(target, device)
        return to_reading(device.mibs, cells, time.time())

    async def _read(
        self, target: SnmpTarget, session: SnmpSession, device: DeviceMibs | None
    ) -> tuple[DeviceMibs, dict[str, Value]]:
        cells: dict[str, Value] = {}
        if device is not None and self._clock() - device.since > RELEARN:
            device = None
        if device is not None and device.objects:
            cells = await session.get(device.objects)
            if len(cells) < len(device.objects):
                device = None  # something is gone: another device, or another card in it
        if device is None:
            one_by_one = isinstance(target.access, Community) and target.access.version == "1"
            device = DeviceMibs(await _find_mibs(session, one_by_one), self._clock())
            self._remember(target, device)  # a slow device is asked for the rest at the next look
        if not device.objects:
            cells = await _read_all(session, device.mibs)
            device = DeviceMibs(device.mibs, device.since, tuple(cells))
        for mib in device.mibs:
            await _read_alarms(session, mib, cells)
        return device, cells

    def _remember(self, target: SnmpTarget, device: DeviceMibs) -> None:
        if len(self._devices) >= MOST_REMEMBERED:
            self._devices.clear()  # of plans long gone; those in use learn again
        self._devices[target] = device

    async def close(self) -> None:
        self._devices.clear()


def to_reading(mibs: tuple[Mib, ...], cells: dict[str, Value], now: float) -> UpsReading:
    """The model of what a device answered, by its families, the most trusted first. ``now``: Unix time."""
    reading = mibs[0].read(cells, now)
    for mib in mibs[1:]:
        reading.fill_from(mib.read(cells, now))
    return reading


async def _read_all(session: SnmpSession, mibs: tuple[Mib, ...]) -> dict[str, Value]:
    """All that the device answers of these families."""
    columns = [f"{mib.root}.{name}" for mib in mibs for row in mib.rows for name in row.columns]
    cells = await session.get([f"{mib.root}.{name}" for mib in mibs for row in mib.rows for name in row.objects])
    if columns:
        walk = await session.walk(*columns, rows=MOST_ROWS)
        for column, cells_by_index in zip(columns, walk.columns, strict=True):
            cells.update({f"{column}.{index}": value for index, value in cells_by_index.items()})
    return cells


async def _find_mibs(session: SnmpSession, one_by_one: bool) -> tuple[Mib, ...]:
    """The vendor's family, if there is one, and the standard one, if there is.

    ``one_by_one``: an object that is not there costs a question of its own (version 1).
    """
    cells = await session.get([SYS_OBJECT_ID, *_markers(STANDARD)])
    vendor_oid = cells.get(SYS_OBJECT_ID)
    likely = [mib for mib in VENDORS if any(_is_below(vendor_oid, vendor) for vendor in mib.vendors)]
    vendor = await _first_served(session, likely)
    if vendor is None:
        others = [mib for mib in VENDORS if mib not in likely]
        if one_by_one:
            others = await _served(session, others)
        vendor = await _first_served(session, others)
    standard = STANDARD if any(marker in cells for marker in _markers(STANDARD)) else None
    mibs = tuple(mib for mib in (vendor, standard) if mib is not None)
    if not mibs:  # some cards serve a part that has none of the markers
        vendors = await _served(session, likely or VENDORS)
        mibs = (*vendors[:1], *await _served(session, (STANDARD,)))
    if not mibs:
        names = ", ".join(mib.name for mib in (STANDARD, *VENDORS))
        raise ProbeFailed(sentence("the device has none of the UPS MIBs known here ({names})", names=names), UNKNOWN)
    return mibs


async def _first_served(session: SnmpSession, mibs: list[Mib]) -> Mib | None:
    """The first of these families that the device has something of."""
    cells = await session.get([marker for mib in mibs for marker in _markers(mib)]) if mibs else {}
    return next((mib for mib in mibs if any(marker in cells for marker in _markers(mib))), None)


async def _served(session: SnmpSession, mibs: Sequence[Mib]) -> list[Mib]:
    """Those of these families below whose root the device has anything."""
    served: list[Mib] = []
    for at in range(0, len(mibs), ROOTS):
        batch = mibs[at : at + ROOTS]
        walk = await session.walk(*(mib.root for mib in batch), rows=2)  # ends once each has had its first row
        served += [mib for mib, column in zip(batch, walk.columns, strict=True) if column]
    return served


def _markers(mib: Mib) -> list[str]:
    return [f"{mib.root}.{marker}" for marker in mib.markers]


def _is_below(oid: object, prefix: str) -> bool:
    return isinstance(oid, str) and f"{oid}.".startswith(f"{prefix}.")


async def _read_alarms(session: SnmpSession, mib: Mib, cells: dict[str, Value]) -> None:
    for row in mib.rows:
        if isinstance(row, AlarmTableRow) and cells.get(f"{mib.root}.{row.count}") != 0:
            table = f"{mib.root}.{row.table}"
            walk = await session.walk(table, rows=MOST_ROWS)
            cells.update({f"{table}.{index}": value for index, value in walk.columns[0].items()})
