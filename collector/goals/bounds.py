"""Exact bounds of a ratio, and the verdict that they allow."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Final, Literal

import msgspec

from collector.ledger.figures import Figure

Verdict = Literal["met", "missed", "not proven", "no evidence"]
MET: Final = "met"
MISSED: Final = "missed"
NOT_PROVEN: Final = "not proven"
NO_EVIDENCE: Final = "no evidence"


class RatioBounds(msgspec.Struct, frozen=True):
    """A result between 0 and 1, exactly. None: no denominator."""

    lower: Fraction | None = None  # what is proven
    best: Fraction | None = None  # the best figure
    upper: Fraction | None = None  # what is possible
    coverage: Fraction | None = None


def bounds_of(one: Figure) -> RatioBounds:
    if not one.total:
        return RatioBounds()
    return RatioBounds(
        Fraction(one.sure_up, one.total),
        Fraction(one.up + one.degraded, one.seen) if one.seen else None,
        Fraction(one.total - one.sure_down, one.total),
        Fraction(one.seen, one.total),
    )


def mean_bounds(all_bounds: Sequence[RatioBounds]) -> RatioBounds:
    """The mean of each; of the best figures over those that have one."""
    counting = [bounds for bounds in all_bounds if bounds.lower is not None]
    return RatioBounds(
        _average(bounds.lower for bounds in counting),
        _average(bounds.best for bounds in counting),
        _average(bounds.upper for bounds in counting),
        _average(bounds.coverage for bounds in counting),
    )


def _average(values: Iterable[Fraction | None]) -> Fraction | None:
    """Exact. Summed by denominator first: thousands of members share a few."""
    sums: dict[int, int] = {}
    number = 0
    for value in values:
        if value is not None:
            sums[value.denominator] = sums.get(value.denominator, 0) + value.numerator
            number += 1
    if not number:
        return None
    return sum((Fraction(above, below) for below, above in sums.items()), Fraction(0)) / number


def verdict_of(bounds: RatioBounds, objective: float) -> Verdict:
    """Met, missed, not proven; no evidence where nothing counts."""
    if bounds.lower is None or bounds.upper is None:
        return NO_EVIDENCE
    target = Fraction(repr(objective))  # 0.999 as it was written, not as the float nearest to it
    if bounds.lower >= target:
        return MET
    return MISSED if bounds.upper < target else NOT_PROVEN
