"""The effect of a push on the store, besides its own row: gathered by the steps, written by the committer."""

from typing import Any, NamedTuple

import msgspec

from collector.ledger.state_step import Span


class NewEvent(NamedTuple):
    """An event to store: :class:`alerts.incident.finding.IngestFinding` plus whether it is one."""

    at: int  # ms
    check: str | None  # the check's uid; None: it is about the agent, or the collector
    kind: str  # what happened, in a word or two
    data: dict[str, Any]  # plain JSON of a bounded size
    finding: bool  # for the evaluator too


class NewDeadLetter(msgspec.Struct, frozen=True):
    """Records that are set aside, with one reason."""

    reason: str  # why, in words
    count: int  # how many records
    body: bytes  # the beginning of the first


class Effect(msgspec.Struct):
    """What a push does to the store."""

    spans: list[tuple[int, Span]] = []  # closed ones, with their check's row
    events: list[NewEvent] = []
    dead_letters: list[NewDeadLetter] = []
    born: list[tuple[int, int]] = []  # ms of a check's first look, with its row

    @property
    def rows(self) -> int:
        """Rows of the store that it makes."""
        return len(self.spans) + len(self.events) + len(self.dead_letters)
