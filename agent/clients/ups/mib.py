"""The description of a family of UPS MIBs: a table of rows, each one object (or column) and how to read it.

A family names its ``root``; rows are relative to it. Rows come in the order of preference: the first that gives a
measure a plausible value wins. Words in a row are flags of ``model.Reading``, and ``test_failed`` and ``lost``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from agent.clients.snmp import Value
from agent.clients.ups.dates import parse_date
from agent.clients.ups.model import UpsReading, parse_number
from inventory.protocol.reasons import sentence

LOST: Final = sentence("its network card has lost the UPS; its numbers are old")

FlagWords = Mapping[Any, str]  # by int, or by text in small letters
Cells = Mapping[str, Value]  # object identifier -> value


class MibRow(Protocol):
    """Reads something out of what a device answered."""

    @property
    def objects(self) -> tuple[str, ...]:
        """Single objects to ask for."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns whose objects are found by walking."""

    def read(self, root: str, cells: Cells, reading: UpsReading, now: float) -> None: ...


@dataclass(frozen=True)
class NumberRow:
    """A measure: value times ``scale``. Of several lines the highest load counts, and the lowest voltage not 0.

    ``whole``: from 10 up to this a value is in whole units, as some firmware has it. ``least``: with fewer values than
    this it says nothing.
    """

    measure: str
    oids: str  # several, separated by blanks
    scale: float = 1.0
    column: bool = False
    whole: float = 0.0
    least: int = 1

    @property
    def objects(self) -> tuple[str, ...]:
        return () if self.column else tuple(self.oids.split())

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(self.oids.split()) if self.column else ()

    def read(self, root: str, cells: Cells, reading: UpsReading, now: float) -> None:
        raw = [value for cell in _cells(self, root, cells) if (value := parse_number(cell)) is not None]
        values = [self._scaled(value) for value in raw if value >= 0 or self.measure == "temperature_celsius"]
        if len(values) < self.least:
            return
        if self.measure == "load_ratio":
            reading.set_value(self.measure, max(values))
        elif self.measure.endswith("_volts"):
            reading.set_value(self.measure, min((value for value in values if value > 0), default=0.0))
        else:
            reading.set_value(self.measure, values[0])

    def _scaled(self, value: float) -> float:
        if self.scale == 0.1 and self.measure == "battery_volts" and 10 <= value < 100:
            return value  # no battery has 1 to 10 volts: this device gives whole volts where its MIB has tenths
        if 10 <= value <= self.whole:
            return value
        return value * self.scale


@dataclass(frozen=True)
class CodesRow:
    """Flags by the code of an object: the words of its code are true, the table's other words false.

    A code that is not in the table says nothing. Keys are numbers; text answers are compared in small letters.
    """

    oid: str
    words: FlagWords
    column: bool = False

    @property
    def objects(self) -> tuple[str, ...]:
        return () if self.column else (self.oid,)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.oid,) if self.column else ()

    def read(self, root: str, cells: Cells, reading: UpsReading, now: float) -> None:
        flags = {word for flag_words in self.words.values() for word in flag_words.split()}
        for cell in _cells(self, root, cells):
            flag_words = self.words.get(_code(cell))
            if flag_words is not None:
                for word in flags:
                    _set_flag(reading, word, word in flag_words.split())


@dataclass(frozen=True)
class NumberListRow:
    """Flags as a text with the numbers of all that is so: ``57,63``. An empty one says nothing."""

    oid: str
    words: Mapping[int, str]

    columns = ()

    @property
    def objects(self) -> tuple[str, ...]:
        return (self.oid,)

    def read(self, root: str, cells: Cells, reading: UpsReading, now: float) -> None:
        for cell in _cells(self, root, cells):
            text = cell.decode("latin-1").strip("\0 ") if isinstance(cell, bytes) else str(cell)
            listed = text.replace(",", " ").split()
            if not listed or not all(number.isascii() and number.isdigit() for number in listed):
                continue
            active_flags = {word for number in listed for word in self.words.get(int(number), "").split()}
            for word in {word for words in self.words.values() for word in words.split()}:
                _set_flag(reading, word, word in active_flags)


