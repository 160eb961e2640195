"""systemd's calendar events (systemd.time(7), OnCalendar=): the documented grammar, and when one elapses next.

Local times that the clocks skip in spring do not elapse; those that come twice in autumn elapse once, the first time.
So does systemd; the tests compare with ``systemd-analyze calendar``.
"""

import calendar
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

SECOND: Final = 1_000_000  # seconds are counted in microseconds: the grammar has fractions
YEAR_RANGE: Final = (1970, 2199)
MAX_SKIPPED: Final = 4_000  # candidates in a row that do not exist (skipped hours, and nothing else)

_SHORTHANDS: Final = {
    "minutely": "*-*-* *:*:00",
    "hourly": "*-*-* *:00:00",
    "daily": "*-*-* 00:00:00",
    "weekly": "Mon *-*-* 00:00:00",
    "monthly": "*-*-01 00:00:00",
    "quarterly": "*-01,04,07,10-01 00:00:00",
    "semiannually": "*-01,07-01 00:00:00",
    "semi-annually": "*-01,07-01 00:00:00",
    "biannually": "*-01,07-01 00:00:00",
    "bi-annually": "*-01,07-01 00:00:00",
    "yearly": "*-01-01 00:00:00",
    "annually": "*-01-01 00:00:00",
    "anually": "*-01-01 00:00:00",
}
_DAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKDAYS: Final = re.compile(r"((?:[a-z]+(?:\.\.|-|,)?)+)(?: +|$)", re.IGNORECASE)
_DATE: Final = re.compile(r"(?:([^-~:]+)-)?([^-~:]+)([-~])([^-~:]+)")
_VALUE: Final = re.compile(r"(\d+(?:\.\d{1,7}\d*)?)(?:\.\.(\d+(?:\.\d+)?))?(?:/(\d+(?:\.\d+)?))?", re.ASCII)


class BadCalendar(ValueError):
    """A text that is no calendar event; says why."""


