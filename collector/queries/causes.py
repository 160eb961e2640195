"""Causes of what was not up, from the evidence in the ledger and in the agents' lives."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, TypeVar

from alerts.incident.problem import Cause
from alerts.notify.memo import cached_by_inventory
from collector.causes.elements import Root, service
from collector.causes.evidence import AgentLife, CauseEvidence, agent_life
from collector.causes.explain import cause_of
from collector.causes.topology import Topology
from collector.causes.verdicts import CauseAnalysis, CauseVerdict
from collector.causes.words import no_evidence
from collector.ingest.fleet import Fleet
from collector.ledger.counted import FOREVER, Interval
from collector.ledger.state_step import Span
from collector.queries.reader import DAY, CheckEntry, LedgerReader
from collector.store.interfaces.store import Transaction
from inventory.model.entities import Inventory
from inventory.protocol.causes import NOT_KNOWN

EVIDENCE_BEFORE: Final = 8 * DAY  # how far back before a window its evidence may lie: a backlog's week, and some
T = TypeVar("T")


def topology(inventory: Inventory) -> Topology:
    """What lies on the way of each check, made once for an inventory."""
    return cached_by_inventory(inventory, Topology)


async def analyse_causes(reader: LedgerReader, work: Callable[[CauseAnalysis], T], begin: int) -> T:
    """``work`` over the evidence for causes from ``begin`` (ms) on, in a thread, as of one moment."""
    now = reader.wall()
    return await reader.read(lambda tx: work(cause_analysis(reader, tx, begin, now)))


def cause_analysis(reader: LedgerReader, tx: Transaction, begin: int, now: int) -> CauseAnalysis:
    """One reading of the evidence, for questions about the time from ``begin`` (ms) on."""
    earlier, fleet, inventory = begin - EVIDENCE_BEFORE, reader.fleet, reader.inventory

    @cache
    def spans(uid: str) -> list[Span]:
        entry = reader.of_inventory(uid)
        if entry is None:
            return []
        return reader.history(tx, entry, fleet.tail(reader.registered(entry)), earlier, now)

    @cache
    def life(agent: str) -> AgentLife:
        return agent_life(tx.events.agent_life(agent, earlier), _heard(agent, inventory, fleet))

    def ended(uid: str) -> int | None:
        entry = reader.of_inventory(uid)
        return None if entry is None else reader.registered(entry).ended

    runs = tuple((run.started, run.alive) for run in tx.life.runs(earlier, now + DAY))
    if runs and reader.live:  # it is alive now, whatever it recorded last
        runs = (*runs[:-1], (runs[-1][0], now))
    evidence = CauseEvidence(spans=spans, life=life, now=now, collector=runs, ended=ended)
    return CauseAnalysis(topology(inventory), evidence)


def _heard(agent: str, inventory: Inventory, fleet: Fleet) -> int:
    """No evidence of the agent from before it is still to come."""
    state = fleet.agents.get(agent)
    if agent not in inventory.agents:
        return FOREVER
    if state is None:
        return 0
    timeout = max((check.timeout for check in inventory.checks.values() if check.agent == agent), default=0)
    return max(fleet.reached(agent) - timeout, 0)


def check_cause(analysis: CauseAnalysis, entry: CheckEntry, window: Interval) -> Cause:
    """Why a check was not up for most of a window. Of one that left the inventory nothing leads anywhere any more."""
    if entry.check is None:
        root = Root(service(entry.uid), NOT_KNOWN)
        return cause_of(root, "probable", no_evidence(entry.uid, ""))
    return leading_cause(analysis.verdicts(entry.uid, window), entry.uid)


def leading_cause(verdicts: Sequence[CauseVerdict], uid: str) -> Cause:
    """The cause of most of the time that the verdicts cover."""
    spent: dict[str, int] = {}
    for one in verdicts:
        spent[one.cause.root] = spent.get(one.cause.root, 0) + one.end - one.start
    if not spent:
        return Cause(root=str(service(uid)), cause=NOT_KNOWN, certainty="provisional")
    root = max(spent, key=lambda name: (spent[name], name))
    return next(one.cause for one in verdicts if one.cause.root == root)
