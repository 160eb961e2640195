"""The Vietnamese lunar calendar: on which days Tết and other lunar feasts fall.

New moons after J. Meeus, Astronomical Algorithms (2nd ed.), chapter 49, and the sun's longitude after chapter 25,
both truncated: good to a few minutes. The rules: a month begins on the day (UTC+7, as in Vietnam since 1968) of its
new moon; month 11 has the winter solstice; in a year of thirteen months the first without a major solar term is a
leap month and repeats the number before it.
"""

from datetime import date, timedelta
from functools import lru_cache
from math import floor, radians, sin

UTC_PLUS_7 = 7 / 24  # days
DELTA_T = 70 / 86400  # days from universal to dynamical time, good for 1990 to 2050
_EPOCH = date(2000, 1, 1).toordinal() - 2451545  # ordinal of a day = its Julian day number + this
_LUNATION = 29.530588861


def new_year(year: int) -> date:
    """The first day of the first lunar month (Tết) that falls in a year."""
    return lunar_day(year, 1, 1)


@lru_cache(maxsize=256)
def lunar_day(year: int, month: int, day: int) -> date:
    """The date of a day in months 1 to 10 of the lunar year that begins in ``year``; of the month that is no leap."""
    start = _month_eleven(year - 1)
    months = round((_new_moon_day(_month_eleven(year)) - _new_moon_day(start)) / _LUNATION)
    index = month + 1  # months 11 and 12 come first
    if months == 13:
        leap = next(i for i in range(1, 14) if _term(start + i) == _term(start + i + 1))
        if leap <= index:
            index += 1
    return date.fromordinal(_new_moon_day(start + index) + _EPOCH) + timedelta(days=day - 1)


def _month_eleven(year: int) -> int:
    """The number of the lunation in which the winter solstice of a year lies."""
    end = date(year, 12, 31).toordinal() - _EPOCH
    k = floor((end - 2451550.1) / _LUNATION) + 1
    while _new_moon_day(k) > end:
        k -= 1
    return k if _term(k) < 9 else k - 1  # the sun is past 270 degrees already: the solstice was a month earlier


def _term(k: int) -> int:
    """The twelfth of the sun's course (0 begins at the spring equinox) in which lunation ``k`` begins."""
    return floor(_sun_longitude(_new_moon_day(k) - 0.5 - UTC_PLUS_7) / 30)


@lru_cache(maxsize=4096)
def _new_moon_day(k: int) -> int:
    """The Julian day number of the day, in Vietnam, of new moon ``k`` (0 is that of January 2000)."""
    t = k / 1236.85
    e = 1 - 0.002516 * t - 0.0000074 * t * t
    sun = radians(2.5534 + 29.10535670 * k - 0.0000014 * t * t)
    moon = radians(201.5643 + 385.81693528 * k + 0.0107582 * t * t)
    latitude = radians(160.7108 + 390.67050284 * k - 0.0016118 * t * t)
    node = radians(124.7746 - 1.56375588 * k + 0.0020672 * t * t)
    correction = (
        -0.40720 * sin(moon)
        + 0.17241 * e * sin(sun)
        + 0.01608 * sin(2 * moon)
        + 0.01039 * sin(2 * latitude)
        + 0.00739 * e * sin(moon - sun)
        - 0.00514 * e * sin(moon + sun)
        + 0.00208 * e * e * sin(2 * sun)
        - 0.00111 * sin(moon - 2 * latitude)
        - 0.00057 * sin(moon + 2 * latitude)
        + 0.00056 * e * sin(2 * moon + sun)
        - 0.00042 * sin(3 * moon)
        + 0.00042 * e * sin(sun + 2 * latitude)
        + 0.00038 * e * sin(sun - 2 * latitude)
        - 0.00024 * e * sin(2 * moon - sun)
        - 0.00017 * sin(node)
    )
    dynamical = 2451550.09766 + _LUNATION * k + 0.00015437 * t * t + correction
    return floor(dynamical - DELTA_T + UTC_PLUS_7 + 0.5)


def _sun_longitude(julian_day: float) -> float:
    """The sun's apparent longitude in degrees, 0 to 360, to 0.01."""
    t = (julian_day + DELTA_T - 2451545) / 36525
    anomaly = radians(357.52911 + 35999.05029 * t - 0.0001537 * t * t)
    centre = (
        (1.914602 - 0.004817 * t) * sin(anomaly)
        + (0.019993 - 0.000101 * t) * sin(2 * anomaly)
        + 0.000289 * sin(3 * anomaly)
    )
    longitude = 280.46646 + 36000.76983 * t + 0.0003032 * t * t + centre
    return (longitude - 0.00569 - 0.00478 * sin(radians(125.04 - 1934.136 * t))) % 360
