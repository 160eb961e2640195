"""The sections of all files put together, still as they were written."""

from inventory.assembly.alerting_file_schema import AlertingShape, ConditionShape, GroupShape, RosterShape, RouteShape
from inventory.assembly.file_schema import (
    AgencyShape,
    CalendarShape,
    ContactShape,
    DecreedShape,
    ExclusionShape,
    GoalShape,
    ProviderShape,
    ProvinceShape,
    RegisterShape,
    TemplateShape,
)
from inventory.yaml.nodes import Node
from inventory.yaml.scalars import Source


class Sections:
    """``broken``: section -> ids that stand in a file and could not be read; no other mistake follows from them.

    ``unread``: agencies among them, as nodes with path and source: their checks are judged all the same.
    ``shipped``: templates that came with the software, which a file may replace.
    """

    def __init__(self) -> None:
        self.province: ProvinceShape | None = None
        self.providers: dict[str, ProviderShape] = {}
        self.agencies: dict[str, AgencyShape] = {}
        self.registers: dict[str, RegisterShape] = {}
        self.templates: dict[str, TemplateShape] = {}
        self.contacts: dict[str, ContactShape] = {}
        self.groups: dict[str, GroupShape] = {}
        self.rosters: dict[str, RosterShape] = {}
        self.routes: dict[str, RouteShape] = {}
        self.conditions: dict[str, ConditionShape] = {}
        self.alerting: AlertingShape | None = None
        self.calendars: dict[str, CalendarShape] = {}
        self.holidays: dict[int, DecreedShape] = {}
        self.exclusions: dict[str, ExclusionShape] = {}
        self.goals: dict[str, GoalShape] = {}
        self.revoked: dict[str, tuple[str, int]] = {}
        self.broken: dict[str, set[str]] = {}
        self.unread: list[tuple[Node, str, Source]] = []
        self.shipped: frozenset[str] = frozenset()

    def may_be_broken(self, section: str, ident: str) -> bool:
        """Whether an unknown id of a section may be one that could not be read."""
        broken = self.broken.get(section, set())
        return ident in broken or (section in ("sites", "agents") and bool(self.broken.get("agencies")))
