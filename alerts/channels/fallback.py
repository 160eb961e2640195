"""The fallback channel: which mails go out by the webhook, and when, while mail does not get through."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from alerts.channels.config import ChannelSettings
from alerts.channels.health import Backoff, ChannelHealth, DeliveryStats
from alerts.channels.http import DeliveryFailed
from alerts.channels.notification_log import WEBHOOK, NotificationLog, NotificationLogEntry, log_entry
from alerts.channels.outbox import Outbox, OutgoingMail
from alerts.channels.webhook import WebhookSender

log = logging.getLogger("alerts.sender")

WEBHOOK_BACKOFF: Final = (15.0, 600.0)  # seconds: back-off of a webhook that fails


class FallbackChannel:
    """For mails that wait: critical ones, and the recovery of what went out this way. Each is posted once."""

    def __init__(
        self,
        settings: ChannelSettings,
        outbox: Outbox,
        stats: DeliveryStats,
        notification_log: NotificationLog,
        now: Callable[[], int],
        monotonic: Callable[[], float],
        rng: random.Random,
    ) -> None:
        assert settings.webhook is not None
        self._settings, self._outbox, self._stats, self._notification_log = settings, outbox, stats, notification_log
        self._now, self._monotonic = now, monotonic
        self._after = settings.webhook.after
        self._webhook = WebhookSender(settings.webhook)
        self.health = stats.webhook = ChannelHealth(WEBHOOK, Backoff(*WEBHOOK_BACKOFF, rng))
        self._notified_incidents: set[str] | None = None  # incidents that went out this way

    async def post(self, mail: OutgoingMail, reason: str, *, last: bool = False) -> bool:
        """If it is time for that; ``why``: why the mail waits. ``last``: there will be no other time. True: taken."""
        if mail.hooked or not (last or self._mail_failing(mail)) or not await self._urgent(mail):
            return False
        if not last and not self.health.ready(self._monotonic()):
            return False
        if await asyncio.to_thread(self._notification_log.contains, mail.ident, mail.made, WEBHOOK):
            await self._outbox.hooked(mail, self._now())
            return True
        try:
            await self._webhook.post(mail, reason)
        except DeliveryFailed as error:
            if self.health.record_failure(self._now(), self._monotonic(), str(error)):
                log.warning("the webhook takes no alerts: %s", error)
            return False
        if self.health.record_success(self._now()):
            log.info("the webhook takes alerts again")
        log.warning("%s went out by the webhook: %s", mail.ident, reason)
        await append_to_log(
            self._notification_log, log_entry(mail, self._now(), WEBHOOK), self._stats, self._now(), self._monotonic()
        )
        if self._notified_incidents is not None:
            self._notified_incidents.update(mail.incidents)
        await self._outbox.hooked(mail, self._now())
        return True

    def _mail_failing(self, mail: OutgoingMail) -> bool:
        """Whether mail has failed for long enough: for this mail, or for all of them."""
        now, failing = self._now(), [relay.failing_since for relay in self._stats.relays]
        if now - mail.made >= self._after:
            return True
        down = [since for since in failing if since is not None]
        return bool(down) and len(down) == len(failing) and now - max(down) >= self._after

    async def _urgent(self, mail: OutgoingMail) -> bool:
        if mail.severity == "critical":
            return True
        if "recovery" not in (mail.kind, *mail.kinds):
            return False
        if self._notified_incidents is None:
            since = self._now() - self._settings.give_up_after
            sent = await asyncio.to_thread(lambda: list(self._notification_log.webhook_entries(since)))
            self._notified_incidents = {incident for logged in sent for incident in logged.incidents}
        return not self._notified_incidents.isdisjoint(mail.incidents)


async def append_to_log(
    notification_log: NotificationLog,
    new_entry: NotificationLogEntry,
    stats: DeliveryStats,
    now: int,
    monotonic_now: float,
) -> None:
    """Into the notification log. One that cannot be written stops no mail: the outbox learns of it all the same."""
    try:
        await asyncio.to_thread(notification_log.add, new_entry)
    except OSError as error:
        if stats.notification_log.record_failure(now, monotonic_now, error.strerror or str(error)):
            log.error("the journal of sent mails cannot be written: %s", error)
    else:
        stats.notification_log.record_success(now)
