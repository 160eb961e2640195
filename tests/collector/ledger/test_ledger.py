"""The ledger against an evaluator that asks, millisecond by millisecond, what the looks say. They share no code."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collector.ledger.batch_step import apply_slice
from collector.ledger.counted import count
from collector.ledger.figures import Figure, figure, history
from collector.ledger.state_step import LedgerTail, OutOfOrder, Span, first_tail, open_span, prolonged, step
from collector.ledger.timeline import EXCLUDED, measure, timeline

UP, DEGRADED, DOWN, UNKNOWN = range(4)
WORKS = {0: True, 1: True, 2: False}  # by the codes on the wire


class Look(NamedTuple):
    at: int
    state: int
    hold: int
    error: int = 0


# --- the evaluator: a list of looks, a millisecond, a question -------------------------------------------------------


def state_at(looks: Sequence[Look], ms: int) -> int | None:
    """The best figure for [ms, ms + 1): a state's code, None where nothing is known (or a look says so)."""
    before = [look for look in looks if look.at <= ms]
    after = [look for look in looks if look.at > ms]
    if not before or before[-1].state == 3:
        return None
    last = before[-1]
    if not after or after[0].at - last.at > last.hold:
        return last.state if ms < last.at + last.hold else None
    following = after[0]
    if following.state == 3:
        return last.state
    middle = last.at + (following.at - last.at) // 2
    return last.state if ms < middle else following.state


def runs_of(looks: Sequence[Look]) -> list[list[Look]]:
    """Consecutive looks that agree on whether it works, none later than the hold of the one before."""
    runs: list[list[Look]] = []
    for i, look in enumerate(looks):
        if look.state == 3:
            continue
        joins = (
            i > 0
            and looks[i - 1].state != 3
            and WORKS[looks[i - 1].state] == WORKS[look.state]
            and look.at - looks[i - 1].at <= looks[i - 1].hold
        )
        if joins:
            runs[-1].append(look)
        else:
            runs.append([look])
    return runs


def proven_at(looks: Sequence[Look], ms: int) -> bool | None:
    """Whether [ms, ms + 1) is proven to work (True) or to be down (False): between the ends of a run, errors off."""
    for run in runs_of(looks):
        if run[0].at + run[0].error <= ms and ms + 1 <= run[-1].at - run[-1].error:
            return WORKS[run[0].state]
    return None


def evaluated(
    looks: Sequence[Look],
    window: tuple[int, int],
    now: int,
    life: tuple[int | None, int | None] = (None, None),
    exclusions: Sequence[tuple[int, int]] = (),
) -> Figure:
    """The figure, by asking for each ms."""
    tally = dict.fromkeys(("up", "degraded", "down", "unknown", "excluded", "sure_up", "sure_down"), 0)
    for ms in range(window[0], window[1]):
        if ms >= now or (life[0] is not None and ms < life[0]) or (life[1] is not None and ms >= life[1]):
            continue
        if any(a <= ms < b for a, b in exclusions):
            tally["excluded"] += 1
            continue
        state, proof = state_at(looks, ms), proven_at(looks, ms)
        tally["unknown" if state is None else ("up", "degraded", "down")[state]] += 1
        tally["sure_up"] += proof is True
        tally["sure_down"] += proof is False
    return Figure(sum(tally[name] for name in ("up", "degraded", "down", "unknown")), **tally)


# --- worlds ---------------------------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn, most: int = 14, error: int | None = 0) -> list[Look]:
    """Looks with short and long gaps, also none, in any states, with holds that change now and then."""
    looks, at = [], draw(st.integers(0, 20))
    for _ in range(draw(st.integers(1, most))):
        hold = draw(st.sampled_from([6, 6, 6, 11]))
        wrong = draw(st.integers(0, 4)) if error is None else error
        looks.append(Look(at, draw(st.sampled_from([0, 0, 0, 1, 2, 2, 3])), hold, wrong))
        at += draw(st.sampled_from([0, 1, 2, 3, 5, 5, 6, 7, 11, 12, 25]))
    return looks


def stepped(looks: Sequence[Look]) -> tuple[list[Span], LedgerTail]:
    closed: list[Span] = []
    first = looks[0]
    tail = first_tail(first.state, first.at, first.at, first.hold, first.error, 1, "")
    for look in looks[1:]:
        step(tail, closed, look.state, look.at, look.at, look.hold, look.error, 1, "")
    return closed, tail


