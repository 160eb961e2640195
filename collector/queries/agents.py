"""Agents as they were last heard, with their certificates."""

from collections import Counter
from collections.abc import Mapping

import msgspec

from collector.ingest.quarantine import PAGE
from collector.keys import pki
from collector.queries.reader import LedgerReader
from collector.store.records import QuarantinedAgent
from collector.store.registry import Registry
from inventory.model.entities import Agent

MAX_TEXT = 100  # characters of what an agent says about itself


class AgentSummary(msgspec.Struct, frozen=True, kw_only=True):
    """An agent of the inventory and what is known of it. Times are ms of the collector's time."""

    agent: Agent
    checks: int
    last_seen: int | None  # None: never heard
    backlog: int  # frames still to come, as it last said
    started: int | None
    stopped: int | None  # of a clean stop
    version: str
    platform: str
    certificate_ends: int | None  # None: never enrolled
    revoked: bool
    results: int
    unplaceable: int  # results that could not be placed in time
    dead_letters: int
    quarantine: QuarantinedAgent | None
    health: Mapping[str, float]  # as the agent last said of itself


async def agent_summaries(reader: LedgerReader, registry: Registry) -> list[AgentSummary]:
    """Every agent of the inventory, in its order."""
    certificates = await registry.certificates()
    checks = Counter(entry.agent for entry in reader.current_checks())
    quarantine = reader.fleet.quarantine

    def summary(agent: Agent) -> AgentSummary:
        state = reader.fleet.agents.get(agent.id)
        about = state.about if state is not None else {}
        held = certificates.get(agent.id)
        return AgentSummary(
            agent=agent,
            checks=checks[agent.id],
            last_seen=(state.contact or None) if state else None,
            backlog=state.backlog if state else 0,
            started=state.started if state else None,
            stopped=state.stopped if state else None,
            version=str(about.get("version", ""))[:MAX_TEXT],
            platform=str(about.get("platform", ""))[:MAX_TEXT],
            certificate_ends=held.not_after if held else None,
            revoked=registry.revocations.is_revoked(agent.id, held.serial if held else pki.NO_SERIAL),
            results=state.results if state else 0,
            unplaceable=state.unplaceable if state else 0,
            dead_letters=state.dead if state else 0,
            health=state.health if state else {},
            quarantine=quarantine.agents.get(agent.id),
        )

    return quarantine.rows(PAGE, reader.inventory.agents.values(), lambda agent: agent.id, summary)
