"""Assemble the alerting sections of the files into the inventory's alerting."""

from typing import Any

import msgspec

from inventory.assembly.alerting_file_schema import ConditionShape, RosterShape, RotationShape, RouteShape
from inventory.assembly.sections import Sections
from inventory.base.problems import Problem
from inventory.base.types import Text
from inventory.model import alerting
from inventory.times.workdays import hours_of

_FIELD_NAMES = {"for": "for_ms", "quiet": "quiet_ms"}  # keys in files that conditions call otherwise


def alerting_of(sections: Sections, problems: list[Problem]) -> alerting.Alerting:
    """All of it; hours that cannot be read are added to ``problems`` and left out."""
    fields: dict[str, Any] = {
        "conditions": _conditions(sections.conditions),
        "rosters": {ident: _roster(ident, shape, problems) for ident, shape in sections.rosters.items()},
        "groups": {
            ident: alerting.Group(id=ident, name=shape.name or Text(ident, ident), members=shape.members)
            for ident, shape in sections.groups.items()
        },
        "routes": tuple(_route(ident, shape) for ident, shape in sections.routes.items()),
    }
    if (shape := sections.alerting) is not None:
        fields |= {
            "group_ms": shape.group,
            "wait_ms": shape.wait,
            "cap": shape.cap,
            "late_ms": shape.late,
            "flaps": shape.flaps,
            "flap_ms": shape.flaps_within,
            "steady_ms": shape.steady,
            "digest": shape.digest,
        }
    return alerting.Alerting(**fields)


def defaults_by_id() -> dict[str, alerting.Condition]:
    return {condition.id: condition for condition in alerting.default_conditions()}


def _conditions(shapes: dict[str, ConditionShape]) -> tuple[alerting.Condition, ...]:
    """Those of the files as they stand there, then the defaults, with what the files change in them."""
    shipped = defaults_by_id()
    custom = [
        alerting.Condition(id=ident, on=shape.on, **_written_fields(shape))
        for ident, shape in shapes.items()
        if ident not in shipped and shape.on is not None  # without, it is a mistake that crosscheck names
    ]
    defaults = [
        msgspec.structs.replace(default, **_written_fields(shapes[ident])) if ident in shapes else default
        for ident, default in shipped.items()
    ]
    return (*custom, *defaults)


def _written_fields(shape: ConditionShape) -> dict[str, Any]:
    """The fields that were written."""
    names = {field.encode_name: field.name for field in msgspec.structs.fields(ConditionShape)}
    written = [key for key in shape.at.lines if key in names and key != "on"]
    return {_FIELD_NAMES.get(key, key): getattr(shape, names[key]) for key in written}


def _roster(ident: str, shape: RosterShape, problems: list[Problem]) -> alerting.Roster:
    return alerting.Roster(
        id=ident,
        name=shape.name or Text(ident, ident),
        time_zone=shape.time_zone or "",
        shifts=tuple(
            alerting.Shift(hours=hours_of(shift.hours, shift.at, "hours", problems), who=shift.who)
            for shift in shape.shifts
        ),
        rotation=_rotation(shape.rotation) if shape.rotation is not None else None,
        otherwise=shape.otherwise,
    )


def _rotation(shape: RotationShape) -> alerting.Rotation:
    turns = tuple((turn,) if isinstance(turn, str) else turn for turn in shape.turns)
    return alerting.Rotation(begins=shape.begins, days=shape.days, turns=turns)


def _route(ident: str, shape: RouteShape) -> alerting.Route:
    return alerting.Route(
        id=ident,
        select=shape.select,
        severities=shape.severities,
        causes=shape.causes,
        calendar=shape.calendar or "",
        to=shape.to,
        agency_contacts=shape.agency_contacts,
        steps=tuple(alerting.Escalation(after_ms=step.after, to=step.to) for step in shape.escalation),
        repeat_ms=shape.repeat,
        only=shape.only,
    )
