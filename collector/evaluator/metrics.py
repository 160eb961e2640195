"""Metrics of the evaluator: incidents, how long its last evaluation took."""

from collections import Counter
from collections.abc import Iterator

from collector.evaluator.alerting import AlertingService
from inventory.base.families import Family, FamilySamples, label_word
from inventory.protocol.causes import CAUSES

OPEN = Family("haidang_incident_open", "gauge", "Open incidents by cause.", ("cause",))
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
        yield DURATION.of(evaluator.seconds)
        yield EVALUATIONS.of(evaluator.evaluations)
        yield MUTED.of(int(self._alerting.standby.muted))