def taken(looks: Sequence[Look], sizes: Sequence[int], count_from: int = 0) -> tuple[list[Span], LedgerTail]:
    """The same by slices of these sizes (and the rest by one); looks must have one hold."""
    closed: list[Span] = []
    tail: LedgerTail | None = None
    rest = list(looks)
    for size in [*sizes, len(rest)]:
        part, rest = rest[:size], rest[size:]
        if not part:
            continue
        deltas = [b.at - a.at for a, b in pairwise(part)]
        states = bytes(look.state for look in part)
        tail = apply_slice(tail, closed, part[0].at, deltas, states, part[0].hold, part[0].error, count_from=count_from)
    assert tail is not None
    return closed, tail


def same_hold(looks: Sequence[Look]) -> list[Look]:
    return [look._replace(hold=6) for look in looks]


intervals = st.tuples(st.integers(-5, 150), st.integers(0, 40)).map(lambda pair: (pair[0], pair[0] + pair[1]))
lives = st.tuples(st.none() | st.integers(0, 60), st.none() | st.integers(40, 150))


# --- figures --------------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(
    histories(),
    st.integers(-5, 60),
    st.integers(0, 160),
    st.integers(0, 30),
    lives,
    st.lists(intervals, max_size=3),
    st.integers(0, 5),
)
def test_figures_are_what_the_looks_say(
    looks: list[Look],
    start: int,
    length: int,
    wait: int,
    life: tuple[int | None, int | None],
    exclusions: list[tuple[int, int]],
    error: int,
) -> None:
    looks = [look._replace(error=error) for look in looks]
    now = looks[-1].at + wait
    window = (start, start + length)
    spans, tail = stepped(looks)
    counted = count(window, now, life, exclusions)
    found = figure(history(spans, tail, now), counted)
    assert found == evaluated(looks, window, now, life, exclusions)
    assert found == measure(timeline(history(spans, tail, now), counted))


@settings(max_examples=200)
@given(histories(error=None))
def test_with_errors_that_differ_nothing_is_proven_that_the_looks_do_not_prove(looks: list[Look]) -> None:
    now = looks[-1].at + 20
    spans, tail = stepped(looks)
    ours, truth = (
        {
            ms
            for segment in timeline(history(spans, tail, now), count((0, now), now))
            for ms in range(segment.start, segment.end)
            if segment.sure
        },
        {
            ms
            for ms in range(now)
            for run in runs_of(looks)
            if min(look.at + look.error for look in run) <= ms < max(look.at - look.error for look in run)
        },
    )
    assert ours <= truth


@given(histories(), st.integers(0, 60), st.integers(1, 100), st.lists(intervals, max_size=3))
def test_lower_best_upper_stand_in_order(
    looks: list[Look], start: int, length: int, exclusions: list[tuple[int, int]]
) -> None:
    now = looks[-1].at + 9
    found = figure(history(*stepped(looks), now), count((start, start + length), now, exclusions=exclusions))
    if found.total:
        assert found.lower is not None and found.upper is not None and found.coverage is not None
        assert 0 <= found.lower <= found.upper <= 1
        assert 0 <= found.coverage <= 1
        # what is seen, with the unseen counted either way, lies inside the bounds
        works = found.up + found.degraded
        assert found.lower <= works / found.total
        assert (works + found.unknown) / found.total <= found.upper
        if found.coverage == 1:
            assert found.best is not None and found.lower <= found.best <= found.upper
    assert (found.best is None) == (found.seen == 0)


@settings(max_examples=60)
@given(histories(), st.lists(st.integers(0, 14), max_size=4))
def test_late_evidence_gives_what_evidence_in_time_would_have(looks: list[Look], glances: list[int]) -> None:
    """Reading in between changes nothing, and what comes late only narrows the bounds of what was said before."""
    now, window = looks[-1].at + 30, (0, looks[-1].at + 30)
    counted = count(window, now)
    before: Figure | None = None
    for known in sorted({min(glance, len(looks)) for glance in glances} | {len(looks)}):
        if known == 0:
            continue
        current = figure(history(*stepped(looks[:known]), now), counted)
        if before is not None:
            assert current.sure_up >= before.sure_up and current.sure_down >= before.sure_down
        before = current
    assert before == evaluated(looks, window, now)


