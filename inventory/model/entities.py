"""The inventory's entities, once files, templates and defaults are resolved.

Dates are days in the province's time zone; a life is [begins, ends): nothing outside it is in any denominator.
Times are milliseconds. Ratios are between 0 and 1. Ids are lower-case slugs and are for life.
"""

from datetime import date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from inventory.base.types import Text
from inventory.model.alerting import Alerting
from inventory.model.selectors import Hours as Hours
from inventory.model.selectors import Selector as Selector
from inventory.protocol.identity import CheckIdentity
from inventory.protocol.plan import CollectorAddress, Threshold


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """When something is there: from ``begins`` until the day before ``ends``; None is open."""

    begins: date | None = None
    ends: date | None = None

    def on(self, day: date) -> bool:
        return (self.begins is None or self.begins <= day) and (self.ends is None or day < self.ends)


def overlap(*lives: tuple[date | None, date | None]) -> tuple[date | None, date | None]:
    """The life in which all of these are; empty (it ends before it begins) if there is none."""
    begins = max((life[0] for life in lives if life[0] is not None), default=None)
    ends = min((life[1] for life in lives if life[1] is not None), default=None)
    return begins, ends


class Province(msgspec.Struct, frozen=True, kw_only=True):
    """The whole. ``hub``: the id of the site all links lead to. ``authorities``: PEM of collectors' CAs.

    ``pc_hours``: the calendar in which PCs are expected to be on, where an agency's register names none.
    """

    id: str = "province"
    name: Text = Text("", "")
    time_zone: str = "Asia/Ho_Chi_Minh"
    hub: str = ""
    collectors: tuple[CollectorAddress, ...] = ()
    authorities: tuple[str, ...] = ()
    push_every: int = 30_000
    pc_hours: str = ""

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """Who rents out links. ``contact``: what to call when one is down."""

    id: str
    name: Text
    contact: str = ""


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """The register of an agency's PCs, as the plan's appendices count them; None where not given.

    ``hours``: the calendar in which they are expected to be on; "" is always.
    """

    staff: int | None = None
    pcs: int | None = None
    on_internet: int | None = None
    on_lan: int | None = None
    hours: str = ""


class Agency(Life, frozen=True, kw_only=True):
    """A state body. ``successor``: the body that took it over when it ended."""

    id: str
    name: Text
    kind: str = ""
    successor: str = ""
    parent: str = ""
    sites: tuple[str, ...] = ()
    contacts: tuple[str, ...] = ()
    register: Register = Register()
    tags: tuple[str, ...] = ()


class FormerProvider(msgspec.Struct, frozen=True, kw_only=True):
    """Who provided a link before ``until``, under which objective."""

    provider: str
    until: date
    objective: float | None = None
    circuit: str = ""


class Link(Life, frozen=True, kw_only=True):
    """A site's WAN circuit. ``formerly``: earlier providers, oldest first."""

    id: str
    site: str
    provider: str
    formerly: tuple[FormerProvider, ...] = ()
    circuit: str = ""
    objective: float | None = None
    down_mbit: float | None = None
    up_mbit: float | None = None

    def provider_on(self, day: date) -> str:
        """The provider's id on a day."""
        return next((former.provider for former in self.formerly if day < former.until), self.provider)


class Device(Life, frozen=True, kw_only=True):
    """Something with an address at a site. ``facts`` go before the site's where templates are filled.

    ``fed_by``: ids of the UPSs that its power comes from (all of them at once, or one instead of another); () where
    nobody said.
    """

    id: str
    site: str
    name: Text
    kind: str = ""
    address: str = ""
    tags: tuple[str, ...] = ()
    facts: dict[str, str] = {}
    fed_by: tuple[str, ...] = ()


class Site(Life, frozen=True, kw_only=True):
    """One of an agency's LANs. ``facts`` are what templates are filled from (gateway, wan, resolvers ...).

    ``fed_by``: ids of the UPSs that feed what is here and does not say otherwise.
    """

    id: str
    agency: str
    name: Text
    agent: str = ""
    links: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    facts: dict[str, str] = {}
    fed_by: tuple[str, ...] = ()


class Agent(Life, frozen=True, kw_only=True):
    """The program at a site. A replaced machine keeps the id. ``networks`` and ``ports``: what it may probe."""

    id: str
    site: str
    agency: str
    revoked: bool = False
    networks: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()


class Check(Life, frozen=True, kw_only=True):
    """One thing looked at from one agent every ``interval``.

    ``uid``: its identity for life (:func:`inventory.protocol.identity.uid`). ``agent`` looks; ``agency`` and ``site``
    are what it is about, which may be elsewhere. ``name`` is unique at its agent: ``key``, or SITE.key when the agent
    stands at another site. ``link``: the WAN circuit it proves, if it does. ``backup``: the one it is evidence of.
    """

    uid: str
    name: str
    key: str
    agent: str
    agency: str
    site: str
    kind: str
    interval: int
    timeout: int
    hold: int
    recheck: int
    title: Text = Text("", "")
    params: dict[str, object] = {}
    thresholds: tuple[Threshold, ...] = ()
    formerly: str = ""
    tags: tuple[str, ...] = ()
    link: str = ""
    objective: float | None = None
    calendar: str = ""
    backup: str = ""

    @property
    def identity(self) -> CheckIdentity:
        return CheckIdentity(self.agent, self.uid)


