"""Health and counters of the delivery channels, for metrics, pages and the collector's self-checks."""

import random
from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec

from alerts.incident.message import TranslatableMessage, message
from inventory.model.alerting import DAY, MINUTE

LATE_AFTER: Final = 10 * MINUTE  # a channel that has failed for as long is a problem
MAX_UNDELIVERABLE: Final = 20


class Backoff:
    """Longer from failure to failure: ``first`` seconds, doubled up to ``most``, each shortened by up to a quarter at
    random, so that those that failed together do not come back together."""

    def __init__(self, first: float, most: float, rng: random.Random) -> None:
        self._first, self._most, self._rng = first, most, rng

    def delay_after(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row (at least 1)."""
        full = self._first if failures <= 1 else min(self._first * 2.0 ** min(failures - 1, 40), self._most)
        return full * (1 - self._rng.random() / 4)


class ChannelHealth:
    """One way out: a relay, the webhook, the ping, an Alertmanager. ``since``, ``last``: ms of the collector's time."""

    def __init__(self, name: str, backoff: Backoff | None = None) -> None:
        self.name = name
        self.successes = 0
        self.failures = 0
        self.consecutive_failures = 0  # failures in a row
        self.skipped = 0  # how often there was a reason not to try
        self.error = ""  # of the last failure; kept after it is over
        self.last_success: int | None = None  # when it last worked
        self.failing_since: int | None = None  # since when it fails
        self.retry_at = 0.0  # not to be tried before (ticks)
        self._backoff = backoff

    @property
    def up(self) -> bool | None:
        """None until it was tried."""
        return self.consecutive_failures == 0 if self.successes or self.failures else None

    def ready(self, monotonic_now: float) -> bool:
        return monotonic_now >= self.retry_at

    def record_success(self, now: int) -> bool:
        """True when it had failed before: worth a line in the log."""
        self.last_success = now
        self.successes += 1
        return self.record_response()

    def record_response(self) -> bool:
        """It is there, though it did not do what was asked. True when it had failed before."""
        was_failing, self.consecutive_failures, self.failing_since, self.retry_at = (
            self.consecutive_failures > 0,
            0,
            None,
            0.0,
        )
        return was_failing

    def record_failure(self, now: int, monotonic_now: float, error: str) -> bool:
        """True when it worked before."""
        was_working = self.consecutive_failures == 0
        self.consecutive_failures += 1
        self.failures += 1
        self.error = error
        self.failing_since = now if self.failing_since is None else self.failing_since
        if self._backoff is not None:
            self.retry_at = monotonic_now + self._backoff.delay_after(self.consecutive_failures)
        return was_working


class UndeliverableMail(msgspec.Struct, frozen=True):
    """A mail that will not be delivered."""

    at: int
    ident: str
    contact: str
    why: str


class DeliveryStats:
    """Figures since the start, and the waiting mails as they were last seen."""

    def __init__(self) -> None:
        self.sent = 0
        self.failed = 0
        self.retried = 0
        self.duplicates_avoided = 0  # mails that the notification log knew as sent
        self._fault_to_mail: list[float] = []
        self.waiting = 0
        self.oldest_waiting: int | None = None  # when the oldest of them was made (ms)
        self.last_delay_reason = ""  # why the last mail was put off
        self.undeliverable: deque[UndeliverableMail] = deque(maxlen=MAX_UNDELIVERABLE)
        self.relays: list[ChannelHealth] = []
        self.webhook: ChannelHealth | None = None
        self.deadman: ChannelHealth | None = None
        self.alertmanagers: list[ChannelHealth] = []
        self.notification_log = ChannelHealth("journal")
        self.outbox = ChannelHealth("outbox")

    def record_first_mail(self, seconds: float) -> None:
        """A relay accepted the mail that tells a contact of an incident, so long after the fault."""
        self._fault_to_mail.append(seconds)

    def take_fault_to_mail(self) -> list[float]:
        """What was recorded since the last call, seconds: whoever takes it keeps it."""
        taken, self._fault_to_mail = self._fault_to_mail, []
        return taken

    def oldest_seconds(self, now: int) -> float:
        """How long the oldest waiting mail has waited; 0 when none waits."""
        return max(0, now - self.oldest_waiting) / 1000 if self.oldest_waiting is not None else 0.0

    def problems(self, now: int) -> list[tuple[str, TranslatableMessage]]:
        """What is wrong with the ways out at this moment: (what, words), ``what`` unique and lasting."""
        return list(self._problems(now))

    def _problems(self, now: int) -> Iterator[tuple[str, TranslatableMessage]]:
        if self.oldest_waiting is not None and now - self.oldest_waiting >= LATE_AFTER:
            yield (
                "mail",
                message(
                    "Mail has not gone out for {waiting_for}: {reason}",
                    waiting_for=now - self.oldest_waiting,
                    reason=self.last_delay_reason,
                ),
            )
        for relay in self.relays:
            if _late(relay, now):
                yield (
                    f"relay:{relay.name}",
                    message("The mail relay {relay} takes no mail: {reason}", relay=relay.name, reason=relay.error),
                )
        if self.webhook is not None and _late(self.webhook, now):
            yield "webhook", message("The webhook takes no alerts: {reason}", reason=self.webhook.error)
        if self.deadman is not None and _late(self.deadman, now):
            yield "deadman", message("The dead-man's ping does not get through: {reason}", reason=self.deadman.error)
        for manager in self.alertmanagers:
            if _late(manager, now):
                yield (
                    f"alertmanager:{manager.name}",
                    message(
                        "The Alertmanager {manager} takes no alerts: {reason}",
                        manager=manager.name,
                        reason=manager.error,
                    ),
                )
        if self.notification_log.consecutive_failures:
            yield (
                "journal",
                message("The journal of sent mails cannot be written: {reason}", reason=self.notification_log.error),
            )
        recent = [manager for manager in self.undeliverable if now - manager.at < DAY]
        if recent:
            latest = recent[-1]
            yield (
                "refused",
                message(
                    "{count} mails could not be delivered in the last day; the last one to {contact}: {reason}",
                    count=len(recent),
                    contact=latest.contact,
                    reason=latest.why,
                ),
            )


def _late(health: ChannelHealth, now: int) -> bool:
    return health.failing_since is not None and now - health.failing_since >= LATE_AFTER
