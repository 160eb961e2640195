"""The checks that are not up, agent by agent: looked at again only where something was published.

Nearly all agents are well nearly always. An agent whose published state is the one seen last, and in which nothing
was wrong, is not looked into; so an evaluation of 10,000 agents costs what their pushes of that second cost.
"""

from collections.abc import Iterator

from collector.ingest.fleet import Fleet
from collector.ingest.quarantine import EVALUATION
from collector.ingest.states.state import AgentState
from inventory.protocol.states import DEGRADED, DOWN, CheckStatus

UNHEALTHY = (DEGRADED, DOWN)


class UnhealthyChecks:
    """Over the published states. Call :meth:`refresh` once an evaluation, then read ``by_agent``."""

    def __init__(self, fleet: Fleet) -> None:
        self.by_agent: dict[str, dict[int, CheckStatus]] = {}  # by agent and the check's row, what is not up
        self._fleet = fleet
        self._states: dict[str, AgentState] = {}

    def refresh(self, now: int) -> None:
        for agent, state in list(self._fleet.agents.items()):
            if self._states.get(agent) is state and agent not in self.by_agent:
                continue
            self._states[agent] = state
            try:
                unhealthy = {} if _all_well(state) else dict(self._unhealthy_checks(state, now))
            except Exception as error:  # the others are judged all the same
                self._fleet.quarantine.row_failed(EVALUATION, agent, error)
                unhealthy = {}
            if unhealthy:
                self.by_agent[agent] = unhealthy
            else:
                self.by_agent.pop(agent, None)

    def _unhealthy_checks(self, state: AgentState, now: int) -> Iterator[tuple[int, CheckStatus]]:
        for row in state.tails.keys() | (state.overlay.checks.keys() if state.overlay is not None else set()):
            check = self._fleet.checks.get(row)
            status = self._fleet.status(check, now) if check is not None and check.ended is None else None
            if status is not None and status.state in UNHEALTHY:
                yield row, status


def _all_well(state: AgentState) -> bool:
    """Whether nothing can be wrong, by the states alone: tails of the fast path lag behind, but not in their state."""
    if state.overlay is not None and any(code in UNHEALTHY for code, _, _ in state.overlay.checks.values()):
        return False
    return all(tail.state not in UNHEALTHY for tail in state.ledger.tails.values())
