"""Repositories: what copies they hold, and whether they are sound; each program's module is loaded when asked for."""

from typing import TYPE_CHECKING

from agent.backup.facts import Facts, Question, Verdict

if TYPE_CHECKING:
    from agent.backup.integrity.meter import Meter
    from agent.backup.integrity.read import Marks


def look(question: Question, now: float) -> Facts:
    """What there is. Raises Refused."""
    if question.evidence == "restic":
        from agent.backup.repositories import restic

        return restic.look(question, now)
    if question.evidence == "borg":
        from agent.backup.repositories import borg

        return borg.look(question, now)
    if question.evidence == "rsnapshot":
        from agent.backup.repositories import rsnapshot

        return rsnapshot.look(question, now)
    from agent.backup.repositories import bacula

    return bacula.look(question, now)


def verify(question: Question, meter: "Meter", marks: "Marks", stage: list[str]) -> Verdict:
    """Read a repository through, or have its own program check it. Raises Refused, Stopped."""
    if question.evidence == "restic":
        from agent.backup.repositories import restic

        return restic.verify(question, meter, marks, stage)
    from agent.backup.repositories import borg

    return borg.verify(question, meter, marks, stage)
