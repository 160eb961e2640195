"""Send the outbox: mails to one relay after the other, to the webhook while mail does not get through.

A mail is sent when a relay has answered 250 to its text, and then logged before the outbox hears of it: a kill at
any moment lets at most the one mail under way go out twice, and no mail is lost. What a relay cannot do for anybody
(no connection, no TLS, no login, no sender) is held against the relay; what it cannot do for one mail, against that.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from alerts.channels.config import ChannelSettings
from alerts.channels.fallback import FallbackChannel, append_to_log
from alerts.channels.health import Backoff, ChannelHealth, DeliveryStats, UndeliverableMail
from alerts.channels.notification_log import NotificationLog, log_entry
from alerts.channels.outbox import Outbox, OutgoingMail
from alerts.channels.smtp import SmtpConnection, SmtpRefusal
from inventory.base.types import duration_text

log = logging.getLogger("alerts.sender")

PAGE_SIZE: Final = 20  # mails taken from the outbox at a time
POLL_INTERVAL_S: Final = 5.0  # seconds between two looks at the outbox when nobody says that there is something
MAIL_BACKOFF: Final = (60.0, 3_600.0)  # seconds: back-off of a mail that the relays put off
RELAY_BACKOFF: Final = (10.0, 300.0)  # of a relay that fails
MAX_BROKEN_CONNECTIONS: Final = 2  # mails in a row that broke a connection make it the relay's problem
STOP_GRACE_S: Final = 5.0  # seconds that a stop waits for the mail under way
MAX_DATA_TIMEOUT_S: Final = 600.0  # seconds, RFC 5321 (4.5.3.2.6): to wait at most for the answer to a mail's text


class MailSender:
    """One for an outbox. ``now``: the collector's time in ms; ``ticks``: seconds that no clock setting moves."""

    def __init__(
        self,
        settings: ChannelSettings,
        outbox: Outbox,
        notification_log: NotificationLog,
        stats: DeliveryStats | None = None,
        *,
        now: Callable[[], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        rng = rng or random.Random()
        self.settings = settings
        self.outbox = outbox
        self.notification_log = notification_log
        self.stats = stats if stats is not None else DeliveryStats()
        self.connections = [
            SmtpConnection(relay, settings.message_id_domain, settings.bounce) for relay in settings.relays
        ]
        self.relay_health = [ChannelHealth(relay.name, Backoff(*RELAY_BACKOFF, rng)) for relay in settings.relays]
        self.stats.relays = self.relay_health
        self._now = now or (lambda: time.time_ns() // 1_000_000)
        self._monotonic = monotonic
        self._backoff = Backoff(*MAIL_BACKOFF, rng)
        self._wake_event = asyncio.Event()
        self._delay_counts: dict[str, int] = {}  # by ident: how often for its own sake
        self._uncertain_counts: dict[str, int] = {}  # by ident: how often it was handed over without an answer
        self._broken_connections = [0] * len(self.connections)  # mails in a row that broke the connection
        self._fallback: FallbackChannel | None = None
        if settings.webhook is not None:
            self._fallback = FallbackChannel(settings, outbox, self.stats, notification_log, self._now, monotonic, rng)

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._wake_event.set()

    async def run(self) -> None:
        """Until cancelled; then the mail under way has a few seconds to end well."""
        try:
            while True:
                self._wake_event.clear()
                wait = await self._run_once_guarded()
                if wait > 0:
                    try:
                        async with asyncio.timeout(wait):
                            await self._wake_event.wait()
                    except TimeoutError:
                        pass
        finally:
            for connection in self.connections:
                connection.abort()
            self.notification_log.close()

    async def _run_once_guarded(self) -> float:
        try:
            wait = await self.run_once()
        except Exception as error:
            # the store, most likely: it says itself what is wrong, and until it is well nothing can be sent from it
            if self.stats.outbox.record_failure(self._now(), self._monotonic(), str(error) or type(error).__name__):
                log.exception("the outbox cannot be worked on")
            return POLL_INTERVAL_S
        if self.stats.outbox.record_success(self._now()):
            log.info("the outbox can be worked on again")
        return wait

    async def run_once(self) -> float:
        """One page of what is due. Seconds until there may be more to do; 0: there is more."""
        page = await self.outbox.due(self._now(), PAGE_SIZE)
        done = 0
        for mail in page:
            if self._wake_event.is_set() and done:
                break  # something new came, perhaps more urgent than the rest
            done += await self._process(mail)
        full = len(page) == PAGE_SIZE
        if full and not done:
            await self._postpone_page(page)
        await self._update_stats()
        if done or full:
            return 0.0
        for connection in self.connections:
            await connection.close()
        return min([POLL_INTERVAL_S, *map(self._seconds_until, self.relay_health)])

    def _seconds_until(self, health: ChannelHealth) -> float:
        remaining = health.retry_at - self._monotonic()
        return remaining if remaining > 0 else POLL_INTERVAL_S

    async def _process(self, mail: OutgoingMail) -> bool:
        """True when the mail is not due any more."""
        now = self._now()
        if await asyncio.to_thread(self.notification_log.contains, mail.ident, mail.made):
            await self._mark_sent(mail, "the journal")
            self.stats.duplicates_avoided += 1
            return True
        if now - mail.made >= self.settings.give_up_after:
            error = mail.last_error or self._relay_errors()
            await self._fail(mail, f"given up after {duration_text(self.settings.give_up_after)}: {error}")
            return True
        if not any(health.ready(self._monotonic()) for health in self.relay_health):
            self.stats.last_delay_reason = self._relay_errors()
            await self._post_fallback(mail, self.stats.last_delay_reason)
            return False
        work = asyncio.ensure_future(self._send_by_relays(mail))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait({work}, timeout=STOP_GRACE_S)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            raise

    async def _send_by_relays(self, mail: OutgoingMail) -> bool:
        """To one relay after the other. True: taken, refused for good, or put off."""
        names: list[str] = []
        refusals: list[SmtpRefusal] = []
        for index, (connection, health) in enumerate(zip(self.connections, self.relay_health, strict=True)):
            if not health.ready(self._monotonic()):
                continue
            names.append(health.name)
            try:
                await self._send(connection, mail)
            except SmtpRefusal as refusal:
                await self._handle_refusal(mail, index, refusal)
                refusals.append(refusal)
                if refusal.verdict == "never":
                    break
                continue
            self._broken_connections[index] = 0
            if health.record_success(self._now()):
                log.info("the relay %s takes mail again", health.name)
            await self._accepted(mail, health.name)
            return True
        return await self._delayed_or_failed(mail, names, refusals)

    async def _send(self, connection: SmtpConnection, mail: OutgoingMail) -> None:
        """Raises Refusal: also for a mail that makes us stumble, so that it holds up no other."""
        try:
            await connection.send(mail, self._data_timeout(mail, connection))
        except SmtpRefusal:
            raise
        except Exception as error:
            log.exception("%s to %s cannot be sent", mail.ident, mail.contact)
            raise SmtpRefusal("data", 0, f"a mistake of ours: {type(error).__name__}") from error

    def _data_timeout(self, mail: OutgoingMail, connection: SmtpConnection) -> float:
        """Longer for a mail that was handed over before without an answer, so that a slow relay gets it once more at
        most, not every time."""
        return min(
            max(connection.timeout, 1.0) * 2.0 ** min(self._uncertain_counts.get(mail.ident, 0), 10), MAX_DATA_TIMEOUT_S
        )

    async def _handle_refusal(self, mail: OutgoingMail, index: int, refusal: SmtpRefusal) -> None:
        connection, health = self.connections[index], self.relay_health[index]
        if refusal.uncertain:
            self._uncertain_counts[mail.ident] = self._uncertain_counts.get(mail.ident, 0) + 1
        self._broken_connections[index] = self._broken_connections[index] + 1 if refusal.code == 0 else 0
        if refusal.verdict == "relay" or self._broken_connections[index] >= MAX_BROKEN_CONNECTIONS:
            connection.abort()
            if health.record_failure(self._now(), self._monotonic(), str(refusal)):
                log.warning("the relay %s takes no mail: %s", health.name, refusal)
            return
        first = mail.ident not in self._delay_counts
        level = logging.WARNING if first else logging.DEBUG  # it is said once, however often it is tried
        log.log(level, "%s to %s was not taken by %s: %s", mail.ident, mail.contact, health.name, refusal)
        if health.record_response():  # what it refuses is this mail
            log.info("the relay %s answers again", health.name)
        await connection.reset()

    async def _delayed_or_failed(self, mail: OutgoingMail, names: list[str], refusals: list[SmtpRefusal]) -> bool:
        why = "; ".join(f"{name}: {refusal}" for name, refusal in zip(names, refusals, strict=True))
        verdicts = [refusal.verdict for refusal in refusals]
        if "never" in verdicts or (len(verdicts) == len(self.connections) and set(verdicts) == {"elsewhere"}):
            await self._fail(mail, why)
            return True
        mail_refusals = [refusal for refusal in refusals if refusal.verdict != "relay"]
        if mail_refusals:
            count = self._delay_counts[mail.ident] = self._delay_counts.get(mail.ident, 0) + 1
            wait = self._backoff.delay_after(count)
        else:
            # not its fault: as soon as a relay is to be tried again
            wait = max(0.0, min(health.retry_at for health in self.relay_health) - self._monotonic())
        self.stats.retried += 1
        self.stats.last_delay_reason = why
        posted = await self._post_fallback(mail, why)
        await self.outbox.later(mail, self._now() + int(wait * 1000) + 1, why)
        return bool(mail_refusals) or posted or not self._all_down()

    async def _accepted(self, mail: OutgoingMail, channel: str) -> None:
        """A relay has it: first the notification log, then the outbox."""
        await append_to_log(
            self.notification_log, log_entry(mail, self._now(), channel), self.stats, self._now(), self._monotonic()
        )
        self.stats.sent += 1
        for opened, kind in zip(mail.opened, mail.kinds or (mail.kind,) * len(mail.opened), strict=False):
            if kind == "trouble":
                self.stats.record_first_mail((self._now() - opened) / 1000)
        log.info("%s to %s went out by %s", mail.ident, mail.contact, channel)
        await self._mark_sent(mail, channel)

    async def _mark_sent(self, mail: OutgoingMail, channel: str) -> None:
        await self.outbox.sent(mail, self._now(), channel)
        self._forget(mail)

    async def _fail(self, mail: OutgoingMail, why: str) -> None:
        await self._post_fallback(mail, why, last=True)
        await self.outbox.failed(mail, self._now(), why)
        log.error("%s to %s will not be delivered: %s", mail.ident, mail.contact, why)
        self.stats.failed += 1
        self.stats.undeliverable.append(UndeliverableMail(self._now(), mail.ident, mail.contact, why))
        self._forget(mail)

    def _forget(self, mail: OutgoingMail) -> None:
        self._delay_counts.pop(mail.ident, None)
        self._uncertain_counts.pop(mail.ident, None)

    async def _post_fallback(self, mail: OutgoingMail, why: str, *, last: bool = False) -> bool:
        return self._fallback is not None and await self._fallback.post(mail, why, last=last)

    def _all_down(self) -> bool:
        return not any(health.ready(self._monotonic()) for health in self.relay_health)

    def _relay_errors(self) -> str:
        if not self.relay_health:
            return "no relay is named in the settings"
        return "; ".join(f"{relay.name}: {relay.error}" for relay in self.relay_health)

    async def _postpone_page(self, page: list[OutgoingMail]) -> None:
        """No relay takes mail: what was seen steps aside until one is to be tried, for others wait behind it, to be
        posted or given up."""
        until = min((self._seconds_until(health) for health in self.relay_health), default=MAIL_BACKOFF[0])
        for mail in page:
            await self.outbox.later(mail, self._now() + int(until * 1000) + 1, self._relay_errors())

    async def _update_stats(self) -> None:
        self.stats.waiting, self.stats.oldest_waiting = await self.outbox.waiting()
        if not self.stats.waiting:
            self._delay_counts.clear()
            self._uncertain_counts.clear()
