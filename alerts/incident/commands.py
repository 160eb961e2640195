"""Apply the operators' commands to incidents: acknowledge, snooze, comment, close."""

from typing import Final

from msgspec.structs import replace

from alerts.incident.draft import IncidentDraft, end_member, with_history
from alerts.incident.entities import Command, EntryKind, HistoryEntry, Incident

ENTRY_OF: Final[dict[str, EntryKind]] = {
    "acknowledge": "acknowledged",
    "snooze": "snoozed",
    "comment": "comment",
    "close": "closed",
}


def apply_commands(draft: IncidentDraft) -> None:
    """Each command once: one that is in the history already does nothing. Of incidents that were merged the one that
    they went into is meant; closed ones can only be commented."""
    for command in sorted(draft.step_input.commands, key=lambda one: (one.at, one.incident, one.what, one.who)):
        incident = _merge_target(draft, command.incident)
        if incident is None or _history_entry(command) in incident.history:
            continue
        if command.what == "comment":
            draft.put(_with_entry(incident, command))
        elif incident.open and command.what == "snooze":
            if command.until is not None:
                draft.put(_with_entry(replace(incident, snoozed=command.until), command))
        elif incident.open:
            still_wrong = any(key in draft.problems for key, member in incident.members.items() if member.until is None)
            if command.what == "acknowledge" or still_wrong:
                acked = incident.acked or (command.who, command.at)
                draft.put(_with_entry(replace(incident, acked=acked), command))
            else:
                draft.put(_with_entry(_closed_by_hand(incident, draft.at), command))


def _merge_target(draft: IncidentDraft, key: str) -> Incident | None:
    incident = draft.incident(key)
    visited: set[str] = set()
    while incident is not None and incident.into and incident.key not in visited:
        visited.add(incident.key)
        incident = draft.incident(incident.into)
    return incident


def _history_entry(command: Command) -> HistoryEntry:
    return HistoryEntry(at=command.at, what=ENTRY_OF[command.what], who=command.who, text=command.text)


def _with_entry(incident: Incident, command: Command) -> Incident:
    entry = _history_entry(command)
    return with_history(incident, entry.at, entry.what, who=entry.who, text=entry.text)


def _closed_by_hand(incident: Incident, at: int) -> Incident:
    """By hand: for what nobody will hear of any more. What is wrong at present cannot be closed, only acknowledged."""
    members = {key: end_member(member, at) for key, member in incident.members.items()}
    return replace(incident, members=members, ended=at, closed=at, resolution="by hand", recovering=None)
