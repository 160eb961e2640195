"""Merge two incidents that turn out to have one root."""

from msgspec.structs import replace

from alerts.incident.draft import IncidentDraft, with_history
from alerts.incident.entities import Incident, NotifiedContact


def merge(draft: IncidentDraft, one: Incident, other: Incident) -> Incident:
    """The younger goes into the older, which keeps its key and gets the root that ``one`` has.

    Nobody is notified anew: who was notified of either was notified of what is left. Each goes on in the thread that
    they have, those who have two in that of the older one.
    """
    older, younger = sorted((one, other), key=lambda incident: (incident.opened, incident.noticed, incident.key))
    return absorb(draft, replace(older, cause=one.cause), younger)


def absorb(draft: IncidentDraft, older: Incident, younger: Incident) -> Incident:
    """The one with the other in it; the other is closed."""
    members = dict(older.members)
    for key, member in younger.members.items():
        if key not in members or members[key].until is not None:
            members[key] = member
    survivor = replace(
        older,
        members=members,
        notified={
            **younger.notified,
            **{who: _merge_notified(notified, younger.notified.get(who)) for who, notified in older.notified.items()},
        },
        roots=tuple(dict.fromkeys((*older.roots, *younger.roots))),
        acked=older.acked or younger.acked,
        snoozed=older.snoozed if younger.snoozed is None else max(older.snoozed or 0, younger.snoozed),
        changes=max(older.changes, younger.changes, key=len),  # one's: their changes at once are no flapping
        flapping=older.flapping or younger.flapping,
        recovering=None if older.recovering is None or younger.recovering is None else younger.recovering,
        absorbed=(*older.absorbed, younger.key, *younger.absorbed),
    )
    survivor = with_history(survivor, draft.at, "merged", text=younger.key)
    closed_incident = replace(
        younger, closed=draft.at, ended=draft.at, resolution="merged", into=older.key, recovering=None
    )
    draft.put(with_history(closed_incident, draft.at, "merged", text=older.key))
    draft.put(survivor)
    return survivor


def _merge_notified(notified: NotifiedContact, other: NotifiedContact | None) -> NotifiedContact:
    if other is None:
        return notified
    return replace(
        notified,
        first=min(notified.first, other.first),
        last=max(notified.last, other.last),
        count=max(notified.count, other.count),
    )
