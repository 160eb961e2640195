"""systemd's calendar events (systemd.time(7), OnCalendar=), read by the library ``oncalendar`` within bounds of ours.

Local times that the clocks skip in spring do not elapse; those that come twice in autumn elapse once, the first time.
So does systemd; the tests compare with ``systemd-analyze calendar``.
"""

import re
from datetime import UTC, datetime, tzinfo
from typing import Final

import msgspec
from oncalendar import BaseIterator, OnCalendarError

from inventory.grammars.time_zones import zone_named

MAX_LENGTH: Final = 200  # characters: the library recurses for each comma
MAX_SKIPPED: Final = 4_000  # times in a row that do not exist (skipped hours, and nothing else)
_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+_-]*(/[A-Za-z0-9+_-]+)+", re.ASCII)
_STEPPED_RANGE: Final = re.compile(r"(\d+)\.\.(\d+)/", re.ASCII)


class BadCalendar(ValueError):
    """A text that is no calendar event; says why."""


class CalendarEvent(msgspec.Struct, frozen=True):
    """When something is to happen, as systemd reckons it."""

    text: str  # without its time zone
    zone: tzinfo | None  # None: the machine's own

    def next_after(self, moment: float) -> float | None:
        """When it elapses next, strictly after ``moment`` (both seconds since the Unix epoch); None: never again."""
        start = datetime.fromtimestamp(moment, UTC).astimezone(self.zone).replace(tzinfo=None, fold=0)
        # the library gets times without a zone: with one it looks for a time that exists without a bound
        for _, local in zip(range(MAX_SKIPPED), BaseIterator(self.text, start), strict=False):
            zoned = local.replace(tzinfo=self.zone) if self.zone is not None else local.astimezone()
            exists = zoned.astimezone(UTC).astimezone(self.zone).replace(tzinfo=None, fold=0) == local
            if exists and zoned.timestamp() > moment:
                return zoned.timestamp()
        return None


def parse(text: str, zone: tzinfo | None = None) -> CalendarEvent:
    """``zone`` is that of a text that names none (None: the machine's own). Raises BadCalendar in words."""
    if len(text) > MAX_LENGTH or not text.isascii():
        raise BadCalendar(f"{text[:50]!r} is not a calendar event such as 'Mon..Fri *-*-* 23:00'")
    event, named_zone = _without_zone(text.strip())
    if any("~" in word and _STEPPED_RANGE.search(word) for word in event.split()) or any(
        int(start) == int(stop) for start, stop in _STEPPED_RANGE.findall(event)
    ):
        # the library's times differ from systemd's; nobody writes these
        raise BadCalendar(f"{text!r} repeats within a range that counts from the month's end, or is a single value")
    try:
        BaseIterator(event, datetime(2026, 1, 1))
    except OnCalendarError as error:
        raise BadCalendar(f"{text!r} is not a calendar event: {error}") from None
    return CalendarEvent(event, named_zone or zone)


def _without_zone(text: str) -> tuple[str, tzinfo | None]:
    rest, _, last = text.rpartition(" ")
    if rest and last.upper() == "UTC":
        return rest, UTC
    if rest and _ZONE.fullmatch(last):
        return rest, _zone_named(last)
    return text, None


def _zone_named(name: str) -> tzinfo:
    try:
        return zone_named(name)
    except ValueError as error:
        raise BadCalendar(str(error)) from None
