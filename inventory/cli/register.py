"""A register of PCs from CSV: how many an agency has, on the Internet, on its LAN (as the plan's appendix 2)."""

import csv
import re
import unicodedata
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from inventory.base.problems import Invalid, Problem, read_text
from inventory.model.entities import Agency, Register

ID_COLUMNS = ("agency", "unit", "id")
COUNT_COLUMNS = {"staff": "staff", "pcs": "pcs", "pcs_internet": "on_internet", "pcs_lan": "on_lan"}
MAX_BYTES = 8 << 20
_COUNT = re.compile(r"\d{1,9}", re.ASCII)


def read_csv(path: Path | str, agencies: Mapping[str, Agency] | None = None) -> dict[str, Register]:
    """The register of each agency by id. Raises Invalid with every mistake and its line.

    Columns: ``agency`` (or ``unit``, ``id``) and any of ``staff``, ``pcs``, ``pcs_internet``, ``pcs_lan``; others
    are left alone. With ``agencies`` each row must be one of them, by id or by its name; without, the id is made
    from the name.
    """
    problems: list[Problem] = []
    file_name = str(path)
    text = read_text(Path(path), file_name, problems, limit=MAX_BYTES, save_as="CSV UTF-8")
    registers = {} if text is None else _rows(unicodedata.normalize("NFC", text), file_name, agencies, problems)
    if problems:
        raise Invalid(problems)
    return registers


def _rows(
    text: str, file_name: str, agencies: Mapping[str, Agency] | None, problems: list[Problem]
) -> dict[str, Register]:
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    registers: dict[str, Register] = {}
    lines: dict[str, int] = {}
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        name_column = next((header.index(name) for name in ID_COLUMNS if name in header), None)
        if name_column is None or not COUNT_COLUMNS.keys() & set(header):
            expected = f"one of {', '.join(ID_COLUMNS)} and any of {', '.join(COUNT_COLUMNS)}"
            problems.append(Problem(file_name, 1, "", f"the first line ought to name the columns: {expected}"))
            return {}
        by_name = None if agencies is None else _by_name(agencies)
        for row in reader:
            line = reader.line_num
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                message = f"has {len(row)} cells, the first line has {len(header)}"
                problems.append(Problem(file_name, line, "", message))
                continue
            ident = _ident(
                row[name_column].strip(), by_name, Problem(file_name, line, header[name_column], ""), problems
            )
            counts = _counts(header, row, file_name, line, problems)
            if ident in lines:
                message = f"{ident} was on line {lines[ident]} already"
                problems.append(Problem(file_name, line, header[name_column], message))
            elif ident:
                lines[ident] = line
                registers[ident] = Register(**counts)
    except csv.Error as error:
        problems.append(Problem(file_name, reader.line_num, "", f"is not CSV here: {error}"))
    return registers


def _ident(name: str, by_name: Mapping[str, str] | None, where: Problem, problems: list[Problem]) -> str:
    if by_name is None:
        ident = slug(name)
        message = "has no letter or digit to make an id from"
    else:
        ident = by_name.get(name) or by_name.get(normalized_name(name)) or ""
        message = f"no agency is called {name!r}"
    if not ident:
        problems.append(Problem(where.file, where.line, where.key, message))
    return ident


def _counts(header: list[str], row: list[str], file_name: str, line: int, problems: list[Problem]) -> dict[str, Any]:
    counts = {}
    for name, cell in zip(header, row, strict=True):
        value = cell.strip()
        if name not in COUNT_COLUMNS or not value:
            continue
        if _COUNT.fullmatch(value):
            counts[COUNT_COLUMNS[name]] = int(value)
        else:
            problems.append(Problem(file_name, line, name, f"{value!r} is not a whole number"))
    return counts


def _by_name(agencies: Mapping[str, Agency]) -> dict[str, str]:
    """Ids by id and by plain name; a name that two agencies share finds neither."""
    ids: dict[str, str] = {}
    ambiguous: set[str] = set()
    for ident, agency in agencies.items():
        for name in {normalized_name(agency.name.vi), normalized_name(agency.name.en)} - {""}:
            if ids.setdefault(name, ident) != ident:
                ambiguous.add(name)
    return {name: ident for name, ident in ids.items() if name not in ambiguous} | {ident: ident for ident in agencies}


def normalized_name(name: str) -> str:
    """A name as people mean it: case, spaces, dashes, "&" and "và" make no difference."""
    letters = unicodedata.normalize("NFC", name).casefold().replace("&", " và ")
    return " ".join(re.sub(r"[\s,.–-]+", " ", letters).replace(" và ", " ").split())


def slug(name: str) -> str:
    """An id from a Vietnamese name: "Sở Y tế" is so-y-te."""
    letters = unicodedata.normalize("NFD", name.lower().replace("đ", "d"))
    ascii_letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[^a-z0-9]+", "-", ascii_letters).strip("-")[:63].strip("-")


def as_yaml(registers: Mapping[str, Register]) -> str:
    """The registers as a section of an inventory file."""
    lines = ["registers:"]
    for ident, register in registers.items():
        values = {name: getattr(register, name) for name in COUNT_COLUMNS.values()}
        counts = ", ".join(f"{name}: {value}" for name, value in values.items() if value is not None)
        lines.append(f"  {ident}: {{{counts}}}")
    return "\n".join(lines) + "\n"
