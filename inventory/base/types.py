"""Basic types that files share: text in two languages, secrets, durations, ratios, sizes, ids.

The annotated ones are ordinary ints, floats and strings to the program; the reader knows how people write them.
"""

import re
from typing import Annotated, Any

import msgspec

from inventory.base.text import quoted

_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,12})ms)?", re.ASCII)
_STEPS = (86_400_000, 3_600_000, 60_000, 1000, 1)
_SIZE = re.compile(r"(\d{1,18})(?: ?(B|KiB|MiB|GiB|TiB))?", re.ASCII)
_POWERS = {None: 0, "B": 0, "KiB": 10, "MiB": 20, "GiB": 30, "TiB": 40}

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
NEVER = "never"

LONGEST_MS = 36_525 * 86_400_000  # a hundred years: what is reckoned with a longer one leaves the calendar
LARGEST_BYTES = 1 << 60

SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*$"


class Text(msgspec.Struct, frozen=True, array_like=True):
    """A text in Vietnamese and in English. In files: ``{vi: ..., en: ...}``, or one text that serves for both."""

    vi: str
    en: str

    def in_(self, language: str) -> str:
        """In the language asked for, else in the other one."""
        return (self.en or self.vi) if language == "en" else (self.vi or self.en)


class Secret(str):
    """A secret: a string that does not show itself in logs. In files ``x: ...`` or ``x_file: PATH``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret(...)"


# a key of a credential: a Secret, or a tuple of words under ``hosts``
CredentialValue = Annotated[Any, msgspec.Meta(extra={"reader": "credential"}, description="a secret, or hosts")]
Duration = Annotated[int, msgspec.Meta(extra={"reader": "duration"}, description="30s, 5m, 1h30m, 250ms")]
Ratio = Annotated[float, msgspec.Meta(extra={"reader": "ratio"}, description="99.5% or 0.995")]
Size = Annotated[int, msgspec.Meta(extra={"reader": "size"}, description="512KiB, 64MiB, 2GiB")]
Slug = Annotated[str, msgspec.Meta(pattern=SLUG, max_length=63, extra={"reader": "slug"})]


def duration_ms(text: str) -> int:
    """Milliseconds of "30s", "5m", "1h30m", "250ms", "7d". Raises ValueError in words."""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"{quoted(text)} is not a duration; write it like 30s, 5m, 1h30m or 250ms")
    ms = sum(int(part) * step for part, step in zip(match.groups(), _STEPS, strict=True) if part)
    if ms > LONGEST_MS:
        raise ValueError(f"{quoted(text)} is longer than a hundred years")
    return ms


def duration_text(ms: int) -> str:
    """The shortest way to write a duration: the inverse of duration_ms."""
    parts = []
    for step, unit in zip(_STEPS, ("d", "h", "m", "s", "ms"), strict=True):
        count, ms = divmod(ms, step)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def repeat_ms(text: str) -> int:
    """Milliseconds of a duration, 0 of "never". Raises ValueError in words."""
    return 0 if text == NEVER else duration_ms(text)


def minute_of_day(text: str) -> int | None:
    """Minutes of the day of "07:00", None of "never". Raises ValueError in words."""
    if text == NEVER:
        return None
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{quoted(text)} is not a time of day; write it like 07:00, or never")
    return int(match[1]) * 60 + int(match[2])


def size_bytes(text: str) -> int:
    """Bytes of "64MiB", "2GiB" or a plain number. Raises ValueError in words."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{quoted(text)} is not a size; write it like 512KiB, 64MiB or 2GiB")
    size = int(match[1]) << _POWERS[match[2]]
    if size > LARGEST_BYTES:
        raise ValueError(f"{quoted(text)} is more than any disk holds")
    return size


def ratio(text: str) -> float:
    """A ratio between 0 and 1 from "99.5%" or "0.995". Raises ValueError in words."""
    if re.fullmatch(r"\d{1,3}(\.\d{1,15})?%", text, re.ASCII):
        # by way of the decimal text, so that 99.9% is 0.999 and not 0.9990000000000001
        whole, _, fraction = text[:-1].partition(".")
        digits = whole.zfill(3)
        value = float(f"{digits[:-2]}.{digits[-2:]}{fraction}")
    elif re.fullmatch(r"[01](\.\d{1,15})?", text, re.ASCII):
        value = float(text)
    else:
        raise ValueError(f"{quoted(text)} is not a ratio; write it like 99.5% or 0.995")
    if value > 1:
        raise ValueError(f"{text} is more than 100%")
    return value
