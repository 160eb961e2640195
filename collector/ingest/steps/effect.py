"""The effect of a push on the store, besides its own row: gathered by the steps, written by the committer."""

from typing import Any, Final, NamedTuple

import msgspec

from collector.ledger.state_step import Span

ROW_BYTES: Final = 64  # of the store for a span, an event, a dead letter, without its texts


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

    @property
    def size(self) -> int:
        """Bytes of the store that these take, about."""
        size = ROW_BYTES * self.rows
        if not size:  # as of most pushes: nothing has changed
            return 0
        size += sum(len(span.reason.encode(errors="replace")) for _, span in self.spans)
        size += sum(len(event.kind) + _size_of(event.data) for event in self.events)
        return size + sum(len(letter.reason) + len(letter.body) for letter in self.dead_letters)


def _size_of(data: dict[str, Any]) -> int:
    texts = (value for value in data.values() if isinstance(value, str))
    return sum(len(name) + 8 for name in data) + sum(len(text.encode(errors="replace")) for text in texts)
