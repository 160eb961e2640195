"""Incidents as the evaluator committed them: the open ones from its state, the closed ones from the store."""

from collections.abc import Callable
from typing import Final

from alerts.incident.entities import Incident
from alerts.incident.state import IncidentState
from collector.ledger.counted import FOREVER
from collector.store.interfaces.store import Store
from inventory.model.alerting import Severity
from inventory.protocol.refs import Ref

WORST_FIRST: Final[dict[Severity, int]] = {"critical": 0, "warning": 1, "info": 2}


class IncidentReader:
    """``state``: what the evaluator committed last."""

    def __init__(self, store: Store, state: Callable[[], IncidentState]) -> None:
        self._store = store
        self._state = state

    def open(self) -> list[Incident]:
        """The worst and newest first."""
        return sorted(self._state().open.values(), key=lambda one: (WORST_FIRST[one.severity], -one.opened, one.key))

    def ongoing_problems(self) -> set[Ref]:
        """The problems that open incidents are about and that are not over."""
        incidents = self._state().open.values()
        return {member.ref for one in incidents for member in one.members.values() if member.until is None}

    async def closed(self, limit: int, before: int = FOREVER) -> list[Incident]:
        """The latest first."""
        return await self._store.read(lambda tx: tx.incidents.closed(limit, before))

    async def find(self, key: str) -> Incident | None:
        """One, open or closed."""
        return self._state().incident(key) or await self._store.read(lambda tx: tx.incidents.find(key))
