"""Time that does not count: hours, holidays, exclusions."""

import itertools
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.base.types import Text
from inventory.model.entities import Calendar, Exclusion, HolidayDecree, Hours, Selector
from inventory.times import holidays
from inventory.times.calendars import VIETNAM, epoch_ms, excluded_time, merge
from inventory.times.workdays import days_of

HOUR = 3_600_000
OFFICE = Calendar(
    id="office",
    name=Text("", ""),
    service=(Hours((0, 1, 2, 3, 4), 7 * 60, 11 * 60), Hours((0, 1, 2, 3, 4), 13 * 60, 17 * 60)),
    holidays="vietnam",
)


def at(text: str) -> int:
    return epoch_ms(datetime.fromisoformat(text))


def between(calendar: Calendar, start: str, end: str, decreed: dict[int, HolidayDecree] | None = None) -> list[str]:
    spans = excluded_time(calendar, at(start), at(end), VIETNAM, decreed or {})
    return [" ".join(f"{datetime.fromtimestamp(edge / 1000, VIETNAM):%d.%H:%M}" for edge in span) for span in spans]


@pytest.mark.parametrize(
    "day",
    # published dates; 2007 and 2030 are years in which Vietnam and China differ
    [
        "2005-02-09",
        "2006-01-29",
        "2007-02-17",
        "2008-02-07",
        "2009-01-26",
        "2010-02-14",
        "2011-02-03",
        "2012-01-23",
        "2013-02-10",
        "2014-01-31",
        "2015-02-19",
        "2016-02-08",
        "2017-01-28",
        "2018-02-16",
        "2019-02-05",
        "2020-01-25",
        "2021-02-12",
        "2022-02-01",
        "2023-01-22",
        "2024-02-10",
        "2025-01-29",
        "2026-02-17",
        "2027-02-06",
        "2028-01-26",
        "2029-02-13",
        "2030-02-02",
        "1985-01-21",
    ],
)
def test_new_year(day: str) -> None:
    expected = date.fromisoformat(day)
    assert {expected, expected - timedelta(days=1)} <= holidays.statutory(expected.year).off


@pytest.mark.parametrize(
    "day",
    [
        "2010-04-23",
        "2011-04-12",
        "2012-03-31",
        "2013-04-19",
        "2014-04-09",
        "2015-04-28",
        "2020-04-02",
        "2021-04-21",
        "2022-04-10",
        "2023-04-29",
        "2024-04-18",
        "2025-04-07",
        "2026-04-26",
    ],
)
def test_the_hung_kings_day(day: str) -> None:
    expected = date.fromisoformat(day)
    assert expected in holidays.statutory(expected.year).off


def test_statutory_holidays_of_a_year() -> None:
    days = sorted(holidays.statutory(2026).off)
    assert [f"{day:%m-%d}" for day in days] == [
        "01-01",
        *("02-16", "02-17", "02-18", "02-19", "02-20"),  # Tết and its eve
        *("04-26", "04-27"),  # the Hùng Kings' day, a Sunday, and the Monday for it
        *("04-30", "05-01"),
        *("08-31", "09-01", "09-02"),  # the first in exchange for Saturday 22 August
        "11-24",  # the day of Vietnamese culture
    ]
    assert holidays.statutory(2026).worked == {date(2026, 8, 22)}
    assert len([day for day in holidays.statutory(2011).off if day.month == 2]) == 4 + 1  # four days, one on a weekend


def test_office_hours() -> None:
    assert between(OFFICE, "2026-11-20 00:00", "2026-11-24 00:00") == [
        "20.00:00 20.07:00",
        "20.11:00 20.13:00",
        "20.17:00 23.07:00",
        "23.11:00 23.13:00",
        "23.17:00 24.00:00",
    ]


