"""Measure a host's processors, memory and storages (HOST-RESOURCES-MIB, RFC 2790; memory as net-snmp gives it)."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from agent.clients.snmp.ber import Value
from agent.clients.snmp.labels import matcher, short_list, text
from agent.clients.snmp.session import SnmpSession
from agent.failure import ProbeFailed
from inventory.protocol.reasons import sentence
from inventory.protocol.states import DEGRADED

_LOAD: Final = "1.3.6.1.2.1.25.3.3.1.2"  # hrProcessorLoad: percent over the last minute
_STORAGE: Final = "1.3.6.1.2.1.25.2.3.1"
_TYPES: Final = "1.3.6.1.2.1.25.2.1"
_RAM, _FIXED = f"{_TYPES}.2", f"{_TYPES}.4"
# UCD-SNMP-MIB, in kB: total, free, buffers, cached. What is cached is not in use.
_TOTAL, _FREE, _BUFFERS, _CACHED = (f"1.3.6.1.4.1.2021.4.{number}.0" for number in (5, 6, 14, 15))
_MOST: Final = 512  # processors, storages


class Resources(msgspec.Struct, frozen=True):
    """Shares in use, 0 to 1; None where the device does not say. ``storage``: the fullest of those watched."""

    cpu: float | None = None
    memory: float | None = None
    storage: float | None = None
    fullest: str = ""


async def read(session: SnmpSession, storages: Sequence[str]) -> Resources:
    """``storages``: patterns of names; none: all fixed disks. Raises Trouble when the device has none of it."""
    walk = await session.walk(*(f"{_STORAGE}.{column}" for column in (2, 3, 5, 6)), rows=_MOST)
    loads = await session.walk(_LOAD, rows=_MOST)
    if walk.cut or loads.cut:
        raise ProbeFailed(sentence("its resources cannot be told: {cut}", cut=walk.cut or loads.cut), DEGRADED)
    percent = [load for load in loads.columns[0].values() if isinstance(load, int) and 0 <= load <= 100]
    kilobytes = await session.get((_TOTAL, _FREE, _BUFFERS, _CACHED))
    types, names, sizes, used = walk.columns
    storage, fullest = _storage(walk.columns, storages)
    memory = _memory(kilobytes)
    if memory is None:
        memory = max((_share(used, sizes, index) or 0.0 for index in types if types[index] == _RAM), default=None)
    shares = Resources(sum(percent) / len(percent) / 100 if percent else None, memory, storage, fullest)
    if storages and storage is None:
        storage_names = short_list([text(name) for name in names.values()])
        raise ProbeFailed(
            sentence(
                "no storage fits {storages}; there are: {storage_names}",
                storages=short_list(storages),
                storage_names=storage_names,
            ),
            DEGRADED,
        )
    if shares == Resources():
        raise ProbeFailed(sentence("it does not tell of its processors, memory or storages"), DEGRADED)
    return shares


def _memory(cells: Mapping[str, Value]) -> float | None:
    total, free = cells.get(_TOTAL), cells.get(_FREE)
    if not isinstance(total, int) or not isinstance(free, int) or total <= 0:
        return None
    spare = sum(part for oid in (_BUFFERS, _CACHED) if isinstance(part := cells.get(oid), int) and part > 0)
    share = (total - free - spare) / total
    return share if 0 <= share <= 1 else None


def _storage(columns: Sequence[Mapping[str, Value]], patterns: Sequence[str]) -> tuple[float | None, str]:
    """(share in use, name) of the fullest storage that is watched."""
    types, names, sizes, used = columns
    fullest: tuple[float | None, str] = (None, "")
    fits = matcher(patterns)
    for index, kind in types.items():
        name = text(names.get(index))
        watched = fits((name,)) if patterns else kind == _FIXED
        share = _share(used, sizes, index) if watched else None
        if share is not None and share > (fullest[0] or -1.0):
            fullest = share, name
    return fullest


def _share(used: Mapping[str, Value], sizes: Mapping[str, Value], index: str) -> float | None:
    part, whole = used.get(index), sizes.get(index)
    if not isinstance(part, int) or not isinstance(whole, int) or whole == 0:
        return None  # drives without a medium have size 0
    # signed 32 bits, which large storages overflow
    share = (part & 0xFFFFFFFF) / (whole & 0xFFFFFFFF)
    return share if share <= 1 else None
