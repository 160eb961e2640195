"""When a job is due: every so often, by a cron expression, or by a systemd calendar event.

All answer one question: the next time after a moment, both in seconds since the Unix epoch. The libraries for time
zones and cron are imported with the first schedule that needs them.
"""

from datetime import UTC, datetime, tzinfo
from typing import Final, Protocol

import msgspec

from inventory.base.text import quoted
from inventory.base.types import duration_ms
from inventory.grammars.time_zones import zone_named

MAX_CRON: Final = 500  # characters of a cron expression
LAST_MOMENT: Final = 253_370_764_800  # the year 9999, where calendars end


class BadSchedule(ValueError):
    """A schedule that cannot be understood, in words for the person who wrote it."""


class Schedule(Protocol):
    """``regular``: the time from one run to the next counts, not the time of day."""

    @property
    def regular(self) -> bool: ...

    @property
    def zone(self) -> tzinfo | None:
        """In which its times are to be shown; None: the machine's own."""

    def next_after(self, moment: float) -> float | None:
        """When it is due next, strictly after ``moment``; None: never again."""


class IntervalSchedule(msgspec.Struct, frozen=True):
    """So many seconds after the last run."""

    seconds: float
    zone: tzinfo | None = None
    regular: bool = True

    def next_after(self, moment: float) -> float | None:
        due = moment + self.seconds
        return due if due < LAST_MOMENT else None


class CronSchedule(msgspec.Struct, frozen=True):
    """A cron expression in a time zone, as Debian's cron reads it; see cronsim for what becomes of skipped hours."""

    expression: str
    zone: tzinfo | None = None
    regular: bool = False

    def next_after(self, moment: float) -> float | None:
        from cronsim import CronSim

        zone = self.zone or _local_zone()
        start = datetime.fromtimestamp(moment, UTC).astimezone(zone)
        try:
            due = next(CronSim(self.expression, start))
            # in an hour that comes twice the first one may be what was found, and already be past
            while due.timestamp() <= moment:
                due = next(CronSim(self.expression, due))
        except (StopIteration, OverflowError):
            return None
        return due.timestamp()


class CalendarSchedule(msgspec.Struct, frozen=True):
    """A systemd calendar event; its own time zone counts before the job's."""

    expression: str
    zone: tzinfo | None = None
    regular: bool = False

    def next_after(self, moment: float) -> float | None:
        from inventory.grammars.oncalendar import parse

        try:
            return parse(self.expression, self.zone).next_after(moment)
        except OverflowError:
            return None


def schedule_of(every: str = "", cron: str = "", oncalendar: str = "", time_zone: str = "") -> Schedule:
    """The one that is given; ``every`` counts only without another. Raises BadSchedule."""
    if cron and oncalendar:
        raise BadSchedule("give cron or oncalendar, not both")
    zone = zone_of(time_zone)
    if cron:
        return _cron(cron, zone)
    if oncalendar:
        from inventory.grammars.oncalendar import BadCalendar, parse

        try:
            parse(oncalendar, zone)
        except BadCalendar as error:
            raise BadSchedule(str(error)) from None
        return CalendarSchedule(oncalendar, zone)
    seconds = seconds_of(every)
    if not seconds:
        raise BadSchedule("it has to be due at some time: more than 0s apart")
    return IntervalSchedule(seconds, zone)


def ensure_possible(schedule: Schedule) -> Schedule:
    """The schedule, if it was ever due or will be. Raises BadSchedule."""
    if schedule.next_after(0) is None:
        raise BadSchedule(f"{getattr(schedule, 'expression', '')!r} never comes: there is no such day or time")
    return schedule


def seconds_of(text: str) -> float:
    """Seconds of "26h" or "1d". Raises BadSchedule."""
    try:
        return duration_ms(text) / 1000
    except ValueError as error:
        raise BadSchedule(str(error)) from None


def zone_of(name: str) -> tzinfo | None:
    """A time zone by its IANA name; "" is the machine's own. Raises BadSchedule."""
    if not name:
        return None
    try:
        return zone_named(name)
    except ValueError as error:
        raise BadSchedule(str(error)) from None


def _cron(expression: str, zone: tzinfo | None) -> Schedule:
    from cronsim import CronSim, CronSimError

    if len(expression) > MAX_CRON or len(expression.split()) != 5:
        raise BadSchedule(f"{quoted(expression)} is not a cron expression of five fields")
    try:
        CronSim(expression, datetime(2026, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        raise BadSchedule(f"{expression!r} is not a cron expression: {error}") from None
    return CronSchedule(expression, zone)


def _local_zone() -> tzinfo:
    """The machine's own zone with its rules, not only today's offset."""
    import os
    from pathlib import Path
    from zoneinfo import ZoneInfo

    zone_name = os.environ.get("TZ", "").lstrip(":")
    if not zone_name:
        try:
            zone_name = os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
        except OSError:
            zone_name = ""
    try:
        return ZoneInfo(zone_name)
    except (KeyError, ValueError, OSError):
        pass
    try:
        with Path("/etc/localtime").open("rb") as file:
            return ZoneInfo.from_file(file)
    except (ValueError, OSError):
        return datetime.now().astimezone().tzinfo or UTC
