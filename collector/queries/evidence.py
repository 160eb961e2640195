"""The evidence for causes, read from the store as it is asked for."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from alerts.incident.problem import Cause
from collector.causes.evidence import FOREVER, AgentLife, CauseEvidence, agent_life
from collector.causes.topology import Topology
from collector.causes.verdicts import CauseAnalysis, CauseVerdict
from collector.ingest.fleet import Fleet
from collector.ledger.steps import Span
from collector.store.interfaces.store import Transaction
from inventory.model.entities import Inventory
from inventory.protocol.causes import NOT_KNOWN

DAY: Final = 86_400_000
EVIDENCE_BEFORE: Final = 8 * DAY  # how far back before a window its evidence may lie: a backlog's week, and some

History = Callable[[str, int], list[Span]]  # of a check (uid) from a time on


def cause_analysis(
    tx: Transaction,
    topology: Topology,
    fleet: Fleet,
    history: History,
    ended: Callable[[str], int | None],
    begin: int,
    now: int,
    *,
    live: bool,
) -> CauseAnalysis:
    """One reading, for questions about the time from ``begin`` (ms) on. ``live``: this process is the collector."""
    earlier = begin - EVIDENCE_BEFORE

    @cache
    def spans(uid: str) -> list[Span]:
        return history(uid, earlier)

    @cache
    def life(agent: str) -> AgentLife:
        return agent_life(tx.events.agent_life(agent, earlier), _heard(agent, topology.inventory, fleet))

    runs = tuple((run.started, run.alive) for run in tx.life.runs(earlier, now + DAY))
    if runs and live:  # it is alive now, whatever it recorded last
        runs = (*runs[:-1], (runs[-1][0], now))
    return CauseAnalysis(topology, CauseEvidence(spans=spans, life=life, now=now, collector=runs, ended=ended))


def _heard(agent: str, inventory: Inventory, fleet: Fleet) -> int:
    """No evidence of the agent from before it is still to come."""
    state = fleet.agents.get(agent)
    if agent not in inventory.agents:
        return FOREVER
    if state is None:
        return 0
    timeout = max((check.timeout for check in inventory.checks.values() if check.agent == agent), default=0)
    return max(max((tail.last for tail in state.tails.values()), default=0) - timeout, 0)


def leading_cause(verdicts: Sequence[CauseVerdict], uid: str) -> Cause:
    """The cause of most of the time that the verdicts cover."""
    spent: dict[str, int] = {}
    for one in verdicts:
        spent[one.cause.root] = spent.get(one.cause.root, 0) + one.end - one.start
    if not spent:
        return Cause(root=f"service:{uid}", cause=NOT_KNOWN, certainty="provisional")
    root = max(spent, key=lambda name: (spent[name], name))
    return next(one.cause for one in verdicts if one.cause.root == root)
