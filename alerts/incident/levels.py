"""Work out an incident's severity, cause and recovery from its members."""

from collections.abc import Iterable

from msgspec.structs import replace

from alerts.incident.draft import IncidentDraft, with_history
from alerts.incident.entities import Incident, IncidentMember
from alerts.incident.flapping import end_flapping_if_steady, with_state_change
from alerts.incident.problem import ActiveProblem, Cause
from inventory.model.alerting import SEVERITIES, Severity

_CERTAINTY_RANK = {"sure": 0, "probable": 1, "provisional": 2}
_SEVERITY_RANK = {severity: weight for weight, severity in enumerate(SEVERITIES)}


def recalculate(draft: IncidentDraft) -> None:
    """Open incidents with their severity, cause and recovery as their members have them now."""
    for incident in tuple(draft.open.values()):
        draft.put_if_changed(_recalculated(incident, draft), incident)


def _recalculated(incident: Incident, draft: IncidentDraft) -> Incident:
    at, alerting, present = draft.at, draft.alerting, draft.problems
    open_members = [member for member in incident.members.values() if member.until is None]
    if open_members:
        incident = _with_excluded(incident, all(member.excluded for member in open_members), at)
        incident = _with_severity(incident, worst_severity(open_members), at)
        incident = _with_cause(incident, [present[member.key] for member in open_members if member.key in present], at)
        if incident.recovering is not None:
            incident = replace(incident, recovering=None)
            incident = with_state_change(
                incident if incident.flapping else with_history(incident, at, "relapsed"), at, alerting
            )
    elif incident.recovering is None:
        incident = replace(incident, recovering=at)
        incident = with_state_change(
            incident if incident.flapping else with_history(incident, at, "recovering"), at, alerting
        )
    elif incident.recovering != at and _maybe_failing(incident, present):
        incident = replace(incident, recovering=at)  # not quiet yet
    return end_flapping_if_steady(incident, at, alerting)


def _maybe_failing(incident: Incident, present: dict[str, ActiveProblem]) -> bool:
    """Whether a member looks wrong again, though that is not confirmed."""
    again = (present[key] for key in incident.members if key in present)
    return any(not problem.confirmed and problem.cause.root in incident.roots for problem in again)


def worst_severity(members: Iterable[IncidentMember]) -> Severity:
    """The severity of the worst member; one in maintenance counts only where all are."""
    members = list(members)
    counted = [member for member in members if not member.excluded] or members
    return max((member.severity for member in counted), key=_SEVERITY_RANK.__getitem__)


def more_severe(one: Severity, other: Severity) -> bool:
    return _SEVERITY_RANK[one] > _SEVERITY_RANK[other]


def leading_problem(problems: Iterable[ActiveProblem]) -> ActiveProblem:
    """The one whose cause holds for all: the surest, of those the oldest."""
    return min(problems, key=lambda problem: (_CERTAINTY_RANK[problem.cause.certainty], problem.since, problem.key))


def _with_excluded(incident: Incident, excluded: bool, at: int) -> Incident:
    if incident.excluded == excluded:
        return incident
    return with_history(replace(incident, excluded=excluded), at, "excluded" if excluded else "included")


def _with_severity(incident: Incident, severity: Severity, at: int) -> Incident:
    if incident.severity == severity:
        return incident
    rose = more_severe(severity, incident.severity) and incident.noticed != at
    incident = replace(incident, severity=severity)
    return with_history(incident, at, "severity", text=severity) if rose else incident


def _with_cause(incident: Incident, problems: list[ActiveProblem], at: int) -> Incident:
    of_root = [problem for problem in problems if problem.cause.root == incident.cause.root]
    if not of_root:
        return incident
    cause: Cause = leading_problem(of_root).cause
    if cause == incident.cause:
        return incident
    revised = cause.cause != incident.cause.cause
    incident = replace(incident, cause=cause)
    return with_history(incident, at, "cause", text=cause.root) if revised else incident
