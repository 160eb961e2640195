"""Problems that are active at this moment, as the evaluator found them: the input of the incident engine.

Problems are made anew at every evaluation from what is published; nothing in them depends on what was made before. A
problem that is in one evaluation and not in the next is over, unless its key is among those of which nothing is known.
"""

from typing import Literal

import msgspec

from alerts.incident.message import TranslatableMessage
from inventory.model.alerting import Severity
from inventory.protocol.causes import CauseKind
from inventory.protocol.refs import Ref

Certainty = Literal["sure", "probable", "provisional"]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What it is about; "" where that is nothing."""

    agency: str = ""  # the one that it is about, as ``site``
    site: str = ""
    agent: str = ""
    check: str = ""  # uid
    kind: str = ""
    link: str = ""
    goal: str = ""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """What caused it, as far as that is known now."""

    # names the one thing that is wrong, so that problems with the same root are one incident: service:UID, device:ID,
    # lan:SITE, wan:LINK, power:SITE, agent:AGENT, goal:ID, collector:WHAT
    root: str
    cause: CauseKind
    certainty: Certainty = "sure"  # provisional while evidence is still to come: a site is silent
    because: tuple[TranslatableMessage, ...] = ()  # the evidence, strongest first

    @property
    def ref(self) -> Ref:
        """The root, taken apart."""
        return Ref.parse(self.root)


class ActiveProblem(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong now."""

    # its identity, CONDITION:SUBJECT: down:UID, degraded:UID, silent:AGENT, clock:AGENT, risk:GOAL, missed:GOAL:WINDOW,
    # finding:KIND:AGENT, collector:WHAT
    key: str
    condition: str  # id of the condition that it meets
    subject: Subject
    severity: Severity
    since: int  # when it began (ms of the collector's time, event time)
    evidence: int  # its newest evidence (likewise)
    cause: Cause
    # it meets the condition; one that does not yet lends its root to others and keeps an incident open, but opens none
    confirmed: bool = True
    excluded: bool = False  # maintenance: measured, and nobody is notified
    state: int | None = None  # of the check, as in inventory.protocol.states
    reason: str = ""
    message: TranslatableMessage | None = None
    recover_ms: int = 60_000  # how long it has to be over until it is over
    once: bool = False  # notified when it begins and when it is over, neither repeated nor escalated between

    @property
    def ref(self) -> Ref:
        """The key, taken apart: the kind of condition that it meets, and what it is about."""
        return Ref.parse(self.key)


class PastProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem that was over when its evidence came: recorded, and in the digest."""

    problem: ActiveProblem
    until: int
    late_ms: int  # how late it came