class ValueRange(msgspec.Struct, frozen=True):
    """``start``, or ``start`` to ``stop`` every ``step``; with a step and no stop, to the component's end."""

    start: int
    stop: int | None = None
    step: int = 0

    def first_from(self, value: int, highest: int) -> int | None:
        """The smallest match at or after ``value``."""
        if value <= self.start:
            return self.start if self.start <= highest else None
        last = min(highest, self.stop if self.stop is not None else highest if self.step else self.start)
        if not self.step:
            return None
        matched = self.start + -(-(value - self.start) // self.step) * self.step
        return matched if matched <= last else None


Component = tuple[ValueRange, ...]  # empty: any


def first_value(component: Component, value: int, highest: int) -> int | None:
    """The smallest value of a component at or after ``value``, at most ``highest``."""
    if not component:
        return value if value <= highest else None
    return min(
        (matched for part in component if (matched := part.first_from(value, highest)) is not None), default=None
    )


class CalendarEvent(msgspec.Struct, frozen=True):
    """One calendar event. ``from_end``: days count from the month's last. ``zone``: None is the machine's own."""

    weekdays: frozenset[int]
    years: Component
    months: Component
    days: Component
    from_end: bool
    hours: Component
    minutes: Component
    seconds: Component  # in microseconds
    zone: tzinfo | None

    def next_after(self, moment: float) -> float | None:
        """When it elapses next, strictly after ``moment`` (both seconds since the Unix epoch); None: never again."""
        local = datetime.fromtimestamp(moment, UTC).astimezone(self.zone).replace(tzinfo=None, fold=0)
        for _ in range(MAX_SKIPPED):
            candidate = self._next_local(local)
            if candidate is None:
                return None
            zoned = candidate.replace(tzinfo=self.zone) if self.zone is not None else candidate.astimezone()
            exists = zoned.astimezone(UTC).astimezone(self.zone).replace(tzinfo=None, fold=0) == candidate
            if exists and zoned.timestamp() > moment:
                return zoned.timestamp()
            local = candidate + timedelta(microseconds=1)
        return None

    def _next_local(self, start: datetime) -> datetime | None:
        """The first local time at or after ``start`` that matches, whether the clocks there show it or not."""
        day = self._day(start)
        while day is not None:
            time = self._time(day)
            if time is not None:
                return time
            day = self._day(_midnight(day) + timedelta(days=1))
        return None

    def _day(self, start: datetime) -> datetime | None:
        """``start`` if its day matches, else the midnight of the first day after it that does."""
        year, month, day = start.year, start.month, start.day
        while (next_year := first_value(self.years, year, YEAR_RANGE[1])) is not None:
            if next_year != year:
                year, month, day = next_year, 1, 1
            month_found = first_value(self.months, month, 12)
            if month_found is None:
                year, month, day = year + 1, 1, 1
                continue
            if month_found != month:
                month, day = month_found, 1
            next_day = self._day_of_month(year, month, day)
            if next_day is None:
                year, month, day = (year, month + 1, 1) if month < 12 else (year + 1, 1, 1)
                continue
            same = (year, month, next_day) == (start.year, start.month, start.day)
            return start if same else datetime(year, month, next_day)
        return None

    def _day_of_month(self, year: int, month: int, day: int) -> int | None:
        length = calendar.monthrange(year, month)[1]
        component = tuple(_from_end(part, length) for part in self.days) if self.from_end else self.days
        next_day = first_value(component, day, length)
        while next_day is not None and self.weekdays and calendar.weekday(year, month, next_day) not in self.weekdays:
            next_day = first_value(component, next_day + 1, length)
        return next_day

    def _time(self, start: datetime) -> datetime | None:
        """The first matching time of the day at or after ``start``."""
        hour, minute, second = start.hour, start.minute, start.second * SECOND + start.microsecond
        while (next_hour := first_value(self.hours, hour, 23)) is not None:
            if next_hour != hour:
                hour, minute, second = next_hour, 0, 0
            minute_found = first_value(self.minutes, minute, 59)
            if minute_found is None:
                hour, minute, second = hour + 1, 0, 0
                continue
            if minute_found != minute:
                minute, second = minute_found, 0
            second_found = first_value(self.seconds, second, 60 * SECOND - 1)
            if second_found is None:
                minute, second = minute + 1, 0
                continue
            if not self.seconds:  # any second, not any microsecond
                second_found = -(-second_found // SECOND) * SECOND
                if second_found >= 60 * SECOND:
                    minute, second = minute + 1, 0
                    continue
            return start.replace(
                hour=hour, minute=minute, second=second_found // SECOND, microsecond=second_found % SECOND
            )
        return None


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _from_end(part: ValueRange, length: int) -> ValueRange:
    """A part that counts days from the month's end, as days of a month of this length."""
    if part.stop is not None:
        return ValueRange(length + 1 - part.stop, length + 1 - part.start, part.step)
    return ValueRange(length + 1 - part.start, length if part.step else None, part.step)


# -- the grammar


def parse(text: str, zone: tzinfo | None = None) -> CalendarEvent:
    """``zone`` is that of a text that names none (None: the machine's own). Raises BadCalendar in words."""
    event = text.strip()
    event, named_zone = _without_zone(event)
    event = _SHORTHANDS.get(event.lower(), event)
    weekdays: frozenset[int] = frozenset()
    rest = event
    if (weekday_match := _WEEKDAYS.match(event)) is not None:
        weekdays, rest = _weekdays(weekday_match[1], text), event[weekday_match.end() :].strip()
    pieces = rest.split()
    date = pieces.pop(0) if pieces and ":" not in pieces[0] else ""
    time = pieces.pop(0) if pieces else ""
    if pieces or not (date or time or weekdays):
        raise BadCalendar(f"{text!r} is not a calendar event such as 'Mon..Fri *-*-* 23:00'")
    years, months, days, from_end = _date(date, text) if date else ((), (), (), False)
    hours, minutes, seconds = _time(time or "0:0", text)
    return CalendarEvent(weekdays, years, months, days, from_end, hours, minutes, seconds, named_zone or zone)


def _without_zone(text: str) -> tuple[str, tzinfo | None]:
    rest, _, last = text.rpartition(" ")
    if last.upper() == "UTC" and rest:
        return rest.strip(), UTC
    if rest and re.fullmatch(r"[A-Za-z][A-Za-z0-9+_-]*(/[A-Za-z0-9+_-]+)+", last, re.ASCII):
        return rest.strip(), zone_named(last)
    return text, None


def zone_named(name: str) -> tzinfo:
    """Raises BadCalendar."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadCalendar(f"there is no time zone {name!r}") from None


def _weekdays(text: str, whole: str) -> frozenset[int]:
    numbers: set[int] = set()
    for piece in text.removesuffix(",").split(","):
        first, *more = re.split(r"\.\.|-", piece)
        ends = [_weekday(name, whole) for name in (first, *more)]
        if len(ends) > 2 or ends[0] > ends[-1]:
            raise BadCalendar(f"{piece!r} in {whole!r} is not a range of weekdays")
        numbers.update(range(ends[0], ends[-1] + 1))
    return frozenset(numbers)


def _weekday(name: str, whole: str) -> int:
    for number, full in enumerate(_DAYS):
        if name.lower() in (full, full[:3]):
            return number
    raise BadCalendar(f"{name!r} in {whole!r} is not a weekday")


def _date(text: str, whole: str) -> tuple[Component, Component, Component, bool]:
    date_match = _DATE.fullmatch(text)
    if date_match is None:
        raise BadCalendar(f"{text!r} in {whole!r} is not a date such as *-*-01 or *-*~1")
    year, month, mark, day = date_match.groups()
    from_end = mark == "~"
    return (
        _component(year or "*", YEAR_RANGE, whole, read=_year),
        _component(month, (1, 12), whole),
        _component(day, (1, 28 if from_end else 31), whole, from_end=from_end),
        from_end,
    )


def _time(text: str, whole: str) -> tuple[Component, Component, Component]:
    pieces = text.split(":")
    if len(pieces) not in (2, 3):
        raise BadCalendar(f"{text!r} in {whole!r} is not a time such as 23:00 or *:0/15")
    hours, minutes = _component(pieces[0], (0, 23), whole), _component(pieces[1], (0, 59), whole)
    last = 60 * SECOND - 1
    return hours, minutes, _component(pieces[2] if len(pieces) == 3 else "0", (0, last), whole, read=_microseconds)


def _year(text: str) -> int:
    value = int(text)
    return value + (2000 if value < 70 else 1900 if value < 100 else 0)


def _microseconds(text: str) -> int:
    whole, _, fraction = text.partition(".")
    return int(whole) * SECOND + round(float(f"0.{fraction or 0}") * SECOND)


def _component(
    text: str, bounds: tuple[int, int], whole: str, *, read: Callable[[str], int] = int, from_end: bool = False
) -> Component:
    if text == "*":
        return ()
    unit = SECOND if read is _microseconds else 1
    parts = []
    for piece in text.split(","):
        value_match = _VALUE.fullmatch(piece)
        if value_match is None or (read is not _microseconds and "." in piece.replace("..", "")):
            raise BadCalendar(f"{piece!r} in {whole!r} is not a value such as 5, 1..5 or 0/15")
        step = (_microseconds if read is _microseconds else int)(value_match[3]) if value_match[3] else 0
        if value_match[3] and not step:
            raise BadCalendar(f"{piece!r} in {whole!r} repeats every 0")
        part = _range(read(value_match[1]), read(value_match[2]) if value_match[2] else None, step, unit)
        _check(part, bounds, whole, piece, from_end=from_end)
        parts.append(part)
    return tuple(parts)


def _range(start: int, stop: int | None, step: int, unit: int) -> ValueRange:
    """As written; a range ends at its last step."""
    if stop is None or stop < start:
        return ValueRange(start, stop, step)
    step = step or unit
    stop -= (stop - start) % step
    return ValueRange(start, stop, step) if stop > start else ValueRange(start)


def _check(part: ValueRange, bounds: tuple[int, int], whole: str, piece: str, *, from_end: bool) -> None:
    """Within its bounds, and repeating at least once there (going up, or down to the month's end)."""
    lowest, highest = bounds
    stop = part.start if part.stop is None else part.stop
    if not lowest <= part.start <= stop <= highest:
        raise BadCalendar(f"{piece!r} in {whole!r} is out of its range")
    if part.stop is None and not lowest <= part.start + (-part.step if from_end else part.step) <= highest:
        raise BadCalendar(f"{piece!r} in {whole!r} repeats past its range")
