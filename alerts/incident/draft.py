"""A draft of the incident state: what one step is given, and what it has changed so far."""

from msgspec.structs import replace

from alerts.incident.entities import EntryKind, HistoryEntry, Incident, IncidentMember
from alerts.incident.keys import incident_key
from alerts.incident.state import ContactQueue, IncidentState, StepInput, lifecycle_bucket, membership_test
from inventory.model.alerting import Alerting

# Of a history at most so many lines are kept: the first ones and the latest.
MAX_FIRST_ENTRIES = 50
MAX_LATEST_ENTRIES = 450

# A key of an incident that began longer ago may have been given and forgotten.
KEY_REUSE_MS = 24 * 3_600_000

_DEFAULTS = Alerting()


class IncidentDraft:
    """Copies of the state's fields. Whoever changes an incident puts it back; what was put is what changed."""

    def __init__(self, state: IncidentState, step_input: StepInput, alerting: Alerting = _DEFAULTS) -> None:
        self.at = step_input.at
        self.step_input = step_input
        self.alerting = alerting
        self.problems = {problem.key: problem for problem in step_input.problems}
        self.is_unknown = membership_test(step_input.unknown)
        self.is_gone = membership_test(step_input.gone)
        self.open = dict(state.open)
        self.ended = dict(state.ended)
        self.closed = dict(state.closed)
        self.queues = dict(state.queues)
        self._before = state
        self._changed_keys: set[str] = set()
        self._any_forgotten = False
        self._queues_changed = False
        self._recovered_by_root: dict[str, list[Incident]] | None = None

    def put(self, incident: Incident) -> None:
        """The incident as it is now, where it belongs by now."""
        key = incident.key
        self._changed_keys.add(key)
        incidents: dict[str, Incident] = getattr(self, lifecycle_bucket(incident))
        if key not in incidents:
            self.open.pop(key, None)
            self.ended.pop(key, None)
            self.closed.pop(key, None)
        incidents[key] = incident

    def put_if_changed(self, incident: Incident, before: Incident) -> None:
        """What a function gave for ``before``: itself where nothing is different."""
        if incident is not before:
            self.put(incident)

    def put_queue(self, contact: str, queue: ContactQueue | None) -> None:
        """The contact's queue as it is now; None: no longer any."""
        if queue is None:
            self._queues_changed |= self.queues.pop(contact, None) is not None
        elif self.queues.get(contact) != queue:
            self._queues_changed = True
            self.queues[contact] = queue

    def forget(self, key: str) -> None:
        """A closed incident that nothing asks for any more; the store keeps it."""
        self._any_forgotten = True
        del self.closed[key]

    def incident(self, key: str) -> Incident | None:
        return self.open.get(key) or self.ended.get(key) or self.closed.get(key)

    def recovered_of(self, root: str) -> list[Incident]:
        """Closed incidents that had this root last and recovered."""
        if self._recovered_by_root is None:
            self._recovered_by_root = {}
            for incidents in (self.ended, self.closed):
                for incident in incidents.values():
                    if incident.resolution == "recovered":
                        self._recovered_by_root.setdefault(incident.cause.root, []).append(incident)
        return self._recovered_by_root.get(root, [])

    def new_key(self, root: str, opened: int) -> str:
        """The key of an incident that is made now: of root and beginning alone where that is surely unique, so that
        it comes out the same after a restore."""
        key = incident_key(root, opened)
        if opened > self.at - KEY_REUSE_MS and self.incident(key) is None:
            return key
        count = 0
        while self.incident(key := incident_key(root, opened, self.at, count)) is not None:
            count += 1
        return key

    def state(self) -> IncidentState:
        """The state as it is now; the one that was given, if nothing changed."""
        if not (self._changed_keys or self._any_forgotten or self._queues_changed):
            return self._before
        at = max(self.at, self._before.at)
        return IncidentState(at=at, open=self.open, ended=self.ended, closed=self.closed, queues=self.queues)

    def changed_incidents(self) -> list[Incident]:
        """The incidents that are not as they were, by key."""
        current = (self.incident(key) for key in sorted(self._changed_keys))
        return [
            incident for incident in current if incident is not None and incident != self._before.incident(incident.key)
        ]


def with_history(incident: Incident, at: int, what: EntryKind, who: str = "", text: str = "") -> Incident:
    """The incident with one more line in its history."""
    history = (*incident.history, HistoryEntry(at=at, what=what, who=who, text=text))
    if len(history) > MAX_FIRST_ENTRIES + MAX_LATEST_ENTRIES:
        history = history[:MAX_FIRST_ENTRIES] + history[-MAX_LATEST_ENTRIES:]
    return replace(incident, history=history)


def end_member(member: IncidentMember, at: int) -> IncidentMember:
    """The member over, if it was not."""
    return member if member.until is not None else replace(member, until=at, known=True)
