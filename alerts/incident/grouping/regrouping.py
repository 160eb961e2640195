"""Regroup incidents whose members' roots were revised: re-rooted, merged or split, until there is one a root.

The incident takes the new root if its members agree, is merged into the incident that has that root already, or loses
those that have another one.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from alerts.incident.draft import IncidentDraft, with_history
from alerts.incident.entities import Incident
from alerts.incident.grouping.members import new_incident, with_joined
from alerts.incident.grouping.merging import merge
from alerts.incident.levels import leading_problem
from alerts.incident.problem import ActiveProblem


def regroup_by_root(draft: IncidentDraft, keys: Iterable[str]) -> None:
    """Of these open incidents, those whose members have another root by now. One pass an incident; what a merge brings
    together comes up once more."""
    waiting = sorted(key for key in keys if _root_changed(draft.open[key], draft))
    if not waiting:
        return
    by_root = {incident.cause.root: incident.key for incident in draft.open.values()}
    passes_left = 2 * len(draft.open) + 2
    while waiting and passes_left:
        passes_left -= 1
        incident = draft.open.get(waiting.pop(0))
        if incident is None:
            continue
        groups = _by_root(incident, draft)
        kept_root = _kept_root(incident, groups)
        if kept_root != incident.cause.root:
            other = draft.open.get(by_root.get(kept_root, ""))
            by_root.pop(incident.cause.root, None)
            incident = _with_root(incident, groups[kept_root], draft.at)
            if other is not None:
                incident = merge(draft, other, incident)
                waiting.append(incident.key)
            by_root[kept_root] = incident.key
            draft.put(incident)
        for root in sorted(groups.keys() - {kept_root}):
            _split_off(draft, incident.key, groups[root], by_root)


def _root_changed(incident: Incident, draft: IncidentDraft) -> bool:
    root = incident.cause.root
    for key, member in incident.members.items():
        if member.until is None:
            problem = draft.problems.get(key)
            if problem is not None and problem.cause.root != root and problem.confirmed:
                return True
    return False


def _by_root(incident: Incident, draft: IncidentDraft) -> dict[str, list[ActiveProblem]]:
    """The members that decide, confirmed and present, by the roots that they have now."""
    groups: dict[str, list[ActiveProblem]] = {}
    for key, member in incident.members.items():
        problem = draft.problems.get(key)
        if member.until is None and problem is not None and problem.confirmed:
            groups.setdefault(problem.cause.root, []).append(problem)
    return groups


def _kept_root(incident: Incident, groups: dict[str, list[ActiveProblem]]) -> str:
    """The incident's own while a member has it; else the one most members have, of those the oldest."""
    if incident.cause.root in groups or not groups:
        return incident.cause.root
    return min(groups, key=lambda root: (-len(groups[root]), min(problem.since for problem in groups[root]), root))


def _with_root(incident: Incident, problems: list[ActiveProblem], at: int) -> Incident:
    cause = leading_problem(problems).cause
    roots = incident.roots if cause.root in incident.roots else (*incident.roots, cause.root)
    return with_history(replace(incident, cause=cause, roots=roots), at, "cause", text=cause.root)


def _split_off(draft: IncidentDraft, key: str, problems: list[ActiveProblem], by_root: dict[str, str]) -> None:
    """Members that have another root than their incident: into the incident of that root, or one of their own."""
    root = problems[0].cause.root
    incident = draft.open[key]
    keys = {problem.key for problem in problems}
    remaining = {name: member for name, member in incident.members.items() if name not in keys}
    other = draft.open.get(by_root.get(root, ""))
    if other is None:
        other = new_incident(draft, problems)
        other = with_history(other, draft.at, "split", text=key)
        by_root[root] = other.key
    else:
        other = with_joined(other, problems, draft.at)
    draft.put(other)
    draft.put(with_history(replace(incident, members=remaining), draft.at, "split", text=other.key))
