"""Formats of text parameters beyond a regular expression: the ``format`` of kinds.json.

A kind's own file names the format, so that a mistake is found where the inventory is written and not first at an agent.
An empty text is a parameter that is not given. The grammars are loaded with the first text that needs them.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from inventory.base.types import duration_ms

CACHE_SIZE: Final = (
    4096  # texts of each grammar that are remembered: a template repeats the same few ten thousand times
)


@lru_cache(CACHE_SIZE)
def cron(text: str) -> None:
    from inventory.grammars.schedule import schedule_of

    schedule_of(cron=text)


@lru_cache(CACHE_SIZE)
def calendar_event(text: str) -> None:
    from inventory.grammars.schedule import ensure_possible, schedule_of

    ensure_possible(schedule_of(oncalendar=text))


@lru_cache(CACHE_SIZE)
def time_zone(text: str) -> None:
    from inventory.grammars.schedule import zone_of

    zone_of(text)


@lru_cache(CACHE_SIZE)
def file_pattern(text: str) -> None:
    from inventory.grammars.file_patterns import FilePattern

    FilePattern(text)


def job_name(text: str) -> None:
    from inventory.grammars.job_names import why_not_a_job_name

    if reason := why_not_a_job_name(text):
        raise ValueError(reason)


def positive_duration(text: str) -> None:
    if not duration_ms(text):
        raise ValueError("has to be more than 0")


# each raises ValueError in words
FORMATS: Final[Mapping[str, Callable[[str], None]]] = {
    "calendar-event": calendar_event,
    "cron": cron,
    "file-pattern": file_pattern,
    "job-name": job_name,
    "lasting": positive_duration,
    "time-zone": time_zone,
}
