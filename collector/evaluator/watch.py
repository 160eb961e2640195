"""Watches which checks are not up, agent by agent: looked at again only where something was published.

Nearly all agents are well nearly always. An agent whose published state is the one seen last, and in which nothing
was wrong, is not looked into; so a turn over 10,000 agents costs what their pushes of that second cost.
"""

from collections.abc import Iterator

import msgspec

from collector.ingest.fleet import Fleet
from collector.ingest.state import AgentState
from inventory.protocol.states import DEGRADED, DOWN

UNHEALTHY = (DEGRADED, DOWN)


class WatchedStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A check (``row`` of the register) that is degraded or down at this moment. Times are ms of the collector's time.

    ``since``: when it took this state; ``at``: its last look; ``looks``: consecutive ones in this state.
    ``provisional``: told beside a backlog, not in the ledger yet.
    """

    row: int
    state: int
    since: int
    at: int
    looks: int
    reason: str
    provisional: bool


class StatusWatch:
    """Over the published states. Call :meth:`look` once a turn, then read ``wrong``: by agent, what is not up."""

    def __init__(self, fleet: Fleet) -> None:
        self.unhealthy: dict[str, list[WatchedStatus]] = {}
        self._fleet = fleet
        self._states: dict[str, AgentState] = {}

    def refresh(self, now: int) -> None:
        for agent, state in list(self._fleet.agents.items()):
            if self._states.get(agent) is state and agent not in self.unhealthy:
                continue
            self._states[agent] = state
            unhealthy = [] if _all_well(state) else list(self._unhealthy_checks(state, now))
            if unhealthy:
                self.unhealthy[agent] = unhealthy
            else:
                self.unhealthy.pop(agent, None)

    def _unhealthy_checks(self, state: AgentState, now: int) -> Iterator[WatchedStatus]:
        tails, overlay = state.tails, state.overlay
        for row in tails.keys() | (overlay.checks.keys() if overlay is not None else set()):
            check = self._fleet.checks.get(row)
            status = self._fleet.status(check, now) if check is not None and check.ended is None else None
            if status is None or status.state not in UNHEALTHY:
                continue
            looks = overlay.checks[row][2] if status.provisional and overlay is not None else tails[row].looks
            yield WatchedStatus(
                row=row,
                state=status.state,
                since=status.since,
                at=status.at,
                looks=looks,
                reason=status.reason,
                provisional=status.provisional,
            )


def _all_well(state: AgentState) -> bool:
    """Whether nothing can be wrong, told from the states alone: a streak's tails lag behind, but not in their state."""
    if state.overlay is not None and any(code in UNHEALTHY for code, _, _ in state.overlay.checks.values()):
        return False
    return all(tail.state not in UNHEALTHY for tail in state.ledger.tails.values())
