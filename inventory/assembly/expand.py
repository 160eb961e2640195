"""Expand templates: a site's few lines become its checks, with parameters filled in from the site.

A template's texts may hold placeholders, which :mod:`inventory.assembly.site_facts` fills; under ``each`` also
{item} (a list's entry, a device's address), {key}, {item_name} and a device's own facts. {port|22} is 22 where
there is no such fact. ``when: FACT, FACT`` leaves a check out where one of these is missing. ``calendar: register``
is the calendar in which the register's PCs are on. A site's own check of the same key overrides the template's, key
by key; ``off: true`` leaves it out.
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import Any

import msgspec

from inventory.assembly import backups
from inventory.assembly.file_schema import BackupShape, CheckShape, SiteShape, ThresholdShape
from inventory.assembly.placeholders import MissingFact, fill, fill_title, split_list
from inventory.assembly.sections import Sections
from inventory.assembly.site_facts import HUB, facts_of
from inventory.assembly.threshold_text import threshold_of
from inventory.base.problems import Place, Problem
from inventory.base.types import Text
from inventory.grammars.probe_judges import ParamsValidator
from inventory.model import entities
from inventory.model.entities import overlap
from inventory.protocol.identity import uid
from inventory.protocol.kinds import Kind, Kinds
from inventory.protocol.plan import Threshold
from inventory.yaml.nodes import MappingNode, Node, ScalarNode
from inventory.yaml.scalars import INVALID, Source, describe

INTERVAL, TIMEOUT, RECHECK = 60_000, 5_000, 5_000
REGISTER = "register"
_NOT_SLUG = re.compile(r"[^a-z0-9]+")

Item = tuple[str, dict[str, str], tuple[Text, Text] | None, entities.Device | None]


class SiteExpansion(msgspec.Struct, frozen=True):
    """One site to expand: what it is, what was written, and where to point when a template does not fit it."""

    site: entities.Site
    shape: SiteShape
    template: str | None
    checks: dict[str, CheckShape]
    backups: dict[str, BackupShape]
    at: Place


class CheckDraft(msgspec.Struct, frozen=True):
    """A check before its parameters are read: the template's shape, the site's own, and the facts to fill in."""

    key: str
    template_shape: CheckShape | None
    override: CheckShape | None
    facts: dict[str, str]
    names: tuple[Text, Text] | None = None
    device: entities.Device | None = None
    backup: entities.Backup | None = None
    evidence: str = ""

    def value(self, name: str, yaml_key: str = "") -> Any:
        """A field's value: the site's own if written there, else the template's."""
        if self.override is not None and (self.template_shape is None or (yaml_key or name) in self.override.at.lines):
            return getattr(self.override, name)
        return getattr(self.template_shape, name)

    def written_at(self, key: str) -> Place | None:
        """Where a field was written, if it was."""
        for shape in (self.override, self.template_shape):
            if shape is not None and key in shape.at.lines:
                return shape.at
        return None


