"""Cross-check the alerting sections: unknown names, uncovered hours, routes that never match."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from inventory.assembly.alerting_file_schema import (
    AlertingShape,
    ConditionShape,
    RosterShape,
    RotationShape,
    RouteShape,
)
from inventory.assembly.assemble_alerting import defaults_by_id
from inventory.assembly.crosschecks import reach, references
from inventory.assembly.sections import Sections
from inventory.base.problems import Place, Problem
from inventory.base.types import duration_text
from inventory.grammars.time_zones import zone_named
from inventory.model import entities
from inventory.model.alerting import CONDITION_TYPES, DAY, FINDINGS, HOUR, MINUTE
from inventory.model.rosters import MINUTES_OF_A_WEEK
from inventory.protocol.causes import CAUSES
from inventory.protocol.kinds import Kinds
from inventory.times.workdays import DAYS

# what no province needs more of, and what keeps a slip from making an evaluation slow
MAX_ENTRIES = {"conditions": 1000, "groups": 20_000, "rosters": 20_000, "routes": 1000}
MAX_NAMES, MAX_SHIFTS, MAX_TURNS, MAX_STEPS = 1000, 200, 400, 10
SECOND = 1000
_NUMBERS = {"cap": (1, 1000), "flaps": (2, 100)}
_DURATIONS = {
    "group": (0, HOUR),
    "wait": (0, HOUR),
    "late": (MINUTE, 7 * DAY),
    "flaps_within": (MINUTE, 7 * DAY),
    "steady": (0, 7 * DAY),
}
_CHECK_ONLY_KEYS = ("looks", "out_of", "recover")


def alerting_problems(inventory: entities.Inventory, sections: Sections, kinds: Kinds) -> Iterator[Problem]:
    """All problems and warnings of the sections that say who is told."""
    problems = [*_entry_problems(inventory, sections, kinds)]
    yield from problems
    if not sections.broken and all(problem.warning for problem in problems):  # else it may follow from these
        yield from _ineffective_routes(inventory, sections)


def _entry_problems(inventory: entities.Inventory, sections: Sections, kinds: Kinds) -> Iterator[Problem]:
    yield from _counts(sections)
    yield from _duplicate_ids(sections)
    for group in sections.groups.values():
        yield from _name_problems(group.at, "members", group.members)
        yield from references.recipients(group.at, "members", group.members, sections)
    yield from _cycles(sections)
    for ident, roster in sections.rosters.items():
        yield from _roster(ident, roster, inventory, sections)
    for route in sections.routes.values():
        yield from _route(route, inventory, sections, kinds)
    for ident, condition in sections.conditions.items():
        yield from _condition(ident, condition, inventory, sections, kinds)
    if sections.alerting is not None:
        yield from _alerting(sections.alerting)


def _counts(sections: Sections) -> Iterator[Problem]:
    for section, most in MAX_ENTRIES.items():
        entries: Mapping[str, Any] = getattr(sections, section)
        if len(entries) > most:
            first = next(iter(entries.values())).at
            yield Problem(first.file, first.line, section, f"are {len(entries)}, more than {most}")


def _duplicate_ids(sections: Sections) -> Iterator[Problem]:
    """Groups and routes name contacts, groups and rosters alike, so an id is one of them."""
    for section, among in (("groups", ("contacts",)), ("rosters", ("contacts", "groups"))):
        for ident, entry in getattr(sections, section).items():
            other = next((word for word in among if ident in getattr(sections, word)), None)
            if other is not None:
                yield entry.at.problem("", f"is the id of a {other[:-1]} too; give it another")


def _name_problems(at: Place, key: str, names: tuple[str, ...]) -> Iterator[Problem]:
    if not names:
        yield at.problem(key, "has nobody")
    elif len(names) > MAX_NAMES:
        yield at.problem(key, f"has {len(names)} names, more than {MAX_NAMES}")
    elif len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        yield at.problem(key, f"has {twice} twice")


def _cycles(sections: Sections) -> Iterator[Problem]:
    """Each circle of groups once, at the group by which it is entered first."""
    done: set[str] = set()
    for start in sections.groups:
        path: list[str] = []  # the groups from start to here, each inside the one before it
        waiting: list[Iterator[str]] = [iter((start,))]
        while waiting:
            name = next(waiting[-1], None)
            if name is None:
                waiting.pop()
                if path:
                    done.add(path.pop())
            elif name in path:
                cycle = [*path[path.index(name) :], name]
                yield sections.groups[name].at.problem("members", f"leads back to itself: {' > '.join(cycle)}")
            elif name in sections.groups and name not in done:
                path.append(name)
                waiting.append(iter(sections.groups[name].members))


def _roster(ident: str, shape: RosterShape, inventory: entities.Inventory, sections: Sections) -> Iterator[Problem]:
    at = shape.at
    if shape.time_zone is not None:
        try:
            zone_named(shape.time_zone)
        except ValueError as error:
            yield at.problem("time_zone", str(error))
    if not (shape.shifts or shape.rotation or shape.otherwise):
        yield at.problem("", "has nobody: give shifts, a rotation or otherwise")
        return
    if len(shape.shifts) > MAX_SHIFTS:
        yield at.problem("shifts", f"are {len(shape.shifts)}, more than {MAX_SHIFTS}")
        return
    for shift in shape.shifts:
        yield from _name_problems(shift.at, "who", shift.who)
        yield from references.contacts(shift.at, "who", shift.who, sections)
    yield from references.contacts(at, "otherwise", shape.otherwise, sections)
    if shape.rotation is not None:
        yield from _rotation(shape.rotation, sections)
    if shape.shifts:
        yield from _hours(shape, inventory.alerting.rosters[ident].shifts)


def _rotation(shape: RotationShape, sections: Sections) -> Iterator[Problem]:
    if not 1 <= shape.days <= 366:
        yield shape.at.problem("days", f"{shape.days} is not between 1 and 366")
    if not shape.turns:
        yield shape.at.problem("turns", "has nobody")
    elif len(shape.turns) > MAX_TURNS:
        yield shape.at.problem("turns", f"are {len(shape.turns)}, more than {MAX_TURNS}")
    for index, turn in enumerate(shape.turns):
        names = (turn,) if isinstance(turn, str) else turn
        yield from _name_problems(shape.at, f"turns[{index}]", names)
        yield from references.contacts(shape.at, f"turns[{index}]", names, sections)


def _hours(shape: RosterShape, shifts: Iterable[Any]) -> Iterator[Problem]:
    """Hours of the week that two shifts have, and those that nobody has."""
    covered = bytearray(MINUTES_OF_A_WEEK)  # 1 + the first shift that has the minute
    for index, (written, shift) in enumerate(zip(shape.shifts, shifts, strict=True)):
        in_shift = bytearray(MINUTES_OF_A_WEEK)
        for hours in shift.hours:
            for day in hours.days:
                in_shift[day * 1440 + hours.start : day * 1440 + hours.end] = b"\1" * (hours.end - hours.start)
        twice = [minute for minute in range(MINUTES_OF_A_WEEK) if in_shift[minute] and covered[minute]]
        if twice:
            end = next(
                (m for m in range(twice[0], MINUTES_OF_A_WEEK) if not in_shift[m] or covered[m] != covered[twice[0]]), 0
            )
            message = f"{_hours_text(twice[0], end)} is in shifts[{covered[twice[0]] - 1}] too: both are on duty then"
            yield written.at.problem("hours", message, warning=True)
        for minute in range(MINUTES_OF_A_WEEK):
            if in_shift[minute] and not covered[minute]:
                covered[minute] = index + 1
    free = MINUTES_OF_A_WEEK - sum(map(bool, covered))
    if free and shape.rotation is None and not shape.otherwise:
        first = covered.index(0)
        end = next((minute for minute in range(first, MINUTES_OF_A_WEEK) if covered[minute]), MINUTES_OF_A_WEEK)
        message = f"leave {duration_text(free * MINUTE)} of the week to nobody, first {_hours_text(first, end)}"
        yield shape.at.problem("shifts", f"{message}; say who it is otherwise", warning=True)


def _hours_text(start: int, end: int) -> str:
    """Minutes of the week as people write them; one that goes on for longer is shown to the end of its day."""
    day = start // 1440
    last = min(end or MINUTES_OF_A_WEEK, (day + 1) * 1440) - day * 1440
    first = start - day * 1440
    return f"{DAYS[day]} {first // 60:02}:{first % 60:02}-{last // 60:02}:{last % 60:02}"


def _route(shape: RouteShape, inventory: entities.Inventory, sections: Sections, kinds: Kinds) -> Iterator[Problem]:
    at = shape.at
    yield from references.selector(shape.select, at, inventory, sections, kinds)
    yield from references.calendar(at, "calendar", shape.calendar, sections)
    if not shape.severities:
        yield at.problem("severities", "names none, so the route takes nothing")
    for cause in shape.causes:
        if cause not in CAUSES:
            yield at.problem("causes", f"{cause!r} is not a cause; known are: {', '.join(CAUSES)}")
    if not shape.to and not shape.agency_contacts and not (shape.only and not shape.escalation):
        yield at.problem("to", "has nobody: give to or agency_contacts: true (or only: true, and nobody is told)")
    elif shape.to:
        yield from _name_problems(at, "to", shape.to)
    yield from references.recipients(at, "to", shape.to, sections)
    if shape.repeat and not 10 * SECOND <= shape.repeat <= 30 * DAY:
        yield at.problem("repeat", f"{duration_text(shape.repeat)} is not between 10s and 30d; never is a word for it")
    if len(shape.escalation) > MAX_STEPS:
        yield at.problem("escalation", f"has {len(shape.escalation)} steps, more than {MAX_STEPS}")
    previous_after = 0
    for step in shape.escalation:
        if step.after <= previous_after:
            earlier = f"the step before it, {duration_text(previous_after)}" if previous_after else "0s"
            yield step.at.problem("after", f"{duration_text(step.after)} is not later than {earlier}")
        previous_after = step.after
        yield from _name_problems(step.at, "to", step.to)
        yield from references.recipients(step.at, "to", step.to, sections)


def _condition(
    ident: str, shape: ConditionShape, inventory: entities.Inventory, sections: Sections, kinds: Kinds
) -> Iterator[Problem]:
    at, defaults = shape.at, defaults_by_id()
    default = defaults.get(ident)
    if default is None and shape.on is None:
        yield at.problem("", f"needs the key on: no default condition has this id; they are: {', '.join(defaults)}")
        return
    if default is not None and shape.on not in (None, default.on):
        yield at.problem("on", f"the default condition {ident} is on {default.on}: another one needs an id of its own")
        return
    on = shape.on or default.on if default is not None else shape.on
    of_checks = on in ("down", "degraded")
    unused_keys = {
        **({} if of_checks else dict.fromkeys(_CHECK_ONLY_KEYS)),
        **({} if of_checks or on in ("silent", "clock") or _has_detector(on) else {"for": None}),
        **({} if on in ("finding", "collector") else {"names": None}),
        **({"select": None} if on == "collector" else {}),
    }
    for key in unused_keys:
        if key in at.lines:
            yield at.problem(key, f"means nothing to a condition on {on}")
    for key in _CHECK_ONLY_KEYS:
        if not 1 <= getattr(shape, key) <= 100:
            yield at.problem(key, f"{getattr(shape, key)} is not between 1 and 100")
    effective = next(condition for condition in inventory.alerting.conditions if condition.id == ident)
    if of_checks and effective.looks > effective.out_of:
        key = "looks" if "looks" in at.lines else "out_of"
        yield at.problem(key, f"{effective.looks} looks out of the last {effective.out_of} there cannot be")
    for name in shape.names if on == "finding" else ():
        if name not in FINDINGS:
            yield at.problem("names", f"there is no finding {name!r}; known are: {', '.join(FINDINGS)}")
    unknown_references = [*references.selector(shape.select, at, inventory, sections, kinds)]
    yield from unknown_references
    if not (
        unknown_references or shape.select.everything or sections.broken or reach.any_subject(shape.select, inventory)
    ):
        yield at.problem("select", "selects no check and no agent", warning=True)


def _has_detector(on: str | None) -> bool:
    condition_type = CONDITION_TYPES.get(on or "")
    return condition_type is not None and bool(condition_type.detector)


def _alerting(shape: AlertingShape) -> Iterator[Problem]:
    for key, (low, high) in _NUMBERS.items():
        if not low <= (value := getattr(shape, key)) <= high:
            yield shape.at.problem(key, f"{value} is not between {low} and {high}")
    for key, (low, high) in _DURATIONS.items():
        if not low <= (value := getattr(shape, key)) <= high:
            limits = f"{duration_text(low)} and {duration_text(high)}"
            yield shape.at.problem(key, f"{duration_text(value)} is not between {limits}")


def _ineffective_routes(inventory: entities.Inventory, sections: Sections) -> Iterator[Problem]:
    """Routes that take nothing, and incidents that reach nobody; none where nobody is to be told at all."""
    if not sections.contacts:
        return
    survey = reach.survey(inventory)
    for ident, why in survey.idle.items():
        yield sections.routes[ident].at.problem("", why, warning=True)
    if survey.unreached:
        at = next(reversed(sections.routes.values())).at
        yield Problem(at.file, at.line, "routes", survey.unreached, warning=True)
