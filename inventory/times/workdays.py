"""Parse days and hours as calendars write them: ``mon-fri: [07:00-11:30, 13:00-17:00]``."""

import re
from collections.abc import Mapping

from inventory.base.problems import Place, Problem
from inventory.model.entities import Hours

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"([01]\d|2[0-4]):([0-5]\d)-([01]\d|2[0-4]):([0-5]\d)", re.ASCII)


def hours_of(
    hours_by_days: Mapping[str, tuple[str, ...]], at: Place, key: str, problems: list[Problem]
) -> tuple[Hours, ...]:
    """The stretches of a week; mistakes are added to ``problems``. 22:00-06:00 is two stretches."""
    hours: list[Hours] = []
    for days, stretches in hours_by_days.items():
        try:
            weekdays = days_of(days)
            for stretch in stretches:
                hours.extend(_hours(weekdays, stretch))
        except ValueError as error:
            problems.append(at.problem(f"{key}.{days}", str(error)))
    return tuple(hours)


def days_of(text: str) -> tuple[int, ...]:
    """Weekdays (0 is Monday) of "daily", "mon-fri", "sat,sun". Raises ValueError in words."""
    if text == "daily":
        return tuple(range(7))
    days: list[int] = []
    for part in text.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"{text!r} are not days; write daily, mon-fri or sat,sun")
        low, high = DAYS.index(first), DAYS.index(last or first)
        days.extend(range(low, high + 1) if low <= high else [*range(low, 7), *range(high + 1)])
    return tuple(sorted(set(days)))


def _hours(days: tuple[int, ...], text: str) -> list[Hours]:
    match = _HOURS.fullmatch(text.replace(" ", ""))
    if match is None:
        raise ValueError(f"{text!r} are not hours; write them like 07:00-11:30")
    start, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if start > 1440 or end > 1440 or start == end:
        raise ValueError(f"{text!r} are not hours of a day")
    if start < end:
        return [Hours(days, start, end)]
    tomorrow = tuple(sorted((day + 1) % 7 for day in days))
    overnight = [Hours(days, start, 1440)] if start < 1440 else []
    return [*overnight, Hours(tomorrow, 0, end)] if end else overnight
