"""``python -m deploy.reference.metrics [--check]``: write docs/metrics.md from the declared families, or say that it is
stale.

Every module that declares families has a section; what the kinds of probe measure comes from kinds.json.
"""

import importlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from collector.metrics import measured
from collector.metrics.fleet import CHECK_LABELS
from collector.metrics.process import ProcessMetrics
from inventory.base.families import Family
from inventory.base.generated import write_or_check
from inventory.protocol import kinds
from inventory.protocol.health import LABELS

ROOT: Final = Path(__file__).parents[2]
FILE: Final = ROOT / "docs" / "metrics.md"
SECTIONS: Final[Mapping[str, str]] = {
    "collector/metrics/fleet.py": "Checks",
    "collector/metrics/agencies.py": "Agencies",
    "collector/services/agency_availability.py": "Availability of agencies",
    "collector/services/state_metrics.py": "Backups, leased circuits, exclusions",
    "collector/services/name_metrics.py": "Names for people",
    "collector/metrics/agents.py": "Agents, as the collector knows them",
    "inventory/protocol/health.py": "Agents, as they report about themselves",
    "collector/services/enrolment_metrics.py": "Identities of agents",
    "collector/services/metrics.py": "Inventory, goals, power, circuits",
    "collector/evaluator/metrics.py": "Incidents",
    "alerts/channels/metrics.py": "Notifications",
    "collector/ingest/metrics.py": "Ingest",
    "collector/store/metrics.py": "The store",
    "collector/web/metrics.py": "The two listeners",
    "collector/metrics/handler.py": "Scrapes",
    "collector/metrics/process.py": "Build and process",
    "collector/metrics/measured.py": "What the kinds of probe measure",
}  # titles by the module that declares the families, in the order of the page
PACKAGES: Final = ("inventory", "alerts", "collector")
DECLARATION: Final = "Family("
HEAD: Final = """\
# Metrics

Made from the code by `python -m deploy.reference.metrics`; a test keeps it current.

`/metrics` of the collector's operators' listener gives these, in Prometheus's text format or in OpenMetrics, as the
`Accept` header asks. A series that has nothing to say is absent: a check that is unknown has no `haidang_check_up`, a
result that is past its hold has no latency and no measures, an agent that is silent has nothing that it said of itself.
Counters count from the store's incarnation (`haidang_collector_incarnation_info`) or from the process's start, as their
text says, and ignore exclusions.

Labels of a check: `agency`, `site`, `agent`, `check`, `kind`, and `backup` where it is evidence of one. Labels of an
agent: `agency`, `site`, `agent`.

States are numbered alike everywhere: 0 up, 1 degraded, 2 down, 3 unknown, 4 excluded. What the inventory has is there
from the first scrape on, and counters are 0 where nothing happened yet. Names for people are in series of their own,
to be joined: `haidang_check_state * on(agency) group_left(name) haidang_agency_info`.

How many series there are: {check} a check and one more for each of its measures that is exported, {agency} an agency,
{agent} an agent and those that it reports of itself, 9 a leased circuit, 4 a backup, 9 a goal and window; of open
incidents at most a thousand are described one by one. 10,000 agencies with an agent and ten checks each are {province}
series without measures. Where that is too many, drop `haidang_check_.*` when scraping (`metric_relabel_configs`) and
draw agencies: {by_agency} series.
"""
# Series that grow with a province, each thing seen at least once; what the kinds measure comes on top, one series a
# measure. A check: up, four of settled time, latency, last result, settled, state, info.
SERIES_OF_CHECK: Final = 10
# An agency: state, counts of five states, share, name, three bounds over three windows.
SERIES_OF_AGENCY: Final = 17
# An agent: up, last seen, results, unplaceable, dead letters, backlog, enrolled.
SERIES_OF_AGENT: Final = 7


def series_of_province(agencies: int, agents: int, checks: int) -> int:
    """How many series the collector exposes of so many."""
    return SERIES_OF_AGENCY * agencies + SERIES_OF_AGENT * agents + SERIES_OF_CHECK * checks


UNITS: Final[Mapping[str, str]] = {
    "timestamp_seconds": "s since 1970",
    "bytes_per_second": "bytes/s",
    "per_second": "1/s",
    "seconds": "s",
    "bytes": "bytes",
    "ratio": "1",
    "celsius": "°C",
    "volts": "V",
    "hertz": "Hz",
}  # by the end of a name, the longest first


class ReferenceSection(NamedTuple):
    """Families that belong together."""

    title: str
    source: str  # the file that declares them
    families: list[Family]


def sections() -> list[ReferenceSection]:
    """All families that a collector may expose, each once."""
    seen: set[str] = set()
    by_source = {}
    for source in declaring_modules():
        module = importlib.import_module(source.removesuffix(".py").replace("/", "."))
        families = {family.name: family for family in _families(vars(module)) if family.name not in seen}
        seen.update(families)
        by_source[source] = [*families.values(), *_computed(source)]
    return [ReferenceSection(title, source, by_source[source]) for source, title in SECTIONS.items()]


def declaring_modules() -> list[str]:
    """The files that declare families; from below upwards, for those above know the families of those below."""
    files = (file for package in PACKAGES for file in sorted((ROOT / package).rglob("*.py")))
    return [file.relative_to(ROOT).as_posix() for file in files if DECLARATION in file.read_text("utf-8")]


def _computed(source: str) -> Iterable[Family]:
    """Families that are no constants."""
    if source == "collector/metrics/measured.py":
        return measured.families(kinds.load())
    if source == "collector/metrics/process.py":
        return [
            collected.family
            for collected in ProcessMetrics().metrics()
            if not collected.family.name.startswith("haidang")
        ]
    return ()


def render() -> str:
    """The whole page; the same code gives the same text."""
    numbers = {
        "check": SERIES_OF_CHECK,
        "agency": SERIES_OF_AGENCY,
        "agent": SERIES_OF_AGENT,
        "province": f"{series_of_province(10_000, 10_000, 100_000):,}",
        "by_agency": f"{series_of_province(10_000, 10_000, 0):,}",
    }
    parts = [HEAD.format(**numbers)]
    for section in sections():
        rows = [
            f"| `{family.name}` | {family.type} | {unit(family.name)} | {_labels(family)} | {family.help} |"
            for family in section.families
        ]
        table = "\n".join(("| name | type | unit | labels | meaning |", "|---|---|---|---|---|", *rows))
        parts.append(f"## {section.title}\n\nIn `{section.source}`.\n\n{table}\n")
    return "\n".join(parts)


def _labels(family: Family) -> str:
    for general, words in ((CHECK_LABELS, "of a check"), (LABELS, "of an agent")):
        if family.labels[: len(general)] == general:
            return ", ".join((words, *(f"`{label}`" for label in family.labels[len(general) :])))
    return ", ".join(f"`{label}`" for label in family.labels)


def unit(name: str) -> str:
    """By the name, as Prometheus has it."""
    bare = name.removesuffix("_total")
    return next((unit for suffix, unit in UNITS.items() if bare.endswith(f"_{suffix}")), "")


def _families(value: Any) -> Iterator[Family]:
    """The families in a module's constants and in their tables."""
    if isinstance(value, Family):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            if not str(name).startswith("_"):
                yield from _families(one)
    elif isinstance(value, tuple):
        for one in value:
            yield from _families(one)


def main(argv: list[str] | None = None) -> int:
    return write_or_check("deploy.reference.metrics", FILE, render, argv)


if __name__ == "__main__":
    sys.exit(main())
