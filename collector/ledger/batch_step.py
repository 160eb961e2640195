"""The batch step: a check's slice of a batch, applied to the ledger in as few steps as it allows.

Fifty equal looks are one step, found by scans that run in C; the loops below turn once per change of state.
"""

from collections.abc import Mapping, Sequence

from collector.ledger.state_step import LedgerTail, OutOfOrder, Span, first_tail, step
from inventory.protocol.states import UNKNOWN

NO_REASONS: Mapping[int, str] = {}


def apply_slice(
    tail: LedgerTail | None,
    closed: list[Span],
    base: int,
    deltas: Sequence[int],
    states: bytes,
    hold: int,
    error: int = 0,
    reasons: Mapping[int, str] = NO_REASONS,
    place: int = 0,
    count_from: int = 0,
) -> LedgerTail:
    """Take one check's looks in order and return its tail, which is ``tail`` itself, changed, unless that was None.

    ``base``: the first look's time as placed; ``deltas``: ms from each look to the next (one fewer than looks, as
    on the wire); ``states``: a byte a look, at least one, each below 4; ``reasons``: by place in the batch's
    columns, where ``place`` is this slice's first. ``count_from``: counters of settled time start there (see
    :func:`recount`).

    Looks of one agent are known to be in order, their times only to within ``error``: a slice placed before the
    ledger's end by no more than both errors is moved up to it. Raises OutOfOrder, and changes nothing, past that.
    """
    if deltas and min(deltas) < 0:
        raise OutOfOrder("looks of one check run backwards")
    if tail is not None and base < tail.last:
        base, deltas = _moved_up(tail, base, deltas, error)
        error = max(error, tail.error_to)
    before = None if tail is None else tail.last
    fresh = len(closed)
    count = len(states)
    if states.count(states[0]) == count and (count == 1 or max(deltas) <= hold):
        tail = _apply_run(tail, closed, states[0], base, base + sum(deltas), hold, error, count, reasons.get(place, ""))
    else:
        tail = _apply_runs(tail, closed, base, deltas, states, hold, error, reasons, place)
    if count_from and (before is None or before < count_from):
        recount(tail, closed[fresh:], count_from)
    return tail


def _moved_up(tail: LedgerTail, base: int, deltas: Sequence[int], error: int) -> tuple[int, list[int]]:
    """The slice with no look before the tail's last one."""
    floor = tail.last
    if floor - base > error + tail.error_to:
        raise OutOfOrder(f"look at {base} is {floor - base} ms before the last one taken")
    moved, at, before = [], base, floor
    for delta in deltas:
        at += delta
        placed = at if at > floor else floor
        moved.append(placed - before)
        before = placed
    return floor, moved


def _apply_run(
    tail: LedgerTail | None,
    closed: list[Span],
    state: int,
    first: int,
    last: int,
    hold: int,
    error: int,
    looks: int,
    reason: str,
) -> LedgerTail:
    if tail is None:
        return first_tail(state, first, last, hold, error, looks, reason)
    step(tail, closed, state, first, last, hold, error, looks, reason)
    return tail


def _apply_runs(
    tail: LedgerTail | None,
    closed: list[Span],
    base: int,
    deltas: Sequence[int],
    states: bytes,
    hold: int,
    error: int,
    reasons: Mapping[int, str],
    place: int,
) -> LedgerTail:
    """The slice in stretches of one state without a gap longer than the hold."""
    count, at, first = len(states), 0, base
    while at < count:
        rest = states[at:]
        end = at + len(rest) - len(rest.lstrip(rest[:1]))  # past the last look of this stretch
        inside = deltas[at : end - 1]
        if inside and max(inside) > hold:
            end = at + 1 + next(i for i, delta in enumerate(inside) if delta > hold)
            inside = deltas[at : end - 1]
        last = first + sum(inside)
        reason = reasons.get(place + at, "")
        tail = _apply_run(tail, closed, states[at], first, last, hold, error, end - at, reason)
        if end < count:
            first = last + deltas[end - 1]
        at = end
    assert tail is not None, "a slice has at least one look"
    return tail


def recount(tail: LedgerTail, fresh: Sequence[Span], count_from: int) -> None:
    """Make ``tail.settled`` count from ``count_from`` on, given the spans closed since the ledger's end lay before it.

    A new incarnation of a store starts its counters at 0 and skips what is replayed: everything before the moment
    it was made. Called for every taking that began before that moment; from then on the counters run by themselves.
    """
    settled = [0, 0, 0, 0]
    for span in fresh:
        settled[span.state] += max(span.end - max(span.start, count_from), 0)
    settled[tail.state] += max(tail.last - max(tail.start, count_from), 0)
    began = fresh[0].start if fresh else tail.start
    counted = max(tail.last - max(began, count_from), 0)
    settled[UNKNOWN] += counted - sum(settled)  # the gaps between spans
    tail.settled = settled
