"""Outages of a leased circuit: how long, by provider and by cause, with the evidence that claims rest on.

A circuit is down while the check of one side says so and none of the other side's says that it works. Only the agents
of its two ends count as evidence here, so that it is plain when nothing more can come.

A moment is settled when the evidence of both ends has passed it by ``POWER_RETURN_MS`` and no outage of the circuit
that began before it goes on. So an outage is counted once it is over and both sides have told all of it, and nothing
that comes later changes what was counted: cut into steps in any way, the additions come to the same.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from alerts.incident.problem import Cause
from collector.causes.evidence import CauseEvidence
from collector.causes.lives import POWER_RETURN_MS
from collector.causes.topology import Topology
from collector.causes.verdicts import CauseAnalysis, CauseVerdict
from collector.ledger.counted import Interval
from collector.ledger.windows import midnight
from inventory.model.entities import Link
from inventory.protocol.causes import NOT_KNOWN
from inventory.protocol.states import DEGRADED, DOWN, UP


class CircuitOutage(msgspec.Struct, frozen=True):
    """A stretch in which a circuit was down."""

    link: str
    provider: str  # whose it was
    start: int  # ms
    end: int  # ms, exclusive
    cause: Cause
    checks: tuple[str, ...]  # uids of those that say so


class SettledDowntime(msgspec.Struct, frozen=True):
    """What is newly settled of a circuit."""

    until: int  # ms up to which all is
    down: dict[tuple[str, str], int]  # ms down since the last time by (provider, cause)


def end_agents(topology: Topology, link: str) -> frozenset[str]:
    """The agents at both ends of a circuit."""
    lines = (topology.path(uid).agent for uid in topology.link_checks(link))
    site = topology.inventory.links[link].site
    return frozenset((*topology.agents_at(site), *topology.agents_at(topology.hub), *lines))


def analysis_of(topology: Topology, evidence: CauseEvidence, link: str) -> CauseAnalysis:
    return CauseAnalysis(topology, evidence, end_agents(topology, link))


def outages(topology: Topology, evidence: CauseEvidence, link: str, window: Interval) -> list[CircuitOutage]:
    """Every stretch of the window in which the circuit was down, in order; what goes on is included up to now."""
    return _outages(analysis_of(topology, evidence, link), link, window)


def settled(topology: Topology, evidence: CauseEvidence, link: str) -> int:
    """Up to when (ms) nothing can change any more; 0 while an end has told nothing."""
    return _settled(analysis_of(topology, evidence, link), link)


def additions(topology: Topology, evidence: CauseEvidence, link: str, since: int) -> SettledDowntime:
    """What has settled after ``since``, the ``until`` of the last time, to which ``evidence.spans`` has to reach."""
    analysis = analysis_of(topology, evidence, link)
    until = max(_settled(analysis, link), since)
    down: dict[tuple[str, str], int] = {}
    for one in _outages(analysis, link, (since, until)):
        key = one.provider, one.cause.cause
        down[key] = down.get(key, 0) + one.end - one.start
    return SettledDowntime(until, down)


def _settled(analysis: CauseAnalysis, link: str) -> int:
    topology, evidence = analysis.topology, analysis.evidence
    lines = topology.link_checks(link)
    agents = end_agents(topology, link)
    passed, has_evidence = evidence.now, False
    for uid in dict.fromkeys(other for line in lines for other in topology.related(line)):
        check = topology.check(uid)
        if check is None or check.agent not in agents:
            continue
        heard = evidence.life(check.agent).heard
        spans = evidence.spans(uid)
        if spans:
            has_evidence = True
            last = spans[-1].sure_to
            passed = min(passed, heard if heard >= last + check.hold else min(last, heard))
    if not has_evidence:
        return 0
    passed -= POWER_RETURN_MS
    for line in lines:
        for stretch in analysis.stretches(line):
            span = stretch.span
            error = max(span.error_from, span.error_to) if span is not None else 0
            if stretch.state == DOWN and stretch.end + error > passed:
                passed = min(passed, stretch.start - error)
    return max(passed, 0)


def _outages(analysis: CauseAnalysis, link: str, window: Interval) -> list[CircuitOutage]:
    begin, end = window
    circuit = analysis.topology.inventory.links[link]
    lines = analysis.topology.link_checks(link)
    verdicts = [one for uid in lines for one in _down_verdicts(analysis, uid, window)]
    up = sorted(piece for uid in lines for piece in _up_intervals(analysis, uid, window))
    zone = analysis.topology.inventory.province.zone
    days = [
        day for day in (circuit.begins, circuit.ends, *(former.until for former in circuit.formerly)) if day is not None
    ]
    midnights = [midnight(day, zone) for day in days]
    cuts = {begin, end, *midnights}
    cuts.update(at for _, one in verdicts for at in (one.start, one.end))
    cuts.update(at for piece in up for at in piece)
    joined: list[CircuitOutage] = []
    for a, b in pairwise(sorted(cut for cut in cuts if begin <= cut <= end)):
        down_verdicts = [(uid, one) for uid, one in verdicts if one.start <= a and b <= one.end]
        if down_verdicts and not any(start <= a and b <= stop for start, stop in up):
            _add(joined, circuit, _provider(circuit, a, midnights, days), a, b, down_verdicts)
    return joined


def _down_verdicts(analysis: CauseAnalysis, uid: str, window: Interval) -> Iterable[tuple[str, CauseVerdict]]:
    return ((uid, one) for one in analysis.verdicts(uid, window) if one.state == DOWN)


def _up_intervals(analysis: CauseAnalysis, uid: str, window: Interval) -> Iterable[Interval]:
    for span in analysis.evidence.spans(uid):
        if span.state in (UP, DEGRADED) and span.start < window[1] and window[0] < span.end:
            yield span.start, span.end


def _provider(link: Link, at: int, midnights: Sequence[int], days: Sequence[object]) -> str | None:
    """Whose it was at a moment; None outside of its life."""
    starts = dict(zip(days, midnights, strict=True))
    if link.begins is not None and at < starts[link.begins]:
        return None
    if link.ends is not None and at >= starts[link.ends]:
        return None
    return next((former.provider for former in link.formerly if at < starts[former.until]), link.provider)


def _add(
    joined: list[CircuitOutage],
    link: Link,
    provider: str | None,
    start: int,
    end: int,
    down_verdicts: list[tuple[str, CauseVerdict]],
) -> None:
    if provider is None:
        return
    cause = max((one.cause for _, one in down_verdicts), key=_rank)
    checks = tuple(uid for uid, _ in down_verdicts)
    last = joined[-1] if joined else None
    if last is not None and last.end == start and last.provider == provider and _same(last.cause, cause):
        checks = tuple(dict.fromkeys((*last.checks, *checks)))
        cause = max(last.cause, cause, key=_rank)
        joined[-1] = CircuitOutage(link.id, provider, last.start, end, cause, checks)
    else:
        joined.append(CircuitOutage(link.id, provider, start, end, cause, checks))


def _rank(cause: Cause) -> tuple[bool, int]:
    """What is known before what is not, the surer before the less sure."""
    return cause.cause != NOT_KNOWN, ("provisional", "probable", "sure").index(cause.certainty)


def _same(one: Cause, other: Cause) -> bool:
    return (one.root, one.cause) == (other.root, other.cause)
