"""Assign problems to incidents: one incident for each root, re-rooted, merged or split as roots change.

A trouble that is confirmed joins the open incident of its root or opens one; what is not confirmed joins nothing. Where
the roots of an incident's members were revised, the incident takes the new root if they agree, is merged into the
incident that has that root already, or loses those that have another one.
"""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from alerts.incident.draft import IncidentDraft, with_history
from alerts.incident.entities import Incident, IncidentMember
from alerts.incident.flapping import inherited_changes, with_state_change
from alerts.incident.levels import leading_problem, recalculated
from alerts.incident.merging import merge
from alerts.incident.problem import ActiveProblem
from alerts.incident.state import StepInput, membership_test
from inventory.model.alerting import Alerting

ProblemsByKey = dict[str, ActiveProblem]


def update_members(draft: IncidentDraft, step_input: StepInput, alerting: Alerting) -> None:
    """The troubles of this moment, into the incidents."""
    problems = {problem.key: problem for problem in step_input.problems}
    unknown, gone = membership_test(step_input.unknown), membership_test(step_input.gone)
    for incident in tuple(draft.open.values()):
        updated = refresh_members(incident, problems, unknown, gone, draft.at)
        if updated is not incident:
            draft.put(updated)
    regroup_by_root(draft, problems, alerting)
    _join_new(draft, problems, alerting)
    for incident in tuple(draft.open.values()):
        updated = recalculated(incident, problems, draft.at, alerting)
        if updated is not incident:
            draft.put(updated)


def refresh_members(
    incident: Incident, problems: ProblemsByKey, unknown: Callable[[str], bool], gone: Callable[[str], bool], at: int
) -> Incident:
    """The incident with its members as they are now; itself if none is different."""
    changed: dict[str, IncidentMember] = {}
    for key, member in incident.members.items():
        if member.until is not None:
            continue
        problem = problems.get(key)
        if problem is not None:
            updated = _updated_member(member, problem)
        elif gone(key):
            updated = replace(member, until=at, known=True, withdrawn=True)
        elif unknown(key):
            updated = replace(member, known=False) if member.known else member
        else:
            updated = replace(member, until=at, known=True)
        if updated is not member:
            changed[key] = updated
    return replace(incident, members={**incident.members, **changed}) if changed else incident


def _updated_member(member: IncidentMember, problem: ActiveProblem) -> IncidentMember:
    same = (
        member.subject == problem.subject
        and member.since == problem.since
        and member.severity == problem.severity
        and member.excluded == problem.excluded
        and member.known
        and member.reason == problem.reason
        and member.said == problem.said
        and member.condition == problem.condition
        and (member.recover_ms, member.once) == (problem.recover_ms, problem.once)
    )
    return member if same else _member(problem, member.joined)


def _member(problem: ActiveProblem, joined: int) -> IncidentMember:
    return IncidentMember(
        key=problem.key,
        condition=problem.condition,
        subject=problem.subject,
        severity=problem.severity,
        since=problem.since,
        joined=joined,
        reason=problem.reason,
        said=problem.said,
        excluded=problem.excluded,
        recover_ms=problem.recover_ms,
        once=problem.once,
    )


def regroup_by_root(draft: IncidentDraft, problems: ProblemsByKey, alerting: Alerting) -> None:
    """Incidents whose members' roots are no longer theirs: re-rooted, merged, split. One pass an incident; what a
    merge brings together comes up once more."""
    by_root = {incident.cause.root: incident.key for incident in draft.open.values()}
    waiting = sorted(key for key, incident in draft.open.items() if _root_changed(incident, problems))
    turns_left = 2 * len(draft.open) + 2
    while waiting and turns_left:
        turns_left -= 1
        incident = draft.open.get(waiting.pop(0))
        if incident is None:
            continue
        groups = _by_root(incident, problems)
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
            _split_off(draft, incident.key, groups[root], by_root, alerting)


def _root_changed(incident: Incident, problems: ProblemsByKey) -> bool:
    root = incident.cause.root
    for key, member in incident.members.items():
        if member.until is None:
            problem = problems.get(key)
            if problem is not None and problem.cause.root != root and problem.confirmed:
                return True
    return False


def _by_root(incident: Incident, problems: ProblemsByKey) -> dict[str, list[ActiveProblem]]:
    """The members that have a say, confirmed and present, by the roots that they have now."""
    groups: dict[str, list[ActiveProblem]] = {}
    for key, member in incident.members.items():
        problem = problems.get(key)
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


def _split_off(
    draft: IncidentDraft, key: str, problems: list[ActiveProblem], by_root: dict[str, str], alerting: Alerting
) -> None:
    """Members that have another root than their incident: into the incident of that root, or one of their own."""
    root = problems[0].cause.root
    incident = draft.open[key]
    keys = {problem.key for problem in problems}
    remaining = {name: member for name, member in incident.members.items() if name not in keys}
    other = draft.open.get(by_root.get(root, ""))
    if other is None:
        other = open_incident(draft, problems, alerting)
        other = with_history(other, draft.at, "split", text=key)
        by_root[root] = other.key
    else:
        other = with_joined(other, problems, draft.at)
    draft.put(other)
    draft.put(with_history(replace(incident, members=remaining), draft.at, "split", text=other.key))


def _join_new(draft: IncidentDraft, problems: ProblemsByKey, alerting: Alerting) -> None:
    """Troubles that are no open member yet: back into the incident that waited for its end, into the one of their
    root, or into new ones."""
    members: set[str] = set()
    over: dict[str, str] = {}
    for incident in draft.open.values():
        for name, member in incident.members.items():
            if member.until is None:
                members.add(name)
            else:
                over[name] = incident.key
    by_root = {incident.cause.root: incident.key for incident in draft.open.values()}
    joining: dict[str, list[ActiveProblem]] = {}
    opening: dict[str, list[ActiveProblem]] = {}
    for name, problem in problems.items():
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
    for key in sorted(joining):
        draft.put(with_joined(draft.open[key], joining[key], draft.at))
    for root in sorted(opening):
        draft.put(open_incident(draft, opening[root], alerting))
    if any(_root_changed(draft.open[key], problems) for key in joining):  # came back with a root that it had before
        regroup_by_root(draft, problems, alerting)


def with_joined(incident: Incident, problems: Iterable[ActiveProblem], at: int) -> Incident:
    """The incident with these as open members."""
    members = dict(incident.members)
    new = 0
    for problem in _in_order(problems):
        existing = members.get(problem.key)
        new += existing is None
        members[problem.key] = _member(problem, at if existing is None else existing.joined)
    incident = replace(incident, members=members, opened=min(incident.opened, *(m.since for m in members.values())))
    return with_history(incident, at, "grew", text=str(new)) if new else incident


def open_incident(draft: IncidentDraft, problems: list[ActiveProblem], alerting: Alerting) -> Incident:
    """A new incident of troubles with one root."""
    cause = leading_problem(problems).cause
    since = min(problem.since for problem in problems)
    incident = Incident(
        key=draft.new_key(cause.root, since),
        cause=cause,
        severity="info",  # settled with the others
        opened=since,
        noticed=draft.at,
        members={problem.key: _member(problem, draft.at) for problem in _in_order(problems)},
        roots=(cause.root,),
        changes=inherited_changes(draft, cause.root, alerting),
    )
    return with_state_change(with_history(incident, draft.at, "opened", text=cause.root), draft.at, alerting)


def _in_order(problems: Iterable[ActiveProblem]) -> list[ActiveProblem]:
    return sorted(problems, key=lambda problem: (problem.since, problem.key))
