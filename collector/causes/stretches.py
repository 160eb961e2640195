"""Stretches in which a check was not up, one for each state, and their parts with the cause of each."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from collector.causes.elements import Root
from collector.causes.explain import Explanation
from collector.ledger.state_step import Span
from inventory.protocol.states import UNKNOWN, UP


class UnhealthyStretch(msgspec.Struct, frozen=True):
    """One state that goes on."""

    start: int
    end: int
    state: int
    span: Span | None = None  # None: time without one
    last: int | None = None  # of an unknown stretch, the look before it
    first: int | None = None  # and the one after it


class CausePart(msgspec.Struct, frozen=True):
    """A decided part of a stretch."""

    start: int
    end: int
    finding: Explanation


def find_stretches(spans: Sequence[Span], until: int) -> list[UnhealthyStretch]:
    """What was not up, from the first look to ``until`` (the end of the check's life, or now)."""
    unhealthy: list[UnhealthyStretch] = []
    before: Span | None = None
    for span in spans:
        if before is not None and before.end < span.start:
            unhealthy.append(UnhealthyStretch(before.end, span.start, UNKNOWN, None, before.sure_to, span.sure_from))
        if span.state != UP and span.start < span.end:
            unknown = span.state == UNKNOWN
            last = before.sure_to if unknown and before is not None else None
            unhealthy.append(
                UnhealthyStretch(span.start, span.end, span.state, span, last, span.end if unknown else None)
            )
        before = span
    if before is not None and before.end < until:
        unhealthy.append(UnhealthyStretch(before.end, until, UNKNOWN, None, before.sure_to, None))
    return unhealthy


def bridge_gaps(own: Root, decided: Sequence[CausePart]) -> list[CausePart]:
    """What a check names (``own``) and was gone before and after was gone between, if something else was as well."""
    own_at = [i for i, part in enumerate(decided) if part.finding.root == own]
    if not own_at:
        return list(decided)
    first, last = own_at[0], own_at[-1]
    bridge = msgspec.structs.replace(decided[first].finding, certainty="probable")
    return [
        CausePart(part.start, part.end, bridge) if first < i < last and part.finding.root != own else part
        for i, part in enumerate(decided)
    ]


def cover_stretch(decided: Sequence[CausePart], start: int, end: int) -> list[CausePart]:
    """Parts that cover [start, end): what lies between two goes half to each, what lies outside to the nearest."""
    ordered = sorted(decided, key=lambda part: (part.start, part.end))
    edges = [start]
    for left, right in pairwise(ordered):
        edges.append(min(max((left.end + right.start) // 2, start), end))
    edges.append(end)
    return [CausePart(a, b, part.finding) for part, a, b in zip(ordered, edges, edges[1:], strict=False) if a < b]


def less_sure(finding: Explanation) -> Explanation:
    return msgspec.structs.replace(finding, certainty="probable") if finding.certainty == "sure" else finding
