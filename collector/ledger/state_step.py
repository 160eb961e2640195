"""The state step of one check's ledger: a stretch of looks in one state, taken onto its tail.

What a span says. ``start`` and ``end`` are the best figure of where the state began and ended. ``sure_from`` and
``sure_to`` are its first and last look: between them the state is proven (no gap exceeds the hold), outside them
it is a figure: half of an edge's gap, or a held tail that nobody confirmed. Every bound follows from these four.

Rules, with l the last look and n the next:
- n in the same state within l's hold: the span goes on.
- n in another known state within l's hold: an edge; both spans meet at the midpoint of [l, n].
- n later than l's hold: the span ends at l + hold, nothing is known from there to n (no row is written for that:
  where no span is, there is no evidence).
- n says "unknown" (a look that could not be made, a clean stop): it ends the hold at n.
- after an unknown look: unknown until the next known one, however late.
"""

import msgspec

from inventory.protocol.bounds import saturated
from inventory.protocol.states import UNKNOWN


class Span(msgspec.Struct, array_like=True, frozen=True):
    """A stretch of one state. ``looks``: how many.

    ``error_from`` and ``error_to``: how far off the first and the last look may be placed in time, ms. Two, because
    a look placed badly (a boot's first push, a backlog of weeks) must not blur the other end of a long span.
    """

    state: int
    start: int
    end: int
    sure_from: int
    sure_to: int
    error_from: int = 0
    error_to: int = 0
    looks: int = 0
    reason: str = ""


class LedgerTail(msgspec.Struct, array_like=True, gc=False):
    """What is open at the end of a check's ledger: the span so far and the last look's hold.

    ``settled``: ms up, degraded, down and unknown from the first look (or ``count_from``, see
    collector.ledger.batch_step) up to ``last``: the time that no later evidence can change.
    """

    state: int
    start: int
    sure_from: int
    last: int
    hold: int
    error_from: int = 0
    error_to: int = 0
    looks: int = 1
    reason: str = ""
    settled: list[int] = msgspec.field(default_factory=lambda: [0, 0, 0, 0])

    def speaks(self, now: int) -> bool:
        """Whether the last look says something of this moment: it knew a state, and its hold is not over."""
        return self.state != UNKNOWN and now <= self.last + self.hold


class OutOfOrder(ValueError):
    """A look older than the ledger's end. The ledger only appends."""


def open_span(tail: LedgerTail, now: int | None = None) -> Span:
    """The open span as it stands: held from the last look to the end of its hold, or to ``now`` if that is sooner."""
    end = tail.last if tail.state == UNKNOWN else tail.last + tail.hold
    if now is not None:
        end = max(min(end, now), tail.last)
    return Span(
        tail.state,
        tail.start,
        end,
        tail.sure_from,
        tail.last,
        tail.error_from,
        tail.error_to,
        tail.looks,
        tail.reason,
    )


def first_tail(state: int, first: int, last: int, hold: int, error: int, looks: int, reason: str) -> LedgerTail:
    """The tail after the first looks ever: nothing is known before them."""
    tail = LedgerTail(state, first, first, last, hold, error, error, looks, reason)
    tail.settled[state] += last - first
    return tail


def prolonged(tail: LedgerTail, last: int, looks: int, hold: int, error: int) -> LedgerTail:
    """What :func:`step` makes of looks up to ``last`` that are all in the tail's state, no gap past the hold.

    As a new tail: ``tail`` is not changed.
    """
    new: LedgerTail = tail.__copy__()  # type: ignore[attr-defined]  # what copy.copy comes to, without its detour
    new.settled = settled = tail.settled.copy()
    settled[tail.state] += last - tail.last
    new.last = last
    new.hold = hold
    new.looks = saturated(new.looks + looks)
    new.error_to = error
    return new


def step(
    tail: LedgerTail,
    closed: list[Span],
    state: int,
    first: int,
    last: int,
    hold: int,
    error: int,
    looks: int,
    reason: str,
) -> None:
    """Take looks [first, last] in one state, none further apart than ``hold``, after the tail's last look.

    ``error``: how far off these looks may be placed, ms. Changes ``tail``, appends to ``closed`` the span that they
    end, if any. Raises OutOfOrder and changes nothing when ``first`` lies before the tail's last look.
    """
    before = tail.last
    gap = first - before
    if gap < 0:
        raise OutOfOrder(f"look at {first} is {-gap} ms before the last one taken")
    was = tail.state
    settled = tail.settled
    if state == was and (gap <= tail.hold or state == UNKNOWN):
        settled[state] += last - before
        tail.last = last
        tail.hold = hold
        tail.looks = saturated(tail.looks + looks)
        tail.error_to = error
        return

    if was == UNKNOWN:
        end = start = first
        settled[UNKNOWN] += gap
    elif gap > tail.hold:
        end, start = before + tail.hold, first
        settled[was] += tail.hold
        settled[UNKNOWN] += gap - tail.hold
    elif state == UNKNOWN:
        end = start = first
        settled[was] += gap
    else:
        end = start = before + gap // 2
        settled[was] += end - before
        settled[state] += first - start
    closed.append(
        Span(was, tail.start, end, tail.sure_from, before, tail.error_from, tail.error_to, tail.looks, tail.reason)
    )
    settled[state] += last - first
    tail.state = state
    tail.start = start
    tail.sure_from = first
    tail.last = last
    tail.hold = hold
    tail.error_from = tail.error_to = error
    tail.looks = looks
    tail.reason = reason
