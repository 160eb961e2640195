"""Metrics of incidents and of the circuits' time down; those of the notification channels are in ``alerts``."""

from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from collector.evaluator.alerting import AlertingService
from inventory.model.entities import Inventory
from inventory.protocol.causes import CAUSES


def families(alerting: AlertingService, inventory: Inventory) -> Iterator[Metric]:
    """All of them, read from the running parts."""
    yield _incidents(alerting)
    yield _links(alerting, inventory)
    evaluator = alerting.evaluator
    yield _gauge("evaluator_seconds", "Seconds that the last evaluation took.", evaluator.seconds)
    yield CounterMetricFamily("haidang_alert_evaluations", "Evaluations since the start.", value=evaluator.evaluations)
    yield _gauge("muted", "1 while this collector is a standby whose primary is well.", float(alerting.standby.muted))


def _incidents(alerting: AlertingService) -> Metric:
    family = GaugeMetricFamily("haidang_incident_open", "Open incidents by cause.", labels=["cause"])
    causes = [incident.cause.cause for incident in alerting.evaluator.incidents.open.values()]
    for cause in CAUSES:
        family.add_metric([cause], causes.count(cause))
    return family


def _links(alerting: AlertingService, inventory: Inventory) -> Metric:
    family = CounterMetricFamily(
        "haidang_link_down_seconds",
        "Settled time that a leased circuit was down, by whose it was and why, since this incarnation began.",
        labels=["agency", "site", "link", "provider", "cause"],
    )
    for (link, provider, cause), ms in sorted(alerting.circuits.down.items()):
        definition = inventory.links.get(link)
        site = inventory.sites.get(definition.site) if definition is not None else None
        agency = site.agency if site is not None else ""
        family.add_metric([agency, definition.site if definition is not None else "", link, provider, cause], ms / 1000)
    return family


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"haidang_alert_{name}", help_text, value=value)
