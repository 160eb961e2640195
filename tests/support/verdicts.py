"""Verdicts of many checks at once."""

from collections.abc import Iterable

from collector.causes.evidence import CauseEvidence
from collector.causes.topology import Topology
from collector.causes.verdicts import CauseAnalysis, CauseVerdict
from collector.ledger.counted import Interval


def verdicts(
    topology: Topology, evidence: CauseEvidence, uids: Iterable[str], window: Interval
) -> dict[str, list[CauseVerdict]]:
    """By uid, a verdict for every stretch of the window that was not up, in order."""
    analysis = CauseAnalysis(topology, evidence)
    return {uid: analysis.verdicts(uid, window) for uid in uids}
