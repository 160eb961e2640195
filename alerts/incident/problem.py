"""Problems that are active at this moment, as the evaluator found them: the input of the incident engine.

Troubles are made anew at every evaluation from what is published; nothing in them depends on what was made before. A
trouble that is in one evaluation and not in the next is over, unless its key is among those of which nothing is known.
"""

from typing import Literal

import msgspec

from alerts.incident.message import TranslatableMessage
from inventory.model.alerting import Severity
from inventory.protocol.causes import CauseKind
from inventory.protocol.refs import Ref

Certainty = Literal["sure", "probable", "provisional"]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What it is about; "" where that is nothing. ``check`` is a uid, ``agency`` and ``site`` those it is about."""

    agency: str = ""
    site: str = ""
    agent: str = ""
    check: str = ""
    kind: str = ""
    link: str = ""
    goal: str = ""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Why, as far as that is known now.

    ``root``: names the one thing that is wrong, so that troubles with the same root are one incident:
    ``service:UID``, ``device:ID``, ``lan:SITE``, ``wan:LINK``, ``power:SITE``, ``agent:AGENT``, ``goal:ID``,
    ``collector:WHAT``. ``cause``: of inventory.protocol.causes. ``certainty``: provisional while evidence is still to
    come (a site is silent, its backlog is not in). ``because``: the evidence, strongest first.
    """

    root: str
    cause: CauseKind
    certainty: Certainty = "sure"
    because: tuple[TranslatableMessage, ...] = ()

    @property
    def ref(self) -> Ref:
        """The root, taken apart."""
        return Ref.parse(self.root)


class ActiveProblem(msgspec.Struct, frozen=True, kw_only=True):
    """``key`` is the trouble's identity: CONDITION:SUBJECT ("down:UID", "degraded:UID", "silent:AGENT",
    "clock:AGENT", "risk:GOAL", "missed:GOAL:WINDOW", "finding:KIND:AGENT", "collector:WHAT").

    ``condition``: id of the condition that it meets. ``since``: when it began, ``evidence``: its newest evidence (both
    ms of the collector's time, event time). ``confirmed``: it meets the condition; one that does not yet lends its
    root to others and keeps an incident open, but opens none. ``recover_ms``: how long it has to be over until it is
    over. ``once``: told when it begins and when it is over, and not repeated nor escalated between. ``excluded``:
    maintenance: measured, and told to nobody. ``state``: of the check, as in inventory.protocol.states.
    """

    key: str
    condition: str
    subject: Subject
    severity: Severity
    since: int
    evidence: int
    cause: Cause
    confirmed: bool = True
    excluded: bool = False
    state: int | None = None
    reason: str = ""
    said: TranslatableMessage | None = None
    recover_ms: int = 60_000
    once: bool = False

    @property
    def ref(self) -> Ref:
        """The key, taken apart: the kind of condition that it meets, and what it is about."""
        return Ref.parse(self.key)


class PastProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A trouble that was over when its evidence came: recorded, told in the digest. ``late_ms``: how late it came."""

    problem: ActiveProblem
    until: int
    late_ms: int
