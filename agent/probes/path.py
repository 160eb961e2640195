"""The kind ``path``: is the way to a host good enough for a video conference."""

import asyncio
import time
from collections import Counter
from typing import Annotated, Final, Literal

from msgspec import Meta

from agent.clients.icmp.pinger import IcmpPinger
from agent.clients.icmp.platform import open_pinger
from agent.clients.net.address_policy import candidates, first_to_answer
from agent.clients.net.emodel import jitter, mos_from_rating, rating
from agent.clients.net.kernel_stamps import KernelTimestamping
from agent.clients.net.ping_result import PingResult
from agent.clients.net.resolve import Resolver, address_literal
from agent.clients.net.udp_echo import MIN_SIZE, UdpEchoBurst
from agent.failure import ProbeFailed
from agent.first_steps import LINE_BUSY, LINE_CABLE, LINE_CALL
from agent.probe import Address, Measure, Outcome, Probe, ProbeContext
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import joined, sentence
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

FEWEST: Final = 10  # packets that say anything of a path
_SHARE: Final = 0.8  # of the timeout that sending may take
_LATE_AFTER: Final = 1.0  # seconds after which a reply is lost: nobody waits for it in a conference
_ASK_SHARE: Final = 0.4  # of the timeout, for finding out which of several addresses answers
_MARGIN: Final = 0.01  # seconds before the look's end


