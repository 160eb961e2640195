"""The incident engine's data: its state between steps, the input and the result of a step."""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

import msgspec
from msgspec.structs import replace

from alerts.incident.entities import Command, Incident, Notice
from alerts.incident.problem import ActiveProblem, PastProblem

ProblemKeys = AbstractSet[str] | Callable[[str], bool]
"""Of troubles, by their keys: those in a set, or those of which a function says so."""


class ContactQueue(msgspec.Struct, frozen=True, kw_only=True):
    """What is to go to one contact, and what went. Times are ms.

    ``waiting``: keys of the incidents of which something is to be said, each since when that waits. ``sent``: when
    mails went, of the last hour; ``summary``: when the last summary went. ``digest``: the day of the last digest, and
    ``digested`` its time: the next one tells what came after.
    """

    waiting: dict[str, int] = {}
    sent: tuple[int, ...] = ()
    summary: int | None = None
    digest: str = ""
    digested: int = 0


class IncidentState(msgspec.Struct, frozen=True, kw_only=True):
    """Everything. ``open``: incidents by key. ``ended``: closed ones of which somebody is still to be told that they
    are over. ``closed``: closed ones that a digest, flapping or a key made twice may still ask for; ``mailboxes`` by
    contact. Older incidents are the store's alone. ``at``: when it was last written (ms); every notice until then is in
    it.
    """

    at: int = 0
    open: dict[str, Incident] = {}
    ended: dict[str, Incident] = {}
    closed: dict[str, Incident] = {}
    mailboxes: dict[str, ContactQueue] = {}

    def incident(self, key: str) -> Incident | None:
        """The incident of that key, if it is remembered."""
        return self.open.get(key) or self.ended.get(key) or self.closed.get(key)


def without_incidents(state: IncidentState) -> IncidentState:
    """The book without its incidents, for a store that keeps each in a row of its own."""
    return IncidentState(at=state.at, mailboxes=state.mailboxes)


def with_incidents(state: IncidentState, incidents: Iterable[Incident]) -> IncidentState:
    """A bare book with its incidents: all open ones and at least those closed within ``closing.KEPT_MS``."""
    buckets: dict[str, dict[str, Incident]] = {"open": {}, "ended": {}, "closed": {}}
    for incident in sorted(incidents, key=lambda incident: (incident.noticed, incident.key)):
        buckets[lifecycle_bucket(incident)][incident.key] = incident
    return replace(state, **buckets)


def lifecycle_bucket(incident: Incident) -> str:
    """Where in the book an incident belongs."""
    if incident.open:
        return "open"
    return "ended" if recovery_pending(incident) else "closed"


def recovery_pending(incident: Incident) -> bool:
    """Whether it is over and somebody who was told of it does not know yet."""
    if incident.open or incident.why == "merged":
        return False
    return not all(notified.recovered for notified in incident.told.values())


class StepInput(msgspec.Struct, frozen=True, kw_only=True):
    """What is so at the moment ``at`` (ms of the collector's time).

    ``troubles``: all that is wrong. ``unknown``: keys of troubles of which nothing is known now (a silent site): they
    stay as they were. ``gone``: keys of troubles whose subject left the inventory: they are withdrawn. ``past``: what
    was over when its evidence came. ``muted``: a standby collector whose primary is fresh: all is tracked and nothing
    new is told; what is still wrong when that ends is told then. Recoveries of what it told before go out even so.
    """

    at: int
    problems: tuple[ActiveProblem, ...] = ()
    unknown: ProblemKeys = frozenset()
    gone: ProblemKeys = frozenset()
    past: tuple[PastProblem, ...] = ()
    commands: tuple[Command, ...] = ()
    muted: bool = False


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a step made. ``book`` is the one given, the same object, if nothing changed. ``changed``: the incidents that
    are not as they were, closed ones among them. ``wake``: when something that waits is due, if nothing happens before
    (None: nothing waits for seconds; hours, repeats and digests want a step a minute)."""

    state: IncidentState
    changed: list[Incident]
    notices: list[Notice]
    wake_at: int | None = None


def membership_test(keys: ProblemKeys) -> Callable[[str], bool]:
    return keys if callable(keys) else keys.__contains__
