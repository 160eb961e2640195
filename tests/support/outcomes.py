"""Outcomes of looks, as probes of the tests' own give them."""

from agent.probe import Outcome
from inventory.protocol.states import DOWN, UP


def up(latency: float | None = None, **measures: float) -> Outcome:
    return Outcome(UP, "", latency, measures)


def down(reason: str, latency: float | None = None, **measures: float) -> Outcome:
    return Outcome(DOWN, reason, latency, measures)