class TemplateExpander:
    """Expands sites one after another into ``made``."""

    def __init__(
        self,
        sections: Sections,
        kinds: Kinds,
        problems: list[Problem],
        inventory: entities.Inventory,
        validate_params: ParamsValidator | None = None,
    ) -> None:
        self.sections = sections
        self.kinds = kinds
        self.problems = problems
        self.inventory = inventory
        self.validate_params = validate_params
        self.names: dict[tuple[str, str], entities.Check] = {}
        self.hub: entities.Site | None = None

    def find_hub(self) -> None:
        """The province's hub, once all sites are known."""
        self.hub = self.inventory.sites.get(self.inventory.province.hub)
        province = self.sections.province
        hub_id = province.hub if province is not None else None
        if province is not None and hub_id and self.hub is None and not self.sections.may_be_broken("sites", hub_id):
            self.problems.append(province.at.problem("hub", f"there is no site {hub_id}"))

    def expand(self, expansion: SiteExpansion) -> None:
        hub = self.inventory.sites.get(expansion.shape.hub) if expansion.shape.hub else self.hub
        if expansion.shape.hub and hub is None and not self.sections.may_be_broken("sites", expansion.shape.hub):
            self.problems.append(expansion.shape.at.problem("hub", f"there is no site {expansion.shape.hub}"))
        facts = facts_of(self.inventory, expansion.site, hub)
        for draft in self._check_drafts(expansion, facts):
            self._check(draft, expansion, hub)

    def _check_drafts(self, expansion: SiteExpansion, facts: dict[str, str]) -> Iterator[CheckDraft]:
        template = None
        if expansion.template is not None:
            template = self.sections.templates.get(expansion.template)
            if template is None and not self.sections.may_be_broken("templates", expansion.template):
                template_ids = ", ".join(sorted(self.sections.templates))
                self.problems.append(
                    expansion.at.problem(
                        "template", f"there is no template {expansion.template}; known: {template_ids}"
                    )
                )
        base = template.checks if template is not None else {}
        expanded_keys: set[str] = set()
        for key, shape in base.items():
            for item in self._items(key, shape, expansion, facts):
                if backups.facts_present(shape, item[1]):
                    expanded_keys.add(item[0])
                    yield from self._template_drafts(item, shape, expansion.checks.get(item[0]))
        for key, own in expansion.checks.items():
            if key not in expanded_keys and not own.off:
                yield CheckDraft(key, None, own, facts)
            elif key not in expanded_keys and key not in base:
                self.problems.append(own.at.problem("off", "there is no such check to leave out"))
        yield from self._backup_drafts(template.backups if template is not None else {}, expansion, facts)

    def _backup_drafts(
        self, base: dict[str, BackupShape], expansion: SiteExpansion, facts: dict[str, str]
    ) -> Iterator[CheckDraft]:
        """A template's backups, with what the site says of them, and the site's own."""
        expanded_keys: set[str] = set()
        for key, shape in base.items():
            for item in self._items(key, shape, expansion, facts):
                if backups.facts_present(shape, item[1]):
                    expanded_keys.add(item[0])
                    yield from self._evidence_drafts(item, shape, expansion.backups.get(item[0]), expansion)
        for key, own in expansion.backups.items():
            if key not in expanded_keys and own.off:
                self.problems.append(own.at.problem("off", "there is no such backup to leave out"))
            elif key not in expanded_keys:
                if not own.evidence:
                    self.problems.append(own.at.problem("", "needs the key evidence: what proves it"))
                yield from self._evidence_drafts((key, facts, None, None), None, own, expansion)

    def _evidence_drafts(
        self, item: Item, base: BackupShape | None, own: BackupShape | None, expansion: SiteExpansion
    ) -> Iterator[CheckDraft]:
        key, facts, names, device = item
        if own is not None and own.off:
            return
        site = expansion.site
        own_name = own.name if own is not None and own.name is not None else base.name if base is not None else None
        title = own_name or (names[0] if names is not None else Text(key, key))
        if base is not None and own_name is base.name:
            title = self._filled_title(title, facts, names, site)
        backup = entities.Backup(id=f"{site.id}-{key}", key=key, name=title, agency=site.agency, site=site.id)
        if backup.id in self.inventory.backups:
            shape = own if own is not None else base
            assert shape is not None  # a backup comes from one or the other
            self.problems.append(shape.at.problem("", f"the backup id {backup.id} is taken by another site's"))
            return
        if base is not None:
            present = {name: shape for name, shape in base.evidence.items() if backups.facts_present(shape, facts)}
            base = msgspec.structs.replace(base, evidence=present)
        for evidence, base_shape, own_shape in backups.checks_of(key, base, own, self.kinds):
            yield CheckDraft(f"{key}-{evidence}", base_shape, own_shape, facts, names, device, backup, evidence)

    def _template_drafts(self, item: Item, base: CheckShape, own: CheckShape | None) -> Iterator[CheckDraft]:
        """A template's check for this site, with what the site says of it; none if it is left out."""
        if own is not None and own.off:
            return
        if own is not None and own.kind is not None and own.kind != base.kind:
            # another kind: the template's parameters and thresholds mean nothing to it
            base = msgspec.structs.replace(base, params=None, thresholds=None)
        key, facts, names, device = item
        yield CheckDraft(key, base, own, facts, names, device)

    def _items(
        self, key: str, shape: CheckShape | BackupShape, expansion: SiteExpansion, facts: dict[str, str]
    ) -> Iterator[Item]:
        """What a template's entry stands for at this site: (key, facts, names, device) of each."""
        if shape.agent is None and not expansion.site.agent:
            return
        if shape.each is None:
            yield key, facts, None, None
        elif shape.each == "devices":
            for device in (self.inventory.devices[ident] for ident in expansion.site.devices):
                if not device.address or (shape.of is not None and device.kind != shape.of):
                    continue
                slug = device.id.removeprefix(f"{expansion.site.id}-")
                item_facts = {**facts, **device.facts, "item": device.address, "key": slug}
                yield f"{key}-{slug}", item_facts, (device.name, device.name), device
        else:
            entries = expansion.shape.resolvers if shape.each == "resolvers" else split_list(facts.get(shape.each, ""))
            for entry in entries:
                slug = _NOT_SLUG.sub("-", entry.lower()).strip("-")
                yield f"{key}-{slug}", {**facts, "item": entry, "key": slug}, None, None

    def _check(self, draft: CheckDraft, expansion: SiteExpansion, hub: entities.Site | None) -> None:
        shape = draft.override or draft.template_shape
        assert shape is not None  # a draft comes from one or the other
        agent = self._agent_id(draft, expansion, hub)
        kind = self._kind(draft, shape)
        if agent is None or kind is None:
            return
        times = self._times(draft, shape)
        params = self._params(draft, kind, expansion)
        thresholds = self._thresholds(draft, kind, expansion)
        if times is None or params is INVALID or thresholds is None:
            return
        site = expansion.site
        prefix = "" if self.inventory.agents[agent].site == site.id else f"{site.id}."
        name = prefix + draft.key
        formerly = draft.value("formerly")
        if formerly and "." not in formerly:
            formerly = prefix + formerly
        begins, ends = self._life(draft, site, agent)
        if begins is not None and ends is not None and ends <= begins:
            return  # the site, the device and the agent were never there together
        check = entities.Check(
            uid=uid(agent, formerly or name, kind.name, kind.targets(params)),
            name=name,
            key=draft.key,
            agent=agent,
            agency=site.agency,
            site=site.id,
            kind=kind.name,
            interval=times[0],
            timeout=times[1],
            hold=times[2],
            recheck=times[3],
            title=self._title(draft, expansion),
            params=params,
            thresholds=thresholds,
            formerly=formerly,
            tags=(*draft.value("tags"), *(draft.device.tags if draft.device is not None else ())),
            link=self._link(draft, shape, site),
            objective=draft.value("objective"),
            calendar=self._calendar(draft, site),
            backup=draft.backup.id if draft.backup is not None else "",
            begins=begins,
            ends=ends,
        )
        self._add_check(check, shape.at if draft.override is not None else expansion.at)
        if draft.backup is not None and self.inventory.checks.get(check.uid) is check:
            backup = self.inventory.backups.get(check.backup, draft.backup)
            self.inventory.backups[check.backup] = backups.with_check(backup, draft.evidence, check, self.kinds)

    def _add_check(self, check: entities.Check, at: Place) -> None:
        if self.validate_params is not None and (reason := self.validate_params(check.kind, check.params)):
            own = "params" if "params" in at.lines else ""
            self.problems.append(at.problem(own, reason if own else f"the check {check.name}: {reason}"))
            return
        same_name = self.names.get((check.agent, check.name))
        if same_name is not None:
            self.problems.append(at.problem("", f"the agent {check.agent} already has a check {check.name}"))
            return
        same_uid = self.inventory.checks.get(check.uid)
        if same_uid is not None:
            disjoint = (same_uid.ends and check.begins and same_uid.ends <= check.begins) or (
                check.ends and same_uid.begins and check.ends <= same_uid.begins
            )
            explanation = "one identity has one life: give this one no formerly" if disjoint else "their lives overlap"
            whose = f"{same_uid.name} of agent {same_uid.agent}"
            message = f"has the same identity as {whose} (name, kind and target); {explanation}"
            self.problems.append(at.problem("", message))
            return
        self.names[check.agent, check.name] = check
        self.inventory.checks[check.uid] = check

    def _agent_id(self, draft: CheckDraft, expansion: SiteExpansion, hub: entities.Site | None) -> str | None:
        """The agent that looks; None if there is none (and, when that is a mistake, it was reported)."""
        agent_id = draft.value("agent")
        at = draft.written_at("agent") or expansion.at
        if agent_id == HUB:
            if hub is None:
                if not self.sections.broken:
                    self.problems.append(at.problem("agent", "hub needs a hub: name its site under province, as hub"))
                return None
            if hub.id == expansion.site.id:
                return None  # the hub does not look at itself over the WAN
            agent_id = hub.agent
        if agent_id is None:
            if not expansion.site.agent and not self.sections.broken:
                shape = draft.override.at if draft.override is not None else expansion.at
                self.problems.append(
                    shape.problem("", f"the site {expansion.site.id} has no agent: say agent: ID or hub")
                )
            return expansion.site.agent or None
        if agent_id not in self.inventory.agents:
            if not self.sections.may_be_broken("agents", agent_id):
                self.problems.append(at.problem("agent", f"there is no agent {agent_id!r}"))
            return None
        return str(agent_id)

    def _kind(self, draft: CheckDraft, shape: CheckShape) -> Kind | None:
        name = draft.value("kind")
        if name is None:
            self.problems.append(shape.at.problem("", "needs the key kind (no template here has a check of this name)"))
            return None
        kind = self.kinds.get(name)
        if kind is None:
            at = draft.written_at("kind") or shape.at
            self.problems.append(at.problem("kind", self.kinds.unknown(name)))
        return kind

    def _times(self, draft: CheckDraft, shape: CheckShape) -> tuple[int, int, int, int] | None:
        """Interval, timeout, hold, recheck in ms; None after a problem."""
        interval = draft.value("interval")
        interval = INTERVAL if interval is None else interval
        timeout = draft.value("timeout")
        timeout = min(TIMEOUT, interval) if timeout is None else timeout
        hold = draft.value("hold")
        hold = 2 * interval + timeout if hold is None else hold
        recheck = draft.value("recheck")
        recheck = min(RECHECK, interval) if recheck is None else recheck
        limits = [
            ("interval", interval < 1000, "is shorter than 1s"),
            ("interval", interval > 86_400_000, "is longer than a day"),
            ("timeout", timeout < 10, "is shorter than 10ms"),
            ("timeout", timeout > interval, "is longer than the interval"),
            ("recheck", recheck < 1000, "is shorter than 1s"),
            ("recheck", recheck > interval, "is longer than the interval"),
            ("hold", hold < interval + timeout, "is shorter than interval + timeout: every look would lapse"),
        ]
        valid = True
        for key, violated, message in limits:
            if violated:
                valid = False
                self.problems.append((draft.written_at(key) or shape.at).problem(key, message))
        return (interval, timeout, hold, recheck) if valid else None

    def _params(self, draft: CheckDraft, kind: Kind, expansion: SiteExpansion) -> Any:
        """The parameters: the template's with placeholders filled, the site's own on top."""
        nodes: dict[str, Node] = {}
        at = expansion.at
        path = f"{at.path}: check {draft.key} of the template"
        lines: dict[str, int] = {}
        problems: list[Problem] = []
        if draft.template_shape is None and draft.override is not None:
            at, path = draft.override.at, f"{draft.override.at.path}.params"
        for shape in (draft.template_shape, draft.override):
            if shape is None or shape.params is None:
                continue
            if not isinstance(shape.params, MappingNode):
                self.problems.append(
                    shape.at.problem("params", f"ought to be a mapping, found {describe(shape.params)}")
                )
                return INVALID
            for name, node in shape.params.items.items():
                try:
                    nodes[name] = fill(node, draft.facts, at.line) if shape is draft.template_shape else node
                except MissingFact as lacking:
                    if (
                        draft.override is None
                        or draft.override.params is None
                        or name not in draft.override.params.items
                    ):
                        message = f"the check {draft.key} of the template {expansion.template} needs {lacking}"
                        problems.append(at.problem("", message))
            if shape is draft.override:
                at, path, lines = shape.at, f"{shape.at.path}.params", shape.params.lines
        if problems:
            self.problems.extend(problems)
            return INVALID
        line = draft.override.at.lines.get("params", at.line) if draft.override is not None else at.line
        return kind.read(nodes, line, path, lines, Source(at.file, self.problems))

    def _thresholds(self, draft: CheckDraft, kind: Kind, expansion: SiteExpansion) -> tuple[Threshold, ...] | None:
        shapes: tuple[ThresholdShape, ...] = draft.value("thresholds") or ()
        if draft.template_shape is not None and shapes is draft.template_shape.thresholds:
            try:
                shapes = tuple(_fill_threshold(shape, draft.facts) for shape in shapes)
            except MissingFact as lacking:
                message = f"the check {draft.key} of the template {expansion.template} needs {lacking}"
                self.problems.append(expansion.at.problem("", message))
                return None
        thresholds = [threshold_of(shape, kind, self.problems) for shape in shapes]
        valid = tuple(threshold for threshold in thresholds if threshold is not None)
        return valid if len(valid) == len(thresholds) else None

    def _calendar(self, draft: CheckDraft, site: entities.Site) -> str:
        calendar: str = draft.value("calendar") or ""
        return self.inventory.agencies[site.agency].register.hours if calendar == REGISTER else calendar

    def _life(self, draft: CheckDraft, site: entities.Site, agent: str) -> tuple[date | None, date | None]:
        lives: list[entities.Life] = [site, self.inventory.agents[agent]]
        if draft.device is not None:
            lives.append(draft.device)
        own = (draft.value("begins", "from"), draft.value("ends", "to"))
        return overlap(own, *((life.begins, life.ends) for life in lives))

    def _title(self, draft: CheckDraft, expansion: SiteExpansion) -> Text:
        title = draft.value("name")
        if title is None and draft.backup is not None:
            return backups.title_of(draft.backup, draft.evidence)
        if title is None:
            return draft.names[0] if draft.names is not None else Text(draft.key, draft.key)
        if draft.template_shape is None:
            return Text(title.vi, title.en)
        return self._filled_title(title, draft.facts, draft.names, expansion.site)

    def _filled_title(
        self, title: Text, facts: dict[str, str], item: tuple[Text, Text] | None, site: entities.Site
    ) -> Text:
        """A template's title for this site."""
        if "{" not in title.vi + title.en:
            return Text(title.vi, title.en)
        names = {"site_name": site.name, "agency_name": self.inventory.agencies[site.agency].name}
        if item is not None:
            names["item_name"] = item[0]
        return Text(*(fill_title(title.in_(language), facts, names, language) for language in ("vi", "en")))

    def _link(self, draft: CheckDraft, shape: CheckShape, site: entities.Site) -> str:
        link_key = draft.value("link")
        if link_key is True:
            return site.links[0] if site.links else ""
        if not link_key:
            return ""
        link_ids = [link for link in site.links if link in (link_key, f"{site.id}-{link_key}")]
        if not link_ids:
            self.problems.append(
                (draft.written_at("link") or shape.at).problem("link", f"the site has no link {link_key}")
            )
        return link_ids[0] if link_ids else ""


def _fill_threshold(shape: ThresholdShape, facts: dict[str, str]) -> ThresholdShape:
    """A template's limit with its placeholders filled."""
    limits = {
        key: fill(node, facts, node.line)
        for key in ("above", "below")
        if isinstance(node := getattr(shape, key), ScalarNode) and "{" in node.text
    }
    return msgspec.structs.replace(shape, **limits) if limits else shape
