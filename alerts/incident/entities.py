"""Incidents, their history, notices and commands, as they are stored, shown and mailed. Times are collector ms.

An incident is one thing wrong with one root cause; its members are the problems that it takes with it. It keeps its
key, and so its thread of mails, while its root becomes better known. Stores of earlier versions are read: where a field
bears another name there, ``rename`` says which.
"""

from typing import Literal

import msgspec

from alerts.incident.message import TranslatableMessage
from alerts.incident.problem import Cause, Subject
from inventory.model.alerting import Severity
from inventory.protocol.refs import Ref

EntryKind = Literal[
    "opened",
    "grew",
    "cause",
    "severity",
    "merged",
    "split",
    "excluded",
    "included",
    "told",
    "acknowledged",
    "snoozed",
    "comment",
    "flapping",
    "steady",
    "recovering",
    "relapsed",
    "closed",
]
# withdrawn: what it was about is no longer in the inventory; late: it was over when it came to light; "": it is open
Resolution = Literal["", "recovered", "merged", "withdrawn", "late", "by hand"]


class IncidentMember(msgspec.Struct, frozen=True, kw_only=True, rename={"message": "said"}):
    """A problem of the incident."""

    key: str
    condition: str
    subject: Subject
    severity: Severity
    since: int
    joined: int  # when the incident took it in
    until: int | None = None  # when it was over; None: not yet
    reason: str = ""
    message: TranslatableMessage | None = None
    known: bool = True  # False while nothing is known of it (its site is silent): it stays as it was
    excluded: bool = False  # as of the problem
    withdrawn: bool = False  # it ended because what it was about left the inventory
    recover_ms: int = 60_000  # as of the problem
    once: bool = False  # as of the problem

    @property
    def ref(self) -> Ref:
        """The key, taken apart: the kind of condition that it met, and what it is about."""
        return Ref.parse(self.key)


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True, rename={"message": "said"}):
    """A line of an incident's history."""

    at: int
    what: EntryKind
    message: TranslatableMessage | None = None
    who: str = ""  # the person who did it or was notified
    # a person's words; of grew how many joined, of cause, merged and split the root or the other incident's key, of
    # told the notice's kind
    text: str = ""


class NotifiedContact(msgspec.Struct, frozen=True, kw_only=True):
    """What one contact was notified of."""

    contact: str
    thread: str  # ident of the first notice, which the others answer
    first: int
    last: int
    count: int = 1
    step: int = 0  # of the escalation
    recovered: bool = False  # was notified that it is over
    severity: Severity = "info"  # the worst so far
    root: str = ""  # these three as the last notice had them, so that what changes is written once
    cause: str = ""
    flapping: bool = False


class Incident(msgspec.Struct, frozen=True, kw_only=True, rename={"notified": "told", "resolution": "why"}):
    """One thing wrong, from its beginning to its end and after."""

    key: str  # 16 hex digits, made of the first root and ``opened``
    cause: Cause
    severity: Severity  # of the members that are not over, the worst
    opened: int  # since when it is wrong (event time)
    noticed: int  # when the machine opened it
    members: dict[str, IncidentMember]
    notified: dict[str, NotifiedContact] = {}  # by contact
    roots: tuple[str, ...] = ()  # all that it had
    acked: tuple[str, int] | None = None  # who, when
    snoozed: int | None = None
    excluded: bool = False
    flapping: bool = False
    changes: tuple[int, ...] = ()  # the latest times at which it came or went, for flapping
    recovering: int | None = None  # since when all members are over
    ended: int | None = None  # when the last member was over (event time)
    closed: int | None = None  # when the machine closed it
    resolution: Resolution = ""  # how it came to its end
    into: str = ""  # the incident that it was merged into
    absorbed: tuple[str, ...] = ()  # those that were merged into it
    history: tuple[HistoryEntry, ...] = ()

    @property
    def open(self) -> bool:
        return self.closed is None


NoticeKind = Literal["trouble", "update", "repeat", "escalation", "recovery", "group", "summary", "digest"]


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """That a contact is to be notified of something, once."""

    ident: str  # deterministic, unique, at most 40 characters of [a-z0-9.-]: the Message-ID's left side
    contact: str
    kind: NoticeKind  # group: several incidents in one mail; summary: what the hourly cap held back
    at: int
    incidents: tuple[str, ...] = ()
    kinds: tuple[NoticeKind, ...] = ()  # of a group, of each of ``incidents``
    thread: str = ""  # ident of the mail that it answers, "" if it begins a thread
    severity: Severity = "warning"
    day: str = ""  # of a digest, as 2026-11-27


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants of an incident."""

    incident: str
    what: Literal["acknowledge", "snooze", "comment", "close"]
    who: str
    at: int
    until: int | None = None  # of snooze
    text: str = ""
    by: str = ""  # on what way it came, for the audit
