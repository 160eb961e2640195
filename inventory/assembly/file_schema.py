"""Schema of the inventory's files, section by section; ``assemble`` gives it meaning.

``Any`` marks what is read later, when the kind or the unit is known. ``at`` is where it was written.
"""

from datetime import date, datetime
from typing import Annotated, Any, Literal

import msgspec

from inventory.assembly.alerting_file_schema import AlertingShape, ConditionShape, GroupShape, RosterShape, RouteShape
from inventory.base.languages import language_codes
from inventory.base.problems import NOWHERE, Place
from inventory.base.types import Duration, Ratio, Slug, Text
from inventory.model.entities import Combine, MemberGrouping, Selector

LIFE = {"begins": "from", "ends": "to"}

LanguageCode = Annotated[str, msgspec.Meta(extra={"choices": language_codes})]


class Shape(msgspec.Struct, frozen=True, kw_only=True, rename=LIFE):
    """Anything that knows its place in a file."""

    at: Place = NOWHERE


class LifeShape(Shape, frozen=True, kw_only=True, rename=LIFE):
    """Anything with a life [from, to)."""

    begins: date | None = None
    ends: date | None = None


class CollectorShape(Shape, frozen=True, kw_only=True):
    """A collector that agents push to. One is the authority: the one that serves plans."""

    name: Slug
    url: str
    authority: bool = False


class ProvinceShape(Shape, frozen=True, kw_only=True):
    """The whole: its hub site, its collectors."""

    id: Slug
    name: Text
    time_zone: str = "Asia/Ho_Chi_Minh"
    hub: Slug | None = None
    collectors: tuple[CollectorShape, ...] = ()
    authorities: tuple[str, ...] = ()
    push_every: Duration = 30_000
    pc_hours: Slug | None = None


class ProviderShape(Shape, frozen=True, kw_only=True):
    """Who rents out links."""

    name: Text
    contact: str = ""


class RegisterShape(Shape, frozen=True, kw_only=True):
    """An agency's PCs as the register counts them. ``hours``: the calendar in which they are expected to be on."""

    staff: int | None = None
    pcs: int | None = None
    on_internet: int | None = None
    on_lan: int | None = None
    hours: Slug | None = None


class FormerShape(Shape, frozen=True, kw_only=True):
    """An earlier provider of a link, until a day."""

    provider: Slug
    until: date
    objective: Ratio | None = None
    circuit: str = ""


class LinkShape(LifeShape, frozen=True, kw_only=True, rename=LIFE):
    """A WAN circuit."""

    provider: Slug
    formerly: tuple[FormerShape, ...] = ()
    circuit: str = ""
    objective: Ratio | None = None
    down_mbit: float | None = None
    up_mbit: float | None = None


class DeviceShape(LifeShape, frozen=True, kw_only=True, rename=LIFE):
    """Something with an address. ``facts``: what templates are filled from, before the site's. ``fed_by``: UPSs."""

    name: Text | None = None
    kind: Slug | None = None
    address: str = ""
    tags: tuple[Slug, ...] = ()
    facts: dict[str, str] = {}
    fed_by: tuple[Slug, ...] | None = None


class AgentShape(LifeShape, frozen=True, kw_only=True, rename=LIFE):
    """The program at a site; what it may probe, as its own file is to say."""

    id: Slug | None = None
    revoked: bool = False
    networks: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()


class ThresholdShape(Shape, frozen=True, kw_only=True):
    """A limit of one measure (or of latency). Values in the measure's unit: 0.2, 200ms, 5%."""

    measure: str
    above: Any = None
    below: Any = None
    state: Literal["degraded", "down"] = "degraded"


class CheckShape(LifeShape, frozen=True, kw_only=True, rename=LIFE):
    """One check, or with ``each`` one for every item (in templates), or an override of a template's check."""

    kind: Slug | None = None
    params: Any = None
    interval: Duration | None = None
    timeout: Duration | None = None
    recheck: Duration | None = None
    hold: Duration | None = None
    thresholds: tuple[ThresholdShape, ...] | None = None
    formerly: str = ""
    name: Text | None = None
    tags: tuple[Slug, ...] = ()
    agent: Slug | None = None
    link: bool | Slug = False
    objective: Ratio | None = None
    calendar: Slug | None = None
    off: bool = False
    each: str | None = None
    of: Slug | None = None
    when: str | None = None


class BackupShape(LifeShape, frozen=True, kw_only=True, rename=LIFE):
    """A backup and what proves it: ``evidence`` (pings, files, repository, drill, or another name and its kind).

    What is said here goes for every evidence that does not say otherwise; ``rpo``: oldest that its newest good copy may
    be. See inventory.assembly.backups.
    """

    name: Text | None = None
    rpo: Any = None
    interval: Duration | None = None
    timeout: Duration | None = None
    recheck: Duration | None = None
    hold: Duration | None = None
    tags: tuple[Slug, ...] = ()
    agent: Slug | None = None
    objective: Ratio | None = None
    calendar: Slug | None = None
    off: bool = False
    each: str | None = None
    of: Slug | None = None
    when: str | None = None
    evidence: dict[Slug, CheckShape] = {}


