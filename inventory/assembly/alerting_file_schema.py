"""Schema of the alerting sections of inventory files: groups, rosters, routes, conditions, alerting.

See inventory.model.alerting for what each field means. A number that stands beside a key here is the default.
"""

from datetime import date
from typing import Annotated

import msgspec

from inventory.base.problems import NOWHERE, Place
from inventory.base.types import Duration, Slug, Text
from inventory.model.alerting import Severity, condition_names
from inventory.model.selectors import Selector

Daily = Annotated[int | None, msgspec.Meta(extra={"reader": "daily"}, description="07:00, or never")]
ConditionName = Annotated[str, msgspec.Meta(extra={"choices": condition_names})]
Repeat = Annotated[int, msgspec.Meta(extra={"reader": "repeat"}, description="4h, or never")]


class GroupShape(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts, rosters and other groups under one name."""

    name: Text | None = None
    members: tuple[Slug, ...]
    at: Place = NOWHERE


class ShiftShape(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on duty in these hours, written like a calendar's: mon-fri: ["07:00-17:00"]. 22:00-06:00 ends tomorrow."""

    hours: dict[str, tuple[str, ...]]
    who: tuple[Slug, ...]
    at: Place = NOWHERE


class RotationShape(msgspec.Struct, frozen=True, kw_only=True, rename={"begins": "from"}):
    """Turns, one after another, the first from this day on. A turn is one contact or a list of them."""

    begins: date
    days: int = 7
    turns: tuple[Slug | tuple[Slug, ...], ...]
    at: Place = NOWHERE


class RosterShape(msgspec.Struct, frozen=True, kw_only=True):
    """Who is on duty when: the shifts; where none holds, the rotation's turn; else ``otherwise``."""

    name: Text | None = None
    time_zone: str | None = None
    shifts: tuple[ShiftShape, ...] = ()
    rotation: RotationShape | None = None
    otherwise: tuple[Slug, ...] = ()
    at: Place = NOWHERE


class EscalationShape(msgspec.Struct, frozen=True, kw_only=True):
    """Whom else to tell when nobody has acknowledged that long after the first notice."""

    after: Duration
    to: tuple[Slug, ...]
    at: Place = NOWHERE


class RouteShape(msgspec.Struct, frozen=True, kw_only=True):
    """Which incidents go to whom. ``only``: routes below this one are not asked about them."""

    select: Selector = Selector()
    severities: tuple[Severity, ...] = ("warning", "critical")
    causes: tuple[str, ...] = ()
    calendar: Slug | None = None
    to: tuple[Slug, ...] = ()
    agency_contacts: bool = False
    escalation: tuple[EscalationShape, ...] = ()
    repeat: Repeat = 4 * 3_600_000
    only: bool = False
    at: Place = NOWHERE


class ConditionShape(msgspec.Struct, frozen=True, kw_only=True, rename={"lasting": "for"}):
    """When something is an incident. With the id of a default one, what is given here changes that one."""

    on: ConditionName | None = None
    select: Selector = Selector()
    names: tuple[str, ...] = ()
    looks: int = 3
    out_of: int = 3
    lasting: Duration = 0
    recover: int = 2
    quiet: Duration = 60_000
    severity: Severity = "critical"
    off: bool = False
    at: Place = NOWHERE


class AlertingShape(msgspec.Struct, frozen=True, kw_only=True):
    """How mails are grouped, held back and summed up: for all who are told."""

    group: Duration = 2_000
    wait: Duration = 35_000
    cap: int = 20
    late: Duration = 15 * 60_000
    flaps: int = 6
    flaps_within: Duration = 3_600_000
    steady: Duration = 15 * 60_000
    digest: Daily = 7 * 60
    at: Place = NOWHERE
