"""Parse dates as UPSs write them: of a battery, of a self-test."""

import re
from datetime import UTC, datetime
from typing import Final

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_YEAR_FIRST: Final = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)")
_COMPACT: Final = re.compile(r"((?:19|20)\d\d)(\d\d)(\d\d)(?!\d)")
_NAMED: Final = re.compile(r"(\d{1,2})[- ]([A-Za-z]{3})[a-z]*[- ](\d{4}|\d\d)(?!\d)")
_YEAR_LAST: Final = re.compile(r"(\d{1,2})([-/.])(\d{1,2})[-/.](\d{4}|\d\d)(?!\d)")
_TIME: Final = re.compile(r"[ T:](\d\d):(\d\d)(?::(\d\d))?")


def parse_date(text: str) -> float | None:
    """Seconds since the Unix epoch of ``2024-03-31``, ``04/30/25``, ``31-Mar-2024``, with or without a time of day.

    The month comes first where slashes leave it open, unless that cannot be; with dots the day does. The UPS's zone
    is not known: UTC is taken. None for what is no date.
    """
    text = text.strip()
    parts = _split_date(text)
    if parts is None:
        return None
    year, month, day, rest = parts
    time = _TIME.match(rest)
    hour, minute, second = (int(part or 0) for part in time.groups()) if time else (0, 0, 0)
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _split_date(text: str) -> tuple[int, int, int, str] | None:
    """Year, month, day and what follows."""
    if (matched := _YEAR_FIRST.match(text)) or (matched := _COMPACT.match(text)):
        return int(matched[1]), int(matched[2]), int(matched[3]), text[matched.end() :]
    if matched := _NAMED.match(text):
        name = matched[2].lower()
        if name not in _MONTHS:
            return None
        return _full_year(matched[3]), _MONTHS.index(name) + 1, int(matched[1]), text[matched.end() :]
    if matched := _YEAR_LAST.match(text):
        month, day = int(matched[1]), int(matched[3])
        if month > 12 or (matched[2] == "." and day <= 12):
            month, day = day, month
        return _full_year(matched[4]), month, day, text[matched.end() :]
    return None


def _full_year(year: str) -> int:
    if len(year) == 4:
        return int(year)
    return int(year) + (1900 if int(year) >= 80 else 2000)
