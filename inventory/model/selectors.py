"""Selectors of checks, and hours of a week, for goals, exclusions, calendars and routes."""

from typing import Annotated, Final

import msgspec

MAX_PATTERN: Final = 200  # characters: to compile one takes the square of its length


class Selector(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which checks. A field that is empty selects all; a check must satisfy every field that is not: be one of those
    listed, have all of ``tags`` and none of ``without_tags``.

    ``checks`` are keys or names, with * and ? as in file names. ``agents`` are vantage points: who looks.
    """

    kinds: tuple[str, ...] = ()
    agency_kinds: tuple[str, ...] = ()
    agencies: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    without_tags: tuple[str, ...] = ()
    checks: tuple[Annotated[str, msgspec.Meta(max_length=MAX_PATTERN)], ...] = ()
    providers: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        return self == Selector()


class Hours(msgspec.Struct, frozen=True, array_like=True):
    """Minutes of a day [start, end), on the weekdays given (0 is Monday)."""

    days: tuple[int, ...]
    start: int
    end: int
