"""Convert numbers, durations and moments inside an English reason to the Vietnamese way of writing them."""

import re
from typing import Final

_UNITS: Final = {
    "ms": "ms",
    "s": "giây",
    "min": "phút",
    "minute": "phút",
    "minutes": "phút",
    "h": "giờ",
    "hour": "giờ",
    "hours": "giờ",
    "d": "ngày",
    "day": "ngày",
    "days": "ngày",
    "year": "năm",
    "years": "năm",
    "m": "phút",  # in 1h30m only: see _COMPACT
}
_SIZES: Final = r"(?:B|kB|MB|GB|TB|KiB|MiB|GiB|TiB|PiB)"
_COMMAS: Final = str.maketrans(".,", ",.")
# no repetition lies within another one's reach, so that none of these can take long
NUMBER: Final = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?%?|-?inf|nan")
_SPOKEN: Final = re.compile(
    r"(-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?) (ms|s|min(?:utes?)?|h(?:ours?)?|d(?:ays?)?|years?)(?: |$)"
)
_COMPACT: Final = re.compile(r"(?=\d)(\d+d)?(\d+h)?(\d+m)?(\d+s)?(\d+ms)?")
_SIZE: Final = re.compile(rf"(-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?) ({_SIZES})")
_MOMENT: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)( \d\d:\d\d)?( [+-]\d\d(?::?\d\d)?| UTC)?", re.ASCII)


def number(text: str) -> str | None:
    """``1,024.5`` as ``1.024,5``; None for what is no number."""
    return text.translate(_COMMAS) if NUMBER.fullmatch(text) else None


def duration(text: str) -> str | None:
    """``31 hours``, ``1 h 20 min`` or ``1d7h`` in words; None for what is no duration."""
    compact = _COMPACT.fullmatch(text)
    if compact is not None:
        parts = (re.fullmatch(r"(\d+)(\w+)", part) for part in compact.groups() if part)
        return " ".join(f"{part[1]} {_UNITS[part[2]]}" for part in parts if part)
    return _spoken(text)


def _spoken(text: str) -> str | None:
    parts, at = [], 0
    while at < len(text):
        quantity = _SPOKEN.match(text, at)
        if quantity is None:
            return None
        parts.append(f"{quantity[1].translate(_COMMAS)} {_UNITS[quantity[2]]}")
        at = quantity.end()
    return " ".join(parts) if parts and not text.endswith(" ") else None


def anything(text: str) -> str | None:
    """A field that may be anything: a duration in words, a size or a moment, by its form; else None."""
    if not text or not (text[0].isdigit() or text[0] == "-"):
        return None
    moment = _MOMENT.fullmatch(text)
    if moment is not None:
        year, month, day, clock, zone = moment.groups()
        return f"{day}/{month}/{year}{clock or ''}{zone or ''}"
    size = _SIZE.fullmatch(text)
    if size is not None:
        return f"{size[1].translate(_COMMAS)} {size[2]}"
    return _spoken(text)
