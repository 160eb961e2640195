"""Assemble the files' sections into an Inventory: ids given, defaults filled, templates expanded into checks."""

from datetime import date

from inventory.assembly.assemble_alerting import alerting_of
from inventory.assembly.expand import SiteExpansion, TemplateExpander
from inventory.assembly.file_schema import AgencyShape, AgentShape, LinkShape, SiteShape
from inventory.assembly.sections import Sections
from inventory.base.problems import Problem
from inventory.base.types import Text
from inventory.grammars.probe_judges import ParamsValidator
from inventory.model import entities
from inventory.model.entities import overlap
from inventory.protocol.kinds import Kinds
from inventory.protocol.plan import CollectorAddress
from inventory.times.workdays import hours_of

NO_AGENT = "none"
UPS = "ups"  # the kind of device that feeds others


def assemble(
    sections: Sections, kinds: Kinds, problems: list[Problem], validate_params: ParamsValidator | None = None
) -> entities.Inventory:
    """The inventory; what is wrong is added to ``problems`` and left out. ``judge``: see
    inventory.assembly.load.load_with_problems."""
    return _Assembler(sections, kinds, problems, validate_params).build()


def feeder_ids(short_names: tuple[str, ...], site: str, shape: SiteShape) -> tuple[str, ...]:
    """The ids of devices that may be written short, as their site calls them."""
    return tuple(f"{site}-{key}" if key in shape.devices else key for key in short_names)


