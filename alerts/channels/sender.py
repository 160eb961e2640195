"""From the outbox to the outside world: letters to the relays in turn, to the webhook when mail does not get through.

A letter is sent when a relay has answered 250 to its text, and then journalled before the outbox hears of it: a kill at
any moment lets at most the one letter under way go out twice, and no letter is lost. What a relay cannot do for anybody
(no connection, no TLS, no login, no sender) is held against the relay; what it cannot do for one letter, against that.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from alerts.channels.config import Ways
from alerts.channels.fallback import SecondWay, note
from alerts.channels.health import Backoff, Counts, Refused, Standing
from alerts.channels.notification_log import Journal, entry
from alerts.channels.outbox import Letter, Outbox
from alerts.channels.smtp import Line, Refusal
from inventory.base.types import duration_text

log = logging.getLogger("alerts.sender")

PAGE: Final = 20  # letters taken from the outbox at a time
LOOK_EVERY: Final = 5.0  # seconds between two looks at the outbox when nobody says that there is something
LETTER: Final = (60.0, 3_600.0)  # seconds: back-off of a letter that the relays put off
RELAY: Final = (10.0, 300.0)  # of a relay that is in trouble
SUSPECT: Final = 2  # letters in a row that broke a connection make it the relay's trouble
GRACE: Final = 5.0  # seconds that a stop waits for the letter under way
PATIENCE: Final = 600.0  # seconds, RFC 5321 (4.5.3.2.6): to wait at most for the answer to a letter's text


class Sender:
    """One for an outbox. ``now``: the collector's time in ms; ``ticks``: seconds that no clock setting moves."""

    def __init__(
        self,
        settings: Ways,
        outbox: Outbox,
        notification_log: Journal,
        stats: Counts | None = None,
        *,
        now: Callable[[], int] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        rng = rng or random.Random()
        self.ways = settings
        self.outbox = outbox
        self.journal = notification_log
        self.counts = stats if stats is not None else Counts()
        self.lines = [Line(relay, settings.right, settings.bounce) for relay in settings.relays]
        self.standings = [Standing(relay.name, Backoff(*RELAY, rng)) for relay in settings.relays]
        self.counts.relays = self.standings
        self._now = now or (lambda: time.time_ns() // 1_000_000)
        self._ticks = monotonic
        self._backoff = Backoff(*LETTER, rng)
        self._woken = asyncio.Event()
        self._put_off: dict[str, int] = {}  # by ident: how often for its own sake
        self._doubts: dict[str, int] = {}  # by ident: how often it was handed over without an answer
        self._broke = [0] * len(self.lines)  # letters in a row that broke the connection
        self._second: SecondWay | None = None
        if settings.webhook is not None:
            self._second = SecondWay(settings, outbox, self.counts, notification_log, self._now, monotonic, rng)

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled; then the letter under way has a few seconds to end well."""
        try:
            while True:
                self._woken.clear()
                wait = await self._guarded()
                if wait > 0:
                    try:
                        async with asyncio.timeout(wait):
                            await self._woken.wait()
                    except TimeoutError:
                        pass
        finally:
            for connection in self.lines:
                connection.abort()
            self.journal.close()

    async def _guarded(self) -> float:
        try:
            wait = await self.once()
        except Exception as error:
            # the store, most likely: it says itself what is wrong, and until it is well nothing can be sent from it
            if self.counts.outbox.failed(self._now(), self._ticks(), str(error) or type(error).__name__):
                log.exception("the outbox cannot be worked on")
            return LOOK_EVERY
        if self.counts.outbox.worked(self._now()):
            log.info("the outbox can be worked on again")
        return wait

    async def once(self) -> float:
        """One page of what is due. Seconds until there may be more to do; 0: there is more."""
        page = await self.outbox.due(self._now(), PAGE)
        done = 0
        for mail in page:
            if self._woken.is_set() and done:
                break  # something new came, perhaps more urgent than the rest
            done += await self._see_to(mail)
        full = len(page) == PAGE
        if full and not done:
            await self._make_room(page)
        await self._measure()
        if done or full:
            return 0.0
        for connection in self.lines:
            await connection.close()
        return min([LOOK_EVERY, *map(self._until, self.standings)])

    def _until(self, health: Standing) -> float:
        remaining = health.until - self._ticks()
        return remaining if remaining > 0 else LOOK_EVERY

    async def _see_to(self, mail: Letter) -> bool:
        """True when the letter is not due any more."""
        now = self._now()
        if await asyncio.to_thread(self.journal.knows, mail.ident, mail.made):
            await self._settled(mail, "the journal")
            self.counts.repeats_saved += 1
            return True
        if now - mail.made >= self.ways.give_up_after:
            await self._fail(
                mail, f"given up after {duration_text(self.ways.give_up_after)}: {mail.why or self._relays_words()}"
            )
            return True
        if not any(health.ready(self._ticks()) for health in self.standings):
            self.counts.put_off = self._relays_words()
            await self._post(mail, self.counts.put_off)
            return False
        work = asyncio.ensure_future(self._mail(mail))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait({work}, timeout=GRACE)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            raise

    async def _mail(self, mail: Letter) -> bool:
        """To the relays in turn. True: taken, refused for good, or put off."""
        names: list[str] = []
        refusals: list[Refusal] = []
        for index, (connection, health) in enumerate(zip(self.lines, self.standings, strict=True)):
            if not health.ready(self._ticks()):
                continue
            names.append(health.name)
            try:
                await self._send(connection, mail)
            except Refusal as refusal:
                await self._refused(mail, index, refusal)
                refusals.append(refusal)
                if refusal.verdict == "never":
                    break
                continue
            self._broke[index] = 0
            if health.worked(self._now()):
                log.info("the relay %s takes mail again", health.name)
            await self._accepted(mail, health.name)
            return True
        return await self._not_taken(mail, names, refusals)

    async def _send(self, connection: Line, mail: Letter) -> None:
        """Raises Refusal: also for a letter that makes us stumble, so that it holds up no other."""
        try:
            await connection.send(mail, self._patience(mail, connection))
        except Refusal:
            raise
        except Exception as error:
            log.exception("%s to %s cannot be sent", mail.ident, mail.contact)
            raise Refusal("data", 0, f"a mistake of ours: {type(error).__name__}") from error

    def _patience(self, mail: Letter, connection: Line) -> float:
        """Longer for a letter that was handed over before without an answer, so that a slow relay gets it once more at
        most, not every time."""
        return min(max(connection.timeout, 1.0) * 2.0 ** min(self._doubts.get(mail.ident, 0), 10), PATIENCE)

    async def _refused(self, mail: Letter, index: int, refusal: Refusal) -> None:
        connection, health = self.lines[index], self.standings[index]
        if refusal.doubt:
            self._doubts[mail.ident] = self._doubts.get(mail.ident, 0) + 1
        self._broke[index] = self._broke[index] + 1 if refusal.code == 0 else 0
        if refusal.verdict == "relay" or self._broke[index] >= SUSPECT:
            connection.abort()
            if health.failed(self._now(), self._ticks(), str(refusal)):
                log.warning("the relay %s takes no mail: %s", health.name, refusal)
            return
        first = mail.ident not in self._put_off
        level = logging.WARNING if first else logging.DEBUG  # it is said once, however often it is tried
        log.log(level, "%s to %s was not taken by %s: %s", mail.ident, mail.contact, health.name, refusal)
        if health.answered():  # what it refuses is this letter
            log.info("the relay %s answers again", health.name)
        await connection.reset()

    async def _not_taken(self, mail: Letter, names: list[str], refusals: list[Refusal]) -> bool:
        why = "; ".join(f"{name}: {refusal}" for name, refusal in zip(names, refusals, strict=True))
        verdicts = [refusal.verdict for refusal in refusals]
        if "never" in verdicts or (len(verdicts) == len(self.lines) and set(verdicts) == {"elsewhere"}):
            await self._fail(mail, why)
            return True
        mail_refusals = [refusal for refusal in refusals if refusal.verdict != "relay"]
        if mail_refusals:
            count = self._put_off[mail.ident] = self._put_off.get(mail.ident, 0) + 1
            wait = self._backoff.after(count)
        else:
            # not its fault: as soon as a relay is to be tried again
            wait = max(0.0, min(health.until for health in self.standings) - self._ticks())
        self.counts.retried += 1
        self.counts.put_off = why
        posted = await self._post(mail, why)
        await self.outbox.later(mail, self._now() + int(wait * 1000) + 1, why)
        return bool(mail_refusals) or posted or not self._all_down()

    async def _accepted(self, mail: Letter, channel: str) -> None:
        """A relay has it: first the journal, then the outbox."""
        await note(self.journal, entry(mail, self._now(), channel), self.counts, self._now(), self._ticks())
        self.counts.sent += 1
        log.info("%s to %s went out by %s", mail.ident, mail.contact, channel)
        await self._settled(mail, channel)

    async def _settled(self, mail: Letter, channel: str) -> None:
        await self.outbox.sent(mail, self._now(), channel)
        self._forget(mail)

    async def _fail(self, mail: Letter, why: str) -> None:
        await self._post(mail, why, last=True)
        await self.outbox.failed(mail, self._now(), why)
        log.error("%s to %s will not be delivered: %s", mail.ident, mail.contact, why)
        self.counts.failed += 1
        self.counts.refused.append(Refused(self._now(), mail.ident, mail.contact, why))
        self._forget(mail)

    def _forget(self, mail: Letter) -> None:
        self._put_off.pop(mail.ident, None)
        self._doubts.pop(mail.ident, None)

    async def _post(self, mail: Letter, why: str, *, last: bool = False) -> bool:
        return self._second is not None and await self._second.post(mail, why, last=last)

    def _all_down(self) -> bool:
        return not any(health.ready(self._ticks()) for health in self.standings)

    def _relays_words(self) -> str:
        if not self.standings:
            return "no relay is named in the settings"
        return "; ".join(f"{relay.name}: {relay.error}" for relay in self.standings)

    async def _make_room(self, page: list[Letter]) -> None:
        """No relay takes mail: what was seen steps aside until one is to be tried, for others wait behind it, to be
        posted or given up."""
        until = min((self._until(health) for health in self.standings), default=LETTER[0])
        for mail in page:
            await self.outbox.later(mail, self._now() + int(until * 1000) + 1, self._relays_words())

    async def _measure(self) -> None:
        self.counts.waiting, self.counts.oldest = await self.outbox.waiting()
        if not self.counts.waiting:
            self._put_off.clear()
            self._doubts.clear()
