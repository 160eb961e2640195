"""The push: everything the spool holds, to one collector, in order, until that collector says it has it.

Only a parsed acknowledgement acknowledges. Every other answer, and no answer, leaves the spool as it is: the pusher
backs off, with jitter, and tries again for as long as it must. 401 and 403 included: nothing is ever deleted.
"""

import asyncio
import contextlib
import logging
import os
import random
import secrets
import socket
from collections.abc import Callable
from typing import Final, Protocol

import msgspec

from agent.spool import Spool
from agent.uplink.connection import CollectorResponse, Unreachable, Uplink
from agent.uplink.plans import SignedPlan
from inventory.base.clock import Clock
from inventory.protocol import machine
from inventory.protocol.wire import (
    MAX_BODY,
    VERSIONS,
    Ack,
    Batch,
    Echo,
    Position,
    Present,
    Push,
    Reading,
    WireError,
    ack_type,
    common_version,
    decode_ack,
    encode_push,
    push_type,
    version_of,
)

log = logging.getLogger("agent.push")

MAX_RESULTS: Final = 1_000  # in one batch
FIRST_WAIT: Final = 1.0  # seconds after the first failure; doubles
LONGEST_WAIT: Final = 300.0
SOONEST: Final = 10.0  # between two attempts that fail, however much the checks have to tell
GATHER: Final = 0.1  # checks that change together go in one push
STUCK: Final = 4  # answers in a row that bring nothing forward
START_VARIABLE: Final = "HAIDANG_AGENT_START"
START: Final = os.environ.get(START_VARIABLE) or secrets.token_hex(8)  # of this process and of those that it starts
_REFUSED: Final = {
    "replaced": "another machine has taken its place: stop the agent here, or enrol this machine again with a new code",
}


class PushContext(Protocol):
    """What the pusher needs of the agent around it."""

    def present(self) -> Present | None: ...
    def plan(self, digest: bytes) -> SignedPlan | None: ...
    def health(self, collector: str) -> dict[str, float]: ...
    def acknowledged(self, collector: str, ack: Ack) -> None: ...