def test_a_window_before_the_life_has_no_denominator() -> None:
    spans, tail = stepped([Look(100, UP, 10)])
    found = figure(history(spans, tail, 200), count((0, 50), 200, (90, None)))
    assert (found.total, found.best, found.lower, found.upper, found.coverage) == (0, None, None, None, None)


def test_an_exclusion_declared_afterwards_takes_an_outage_out_of_the_figure() -> None:
    looks = [Look(at, DOWN if 40 <= at < 60 else UP, 15) for at in range(0, 101, 5)]
    told = history(*stepped(looks), 100)
    assert figure(told, count((0, 100), 100)).best == 0.8
    spared = figure(told, count((0, 100), 100, exclusions=[(30, 50), (45, 70)]))
    assert (spared.best, spared.excluded, spared.total) == (1.0, 40, 60)


# --- steps ----------------------------------------------------------------------------------------------------------


@settings(max_examples=300)
@given(histories(), st.lists(st.integers(0, 6), max_size=6), st.integers(0, 60))
@example([Look(0, 0, 6), Look(5, 0, 6), Look(25, 0, 6)], [], 0)
def test_any_split_into_batches_gives_the_same_ledger(looks: list[Look], sizes: list[int], count_from: int) -> None:
    looks = same_hold(looks)
    assert taken(looks, sizes) == stepped(looks)
    # counters that begin later are the same for any split too
    assert taken(looks, sizes, count_from) == taken(looks, [1] * len(looks), count_from)


@settings(max_examples=200)
@given(histories(most=20))
def test_folded_looks_give_the_same_ledger_as_raw_ones(looks: list[Look]) -> None:
    looks = same_hold(looks)
    folds: list[list[Look]] = []
    for look in looks:
        if folds and folds[-1][-1].state == look.state and look.at - folds[-1][-1].at <= 6:
            folds[-1].append(look)
        else:
            folds.append([look])
    closed: list[Span] = []
    tail: LedgerTail | None = None
    for fold in folds:
        if tail is None:
            tail = first_tail(fold[0].state, fold[0].at, fold[-1].at, 6, 0, len(fold), "")
        else:
            step(tail, closed, fold[0].state, fold[0].at, fold[-1].at, 6, 0, len(fold), "")
    assert (closed, tail) == stepped(looks)


@settings(max_examples=200)
@given(histories(), st.integers(1, 80))
def test_counters_are_the_settled_time_and_never_go_back(looks: list[Look], count_from: int) -> None:
    looks = same_hold(looks)
    for begins in (0, count_from):
        before = [0, 0, 0, 0]
        for known in range(1, len(looks) + 1):
            _, tail = taken(looks[:known], [1] * known, begins)
            # they do not depend on what comes later: the final looks say the same of the time up to here
            end = looks[known - 1].at
            said = [state_at(looks, ms) for ms in range(max(looks[0].at, begins), end)]
            assert tail.settled == [said.count(0), said.count(1), said.count(2), said.count(None)]
            assert all(now >= was for now, was in zip(tail.settled, before, strict=True))
            before = list(tail.settled)


@settings(max_examples=200)
@given(histories(), st.integers(1, 4), st.integers(0, 6))
def test_looks_that_only_prolong_are_what_steps_make_of_them(looks: list[Look], more: int, apart: int) -> None:
    closed, tail = stepped(looks)
    as_it_was, spans = msgspec.structs.replace(tail, settled=[*tail.settled]), len(closed)
    found = prolonged(tail, tail.last + more * apart, more, 6, 2)
    assert tail == as_it_was
    for _ in range(more):
        step(tail, closed, tail.state, tail.last + apart, tail.last + apart, 6, 2, 1, "")
    assert (found, spans) == (tail, len(closed))


def test_a_look_older_than_the_ledger_changes_nothing() -> None:
    spans, tail = stepped([Look(0, UP, 10), Look(50, DOWN, 10)])
    as_it_was = (list(spans), [*tail.settled], tail.last)
    with pytest.raises(OutOfOrder, match="30 ms before"):
        step(tail, spans, UP, 20, 20, 10, 0, 1, "")
    with pytest.raises(OutOfOrder, match="30 ms before"):
        apply_slice(tail, spans, 20, [1], b"\0\0", 10, error=29)
    with pytest.raises(OutOfOrder, match="backwards"):
        apply_slice(tail, spans, 60, [5, -1], b"\0\0\0", 10)
    assert (spans, tail.settled, tail.last) == as_it_was


