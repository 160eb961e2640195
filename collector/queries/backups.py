"""The status of each backup: the checks that bring evidence of one, combined to one state with its reasons.

All of the evidence has to hold: down while any of it is, up only while all of it is, not known while some of it is
missing and none is down. The same rule combines the ledger, so a goal over backups and a page agree.
"""

from collections.abc import Mapping, Sequence

import msgspec

from collector.ledger.combine import ALL, combine
from collector.ledger.counted import Interval
from collector.ledger.figures import Figure
from collector.ledger.timeline import EXCLUDED, TimelineSegment, measure
from collector.queries.availability import timelines
from collector.queries.reader import CheckEntry, LedgerReader
from inventory.model.entities import Backup
from inventory.protocol.reasons import joined, pack, sentence, unpack
from inventory.protocol.states import NO_STATUS_YET, UNKNOWN, UP, CheckStatus


class BackupEvidence(msgspec.Struct, frozen=True):
    """One check of a backup as it is now."""

    name: str
    entry: CheckEntry | None  # None while no agent was told of it
    status: CheckStatus
    measures: Mapping[str, float] = {}

    def age(self, now: int) -> float | None:
        """Seconds since its newest good copy, or good run: what the last look saw, grown since."""
        age = self.measures.get("age_seconds")
        return None if age is None else age + max(0, now - self.status.last_look) / 1000


class BackupStatus(msgspec.Struct, frozen=True):
    """A backup at one moment."""

    backup: Backup
    state: int  # of all evidence together
    evidence: Sequence[BackupEvidence]

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """(evidence, why) of those that make it what it is; nothing while it is up."""
        return [(one.name, one.status.reason) for one in self.evidence if one.status.state == self.state != UP]

    @property
    def reason(self) -> str:
        """All of them as one, packed."""
        return pack(
            joined(
                sentence("{evidence}: {reason}", evidence=name, reason=unpack(why)) if why else name
                for name, why in self.reasons
            )
        )

    def measure(self, name: str) -> float | None:
        """The value of the first evidence that has one, in the order in which the inventory lists them."""
        return next((one.measures[name] for one in self.evidence if name in one.measures), None)

    def oldest(self, now: int) -> BackupEvidence | None:
        """The evidence whose newest good copy is oldest; a job's word counts only where nobody sees copies."""
        aged = [(age, one) for one in self.evidence if (age := one.age(now)) is not None]
        copies = [(age, one) for age, one in aged if "copies" in one.measures]
        return max(copies or aged, key=lambda pair: pair[0], default=(0.0, None))[1]

    @property
    def rpo_met(self) -> bool | None:
        """Whether all evidence that knows the objective says so; None while some of it is not known."""
        with_rpo = [one for one in self.evidence if "rpo_met" in one.measures]
        if any(one.measures["rpo_met"] == 0 and one.status.state != UNKNOWN for one in with_rpo):
            return False
        return True if with_rpo and all(one.status.state != UNKNOWN for one in with_rpo) else None


class BackupHistory(msgspec.Struct, frozen=True):
    """A backup over a window."""

    since: int | None  # when it took the state it is in; None where that was before the window
    figure: Figure


def backup_statuses(reader: LedgerReader, now: int) -> list[BackupStatus]:
    """Every backup of the inventory that has evidence at this moment."""
    statuses = []
    day = reader.today(now)
    checks = reader.inventory.checks
    for backup in reader.inventory.backups.values():
        evidence = [
            _evidence(reader, name, uid, now)
            for name, uid in zip(backup.evidence, backup.checks, strict=True)
            if checks[uid].on(day)
        ]
        if evidence:
            statuses.append(BackupStatus(backup, combined_state([one.status.state for one in evidence]), evidence))
    return statuses


def combined_state(states: Sequence[int]) -> int:
    """What all of these together are; not known where there is none."""
    together = combine(([TimelineSegment(0, 1, state)] for state in states), ALL)
    return together[0].state if together else UNKNOWN


async def backup_histories(
    reader: LedgerReader, statuses: Sequence[BackupStatus], window: Interval
) -> dict[str, BackupHistory]:
    """By the backup's id, how it was over a window up to now."""
    entries = [one.entry for status in statuses for one in status.evidence if one.entry is not None]
    by_row = await timelines(reader, entries, window)
    histories = {}
    for status in statuses:
        together = combine((by_row[one.entry.row] for one in status.evidence if one.entry is not None), ALL)
        histories[status.backup.id] = BackupHistory(_since(together, status.state, window[0]), measure(together))
    return histories


def _since(together: Sequence[TimelineSegment], state: int, begin: int) -> int | None:
    """Where the stretch of this state begins that lasts until now, whatever of it is proven; exclusions break none."""
    since = None
    for segment in reversed(together):
        if segment.state == state:
            since = segment.start if segment.start > begin else None
        elif segment.state != EXCLUDED:
            break
    return since


def _evidence(reader: LedgerReader, name: str, uid: str, now: int) -> BackupEvidence:
    entry = reader.of_inventory(uid)
    if entry is None or reader.registered(entry).ended is not None:
        return BackupEvidence(name, None, NO_STATUS_YET)
    return BackupEvidence(name, entry, reader.status(entry, now), reader.measures(entry))
