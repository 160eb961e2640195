"""Agents in quarantine, as problems (collector.ingest.quarantine)."""

from collections.abc import Iterator

from alerts.incident.message import message
from alerts.incident.problem import Subject
from collector.evaluator.context import EvaluationContext
from collector.evaluator.problems.detectors import Detection
from inventory.protocol.causes import AGENT


def quarantined_agents(context: EvaluationContext) -> Iterator[Detection]:
    """Every one of them, of the inventory or gone from it."""
    for held in list(context.reader.fleet.quarantine.agents.values()):
        agent = context.inventory.agents.get(held.agent)
        subject = Subject(
            agency=agent.agency if agent is not None else "",
            site=agent.site if agent is not None else "",
            agent=held.agent,
        )
        words = message("nothing that {agent} sends is taken: {reason}", agent=held.agent, reason=held.why)
        yield Detection(held.agent, subject, held.since, words, cause=AGENT)
