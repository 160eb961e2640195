"""Agents in quarantine: what the collector failed at is one agent's, and everybody else goes on.

A push of an agent in quarantine is neither stored nor acknowledged, so its spool keeps it; its state stays as it was
just before. Who is in quarantine stands in the store, and a person releases it (``haidang-collector release``).

A fault while something is only read (a page, a scrape, an evaluation) costs its row in any case. It puts the agent into
quarantine as well, but only so many agents: what strikes more of them is a fault of this program, and the
silence of a province would be worse than lines that are missing.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from collector.store.interfaces.store import Store
from collector.store.records import QuarantinedAgent
from inventory.base.text import clean_text
from inventory.protocol.reasons import Reason, pack, template

log = logging.getLogger("collector.ingest")

COMMIT: Final = "commit"
PUBLICATION: Final = "publication"
CHECKPOINT: Final = "checkpoint"
RECOVERY: Final = "recovery"
STEPS: Final = "steps"  # of a push
EVALUATION: Final = "evaluation"
PAGE: Final = "page"
SCRAPE: Final = "scrape"
API: Final = "api"

REASONS: Final[Mapping[str, str]] = {
    STEPS: template("what it sent could not be worked out: {error}"),
    COMMIT: template("what it sent could not be stored: {error}"),
    PUBLICATION: template("what it sent was stored and could not be taken over: {error}"),
    CHECKPOINT: template("its state could not be saved: {error}"),
    RECOVERY: template("its state could not be made again after a restart: {error}"),
    EVALUATION: template("its state could not be judged: {error}"),
    PAGE: template("its state could not be shown: {error}"),
    API: template("its state could not be told to a program: {error}"),
    SCRAPE: template("its state could not be exported as metrics: {error}"),
}
READ: Final = frozenset({EVALUATION, PAGE, API, SCRAPE})
MAX_BY_READING: Final = 5  # agents in quarantine from which on a fault in reading puts no more there
MAX_BY_COMMIT: Final = 20  # the same for what the store does not take: then it is the store's fault
MAX_ERROR: Final = 120  # characters of what was raised

T = TypeVar("T")
R = TypeVar("R")


class AgentQuarantine:
    """``agents`` may be read in any thread. ``wall``: ms of the collector's time."""

    def __init__(self, wall: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        self.agents: dict[str, QuarantinedAgent] = {}
        self.rows_failed: Counter[str] = Counter()  # by place: rows that could not be made, since the start
        self._wall = wall
        self._unsaved: list[QuarantinedAgent] = []
        self._logged: set[tuple[str, str]] = set()

    def load(self, stored: Iterable[QuarantinedAgent]) -> None:
        """At start."""
        self.agents.update({one.agent: one for one in stored})  # others hold on to it

    def put(self, agent: str, place: str, error: BaseException, batch: int = 0) -> bool:
        """An agent at which the collector failed; ``batch``: the stored one that did it. Whether it is in quarantine
        now: past a number of agents the fault is not theirs. Kept with the next :meth:`save`."""
        if agent in self.agents:
            return True
        if not agent or len(self.agents) >= _most(place):
            return False
        raised = clean_text(f"{type(error).__name__}: {error}", MAX_ERROR)
        one = QuarantinedAgent(agent, self._wall(), place, pack(Reason(REASONS[place], (raised,))), batch)
        self._unsaved.append(one)  # first: who is read apart after a restart has to be in the store by then
        self.agents[agent] = one
        log.error("agent %s is in quarantine: %s", agent, Reason(REASONS[place], (raised,)), exc_info=error)
        return True

    def row_failed(self, place: str, agent: str, error: Exception) -> None:
        """A row about an agent ("": about none) could not be made."""
        self.rows_failed[place] += 1
        if (place, agent) not in self._logged:
            self._logged.add((place, agent))
            log.error("a row about %s could not be made (%s)", agent or "no agent", place, exc_info=error)
        self.put(agent, place, error)

    def rows(self, place: str, items: Iterable[T], agent: Callable[[T], str], make: Callable[[T], R]) -> list[R]:
        """What ``make`` makes of each, without those that cannot be made: each is one row, and fails alone."""
        made: list[R] = []
        for item in items:
            try:
                made.append(make(item))
            except Exception as error:
                self.row_failed(place, agent(item), error)
        return made

    def new(self) -> list[QuarantinedAgent]:
        """Those that are not in the store yet; :meth:`kept` once they are."""
        return list(self._unsaved)

    def kept(self, new: Sequence[QuarantinedAgent]) -> None:
        self._unsaved = [one for one in self._unsaved if one not in new]

    async def save(self, store: Store) -> None:
        """Keep what is new. Raises StoreError; then it is tried again."""
        if new := self.new():
            await store.write(lambda tx: tx.quarantine.put(new))
            self.kept(new)

    async def released(self, store: Store) -> Sequence[str]:
        """Agents that a person has released since, in the store."""
        await self.save(store)
        if not self.agents:
            return ()
        held = {one.agent for one in await store.read(lambda tx: tx.quarantine.all())}
        unsaved = {one.agent for one in self._unsaved}
        return [agent for agent in self.agents if agent not in held and agent not in unsaved]

    def lift(self, agent: str) -> None:
        """It is taken again, once its state was made anew."""
        self.agents.pop(agent, None)
        self._logged = {one for one in self._logged if one[1] != agent}


def _most(place: str) -> float:
    """So many agents may be in quarantine for another to be put there from this place."""
    return MAX_BY_READING if place in READ else MAX_BY_COMMIT if place in (COMMIT, STEPS) else float("inf")
