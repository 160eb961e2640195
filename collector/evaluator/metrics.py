"""Metrics of the evaluator: incidents, how long its last evaluation took."""

from collections import Counter
from collections.abc import Iterator
from typing import Final, get_args

from alerts.incident.entities import Incident
from alerts.incident.tally import ACKNOWLEDGE_BOUNDS, MAIL_BOUNDS, RECOVER_BOUNDS
from collector.evaluator.alerting import AlertingService
from inventory.base.families import Family, FamilySamples, label_word
from inventory.model.alerting import Severity
from inventory.model.entities import Inventory
from inventory.protocol.causes import CAUSES

MAX_DESCRIBED: Final = 1_000  # open incidents that are described one by one, the worst and newest

OPEN = Family("haidang_incident_open", "gauge", "Open incidents by cause.", ("cause",))
INFO = Family(
    "haidang_incident_info",
    "info",
    "An open incident, of at most a thousand: the agency that its root is at, and what has become of it.",
    ("incident", "agency", "severity", "cause", "state", "root"),
)
SINCE = Family(
    "haidang_incident_opened_timestamp_seconds", "gauge", "Since when what an open incident is about is wrong.",
    ("incident",),
)  # fmt: skip
OPENED = Family(
    "haidang_incidents_opened_total",
    "counter",
    "Incidents opened since the store began, by cause and severity as they were then.",
    ("cause", "severity"),
)
ACKNOWLEDGE = Family(
    "haidang_incident_acknowledge_seconds", "histogram", "From when an incident was noticed to who first took it."
)
RECOVER = Family(
    "haidang_incident_recover_seconds", "histogram", "From when something was wrong to when it was right again."
)
FAULT_TO_MAIL = Family(
    "haidang_incident_fault_to_mail_seconds",
    "histogram",
    "From when something was wrong to a relay's yes to the first mail about it, for each contact.",
)
DURATION = Family("haidang_alert_last_evaluation_duration_seconds", "gauge", "How long the last evaluation took.")
EVALUATIONS = Family("haidang_alert_evaluations_total", "counter", "Evaluations since the start.")
MUTED = Family("haidang_alert_muted", "gauge", "1 while this collector is a standby whose primary is well.")


class EvaluatorMetrics:
    def __init__(self, alerting: AlertingService) -> None:
        self._alerting = alerting

    def metrics(self) -> Iterator[FamilySamples]:
        evaluator = self._alerting.evaluator
        causes = Counter(incident.cause.cause for incident in evaluator.incidents.open.values())
        yield OPEN.by(((label_word(cause),), causes[cause]) for cause in CAUSES)
        described = self._alerting.incidents.open()[:MAX_DESCRIBED]
        inventory = self._alerting.inventory
        yield INFO.by((_about(one, inventory), 1) for one in described)
        yield SINCE.by(((one.key,), one.opened / 1000) for one in described)
        tally = evaluator.incidents.tally
        yield OPENED.by(
            ((label_word(cause), severity), tally.opened.get(cause, {}).get(severity, 0))
            for cause in CAUSES
            for severity in get_args(Severity)
        )
        yield tally.acknowledge.samples(ACKNOWLEDGE, ACKNOWLEDGE_BOUNDS)
        yield tally.recover.samples(RECOVER, RECOVER_BOUNDS)
        yield tally.mail.samples(FAULT_TO_MAIL, MAIL_BOUNDS)
        yield DURATION.of(evaluator.seconds)
        yield EVALUATIONS.of(evaluator.evaluations)
        yield MUTED.of(int(self._alerting.standby.muted))


def _about(incident: Incident, inventory: Inventory) -> tuple[str, ...]:
    """The values of the labels of INFO."""
    state = "open"
    if incident.recovering is not None:
        state = "recovering"
    elif incident.snoozed is not None:
        state = "snoozed"
    elif incident.acked is not None:
        state = "acknowledged"
    cause = label_word(incident.cause.cause)
    return incident.key, agency_of(incident, inventory), incident.severity, cause, state, incident.cause.root


def agency_of(incident: Incident, inventory: Inventory) -> str:
    """The agency that an incident's root is at; else the one that all of its members are about; else ""."""
    root = incident.cause.ref
    site = ""
    if root.kind == "service" and (check := inventory.checks.get(root.id)) is not None:
        return check.agency
    if root.kind == "agent" and (agent := inventory.agents.get(root.id)) is not None:
        return agent.agency
    if root.kind == "device" and (device := inventory.devices.get(root.id)) is not None:
        site = device.site
    elif root.kind == "wan" and (link := inventory.links.get(root.id)) is not None:
        site = link.site
    elif root.kind in ("lan", "power"):
        site = root.id
    if site in inventory.sites:
        return inventory.sites[site].agency
    agencies = {member.subject.agency for member in incident.members.values()}
    return agencies.pop() if len(agencies) == 1 else ""
