"""What the records of an agent's life say, kind by kind: typed and bounded. Who makes one and who takes one agree here.

Keys that a kind does not have (of a newer agent) are dropped, those that are missing (of an older one) are missed by
nobody; what cannot be makes the record one that is set aside.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from inventory.base.text import clean_text
from inventory.protocol.bounds import BOOT_MS, COUNT, Epoch, Seq, StepMs, WallMs
from inventory.protocol.reasons import bounded, pack, unpack
from inventory.protocol.wire import Record

MAX_TEXT: Final = 100  # characters of a version, a platform, a uid


class StartData(msgspec.Struct, frozen=True, kw_only=True):
    """The agent's process began."""

    wall_ms: WallMs | UnsetType = UNSET  # what its wall clock showed
    version: str | UnsetType = UNSET
    platform: str | UnsetType = UNSET
    clean: bool | UnsetType = UNSET  # whether the process before it had ended by a stop


class StopData(msgspec.Struct, frozen=True, kw_only=True):
    """It ended cleanly."""

    why: str | UnsetType = UNSET


class ClockData(msgspec.Struct, frozen=True, kw_only=True):
    """The machine's wall clock was stepped."""

    wall_ms: WallMs | UnsetType = UNSET
    step_ms: StepMs | UnsetType = UNSET


class RefusedData(msgspec.Struct, frozen=True, kw_only=True):
    """A check of the plan is outside the agent's own limits."""

    check: str | UnsetType = UNSET
    why: str | UnsetType = UNSET  # a packed reason


class FramesData(msgspec.Struct, frozen=True, kw_only=True):
    """Frames that are lost: damaged on the disk, or given up for space."""

    epoch: Epoch | UnsetType = UNSET
    first: Seq | UnsetType = UNSET
    last: Seq | UnsetType = UNSET

    def __post_init__(self) -> None:
        if isinstance(self.first, int) and isinstance(self.last, int) and self.first > self.last:
            raise ValueError("frames that end before they begin")


class DiskData(msgspec.Struct, frozen=True, kw_only=True):
    """The spool's disk fails, or works again."""

    state: str | UnsetType = UNSET
    why: str | UnsetType = UNSET


class NumberingData(msgspec.Struct, frozen=True, kw_only=True):
    """The numbering began anew amid a life (kind ``epoch``)."""

    why: str | UnsetType = UNSET


RECORD_KINDS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "start": StartData,
    "stop": StopData,
    "clock": ClockData,
    "refused": RefusedData,
    "damaged": FramesData,
    "dropped": FramesData,
    "disk": DiskData,
    "epoch": NumberingData,
}


class BadRecord(ValueError):
    """A record that says what cannot be; the text says what, in words."""


def checked_record(record: Record) -> Record:
    """The record as it may be kept: its numbers can be, its texts are clean. Raises BadRecord."""
    kind = RECORD_KINDS.get(record.kind)
    if kind is None:
        raise BadRecord(f"a record of unknown kind {clean_text(record.kind, 40)!r}")
    if not BOOT_MS.hold(record.at):
        raise BadRecord("a record of a moment that cannot be")
    try:
        data = msgspec.to_builtins(msgspec.convert(record.data, kind))
    except (msgspec.ValidationError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise BadRecord(f"a record of kind {record.kind} that cannot be: {error}") from None
    return Record(record.at, record.kind, {name: _cleaned(name, value) for name, value in data.items()})


def _cleaned(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return pack(bounded(unpack(value))) if name == "why" else clean_text(value, MAX_TEXT)


def frames_in(data: Mapping[str, Any]) -> int:
    """How many frames [first, last] of an event's data are; 0 where it does not say. For events of any age."""
    first, last = data.get("first"), data.get("last")
    return COUNT.clamped(last - first + 1) if isinstance(first, int) and isinstance(last, int) else 0
