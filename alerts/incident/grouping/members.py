"""Members of incidents, made of problems; incidents that are opened with them or take them in."""

from collections.abc import Iterable

from msgspec.structs import replace

from alerts.incident.draft import IncidentDraft, with_history
from alerts.incident.entities import Incident, IncidentMember
from alerts.incident.flapping import inherited_changes, with_state_change
from alerts.incident.levels import leading_problem
from alerts.incident.problem import ActiveProblem


def member_of(problem: ActiveProblem, joined: int, until: int | None = None) -> IncidentMember:
    return IncidentMember(
        key=problem.key,
        condition=problem.condition,
        subject=problem.subject,
        severity=problem.severity,
        since=problem.since,
        joined=joined,
        until=until,
        reason=problem.reason,
        message=problem.message,
        excluded=problem.excluded,
        recover_ms=problem.recover_ms,
        once=problem.once,
    )


def updated_member(member: IncidentMember, problem: ActiveProblem) -> IncidentMember:
    """The member as the problem is now; itself if nothing is different."""
    updated = member_of(problem, member.joined)
    return member if updated == member else updated


def with_joined(incident: Incident, problems: Iterable[ActiveProblem], at: int) -> Incident:
    """The incident with these as open members."""
    members = dict(incident.members)
    new = 0
    for problem in _in_order(problems):
        existing = members.get(problem.key)
        new += existing is None
        members[problem.key] = member_of(problem, at if existing is None else existing.joined)
    incident = replace(incident, members=members, opened=min(incident.opened, *(m.since for m in members.values())))
    return with_history(incident, at, "grew", text=str(new)) if new else incident


def new_incident(draft: IncidentDraft, problems: list[ActiveProblem]) -> Incident:
    """A new incident of problems with one root."""
    cause = leading_problem(problems).cause
    since = min(problem.since for problem in problems)
    incident = Incident(
        key=draft.new_key(cause.root, since),
        cause=cause,
        severity="info",  # recalculated with the others
        opened=since,
        noticed=draft.at,
        members={problem.key: member_of(problem, draft.at) for problem in _in_order(problems)},
        roots=(cause.root,),
        changes=inherited_changes(draft, cause.root),
    )
    return with_state_change(with_history(incident, draft.at, "opened", text=cause.root), draft.at, draft.alerting)


def _in_order(problems: Iterable[ActiveProblem]) -> list[ActiveProblem]:
    return sorted(problems, key=lambda problem: (problem.since, problem.key))
