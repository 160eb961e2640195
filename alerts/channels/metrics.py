"""Metrics of how notifications get out: haidang_alert_*."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from alerts.channels.health import ChannelHealth, DeliveryStats
from inventory.base.families import Family, FamilySamples

SENT = Family("haidang_alert_mails_sent_total", "counter", "Mails that a relay accepted.")
FAILED = Family(
    "haidang_alert_mails_failed_total", "counter", "Mails that will not be delivered: refused for good, or given up."
)
RETRIED = Family("haidang_alert_mails_retried_total", "counter", "Times that a mail was put off.")
REPEATS_SAVED = Family(
    "haidang_alert_repeats_saved_total", "counter", "Mails that were not sent again, for the journal knew them."
)
WAITING = Family("haidang_alert_outbox_waiting", "gauge", "Mails that are neither sent nor failed.")
OLDEST = Family("haidang_alert_oldest_waiting_seconds", "gauge", "Age of the oldest mail that waits; 0: none.")
JOURNAL_UP = Family("haidang_alert_journal_up", "gauge", "1 while the journal of sent mails can be written.")
HELD_BACK = Family(
    "haidang_alert_deadman_held_back_total", "counter", "Dead-man's pings not made, for not all was well."
)


class ChannelFamilies(NamedTuple):
    """What is said of every channel of a sort."""

    up: Family
    successes: Family
    failures: Family
    last_success: Family


def _channel(name: str, title: str, noun: str, labels: tuple[str, ...] = ()) -> ChannelFamilies:
    prefix = f"haidang_alert_{name}"
    return ChannelFamilies(
        Family(f"{prefix}_up", "gauge", f"1 while the {title} works; absent until it was tried.", labels),
        Family(f"{prefix}_{noun}_total", "counter", f"What the {title} took.", labels),
        Family(f"{prefix}_failures_total", "counter", f"Times that the {title} failed.", labels),
        Family(f"{prefix}_last_success_timestamp_seconds", "gauge", f"When the {title} last took something.", labels),
    )


RELAY: Final = _channel("relay", "mail relay", "mails", ("relay",))
WEBHOOK: Final = _channel("webhook", "webhook", "posts")
DEADMAN: Final = _channel("deadman", "dead-man's ping", "pings")
ALERTMANAGER: Final = _channel("alertmanager", "Alertmanager", "posts", ("alertmanager",))


class DeliveryMetrics:
    """``now``: the collector's time, ms."""

    def __init__(self, stats: DeliveryStats, now: Callable[[], int]) -> None:
        self._stats = stats
        self._now = now

    def metrics(self) -> Iterator[FamilySamples]:
        stats = self._stats
        yield SENT.of(stats.sent)
        yield FAILED.of(stats.failed)
        yield RETRIED.of(stats.retried)
        yield REPEATS_SAVED.of(stats.duplicates_avoided)
        yield WAITING.of(stats.waiting)
        yield OLDEST.of(stats.oldest_seconds(self._now()))
        yield JOURNAL_UP.of(int(stats.notification_log.consecutive_failures == 0))
        yield from _samples(RELAY, stats.relays)
        if stats.webhook is not None:
            yield from _samples(WEBHOOK, [stats.webhook])
        if stats.deadman is not None:
            yield from _samples(DEADMAN, [stats.deadman])
            yield HELD_BACK.of(stats.deadman.skipped)
        yield from _samples(ALERTMANAGER, stats.alertmanagers)


def _samples(families: ChannelFamilies, channels: Sequence[ChannelHealth]) -> Iterator[FamilySamples]:
    named = [((channel.name,) if families.up.labels else (), channel) for channel in channels]
    yield families.up.by((who, channel.up) for who, channel in named)
    yield families.successes.by((who, channel.successes) for who, channel in named)
    yield families.failures.by((who, channel.failures) for who, channel in named)
    yield families.last_success.by(
        (who, None if channel.last_success is None else channel.last_success / 1000) for who, channel in named
    )
