"""What follows of an incident from its members as they are: how bad, why, whether it is over."""

from collections.abc import Iterable

from msgspec.structs import replace

from alerts.incident.draft import noted
from alerts.incident.entities import Incident, Member
from alerts.incident.flapping import steadied, turned
from alerts.incident.problem import Cause, Trouble
from inventory.model.alerting import SEVERITIES, Alerting, Severity

_SURENESS = {"sure": 0, "probable": 1, "provisional": 2}
_WEIGHT = {severity: weight for weight, severity in enumerate(SEVERITIES)}


def settled(incident: Incident, present: dict[str, Trouble], at: int, alerting: Alerting) -> Incident:
    """The incident with its severity, cause and recovery as its members have them now; itself if nothing changed."""
    open_members = [member for member in incident.members.values() if member.until is None]
    if open_members:
        incident = _excluded(incident, all(member.excluded for member in open_members), at)
        incident = _severity(incident, worst(open_members), at)
        incident = _cause(incident, [present[member.key] for member in open_members if member.key in present], at)
        if incident.recovering is not None:
            incident = replace(incident, recovering=None)
            incident = turned(incident if incident.flapping else noted(incident, at, "relapsed"), at, alerting)
    elif incident.recovering is None:
        incident = replace(incident, recovering=at)
        incident = turned(incident if incident.flapping else noted(incident, at, "recovering"), at, alerting)
    elif incident.recovering != at and _doubtful(incident, present):
        incident = replace(incident, recovering=at)  # not quiet yet
    return steadied(incident, at, alerting)


def _doubtful(incident: Incident, present: dict[str, Trouble]) -> bool:
    """Whether a member looks wrong again, though that is not confirmed."""
    again = (present[key] for key in incident.members if key in present)
    return any(not problem.confirmed and problem.cause.root in incident.roots for problem in again)


def worst(members: Iterable[Member]) -> Severity:
    """The severity of the worst member; one in maintenance counts only where all are."""
    members = list(members)
    counted = [member for member in members if not member.excluded] or members
    return max((member.severity for member in counted), key=_WEIGHT.__getitem__)


def heavier(one: Severity, other: Severity) -> bool:
    return _WEIGHT[one] > _WEIGHT[other]


def leading(problems: Iterable[Trouble]) -> Trouble:
    """The one whose cause speaks for all: the surest, of those the oldest."""
    return min(problems, key=lambda problem: (_SURENESS[problem.cause.certainty], problem.since, problem.key))


def _excluded(incident: Incident, excluded: bool, at: int) -> Incident:
    if incident.excluded == excluded:
        return incident
    return noted(replace(incident, excluded=excluded), at, "excluded" if excluded else "included")


def _severity(incident: Incident, severity: Severity, at: int) -> Incident:
    if incident.severity == severity:
        return incident
    rose = heavier(severity, incident.severity) and incident.noticed != at
    incident = replace(incident, severity=severity)
    return noted(incident, at, "severity", text=severity) if rose else incident


def _cause(incident: Incident, problems: list[Trouble], at: int) -> Incident:
    of_root = [problem for problem in problems if problem.cause.root == incident.cause.root]
    if not of_root:
        return incident
    cause: Cause = leading(of_root).cause
    if cause == incident.cause:
        return incident
    revised = cause.cause != incident.cause.cause
    incident = replace(incident, cause=cause)
    return noted(incident, at, "cause", text=cause.root) if revised else incident
