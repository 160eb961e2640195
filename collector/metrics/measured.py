"""Metrics of what the kinds of probe measure: ``haidang_<series>_<measure>``, from each check's newest result.

The series is the kind, or what several kinds bring evidence of: one family then has samples of them all, and the label
``kind`` says whose each is.

Absent once the result speaks no more, and where a device did not say a value: missing is never 0. What is exported each
kind declares: of those that a province has by the ten thousand only what people alert on; the rest is in the API.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from collector.metrics.exposition import head
from collector.metrics.fleet import CHECK_LABELS, ScrapedAgent
from inventory.base.families import Family
from inventory.protocol.kinds import Kind, MeasureInfo, about
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

# the states of a check about power, as what the load runs on
SOURCES: Mapping[int, str] = {UP: "mains", DEGRADED: "battery", DOWN: "none", UNKNOWN: "unknown"}
POWER = Family(
    "haidang_power_seconds_total",
    "counter",
    "Settled time on each source of power since this incarnation began.",
    (*CHECK_LABELS, "source"),
)

Measured = tuple[str, Mapping[str, float]]  # identity labels, values by name


def text(agents: Sequence[ScrapedAgent], now: int, kinds: Mapping[str, Kind], openmetrics: bool) -> Iterator[str]:
    """Family by family, a string for each."""
    newest = _newest(agents, now, kinds)
    for family, of in families(kinds).items():
        lines = [
            f"{family.name}{{{who}}} {values[measure]!r}\n"
            for kind, measure in of
            for who, values in newest.get(kind, ())
            if measure in values
        ]
        if lines:
            yield head(family, openmetrics) + "".join(lines)


def families(kinds: Mapping[str, Kind]) -> dict[Family, list[tuple[str, str]]]:
    """Each family with the kinds and measures that are exposed in it: a family is to be whole in one place."""
    by_name: dict[str, tuple[Family, list[tuple[str, str]]]] = {}
    for kind, described in kinds.items():
        for measure in described.exported:
            family = family_of(described, measure)
            by_name.setdefault(family.name, (family, []))[1].append((kind, measure.name))
    return dict(by_name.values())


def family_of(kind: Kind, measure: MeasureInfo) -> Family:
    """Named as Prometheus names things: no word twice, moments and totals by their suffix."""
    name = f"haidang_{kind.series}_{measure.name.removeprefix(f'{kind.series}_')}"
    if measure.unit == "timestamp":
        name = f"{name.removesuffix('_seconds').removesuffix('_timestamp')}_timestamp_seconds"
    help_text = f"{kind.series}: {measure.help}"  # several kinds connect, and each family has a help of its own
    if measure.cumulative:
        return Family(f"{name}_total", "counter", help_text, CHECK_LABELS)
    return Family(name, "gauge", help_text, CHECK_LABELS)


def power(agents: Sequence[ScrapedAgent], openmetrics: bool) -> Iterator[str]:
    """Seconds by source of every check that tells what a load runs on, from its ledger."""
    lines = []
    about_power = about("power")
    for one in agents:
        registered = one.fleet.checks
        for row, who in one.labelled.checks:
            if registered[row].kind in about_power:
                lines.append(one.alone([(row, who)], partial(_power_lines, one)))
    if lines:
        yield head(POWER, openmetrics) + "".join(lines)


def _power_lines(one: ScrapedAgent, check: tuple[int, str]) -> str:
    row, who = check
    tail = one.state.tails.get(row)
    settled = tail.settled if tail is not None else ()
    return "".join(f'{POWER.name}{{{who},source="{SOURCES[i]}"}} {ms / 1000}\n' for i, ms in enumerate(settled))


def _newest(agents: Sequence[ScrapedAgent], now: int, kinds: Mapping[str, Kind]) -> dict[str, list[Measured]]:
    """By kind that exports any, of every check whose newest result speaks."""
    newest: dict[str, list[Measured]] = {}
    exporting = {name for name, kind in kinds.items() if kind.exported}
    for one in agents:
        registered = one.fleet.checks
        for row, who in one.labelled.checks:
            check = registered[row]
            if check.kind in exporting and (tail := one.fleet.tail(check)) and tail.speaks(now):
                newest.setdefault(check.kind, []).append((who, one.fleet.measures(check)))
    return newest
