"""The incident engine's data: its state between steps, the input and the result of a step."""

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet

import msgspec
from msgspec.structs import replace

from alerts.incident.entities import Command, Incident, Notice
from alerts.incident.problem import ActiveProblem, PastProblem
from alerts.incident.tally import IncidentTally

ProblemKeys = AbstractSet[str] | Callable[[str], bool]
"""Of problems, by their keys: those in a set, or those that a function names."""


class ContactQueue(msgspec.Struct, frozen=True, kw_only=True):
    """What is to go to one contact, and what went. Times are ms."""

    waiting: dict[str, int] = {}  # by key of the incident that is to be notified: since when that waits
    sent: tuple[int, ...] = ()  # when mails went, of the last hour
    summary: int | None = None  # when the last summary went
    digest: str = ""  # the day of the last digest
    digested: int = 0  # its time: the next one has what came after


class IncidentState(msgspec.Struct, frozen=True, kw_only=True, rename={"queues": "mailboxes"}):
    """Everything that the engine remembers. Older incidents are the store's alone."""

    at: int = 0  # when it was last written (ms); every notice until then is in it
    open: dict[str, Incident] = {}  # by key, as the next two
    ended: dict[str, Incident] = {}  # closed, and somebody is still to be notified that it is over
    closed: dict[str, Incident] = {}  # closed, and a digest, flapping or a key made twice may still ask for it
    queues: dict[str, ContactQueue] = {}  # by contact
    tally: IncidentTally = IncidentTally()  # counted by whoever commits, not by the steps

    def incident(self, key: str) -> Incident | None:
        """The incident of that key, if it is remembered."""
        return self.open.get(key) or self.ended.get(key) or self.closed.get(key)

    def incidents(self) -> Iterator[Incident]:
        for incidents in (self.open, self.ended, self.closed):
            yield from incidents.values()


def without_incidents(state: IncidentState) -> IncidentState:
    """The state without its incidents, for a store that keeps each in a row of its own."""
    return IncidentState(at=state.at, queues=state.queues, tally=state.tally)


def with_incidents(state: IncidentState, incidents: Iterable[Incident]) -> IncidentState:
    """A bare state with its incidents: all open ones and at least those closed within ``lifecycle.KEEP_CLOSED_MS``."""
    buckets: dict[str, dict[str, Incident]] = {"open": {}, "ended": {}, "closed": {}}
    for incident in sorted(incidents, key=lambda incident: (incident.noticed, incident.key)):
        buckets[lifecycle_bucket(incident)][incident.key] = incident
    return replace(state, **buckets)


def lifecycle_bucket(incident: Incident) -> str:
    """The field of the state in which an incident belongs."""
    if incident.open:
        return "open"
    return "ended" if recovery_pending(incident) else "closed"


def recovery_pending(incident: Incident) -> bool:
    """Whether it is over and somebody who was notified of it does not know yet."""
    if incident.open or incident.resolution == "merged":
        return False
    return not all(notified.recovered for notified in incident.notified.values())


class StepInput(msgspec.Struct, frozen=True, kw_only=True):
    """What is so at one moment."""

    at: int  # ms of the collector's time
    problems: tuple[ActiveProblem, ...] = ()  # all that is wrong
    unknown: ProblemKeys = frozenset()  # of which nothing is known now (a silent site): they stay as they were
    gone: ProblemKeys = frozenset()  # whose subject left the inventory: they are withdrawn
    past: tuple[PastProblem, ...] = ()  # what was over when its evidence came
    commands: tuple[Command, ...] = ()
    # a standby collector whose primary is well: all is tracked and nobody is notified of anything new; what is still
    # wrong when that ends is notified then. Recoveries of what it notified before go out even so.
    muted: bool = False


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a step made."""

    state: IncidentState  # the one given, the same object, if nothing changed
    changed: list[Incident]  # the incidents that are not as they were, closed ones among them
    notices: list[Notice]
    # when something that waits is due, if nothing happens before (None: nothing waits for seconds; hours, repeats and
    # digests want a step a minute)
    wake_at: int | None = None


def membership_test(keys: ProblemKeys) -> Callable[[str], bool]:
    return keys if callable(keys) else keys.__contains__
