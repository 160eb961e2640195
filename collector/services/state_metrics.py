"""Metrics of what backups, leased circuits and exclusions are now, numbered as a check's state."""

from collections.abc import Callable, Iterator, Sequence, Set
from typing import Final

from collector.ledger.timeline import EXCLUDED
from collector.queries.backups import BackupStatus, backup_statuses
from collector.queries.circuits import checks_of_link
from collector.queries.reader import LedgerReader
from collector.services.present_exclusions import PresentExclusions
from inventory.base.families import Family, FamilySamples
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

MAX_REASON: Final = 100  # characters of an exclusion's reason that a label bears

BACKUP_UP = Family(
    "haidang_backup_up",
    "gauge",
    "1 while all evidence of a backup is up or degraded, 0 while any is down, absent while it is not known.",
    ("agency", "site", "backup"),
)
BACKUP_STATE = Family(
    "haidang_backup_state",
    "gauge",
    "What all evidence of the backup is together, numbered as a check's state; 4 while all of it is excluded.",
    ("agency", "site", "backup"),
)
LINK_STATE = Family(
    "haidang_link_state",
    "gauge",
    "What the checks of both ends of a leased circuit say of it, the worst first, numbered as a check's state.",
    ("agency", "site", "link", "provider"),
)
EXCLUSION_INFO = Family(
    "haidang_exclusion_info",
    "info",
    "An exclusion in force now: from the inventory, or declared by somebody.",
    ("exclusion", "origin", "reason"),
)
EXCLUSION_ENDS = Family(
    "haidang_exclusion_end_timestamp_seconds", "gauge", "When an exclusion in force ends.", ("exclusion", "origin")
)
EXCLUDED_CHECKS = Family(
    "haidang_excluded_checks", "gauge", "Checks whose time does not count now, by an exclusion or their calendar."
)


class BackupMetrics:
    """Of each backup as a whole; what its evidence measured stands in the families of the kinds."""

    def __init__(self, reader: LedgerReader, exclusions: PresentExclusions, now: Callable[[], int]) -> None:
        self._reader = reader
        self._exclusions = exclusions
        self._now = now

    def metrics(self) -> Iterator[FamilySamples]:
        statuses = backup_statuses(self._reader, self._now())
        yield backup_samples(statuses)
        uids = self._exclusions.uids
        known = {one.backup.id: one.state for one in statuses}
        yield BACKUP_STATE.by(
            ((backup.agency, backup.site, backup.id), _state(known.get(backup.id, UNKNOWN), backup.checks, uids))
            for backup in self._reader.inventory.backups.values()
        )


def backup_samples(statuses: Sequence[BackupStatus]) -> FamilySamples:
    return BACKUP_UP.by(
        ((one.backup.agency, one.backup.site, one.backup.id), int(one.state != DOWN))
        for one in statuses
        if one.state != UNKNOWN
    )


class LinkMetrics:
    """Of each leased circuit that the inventory has today."""

    def __init__(self, reader: LedgerReader, exclusions: PresentExclusions, now: Callable[[], int]) -> None:
        self._reader = reader
        self._exclusions = exclusions
        self._now = now

    def metrics(self) -> Iterator[FamilySamples]:
        reader, inventory, now = self._reader, self._reader.inventory, self._now()
        today = reader.today(now)

        def state(link: str) -> int:
            entries = checks_of_link(reader, link)
            found = {reader.status(entry, now).state for entry in entries}
            worst = next((one for one in (DOWN, DEGRADED, UP) if one in found), UNKNOWN)
            return _state(worst, [entry.uid for entry in entries], self._exclusions.uids)

        yield LINK_STATE.by(
            ((inventory.sites[link.site].agency, link.site, link.id, link.provider_on(today)), state(link.id))
            for link in inventory.links.values()
            if link.on(today)
        )


class ExclusionMetrics:
    """Of what does not count now."""

    def __init__(self, exclusions: PresentExclusions) -> None:
        self._exclusions = exclusions

    def metrics(self) -> Iterator[FamilySamples]:
        in_force = self._exclusions.in_force
        yield EXCLUSION_INFO.by(((one.id, one.origin, one.reason[:MAX_REASON]), 1) for one in in_force)
        yield EXCLUSION_ENDS.by(((one.id, one.origin), one.ends / 1000) for one in in_force)
        yield EXCLUDED_CHECKS.of(len(self._exclusions.uids))


def _state(state: int, uids: Sequence[str], excluded: Set[str]) -> int:
    return EXCLUDED if uids and all(uid in excluded for uid in uids) else state
