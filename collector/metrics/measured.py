"""Metrics of what the kinds of probe measure: ``haidang_<series>_<measure>``, from each check's newest result.

The series is the kind, or what several kinds bring evidence of: one family then has samples of them all, and the label
``kind`` says whose each is.

Absent while the check is unknown, and where a device did not say a value: missing is never 0. What is exported each
kind declares: of those that a province has by the ten thousand only what people alert on; the rest is in the API.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from collector.metrics.exposition import Family
from collector.metrics.fleet import ScrapedAgent
from inventory.protocol.kinds import Kind, MeasureInfo, about
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

# the states of a check about power, as what the load runs on
SOURCES: Mapping[int, str] = {UP: "mains", DEGRADED: "battery", DOWN: "none", UNKNOWN: "unknown"}
POWER = Family(
    "haidang_power_seconds_total", "counter", "Settled time on each source of power since this incarnation began."
)

SITE_POWER = Family(
    "haidang_site_power_seconds_total",
    "counter",
    "Settled time on each source of power of a site as a whole, by what feeds it, since this incarnation began.",
)

Measured = tuple[str, Mapping[str, float]]  # identity labels, values by name


def text(agents: Sequence[ScrapedAgent], now: int, kinds: Mapping[str, Kind], openmetrics: bool) -> Iterator[str]:
    """Family by family, a string for each."""
    newest = _newest(agents, now, kinds)
    for name, (measure, of) in _families(kinds, newest).items():
        samples = [one for kind in of for one in newest[kind]]
        lines = [f"{name}{{{who}}} {values[measure.name]!r}\n" for who, values in samples if measure.name in values]
        if lines:
            yield Family(name, "gauge", measure.help).head(openmetrics) + "".join(lines)


def _families(
    kinds: Mapping[str, Kind], newest: Mapping[str, Sequence[Measured]]
) -> dict[str, tuple[MeasureInfo, list[str]]]:
    """By name of the family, its measure and the kinds that have it: a family is to be whole in one place."""
    families: dict[str, tuple[MeasureInfo, list[str]]] = {}
    for kind, described in kinds.items():
        for measure in described.exported if kind in newest else ():
            _, of = families.setdefault(family_of(described, measure).name, (measure, []))
            of.append(kind)
    return families


def family_of(kind: Kind, measure: MeasureInfo) -> Family:
    """The family of one measure."""
    return Family(f"haidang_{kind.series}_{measure.name}", "gauge", measure.help)


def power(agents: Sequence[ScrapedAgent], openmetrics: bool) -> Iterator[str]:
    """Seconds by source of every check that tells what a load runs on, from its ledger."""
    lines = []
    about_power = about("power")
    for one in agents:
        registered, tails = one.fleet.checks, one.state.tails
        for row, who in one.labelled.checks:
            if registered[row].kind not in about_power or (tail := tails.get(row)) is None:
                continue
            lines += [f'{POWER.name}{{{who},source="{SOURCES[i]}"}} {ms / 1000}\n' for i, ms in enumerate(tail.settled)]
    if lines:
        yield POWER.head(openmetrics) + "".join(lines)


def sites(counted: Iterable[tuple[str, Sequence[int]]], openmetrics: bool) -> Iterator[str]:
    """Seconds by source of sites as a whole: (identity labels, ms on mains, on battery, without power, unknown)."""
    lines = [
        f'{SITE_POWER.name}{{{who},source="{SOURCES[i]}"}} {ms / 1000}\n'
        for who, settled in counted
        for i, ms in enumerate(settled)
    ]
    if lines:
        yield SITE_POWER.head(openmetrics) + "".join(lines)


def _newest(agents: Sequence[ScrapedAgent], now: int, kinds: Mapping[str, Kind]) -> dict[str, list[Measured]]:
    """By kind that exports any, of every check whose state is known."""
    newest: dict[str, list[Measured]] = {}
    exporting = {name for name, kind in kinds.items() if kind.exported}
    for one in agents:
        registered = one.fleet.checks
        for row, who in one.labelled.checks:
            check = registered[row]
            if check.kind in exporting and one.up(row, now) is not None:
                newest.setdefault(check.kind, []).append((who, one.fleet.measures(check)))
    return newest
