"""Verdicts on the past: why a check was not up, stretch by stretch. Pure: the same evidence gives the same verdicts,
whenever and in whatever order it came, and however the time is cut into windows.

A stretch is cut wherever anything that is proven about its way changes. Each part is decided by what is proven all
through it; what is not decided takes the cause of the nearest part of the same stretch that is.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise, takewhile
from typing import Final

import msgspec

from alerts.incident.problem import Cause
from collector.causes import elements, words
from collector.causes.elements import Root
from collector.causes.evidence import CauseEvidence, Proofs
from collector.causes.explain import Explanation, Solver, cause_of, explanation_of
from collector.causes.lives import AgentGaps, Gap
from collector.causes.moments import PastMoment
from collector.causes.paths import CheckPath
from collector.causes.stretches import (
    CausePart,
    UnhealthyStretch,
    bridge_gaps,
    cover_stretch,
    find_stretches,
    less_sure,
)
from collector.causes.topology import Topology
from collector.ledger.counted import Interval
from collector.ledger.state_step import Span
from inventory.protocol.causes import NOT_KNOWN, CauseKind
from inventory.protocol.states import DOWN, UNKNOWN

BRIEF_INTERVALS: Final = 2  # intervals within which an outage may fall between the looks at what is on its way


class CauseVerdict(msgspec.Struct, frozen=True):
    """[start, end) ms in a state that is not up, and why."""

    start: int
    end: int
    state: int
    cause: Cause


class CauseAnalysis:
    """One reading of the evidence: everything worked out once, for as many checks as are asked for.

    ``only``: agents whose evidence counts; None: all.
    """

    def __init__(self, topology: Topology, evidence: CauseEvidence, only: frozenset[str] | None = None) -> None:
        self.topology = topology
        self.evidence = evidence
        self.agent_gaps = AgentGaps(topology, evidence, self.proofs)
        self._only = only
        self._proofs: dict[str, Proofs] = {}
        self._exact: dict[str, Proofs] = {}
        self._stretches: dict[str, list[UnhealthyStretch]] = {}
        self._decided: dict[tuple[str, int], list[CauseVerdict]] = {}

    def proofs(self, uid: str) -> Proofs:
        """What the check proves to whoever compares it with other agents' looks."""
        proofs = self._proofs.get(uid)
        if proofs is None:
            proofs = self._proofs[uid] = Proofs(self._spans(uid))
        return proofs

    def exact(self, uid: str) -> Proofs:
        """What it proves to looks of its own agent."""
        proofs = self._exact.get(uid)
        if proofs is None:
            proofs = self._exact[uid] = Proofs(self._spans(uid), exact=True)
        return proofs

    def _spans(self, uid: str) -> Sequence[Span]:
        check = self.topology.check(uid)
        counts = self._only is None or (check is not None and check.agent in self._only)
        return self.evidence.spans(uid) if counts else ()

    def stretches(self, uid: str) -> list[UnhealthyStretch]:
        """What was not up, from the check's first look to the end of its life or now."""
        if uid not in self._stretches:
            ended = self.evidence.ended(uid)
            until = self.evidence.now if ended is None else min(ended, self.evidence.now)
            self._stretches[uid] = find_stretches(self.evidence.spans(uid), until)
        return self._stretches[uid]

    # -- verdicts

    def verdicts(self, uid: str, window: Interval) -> list[CauseVerdict]:
        """Of what was not up in the window, in order."""
        begin, end = window
        all_stretches = self.stretches(uid)
        first = bisect_right(all_stretches, begin, key=lambda stretch: stretch.end)
        clipped = []
        for stretch in takewhile(lambda stretch: stretch.start < end, all_stretches[first:]):
            for one in self.stretch_verdicts(uid, stretch):
                a, b = max(one.start, begin), min(one.end, end)
                if a < b:
                    clipped.append(CauseVerdict(a, b, one.state, one.cause))
        return clipped

    def stretch_verdicts(self, uid: str, stretch: UnhealthyStretch) -> list[CauseVerdict]:
        """The whole stretch, cut where its cause changes."""
        key = uid, stretch.start
        if key not in self._decided:
            self._decided[key] = self._decide(uid, stretch)
        return self._decided[key]

    def _decide(self, uid: str, stretch: UnhealthyStretch) -> list[CauseVerdict]:
        if self.topology.check(uid) is None:
            cause = cause_of(Root(elements.service(uid), NOT_KNOWN), "probable", words.no_evidence(uid, ""))
            return [CauseVerdict(stretch.start, stretch.end, stretch.state, cause)]
        path = self.topology.path(uid)
        parts = self._decide_unknown(path, stretch) if stretch.state == UNKNOWN else self._decide_seen(path, stretch)
        joined: list[CauseVerdict] = []
        for part in parts:
            cause = part.finding.cause()
            if joined and (joined[-1].cause.root, joined[-1].cause.cause) == (cause.root, cause.cause):
                joined[-1] = CauseVerdict(joined[-1].start, part.end, stretch.state, _surer(joined[-1].cause, cause))
            else:
                joined.append(CauseVerdict(part.start, part.end, stretch.state, cause))
        return joined

    # -- what was seen down or degraded

    def _decide_seen(self, path: CheckPath, stretch: UnhealthyStretch) -> list[CausePart]:
        span = stretch.span
        assert span is not None, "what was seen has a span"
        decided: list[CausePart] = []
        undecided: list[CausePart] = []
        for low, high in self._moments(path, stretch, span):
            finding = self._at(path, span, low, high)
            if finding is not None:
                (decided if finding.decided else undecided).append(CausePart(low, high, finding))
        decided = bridge_gaps(self.topology.root(path.own), decided)
        if not decided:
            return [CausePart(stretch.start, stretch.end, self._undecided(path, span, undecided))]
        return cover_stretch(self._with_neighbours(path, span, decided, undecided), stretch.start, stretch.end)

    def _with_neighbours(
        self, path: CheckPath, span: Span, decided: list[CausePart], undecided: list[CausePart]
    ) -> list[CausePart]:
        """What is undecided takes the cause before and after it, or for a while that of one side, where that one is
        not ruled out. A longer time of which nothing tells is not known."""
        check = self.topology.check(path.uid)
        a_while = check.hold if check is not None else 0
        parts = list(decided)
        for part in undecided:
            if part.start == part.end:
                continue
            before = next((one.finding for one in reversed(decided) if one.end <= part.start), None)
            after = next((one.finding for one in decided if one.start >= part.end), None)
            near = [one for one in (before, after) if one is not None]
            possible = [one for one in near if one.root in part.finding.roots]
            same = len(possible) == 2 and possible[0].root == possible[1].root
            if not possible or (part.end - part.start > a_while and not same):
                parts.append(CausePart(part.start, part.end, self._undecided(path, span, [part])))
            elif same or len(possible) < len(near):
                parts.append(CausePart(part.start, part.end, less_sure(possible[0])))
        return parts

    def _at(self, path: CheckPath, span: Span, low: int, high: int) -> Explanation | None:
        error = max(span.error_from, span.error_to)
        check = self.topology.check(path.uid)
        brief = check is not None and span.end - span.start < BRIEF_INTERVALS * check.interval + check.timeout
        moment = PastMoment(self, low, high, error, path.uid, span, brief)
        if path.own.kind == "feed":  # down by a boot's account, although nobody looked
            gap = self.agent_gaps.gap_at(path.agent, low, high, exact=True)
            if gap is not None and not gap.open:
                return explanation_of(gap.cause)
        return Solver(self.topology, moment).explain(path.uid)

    def _moments(self, path: CheckPath, stretch: UnhealthyStretch, span: Span) -> list[Interval]:
        """The parts of the stretch in which nothing that is proven changes, and the moments of its outer looks."""
        start, end = max(stretch.start, span.sure_from), min(stretch.end, span.sure_to)
        error = max(span.error_from, span.error_to)
        cuts = {start, end}
        for uid in self.topology.related(path.uid):
            if self.topology.path(uid).agent == path.agent:
                cuts.update(self.exact(uid).edges(start, end))
                continue
            for at in self.proofs(uid).edges(start - error - 1, end + error + 1):
                cuts.update(cut for cut in (at - error, at + error) if start < cut < end)
        for agent in {*self.topology.agents_at(path.target), *self.topology.agents_at(path.vantage)}:
            for gap in self.agent_gaps.gaps(agent):
                off = 0 if agent == path.agent else error + gap.error
                cuts.update(at for at in (gap.start + off, gap.end - off) if start < at < end)
        ordered = sorted(cuts)
        return [(start, start), *pairwise(ordered), *([(end, end)] if end > start else [])]

    def _undecided(self, path: CheckPath, span: Span, open_parts: Sequence[CausePart]) -> Explanation:
        """Nothing decides. While evidence is to come it goes by what the check is about; after that it is not known."""
        guess = open_parts[0].finding if open_parts else None
        root = guess.root if guess is not None else self.topology.root(path.own)
        because = guess.because if guess is not None else words.undecided(path, (root,))
        if self._evidence_pending(path, span.end):
            return Explanation(root, "provisional", because)
        if guess is not None and {one.cause for one in guess.roots} == {root.cause}:
            return Explanation(root, "sure", because)  # which of these, nothing tells; but the cause is the same
        return Explanation(Root(root.ref, NOT_KNOWN), "probable", because)

    def _evidence_pending(self, path: CheckPath, until: int) -> bool:
        """Whether an agent at either end may still say something of the time before."""
        agents = {path.agent, *self.topology.agents_at(path.target), *self.topology.agents_at(path.vantage)}
        if self._only is not None:
            agents &= self._only
        return any(self.evidence.life(agent).heard < until for agent in agents)

    # -- what was not seen

    def _decide_unknown(self, path: CheckPath, stretch: UnhealthyStretch) -> list[CausePart]:
        """Why nobody looked. What follows a gap until a slow check's next look is told with it."""
        low = stretch.start if stretch.last is None else min(stretch.last, stretch.start)
        high = stretch.end if stretch.first is None else max(stretch.first, stretch.end)
        gaps = [gap for gap in self.agent_gaps.gaps(path.agent) if gap.start < high and low < gap.end]
        if not gaps:
            gaps = list(self.agent_gaps.between(path.agent, low, high))
        parts = [
            CausePart(
                max(gap.start, stretch.start), min(gap.end, stretch.end), self._gap_explanation(path, gap, stretch)
            )
            for gap in gaps
            if max(gap.start, stretch.start) < min(gap.end, stretch.end)
        ]
        if not parts and gaps:
            parts = [CausePart(stretch.start, stretch.end, self._gap_explanation(path, gaps[-1], stretch))]
        if parts:
            return cover_stretch(parts, stretch.start, stretch.end)
        reason = stretch.span.reason if stretch.span is not None else ""
        own = self.topology.root(path.own)
        finding = Explanation(
            Root(own.ref, NOT_KNOWN),
            "provisional" if self._evidence_pending(path, stretch.end) else "probable",
            words.no_evidence(path.uid, reason),
        )
        return [CausePart(stretch.start, stretch.end, finding)]

    def _gap_explanation(self, path: CheckPath, gap: Gap, stretch: UnhealthyStretch) -> Explanation:
        """An open gap whose cause nothing tells goes by what others see of its site."""
        if not gap.open or gap.cause.cause != NOT_KNOWN:
            return explanation_of(gap.cause)
        site = self.topology.site_of(path.agent)
        for uid in self.topology.outside_checks(site):
            down_stretches = [one for one in self.stretches(uid) if one.state == DOWN and one.end > gap.start]
            if down_stretches:
                last = self.stretch_verdicts(uid, down_stretches[-1])[-1].cause
                return Explanation(Root(last.ref, last.cause), "provisional", (*gap.cause.because, *last.because))
        return explanation_of(gap.cause)


def _surer(one: Cause, other: Cause) -> Cause:
    """Of two with one root: the surer one, the earlier if they are equal."""
    weight = {"sure": 2, "probable": 1, "provisional": 0}
    return other if weight[other.certainty] > weight[one.certainty] else one


def goal_cause(analysis: CauseAnalysis) -> Callable[[str, Span], CauseKind]:
    """What goals ask (collector.goals.evaluate.GoalEvidence.cause): the cause of most of a span's time; of a tie, not
    known."""

    def cause(uid: str, span: Span) -> CauseKind:
        spent: dict[CauseKind, int] = {}
        for one in analysis.verdicts(uid, (span.start, span.end)):
            spent[one.cause.cause] = spent.get(one.cause.cause, 0) + one.end - one.start
        most = max(spent.values(), default=0)
        leading = [name for name, ms in spent.items() if ms == most]
        return leading[0] if len(leading) == 1 else NOT_KNOWN

    return cause
