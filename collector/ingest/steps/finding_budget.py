"""How many findings of an agent the evaluator hears of: it reads so many in a turn, and others' are behind them."""

import time
from collections.abc import Sequence
from typing import Final

from collector.ingest.steps.effect import NewEvent

MOST_PER_HOUR: Final = 60  # of one agent and kind; further ones are events, for whoever looks at them
HOUR: Final = 3_600.0


class FindingBudget:
    """Of each agent and kind only the newest says what is wrong (collector.evaluator.problems.findings)."""

    def __init__(self) -> None:
        self._hours: dict[tuple[str, str], tuple[float, int]] = {}  # when its hour began, how many findings since

    def findings(self, agent: str, events: Sequence[NewEvent]) -> list[bool]:
        """Which of an agent's new events are findings: of a kind the last one, and so many in an hour."""
        kept, kinds, now = [False] * len(events), set[str](), time.monotonic()
        for place in range(len(events) - 1, -1, -1):
            event = events[place]
            if event.finding and event.kind not in kinds:
                kinds.add(event.kind)
                kept[place] = self._may_tell((agent, event.kind), now)
        return kept

    def _may_tell(self, key: tuple[str, str], now: float) -> bool:
        since, count = self._hours.get(key, (now, 0))
        if now - since > HOUR:
            since, count = now, 0
        self._hours[key] = (since, count + 1)
        return count < MOST_PER_HOUR
