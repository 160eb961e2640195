"""Which agents and checks are exposed, with their identity labels: written once for an inventory, and kept."""

import asyncio
from collections.abc import Sequence
from typing import Any

from collector.evaluator.problems.agent_problems import MISSED_PUSHES
from collector.metrics.exposition import labels
from collector.metrics.fleet import LabelledAgent, ScrapedAgent
from collector.queries.reader import LedgerReader


class ExposedFleet:
    """Every agent of the inventory that was ever heard."""

    def __init__(self, reader: LedgerReader) -> None:
        self._reader = reader
        self._labelled: tuple[Any, Sequence[LabelledAgent]] = (None, ())

    async def agents(self) -> list[ScrapedAgent]:
        """As they are published at this moment."""
        reader = self._reader
        fleet, patience = reader.fleet, reader.inventory.province.push_every * MISSED_PUSHES
        key = (reader.version, len(fleet.checks))
        if self._labelled[0] != key:
            self._labelled = (key, await asyncio.to_thread(labelled_agents, reader))
        return [
            ScrapedAgent(one, state, fleet, patience)
            for one in self._labelled[1]
            if (state := fleet.agents.get(one.agent)) is not None
        ]


def labelled_agents(reader: LedgerReader) -> list[LabelledAgent]:
    """Each agent of the inventory with its checks and their identity labels."""
    checks: dict[str, list[tuple[int, str]]] = {}
    for one in reader.current_checks():
        assert one.check is not None
        who = labels(agency=one.check.agency, site=one.check.site, agent=one.agent, check=one.name, kind=one.kind)
        if one.check.backup:
            who += "," + labels(backup=one.check.backup)
        checks.setdefault(one.agent, []).append((one.row, who))
    return [
        LabelledAgent(agent.id, labels(agency=agent.agency, site=agent.site, agent=agent.id), checks.get(agent.id, []))
        for agent in reader.inventory.agents.values()
    ]