class Path(Probe, frozen=True, kw_only=True):
    """Send a burst of packets as a call would, and judge whether a video conference would work on this path.

    By ICMP echoes, or with ``port`` by UDP to an echo server there (RFC 862), which routers treat like the call
    itself if ``dscp`` asks for it. Down: nothing comes back. Degraded: not fit, and why: loss, jitter or round trip
    above its mark (the defaults are those usual for interactive video: 1% loss, 30 ms jitter, 150 ms each way as in
    ITU-T G.114), or the estimated quality (E-model of G.107) below ``min_mos``. A reply after more than a second
    counts as lost. Where the burst would take more than four fifths of the timeout, fewer packets are sent. Of a
    name with several addresses, the families in turn, one packet each asks which of them answers; the first that
    does gets the burst. The latency is the mean round trip.
    """

    kind = "path"
    title = "line quality for video calls"
    target = ("host", "port")
    about = "line"
    needs = ("ping",)
    measures = (
        Measure("packets", "count", "Packets sent"),
        Measure("loss_ratio", "ratio", "Packets that did not come back, or not within a second"),
        Measure("jitter_seconds", "seconds", "Mean difference between the round trips of consecutive replies"),
        Measure("rtt_min_seconds", "seconds", "Shortest round trip"),
        Measure("rtt_avg_seconds", "seconds", "Mean round trip"),
        Measure("rtt_max_seconds", "seconds", "Longest round trip"),
        Measure("r_factor", "score", "Transmission rating of a call by the E-model, 0 (useless) to 93.2"),
        Measure("mos_score", "score", "Estimated quality of a call, 1 (bad) to 4.4 (good)"),
        Measure("resolve_seconds", "seconds", "Resolving the host name; left out for an address"),
    )
    down_mail = MailWords(
        steps=(
            "A video meeting would not work at this moment. Use the telephone for what cannot wait.",
            LINE_BUSY,
            LINE_CABLE,
            LINE_CALL,
        ),
    )
    degraded_mail = MailWords(
        headline="Poor line",
        steps=(
            "A video meeting would stutter. Before one begins, stop whatever else uses the line.",
            LINE_BUSY,
            "Use a network cable instead of Wi-Fi for the meeting.",
            LINE_CALL,
        ),
    )
    example = "{host: 192.0.2.1, count: 50}"

    host: Annotated[str, Meta(min_length=1, max_length=253, description="Host name or address")]
    port: Annotated[int, Meta(ge=0, le=65535, description="Port of a UDP echo server; 0: ICMP echoes")] = 0
    count: Annotated[int, Meta(ge=FEWEST, le=500, description="Packets in the burst")] = 100
    spacing: Annotated[float, Meta(ge=0.01, le=1, description="Seconds between packets; calls send one every 0.02")] = (
        0.02
    )
    size: Annotated[
        int, Meta(ge=MIN_SIZE, le=1400, description="Bytes in a packet; 172 are 20 ms of speech (G.711 with RTP)")
    ] = 172
    dscp: Annotated[
        int, Meta(ge=0, le=63, description="Class that UDP packets ask for: 46 as speech, 34 as video conferences")
    ] = 0
    max_loss: Annotated[float, Meta(ge=0, le=1, description="Share of lost packets that is still fit")] = 0.01
    max_jitter: Annotated[float, Meta(gt=0, le=10, description="Jitter in seconds that is still fit")] = 0.03
    max_rtt: Annotated[float, Meta(gt=0, le=10, description="Mean round trip in seconds that is still fit")] = 0.3
    min_mos: Annotated[float, Meta(ge=1, le=4.5, description="Estimated quality that is still fit")] = 3.6
    family: Annotated[Literal["any", "ipv4", "ipv6"], Meta(description="Which addresses of the name to use")] = "any"

    def __post_init__(self) -> None:
        if self.dscp and not self.port:
            raise ValueError(sentence("dscp is for UDP packets: it needs the port of an echo server"))

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return ((self.host, self.port or None),)

    async def run(self, context: ProbeContext) -> Outcome:
        measures: dict[str, float] = {}
        try:
            started = time.monotonic()
            async with asyncio.timeout(context.timeout):
                addresses = await context.client(Resolver, Resolver).addresses(self.host, self.family)
            resolved = time.monotonic() - started
            if address_literal(self.host) is None:
                measures["resolve_seconds"] = resolved
            allowed = candidates(addresses, context.limits, self.port or None)
            address = await self._answering(context, allowed, (context.timeout - resolved) * _ASK_SHARE)
            remaining = context.timeout - (time.monotonic() - started) - _MARGIN
            count = min(self.count, int(remaining * _SHARE / self.spacing) + 1)
            if count < FEWEST:
                return Outcome(
                    UNKNOWN,
                    sentence(
                        "the timeout is too short for {fewest} packets {spacing:n} s apart",
                        fewest=FEWEST,
                        spacing=self.spacing,
                    ),
                )
            result = await self._send_burst(
                context, address, count, min(remaining, (count - 1) * self.spacing + _LATE_AFTER)
            )
        except ProbeFailed as failure:
            return Outcome(failure.state, failure.reason, None, measures)
        except TimeoutError:
            return Outcome(
                DOWN,
                sentence(
                    "the name {host} was not resolved within {timeout:n} s", host=self.host, timeout=context.timeout
                ),
            )
        return self._outcome(address, result, measures)

    async def _answering(self, context: ProbeContext, addresses: list[Address], seconds: float) -> Address:
        """The address to send the burst to. Raises ProbeFailed when none of several answers."""
        if len(addresses) == 1:
            return addresses[0]
        end = time.monotonic() + seconds

        async def ask(address: Address) -> None:
            result = await self._send_burst(context, address, 1, max(end - time.monotonic(), _MARGIN))
            if not result.rtts:
                words = sentence("{address} did not answer", address=address)
                state = result.state if result.errors else DOWN
                raise ProbeFailed(joined([words, *result.errors[:1]]), state)

        return (await first_to_answer(addresses, ask, seconds / (len(addresses) + 1))).address

    async def _send_burst(self, context: ProbeContext, address: Address, count: int, seconds: float) -> PingResult:
        if self.port:
            context.client(KernelTimestamping, KernelTimestamping)
            return await UdpEchoBurst(address, self.port, count, self.spacing, self.size, self.dscp).send(seconds)
        return await context.client(IcmpPinger, open_pinger).ping(address, count, self.spacing, self.size, seconds)

    def _outcome(self, address: Address, result: PingResult, measures: dict[str, float]) -> Outcome:
        rtts, lost = result.rtts, result.sent - len(result.rtts)
        if lost and result.dropped:
            return Outcome(
                UNKNOWN,
                sentence(
                    "this machine threw away {dropped} packets unread, maybe the missing ones", dropped=result.dropped
                ),
            )
        why = Counter(result.errors).most_common(1)
        because = [why[0][0]] if why else []
        if why and result.state == UNKNOWN:
            return Outcome(UNKNOWN, sentence("not all were sent: {why}", why=why[0][0]))
        loss = lost / result.sent
        measures.update(packets=result.sent, loss_ratio=loss)
        if not rtts:
            words = sentence("{address} sent none of {sent} packets back", address=address, sent=result.sent)
            return Outcome(DOWN, joined([words, *because]), None, measures)
        mean = sum(rtts) / len(rtts)
        measures.update(rtt_min_seconds=min(rtts), rtt_avg_seconds=mean, rtt_max_seconds=max(rtts))
        if len(rtts) > 1:
            shaking = jitter(rtts)
            rated = min(max(rating(mean, shaking, loss), 0.0), 100.0)
            measures.update(jitter_seconds=shaking, r_factor=rated, mos_score=mos_from_rating(rated))
        unfit = self._unfit(lost, measures)
        if unfit:
            words = sentence("not fit for a video conference: {unfit}", unfit=joined(unfit, ", "))
            return Outcome(DEGRADED, joined([words, *because]), mean, measures)
        return Outcome(UP, "", mean, measures)

    def _unfit(self, lost: int, measures: dict[str, float]) -> list[str]:
        """What is past its mark. Without two replies there is no jitter, and nothing is fit at such a loss."""
        faults: list[str] = []
        if measures["loss_ratio"] > self.max_loss:
            faults.append(
                sentence(
                    "{lost} of {packets:n} packets lost (fit: {max_loss:n} of all)",
                    lost=lost,
                    packets=f"{measures['packets']:.0f}",
                    max_loss=f"{self.max_loss:.3g}",
                )
            )
        shaking = measures.get("jitter_seconds", 0.0)
        if shaking > self.max_jitter:
            faults.append(
                sentence(
                    "jitter {shaking:n} ms (fit: {max_jitter:n} ms)",
                    shaking=f"{shaking * 1000:.3g}",
                    max_jitter=f"{self.max_jitter * 1000:.3g}",
                )
            )
        if measures["rtt_avg_seconds"] > self.max_rtt:
            faults.append(
                sentence(
                    "round trip {rtt_avg_seconds:n} ms (fit: {max_rtt:n} ms)",
                    rtt_avg_seconds=f"{measures['rtt_avg_seconds'] * 1000:.3g}",
                    max_rtt=f"{self.max_rtt * 1000:.3g}",
                )
            )
        quality = measures.get("mos_score", 1.0)
        if quality < self.min_mos and not faults:
            faults.append(
                sentence(
                    "estimated quality {quality:n} (fit: {min_mos:n})",
                    quality=f"{quality:.2f}",
                    min_mos=f"{self.min_mos:.3g}",
                )
            )
        return faults
