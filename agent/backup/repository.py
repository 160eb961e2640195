"""Repositories: what copies they hold, and whether they are sound; each program's module is loaded when asked for."""

from typing import TYPE_CHECKING

from agent.backup.facts import Facts, Question, Verdict

if TYPE_CHECKING:
    from agent.backup.integrity.meter import Meter
    from agent.backup.integrity.read import Marks


def look(query: Question, now: float) -> Facts:
    """What there is. Raises Refused."""
    if query.evidence == "restic":
        from agent.backup.repositories import restic

        return restic.look(query, now)
    if query.evidence == "borg":
        from agent.backup.repositories import borg

        return borg.look(query, now)
    if query.evidence == "rsnapshot":
        from agent.backup.repositories import rsnapshot

        return rsnapshot.look(query, now)
    from agent.backup.repositories import bacula

    return bacula.look(query, now)


def verify(query: Question, meter: "Meter", marks: "Marks", stage: list[str]) -> Verdict:
    """Read a repository through, or have its own program check it. Raises Refused, Stopped."""
    if query.evidence == "restic":
        from agent.backup.repositories import restic

        return restic.verify(query, meter, marks, stage)
    from agent.backup.repositories import borg

    return borg.verify(query, meter, marks, stage)
