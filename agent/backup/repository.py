"""Repositories of copies: list them, check them; each program's module is loaded when asked for."""

from typing import TYPE_CHECKING

from agent.backup.facts import BackupFacts, BackupQuery, ReadVerdict

if TYPE_CHECKING:
    from agent.backup.integrity.meter import Meter
    from agent.backup.integrity.read import ReadMarks


def scan(query: BackupQuery, now: float) -> BackupFacts:
    """What there is. Raises Refused."""
    if query.evidence == "restic":
        from agent.backup.repositories import restic

        return restic.scan(query, now)
    if query.evidence == "borg":
        from agent.backup.repositories import borg

        return borg.scan(query, now)
    if query.evidence == "rsnapshot":
        from agent.backup.repositories import rsnapshot

        return rsnapshot.scan(query, now)
    from agent.backup.repositories import bacula

    return bacula.scan(query, now)


def verify(query: BackupQuery, meter: "Meter", marks: "ReadMarks", stage: list[str]) -> ReadVerdict:
    """Read a repository through, or have its own program check it. Raises Refused, Stopped."""
    if query.evidence == "restic":
        from agent.backup.repositories import restic

        return restic.verify(query, meter, marks, stage)
    from agent.backup.repositories import borg

    return borg.verify(query, meter, marks, stage)
