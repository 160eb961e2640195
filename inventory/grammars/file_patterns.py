"""File name patterns: a glob in which dates may stand, as in ``db-%Y-%m-%d.sql.gz`` or ``%Y/%m/*.tar.zst``.

``*``, ``?``, ``[abc]`` and ``[!abc]`` as in a shell, ``**`` for directories of any depth, ``%Y %m %d %H %M %S %y %j
%s`` as in strptime (``%s``: seconds since the epoch), ``%%`` for a percent sign. A date in a name bounds the time of
the copy: a file copied or touched later is not newer for it.
"""

import calendar
import datetime
import re
from collections.abc import Mapping
from typing import Final

from inventory.grammars.time_zones import zone_named

MAX_LENGTH: Final = 512
MAX_DEPTH: Final = 16  # directories, where ** stands
_TOKENS: Final = {
    "Y": r"(?:19|20|21)\d\d",
    "y": r"\d\d",
    "m": r"(?:0[1-9]|1[0-2])",
    "d": r"(?:0[1-9]|[12]\d|3[01])",
    "j": r"(?:00[1-9]|0[1-9]\d|[12]\d\d|3[0-5]\d|36[0-6])",
    "H": r"(?:[01]\d|2[0-3])",
    "M": r"[0-5]\d",
    "S": r"(?:[0-5]\d|60)",
    "s": r"\d{10}",
}


def _class_end(segment: str, at: int) -> int:
    """Where the ``]`` of a class is that begins at ``at``, or -1; a ``]`` that stands first is one of its letters."""
    at += segment.startswith("!", at)
    return segment.find("]", at + segment.startswith("]", at))


def _class(class_body: str) -> str:
    """A shell's class of letters as a regular expression of one letter."""
    negated = class_body.startswith("!")
    letters, members = class_body[negated:], ""
    while letters:
        if len(letters) > 2 and letters[1] == "-":
            if letters[0] <= letters[2]:  # else a range of nothing
                members += f"{re.escape(letters[0])}-{re.escape(letters[2])}"
            letters = letters[3:]
        else:
            members += re.escape(letters[0])
            letters = letters[1:]
    if not members:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{members}]"


class FilePattern:
    """A pattern ready for use. Raises ValueError in words."""

    def __init__(self, text: str, zone: str = "") -> None:
        if not text or len(text) > MAX_LENGTH or text.startswith("/") or "\0" in text:
            raise ValueError(f"a pattern is up to {MAX_LENGTH} characters and does not begin with /")
        self._tokens_used: set[str] = set()
        self.segments: list[re.Pattern[str] | None] = []
        for segment in text.split("/"):
            if segment in ("", ".", ".."):
                raise ValueError(f"the pattern {text!r} has an empty part, . or ..")
            self.segments.append(None if segment == "**" else self._compiled(segment))
        if self.segments[-1] is None:
            raise ValueError(f"the pattern {text!r} ends in **; write **/* for every file below")
        if self.segments.count(None) > 1:
            raise ValueError(f"the pattern {text!r} has ** twice")
        self._zone = zone_named(zone) if zone else None
        self.dated = bool(self._tokens_used)
        if self.dated and "s" not in self._tokens_used and not self._tokens_used & {"Y", "y"}:
            raise ValueError(f"the pattern {text!r} has a date without a year")

    def _compiled(self, segment: str) -> re.Pattern[str]:
        pieces, at = [""], 0
        while at < len(segment):
            letter = segment[at]
            at += 1
            if letter == "*":
                pieces.append("")
            elif letter == "?":
                pieces[-1] += "."
            elif letter == "%":
                pieces[-1] += self._token(segment[at : at + 1])
                at += 1
            elif letter == "[" and (end := _class_end(segment, at)) > 0:
                pieces[-1] += _class(segment[at:end])
                at = end + 1
            else:
                pieces[-1] += re.escape(letter)
        # every piece is of a fixed length, so the leftmost place for it is always right: no backtracking
        middle = "".join(f"(?>.*?{piece})" for piece in pieces[1:-1] if piece)
        hidden = "" if segment.startswith(".") else r"(?!\.)"
        whole = hidden + pieces[0] + (f"{middle}.*{pieces[-1]}" if len(pieces) > 1 else "")
        try:
            return re.compile(whole, re.DOTALL)
        except re.error as error:
            raise ValueError(f"{segment!r} is not a pattern: {error}") from None

    def _token(self, letter: str) -> str:
        if letter == "%":
            return "%"
        if letter not in _TOKENS or not letter:
            raise ValueError(
                f"%{letter} is not understood in a pattern; there are {', '.join('%' + t for t in _TOKENS)}"
            )
        if letter in self._tokens_used:
            return _TOKENS[letter]
        self._tokens_used.add(letter)
        return f"(?P<{letter}>{_TOKENS[letter]})"

    def bounds(self, parts: Mapping[str, str]) -> tuple[float, float] | None:
        """[from, to) that a name's date says, in seconds since the epoch; None for a day that there is not."""
        if "s" in parts:
            return float(parts["s"]), float(parts["s"]) + 1
        year = int(parts["Y"]) if "Y" in parts else 2000 + int(parts["y"])
        try:
            day = datetime.datetime(year, int(parts.get("m", 1)), int(parts.get("d", 1)), tzinfo=self._zone)
            if "j" in parts:
                day = day.replace(month=1, day=1) + datetime.timedelta(days=int(parts["j"]) - 1)
                if day.year != year:
                    return None
            hour, minute, second = (int(parts.get(letter, 0)) for letter in "HMS")
            begin = day.replace(hour=hour, minute=minute, second=min(second, 59))
            return begin.timestamp(), self._end_after(begin, parts).timestamp()
        except (ValueError, OverflowError):
            return None

    def _end_after(self, begin: datetime.datetime, parts: Mapping[str, str]) -> datetime.datetime:
        """The end of what a date names: a year, month, day, hour, minute or second. By the calendar, DST included."""
        for letter, unit in (("S", "seconds"), ("M", "minutes"), ("H", "hours")):
            if letter in parts:
                return begin.astimezone(datetime.UTC) + datetime.timedelta(**{unit: 1})
        if "d" in parts or "j" in parts:
            return begin + datetime.timedelta(days=1)
        if "m" in parts:
            return begin + datetime.timedelta(days=calendar.monthrange(begin.year, begin.month)[1])
        return begin.replace(year=begin.year + 1)
