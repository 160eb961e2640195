"""Incidents, their history, notices and commands, as they are stored, shown and mailed. Times are collector ms.

An incident is one thing wrong with one root cause; its members are the troubles that it takes with it. It keeps its
key, and so its thread of mails, while its root becomes better known.
"""

from typing import Literal

import msgspec

from alerts.incident.message import TranslatableMessage
from alerts.incident.problem import Cause, Subject
from inventory.model.alerting import Severity
from inventory.protocol.refs import Ref


class IncidentMember(msgspec.Struct, frozen=True, kw_only=True):
    """A trouble of the incident. ``joined``: when it was taken in; ``until``: when it was over, None: not yet.

    ``known``: False while nothing is known of it (its site is silent): it stays as it was. ``withdrawn``: it ended
    because what it was about left the inventory. ``excluded``, ``recover_ms``, ``once``: as of the trouble."""

    key: str
    condition: str
    subject: Subject
    severity: Severity
    since: int
    joined: int
    until: int | None = None
    reason: str = ""
    said: TranslatableMessage | None = None
    known: bool = True
    excluded: bool = False
    withdrawn: bool = False
    recover_ms: int = 60_000
    once: bool = False

    @property
    def ref(self) -> Ref:
        """The key, taken apart: the kind of condition that it met, and what it is about."""
        return Ref.parse(self.key)


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an incident's history. ``what``: opened, grew, cause, severity, merged, split, excluded, included,
    told, acknowledged, snoozed, comment, flapping, steady, recovering, relapsed, closed. ``who``: the person who did
    it or was told. ``text``: their words; of grew how many joined, of cause, merged and split the root or the other
    incident's key, of told the notice's kind."""

    at: int
    what: str
    said: TranslatableMessage | None = None
    who: str = ""
    text: str = ""


class NotifiedContact(msgspec.Struct, frozen=True, kw_only=True):
    """What one contact was told of the incident. ``thread``: ident of the first notice, which the others answer.
    ``last``: when last; ``count``: how many so far; ``recovered``: was told that it is over. ``severity`` (the worst),
    ``root``, ``cause`` and ``flapping``: as they were said, so that what changes can be said once."""

    contact: str
    thread: str
    first: int
    last: int
    count: int = 1
    step: int = 0
    recovered: bool = False
    severity: Severity = "info"
    root: str = ""
    cause: str = ""
    flapping: bool = False


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """``key``: 16 hex digits, made of the first root and ``opened``. ``opened``: since when it is wrong (event time);
    ``noticed``: when the machine opened it; ``ended``: when the last member was over (event time); ``closed``: when the
    machine closed it, ``why``: recovered, merged, withdrawn (what it was about is no longer in the inventory), late
    (it was over when it came to light) or by hand. ``into``: the incident that it was merged into, ``absorbed``: those
    that were merged into it. ``roots``: all that it had. ``severity``: of the members that are not over, the worst.
    ``acked``: (who, when). ``changes``: the latest times at which it took a turn, for flapping. ``recovering``: since
    when all members are over."""

    key: str
    cause: Cause
    severity: Severity
    opened: int
    noticed: int
    members: dict[str, IncidentMember]
    told: dict[str, NotifiedContact] = {}
    roots: tuple[str, ...] = ()
    acked: tuple[str, int] | None = None
    snoozed: int | None = None
    excluded: bool = False
    flapping: bool = False
    changes: tuple[int, ...] = ()
    recovering: int | None = None
    ended: int | None = None
    closed: int | None = None
    why: str = ""
    into: str = ""
    absorbed: tuple[str, ...] = ()
    history: tuple[HistoryEntry, ...] = ()

    @property
    def open(self) -> bool:
        return self.closed is None


NoticeKind = Literal["trouble", "update", "repeat", "escalation", "recovery", "group", "summary", "digest"]


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """That a contact is to be told something, once. ``ident``: deterministic, unique, at most 40 characters of
    [a-z0-9.-]: the Message-ID's left side. ``thread``: ident of the mail that it answers, "" if it begins a thread.

    ``group``: several incidents in one mail, each by its own kind (``kinds``, as ``incidents``). ``summary``: what the
    hourly cap held back. ``day``: of a digest, as 2026-11-27.
    """

    ident: str
    contact: str
    kind: NoticeKind
    at: int
    incidents: tuple[str, ...] = ()
    kinds: tuple[NoticeKind, ...] = ()
    thread: str = ""
    severity: Severity = "warning"
    day: str = ""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What a person wants of an incident. ``what``: acknowledge, snooze (until ``until``), comment, close."""

    incident: str
    what: Literal["acknowledge", "snooze", "comment", "close"]
    who: str
    at: int
    until: int | None = None
    text: str = ""
