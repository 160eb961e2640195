"""The kind ``ntp``: does a time server answer, is it sure of its time, and how far is it from this machine's clock."""

import asyncio
import time
from functools import partial
from typing import Annotated, Final, Literal

from msgspec import Meta

from agent.clients.net.address_policy import candidates, datagram_stagger, first_to_answer
from agent.clients.net.datagram import DatagramReply as Answered
from agent.clients.net.datagram import DatagramRequest, DatagramTimeout
from agent.clients.net.kernel_stamps import KernelTimestamping
from agent.clients.net.resolve import Resolver, address_literal
from agent.clients.net.stream import endpoint
from agent.clients.ntp_packet import (
    KISS_CODES,
    MAX_STRATUM,
    UNSYNCHRONISED,
    NtpReply,
    build_request,
    offset_and_delay,
    parse_reply,
)
from agent.failure import ProbeFailed
from agent.first_steps import CALL, MACHINE_ON
from agent.probe import Address, Measure, Outcome, Probe, ProbeContext
from inventory.base.clock import CLOCK_FLOOR
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import Why, joined, sentence
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

_MARGIN: Final = 0.01  # seconds before the look's end, so that the more exact reason comes first
_TOO_OFTEN: Final = "RATE"


class Ntp(Probe, frozen=True, kw_only=True):
    """Ask a time server for the time: up when it answers, is synchronised, and agrees with this machine's clock.

    Down: no answer, a refusal (a kiss-o'-death code, named), or a server that says itself that it is not synchronised.
    A server that is asked too often (RATE) has said nothing about the time: unknown. Degraded: its clock and this
    machine's are more than ``max_offset`` apart (which of the two is wrong, one server cannot tell), or it is itself
    unsure by more than ``max_distance`` (half of its way to the source of time plus the error gathered on it; RFC 5905
    calls this the root distance). Packets that do not answer this very question are ignored and counted. A step of
    this machine's clock during the look is in no figure. The latency runs from the question to the kernel's stamp on
    the answer.
    """

    kind = "ntp"
    title = "clock (NTP)"
    target = ("server", "port")
    addressed_by = ("server",)
    measures = (
        Measure("offset_seconds", "seconds", "How far the server's clock is ahead of this machine's; below 0: behind"),
        Measure("delay_seconds", "seconds", "Way to the server and back, without the server's own time"),
        Measure("stratum", "count", "Steps from the source of time: 1 has its own, 2 asks one of those"),
        Measure("root_delay_seconds", "seconds", "Way from the server to its source of time and back"),
        Measure("root_dispersion_seconds", "seconds", "The server's own estimate of the error it has gathered"),
        Measure("leap_indicator", "status", "1 or 2: the day ends with a leap second; 3: not synchronised"),
        Measure("ignored_replies", "count", "Packets that came instead of, or before, the answer"),
        Measure("resolve_seconds", "seconds", "Resolving the server's name; left out for an address"),
    )
    down_mail = MailWords(
        steps=(
            "The time server does not answer or does not know the time. Machines keep their own clocks meanwhile.",
            MACHINE_ON,
            "If you look after it: restart its time service and see that it reaches its own sources of time.",
            CALL,
        ),
    )
    degraded_mail = MailWords(
        steps=(
            "The time server and the agent's machine differ. Compare both with your telephone's time.",
            "Put right the one that is wrong; on Linux: timedatectl",
            CALL,
        ),
    )
    example = "{server: 192.0.2.123}"

    server: Annotated[str, Meta(min_length=1, max_length=253, description="Address (or name) of the time server")]
    port: Annotated[int, Meta(ge=1, le=65535, description="Port")] = 123
    max_offset: Annotated[
        float, Meta(gt=0, le=1e6, description="Seconds between its clock and ours above which it is degraded")
    ] = 1.0
    max_distance: Annotated[
        float, Meta(gt=0, le=1e6, description="Seconds of its own uncertainty above which it is degraded")
    ] = 1.5
    max_stratum: Annotated[int, Meta(ge=1, le=MAX_STRATUM, description="Stratum above which it is degraded")] = (
        MAX_STRATUM
    )
    tries: Annotated[int, Meta(ge=1, le=5, description="How often to ask, spread over the timeout")] = 2
    family: Annotated[Literal["any", "ipv4", "ipv6"], Meta(description="Which addresses of the server to use")] = "any"

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return ((self.server, self.port),)

    async def run(self, context: ProbeContext) -> Outcome:
        measures: dict[str, float] = {}
        context.client(KernelTimestamping, KernelTimestamping)
        try:
            async with asyncio.timeout(context.timeout):
                started = time.monotonic()
                addresses = await context.client(Resolver, Resolver).addresses(self.server, self.family)
                resolved = time.monotonic() - started
                if address_literal(self.server) is None:
                    measures["resolve_seconds"] = resolved
                allowed = candidates(addresses, context.limits, self.port)
                end = time.monotonic() + max(context.timeout - resolved - _MARGIN, _MARGIN)

                async def ask(address: Address) -> Answered[NtpReply]:
                    return await self._exchange(address, max(end - time.monotonic(), _MARGIN), measures)

                first = await first_to_answer(allowed, ask, datagram_stagger(len(allowed), context.timeout - resolved))
                datagram = first.answer
                measures["ignored_replies"] = datagram.ignored
        except ProbeFailed as failure:
            return Outcome(failure.state, failure.reason, None, measures)
        except TimeoutError:
            late = sentence(
                "{server} port {port} did not answer within {timeout:n} s",
                server=self.server,
                port=self.port,
                timeout=context.timeout,
            )
            return Outcome(DOWN, late, None, measures)
        state, reason = self._evaluate(datagram, endpoint(first.address, self.port), measures)
        return Outcome(state, reason, datagram.seconds, measures)

    async def _exchange(self, address: Address, seconds: float, measures: dict[str, float]) -> Answered[NtpReply]:
        """Each try is a question of its own: an answer then tells which of them it is to."""
        ignored = 0
        for _ in range(self.tries):
            packet, nonce = build_request()
            request = DatagramRequest(address, self.port, packet, partial(parse_reply, nonce=nonce))
            try:
                datagram = await request.exchange(1, seconds / self.tries)
            except DatagramTimeout as timeout:
                ignored += timeout.ignored
                continue
            datagram.ignored += ignored
            return datagram
        measures["ignored_replies"] = ignored
        who = endpoint(address, self.port)
        words = sentence(
            "{who} did not answer {tries} questions within {seconds:n} s",
            who=who,
            tries=self.tries,
            seconds=f"{seconds:.3g}",
        )
        if ignored:
            others = sentence("{ignored} packets came that do not answer this question", ignored=ignored)
            words = joined([words, others])
        raise ProbeFailed(words)

    def _evaluate(self, datagram: Answered[NtpReply], who: str, measures: dict[str, float]) -> tuple[int, Why]:
        """State and reason; fills in what the answer measures."""
        reply = datagram.message
        if reply.kiss:
            words = KISS_CODES.get(reply.kiss, sentence("a code that is not in the standard"))
            state = UNKNOWN if reply.kiss == _TOO_OFTEN else DOWN
            return state, sentence(
                "{who} does not tell the time: {kiss} ({words})", who=who, kiss=reply.kiss, words=words
            )
        measures["leap_indicator"] = reply.leap
        if reply.leap == UNSYNCHRONISED or not 1 <= reply.stratum <= MAX_STRATUM or not reply.sent:
            return DOWN, sentence("{who} answers, but is not synchronised itself", who=who)
        if reply.sent < reply.received:
            return DOWN, sentence("{who} answers with times that contradict each other", who=who)
        wall_ns = datagram.sent + _wall_minus_monotonic()
        offset, delay = offset_and_delay(reply, wall_ns, datagram.seconds, CLOCK_FLOOR)
        measures.update(
            offset_seconds=offset,
            delay_seconds=max(delay, 0.0),
            stratum=reply.stratum,
            root_delay_seconds=reply.root_delay,
            root_dispersion_seconds=reply.root_dispersion,
        )
        return self._check_limits(reply, offset, who)

    def _check_limits(self, reply: NtpReply, offset: float, who: str) -> tuple[int, Why]:
        distance = reply.root_delay / 2 + reply.root_dispersion
        faults = []
        if abs(offset) > self.max_offset:
            difference = duration_text(abs(offset))
            faults.append(
                sentence(
                    "its clock is {offset} this machine's (one of the two is wrong)",
                    offset=sentence("{offset:d} ahead of", offset=difference)
                    if offset > 0
                    else sentence("{offset:d} behind", offset=difference),
                )
            )
        if distance > self.max_distance:
            faults.append(sentence("it is itself unsure of the time by {distance:d}", distance=duration_text(distance)))
        if reply.stratum > self.max_stratum:
            faults.append(
                sentence(
                    "it is of stratum {stratum}, more than {max_stratum}",
                    stratum=reply.stratum,
                    max_stratum=self.max_stratum,
                )
            )
        return (DEGRADED, sentence("{who}: {faults}", who=who, faults=joined(faults))) if faults else (UP, "")


def _wall_minus_monotonic() -> int:
    """ns; taken after the answer: what the wall clock says now is what the figures are about."""
    samples = []
    for _ in range(3):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        samples.append((after - before, wall - (before + after) // 2))
    return min(samples)[1]  # the one that was interrupted least


def duration_text(seconds: float) -> str:
    """A stretch of time in words."""
    for size, unit in ((86_400 * 365.25, "years"), (86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"
