"""Dead letters: what is set aside with the reason, how much of it is kept, and when it is worth telling."""

import logging
import math
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from collector.ingest.steps.effect import Effect, NewDeadLetter, NewEvent
from inventory.protocol.bounds import saturated
from inventory.protocol.wire import Batch

log = logging.getLogger("collector.ingest.steps")

MAX_ROWS_PER_BATCH: Final = 20  # further ones are counted in the last
MAX_ROWS_PER_HOUR: Final = 200  # of one agent; further ones are only counted
MAX_BYTES: Final = 4_096  # of what was set aside
MAX_CELLS: Final = 256  # of each column of a batch that was set aside
REPORT_AGAIN_AFTER: Final = 3_600.0  # seconds between two findings about one agent


def dead_letter(reason: str, what: object, count: int = 1) -> NewDeadLetter:
    """A letter about records that could be read, and what of them is wrong."""
    return NewDeadLetter(reason, count, repr(_beginning(what)).encode(errors="replace")[:MAX_BYTES])


def _beginning(what: object) -> object:
    """A batch with so much of its columns as a letter may hold: not all of them are put into words to be cut."""
    if not isinstance(what, Batch):
        return what
    columns = {name: getattr(what, name) for name in Batch.__struct_fields__}
    cut = {name: column[:MAX_CELLS] for name, column in columns.items() if isinstance(column, list | bytes)}
    return msgspec.structs.replace(what, **cut)


def bounded_letters(letters: list[NewDeadLetter]) -> list[NewDeadLetter]:
    """At most MAX_ROWS_PER_BATCH: what is past that is counted in the last."""
    if len(letters) <= MAX_ROWS_PER_BATCH:
        return letters
    rest = letters[MAX_ROWS_PER_BATCH - 1 :]
    count = saturated(sum(letter.count for letter in rest))
    last = NewDeadLetter(f"{rest[0].reason} (and {len(rest) - 1} more)", count, rest[0].body)
    return [*letters[: MAX_ROWS_PER_BATCH - 1], last]


class DeadLetterReports:
    """The first dead letters of an agent in an hour are a finding; of each agent the time of its last one."""

    def __init__(self) -> None:
        self._reported_at: dict[str, float] = {}

    def add_to(self, effect: Effect, agent: str, at: int) -> None:
        """The finding, into the effect that holds the dead letters."""
        if not effect.dead_letters:
            return
        now = time.monotonic()
        if now - self._reported_at.get(agent, -math.inf) < REPORT_AGAIN_AFTER:
            return
        self._reported_at[agent] = now
        count, reason = saturated(sum(letter.count for letter in effect.dead_letters)), effect.dead_letters[0].reason
        effect.events.append(NewEvent(at, None, "dead letters", {"count": count, "reason": reason}, True))
        log.warning("agent %s: %d records set aside: %s", agent, count, reason)


class DeadLetterBudget:
    """An agent that sends nothing but rubbish must not fill the disk with it."""

    def __init__(self) -> None:
        self.total = 0  # records set aside since the start, kept or not
        self._hours: dict[str, tuple[float, int]] = {}  # by agent: when its hour began, rows kept in it

    def kept(self, agent: str, letters: Sequence[NewDeadLetter]) -> Sequence[NewDeadLetter]:
        """Those of an agent's new letters that are stored."""
        now = time.monotonic()
        since, rows = self._hours.get(agent, (now, 0))
        if now - since > 3600:
            since, rows = now, 0
        self.total = saturated(self.total + sum(letter.count for letter in letters))
        kept = letters[: max(0, MAX_ROWS_PER_HOUR - rows)]
        self._hours[agent] = (since, rows + len(kept))
        return kept
