"""Metrics of the agents' listener."""

from collections.abc import Iterator

from collector.web.agents import AgentsListener
from inventory.base.families import Family, FamilySamples

REQUESTS = Family(
    "haidang_collector_requests_total", "counter", "Requests at the agents' listener.", ("path", "status")
)
CONNECTIONS = Family("haidang_collector_connections", "gauge", "Connections open at the agents' listener.")

STRANGERS = Family(
    "haidang_collector_strangers", "gauge", "Connections at the agents' listener that have not said whose they are."
)
TURNED_AWAY = Family(
    "haidang_collector_connections_put_out_total",
    "counter",
    "Connections put out at the agents' listener to make room, by what there were too many of.",
    ("why",),
)


class ListenerMetrics:
    def __init__(self, listener: AgentsListener) -> None:
        self._listener = listener

    def metrics(self) -> Iterator[FamilySamples]:
        yield REQUESTS.by(((path, str(status)), n) for (path, status), n in self._listener.requests.items())
        yield CONNECTIONS.of(self._listener.connections)
        yield STRANGERS.of(self._listener.door.strangers)
        yield TURNED_AWAY.by(((why,), count) for why, count in self._listener.door.put_out.items())
