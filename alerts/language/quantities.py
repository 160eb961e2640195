"""Convert numbers, durations and moments inside an English reason to another language's way of writing them."""

import re
from typing import Final

from alerts.language.catalogue import mark, translations
from inventory.base.languages import LANGUAGES

# by what a reason has, the unit as the catalogue knows it; ms is ms everywhere
_UNITS: Final = {
    "ms": "ms",
    "s": mark("unit", "s"),
    "min": mark("unit", "min"),
    "minute": "min",
    "minutes": "min",
    "h": mark("unit", "h"),
    "hour": "h",
    "hours": "h",
    "d": mark("unit", "d"),
    "day": "d",
    "days": "d",
    "year": mark("unit", "year"),
    "years": "year",
    "m": "min",  # in 1h30m only: see _COMPACT
}
_SIZES: Final = r"(?:B|kB|MB|GB|TB|KiB|MiB|GiB|TiB|PiB)"
COMMAS: Final = str.maketrans(".,", ",.")
# no repetition lies within another one's reach, so that none of these can take long
NUMBER: Final = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?%?|-?inf|nan")
_SPOKEN: Final = re.compile(
    r"(-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?) (ms|s|min(?:utes?)?|h(?:ours?)?|d(?:ays?)?|years?)(?: |$)"
)
_COMPACT: Final = re.compile(r"(?=\d)(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?")
_SIZE: Final = re.compile(rf"(-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?) ({_SIZES})")
_MOMENT: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)( \d\d:\d\d)?( [+-]\d\d(?::?\d\d)?| UTC)?", re.ASCII)


def number(text: str, language: str) -> str | None:
    """``1,024.5`` as ``1.024,5`` where the comma is for decimals; None for what is no number."""
    return _written(text, language) if NUMBER.fullmatch(text) else None


def duration(text: str, language: str) -> str | None:
    """``31 hours``, ``1 h 20 min`` or ``1d7h`` in words; None for what is no duration."""
    compact = _COMPACT.fullmatch(text)
    if compact is not None:
        parts = (re.fullmatch(r"(\d+)(\w+)", part) for part in compact.groups() if part)
        return " ".join(f"{part[1]} {_unit(part[2], language)}" for part in parts if part)
    return _spoken(text, language)


def _spoken(text: str, language: str) -> str | None:
    parts, at = [], 0
    while at < len(text):
        quantity = _SPOKEN.match(text, at)
        if quantity is None:
            return None
        parts.append(f"{_written(quantity[1], language)} {_unit(quantity[2], language)}")
        at = quantity.end()
    return " ".join(parts) if parts and not text.endswith(" ") else None


def anything(text: str, language: str) -> str | None:
    """A field that may be anything: a duration in words, a size or a moment, by its form; else None."""
    if not text or not (text[0].isdigit() or text[0] == "-"):
        return None
    moment = _MOMENT.fullmatch(text)
    if moment is not None:
        year, month, day, clock, zone = moment.groups()
        date = LANGUAGES[language].report_day.format(year=int(year), month=int(month), day=int(day))
        return f"{date}{clock or ''}{zone or ''}"
    size = _SIZE.fullmatch(text)
    if size is not None:
        return f"{_written(size[1], language)} {size[2]}"
    return _spoken(text, language)


def _written(number: str, language: str) -> str:
    return number.translate(COMMAS) if LANGUAGES[language].decimal_comma else number


def _unit(unit: str, language: str) -> str:
    return translations(language).pgettext("unit", _UNITS[unit])
