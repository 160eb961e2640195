"""The kind ``icmp``: does a host answer pings, how fast, how evenly."""

import asyncio
import time
from collections import Counter
from typing import Annotated, Literal

from msgspec import Meta

from agent.clients.icmp.pinger import IcmpPinger
from agent.clients.icmp.platform import open_pinger
from agent.clients.net.address_policy import candidates, together
from agent.clients.net.emodel import jitter, mos
from agent.clients.net.ping_result import PingResult
from agent.clients.net.resolve import Resolver, address_literal
from agent.failure import ProbeFailed
from agent.first_steps import CALL, LINE_BUSY, LINE_CABLE, MACHINE_ON, RESTART_ONCE
from agent.probe import Address, Measure, Outcome, Probe, ProbeContext
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import joined, sentence
from inventory.protocol.states import DOWN, UNKNOWN, UP

_SHARE = 0.5  # of the timeout that sending may take: the last request needs time for its reply too
_MARGIN = 0.01  # seconds before the look's end


class Icmp(Probe, frozen=True, kw_only=True):
    """Pings a host: up when it answers, with loss, round trips, jitter, and an estimate of fitness for a call.

    The latency is the mean round trip, from handing a request to the kernel to the kernel's stamp on the reply.
    Refusals on the way (unreachable, too many routers, a firewall's) are told as the reason. Of a name's addresses,
    the families in turn, the first that answers at all is judged; each has its part of the timeout. The requests
    are sent closer together when they would not fit into half of the timeout.
    """

    kind = "icmp"
    title = "ping"
    target = ("host",)
    about = "host"
    needs = ("ping",)
    measures = (
        Measure("loss_ratio", "ratio", "Requests without a reply"),
        Measure("rtt_min_seconds", "seconds", "Shortest round trip", exported=False),
        Measure("rtt_avg_seconds", "seconds", "Mean round trip", exported=False),
        Measure("rtt_max_seconds", "seconds", "Longest round trip", exported=False),
        Measure("jitter_seconds", "seconds", "Mean difference between the round trips of consecutive replies"),
        Measure("mos_score", "score", "Estimated quality of a call, 1 (bad) to 4.4 (good)"),
        Measure("duplicates", "count", "Replies beyond the first to a request", exported=False),
        Measure("resolve_seconds", "seconds", "Resolving the host name; left out for an address", exported=False),
    )
    down_mail = MailWords(
        steps=(
            MACHINE_ON,
            "Look at the switch that it is connected to: is it on, and does the light of its port blink?",
            "Try another cable, then another port of the switch.",
            RESTART_ONCE,
            CALL,
        ),
    )
    degraded_mail = MailWords(
        link_headline="Poor line",
        steps=(
            "The way there loses packets or is slow: telephone and video stutter, pages load slowly.",
            LINE_BUSY,
            LINE_CABLE,
            CALL,
        ),
    )
    example = "{host: 192.0.2.1, count: 5}"

    host: Annotated[str, Meta(min_length=1, max_length=253, description="Host name or address")]
    count: Annotated[int, Meta(ge=1, le=100, description="Requests in one look")] = 3
    spacing: Annotated[float, Meta(ge=0.01, le=10, description="Seconds between requests")] = 0.2
    size: Annotated[int, Meta(ge=8, le=8972, description="Bytes of payload in a request")] = 56
    max_loss: Annotated[
        float, Meta(ge=0, le=1, description="Loss above which the host is down; without any reply it always is")
    ] = 1.0
    family: Annotated[Literal["any", "ipv4", "ipv6"], Meta(description="Which addresses of the name to use")] = "any"

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return ((self.host, None),)

    async def run(self, context: ProbeContext) -> Outcome:
        try:
            started = time.monotonic()
            async with asyncio.timeout(context.timeout):
                addresses = await context.client(Resolver, Resolver).addresses(self.host, self.family)
            resolved = time.monotonic() - started
            allowed = candidates(addresses, context.limits)
            measures = {"resolve_seconds": resolved} if address_literal(self.host) is None else {}
            return await self._ping_each(context, allowed, time.monotonic() + context.timeout - resolved, measures)
        except ProbeFailed as failure:
            return Outcome(failure.state, failure.reason)
        except TimeoutError:
            return Outcome(
                DOWN,
                sentence(
                    "the name {host} was not resolved within {timeout:n} s", host=self.host, timeout=context.timeout
                ),
            )

    async def _ping_each(
        self, context: ProbeContext, addresses: list[Address], end: float, measures: dict[str, float]
    ) -> Outcome:
        """One address after the other, until one answers."""
        pinger = context.client(IcmpPinger, open_pinger)
        silent: list[Outcome] = []
        for place, address in enumerate(addresses):
            left = max(end - time.monotonic(), _MARGIN)
            seconds = max(left / (len(addresses) - place) - _MARGIN, _MARGIN)
            spacing = min(self.spacing, (left / (len(addresses) - place)) * _SHARE / max(self.count - 1, 1))
            try:
                result = await pinger.ping(address, self.count, spacing, self.size, seconds)
            except ProbeFailed as failure:
                silent.append(Outcome(failure.state, failure.reason))
                continue
            outcome = self._outcome(address, result, seconds, dict(measures))
            if result.rtts:
                return outcome
            silent.append(outcome)
        if len(silent) == 1:
            return silent[0]
        combined = together([ProbeFailed(outcome.reason, outcome.state) for outcome in silent])
        worst = next(outcome for outcome in silent if outcome.state == combined.state)
        return Outcome(combined.state, combined.reason, None, worst.measures)

    def _outcome(self, address: Address, result: PingResult, seconds: float, measures: dict[str, float]) -> Outcome:
        rtts = result.rtts
        if len(rtts) < result.sent and result.dropped:
            reason = sentence(
                "this machine threw away {dropped} packets unread, maybe the missing replies", dropped=result.dropped
            )
            return Outcome(UNKNOWN, reason)
        why = Counter(result.errors).most_common(1)
        because = [why[0][0]] if why else []
        if not rtts and why and result.state == UNKNOWN:
            return Outcome(UNKNOWN, sentence("not sent: {why}", why=why[0][0]))
        loss = 1 - len(rtts) / result.sent
        measures.update(loss_ratio=loss, duplicates=result.duplicates)
        if not rtts:
            words = sentence("{address} did not answer {sent} pings", address=address, sent=result.sent)
            if not why:
                words = sentence("{so} within {seconds:n} s", so=words, seconds=f"{seconds:.3g}")
            return Outcome(DOWN, joined([words, *because]), None, measures)
        mean = sum(rtts) / len(rtts)
        measures.update(rtt_min_seconds=min(rtts), rtt_avg_seconds=mean, rtt_max_seconds=max(rtts))
        if len(rtts) > 1:
            measures["jitter_seconds"] = jitter(rtts)
            measures["mos_score"] = mos(mean, measures["jitter_seconds"], loss)
        if loss > self.max_loss:
            lost = result.sent - len(rtts)
            words = sentence(
                "{address} left {lost} of {sent} pings unanswered", address=address, lost=lost, sent=result.sent
            )
            return Outcome(DOWN, joined([words, *because]), mean, measures)
        return Outcome(UP, "", mean, measures)