class TemplateShape(Shape, frozen=True, kw_only=True):
    """Checks and backups for many sites, with {placeholders} that each site fills."""

    about: Text | None = None
    checks: dict[Slug, CheckShape] = {}
    backups: dict[Slug, BackupShape] = {}


class SiteShape(LifeShape, frozen=True, kw_only=True, rename=LIFE):
    """One LAN: the addresses that templates use, its links, devices, agent, checks and backups.

    ``fed_by``: UPSs that feed the devices here which do not say what feeds them.
    """

    name: Text | None = None
    template: Slug | None = None
    hub: Slug | None = None
    agent: Slug | AgentShape | None = None
    gateway: str | None = None
    wan: str | None = None
    lan: str | None = None
    resolvers: tuple[str, ...] = ()
    facts: dict[str, str] = {}
    fed_by: tuple[Slug, ...] = ()
    link: LinkShape | None = None
    links: dict[Slug, LinkShape] = {}
    devices: dict[Slug, DeviceShape] = {}
    checks: dict[Slug, CheckShape] = {}
    backups: dict[Slug, BackupShape] = {}


class AgencyShape(LifeShape, frozen=True, kw_only=True, rename=LIFE):
    """A state body. ``template``, ``site``, ``checks`` and ``backups`` are its main site's."""

    name: Text
    kind: Slug = ""
    successor: Slug | None = None
    parent: Slug | None = None
    contacts: tuple[Slug, ...] = ()
    register: RegisterShape | None = None
    tags: tuple[Slug, ...] = ()
    template: Slug | None = None
    site: SiteShape | None = None
    sites: dict[Slug, SiteShape] = {}
    checks: dict[Slug, CheckShape] = {}
    backups: dict[Slug, BackupShape] = {}


class ContactShape(Shape, frozen=True, kw_only=True):
    """Who is told. ``digest``: also once a day what there was."""

    name: Text
    email: str
    language: LanguageCode = "vi"
    phone: str = ""
    digest: bool = True


class CalendarShape(Shape, frozen=True, kw_only=True):
    """Which time counts. Keys of ``hours`` and ``off`` are days: daily, mon, mon-fri, "sat,sun"; values 07:00-11:30."""

    name: Text | None = None
    hours: dict[str, tuple[str, ...]] = {}
    off: dict[str, tuple[str, ...]] = {}
    holidays: Literal["", "vietnam"] = ""


class DecreedShape(Shape, frozen=True, kw_only=True):
    """What a year's decree changes in the public holidays."""

    off: tuple[date, ...] = ()
    work: tuple[date, ...] = ()
    only: bool = False


class ExclusionShape(Shape, frozen=True, kw_only=True, rename=LIFE):
    """Time declared not to count, [from, to), with a reason."""

    select: Selector
    begins: datetime
    ends: datetime
    reason: str


class GoalShape(LifeShape, frozen=True, kw_only=True, rename=LIFE):
    """An objective; see inventory.model.entities.Goal for what each field means."""

    name: Text
    promise: Text | None = None
    source: str = ""
    select: Selector = Selector()
    per: MemberGrouping = "check"
    within: Literal["mean", "all", "any"] = "all"
    combine: Combine = "mean"
    k: int | None = None
    objective: Ratio | None = None
    targets: dict[int, Ratio] = {}
    member_objective: Ratio | None = None
    denominator: int | None = None
    windows: tuple[str, ...] = ("month", "rolling-30d")
    causes: tuple[str, ...] = ()
    degraded: Literal["up", "down"] = "up"
    calendar: Slug | None = None
    lacks: tuple[Text, ...] = ()


class FileShape(msgspec.Struct, frozen=True, kw_only=True):
    """One file: any of the sections, each a mapping by id. Files are put together in order of their names."""

    province: ProvinceShape | None = None
    providers: dict[Slug, ProviderShape] = {}
    agencies: dict[Slug, AgencyShape] = {}
    registers: dict[Slug, RegisterShape] = {}
    templates: dict[Slug, TemplateShape] = {}
    contacts: dict[Slug, ContactShape] = {}
    groups: dict[Slug, GroupShape] = {}
    rosters: dict[Slug, RosterShape] = {}
    routes: dict[Slug, RouteShape] = {}
    conditions: dict[Slug, ConditionShape] = {}
    alerting: AlertingShape | None = None
    calendars: dict[Slug, CalendarShape] = {}
    holidays: dict[int, DecreedShape] = {}
    exclusions: dict[Slug, ExclusionShape] = {}
    goals: dict[Slug, GoalShape] = {}
    revoked: tuple[Slug, ...] = ()
