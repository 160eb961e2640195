"""Metrics of backups; what their evidence measured stands in the families of the kinds."""

from collections.abc import Iterable, Iterator

from collector.metrics.exposition import Family, labels
from collector.queries.backups import BackupStatus
from inventory.protocol.states import DOWN, UNKNOWN

UP = Family(
    "haidang_backup_up",
    "gauge",
    "1 while all evidence of a backup is up or degraded, 0 while any is down, absent while it is not known.",
)


def text(statuses: Iterable[BackupStatus], openmetrics: bool) -> Iterator[str]:
    """The family in small strings; nothing where there is no backup."""
    head = UP.head(openmetrics)
    for status in statuses:
        if status.state != UNKNOWN:
            backup = status.backup
            who = labels(agency=backup.agency, site=backup.site, backup=backup.id)
            yield f"{head}{UP.name}{{{who}}} {int(status.state != DOWN)}\n"
            head = ""
