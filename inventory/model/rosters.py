"""Resolve groups and rosters to the contacts on duty at a moment. Pure."""

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from inventory.model.alerting import Alerting, Roster

MINUTES_OF_A_WEEK = 7 * 1440


def on_duty(roster: Roster, at: int, zone: ZoneInfo) -> tuple[str, ...]:
    """Who a roster names at a moment (epoch ms); ``zone`` is the province's. Every shift that holds counts; where
    none does, the rotation's turn of that day; before it begins and without one, ``otherwise``."""
    local = datetime.fromtimestamp(at / 1000, zone_of(roster, zone))
    minute = local.hour * 60 + local.minute
    names = [
        name
        for shift in roster.shifts
        if any(local.weekday() in hours.days and hours.start <= minute < hours.end for hours in shift.hours)
        for name in shift.who
    ]
    if not names and (rotation := roster.rotation) is not None and rotation.turns:
        day = (local.date() - rotation.begins).days
        if day >= 0:
            names = list(rotation.turns[day // rotation.days % len(rotation.turns)])
    return tuple(dict.fromkeys(names or roster.otherwise))


def zone_of(roster: Roster, zone: ZoneInfo) -> ZoneInfo:
    """The roster's own time zone, else the province's."""
    return ZoneInfo(roster.time_zone) if roster.time_zone else zone


def contacts_of(names: Iterable[str], alerting: Alerting, at: int | None, zone: ZoneInfo) -> tuple[str, ...]:
    """The contacts that names of contacts, groups and rosters stand for at a moment, each once, in their order.

    With None for the moment: all whom they can stand for at any time.
    """
    contacts: dict[str, None] = {}
    visited: set[str] = set()
    waiting = list(names)[::-1]
    while waiting:
        name = waiting.pop()
        if name in visited:
            continue
        visited.add(name)
        if name in alerting.groups:
            waiting += reversed(alerting.groups[name].members)
        elif name in alerting.rosters:
            roster = alerting.rosters[name]
            waiting += reversed(everyone_on(roster) if at is None else on_duty(roster, at, zone))
        else:
            contacts[name] = None
    return tuple(contacts)


def everyone_on(roster: Roster) -> tuple[str, ...]:
    """All whom a roster names at some time."""
    shifts = (name for shift in roster.shifts for name in shift.who)
    turns = (name for turn in (roster.rotation.turns if roster.rotation is not None else ()) for name in turn)
    return tuple(dict.fromkeys((*shifts, *turns, *roster.otherwise)))
