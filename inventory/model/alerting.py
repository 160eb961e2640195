"""Alerting: conditions, rosters, groups and routes. Times are ms, days and hours the province's.

An inventory that says nothing of it works: the default conditions hold, and without routes every incident goes to the
contacts of the agencies that it touches and, what is critical or has no agency with contacts, to those of the hub's.
"""

from datetime import date
from typing import Final, Literal

import msgspec

from inventory.base.types import Text
from inventory.model.selectors import Hours, Selector

Severity = Literal["info", "warning", "critical"]
SEVERITIES: Final[tuple[Severity, ...]] = ("info", "warning", "critical")  # by weight; info is for the digest only

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
    "two machines",
    "unplaceable",
)

MINUTE: Final = 60_000
HOUR: Final = 3_600_000
DAY: Final = 86_400_000


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """When something is wrong enough to be an incident. The first that fits a check (of its ``on``) holds for it."""

    id: str
    # of CONDITION_TYPES. down, degraded: the state of the checks that ``select`` finds. silent: an agent that is not
    # heard. clock: an agent's wall clock that is off. risk: a goal's error budget that burns too fast; missed: a goal
    # that is missed. finding: what ingest noticed (a broken chain, dead letters ...). collector: its own problems.
    on: str
    select: Selector = Selector()
    names: tuple[str, ...] = ()  # of on finding and collector, which kinds of it; empty: all
    looks: int = 3  # so many of the last ``out_of`` in that state
    out_of: int = 3
    for_ms: int = 0  # that state for at least so long; for silent and clock, how long not heard, how many ms off
    recover: int = 2  # looks in a better state until it is over
    quiet_ms: int = MINUTE  # how long it has to stay so
    severity: Severity = "critical"
    off: bool = False  # never an incident


class ConditionType(msgspec.Struct, frozen=True, kw_only=True):
    """What a condition may be on. One entry in CONDITION_TYPES is all that a new one takes."""

    name: str  # as ``on:`` has it; the keys of its problems begin with it
    about: Literal["check", "agent", "other"]  # what it is judged of: which routes may take it
    title: str  # of mails and pages about it: English, a catalogue entry
    defaults: tuple[Condition, ...]  # those that hold where the inventory does not change them
    titled: bool = False  # a mail bears its title whatever the cause
    advice: tuple[str, ...] = ()  # what to do first, a catalogue entry each; () where cause or kind of probe decides
    # MODULE:FUNCTION of the collector that finds its problems (collector.evaluator.problems.detectors); "" for those
    # that the evaluator finds itself
    detector: str = ""


def message(text: str) -> str:
    """The text as it is, marked for the catalogue: whoever shows it translates it."""
    return text


def _kinds(*kinds: str) -> Selector:
    return Selector(kinds=kinds)


CONDITION_TYPES: Final[dict[str, ConditionType]] = {
    one.name: one
    for one in (
        ConditionType(
            name="down",
            about="check",
            title=message("Not working"),
            defaults=(
                # a backup, a drill and a job are judged by hours, and judged anew they come out the same
                Condition(
                    id="backup-missed",
                    on="down",
                    select=_kinds("backup", "job", "drill"),
                    looks=1,
                    out_of=1,
                    recover=1,
                ),
                Condition(id="no-power", on="down", select=_kinds("power"), looks=1, out_of=1, recover=1),
                Condition(id="down", on="down"),
            ),
        ),
        ConditionType(
            name="degraded",
            about="check",
            title=message("Working poorly"),
            defaults=(
                Condition(id="on-battery", on="degraded", select=_kinds("power"), looks=2, out_of=2),
                Condition(id="ups", on="degraded", select=_kinds("ups"), for_ms=MINUTE, severity="warning"),
                Condition(id="certificate", on="degraded", select=_kinds("tls"), severity="warning"),
                Condition(id="pcs", on="degraded", select=_kinds("lan"), for_ms=30 * MINUTE, severity="warning"),
                Condition(
                    id="backup-doubtful",
                    on="degraded",
                    select=_kinds("backup", "job", "drill"),
                    looks=1,
                    out_of=1,
                    recover=1,
                    severity="warning",
                ),
                Condition(id="throughput", on="degraded", select=_kinds("throughput"), looks=2, severity="info"),
                Condition(id="degraded", on="degraded", for_ms=15 * MINUTE, severity="warning"),
            ),
        ),
        ConditionType(
            name="silent",
            about="agent",
            title=message("No contact"),
            defaults=(Condition(id="silent", on="silent", for_ms=3 * MINUTE, severity="warning"),),
        ),
        ConditionType(
            name="clock",
            about="agent",
            title=message("Wrong clock"),
            defaults=(Condition(id="clock", on="clock", for_ms=MINUTE, severity="warning"),),  # a minute off
            titled=True,
        ),
        ConditionType(
            name="quarantine",
            about="agent",
            title=message("Agent in quarantine"),
            defaults=(Condition(id="quarantine", on="quarantine"),),
            titled=True,
            detector="collector.evaluator.problems.quarantined:quarantined_agents",
        ),
        ConditionType(
            name="risk",
            about="other",
            title=message("Goal at risk"),
            defaults=(Condition(id="risk", on="risk", severity="warning"),),
            titled=True,
        ),
        ConditionType(
            name="missed",
            about="other",
            title=message("Goal missed"),
            defaults=(Condition(id="missed", on="missed", severity="warning"),),
            titled=True,
        ),
        ConditionType(
            name="finding",
            about="agent",
            title=message("Something odd in the monitoring data"),
            defaults=(
                Condition(id="machines", on="finding", names=("two machines",), severity="warning"),
                Condition(id="finding", on="finding", severity="info"),
            ),
            titled=True,
        ),
        ConditionType(
            name="collector",
            about="other",
            title=message("Trouble of the monitoring system"),
            defaults=(Condition(id="collector", on="collector"),),
            titled=True,
        ),
    )
}


def condition_names() -> tuple[str, ...]:
    """What a condition may be on."""
    return tuple(CONDITION_TYPES)


def default_conditions() -> tuple[Condition, ...]:
    """Those that hold where the inventory does not change them."""
    return tuple(condition for one in CONDITION_TYPES.values() for condition in one.defaults)


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

    conditions: tuple[Condition, ...] = msgspec.field(default_factory=default_conditions)
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
