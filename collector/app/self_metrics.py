"""The collector's metrics of itself, gathered from its parts, and the labels of the fleet's series."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from prometheus_client.metrics_core import Metric

from collector.metrics import alerting
from collector.metrics.exposition import labels
from collector.metrics.fleet import LabelledAgent
from collector.metrics.own import counter, gauge, info, labelled_counter
from collector.queries.reading import LedgerReader
from collector.store.interfaces.store import Store
from collector.store.records import PowerCounter
from inventory.model.entities import Inventory

if TYPE_CHECKING:
    from collector.app.run import CollectorService


def labelled_agents(reader: LedgerReader) -> list[LabelledAgent]:
    """Each agent of the inventory with its checks and their identity labels."""
    checks: dict[str, list[tuple[int, str]]] = {}
    for one in reader.current_checks():
        assert one.check is not None
        who = labels(agency=one.check.agency, site=one.check.site, agent=one.agent, check=one.name, kind=one.kind)
        if one.check.backup:
            who += "," + labels(backup=one.check.backup)
        checks.setdefault(one.agent, []).append((one.row, who))
    return [
        LabelledAgent(agent.id, labels(agency=agent.agency, site=agent.site, agent=agent.id), checks.get(agent.id, []))
        for agent in reader.inventory.agents.values()
    ]


def powered_sites(inventory: Inventory, counters: Mapping[str, PowerCounter]) -> list[tuple[str, Sequence[int]]]:
    """Each site of the inventory whose power is counted: its identity labels, ms by source."""
    return [
        (labels(agency=site.agency, site=site.id), counters[site.id].settled)
        for site in inventory.sites.values()
        if site.id in counters
    ]


async def store_sizes(store: Store) -> dict[str, int]:
    """Rows by table and the file's bytes."""
    return await store.read(lambda tx: tx.sizes())


def self_metrics(service: "CollectorService") -> Callable[[], Iterable[Metric]]:
    """The families, read from the running parts at each scrape."""

    def families() -> Iterator[Metric]:
        yield from _push_metrics(service)
        yield from _store_metrics(service)
        yield from _inventory_metrics(service)
        yield from alerting.families(service.alerting, service.reader.inventory)
        listener, scrape = service.listener, service.metrics_handler
        requests = [([name, str(status)], float(count)) for (name, status), count in listener.requests.items()]
        yield labelled_counter("requests", "Requests at the agents' listener.", ["path", "status"], requests)
        yield gauge("connections", "Connections open at the agents' listener.", listener.connections)
        yield counter("scrapes", "Scrapes answered.", scrape.count)
        yield gauge("scrape_seconds", "Seconds that the last scrape took.", scrape.seconds)

    return families


def _push_metrics(service: "CollectorService") -> Iterator[Metric]:
    ingest = service.ingest
    yield labelled_counter(
        "pushes", "Pushes by verdict.", ["verdict"], [([word], n) for word, n in ingest.pushes.items()]
    )
    yield service.push_seconds.family("haidang_collector_push_seconds", "Seconds from a push's body to its answer.")
    committer, agents = ingest.committer, list(ingest.fleet.agents.values())
    yield counter("results", "Results accounted for in the ledger.", sum(state.results for state in agents))
    yield counter("commit_groups", "Transactions, each of all pushes that waited.", committer.groups)
    yield counter("commit_pushes", "Pushes committed.", committer.committed)
    yield gauge("commit_waiting", "Pushes that wait for their commit.", committer.waiting)
    yield gauge("commit_seconds", "Seconds that the last commit took, with its sync.", service.store.commit_seconds)
    yield gauge("commit_failures", "Commits failed in a row; 0 when the last one worked.", committer.failures)
    yield counter("dead_letters", "Records that could not be taken, since the start.", committer.dead_letters)
    yield gauge("clock_trusted", "1 while the collector believes its own clock.", int(ingest.trust.trusted))
    yield gauge(
        "deferred_batches", "Batches that wait for a clock that is believed.", sum(len(s.deferred) for s in agents)
    )


def _store_metrics(service: "CollectorService") -> Iterator[Metric]:
    store = service.store
    yield info("incarnation", "The store's incarnation: another one means it was restored.", id=store.incarnation)
    yield gauge("incarnation_timestamp_seconds", "When counters began at 0.", store.count_from / 1000)
    yield gauge("wal_pages", "Pages in the store's write-ahead log.", store.wal_pages)
    table_sizes = service.sizes
    yield gauge("store_bytes", "Bytes of the store.", table_sizes.get("bytes"))
    for table in ("batches", "spans", "sums", "events"):
        yield gauge(f"store_{table}", f"Rows of {table} in the store, about.", table_sizes.get(table))


def _inventory_metrics(service: "CollectorService") -> Iterator[Metric]:
    inventories = service.inventories
    mistakes = sum(not problem.warning for problem in inventories.problems)
    loaded = inventories.loaded / 1000 if inventories.loaded else None
    yield gauge("inventory_loaded_timestamp_seconds", "When the inventory in force was loaded.", loaded)
    yield gauge("inventory_mistakes", "Mistakes in the inventory's files as they are now.", mistakes)
    yield gauge("inventory_warnings", "Warnings about the inventory's files.", len(inventories.problems) - mistakes)
    yield gauge("inventory_agents", "Agents in the inventory in force.", len(inventories.current.agents))
    yield gauge("inventory_checks", "Checks in the inventory in force.", len(inventories.current.checks))
