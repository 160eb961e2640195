"""Cross-check the whole inventory: unknown references, lives that end before they begin, goals without checks."""

import re
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from inventory.assembly.assemble import UPS, feeder_ids
from inventory.assembly.crosschecks import references
from inventory.assembly.crosschecks.alerting import alerting_problems
from inventory.assembly.expand import REGISTER
from inventory.assembly.file_schema import (
    AgencyShape,
    AgentShape,
    BackupShape,
    CheckShape,
    GoalShape,
    LifeShape,
    LinkShape,
    SiteShape,
)
from inventory.assembly.sections import Sections
from inventory.base.problems import Problem
from inventory.grammars.time_zones import zone_named
from inventory.model import entities, goals
from inventory.protocol.causes import CAUSES
from inventory.protocol.kinds import Kind, Kinds

WINDOW = re.compile(r"day|week|month|quarter|year|rolling-([1-9]\d{0,2})d")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?", re.ASCII)
_EMAIL = re.compile(r"[^@\s,;:<>()\[\]\"\\]{1,64}@[^@\s,;:<>()\[\]\"\\]{1,255}")


def crosscheck(inventory: entities.Inventory, sections: Sections, kinds: Kinds) -> Iterator[Problem]:
    """All problems and warnings that only the whole shows."""
    yield from _province(sections)
    for ident, agency in sections.agencies.items():
        yield from _agency(ident, agency, inventory, sections)
    for ident, register in sections.registers.items():
        if ident not in sections.agencies and not sections.may_be_broken("agencies", ident):
            yield register.at.problem("", f"there is no agency {ident}")
    yield from _checks(inventory, sections, kinds)
    for goal_id, goal in sections.goals.items():
        yield from _goal(goal_id, goal, inventory, sections, kinds)
    for exclusion in sections.exclusions.values():
        yield from references.selector(exclusion.select, exclusion.at, inventory, sections, kinds)
        if exclusion.ends <= exclusion.begins:
            yield exclusion.at.problem("to", "ought to be later than from")
        elif not goals.select(exclusion.select, inventory):
            yield exclusion.at.problem("select", "selects no check", warning=True)
    for contact in sections.contacts.values():
        if _EMAIL.fullmatch(contact.email) is None:
            yield contact.at.problem("email", f"{contact.email!r} is not an address")
    yield from alerting_problems(inventory, sections, kinds)
    for year, decreed in sections.holidays.items():
        for day in (*decreed.off, *decreed.work):
            if day.year != year:
                yield decreed.at.problem("", f"{day} is not a day of {year}")


def _province(sections: Sections) -> Iterator[Problem]:
    province = sections.province
    if province is None:
        return
    yield from references.calendar(province.at, "pc_hours", province.pc_hours, sections)
    try:
        zone_named(province.time_zone)
    except ValueError as error:
        yield province.at.problem("time_zone", str(error))
    for collector in province.collectors:
        if urlsplit(collector.url).scheme != "https" or not urlsplit(collector.url).hostname:
            yield collector.at.problem("url", "ought to be an https:// address")
    names = [collector.name for collector in province.collectors]
    if len(set(names)) < len(names):
        yield province.at.problem("collectors", "two collectors have the same name")
    if names and sum(collector.authority for collector in province.collectors) != 1:
        yield province.at.problem("collectors", "exactly one collector ought to be the authority for plans")