def test_looks_placed_before_the_end_by_no_more_than_their_errors_are_moved_up_to_it() -> None:
    spans, tail = stepped([Look(0, UP, 10, 3), Look(8, UP, 10, 3)])
    apply_slice(tail, spans, 4, [2, 5], bytes([DOWN] * 3), 10, error=2)
    assert (tail.state, tail.sure_from, tail.last, tail.looks, tail.error_from) == (DOWN, 8, 11, 3, 3)
    assert [(span.state, span.end, span.sure_to) for span in spans] == [(UP, 8, 8)]


def test_an_edge_is_at_the_midpoint_and_a_stop_ends_the_hold() -> None:
    spans, tail = stepped([Look(0, UP, 10), Look(10, DOWN, 10), Look(17, UNKNOWN, 10), Look(40, UP, 10)])
    assert [(span.state, span.start, span.end) for span in spans] == [(UP, 0, 5), (DOWN, 5, 17), (UNKNOWN, 17, 40)]
    assert tail.start == 40


def test_a_span_keeps_the_first_reason_and_counts_its_looks() -> None:
    closed: list[Span] = []
    tail = apply_slice(
        None, closed, 0, [5, 5, 5, 5], bytes([UP, DOWN, DOWN, DOWN, UP]), 10, 0, {8: "refused", 9: "later"}, 7
    )
    assert [(span.reason, span.looks) for span in closed] == [("", 1), ("refused", 3)]
    assert (tail.reason, tail.looks) == ("", 1)


def test_an_error_at_one_end_of_a_span_does_not_blur_the_other() -> None:
    closed: list[Span] = []
    tail = apply_slice(None, closed, 0, [], bytes([UP]), 50, error=40)
    tail = apply_slice(tail, closed, 50, [50] * 9, bytes([UP] * 10), 50, error=1)
    found = figure(history(closed, tail, 500), count((0, 500), 500))
    assert found.sure_up == 500 - 40 - 1


def test_the_open_span_holds_until_its_hold_or_now_and_a_stop_holds_nothing() -> None:
    _, tail = stepped([Look(0, UP, 10), Look(5, UP, 10)])
    assert [open_span(tail, now).end for now in (None, 9, 15, 99, 2)] == [15, 9, 15, 15, 5]
    step(tail, [], UNKNOWN, 9, 9, 10, 0, 1, "agent stopped")
    assert [open_span(tail, now).end for now in (None, 99)] == [9, 9]


def test_looks_that_cannot_be_made_are_one_span_however_far_apart() -> None:
    spans, _ = stepped([Look(0, UNKNOWN, 10), Look(90, UNKNOWN, 10), Look(300, UP, 10)])
    assert [(span.state, span.start, span.end, span.looks) for span in spans] == [(UNKNOWN, 0, 300, 2)]


def test_a_slice_that_is_moved_up_keeps_its_order_and_its_edges() -> None:
    spans, tail = stepped([Look(0, UP, 10), Look(10, UP, 10)])
    apply_slice(tail, spans, 4, [2, 2, 6], bytes([UP, DOWN, DOWN, UP]), 10, error=9)
    # at 4 and 6 and 8, by the clock, and at 14: none can have been before the look at 10
    assert [(span.state, span.sure_from, span.sure_to) for span in spans] == [(UP, 0, 10), (DOWN, 10, 10)]
    assert (tail.state, tail.start, tail.last) == (UP, 12, 14)


def test_spans_that_meet_prove_from_the_best_placed_look_on() -> None:
    """The first look is placed badly; that it worked by the time of the next is known better."""
    spans, tail = stepped([Look(0, UP, 10, 300), Look(10, DEGRADED, 10, 1), Look(20, DEGRADED, 10, 1)])
    found = timeline(history(spans, tail, 20), count((0, 20), 20, exclusions=[(15, 17)]))
    assert [(one.start, one.end, one.state, one.sure) for one in found] == [
        (0, 5, UP, False),
        (5, 11, DEGRADED, False),
        (11, 15, DEGRADED, True),
        (15, 17, EXCLUDED, False),
        (17, 19, DEGRADED, True),
        (19, 20, DEGRADED, False),
    ]
