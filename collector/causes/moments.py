"""Proven states all through a time in the past, of which a solver asks why something was not up."""

from collections.abc import Iterable
from typing import Protocol

from alerts.incident.problem import Cause
from collector.causes.evidence import Proofs
from collector.causes.lives import AgentGaps, Gap
from collector.causes.topology import Topology
from collector.ledger.state_step import Span
from inventory.protocol.refs import Ref
from inventory.protocol.states import DOWN


class MomentSource(Protocol):
    """What moments are taken from."""

    topology: Topology
    agent_gaps: AgentGaps

    def proofs(self, uid: str) -> Proofs: ...

    def exact(self, uid: str) -> Proofs: ...


class PastMoment:
    """All through [low, high], seen from a span of one check: its own state there is the span's, whatever its error.

    Looks of its own agent are taken as they were placed, those of others only where they hold for all of the time at
    which, by ``error`` (ms), the moment may have been.
    ``is_brief``: the span is so short that looks at other things may have missed what it saw.
    """

    def __init__(
        self, source: MomentSource, low: int, high: int, error: int, uid: str, span: Span, is_brief: bool
    ) -> None:
        self._source = source
        self._exactly = low, high
        self._low, self._high = low - error, high + error
        self._agent = source.topology.path(uid).agent
        self._uid, self._span, self._brief = uid, span, is_brief

    def state(self, uid: str) -> int | None:
        if uid == self._uid:
            return self._span.state
        proofs, low, high = self._proofs_for(uid)
        return proofs.state(low, high)

    def onset(self, uid: str) -> int:
        if uid == self._uid:
            return self._span.sure_from
        proofs, low, high = self._proofs_for(uid)
        return proofs.onset(low, high)

    def _proofs_for(self, uid: str) -> tuple[Proofs, int, int]:
        if self._source.topology.path(uid).agent == self._agent:
            return self._source.exact(uid), *self._exactly
        return self._source.proofs(uid), self._low, self._high

    def down_near(self, uid: str, within: int) -> bool:
        proofs, low, high = self._proofs_for(uid)
        return proofs.proves(DOWN, low - within, high + within)

    def is_brief(self, uid: str) -> bool:
        return self._brief and uid == self._uid

    def known_fault(self, element: Ref) -> Cause | None:
        """That a site was without power, as the life of its agent tells."""
        if element.kind != "power":
            return None
        for gap in self._gaps_of(element.id):
            if gap.cause.ref == element and not gap.open:
                return gap.cause
        return None

    def is_alive(self, element: Ref) -> bool:
        if element.kind != "power":
            return False
        return any(gap.powered for gap in self._gaps_of(element.id))

    def _gaps_of(self, site: str) -> Iterable[Gap]:
        for agent in self._source.topology.agents_at(site):
            own = agent == self._agent
            low, high = self._exactly if own else (self._low, self._high)
            gap = self._source.agent_gaps.gap_at(agent, low, high, exact=own)
            if gap is not None:
                yield gap