class _Assembler:
    def __init__(
        self, sections: Sections, kinds: Kinds, problems: list[Problem], validate_params: ParamsValidator | None
    ) -> None:
        self.sections = sections
        self.problems = problems
        self.inventory = entities.Inventory(province=self._province())
        self.expander = TemplateExpander(sections, kinds, problems, self.inventory, validate_params)
        self.expansions: list[SiteExpansion] = []

    def build(self) -> entities.Inventory:
        for ident, shape in self.sections.agencies.items():
            self._agency(ident, shape)
        self.expander.find_hub()
        for spot in self.expansions:
            self.expander.expand(spot)
        self._revoke()
        self._other_sections()
        return self.inventory

    def _province(self) -> entities.Province:
        shape = self.sections.province
        if shape is None:
            return entities.Province()
        return entities.Province(
            id=shape.id,
            name=shape.name,
            time_zone=shape.time_zone,
            hub=shape.hub or "",
            collectors=tuple(CollectorAddress(name=c.name, url=c.url, authority=c.authority) for c in shape.collectors),
            authorities=shape.authorities,
            push_every=shape.push_every,
            pc_hours=shape.pc_hours or "",
        )

    def _agency(self, ident: str, shape: AgencyShape) -> None:
        sites: dict[str, SiteShape] = {}
        if shape.site is not None or shape.template is not None or shape.checks or shape.backups:
            sites[ident] = shape.site or SiteShape(at=shape.at)
        sites.update({f"{ident}-{key}": site for key, site in shape.sites.items()})
        self.inventory.agencies[ident] = entities.Agency(
            id=ident,
            name=shape.name,
            kind=shape.kind,
            begins=shape.begins,
            ends=shape.ends,
            successor=shape.successor or "",
            parent=shape.parent or "",
            sites=tuple(sites),
            contacts=shape.contacts,
            register=self._register(ident, shape),
            tags=shape.tags,
        )
        for site_id, site in sites.items():
            self._site(site_id, site, ident, shape)

    def _register(self, ident: str, agency: AgencyShape) -> entities.Register:
        shape = self.sections.registers.get(ident)
        if shape is not None and agency.register is not None:
            where = f"{shape.at.file}:{shape.at.line}"
            self.problems.append(agency.at.problem("register", f"is given here and in {where}; keep one"))
        shape = agency.register or shape
        default = self.inventory.province.pc_hours
        if shape is None:
            return entities.Register(hours=default)
        return entities.Register(
            staff=shape.staff,
            pcs=shape.pcs,
            on_internet=shape.on_internet,
            on_lan=shape.on_lan,
            hours=shape.hours or default,
        )

    def _site(self, ident: str, shape: SiteShape, agency_id: str, agency: AgencyShape) -> None:
        if ident in self.inventory.sites:
            self.problems.append(shape.at.problem("", f"the site id {ident} is taken by another agency's site"))
            return
        life = overlap((shape.begins, shape.ends), (agency.begins, agency.ends))
        links = {ident: shape.link} if shape.link is not None else {}
        links.update({f"{ident}-{key}": link for key, link in shape.links.items()})
        for link_id, link in links.items():
            self._link(link_id, ident, link, life)
        devices = self._devices(ident, shape, life)
        agent = self._agent(ident, agency_id, shape, life)
        facts = {name: value for name in ("gateway", "wan", "lan") if (value := getattr(shape, name))}
        self.inventory.sites[ident] = entities.Site(
            id=ident,
            agency=agency_id,
            name=shape.name or agency.name,
            begins=life[0],
            ends=life[1],
            agent=agent,
            links=tuple(links),
            devices=devices,
            facts={**shape.facts, **facts},
            fed_by=feeder_ids(shape.fed_by, ident, shape),
        )
        is_main = ident == agency_id
        checks = {**shape.checks, **agency.checks} if is_main else shape.checks
        backups = {**shape.backups, **agency.backups} if is_main else shape.backups
        if is_main:
            given_twice = [agency.checks[key].at for key in shape.checks.keys() & agency.checks.keys()]
            given_twice += [agency.backups[key].at for key in shape.backups.keys() & agency.backups.keys()]
            self.problems += [at.problem("", "is given for the agency and for its site") for at in given_twice]
        template = shape.template or (agency.template if is_main else None)
        at = agency.at if is_main else shape.at
        self.expansions.append(SiteExpansion(self.inventory.sites[ident], shape, template, checks, backups, at))

    def _link(self, ident: str, site: str, shape: LinkShape, life: tuple[date | None, date | None]) -> None:
        begins, ends = overlap((shape.begins, shape.ends), life)
        formerly = tuple(
            entities.FormerProvider(
                provider=former.provider, until=former.until, objective=former.objective, circuit=former.circuit
            )
            for former in shape.formerly
        )
        for earlier, later in zip(shape.formerly, shape.formerly[1:], strict=False):
            if later.until <= earlier.until:
                self.problems.append(later.at.problem("until", "ought to be later than the provider's before it"))
        self.inventory.links[ident] = entities.Link(
            id=ident,
            site=site,
            provider=shape.provider,
            formerly=formerly,
            circuit=shape.circuit,
            objective=shape.objective,
            down_mbit=shape.down_mbit,
            up_mbit=shape.up_mbit,
            begins=begins,
            ends=ends,
        )

    def _devices(self, site: str, shape: SiteShape, life: tuple[date | None, date | None]) -> tuple[str, ...]:
        ids = []
        for key, device in shape.devices.items():
            ident = f"{site}-{key}"
            if ident in self.inventory.devices:
                self.problems.append(device.at.problem("", f"the device id {ident} is taken"))
                continue
            begins, ends = overlap((device.begins, device.ends), life)
            fed_by = shape.fed_by if device.fed_by is None and device.kind != UPS else device.fed_by or ()
            self.inventory.devices[ident] = entities.Device(
                id=ident,
                site=site,
                name=device.name or Text(key, key),
                kind=device.kind or "",
                address=device.address,
                tags=device.tags,
                facts=device.facts,
                fed_by=feeder_ids(fed_by, site, shape),
                begins=begins,
                ends=ends,
            )
            ids.append(ident)
        return tuple(ids)

    def _agent(self, site: str, agency: str, shape: SiteShape, life: tuple[date | None, date | None]) -> str:
        """The id of the site's agent, made here; "" if it has none."""
        if shape.agent == NO_AGENT:
            return ""
        agent_shape = shape.agent if isinstance(shape.agent, AgentShape) else AgentShape(id=shape.agent, at=shape.at)
        ident = agent_shape.id or site
        if ident in self.inventory.agents or ident == "hub":
            conflict = (
                "means the hub's agent" if ident == "hub" else f"is the agent of {self.inventory.agents[ident].site}"
            )
            self.problems.append(shape.at.problem("agent", f"{ident} {conflict}: every site's agent has its own id"))
            return ""
        begins, ends = overlap((agent_shape.begins, agent_shape.ends), life)
        self.inventory.agents[ident] = entities.Agent(
            id=ident,
            site=site,
            agency=agency,
            revoked=agent_shape.revoked or ident in self.sections.revoked,
            networks=agent_shape.networks,
            ports=agent_shape.ports,
            begins=begins,
            ends=ends,
        )
        return ident

    def _revoke(self) -> None:
        for ident, (file, line) in self.sections.revoked.items():
            if ident not in self.inventory.agents and not self.sections.may_be_broken("agents", ident):
                self.problems.append(Problem(file, line, "revoked", f"there is no agent {ident}"))

    def _other_sections(self) -> None:
        inventory, sections = self.inventory, self.sections
        for ident, provider in sections.providers.items():
            inventory.providers[ident] = entities.Provider(id=ident, name=provider.name, contact=provider.contact)
        for ident, contact in sections.contacts.items():
            inventory.contacts[ident] = entities.Contact(
                id=ident,
                name=contact.name,
                email=contact.email,
                language=contact.language,
                phone=contact.phone,
                digest=contact.digest,
            )
        for ident, calendar in sections.calendars.items():
            inventory.calendars[ident] = entities.Calendar(
                id=ident,
                name=calendar.name or Text(ident, ident),
                service=hours_of(calendar.hours, calendar.at, "hours", self.problems),
                off=hours_of(calendar.off, calendar.at, "off", self.problems),
                holidays=calendar.holidays,
            )
        for year, decreed in sections.holidays.items():
            inventory.decreed[year] = entities.HolidayDecree(off=decreed.off, work=decreed.work, only=decreed.only)
        for ident, goal in sections.goals.items():
            fields = {name: getattr(goal, name) for name in goal.__struct_fields__ if name != "at"}
            fields |= {
                "objective": goal.objective if goal.objective is not None else max(goal.targets.values(), default=1.0),
                "promise": goal.promise or Text("", ""),
                "calendar": goal.calendar or "",
            }
            inventory.goals[ident] = entities.Goal(id=ident, **fields)
        exclusions = tuple(
            entities.Exclusion(id=ident, select=e.select, begins=e.begins, ends=e.ends, reason=e.reason)
            for ident, e in sections.exclusions.items()
        )
        self.inventory = entities.Inventory(
            **{
                name: getattr(inventory, name)
                for name in inventory.__struct_fields__
                if name not in ("exclusions", "alerting")
            },
            exclusions=exclusions,
            alerting=alerting_of(sections, self.problems),
        )