class Backup(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that several checks bring evidence of: all of them have to be up.

    ``checks``: uids; ``evidence``: what each of them is, in the same order. ``rpo``: ms, how old its newest good copy
    may be at most by the strictest of them; None where none says.
    """

    id: str
    key: str
    name: Text
    agency: str
    site: str
    checks: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    rpo: int | None = None


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """A person or desk that is told. ``digest``: also once a day what there was."""

    id: str
    name: Text
    email: str
    language: str = "vi"  # of inventory.base.languages
    phone: str = ""
    digest: bool = True


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """Which time counts. ``service``: only these hours count (empty: all). ``off``: these never count.

    ``holidays``: "vietnam" leaves out public holidays, with ``Inventory.decreed`` on top; "" counts them.
    """

    id: str
    name: Text
    service: tuple[Hours, ...] = ()
    off: tuple[Hours, ...] = ()
    holidays: Literal["", "vietnam"] = ""


class HolidayDecree(msgspec.Struct, frozen=True, kw_only=True):
    """What a year's decree changes: days ``off`` besides the statutory ones, days to ``work`` after all.

    With ``only`` the list ``off`` is the whole year's holidays.
    """

    off: tuple[date, ...] = ()
    work: tuple[date, ...] = ()
    only: bool = False


class Exclusion(msgspec.Struct, frozen=True, kw_only=True):
    """Time declared not to count, with a reason: [begins, ends), local times of the province."""

    id: str
    select: Selector
    begins: datetime
    ends: datetime
    reason: str


Combine = Literal["mean", "all", "any", "k-of-n", "share"]
MemberGrouping = Literal["check", "backup", "site", "agency"]


class Goal(Life, frozen=True, kw_only=True):
    """An objective over checks and calendar windows.

    ``select`` finds the checks; ``per`` groups them into members (each check, or all of a backup, a site or an agency;
    a check of no backup is a member by itself), and
    ``within`` says how a member's checks make one (as ``combine``, but never share). ``combine`` joins the members:
    - mean: the mean of the members' figures;
    - all, any, k-of-n (``k``): up at a moment while all, any, at least k members are up, three-valued;
    - share: the share of members whose own figure meets ``member_objective`` (or, where that is None, the member's
      own objective: its link's, else its check's).
    ``objective`` is what the result must reach, ``targets`` override it by calendar year.
    ``windows``: day, week, month, quarter, year, or rolling-Nd. ``causes``: which causes of time down count
    (empty: all). ``degraded``: how a look out of its thresholds counts. ``calendar``: which time counts.
    ``denominator``: of a share, how many members there ought to be (None: as many as were found).
    ``lacks``: evidence that nothing measures yet, in words; such a goal is never met, it says what it lacks.
    """

    id: str
    name: Text
    promise: Text = Text("", "")
    source: str = ""
    select: Selector = Selector()
    per: MemberGrouping = "check"
    within: Literal["mean", "all", "any"] = "all"
    combine: Combine = "mean"
    k: int | None = None
    objective: float
    targets: dict[int, float] = {}
    member_objective: float | None = None
    denominator: int | None = None
    windows: tuple[str, ...] = ("month", "rolling-30d")
    causes: tuple[str, ...] = ()
    degraded: Literal["up", "down"] = "up"
    calendar: str = ""
    lacks: tuple[Text, ...] = ()

    def objective_in(self, year: int) -> float:
        """The year's target; before the first target that one, after the last the last."""
        if not self.targets:
            return self.objective
        years = sorted(self.targets)
        return self.targets[max((target_year for target_year in years if target_year <= year), default=years[0])]


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """All of it, by id. ``checks`` is by uid. ``warnings``: what looks odd and yet can be used."""

    province: Province = Province()
    providers: dict[str, Provider] = {}
    agencies: dict[str, Agency] = {}
    sites: dict[str, Site] = {}
    links: dict[str, Link] = {}
    devices: dict[str, Device] = {}
    agents: dict[str, Agent] = {}
    checks: dict[str, Check] = {}
    backups: dict[str, Backup] = {}
    goals: dict[str, Goal] = {}
    contacts: dict[str, Contact] = {}
    calendars: dict[str, Calendar] = {}
    decreed: dict[int, HolidayDecree] = {}
    exclusions: tuple[Exclusion, ...] = ()
    alerting: Alerting = Alerting()
    warnings: tuple[str, ...] = ()
