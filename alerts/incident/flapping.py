"""Flapping: an incident that comes and goes is one incident, notified once, and open until it is steady.

A change is that all members are over, or that one is wrong again (or at the beginning). Changes of earlier incidents of
the same root count, so that it makes no difference whether it comes back just before or just after it was closed.
"""

from msgspec.structs import replace

from alerts.incident.draft import IncidentDraft, with_history
from alerts.incident.entities import Incident
from inventory.model.alerting import Alerting

MAX_CHANGES = 200  # that are remembered


def with_state_change(incident: Incident, at: int, alerting: Alerting) -> Incident:
    """The incident with one more change; with ``flaps`` of them within ``flap_ms`` it is flapping."""
    changes = (*(change for change in incident.changes if change > at - alerting.flap_ms), at)[-MAX_CHANGES:]
    incident = replace(incident, changes=changes)
    if incident.flapping or len(changes) < max(alerting.flaps, 2):
        return incident
    return with_history(replace(incident, flapping=True), at, "flapping", text=str(len(changes)))


def end_flapping_if_steady(incident: Incident, at: int, alerting: Alerting) -> Incident:
    """No longer flapping, if it is wrong and has been so for ``steady_ms``. (If it is over, it is closed by then.)"""
    if not incident.flapping or incident.recovering is not None:
        return incident
    if incident.changes and at - incident.changes[-1] < alerting.steady_ms:
        return incident
    return with_history(replace(incident, flapping=False), at, "steady")


def inherited_changes(draft: IncidentDraft, root: str) -> tuple[int, ...]:
    """The changes of the last incident of that root, if it recovered a moment ago."""
    latest = max(
        (
            incident
            for incident in draft.recovered_of(root)
            if (incident.closed or 0) > draft.at - draft.alerting.flap_ms
        ),
        key=lambda incident: (incident.closed or 0, incident.key),
        default=None,
    )
    return latest.changes if latest is not None else ()
