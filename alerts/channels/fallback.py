"""When mail does not get through: which letters go out by the webhook, and when."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from alerts.channels.config import Ways
from alerts.channels.health import Backoff, Counts, Standing
from alerts.channels.http import NotTaken
from alerts.channels.notification_log import WEBHOOK, Journal, Sent, entry
from alerts.channels.outbox import Letter, Outbox
from alerts.channels.webhook import Hook

log = logging.getLogger("alerts.sender")

HOOK: Final = (15.0, 600.0)  # seconds: back-off of a webhook that is in trouble


class SecondWay:
    """For letters that wait: critical ones, and the recovery of what went out this way. Each is posted once."""

    def __init__(
        self,
        ways: Ways,
        outbox: Outbox,
        counts: Counts,
        journal: Journal,
        now: Callable[[], int],
        ticks: Callable[[], float],
        dice: random.Random,
    ) -> None:
        assert ways.webhook is not None
        self._ways, self._outbox, self._counts, self._journal = ways, outbox, counts, journal
        self._now, self._ticks = now, ticks
        self._after = ways.webhook.after
        self._hook = Hook(ways.webhook)
        self.standing = counts.webhook = Standing(WEBHOOK, Backoff(*HOOK, dice))
        self._told: set[str] | None = None  # incidents that went out this way

    async def post(self, letter: Letter, why: str, *, last: bool = False) -> bool:
        """If it is time for that; ``why``: why the mail waits. ``last``: there will be no other time. True: taken."""
        if letter.hooked or not (last or self._dark(letter)) or not await self._urgent(letter):
            return False
        if not last and not self.standing.ready(self._ticks()):
            return False
        if await asyncio.to_thread(self._journal.knows, letter.ident, letter.made, WEBHOOK):
            await self._outbox.hooked(letter, self._now())
            return True
        try:
            await self._hook.post(letter, why)
        except NotTaken as error:
            if self.standing.failed(self._now(), self._ticks(), str(error)):
                log.warning("the webhook takes no alerts: %s", error)
            return False
        if self.standing.worked(self._now()):
            log.info("the webhook takes alerts again")
        log.warning("%s went out by the webhook: %s", letter.ident, why)
        await note(self._journal, entry(letter, self._now(), WEBHOOK), self._counts, self._now(), self._ticks())
        if self._told is not None:
            self._told.update(letter.incidents)
        await self._outbox.hooked(letter, self._now())
        return True

    def _dark(self, letter: Letter) -> bool:
        """Whether mail has failed for long enough: for this letter, or for all of them."""
        now, failing = self._now(), [relay.since for relay in self._counts.relays]
        if now - letter.made >= self._after:
            return True
        down = [since for since in failing if since is not None]
        return bool(down) and len(down) == len(failing) and now - max(down) >= self._after

    async def _urgent(self, letter: Letter) -> bool:
        if letter.severity == "critical":
            return True
        if "recovery" not in (letter.kind, *letter.kinds):
            return False
        if self._told is None:
            since = self._now() - self._ways.give_up_after
            sent = await asyncio.to_thread(lambda: list(self._journal.hooked(since)))
            self._told = {incident for logged in sent for incident in logged.incidents}
        return not self._told.isdisjoint(letter.incidents)


async def note(journal: Journal, one: Sent, counts: Counts, now: int, ticks: float) -> None:
    """Into the journal. One that cannot be written stops no mail: the outbox is told all the same."""
    try:
        await asyncio.to_thread(journal.add, one)
    except OSError as error:
        if counts.journal.failed(now, ticks, error.strerror or str(error)):
            log.error("the journal of sent mails cannot be written: %s", error)
    else:
        counts.journal.worked(now)
