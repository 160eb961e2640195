"""Assign problems to incidents: members as they are now, and new problems to the incident of their root.

A problem that is confirmed joins the open incident of its root or opens one; what is not confirmed joins nothing.
"""

from msgspec.structs import replace

from alerts.incident.draft import IncidentDraft
from alerts.incident.entities import Incident, IncidentMember
from alerts.incident.grouping.members import new_incident, updated_member, with_joined
from alerts.incident.problem import ActiveProblem

ProblemGroups = dict[str, list[ActiveProblem]]
"""Problems by the key of the incident that they join, or by their root."""


def refresh_members(draft: IncidentDraft) -> None:
    """Open incidents with their members as they are now."""
    for incident in tuple(draft.open.values()):
        draft.put_if_changed(_refreshed(incident, draft), incident)


def _refreshed(incident: Incident, draft: IncidentDraft) -> Incident:
    changed: dict[str, IncidentMember] = {}
    for key, member in incident.members.items():
        if member.until is not None:
            continue
        problem = draft.problems.get(key)
        if problem is not None:
            updated = updated_member(member, problem)
        elif draft.is_gone(key):
            updated = replace(member, until=draft.at, known=True, withdrawn=True)
        elif draft.is_unknown(key):
            updated = replace(member, known=False) if member.known else member
        else:
            updated = replace(member, until=draft.at, known=True)
        if updated is not member:
            changed[key] = updated
    return replace(incident, members={**incident.members, **changed}) if changed else incident


def assign_new_problems(draft: IncidentDraft) -> tuple[ProblemGroups, ProblemGroups]:
    """Problems that are no open member yet: those that join an incident (the one of their root, or the one that waited
    for their end), and those that have none."""
    members: set[str] = set()
    over: dict[str, str] = {}
    for incident in draft.open.values():
        for name, member in incident.members.items():
            if member.until is None:
                members.add(name)
            else:
                over[name] = incident.key
    by_root = {incident.cause.root: incident.key for incident in draft.open.values()}
    joining: ProblemGroups = {}
    opening: ProblemGroups = {}
    for name, problem in draft.problems.items():
        if name in members or not problem.confirmed:
            continue
        root = problem.cause.root
        former_incident = over.get(name)
        if root in by_root:
            joining.setdefault(by_root[root], []).append(problem)
        elif former_incident is not None and root in draft.open[former_incident].roots:
            joining.setdefault(former_incident, []).append(problem)
        else:
            opening.setdefault(root, []).append(problem)
    return joining, opening


def join_incidents(draft: IncidentDraft, joining: ProblemGroups) -> None:
    for key in sorted(joining):
        draft.put(with_joined(draft.open[key], joining[key], draft.at))


def open_incidents(draft: IncidentDraft, opening: ProblemGroups) -> None:
    for root in sorted(opening):
        draft.put(new_incident(draft, opening[root]))
