"""Metrics of how notifications get out, haidang_alert_*. See alerts.counts."""

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from alerts.channels.health import ChannelHealth, DeliveryStats


def alert_metrics(counts: DeliveryStats, now: Callable[[], int]) -> Callable[[], Iterable[Metric]]:
    """The families, read at each scrape. ``now``: the collector's time, ms."""

    def families() -> Iterator[Metric]:
        yield _counter("mails_sent", "Mails that a relay accepted.", counts.sent)
        yield _counter(
            "mails_failed", "Mails that will not be delivered: refused for good, or given up.", counts.failed
        )
        yield _counter("mails_retried", "Times that a mail was put off.", counts.retried)
        yield _counter(
            "repeats_saved", "Mails that were not sent again, for the journal knew them.", counts.duplicates_avoided
        )
        yield _gauge("outbox_waiting", "Mails that are neither sent nor failed.", counts.waiting)
        yield _gauge("oldest_waiting_seconds", "Age of the oldest of them; 0: none.", counts.oldest_seconds(now()))
        yield _gauge(
            "journal_up",
            "1 while the journal of sent mails can be written.",
            int(counts.notification_log.consecutive_failures == 0),
        )
        yield from _channel_metrics(
            "relay", "mail relay", "mails", [(["relay"], [one.name], one) for one in counts.relays]
        )
        for name, what, noun, standing in (
            ("webhook", "webhook", "posts", counts.webhook),
            ("deadman", "dead-man's ping", "pings", counts.deadman),
        ):
            if standing is not None:
                yield from _channel_metrics(name, what, noun, [([], [], standing)])
        if counts.deadman is not None:
            yield _counter("deadman_held_back", "Pings not made, for not all was well.", counts.deadman.skipped)
        managers = [(["alertmanager"], [one.name], one) for one in counts.alertmanagers]
        yield from _channel_metrics("alertmanager", "Alertmanager", "posts", managers)

    return families


def _channel_metrics(
    name: str, what: str, noun: str, channels: list[tuple[list[str], list[str], ChannelHealth]]
) -> Iterator[Metric]:
    if not channels:
        return
    labels = channels[0][0]
    up = GaugeMetricFamily(
        f"haidang_alert_{name}_up", f"1 while the {what} works; absent until it was tried.", labels=labels
    )
    good = CounterMetricFamily(f"haidang_alert_{name}_{noun}", f"What the {what} took.", labels=labels)
    bad = CounterMetricFamily(f"haidang_alert_{name}_failures", f"Times that the {what} failed.", labels=labels)
    last = GaugeMetricFamily(
        f"haidang_alert_{name}_last_success_timestamp_seconds", f"When the {what} last took something.", labels=labels
    )
    for _, values, standing in channels:
        if standing.up is not None:
            up.add_metric(values, int(standing.up))
        good.add_metric(values, standing.successes)
        bad.add_metric(values, standing.failures)
        if standing.last_success is not None:
            last.add_metric(values, standing.last_success / 1000)
    yield from (up, good, bad, last)


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"haidang_alert_{name}", help_text, value=value)


def _counter(name: str, help_text: str, value: float) -> Metric:
    """``name`` without _total."""
    return CounterMetricFamily(f"haidang_alert_{name}", help_text, value=value)
