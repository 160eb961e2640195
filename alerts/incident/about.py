"""What a mail is about, as outbox, notification log and reconciliation keep it: the one list of these fields."""

from typing import Any

import msgspec

from alerts.incident.entities import Notice, NoticeKind
from alerts.incident.state import IncidentState
from inventory.model.alerting import Severity

# Of an incident's members at most so many are kept: enough to know whether its site is heard.
MAX_MEMBERS = 50


class About(msgspec.Struct, frozen=True, kw_only=True):
    """A notice's fields, and of each of its incidents what it takes to open it again where the store forgot it."""

    ident: str  # the Message-ID's left side
    contact: str
    kind: str  # of the notice; a trial mail has one of its own
    severity: Severity = "warning"
    incidents: tuple[str, ...] = ()  # their keys; the next five go with them, one of each for each
    kinds: tuple[NoticeKind, ...] = ()
    roots: tuple[str, ...] = ()  # as they were then
    opened: tuple[int, ...] = ()
    also: tuple[tuple[str, ...], ...] = ()  # keys of those that had been merged into it
    members: tuple[tuple[str, ...], ...] = ()  # keys of problems that were not over
    thread: str = ""  # ident of the mail that it answers
    day: str = ""  # of a digest

    def about(self) -> dict[str, Any]:
        """These fields alone, for another struct that is about the same."""
        return {name: getattr(self, name) for name in About.__struct_fields__}


def about(notice: Notice, state: IncidentState) -> About:
    """What a notice is about, from the state that the same step gave."""
    incidents = [incident for key in notice.incidents if (incident := state.incident(key)) is not None]
    open_members = [[key for key, member in incident.members.items() if member.until is None] for incident in incidents]
    return About(
        ident=notice.ident,
        contact=notice.contact,
        kind=notice.kind,
        severity=notice.severity,
        incidents=tuple(incident.key for incident in incidents),
        kinds=notice.kinds,
        roots=tuple(incident.cause.root for incident in incidents),
        opened=tuple(incident.opened for incident in incidents),
        also=tuple(incident.absorbed for incident in incidents),
        members=tuple(tuple(keys[:MAX_MEMBERS]) for keys in open_members),
        thread=notice.thread,
        day=notice.day,
    )
