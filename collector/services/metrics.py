"""Metrics of what the services work out in the background: inventory, goals, power, circuits."""

from collections.abc import Iterable, Iterator

from collector.goals.bounds import MET, MISSED, NO_EVIDENCE, NOT_PROVEN
from collector.goals.evaluate import Evaluation
from collector.queries.reader import LedgerReader
from collector.services.circuits import Circuits
from collector.services.goal_cache import GoalCache
from collector.services.inventories import LiveInventory
from collector.services.site_power import SitePower
from collector.store.records import LinkKey
from inventory.base.families import Family, FamilySamples, label_word
from inventory.protocol.causes import CAUSES

INVENTORY_LOADED = Family(
    "haidang_collector_inventory_loaded_timestamp_seconds", "gauge", "When the inventory in force was loaded."
)
INVENTORY_MISTAKES = Family(
    "haidang_collector_inventory_mistakes", "gauge", "Mistakes in the inventory's files as they are now."
)
INVENTORY_WARNINGS = Family("haidang_collector_inventory_warnings", "gauge", "Warnings about the inventory's files.")
INVENTORY_AGENTS = Family("haidang_collector_inventory_agents", "gauge", "Agents in the inventory in force.")
INVENTORY_CHECKS = Family("haidang_collector_inventory_checks", "gauge", "Checks in the inventory in force.")


class InventoryMetrics:
    def __init__(self, inventories: LiveInventory) -> None:
        self._inventories = inventories

    def metrics(self) -> Iterator[FamilySamples]:
        inventories = self._inventories
        mistakes = sum(not problem.warning for problem in inventories.problems)
        yield INVENTORY_LOADED.of(inventories.loaded / 1000 if inventories.loaded else None)
        yield INVENTORY_MISTAKES.of(mistakes)
        yield INVENTORY_WARNINGS.of(len(inventories.problems) - mistakes)
        yield INVENTORY_AGENTS.of(len(inventories.current.agents))
        yield INVENTORY_CHECKS.of(len(inventories.current.checks))


GOAL_RATIO = Family(
    "haidang_goal_availability_ratio",
    "gauge",
    "A goal over its window so far: the best figure, what is proven (lower), what is not disproven (upper).",
    ("goal", "window", "bound"),
)
GOAL_OBJECTIVE = Family(
    "haidang_goal_objective_ratio", "gauge", "What the goal's ratio is to reach.", ("goal", "window")
)
GOAL_COVERAGE = Family(
    "haidang_goal_coverage_ratio", "gauge", "Share of the goal's time with evidence.", ("goal", "window")
)
GOAL_VERDICT = Family(
    "haidang_goal_verdict", "gauge", "1 for the goal's verdict, 0 for the others.", ("goal", "window", "verdict")
)
VERDICTS = (MET, MISSED, NOT_PROVEN, NO_EVIDENCE)


class GoalMetrics:
    """From the goals' last evaluation."""

    def __init__(self, goal_cache: GoalCache) -> None:
        self._goal_cache = goal_cache

    def metrics(self) -> Iterator[FamilySamples]:
        every = [((one.goal, one.window.name), one) for one in self._goal_cache.evaluations]
        yield GOAL_RATIO.by(((*who, bound), value) for who, one in every for bound, value in _bounds(one))
        yield GOAL_OBJECTIVE.by((who, one.objective) for who, one in every)
        yield GOAL_COVERAGE.by((who, one.coverage) for who, one in every)
        yield GOAL_VERDICT.by(
            ((*who, label_word(verdict)), int(one.verdict == verdict)) for who, one in every for verdict in VERDICTS
        )


def _bounds(evaluation: Evaluation) -> Iterable[tuple[str, float | None]]:
    return (("best", evaluation.best), ("lower", evaluation.lower), ("upper", evaluation.upper))


SITE_POWER = Family(
    "haidang_site_power_seconds_total",
    "counter",
    "Settled time on each source of power of a site as a whole, by what feeds it, since this incarnation began.",
    ("agency", "site", "source"),
)
SOURCES = ("mains", "battery", "none", "unknown")  # in the order in which they are counted


class SitePowerMetrics:
    """Of the inventory's sites whose power is counted."""

    def __init__(self, site_power: SitePower, reader: LedgerReader) -> None:
        self._site_power = site_power
        self._reader = reader

    def metrics(self) -> Iterator[FamilySamples]:
        counters = self._site_power.counters
        yield SITE_POWER.by(
            ((site.agency, site.id, source), ms / 1000)
            for site in self._reader.inventory.sites.values()
            if site.id in counters
            for source, ms in zip(SOURCES, counters[site.id].settled, strict=True)
        )


LINK_DOWN = Family(
    "haidang_link_down_seconds_total",
    "counter",
    "Settled time that a leased circuit was down, by whose it was and why, since this incarnation began.",
    ("agency", "site", "link", "provider", "cause"),
)


class CircuitMetrics:
    def __init__(self, circuits: Circuits, reader: LedgerReader) -> None:
        self._circuits = circuits
        self._reader = reader

    def metrics(self) -> Iterator[FamilySamples]:
        inventory = self._reader.inventory

        def place(link: str) -> tuple[str, str]:
            definition = inventory.links.get(link)
            site = inventory.sites.get(definition.site) if definition is not None else None
            return (site.agency if site is not None else "", definition.site if definition is not None else "")

        today = self._reader.today(self._reader.wall())
        nothing_yet: dict[LinkKey, int] = {
            (link.id, link.provider_on(today), cause): 0
            for link in inventory.links.values()
            if link.on(today)
            for cause in CAUSES
        }
        yield LINK_DOWN.by(
            ((*place(link), link, provider, label_word(cause)), ms / 1000)
            for (link, provider, cause), ms in sorted((nothing_yet | dict(self._circuits.down)).items())
        )
