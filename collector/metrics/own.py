"""Metrics of the collector itself: a custom collector for prometheus-client, in its own registry, read at scrapes."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

ACK_BOUNDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Histogram:
    """Seconds in buckets. One bisection an observation: pushes come by the thousand."""

    def __init__(self, bounds: tuple[float, ...] = ACK_BOUNDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def family(self, name: str, help_text: str) -> HistogramMetricFamily:
        names = [*(repr(bound) for bound in self.bounds), "+Inf"]
        buckets = list(zip(names, map(float, accumulate(self.counts)), strict=True))
        return HistogramMetricFamily(name, help_text, buckets=buckets, sum_value=self.total)


class SelfMetrics(Collector):
    """``sources`` give families at each scrape; one that fails must not hide the others' figures."""

    def __init__(self, sources: Iterable[Callable[[], Iterable[Metric]]]) -> None:
        self._sources = tuple(sources)
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        for source in self._sources:
            yield from source()

    def text(self, with_openmetrics: bool) -> str:
        """All of it; in OpenMetrics with the end mark, so it comes last."""
        encode = openmetrics.generate_latest if with_openmetrics else generate_latest
        encoded: bytes = encode(self.registry)
        return encoded.decode()


def gauge(name: str, help_text: str, value: float | None) -> GaugeMetricFamily:
    """One sample, or none when there is nothing to say."""
    family = GaugeMetricFamily(f"haidang_collector_{name}", help_text)
    if value is not None:
        family.add_metric([], value)
    return family


def counter(name: str, help_text: str, value: float) -> CounterMetricFamily:
    """``name`` without _total."""
    return CounterMetricFamily(f"haidang_collector_{name}", help_text, value=value)


def labelled_counter(
    name: str, help_text: str, label_names: list[str], values: Iterable[tuple[list[str], float]]
) -> CounterMetricFamily:
    """A counter with labels; ``name`` without _total."""
    family = CounterMetricFamily(f"haidang_collector_{name}", help_text, labels=label_names)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def info(name: str, help_text: str, **labels: str) -> InfoMetricFamily:
    """``name`` without _info."""
    return InfoMetricFamily(f"haidang_collector_{name}", help_text, value=labels)
