"""Agencies and their checks as they are now."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from collector.queries.reader import CheckEntry, LedgerReader
from inventory.model.entities import Agency
from inventory.protocol.states import UP


class AgencyChecks(msgspec.Struct, frozen=True):
    """An agency with those of its checks that are to be shown."""

    agency: Agency
    shown: list[CheckEntry]
    count: int  # all it has

    @property
    def hidden(self) -> int:
        """How many are up and not shown."""
        return self.count - len(self.shown)


def state_counts(reader: LedgerReader) -> dict[str, Counter[int]]:
    """By agency, how many checks are in which state now."""
    now = reader.wall()
    counts: dict[str, Counter[int]] = {}
    for entry in reader.current_checks():
        if entry.check is not None:
            counts.setdefault(entry.check.agency, Counter())[reader.status(entry, now).state] += 1
    return counts


def checks_by_agency(
    reader: LedgerReader, agencies: Iterable[Agency], now: int, *, with_up: bool
) -> list[AgencyChecks]:
    """Each agency with its checks, or with those that are not up."""
    checks: dict[str, list[CheckEntry]] = {}
    for entry in reader.current_checks():
        if entry.check is not None:
            checks.setdefault(entry.check.agency, []).append(entry)
    return [
        AgencyChecks(
            agency,
            [entry for entry in entries if with_up or reader.status(entry, now).state != UP],
            len(entries),
        )
        for agency in agencies
        for entries in [checks.get(agency.id, [])]
    ]
