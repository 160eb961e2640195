"""Metrics of the collector's process and build: process_*, python_info, haidang_build_info."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric

from inventory.base.families import Family, FamilySamples, FamilyType, MetricSample
from inventory.base.version import VERSION

BUILD = Family("haidang_build_info", "info", "The version of this software.", ("version",))


class ProcessMetrics:
    """As every program says it that uses a Prometheus library: dashboards know these names."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def metrics(self) -> Iterator[FamilySamples]:
        yield BUILD.by([((VERSION,), 1)])
        for metric in self._registry.collect():
            yield _converted(metric)


def _converted(metric: Metric) -> FamilySamples:
    kind: FamilyType = "counter" if metric.type == "counter" else "gauge"
    name = f"{metric.name}_total" if kind == "counter" else metric.name
    names = tuple(metric.samples[0].labels) if metric.samples else ()
    samples = [MetricSample(sample.value, tuple(sample.labels.values())) for sample in metric.samples]
    return FamilySamples(Family(name, kind, metric.documentation, names), samples)