def test_a_holiday_does_not_count_and_a_decree_changes_it() -> None:
    assert between(OFFICE, "2026-09-02 00:00", "2026-09-03 00:00") == ["02.00:00 03.00:00"]
    decreed = {2026: HolidayDecree(off=(date(2026, 9, 1),), work=(date(2026, 9, 3), date(2026, 9, 5)))}
    assert between(OFFICE, "2026-09-01 00:00", "2026-09-02 00:00", decreed) == ["01.00:00 02.00:00"]
    assert between(OFFICE, "2026-09-02 00:00", "2026-09-03 00:00", decreed) == ["02.00:00 03.00:00"]
    worked = ["{0}.00:00 {0}.07:00", "{0}.11:00 {0}.13:00", "{0}.17:00 {1}.00:00"]
    assert between(OFFICE, "2026-09-03 00:00", "2026-09-04 00:00", decreed) == [w.format("03", "04") for w in worked]
    # a Saturday worked in exchange has a working day's hours
    assert between(OFFICE, "2026-09-05 00:00", "2026-09-06 00:00", decreed) == [w.format("05", "06") for w in worked]
    assert between(OFFICE, "2026-09-05 00:00", "2026-09-06 00:00") == ["05.00:00 06.00:00"]
    only = {2026: HolidayDecree(off=(date(2026, 9, 3),), only=True)}
    assert between(OFFICE, "2026-09-02 07:00", "2026-09-02 11:00", only) == []
    assert between(OFFICE, "2026-09-03 07:00", "2026-09-03 11:00", only) == ["03.07:00 03.11:00"]


def test_a_saturday_worked_in_exchange_has_a_working_days_hours() -> None:
    worked = ["22.00:00 22.07:00", "22.11:00 22.13:00", "22.17:00 23.00:00"]
    assert between(OFFICE, "2026-08-22 00:00", "2026-08-23 00:00") == worked
    # a decree that names all the year's days knows of no exchange
    only = {2026: HolidayDecree(off=(date(2026, 9, 2),), only=True)}
    assert between(OFFICE, "2026-08-22 00:00", "2026-08-23 00:00", only) == ["22.00:00 23.00:00"]


def test_off_hours_alone() -> None:
    night = Calendar(id="n", name=Text("", ""), off=(Hours((0, 1, 2, 3, 4, 5, 6), 22 * 60, 24 * 60),))
    assert between(night, "2026-09-02 20:00", "2026-09-03 23:00") == ["02.22:00 03.00:00", "03.22:00 03.23:00"]


def test_a_zone_with_summer_time() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    early = Calendar(id="e", name=Text("", ""), off=(Hours((0, 1, 2, 3, 4, 5, 6), 0, 4 * 60),))
    start = epoch_ms(datetime(2026, 3, 28), berlin)
    lengths = [(end - begin) // HOUR for begin, end in excluded_time(early, start, start + 71 * HOUR, berlin)]
    assert lengths == [4, 3, 4]  # on 29 March the hour from 2 to 3 is left out


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(-5, 50), st.integers(-5, 50)), max_size=12), st.integers(0, 20), st.integers(0, 45)
)
def test_merged_stretches_cover_exactly_the_same_time(spans: list[tuple[int, int]], start: int, end: int) -> None:
    merged = merge(spans, start, end)
    for moment in range(-5, 50):
        inside = start <= moment < end and any(a <= moment < b for a, b in spans)
        assert inside == any(a <= moment < b for a, b in merged)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(merged))


@settings(deadline=None)
@given(st.integers(0, 400 * 24), st.integers(1, 100 * 24), st.integers(0, 100 * 24))
def test_a_window_cut_in_two_gives_the_same(start: int, length: int, cut: int) -> None:
    begin = at("2026-01-01 00:00") + start * HOUR // 2
    end, middle = begin + length * HOUR // 2, begin + min(cut, length) * HOUR // 2
    whole = excluded_time(OFFICE, begin, end)
    parts = [*excluded_time(OFFICE, begin, middle), *excluded_time(OFFICE, middle, end)]
    assert merge(parts, begin, end) == whole


@pytest.mark.parametrize(
    ("text", "days"),
    [("daily", (0, 1, 2, 3, 4, 5, 6)), ("mon-fri", (0, 1, 2, 3, 4)), ("sat,sun", (5, 6)), ("fri-mon", (0, 4, 5, 6))],
)
def test_days(text: str, days: tuple[int, ...]) -> None:
    assert days_of(text) == days


def test_an_empty_window_excludes_nothing() -> None:
    window = Exclusion(
        id="e", select=Selector(), begins=datetime(2026, 1, 1), ends=datetime(2026, 1, 2), reason="moved"
    )
    assert excluded_time(OFFICE, 5, 5) == [] and excluded_time([window], 7, 3) == []