class PushFailed(Exception):
    """An answer that acknowledges nothing, in words. ``status``: of HTTP, 0 if it was not that."""

    def __init__(self, message: str, status: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class CollectorContact(msgspec.Struct):
    """How it stands with a collector; for the status file. Times are boot-time ms; ``ahead_ms`` is how far the
    collector's wall clock is ahead of this machine's."""

    url: str
    last_ack: int | None = None
    failures: int = 0
    failing_since: int | None = None
    why: str = ""
    status: int = 0
    watermark: Position | None = None
    incarnation: str = ""
    ahead_ms: int = 0
    acks: int = 0
    results_sent: int = 0


class Pusher:
    """Serves one collector from the spool."""

    def __init__(
        self,
        name: str,
        uplink: Uplink,
        spool: Spool,
        clock: Clock,
        context: PushContext,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.contact = CollectorContact(uplink.url)
        self.uplink = uplink
        self._spool = spool
        self._clock = clock
        self._context = context
        self._jitter = jitter
        self._due = asyncio.Event()
        self._news = asyncio.Event()
        self._echo: Echo | None = None
        self._plans: list[SignedPlan] = []
        self._size = MAX_RESULTS
        self._version = VERSIONS[0]  # of the wire; what the collector takes is known from its first answer on
        self._stuck = 0
        self._wait = 0.0

    def tick(self) -> None:
        """It is time for a push."""
        self._due.set()

    def hurry(self) -> None:
        """There is news: a check has changed its state, or was looked at again to make sure."""
        self._news.set()
        self._due.set()

    async def run(self) -> None:
        """For ever. Raises SpoolBroken, and bugs; what a network or a collector does is survived."""
        while True:
            await self._due.wait()
            await asyncio.sleep(GATHER)
            self._due.clear()
            self._news.clear()
            if await self.attempt():
                continue
            self._due.set()  # tried again after the wait, whether or not anybody asks
            await asyncio.sleep(min(self._wait, SOONEST))
            # a change of state may be the network's return, so it may cut the rest short
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._wait - SOONEST)):
                    await self._news.wait()

    async def attempt(self) -> bool:
        """One round; False (and the contact says why) when the collector was not served. The next wait is set."""
        contact = self.contact
        try:
            await self._round()
        except (Unreachable, PushFailed) as error:
            if contact.failing_since is None:
                contact.failing_since = self._clock.boot_ms()
            if str(error) != contact.why:  # the change, not the state
                log.warning("collector %s is not served: %s", self.name, error)
            contact.why = str(error)
            contact.status = error.status if isinstance(error, PushFailed) else 0
            retry_after = error.retry_after if isinstance(error, PushFailed) else 0.0
            longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(contact.failures, 16))
            self._wait = max(longest * (0.5 + self._jitter() / 2), min(retry_after, LONGEST_WAIT))
            contact.failures += 1
            return False
        if contact.why:
            log.info("collector %s is served again, after %d attempts", self.name, contact.failures)
        contact.failures, contact.failing_since, contact.why, contact.status = 0, None, "", 0
        return True

    async def _round(self) -> None:
        """Sync, learn the watermark if it is not known, send all there is, and at least one push."""
        self._spool.sync()
        self._stuck = 0
        sent = False
        if self.contact.last_ack is None:
            await self._push(None)
            sent = True
        while True:
            # plans go by themselves: together with a batch they might be too much
            batch = None if self._plans else self._spool.next_batch(self.name, max_results=self._size)
            if batch is None and sent and not self._plans:
                return
            ack = await self._push(batch)
            sent = True
            if ack is not None and batch is not None:
                await asyncio.sleep(min(ack.pause_ms / 1000, LONGEST_WAIT))

    async def _push(self, batch: Batch | None, *, again: bool = False) -> Ack | None:
        """One exchange. None: the batch was too much for the collector and was made smaller, or skipped.

        ``again``: in another version than the one that was refused.
        """
        frames = batch.last - batch.start + 1 if batch is not None else 0
        backlog = max(0, self._spool.backlog(self.name) - frames)
        push = Push(
            version=self._version,
            sent=Reading(self._clock.boot_id(), self._clock.boot_ms(), self._clock.wall_ms()),
            echo=self._echo,
            batch=batch,
            present=self._context.present() if backlog else None,
            backlog=backlog,
            plans=[plan.encoded for plan in self._plans],
            health=self._context.health(self.name),
            signatures=[plan.signature for plan in self._plans],
        )
        body = encode_push(push)
        if len(body) > MAX_BODY:
            if batch is None:
                self._plans = []
                raise PushFailed(f"the plans asked for are {len(body)} bytes, too much for a push")
            await self._shrink_batch(batch, f"{len(body)} bytes")
            return None
        headers = {"Content-Type": push_type(self._version), machine.HEADER: machine_header(self._clock)}
        answer = await self.uplink.request("POST", "/v1/push", body, headers)
        arrived = self._clock.boot_ms()
        if self._renegotiated(answer) and answer.status == 400 and not again:
            return await self._push(batch, again=True)
        if answer.status in (400, 413) and batch is not None:
            await self._shrink_batch(batch, answer.error_text)
            return None
        ack = parse_ack(answer)
        self._plans = []
        self._echo = Echo(ack.sent_ms, arrived)
        self._update_contact(ack, arrived, len(batch.states) if batch is not None else 0)
        self._apply_ack(ack, batch)
        self._context.acknowledged(self.name, ack)
        return ack

    def _renegotiated(self, answer: CollectorResponse) -> bool:
        """Whether the collector, by this answer, is to be spoken to in another version from now on."""
        if answer.status != 400 and (answer.status != 200 or version_of(answer.content_type, ack_type) is None):
            return False  # whoever that is, it tells nothing of what the collector takes
        before, self._version = self._version, common_version(answer.headers)
        return self._version != before

    def _update_contact(self, ack: Ack, arrived: int, results: int) -> None:
        contact = self.contact
        if contact.incarnation and contact.incarnation != ack.incarnation:
            log.warning("collector %s was restored or made anew: it gets again what it has lost", self.name)
        contact.incarnation = ack.incarnation
        contact.last_ack = arrived
        contact.watermark = ack.watermark
        if ack.sent_ms:  # 0: the collector does not trust its own clock
            contact.ahead_ms = ack.sent_ms - self._clock.wall_ms()
        contact.acks += 1
        if ack.verdict == "taken":
            contact.results_sent += results
            self._size = min(self._size * 2, MAX_RESULTS)

    def _apply_ack(self, ack: Ack, batch: Batch | None) -> None:
        """Move the cursor to where the collector is. Raises PushFailed when answers bring nothing forward."""
        requested_plans = [self._context.plan(digest) for digest in ack.want]
        self._plans = [plan for plan in requested_plans if plan is not None]
        if len(self._plans) < len(requested_plans):
            log.error("collector %s asks for a plan that is no longer kept", self.name)
        if ack.verdict in ("taken", "repeat", "refused") and ack.watermark is not None and batch is not None:
            if ack.verdict == "refused":
                log.error("collector %s set a batch aside: %s", self.name, ack.reason)
            self._spool.acknowledged(self.name, ack.watermark)
            self._stuck = 0
            return
        if (ack.verdict == "none" and batch is None) or ack.verdict == "reposition":
            self._spool.reposition(self.name, ack.watermark)
        elif ack.verdict == "conflict":
            log.error(
                "collector %s has other results under the same numbers: this disk was rolled back or copied. "
                "Numbering begins anew. If two machines run as this agent, enrol one of them as another.",
                self.name,
            )
            self._spool.new_epoch(ack.reason or "conflict")
            self._spool.reposition(self.name, ack.watermark)
        elif not ack.want:
            raise PushFailed(f"the collector's answer makes no sense here: verdict {ack.verdict!r}")
        if batch is not None or ack.want:
            self._stuck += 1
        if self._stuck >= STUCK:
            raise PushFailed(f"the collector and this agent do not come to terms: {ack.reason or ack.verdict}")

    async def _shrink_batch(self, batch: Batch, why: str) -> None:
        """Halve a batch that the collector does not take; step over a single frame that it never will."""
        frames = batch.last - batch.start + 1
        if frames > 1 and self._size > 1:
            self._size = max(1, min(self._size, frames) // 2)
            return
        # before evidence is given up: does this collector understand anything of ours?
        await self._push(None)
        log.error("collector %s cannot take frame %d of epoch %d: %s", self.name, batch.last, batch.epoch, why)
        self._spool.skip(self.name, Position(batch.epoch, batch.last))


def machine_header(clock: Clock) -> str:
    """What requests say of this machine."""
    return machine.machine_text(machine.SendingMachine(clock.boot_id().hex(), START, socket.gethostname()))


def parse_ack(answer: CollectorResponse) -> Ack:
    """The one way in which an answer becomes an acknowledgement. Raises PushFailed."""
    status = answer.status
    if status == 200 and version_of(answer.content_type, ack_type) is not None:
        try:
            return decode_ack(answer.body)
        except WireError as error:
            raise PushFailed(str(error), status) from None
    if status == 200 or 300 <= status < 400 or status == 511:
        raise PushFailed("something else answers in the collector's place (a captive portal, a proxy)", status)
    if status == 401:
        raise PushFailed("the collector saw no certificate of this agent (401)", status)
    if status == 403:
        why = _REFUSED.get(answer.error_text, answer.error_text)
        raise PushFailed(f"the collector refuses this agent: {why} (403)", status)
    if status == 400:
        raise PushFailed(f"the collector does not understand this agent: {answer.error_text} (400)", status)
    after = answer.headers.get("retry-after", "")
    raise PushFailed(
        f"the collector cannot serve now: {answer.error_text}", status, float(after) if after.isdigit() else 0.0
    )
