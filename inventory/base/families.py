"""Metric families: how one is declared, once, and what a part of the collector says under it at a scrape."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Literal, NamedTuple

import msgspec

FamilyType = Literal["gauge", "counter", "histogram", "info"]


class MetricSample(NamedTuple):
    """One value of a family."""

    value: float
    labels: tuple[str, ...] = ()  # values, in the order of the family's labels
    suffix: str = ""  # of a histogram's series: _bucket, _sum, _count


class FamilySamples(NamedTuple):
    """What is to be exposed of a family now; without samples it is left out."""

    family: "Family"
    samples: list[MetricSample]


class Family(msgspec.Struct, frozen=True):
    """A metric family. Its declaration is where a family's name stands; docs/metrics.md is made of all of them."""

    name: str  # as samples bear it: a counter's with _total, an info's with _info
    type: FamilyType
    help: str  # one sentence, of no other family
    labels: tuple[str, ...] = ()

    def of(self, value: float | None) -> FamilySamples:
        """The one sample of a family without labels; none while there is nothing to say."""
        return FamilySamples(self, [] if value is None else [MetricSample(value)])

    def by(self, samples: Iterable[tuple[tuple[str, ...], float | None]]) -> FamilySamples:
        """A sample for each tuple of label values that has a value."""
        return FamilySamples(self, [MetricSample(value, labels) for labels, value in samples if value is not None])


class HistogramCounts(msgspec.Struct, frozen=True):
    """Observations in buckets, as they are stored: the bounds stand in the code."""

    counts: tuple[int, ...] = ()  # one for each bound and one above them all; empty: nothing observed yet
    sum: float = 0.0

    def observed(self, value: float, bounds: tuple[float, ...]) -> "HistogramCounts":
        """With one observation more. Counts of other bounds than these (of an earlier version) start over."""
        fits = len(self.counts) == len(bounds) + 1
        counts = list(self.counts) if fits else [0] * (len(bounds) + 1)
        counts[bisect_left(bounds, value)] += 1
        return HistogramCounts(tuple(counts), (self.sum if fits else 0.0) + value)

    def samples(self, family: Family, bounds: tuple[float, ...]) -> FamilySamples:
        """All of its series, zeros where nothing was observed."""
        fits = len(self.counts) == len(bounds) + 1
        cumulative = list(accumulate(self.counts if fits else [0] * (len(bounds) + 1)))
        named = zip([*(repr(bound) for bound in bounds), "+Inf"], cumulative, strict=True)
        buckets = [MetricSample(count, (bound,), "_bucket") for bound, count in named]
        totals = [MetricSample(cumulative[-1], (), "_count"), MetricSample(self.sum if fits else 0.0, (), "_sum")]
        return FamilySamples(family, buckets + totals)


class Histogram:
    """Observations in buckets. One bisection an observation: pushes come by the thousand."""

    def __init__(self, family: Family, bounds: tuple[float, ...]) -> None:
        self._family = family
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self) -> FamilySamples:
        return HistogramCounts(tuple(self._counts), self._sum).samples(self._family, self._bounds)


def label_word(words: str) -> str:
    """A word of ours as a label's value: ``not known`` would have to be quoted in every query."""
    return words.replace(" ", "_")
