"""Incidents, circuits' time down and the ways out as series."""

from collections.abc import Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from alerts.counts import Counts, Standing
from collector.alerting import Alerting
from inventory.causes import CAUSES
from inventory.model import Inventory


def families(alerting: Alerting, inventory: Inventory, now: int) -> Iterator[Metric]:
    """All of them, read from the running parts."""
    yield _incidents(alerting)
    yield _links(alerting, inventory)
    yield from _outbox(alerting.counts, now)
    evaluator = alerting.evaluator
    yield _gauge("evaluator_seconds", "Seconds that the last evaluation took.", evaluator.seconds)
    yield CounterMetricFamily("haidang_alert_evaluations", "Evaluations since the start.", value=evaluator.turns)
    yield _gauge("muted", "1 while this collector is a standby whose primary is well.", float(alerting.standby.muted))


def _incidents(alerting: Alerting) -> Metric:
    family = GaugeMetricFamily("haidang_incident_open", "Open incidents by cause.", labels=["cause"])
    found = [incident.cause.cause for incident in alerting.evaluator.book.open.values()]
    for cause in CAUSES:
        family.add_metric([cause], found.count(cause))
    return family


def _links(alerting: Alerting, inventory: Inventory) -> Metric:
    family = CounterMetricFamily(
        "haidang_link_down_seconds",
        "Settled time that a leased circuit was down, by whose it was and why, since this incarnation began.",
        labels=["agency", "site", "link", "provider", "cause"],
    )
    for (link, provider, cause), ms in sorted(alerting.circuits.down.items()):
        known = inventory.links.get(link)
        site = inventory.sites.get(known.site) if known is not None else None
        agency = site.agency if site is not None else ""
        family.add_metric([agency, known.site if known is not None else "", link, provider, cause], ms / 1000)
    return family


def _outbox(counts: Counts, now: int) -> Iterator[Metric]:
    for name, words, value in (
        ("sent", "Mails that a relay took.", counts.sent),
        ("failed", "Mails given up.", counts.failed),
        ("retried", "Mails put off to be tried again.", counts.retried),
        ("repeats_saved", "Mails that the journal knew as sent, and that were not sent again.", counts.repeats_saved),
    ):
        yield CounterMetricFamily(f"haidang_alert_{name}", words, value=value)
    yield _gauge("outbox_waiting", "Mails that wait to be sent.", counts.waiting)
    yield _gauge("oldest_waiting_seconds", "How long the oldest waiting mail has waited.", counts.oldest_seconds(now))
    yield _standings("relay", "relay", "mail relay", counts.relays)
    others = [one for one in (counts.webhook, counts.deadman) if one is not None]
    yield _standings("way", "way", "other way out", [*others, *counts.alertmanagers])
    yield _errors("relay", counts.relays)


def _standings(name: str, label: str, what: str, standings: Iterable[Standing]) -> Metric:
    """1 or 0; absent until it was tried."""
    family = GaugeMetricFamily(
        f"haidang_alert_{name}_up", f"1 while the {what} takes what it is given.", labels=[label]
    )
    for one in standings:
        if one.up is not None:
            family.add_metric([one.name], float(one.up))
    return family


def _errors(label: str, standings: Iterable[Standing]) -> Metric:
    family = CounterMetricFamily("haidang_alert_relay_failures", "Failures of the mail relay.", labels=[label])
    for one in standings:
        family.add_metric([one.name], one.bad)
    return family


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"haidang_alert_{name}", words, value=value)
