"""Vietnam's public holidays: the statutory ones by rule, the yearly decree on top.

The Labour Code gives the days (1994 with the amendment of 2007, 2012 from 1 May 2013, 2019 from 1 January 2021): New
Year; Tết, its eve and three days (four from 2014); the Hùng Kings' day from 2007; 30 April; 1 May; 2 September (and
from 2021 a day beside it, here the one after). One that falls on a weekend is taken on the next working day. Which
days are exchanged is decreed each year: that goes into ``holidays:`` of the inventory.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from functools import lru_cache

from inventory.model.entities import HolidayDecree
from inventory.times import lunar

SATURDAY = 5
_NO_DECREES: Mapping[int, HolidayDecree] = {}


def is_holiday(day: date, decreed: Mapping[int, HolidayDecree] = _NO_DECREES) -> bool:
    """Whether a day is a public holiday, weekend days given in place of one included; weekends as such are not."""
    decree = decreed.get(day.year)
    if decree is not None:
        if day in decree.work:
            return False
        if day in decree.off or decree.only:
            return day in decree.off
    return day in statutory(day.year)


def is_workday(day: date, decreed: Mapping[int, HolidayDecree] = _NO_DECREES) -> bool | None:
    """True for a weekend day that the decree makes a working day, False for a holiday, None: a day as any other."""
    decree = decreed.get(day.year)
    if decree is not None and day in decree.work:
        return True
    return False if is_holiday(day, decreed) else None


@lru_cache(maxsize=64)
def statutory(year: int) -> frozenset[date]:
    """The year's holidays and the working days given in place of those on weekends."""
    days = {date(year, 1, 1), date(year, 4, 30), date(year, 5, 1), date(year, 9, 2)}
    tet = lunar.new_year(year)
    days.update(tet + timedelta(days=offset) for offset in range(-1, 4 if year >= 2014 else 3))
    if year >= 2007:
        days.add(lunar.lunar_day(year, 3, 10))
    if year >= 2021:
        days.add(date(year, 9, 3))
    for day in sorted(days):
        if day.weekday() >= SATURDAY:
            substitute = day + timedelta(days=1)
            while substitute.weekday() >= SATURDAY or substitute in days:
                substitute += timedelta(days=1)
            days.add(substitute)
    return frozenset(days)
