"""Which agents and checks are exposed, with their identity labels: written once for an inventory, and kept."""

import asyncio
from collections.abc import Sequence
from typing import Any

from collector.evaluator.problems.agent_problems import MISSED_PUSHES
from collector.ingest.states.state import AgentState
from collector.metrics.exposition import labels
from collector.metrics.fleet import INFO, LabelledAgent, ScrapedAgent
from collector.queries.reader import LedgerReader
from collector.services.present_exclusions import PresentExclusions
from inventory.model.entities import Check


class ExposedFleet:
    """Every agent of the inventory, heard or not, with every check that it has today."""

    def __init__(self, reader: LedgerReader, exclusions: PresentExclusions | None = None) -> None:
        self._reader = reader
        self._exclusions = exclusions if exclusions is not None else PresentExclusions(reader)
        self._labelled: tuple[Any, Sequence[LabelledAgent]] = (None, ())

    async def agents(self) -> list[ScrapedAgent]:
        """As they are published at this moment."""
        reader, exclusions = self._reader, self._exclusions
        fleet, patience = reader.fleet, reader.inventory.province.push_every * MISSED_PUSHES
        key = (reader.version, len(fleet.checks), reader.today(reader.wall()))
        if self._labelled[0] != key:
            self._labelled = (key, await asyncio.to_thread(labelled_agents, reader))
        return [
            ScrapedAgent(
                one,
                fleet.agents.get(one.agent) or AgentState(agent=one.agent, stream=0),  # of one never heard
                fleet,
                patience,
                exclusions.rows,
                exclusions.uids,
            )
            for one in self._labelled[1]
        ]


def labelled_agents(reader: LedgerReader) -> list[LabelledAgent]:
    """Each agent of the inventory with its checks and their identity labels."""
    rows: dict[str, list[tuple[int, Check]]] = {}
    registered = set()
    for one in reader.all_checks():
        if one.check is not None:
            registered.add(one.uid)
            if reader.registered(one).ended is None:
                rows.setdefault(one.agent, []).append((one.row, one.check))
    today = reader.today(reader.wall())
    pending: dict[str, list[Check]] = {}
    for check in reader.inventory.checks.values():
        if check.uid not in registered and check.on(today):
            pending.setdefault(check.agent, []).append(check)
    labelled = []
    for agent in reader.inventory.agents.values():
        with_row, without = rows.get(agent.id, []), pending.get(agent.id, [])
        every = [*(check for _, check in with_row), *without]
        labelled.append(
            LabelledAgent(
                agent.id,
                labels(agency=agent.agency, site=agent.site, agent=agent.id),
                [(row, identity(check)) for row, check in with_row],
                [(check.uid, identity(check)) for check in without],
                "".join(f"{INFO.name}{{{identity(check)},{names(check)}}} 1\n" for check in every),
                [check.agency for check in every],
            )
        )
    return labelled


def identity(check: Check) -> str:
    """The labels that every series of a check bears."""
    who = labels(agency=check.agency, site=check.site, agent=check.agent, check=check.name, kind=check.kind)
    return f"{who},{labels(backup=check.backup)}" if check.backup else who


def names(check: Check) -> str:
    """What people call it."""
    title = check.title
    return labels(name=title.vi or check.name, name_en=title.en or check.name, link=check.link)
