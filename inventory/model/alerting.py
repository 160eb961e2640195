"""Alerting: conditions, rosters, groups and routes. Times are ms, days and hours the province's.

An inventory that says nothing of it works: ``DEFAULT_CONDITIONS`` hold, and without routes every incident goes to the
contacts of the agencies that it touches and, what is critical or has no agency with contacts, to those of the hub's.
"""

from datetime import date
from typing import Final, Literal

import msgspec

from inventory.base.types import Text
from inventory.model.selectors import Hours, Selector

Severity = Literal["info", "warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "critical")  # by weight; info is for the digest only
ConditionKind = Literal["down", "degraded", "silent", "clock", "risk", "missed", "finding", "collector"]

# what ingest notices about agents and their data, by the names that a condition on finding may give
FINDINGS: Final = (
    "agent clock",
    "agent damaged",
    "agent disk",
    "agent dropped",
    "agent epoch",
    "agent refused",
    "agent start",
    "chain broken",
    "collector clock",
    "conflict",
    "dead letters",
    "frames unaccounted",
    "unplaceable",
)

MINUTE: Final = 60_000
HOUR: Final = 3_600_000
DAY: Final = 86_400_000


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """When something is wrong enough to be an incident. The first that fits a check (of its ``on``) holds for it.

    ``on``: down, degraded: the state of the checks that ``select`` finds. silent: an agent that is not heard. clock: an
    agent's wall clock that is off. risk: a goal's error budget that burns too fast; missed: a goal that is missed.
    finding: what ingest noticed (a broken chain, dead letters ...). collector: the collector's own troubles.
    ``names``: of on finding and collector, which kinds of it; empty: all.
    ``looks`` of the last ``out_of`` looks in that state, and that state for at least ``for_ms``; for silent and clock
    ``for_ms`` is how long not heard, how many ms off. ``recover``: looks in a better state until it is over;
    ``quiet_ms``: how long it has to stay so. ``off``: never an incident.
    """

    id: str
    on: ConditionKind
    select: Selector = Selector()
    names: tuple[str, ...] = ()
    looks: int = 3
    out_of: int = 3
    for_ms: int = 0
    recover: int = 2
    quiet_ms: int = MINUTE
    severity: Severity = "critical"
    off: bool = False


def _kinds(*kinds: str) -> Selector:
    return Selector(kinds=kinds)


DEFAULT_CONDITIONS: Final[tuple[Condition, ...]] = (
    # a backup, a drill and a job are judged by hours, and judged anew they come out the same
    Condition(id="backup-missed", on="down", select=_kinds("backup", "job", "drill"), looks=1, out_of=1, recover=1),
    Condition(id="no-power", on="down", select=_kinds("power"), looks=1, out_of=1, recover=1),
    Condition(id="on-battery", on="degraded", select=_kinds("power"), looks=2, out_of=2, severity="critical"),
    Condition(id="down", on="down"),
    Condition(id="ups", on="degraded", select=_kinds("ups"), looks=3, for_ms=MINUTE, severity="warning"),
    Condition(id="certificate", on="degraded", select=_kinds("tls"), looks=3, severity="warning"),
    Condition(id="pcs", on="degraded", select=_kinds("lan"), looks=3, for_ms=30 * MINUTE, severity="warning"),
    Condition(
        id="backup-doubtful",
        on="degraded",
        select=_kinds("backup", "job", "drill"),
        looks=1,
        out_of=1,
        recover=1,
        severity="warning",
    ),
    Condition(id="throughput", on="degraded", select=_kinds("throughput"), looks=2, out_of=3, severity="info"),
    Condition(id="degraded", on="degraded", for_ms=15 * MINUTE, severity="warning"),
    Condition(id="silent", on="silent", for_ms=3 * MINUTE, severity="warning"),
    Condition(id="clock", on="clock", for_ms=MINUTE, severity="warning"),  # an agent's clock a minute off
    Condition(id="risk", on="risk", severity="warning"),
    Condition(id="missed", on="missed", severity="warning"),
    Condition(id="finding", on="finding", severity="info"),
    Condition(id="collector", on="collector", severity="critical"),
)


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on duty in these hours of the week (of the roster's time zone)."""

    hours: tuple[Hours, ...]
    who: tuple[str, ...]


class Rotation(msgspec.Struct, frozen=True, kw_only=True):
    """Turns of ``days`` days each, the first from ``begins`` on: of each turn the contacts that have it."""

    begins: date
    days: int
    turns: tuple[tuple[str, ...], ...]


class Roster(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on duty when. Shifts first; where none holds the moment, the rotation's turn; else ``otherwise``."""

    id: str
    name: Text
    time_zone: str = ""  # "" is the province's
    shifts: tuple[Shift, ...] = ()
    rotation: Rotation | None = None
    otherwise: tuple[str, ...] = ()


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts, groups and rosters under one name."""

    id: str
    name: Text
    members: tuple[str, ...] = ()


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """Whom else to tell when nobody has acknowledged ``after_ms`` after the first notice."""

    after_ms: int
    to: tuple[str, ...]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """Incidents of these checks, severities and causes go to these contacts, groups or rosters.

    ``calendar``: only while its hours count; what comes outside of them waits for the next such hour ("" is always).
    ``repeat_ms``: how often it is said again while open and not acknowledged (0: never). ``only``: routes after this
    one are not asked. ``agency_contacts``: the contacts of the agencies touched, besides ``to``.
    """

    id: str
    select: Selector = Selector()
    severities: tuple[Severity, ...] = ("warning", "critical")
    causes: tuple[str, ...] = ()
    calendar: str = ""
    to: tuple[str, ...] = ()
    agency_contacts: bool = False
    steps: tuple[Escalation, ...] = ()
    repeat_ms: int = 4 * HOUR
    only: bool = False


class Alerting(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. ``conditions``: those of the inventory before the defaults, in the order in which they are asked.

    ``group_ms``: how long a notice waits for others to the same contact, to go as one mail. ``wait_ms``: how long at
    most a trouble waits for what lies on its way to be looked at, before it is told under its own name. ``cap``: mails
    an hour to one contact, after which one summary says the rest. ``late_ms``: evidence older than this tells nobody
    unless it is still so. ``flaps`` changes within ``flap_ms`` are flapping: one notice, and quiet until it has been
    steady for ``steady_ms``. ``digest``: minutes of the day (the province's) at which the digest goes; None: never.
    """

    conditions: tuple[Condition, ...] = DEFAULT_CONDITIONS
    rosters: dict[str, Roster] = {}
    groups: dict[str, Group] = {}
    routes: tuple[Route, ...] = ()
    group_ms: int = 2_000
    wait_ms: int = 35_000
    cap: int = 20
    late_ms: int = 15 * MINUTE
    flaps: int = 6
    flap_ms: int = HOUR
    steady_ms: int = 15 * MINUTE
    digest: int | None = 7 * 60
