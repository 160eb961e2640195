"""Gaps in which an agent did not look, and their causes, from its starts and stops, its UPS and what others saw.

stopped cleanly                                     agent (power, if the UPS was on battery and the machine booted)
started again on a machine that had run on          agent
booted anew, unclean, UPS on battery before         power
booted anew, unclean, site answered from outside    agent: the machine alone was gone
booted anew, unclean, site went at the same time    power
booted anew, unclean, nothing else known            not known
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import pairwise

import msgspec

from alerts.incident.message import TranslatableMessage
from alerts.incident.problem import Cause, Certainty
from collector.causes import elements, words
from collector.causes.elements import Root
from collector.causes.evidence import AgentLife, AgentStart, CauseEvidence, Proofs
from collector.causes.explain import cause_of
from collector.causes.topology import Topology
from collector.ledger.counted import Interval
from inventory.protocol.causes import AGENT, COLLECTOR, NOT_KNOWN, POWER, CauseKind
from inventory.protocol.refs import Ref
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

POWER_RETURN_MS = (
    600_000  # ms before a machine's boot from which on its site's router may answer again after a power cut
)


class Gap(msgspec.Struct, frozen=True):
    """Time in which the agent did not look."""

    start: int
    end: int  # now, while it is open
    cause: Cause
    open: bool = False
    powered: bool = False  # its site had power all the while
    error: int = 0  # how far off its ends may be placed, ms


class AgentGaps:
    """The gaps of agents, each worked out when it is first asked for."""

    def __init__(self, topology: Topology, evidence: CauseEvidence, proofs: Callable[[str], Proofs]) -> None:
        self._topology = topology
        self._evidence = evidence
        self._proofs = proofs
        self._gaps: dict[str, tuple[Gap, ...]] = {}

    def gaps(self, agent: str) -> tuple[Gap, ...]:
        if agent not in self._gaps:
            self._gaps[agent] = tuple(self._compute(agent))
        return self._gaps[agent]

    def gap_at(self, agent: str, start: int, end: int, *, exact: bool) -> Gap | None:
        """The gap that holds all of [start, end]; unless ``exact`` (these are the agent's own times) for certain."""
        gaps = self.gaps(agent)
        i = bisect_right(gaps, start, key=lambda gap: gap.start) - 1
        if i < 0:
            return None
        error = 0 if exact else gaps[i].error
        return gaps[i] if gaps[i].start + error <= start and end <= gaps[i].end - error else None

    def _compute(self, agent: str) -> Iterable[Gap]:
        looks = self._topology.heartbeat_checks(agent)
        if not looks:
            return
        checks = self._topology.inventory.checks
        patience = max(checks[uid].hold for uid in looks)
        pieces = sorted(piece for uid in looks for piece in self._proofs(uid).look_times())
        life = self._evidence.life(agent)
        looked = _merged(pieces)
        if not looked:
            return
        for (_, last), (first, _) in pairwise(looked):
            starts = [start for start in life.starts if last < start.at <= first]
            stop = next((at for at in reversed(life.stops) if last <= at <= first), None)
            if starts or stop is not None or first - last > min(checks[uid].hold for uid in looks):
                error = self._error(looks, last) + self._error(looks, first)
                for gap in self._closed(agent, last, first, [_with_error(start, error) for start in starts], stop):
                    yield msgspec.structs.replace(gap, error=error)
        last = looked[-1][1]
        if self._evidence.now - last > patience:
            yield self._open(agent, last, life)

    def _error(self, looks: Iterable[str], at: int) -> int:
        return max(self._proofs(uid).error_at(at) for uid in looks)

    def between(self, agent: str, last: int, first: int) -> tuple[Gap, ...]:
        """Of a single check's silence, shorter than the agent's other checks could see: what starts and stops tell."""
        life = self._evidence.life(agent)
        starts = [start for start in life.starts if last < start.at <= first]
        stop = next((at for at in reversed(life.stops) if last <= at <= first), None)
        return tuple(self._closed(agent, last, first, starts, stop)) if starts or stop is not None else ()

    # -- a gap that has ended

    def _closed(self, agent: str, last: int, first: int, starts: list[AgentStart], stop: int | None) -> Iterable[Gap]:
        booted = next((start for start in starts if start.booted > last - start.error), None)
        battery = self._battery_before(agent, last)
        root = elements.agent(agent)
        if booted is not None and battery is not None:
            boot_message = (
                words.booted(agent, booted.booted) if stop is None else words.booted_after_stop(agent, booted.booted)
            )
            yield self._gap(last, first, self._power(agent), POWER, "probable", (battery, boot_message))
        elif stop is not None:
            ended = words.stopped(agent, stop)
            yield self._gap(last, first, root, AGENT, "sure", (ended,), powered=booted is None)
        elif booted is not None:
            yield from self._crashed(agent, last, first, booted)
        elif starts:
            again = words.restarted(agent, starts[0].at)
            yield self._gap(last, first, root, AGENT, "sure", (again,), powered=True)
        else:
            yield self._unexplained(agent, last, first)

    def _crashed(self, agent: str, last: int, first: int, start: AgentStart) -> Iterable[Gap]:
        """Booted anew without a clean stop: the machine alone, or the power of its site?"""
        site, root = self._topology.site_of(agent), elements.agent(agent)
        boot_message = words.booted(agent, start.booted)
        outside = self._topology.outside_checks(site)
        soon = min(last + self._next_look_within(agent) + start.error + 1, first)
        alive = next((uid for uid in outside if self._works(uid, last, soon)), None)
        if alive is not None:
            yield self._gap(last, first, root, AGENT, "sure", (words.answered(site, alive), boot_message))
            return
        gone = next((uid for uid in outside if self._went_between(uid, last, soon)), None)
        if gone is None and all(self._proofs(uid).state(last, last) is None for uid in outside):
            gone = next((uid for uid in outside if self._down_inside(uid, last, start.booted)), None)
        if gone is None or any(self._proofs(uid).state(last, last) == DOWN for uid in outside):
            yield self._gap(last, first, root, NOT_KNOWN, "probable", (boot_message,))
            return
        because = (words.gone_together(site, gone), boot_message)
        back = self._back(gone, last, start.booted)
        if back >= start.booted - POWER_RETURN_MS:
            yield self._gap(last, first, self._power(agent), POWER, "probable", because)
            return
        yield self._gap(last, back, self._power(agent), POWER, "probable", because)
        answers = (words.answered_from(site, back), boot_message)  # the power is back, the machine was left off
        yield self._gap(back, first, root, AGENT, "probable", answers)

    def _unexplained(self, agent: str, last: int, first: int) -> Gap:
        """It looks again without having started: the machine slept, or its results were lost."""
        off = self._evidence.collector_off(last, first)
        if off is not None and off[1] - off[0] > (first - last) // 2:
            because = (words.collector_was_off(*off), words.not_looked(agent, last))
            return self._gap(last, first, elements.collector("off"), COLLECTOR, "probable", because)
        return self._gap(last, first, elements.agent(agent), AGENT, "probable", (words.not_looked(agent, last),))

    # -- a gap that goes on

    def _open(self, agent: str, last: int, life: AgentLife) -> Gap:
        """It may still look and not be able to say so: nothing is final."""
        now, site = self._evidence.now, self._topology.site_of(agent)
        silent = words.silent(agent, last)
        stop = next((at for at in life.stops if at >= last), None)
        if stop is not None:
            return self._gap(last, now, elements.agent(agent), AGENT, "sure", (words.stopped(agent, stop),), open_=True)
        off = self._evidence.collector_off(last, now)
        if off is not None and off[1] >= now:
            because = (words.collector_was_off(*off), silent)
            return self._gap(last, now, elements.collector("off"), COLLECTOR, "provisional", because, open_=True)
        battery = self._battery_before(agent, last)
        if battery is not None:
            return self._gap(last, now, self._power(agent), POWER, "provisional", (battery, silent), open_=True)
        for uid in self._topology.outside_checks(site):
            if self._proofs(uid).worked_within(last + self._next_look_within(agent) + 1, now):
                because = (words.answered(site, uid), silent)
                return self._gap(last, now, elements.agent(agent), AGENT, "provisional", because, open_=True)
        return self._gap(last, now, elements.agent(agent), NOT_KNOWN, "provisional", (silent,), open_=True)

    @staticmethod
    def _gap(
        start: int,
        end: int,
        root: Ref,
        cause: CauseKind,
        certainty: Certainty,
        because: tuple[TranslatableMessage, ...],
        *,
        open_: bool = False,
        powered: bool = False,
    ) -> Gap:
        return Gap(start, end, cause_of(Root(root, cause), certainty, because), open_, powered)

    # -- what is known of its site

    def _power(self, agent: str) -> Ref:
        return elements.power(self._topology.site_of(agent))

    def _next_look_within(self, agent: str) -> int:
        """Within how long after a look the next one comes."""
        checks = self._topology.inventory.checks
        return min(checks[uid].interval + checks[uid].timeout for uid in self._topology.heartbeat_checks(agent))

    def _battery_before(self, agent: str, last: int) -> TranslatableMessage | None:
        """Whether the UPS was on battery when the agent was last there."""
        checks = self._topology.inventory.checks
        for uid in self._topology.power_checks(self._topology.site_of(agent)):
            if checks[uid].agent != agent:
                continue
            latest = None
            for span in self._evidence.spans(uid):
                if span.sure_from > last:
                    break
                if span.state != UNKNOWN:
                    latest = span
            if latest is not None and latest.state in (DEGRADED, DOWN) and latest.sure_to >= last - checks[uid].hold:
                return words.battery_before(uid, latest.sure_to)
        return None

    def _works(self, uid: str, start: int, end: int) -> bool:
        return self._proofs(uid).state(start, end) in (UP, DEGRADED)

    def _back(self, uid: str, last: int, booted: int) -> int:
        """When the site answered for good before its machine booted."""
        downs = [span for span in self._evidence.spans(uid) if span.state == DOWN and last < span.end]
        return max((span.end for span in downs if span.start < booted), default=booted)

    def _down_inside(self, uid: str, last: int, booted: int) -> bool:
        """Whether it was found down when somebody looked again, and came back when the machine booted."""
        back = self._proofs(uid).works_from(last)
        spans = self._evidence.spans(uid)
        was_down = any(span.state == DOWN and last < span.sure_from < booted for span in spans)
        return was_down and back is not None and abs(booted - back) <= POWER_RETURN_MS

    def _went_between(self, uid: str, last: int, soon: int) -> bool:
        """Whether it went down when the agent fell silent."""
        before = None
        for span in self._evidence.spans(uid):
            met = before is not None and before.state in (UP, DEGRADED) and before.end == span.start
            if before is not None and met and span.state == DOWN:
                went, gone = before.sure_to - before.error_to, span.sure_from + span.error_from
                if went <= soon and gone >= last:
                    return True
            before = span
        return False


def _with_error(start: AgentStart, error: int) -> AgentStart:
    return msgspec.structs.replace(start, error=max(start.error, error))


def _merged(pieces: list[Interval]) -> list[Interval]:
    joined: list[Interval] = []
    for start, end in pieces:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined
