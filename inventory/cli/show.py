"""Print the inventory for a terminal."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from inventory.base.types import duration_text
from inventory.cli import show_alerting
from inventory.model import goals
from inventory.model.entities import Agency, Backup, Check, Device, Goal, Inventory, Life
from inventory.protocol.plan import Plan

ENTITY_SECTIONS = (
    "agencies",
    "sites",
    "links",
    "devices",
    "agents",
    "backups",
    "goals",
    "contacts",
    "calendars",
    "providers",
)


def counts(inventory: Inventory) -> str:
    """How much there is, in one line."""
    amounts = [
        (len(inventory.agencies), "agency", "agencies"),
        (len(inventory.sites), "site", "sites"),
        (len(inventory.links), "link", "links"),
        (len(inventory.agents), "agent", "agents"),
        (len(inventory.checks), "check", "checks"),
        (len(inventory.goals), "goal", "goals"),
    ]
    return ", ".join(f"{amount} {singular if amount == 1 else plural}" for amount, singular, plural in amounts)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns, the first row their heads."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def overview(inventory: Inventory) -> str:
    """All agencies and goals."""
    checks = Counter(check.agency for check in inventory.checks.values())
    rows = [("agency", "kind", "sites", "checks", "PCs", "name")]
    for agency in inventory.agencies.values():
        pcs = "" if agency.register.pcs is None else str(agency.register.pcs)
        name = agency.name.vi + _life(agency)
        rows.append((agency.id, agency.kind, str(len(agency.sites)), str(checks[agency.id]), pcs, name))
    parts = [table(rows)]
    if inventory.goals:
        parts.append(
            table(
                [("goal", "objective", "members", "name"), *(_goal_row(g, inventory) for g in inventory.goals.values())]
            )
        )
    return "\n\n".join([*parts, counts(inventory)])


def _goal_row(goal: Goal, inventory: Inventory) -> tuple[str, str, str, str]:
    return goal.id, f"{goal.objective:.4g}", str(len(goals.members(goal, inventory))), goal.name.vi


def entity_text(inventory: Inventory, ident: str, now: int) -> str | None:
    """Everything of this id: agencies, sites, backups, links, devices, agents, goals, contacts, calendars, checks by
    uid, what says who is told; who would be told of it, at ``now`` (epoch ms)."""
    parts = []
    for section in ENTITY_SECTIONS:
        entity: Any = getattr(inventory, section).get(ident)
        if entity is not None:
            parts.append(_fields(type(entity).__name__.lower(), entity))
        if isinstance(entity, Agency):
            parts.append(_checks(check for check in inventory.checks.values() if check.agency == ident))
        if isinstance(entity, Backup):
            parts.append(_checks(inventory.checks[uid] for uid in entity.checks))
        if isinstance(entity, Device) and (fed_rows := _fed_by(inventory, entity)):
            parts.append(table([("feeds", "kind", "address", "name"), *fed_rows]))
        if isinstance(entity, Goal):
            members = goals.members(entity, inventory)
            rows = [("member", "checks", "objective", "name")]
            for member in members:
                objective = "" if member.objective is None else f"{member.objective:.4g}"
                rows.append((member.id, str(len(member.checks)), objective, member.name.vi))
            parts.append(table(rows) if members else "no check is a member of this goal")
    if ident in inventory.checks:
        parts.append(_fields("check", inventory.checks[ident]))
    parts += _alerting(inventory, ident, now)
    if notification_table := show_alerting.notification_rows(inventory, ident, now):
        parts.append(table(notification_table))
    return "\n\n".join(part for part in parts if part) or None


def _alerting(inventory: Inventory, ident: str, now: int) -> list[str]:
    """Groups, rosters, routes and conditions of this id, and what a contact is told by."""
    alerting = inventory.alerting
    parts = []
    if ident in inventory.contacts:
        parts.append(table(show_alerting.routes_to_contact(inventory, ident)))
    if ident in alerting.groups:
        parts.append(_fields("group", alerting.groups[ident]))
    if ident in alerting.rosters:
        parts += [
            _fields("roster", alerting.rosters[ident]),
            table(show_alerting.duty_rows(alerting.rosters[ident], inventory, now)),
        ]
    for title, entries in (("route", alerting.routes), ("condition", alerting.conditions)):
        parts += [_fields(title, entry) for entry in entries if entry.id == ident]
    return parts


def _fed_by(inventory: Inventory, ups: Device) -> list[tuple[str, str, str, str]]:
    """What hangs on a UPS: sites as a whole, then devices."""
    sites = [site for site in inventory.sites.values() if ups.id in site.fed_by]
    devices = [device for device in inventory.devices.values() if ups.id in device.fed_by]
    rows = [(site.id, "site", "", site.name.vi) for site in sites]
    return rows + [(device.id, device.kind, device.address, device.name.vi) for device in devices]


def plan(plan: Plan) -> str:
    """An agent's plan as a table."""
    rows = [("uid", "check", "kind", "interval", "timeout", "hold", "parameters")]
    for check in plan.checks:
        params = " ".join(f"{name}={value}" for name, value in check.params.items())
        times = (duration_text(check.interval), duration_text(check.timeout), duration_text(check.hold))
        rows.append((check.uid, check.name, check.kind, *times, params))
    head = f"plan {plan.digest.hex()} of agent {plan.agent} (agency {plan.agency}, site {plan.site})"
    return f"{head}\n{table(rows)}"


def _fields(title: str, thing: Any) -> str:
    rows = [(title, str(getattr(thing, "id", getattr(thing, "uid", ""))))]
    for name in thing.__struct_fields__:
        text = _text(name, getattr(thing, name))
        if name not in ("id", "uid") and text not in ("", "None", "False"):
            rows.append((f"  {name.removesuffix('_ms')}", text))
    return table(rows)


def _text(name: str, value: Any) -> str:
    timed = name in ("interval", "timeout", "hold", "recheck", "push_every", "rpo") or name.endswith("_ms")
    if timed and value is not None:
        return duration_text(value)
    if hasattr(value, "vi"):
        return value.vi if value.vi == value.en else f"{value.vi} / {value.en}"
    if hasattr(value, "__struct_fields__"):
        fields = ((field, getattr(value, field)) for field in value.__struct_fields__)
        return ", ".join(
            f"{field.removesuffix('_ms')} {_text(field, item)}" for field, item in fields if item not in (None, "", ())
        )
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text('', item)}" for key, item in value.items())
    if isinstance(value, tuple):
        return ", ".join(_text("", item) for item in value)
    return str(value)


def _checks(checks: Iterable[Check]) -> str:
    rows = [("check", "agent", "kind", "interval", "uid", "name")]
    for check in checks:
        name = check.title.vi + _life(check)
        rows.append((check.name, check.agent, check.kind, duration_text(check.interval), check.uid, name))
    return table(rows) if len(rows) > 1 else ""


def _life(thing: Life) -> str:
    if thing.begins is None and thing.ends is None:
        return ""
    return f" [{thing.begins or ''}, {thing.ends or ''})"
