"""Vietnam's public holidays: the library ``holidays``, which knows past decrees; the inventory's own decree on top.

Which days are exchanged is decreed each year: that goes into ``holidays:`` of the inventory.
"""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache

import msgspec

from inventory.model.entities import HolidayDecree

SATURDAY = 5
_NO_DECREES: Mapping[int, HolidayDecree] = {}


class StatutoryDays(msgspec.Struct, frozen=True):
    """A year as the law and what the government announced have it."""

    off: frozenset[date]  # holidays, and the days given in place of others
    worked: frozenset[date]  # weekend days worked in exchange


def is_holiday(day: date, decreed: Mapping[int, HolidayDecree] = _NO_DECREES) -> bool:
    """Whether a day is a public holiday, weekend days given in place of one included; weekends as such are not."""
    decree = decreed.get(day.year)
    if decree is not None:
        if day in decree.work:
            return False
        if day in decree.off or decree.only:
            return day in decree.off
    return day in statutory(day.year).off


def is_workday(day: date, decreed: Mapping[int, HolidayDecree] = _NO_DECREES) -> bool | None:
    """True for a weekend day worked in exchange, False for a holiday, None: a day as any other."""
    decree = decreed.get(day.year)
    if decree is not None and day in decree.work:
        return True
    if is_holiday(day, decreed):
        return False
    return True if (decree is None or not decree.only) and day in statutory(day.year).worked else None


@lru_cache(maxsize=64)
def statutory(year: int) -> StatutoryDays:
    from holidays import country_holidays  # 17 MB and 0.3 s: only where a calendar asks for Vietnam's

    calendar = country_holidays("VN", years=(year - 1, year, year + 1))  # an exchange may reach over New Year
    return StatutoryDays(
        frozenset(day for day in calendar if day.year == year),
        frozenset(day for day in calendar.weekend_workdays if day.year == year),
    )