def _agency(ident: str, shape: AgencyShape, inventory: entities.Inventory, sections: Sections) -> Iterator[Problem]:
    yield from _life(shape)
    for key, other in (("successor", shape.successor), ("parent", shape.parent)):
        if other == ident:
            yield shape.at.problem(key, "is the agency itself")
        elif other is not None and other not in sections.agencies and not sections.may_be_broken("agencies", other):
            yield shape.at.problem(key, f"there is no agency {other}")
    successor = sections.agencies.get(shape.successor or "")
    if shape.successor is not None and shape.ends is None:
        yield shape.at.problem("successor", "an agency with a successor needs the day it ended: to")
    elif successor is not None and successor.ends is not None and shape.ends and successor.ends <= shape.ends:
        yield shape.at.problem("successor", f"{shape.successor} ended before this agency did")
    yield from references.contacts(shape.at, "contacts", shape.contacts, sections)
    register = shape.register or sections.registers.get(ident)
    if register is not None:
        for key in ("staff", "pcs", "on_internet", "on_lan"):
            value: int | None = getattr(register, key)
            if value is not None and value < 0:
                yield register.at.problem(key, "is less than 0")
            if key.startswith("on_") and value is not None and register.pcs is not None and value > register.pcs:
                yield register.at.problem(key, f"is more than the {register.pcs} PCs there are", warning=True)
        yield from references.calendar(register.at, "hours", register.hours, sections)
    for key, site in ((ident, shape.site), *((f"{ident}-{key}", site) for key, site in shape.sites.items())):
        if site is not None:
            yield from _site(site, sections)
            yield from _power_feeds(key, site, inventory, sections)


def _site(shape: SiteShape, sections: Sections) -> Iterator[Problem]:
    yield from _life(shape)
    for key in ("gateway", "wan"):
        value = getattr(shape, key)
        if value is not None and not _is_host(value):
            yield shape.at.problem(key, f"{value!r} is neither an address nor a host name")
    for index, resolver in enumerate(shape.resolvers):
        if not _is_address(resolver):
            yield shape.at.problem(f"resolvers[{index}]", f"{resolver!r} is not an address")
    if shape.lan is not None and not _is_network(shape.lan):
        yield shape.at.problem("lan", f"{shape.lan!r} is not a network; write it like 192.0.2.0/24")
    for link in (*((shape.link,) if shape.link is not None else ()), *shape.links.values()):
        yield from _link(link, sections)
    for device in shape.devices.values():
        yield from _life(device)
    if isinstance(shape.agent, AgentShape):
        yield from _life(shape.agent)
        for index, network in enumerate(shape.agent.networks):
            if not _is_network(network):
                yield shape.agent.at.problem(f"networks[{index}]", f"{network!r} is not a network")
        for index, port in enumerate(shape.agent.ports):
            if not 1 <= port <= 65535:
                yield shape.agent.at.problem(f"ports[{index}]", f"{port} is not a port")


def _power_feeds(ident: str, shape: SiteShape, inventory: entities.Inventory, sections: Sections) -> Iterator[Problem]:
    """Power comes from UPSs of the same site, and a UPS does not feed itself."""
    fed_entries = [(shape.at, shape.fed_by, "")]
    fed_entries += [(device.at, device.fed_by or (), f"{ident}-{key}") for key, device in shape.devices.items()]
    for at, short_names, own_id in fed_entries:
        for short, feeder in zip(short_names, feeder_ids(short_names, ident, shape), strict=True):
            device = inventory.devices.get(feeder)
            if device is None:
                if not sections.may_be_broken("sites", ident):
                    yield at.problem("fed_by", f"there is no device {short}")
            elif device.site != ident:
                yield at.problem("fed_by", f"{short} stands at another site, {device.site}")
            elif device.kind != UPS:
                yield at.problem("fed_by", f"{short} is a device of kind {device.kind or 'none'}, not ups")
            elif feeder == own_id:
                yield at.problem("fed_by", "is the device itself")


def _link(shape: LinkShape, sections: Sections) -> Iterator[Problem]:
    yield from _life(shape)
    for at, provider in ((shape.at, shape.provider), *((former.at, former.provider) for former in shape.formerly)):
        if provider not in sections.providers and not sections.may_be_broken("providers", provider):
            yield at.problem("provider", f"there is no provider {provider}")


def _life(shape: LifeShape) -> Iterator[Problem]:
    if shape.begins is not None and shape.ends is not None and shape.ends <= shape.begins:
        yield shape.at.problem("to", f"{shape.ends} is not later than from, {shape.begins}")


