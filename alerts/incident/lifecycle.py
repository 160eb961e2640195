"""Close incidents that are over, record those that came to light late, forget old ones."""

from msgspec.structs import replace

from alerts.incident.draft import IncidentDraft, with_history
from alerts.incident.entities import Incident, IncidentMember
from alerts.incident.grouping.members import member_of
from alerts.incident.levels import leading_problem, worst_severity
from alerts.incident.problem import PastProblem

# How long at least a closed incident is remembered: until a digest had it, and no key can be given twice.
KEEP_CLOSED_MS = 26 * 3_600_000

# An incident known only from the notification log, whose members nobody knows: so long for them to turn up.
UNCONFIRMED_MS = 15 * 60_000


def close_recovered(draft: IncidentDraft) -> int | None:
    """Incidents whose members all are over, for as long as each of them needs; when the next one will be."""
    soonest: int | None = None
    for incident in tuple(draft.open.values()):
        if incident.recovering is None:
            continue
        due = incident.recovering + _recovery_ms(incident, draft)
        if draft.at >= due:
            draft.put(_closed(incident, draft.at))
        else:
            soonest = due if soonest is None else min(soonest, due)
    return soonest


def _recovery_ms(incident: Incident, draft: IncidentDraft) -> int:
    """For how long all members have to be over until the incident is."""
    if not incident.members:
        return UNCONFIRMED_MS
    if all(member.withdrawn for member in incident.members.values()):
        return 0
    steady = draft.alerting.steady_ms if incident.flapping else 0
    return max(steady, *(member.recover_ms for member in incident.members.values() if not member.withdrawn))


def _closed(incident: Incident, at: int) -> Incident:
    members = incident.members.values()
    withdrawn = bool(members) and all(member.withdrawn for member in members)
    ended = max((member.until for member in members if member.until is not None), default=incident.recovering)
    incident = replace(
        incident, ended=ended, closed=at, resolution="withdrawn" if withdrawn else "recovered", recovering=None
    )
    return with_history(incident, at, "closed", text=incident.resolution)


def record_past(draft: IncidentDraft) -> None:
    """What was over when its evidence came: the true end of what is known, else an incident of its own, one a root."""
    if not draft.step_input.past:
        return
    past_by_root: dict[str, list[PastProblem]] = {}
    ends: dict[tuple[str, str], int] = {}
    incidents_by_problem = _incidents_by_problem(draft)
    for late_problem in sorted(
        draft.step_input.past,
        key=lambda late_problem: (late_problem.problem.since, late_problem.until, late_problem.problem.key),
    ):
        name = late_problem.problem.key
        keys = [key for key in incidents_by_problem.get(name, ()) if _covers(draft, key, late_problem)]
        for key in keys:
            ends[key, name] = max(late_problem.until, ends.get((key, name), 0))
        if not keys:
            past_by_root.setdefault(late_problem.problem.cause.root, []).append(late_problem)
    for (key, name), until in sorted(ends.items()):
        _correct_end(draft, key, name, until)
    for root in sorted(past_by_root):
        for group in _overlapping(past_by_root[root]):
            draft.put(_late_incident(draft, root, group))


def _incidents_by_problem(draft: IncidentDraft) -> dict[str, list[str]]:
    """For each problem the incidents in which it is a member."""
    by_problem: dict[str, list[str]] = {}
    for incidents in (draft.open, draft.ended, draft.closed):
        for incident in incidents.values():
            if incident.resolution != "merged":
                for key in incident.members:
                    by_problem.setdefault(key, []).append(incident.key)
    return by_problem


def _covers(draft: IncidentDraft, key: str, late_problem: PastProblem) -> bool:
    """Whether the past problem is the time, or a part of it, that is known as the member of an incident."""
    incident = draft.incident(key)
    assert incident is not None
    member = incident.members[late_problem.problem.key]
    until = member.until if member.until is not None else draft.at
    # a member that came and went within the incident has the latest time only
    return late_problem.problem.since <= until and min(member.since, incident.opened) <= late_problem.until


def _correct_end(draft: IncidentDraft, key: str, name: str, until: int) -> None:
    """The member was seen to be over when the machine looked; in truth it was so earlier."""
    incident = draft.incident(key)
    assert incident is not None
    member = incident.members[name]
    if incident.resolution == "late" or member.until is None or not member.since <= until < member.until:
        return
    members = {**incident.members, member.key: replace(member, until=until)}
    incident = replace(incident, members=members)
    if incident.ended is not None:
        incident = replace(incident, ended=max(other.until or 0 for other in members.values()))
    draft.put(incident)


def _overlapping(past: list[PastProblem]) -> list[list[PastProblem]]:
    """By time: what overlaps is one."""
    groups: list[list[PastProblem]] = []
    until = -1
    for late_problem in past:
        if groups and late_problem.problem.since <= until:
            groups[-1].append(late_problem)
        else:
            groups.append([late_problem])
            until = -1
        until = max(until, late_problem.until)
    return groups


def _late_incident(draft: IncidentDraft, root: str, past: list[PastProblem]) -> Incident:
    opened = min(late_problem.problem.since for late_problem in past)
    members: dict[str, IncidentMember] = {}
    for late_problem in past:
        member = member_of(late_problem.problem, draft.at, late_problem.until)
        earlier = members.get(member.key)
        if earlier is not None:  # twice in it: from the first to the last
            member = replace(earlier, until=max(earlier.until or 0, late_problem.until))
        members[member.key] = member
    incident = Incident(
        key=draft.new_key(root, opened),
        cause=leading_problem(late_problem.problem for late_problem in past).cause,
        severity=worst_severity(members.values()),
        opened=opened,
        noticed=draft.at,
        members=members,
        roots=(root,),
        excluded=all(late_problem.problem.excluded for late_problem in past),
        ended=max(late_problem.until for late_problem in past),
        closed=draft.at,
        resolution="late",
    )
    return with_history(incident, draft.at, "closed", text="late")


def forget_old(draft: IncidentDraft) -> None:
    """Closed incidents that are old and that every digest had."""
    alerting = draft.alerting
    cutoff = draft.at - max(KEEP_CLOSED_MS, alerting.flap_ms)
    if alerting.digest is not None:
        cutoff = min(cutoff, min((queue.digested for queue in draft.queues.values() if queue.digest), default=cutoff))
    for incident in [incident for incident in draft.closed.values() if (incident.closed or 0) < cutoff]:
        if all(notified.last < cutoff for notified in incident.notified.values()):  # a recovery may have gone late
            draft.forget(incident.key)
