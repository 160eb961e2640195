"""Metrics that bear the names of things, for queries to join: of agencies, goals, circuits, providers, backups."""

from collections.abc import Iterator
from typing import Any, Final

from collector.queries.reader import LedgerReader
from inventory.base.families import Family, FamilySamples
from inventory.base.types import Text
from inventory.model.entities import Agency, Inventory

AGENCY_INFO = Family(
    "haidang_agency_info",
    "info",
    "What people call the agency, its kind, and the district that it is, or belongs to.",
    ("agency", "name", "name_en", "kind", "district"),
)
GOAL_INFO = Family("haidang_goal_info", "info", "What people call the goal.", ("goal", "name", "name_en"))
LINK_INFO = Family(
    "haidang_link_info", "info", "Whose a leased circuit is, and its number there.",
    ("link", "site", "provider", "circuit", "agency"),
)  # fmt: skip
PROVIDER_INFO = Family(
    "haidang_provider_info", "info", "What people call the provider.", ("provider", "name", "name_en")
)
BACKUP_INFO = Family(
    "haidang_backup_info", "info", "What people call the backup.", ("agency", "backup", "name", "name_en")
)
BACKUP_RPO = Family(
    "haidang_backup_rpo_seconds", "gauge", "How old the newest good copy may be at most.", ("agency", "backup")
)
REGISTERED_PCS = Family(
    "haidang_agency_registered_pcs", "gauge", "PCs that the register says are on the agency's LAN.", ("agency",)
)
DISTRICT: Final = "district"
MAX_ANCESTORS: Final = 10


class NameMetrics:
    """Made anew when another inventory comes into force, or another day."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader
        self._made: tuple[Any, list[FamilySamples]] = (None, [])

    def metrics(self) -> Iterator[FamilySamples]:
        reader = self._reader
        key = (reader.version, reader.today(reader.wall()))
        if self._made[0] != key:
            self._made = (key, list(_families(reader)))
        yield from self._made[1]


def _families(reader: LedgerReader) -> Iterator[FamilySamples]:
    inventory, today = reader.inventory, reader.today(reader.wall())
    agencies = [one for one in inventory.agencies.values() if one.on(today)]
    yield AGENCY_INFO.by(
        ((one.id, *_names(one.name, one.id), one.kind, district_of(one, inventory)), 1) for one in agencies
    )
    yield REGISTERED_PCS.by(((one.id,), one.register.on_lan) for one in agencies if one.sites)
    yield GOAL_INFO.by(((one.id, *_names(one.name, one.id)), 1) for one in inventory.goals.values() if one.on(today))
    yield LINK_INFO.by(
        ((one.id, one.site, one.provider_on(today), one.circuit, inventory.sites[one.site].agency), 1)
        for one in inventory.links.values()
        if one.on(today)
    )
    yield PROVIDER_INFO.by(((one.id, *_names(one.name, one.id)), 1) for one in inventory.providers.values())
    backups = inventory.backups.values()
    yield BACKUP_INFO.by(((one.agency, one.id, *_names(one.name, one.key)), 1) for one in backups)
    yield BACKUP_RPO.by(((one.agency, one.id), one.rpo / 1000) for one in backups if one.rpo is not None)


def _names(name: Text, fallback: str) -> tuple[str, str]:
    return name.in_("vi") or fallback, name.in_("en") or fallback


def district_of(agency: Agency, inventory: Inventory) -> str:
    """The id of the district that an agency is, or that is above it; "" where there is none."""
    for _ in range(MAX_ANCESTORS):
        if agency.kind == DISTRICT:
            return agency.id
        parent = inventory.agencies.get(agency.parent)
        if parent is None:
            break
        agency = parent
    return ""