def _checks(inventory: entities.Inventory, sections: Sections, kinds: Kinds) -> Iterator[Problem]:
    for agency in sections.agencies.values():
        sites = (*((agency.site,) if agency.site is not None else ()), *agency.sites.values())
        for holder in (agency, *sites):
            for entry in _check_shapes(holder.checks, holder.backups):
                yield from _life(entry)
                if entry.calendar != REGISTER:
                    yield from references.calendar(entry.at, "calendar", entry.calendar, sections)
    for template in sections.templates.values():
        for entry in _check_shapes(template.checks, template.backups):
            if entry.calendar != REGISTER:
                yield from references.calendar(entry.at, "calendar", entry.calendar, sections)
    limited_agents = {agent.id: agent for agent in inventory.agents.values() if agent.networks or agent.ports}
    for check in inventory.checks.values() if limited_agents else ():
        agent = limited_agents.get(check.agent)
        if agent is not None and (reason := _why_forbidden(check, kinds[check.kind], agent)):
            shape = sections.agencies[inventory.sites[agent.site].agency]
            yield shape.at.problem("", f"the agent {check.agent} may not make its check {check.name}: {reason}")


def _check_shapes(checks: dict[str, CheckShape], backups: dict[str, BackupShape]) -> Iterator[CheckShape | BackupShape]:
    """Checks, backups and their evidence, wherever they stand."""
    yield from checks.values()
    for backup in backups.values():
        yield backup
        yield from backup.evidence.values()


def _why_forbidden(check: entities.Check, kind: Kind, agent: entities.Agent) -> str:
    """Why the agent's own limits refuse a check, as far as its target's address is written out."""
    written = (check.params[name] for name in kind.addressed_by if name in check.params)
    host, port = str(next(written, "")), check.params.get("port")
    if "://" in host:
        url = urlsplit(host)
        host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    if agent.networks and _is_address(host):
        address = ip_address(host)
        networks = [ip_network(network, strict=False) for network in agent.networks if _is_network(network)]
        if not any(address.version == network.version and address in network for network in networks):
            return f"{host} is outside its networks"
    if agent.ports and isinstance(port, int) and port not in agent.ports:
        return f"port {port} is not one of its ports"
    return ""


def _goal(
    ident: str, shape: GoalShape, inventory: entities.Inventory, sections: Sections, kinds: Kinds
) -> Iterator[Problem]:
    at = shape.at
    yield from _life(shape)
    yield from references.selector(shape.select, at, inventory, sections, kinds)
    if shape.objective is None and not shape.targets:
        yield at.problem("", "needs an objective, or targets by year")
    for window in shape.windows:
        if WINDOW.fullmatch(window) is None:
            yield at.problem("windows", f"{window!r} is not a window: day, week, month, quarter, year or rolling-30d")
    for cause in shape.causes:
        if cause not in CAUSES:
            yield at.problem("causes", f"{cause!r} is not a cause; known are: {', '.join(CAUSES)}")
    yield from references.calendar(at, "calendar", shape.calendar, sections)
    if (shape.combine == "k-of-n") != (shape.k is not None):
        yield at.problem("k", "is how many of the members are to be up: it goes with combine: k-of-n, and only there")
    members = goals.members(inventory.goals[ident], inventory)
    if shape.k is not None and not 1 <= shape.k <= max(len(members), 1):
        yield at.problem("k", f"ought to be between 1 and the {len(members)} members")
    if shape.denominator is not None and (shape.combine != "share" or shape.denominator < max(len(members), 1)):
        yield at.problem("denominator", f"goes with combine: share, and is at least the {len(members)} members found")
    if not members and not shape.lacks and not sections.broken:
        yield at.problem("select", "selects no check, and the goal does not say what it lacks", warning=True)
    if shape.combine == "share":
        without_objective = [member.id for member in members if member.objective is None]
        if without_objective:
            message = (
                f"{len(without_objective)} members have no objective of their own (the first is {without_objective[0]})"
            )
            yield at.problem("member_objective", message)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _is_host(text: str) -> bool:
    """An address or a host name; four numbers that are no address are neither."""
    labels = text.split(".")
    is_name = len(text) <= 253 and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdigit()
    return is_name or _is_address(text)
