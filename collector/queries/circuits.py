"""Outages of leased circuits over a window, and how long each was down."""

from collections.abc import Iterable, Mapping

from collector.causes import links
from collector.causes.links import CircuitOutage
from collector.causes.verdicts import CauseAnalysis
from collector.ledger.counted import Interval
from collector.queries.causes import analyse_causes, topology
from collector.queries.reader import CheckEntry, LedgerReader
from inventory.protocol.states import DOWN


async def outages(reader: LedgerReader, window: Interval, only: str = "") -> list[CircuitOutage]:
    """Every stretch of the window in which a circuit (``only`` that one) was down, by circuit and time."""
    affected = await with_downtime(reader, [only] if only else reader.inventory.links, window[0])
    if not affected:
        return []

    def work(analysis: CauseAnalysis) -> list[CircuitOutage]:
        return [one for link in affected for one in links.outages(analysis.topology, analysis.evidence, link, window)]

    return await analyse_causes(reader, work, window[0])


async def downtime(reader: LedgerReader, window: Interval) -> Mapping[tuple[str, str], int]:
    """ms down over the window by (link, provider)."""
    totals: dict[tuple[str, str], int] = {}
    for one in await outages(reader, window):
        key = one.link, one.provider
        totals[key] = totals.get(key, 0) + one.end - one.start
    return totals


async def with_downtime(reader: LedgerReader, link_ids: Iterable[str], begin: int) -> list[str]:
    """Those with a check that was down at some time from ``begin`` on."""
    checks = {link: checks_of_link(reader, link) for link in link_ids}
    every = {entry.row: entry for entries in checks.values() for entry in entries}
    down = {row for row, tail in reader.tails(every.values()).items() if tail.state == DOWN}
    down |= await reader.read(lambda tx: tx.spans.with_state(every.keys(), DOWN, begin))
    return [link for link, entries in checks.items() if any(entry.row in down for entry in entries)]


def checks_of_link(reader: LedgerReader, link: str) -> list[CheckEntry]:
    """The registered checks of both its ends that look at the circuit."""
    entries = [reader.of_inventory(uid) for uid in topology(reader.inventory).link_checks(link)]
    return [entry for entry in entries if entry is not None]
