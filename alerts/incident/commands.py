"""Apply the operators' commands to incidents: acknowledge, snooze, comment, close."""

from collections.abc import Iterable

from msgspec.structs import replace

from alerts.incident.draft import IncidentDraft, end_member, with_history
from alerts.incident.entities import Command, HistoryEntry, Incident
from alerts.incident.problem import ActiveProblem


def apply_commands(draft: IncidentDraft, commands: Iterable[Command], problems: Iterable[ActiveProblem]) -> None:
    """Each command once: one that is in the history already does nothing. Of incidents that were merged the one that
    they went into is meant; of closed ones only a comment is taken."""
    active_keys: set[str] | None = None
    for command in sorted(commands, key=lambda one: (one.at, one.incident, one.what, one.who)):
        incident = _merge_target(draft, command.incident)
        if incident is None or _history_entry(command) in incident.history:
            continue
        if command.what == "comment":
            draft.put(_with_entry(incident, command))
        elif incident.open and command.what == "snooze":
            if command.until is not None:
                draft.put(_with_entry(replace(incident, snoozed=command.until), command))
        elif incident.open:
            active_keys = {problem.key for problem in problems} if active_keys is None else active_keys
            still_wrong = any(key in active_keys for key, member in incident.members.items() if member.until is None)
            if command.what == "acknowledge" or still_wrong:
                acked = incident.acked or (command.who, command.at)
                draft.put(_with_entry(replace(incident, acked=acked), command))
            else:
                draft.put(_with_entry(_close_by_hand(incident, draft.at), command))


def _merge_target(draft: IncidentDraft, key: str) -> Incident | None:
    incident = draft.incident(key)
    visited: set[str] = set()
    while incident is not None and incident.into and incident.key not in visited:
        visited.add(incident.key)
        incident = draft.incident(incident.into)
    return incident


def _history_entry(command: Command) -> HistoryEntry:
    what = {"acknowledge": "acknowledged", "snooze": "snoozed", "comment": "comment", "close": "closed"}[command.what]
    return HistoryEntry(at=command.at, what=what, who=command.who, text=command.text)


def _with_entry(incident: Incident, command: Command) -> Incident:
    entry = _history_entry(command)
    return with_history(incident, entry.at, entry.what, who=entry.who, text=entry.text)


def _close_by_hand(incident: Incident, at: int) -> Incident:
    """By hand: for what nobody will hear of any more. What is wrong at present cannot be closed, only acknowledged."""
    members = {key: end_member(member, at) for key, member in incident.members.items()}
    return replace(incident, members=members, ended=at, closed=at, why="by hand", recovering=None)
