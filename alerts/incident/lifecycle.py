"""The end of an incident, what came to light when it was over, and what need not be remembered any more."""

from collections.abc import Iterable

from msgspec.structs import replace

from alerts.incident.draft import Bench, noted
from alerts.incident.entities import Incident, Member
from alerts.incident.levels import leading, worst
from alerts.incident.problem import Past, Trouble
from inventory.model.alerting import Alerting

# How long at least a closed incident is remembered: until a digest has told it, and no key can be given twice.
KEPT_MS = 26 * 3_600_000

# An incident known only from the journal of what was sent, whose members nobody knows: so long for them to turn up.
UNSEEN_MS = 15 * 60_000


def close(bench: Bench, alerting: Alerting) -> int | None:
    """Incidents whose members all are over, for as long as each of them needs; when the next one will be."""
    soonest: int | None = None
    for incident in tuple(bench.open.values()):
        if incident.recovering is None:
            continue
        over = incident.recovering + quiet_ms(incident, alerting)
        if bench.at >= over:
            bench.put(_closed(incident, bench.at))
        else:
            soonest = over if soonest is None else min(soonest, over)
    return soonest


def quiet_ms(incident: Incident, alerting: Alerting) -> int:
    """For how long all members have to be over until the incident is."""
    if not incident.members:
        return UNSEEN_MS
    if all(member.withdrawn for member in incident.members.values()):
        return 0
    steady = alerting.steady_ms if incident.flapping else 0
    return max(steady, *(member.recover_ms for member in incident.members.values() if not member.withdrawn))


def _closed(incident: Incident, at: int) -> Incident:
    members = incident.members.values()
    withdrawn = bool(members) and all(member.withdrawn for member in members)
    ended = max((member.until for member in members if member.until is not None), default=incident.recovering)
    incident = replace(incident, ended=ended, closed=at, why="withdrawn" if withdrawn else "recovered", recovering=None)
    return noted(incident, at, "closed", text=incident.why)


def record(bench: Bench, past: Iterable[Past]) -> None:
    """What was over when its evidence came: the true end of what is known, else an incident of its own, one a root."""
    found: dict[str, list[Past]] = {}
    ends: dict[tuple[str, str], int] = {}
    known = _known(bench)
    for one in sorted(past, key=lambda one: (one.trouble.since, one.until, one.trouble.key)):
        name = one.trouble.key
        keys = [key for key in known.get(name, ()) if _same(bench, key, one)]
        for key in keys:
            ends[key, name] = max(one.until, ends.get((key, name), 0))
        if not keys:
            found.setdefault(one.trouble.cause.root, []).append(one)
    for (key, name), until in sorted(ends.items()):
        _end_better_known(bench, key, name, until)
    for root in sorted(found):
        for together in _overlapping(found[root]):
            bench.put(_late(bench, root, together))


def _known(bench: Bench) -> dict[str, list[str]]:
    """For each trouble the incidents in which it is a member."""
    found: dict[str, list[str]] = {}
    for shelf in (bench.open, bench.ended, bench.closed):
        for incident in shelf.values():
            if incident.why != "merged":
                for key in incident.members:
                    found.setdefault(key, []).append(incident.key)
    return found


def _same(bench: Bench, key: str, past: Past) -> bool:
    """Whether the past trouble is the time, or a part of it, that is known as the member of an incident."""
    incident = bench.incident(key)
    assert incident is not None
    member = incident.members[past.trouble.key]
    until = member.until if member.until is not None else bench.at
    # a member that came and went within the incident has the latest time only
    return past.trouble.since <= until and min(member.since, incident.opened) <= past.until


def _end_better_known(bench: Bench, key: str, name: str, until: int) -> None:
    """The member was seen to be over when the machine looked; in truth it was so earlier."""
    incident = bench.incident(key)
    assert incident is not None
    member = incident.members[name]
    if incident.why == "late" or member.until is None or not member.since <= until < member.until:
        return
    members = {**incident.members, member.key: replace(member, until=until)}
    incident = replace(incident, members=members)
    if incident.ended is not None:
        incident = replace(incident, ended=max(one.until or 0 for one in members.values()))
    bench.put(incident)


def _overlapping(past: list[Past]) -> list[list[Past]]:
    """By time: what overlaps is one."""
    groups: list[list[Past]] = []
    until = -1
    for one in past:
        if groups and one.trouble.since <= until:
            groups[-1].append(one)
        else:
            groups.append([one])
            until = -1
        until = max(until, one.until)
    return groups


def _late(bench: Bench, root: str, past: list[Past]) -> Incident:
    opened = min(one.trouble.since for one in past)
    members: dict[str, Member] = {}
    for one in past:
        member = _member(one.trouble, one.until, bench.at)
        before = members.get(member.key)
        if before is not None:  # twice in it: from the first to the last
            member = replace(before, until=max(before.until or 0, one.until))
        members[member.key] = member
    incident = Incident(
        key=bench.new_key(root, opened),
        cause=leading(one.trouble for one in past).cause,
        severity=worst(members.values()),
        opened=opened,
        noticed=bench.at,
        members=members,
        roots=(root,),
        excluded=all(one.trouble.excluded for one in past),
        ended=max(one.until for one in past),
        closed=bench.at,
        why="late",
    )
    return noted(incident, bench.at, "closed", text="late")


def _member(trouble: Trouble, until: int, at: int) -> Member:
    return Member(
        key=trouble.key,
        condition=trouble.condition,
        subject=trouble.subject,
        severity=trouble.severity,
        since=trouble.since,
        joined=at,
        until=until,
        reason=trouble.reason,
        said=trouble.said,
        excluded=trouble.excluded,
        recover_ms=trouble.recover_ms,
        once=trouble.once,
    )


def forget(bench: Bench, alerting: Alerting) -> None:
    """Closed incidents that are old and that every digest has told."""
    before = bench.at - max(KEPT_MS, alerting.flap_ms)
    if alerting.digest is not None:
        before = min(before, min((box.digested for box in bench.mailboxes.values() if box.digest), default=before))
    for incident in [incident for incident in bench.closed.values() if (incident.closed or 0) < before]:
        if all(told.last < before for told in incident.told.values()):  # a recovery may have gone late
            bench.forget(incident.key)