@dataclass(frozen=True)
class BitStringRow:
    """Flags as a text of 0 and 1: the place (from 1) of each that is true."""

    oid: str
    words: Mapping[int, str]

    columns = ()

    @property
    def objects(self) -> tuple[str, ...]:
        return (self.oid,)

    def read(self, root: str, cells: Cells, reading: UpsReading, now: float) -> None:
        for cell in _cells(self, root, cells):
            text = cell.decode("latin-1").strip() if isinstance(cell, bytes) else ""
            if len(text) < 16 or set(text) - {"0", "1"}:
                continue
            for place, words in self.words.items():
                for word in words.split():
                    if place <= len(text):
                        _set_flag(reading, word, text[place - 1] == "1")


@dataclass(frozen=True)
class DateRow:
    """A date as text: of the battery (its age is measured), or of the last self-test."""

    measure: str
    oid: str
    column: bool = False

    @property
    def objects(self) -> tuple[str, ...]:
        return () if self.column else (self.oid,)

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.oid,) if self.column else ()

    def read(self, root: str, cells: Cells, reading: UpsReading, now: float) -> None:
        days = [
            day
            for cell in _cells(self, root, cells)
            if isinstance(cell, bytes) and (day := parse_date(cell.decode("latin-1").strip("\0 "))) is not None
        ]
        if days:
            oldest = min(days)  # of several battery packs
            reading.set_value(self.measure, now - oldest if self.measure == "battery_age_seconds" else oldest)


@dataclass(frozen=True)
class AlarmTableRow:
    """A table of present alarms, each named by an identifier ``prefix``.N: the words of each N are true, others false.

    ``count`` is the object with their number: the table is read unless that is 0.
    """

    count: str
    table: str
    prefix: str
    words: Mapping[int, str]

    columns = ()

    @property
    def objects(self) -> tuple[str, ...]:
        return (self.count,)

    def read(self, root: str, cells: Cells, reading: UpsReading, now: float) -> None:
        start = f"{root}.{self.prefix}."
        table = [cell for oid, cell in cells.items() if oid.startswith(f"{root}.{self.table}.")]
        if not table and cells.get(f"{root}.{self.count}") != 0:
            return  # neither alarms nor that there are none
        for words in self.words.values():
            for word in words.split():
                _set_flag(reading, word, False)
        for cell in table:
            place = cell.removeprefix(start) if isinstance(cell, str) and cell.startswith(start) else ""
            for word in self.words.get(int(place) if place.isdigit() else 0, "").split():
                _set_flag(reading, word, True)


@dataclass(frozen=True)
class Mib:
    """One family. ``vendors``: what its devices' sysObjectID begins with. ``markers``: one of these is there if it is.

    ``finish`` draws conclusions that no single row can.
    """

    name: str
    root: str
    vendors: tuple[str, ...]
    markers: tuple[str, ...]
    rows: tuple[MibRow, ...]
    finish: Callable[[UpsReading], None] | None = None

    def read(self, cells: Cells, now: float) -> UpsReading:
        """What the answered objects say. ``now``: Unix time."""
        reading = UpsReading()
        for row in self.rows:
            row.read(self.root, cells, reading, now)
        if self.finish is not None:
            self.finish(reading)
        return reading


def _cells(row: MibRow, root: str, cells: Cells) -> list[Value]:
    """The answered values of a row's objects, those of columns in the order of their indexes."""
    values = [cells[oid] for name in row.objects if (oid := f"{root}.{name}") in cells]
    for column in row.columns:
        start = f"{root}.{column}."
        values += [cells[oid] for oid in sorted((oid for oid in cells if oid.startswith(start)), key=_oid_key)]
    return values


def _oid_key(oid: str) -> tuple[int, ...]:
    return tuple(map(int, oid.split(".")))


def _code(cell: Value) -> int | str:
    if isinstance(cell, bytes):
        text = cell.decode("latin-1").strip("\0 ").lower()
        return int(text) if text.isascii() and text.isdigit() else text
    return cell if isinstance(cell, int) else str(cell)


def _set_flag(reading: UpsReading, word: str, value: bool) -> None:
    if word == "lost":
        reading.lost = LOST if value else reading.lost
    elif word == "test_failed":
        if value:
            reading.flags["test_passed"] = False
    elif word == "test_passed":
        if value:
            reading.flags.setdefault("test_passed", True)
    else:
        reading.set_flag(word, value)
