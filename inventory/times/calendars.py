"""Time that does not count: calendars and exclusions as ranges of epoch milliseconds. Pure.

All answers are sorted, apart and clipped to the window asked for.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from inventory.model.entities import Calendar, Exclusion, HolidayDecree, Hours
from inventory.times import holidays

VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")
DAY = 1440  # minutes
MsRange = tuple[int, int]
_NONE: Mapping[int, HolidayDecree] = {}


def excluded_time(
    excluding: Calendar | Iterable[Exclusion],
    from_ms: int,
    to_ms: int,
    zone: ZoneInfo = VIETNAM,
    decreed: Mapping[int, HolidayDecree] = _NONE,
) -> list[MsRange]:
    """What a calendar or some exclusions take out of [from_ms, to_ms)."""
    if to_ms <= from_ms:
        return []
    if isinstance(excluding, Calendar):
        return merge(_closed_ranges(excluding, from_ms, to_ms, zone, decreed), from_ms, to_ms)
    spans = ((epoch_ms(exclusion.begins, zone), epoch_ms(exclusion.ends, zone)) for exclusion in excluding)
    return merge(spans, from_ms, to_ms)


def merge(spans: Iterable[MsRange], from_ms: int, to_ms: int) -> list[MsRange]:
    """Sorted, touching ones joined, clipped to [from_ms, to_ms)."""
    merged: list[MsRange] = []
    for start, end in sorted(spans):
        start, end = max(start, from_ms), min(end, to_ms)
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def epoch_ms(moment: datetime, zone: ZoneInfo = VIETNAM) -> int:
    """Epoch ms of a local time without a zone."""
    return round(moment.replace(tzinfo=zone).timestamp() * 1000)


def _closed_ranges(
    calendar: Calendar, from_ms: int, to_ms: int, zone: ZoneInfo, decreed: Mapping[int, HolidayDecree]
) -> Iterable[MsRange]:
    day = datetime.fromtimestamp(from_ms / 1000, zone).date()
    last = datetime.fromtimestamp((to_ms - 1) / 1000, zone).date()
    while day <= last:
        for start, end in _closed_minutes(calendar, day, decreed):
            yield _at(day, start, zone), _at(day, end, zone)
        day += timedelta(days=1)


def _closed_minutes(calendar: Calendar, day: date, decreed: Mapping[int, HolidayDecree]) -> list[MsRange]:
    """The minutes of one day that do not count."""
    weekday = day.weekday()
    if calendar.holidays:
        work = holidays.is_workday(day, decreed)
        if work is False:
            return [(0, DAY)]
        if work and weekday >= holidays.SATURDAY:
            weekday = 0  # a weekend day worked in exchange has the hours of a Monday
    closed = _ranges_on(calendar.off, weekday)
    if calendar.service:
        position = 0
        for start, end in merge(_ranges_on(calendar.service, weekday), 0, DAY):
            closed.append((position, start))
            position = end
        closed.append((position, DAY))
    return merge(closed, 0, DAY)


def _ranges_on(hours: Iterable[Hours], weekday: int) -> list[MsRange]:
    return [(stretch.start, stretch.end) for stretch in hours if weekday in stretch.days]


def _at(day: date, minute: int, zone: ZoneInfo) -> int:
    moment = datetime.combine(day + timedelta(days=minute // DAY), time(minute % DAY // 60, minute % 60))
    return epoch_ms(moment, zone)
