"""Reconcile the incident state with the notification log after a restore.

An incident that somebody was notified of and that the state does not know is opened again under its key, without
problems: if its root is still wrong these join it and nobody is notified anew; if not, it recovers and those who were
notified learn of it. What was notified as over is over. Acknowledgements are not in the log: those given since the copy
have to be given again.
"""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from alerts.incident.about import About
from alerts.incident.draft import IncidentDraft, end_member, with_history
from alerts.incident.entities import Incident, IncidentMember, NoticeKind, NotifiedContact
from alerts.incident.grouping.merging import absorb
from alerts.incident.problem import Cause, Subject
from alerts.incident.state import ContactQueue, IncidentState, StepInput
from inventory.model.alerting import HOUR
from inventory.protocol.causes import NOT_KNOWN
from inventory.protocol.refs import Ref


class SentNotice(About, frozen=True, kw_only=True):
    """A mail that was accepted by a relay, as the notification log has it."""

    kind: NoticeKind
    at: int  # when the notice was decided (ms)


def reconcile(state: IncidentState, sent: Iterable[SentNotice]) -> IncidentState:
    """The state as it has to be, knowing what was sent. What went before it was last written is in it; what went at
    that very moment may be."""
    entries = sorted((entry for entry in sent if entry.at >= state.at), key=lambda entry: (entry.at, entry.ident))
    if not entries:
        return state
    draft = IncidentDraft(state, StepInput(at=entries[-1].at))
    for entry in entries:
        if entry.kind == "digest":
            _apply_digest(draft, entry)
        else:
            _apply_mail(draft, entry)
            for notified_incident in _notified_incidents(entry):
                _apply_incident(draft, entry, notified_incident)
    _merge_by_root(draft)
    _dedupe_members(draft)
    return draft.state()


class _NotifiedIncident(msgspec.Struct, frozen=True):
    """One incident of an entry; the fields as in About, of it alone."""

    key: str
    kind: NoticeKind
    root: str
    opened: int
    also: tuple[str, ...]
    members: tuple[str, ...]


def _notified_incidents(entry: SentNotice) -> list[_NotifiedIncident]:
    """One for each incident; what an older log does not have is left open."""
    count = len(entry.incidents)
    return [
        _NotifiedIncident(*values)
        for values in zip(
            entry.incidents,
            entry.kinds or (entry.kind,) * count,
            entry.roots or tuple(f"incident:{key}" for key in entry.incidents),
            entry.opened or (entry.at,) * count,
            entry.also or ((),) * count,
            entry.members or ((),) * count,
            strict=True,
        )
    ]


def _apply_digest(draft: IncidentDraft, entry: SentNotice) -> None:
    queue = draft.queues.get(entry.contact, ContactQueue())
    if entry.day > queue.digest:
        draft.put_queue(entry.contact, replace(queue, digest=entry.day, digested=entry.at))


def _apply_mail(draft: IncidentDraft, entry: SentNotice) -> None:
    """The mail counts for the hour."""
    queue = draft.queues.get(entry.contact, ContactQueue())
    if entry.kind == "summary":
        draft.put_queue(entry.contact, replace(queue, summary=entry.at))
    elif entry.at not in queue.sent:
        sent_times = tuple(when for when in queue.sent if when > entry.at - HOUR)
        draft.put_queue(entry.contact, replace(queue, sent=(*sent_times, entry.at)))


def _apply_incident(draft: IncidentDraft, entry: SentNotice, notified_incident: _NotifiedIncident) -> None:
    incident = draft.incident(notified_incident.key) or _recreated_incident(entry, notified_incident)
    previous = incident.notified.get(entry.contact)
    if previous is not None and previous.last >= entry.at:
        return
    for key in notified_incident.also:
        merged = draft.incident(key)
        if merged is not None and merged.resolution != "merged" and key != notified_incident.key:
            incident = absorb(draft, incident, merged)
    notified = incident.notified.get(entry.contact)
    if notified is None:  # a thread that it answers began before the log does
        notified = NotifiedContact(
            contact=entry.contact, thread=entry.thread or entry.ident, first=entry.at, last=entry.at, count=0
        )
    notified = replace(
        notified,
        last=entry.at,
        count=notified.count + 1,
        recovered=notified_incident.kind == "recovery",
        severity=entry.severity,
        root=notified_incident.root if entry.roots else "",
        cause="",
    )
    incident = replace(incident, notified={**incident.notified, entry.contact: notified})
    if notified_incident.kind == "recovery":
        incident = _close_recovered(incident, entry.at)
    elif notified_incident.root != incident.cause.root:
        cause = Cause(root=notified_incident.root, cause=NOT_KNOWN, certainty="provisional")
        incident = replace(incident, cause=cause, roots=tuple(dict.fromkeys((*incident.roots, notified_incident.root))))
    draft.put(incident)


def _close_recovered(incident: Incident, at: int) -> Incident:
    """Somebody was notified that it is over, so it is; the others are still to learn it."""
    if not incident.open:
        return incident
    members = {key: end_member(member, at) for key, member in incident.members.items()}
    incident = replace(incident, members=members, ended=at, closed=at, resolution="recovered", recovering=None)
    return with_history(incident, at, "closed", text="recovered")


def _recreated_incident(entry: SentNotice, notified_incident: _NotifiedIncident) -> Incident:
    """An incident that the state does not know, of what the log has of it."""
    members = {
        key: IncidentMember(
            key=key,
            condition=Ref.parse(key).kind,
            subject=Subject(),
            severity=entry.severity,
            since=notified_incident.opened,
            joined=entry.at,
        )
        for key in notified_incident.members
    }
    incident = Incident(
        key=notified_incident.key,
        cause=Cause(root=notified_incident.root, cause=NOT_KNOWN, certainty="provisional"),
        severity=entry.severity,
        opened=notified_incident.opened,
        noticed=entry.at,
        members=members,
        roots=(notified_incident.root,),
    )
    return with_history(incident, entry.at, "opened", text=notified_incident.root)


def _merge_by_root(draft: IncidentDraft) -> None:
    """Of open incidents that have one root now, the state's and the log's, one is left."""
    by_root: dict[str, Incident] = {}
    for incident in sorted(draft.open.values(), key=lambda one: (one.opened, one.noticed, one.key)):
        root = incident.cause.root
        earlier = by_root.get(root)
        by_root[root] = incident if earlier is None else absorb(draft, earlier, incident)


def _dedupe_members(draft: IncidentDraft) -> None:
    """A problem that has another incident by the log than by the state is a member of the log's alone."""
    owners: dict[str, tuple[int, str]] = {}  # by problem: when it joined, and which incident
    for incident in sorted(draft.open.values(), key=lambda one: one.key):
        for name, member in incident.members.items():
            if member.until is None:
                owners[name] = max(owners.get(name, (0, "")), (member.joined, incident.key))
    for incident in tuple(draft.open.values()):
        members = {
            name: member
            for name, member in incident.members.items()
            if member.until is not None or owners[name][1] == incident.key
        }
        if len(members) < len(incident.members):
            draft.put(replace(incident, members=members))
