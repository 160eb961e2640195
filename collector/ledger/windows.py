"""Calendar windows in the province's time zone, and rolling ones."""

import re
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import msgspec

DAY = 86_400_000  # ms; a rolling day is this long whatever a time zone does
_ROLLING = re.compile(r"rolling-([1-9]\d{0,3})d")


class Window(msgspec.Struct, frozen=True):
    """[start, end) in epoch ms. ``name``: as in a goal, month or rolling-30d; ``year``: whose target holds."""

    name: str
    start: int
    end: int
    year: int


def midnight(day: date, zone: ZoneInfo) -> int:
    """When a day begins, epoch ms."""
    return round(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp() * 1000)


def window_at(name: str, at: int, zone: ZoneInfo) -> Window:
    """The window of that name that holds the moment ``at`` (a rolling one ends there). Raises ValueError in words."""
    moment = datetime.fromtimestamp(at / 1000, zone)
    if rolling := _ROLLING.fullmatch(name):
        return Window(name, at - int(rolling[1]) * DAY, at, moment.year)
    first, following = _days(name, moment.date())
    return Window(name, midnight(first, zone), midnight(following, zone), first.year)


def _days(name: str, day: date) -> tuple[date, date]:
    """The first day of the calendar window around ``day``, and the first after it."""
    if name == "day":
        return day, day + timedelta(1)
    if name == "week":
        monday = day - timedelta(day.weekday())
        return monday, monday + timedelta(7)
    months = {"month": 1, "quarter": 3, "year": 12}.get(name)
    if months is None:
        raise ValueError(f"{name!r} is not a window: day, week, month, quarter, year or rolling-Nd (rolling-30d)")
    first = date(day.year, (day.month - 1) // months * months + 1, 1)
    carry, month = divmod(first.month - 1 + months, 12)
    return first, date(first.year + carry, month + 1, 1)
