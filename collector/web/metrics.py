"""Metrics of the agents' listener."""

from collections.abc import Iterator

from collector.web.agents import AgentsListener
from inventory.base.families import Family, FamilySamples

REQUESTS = Family(
    "haidang_collector_requests_total", "counter", "Requests at the agents' listener.", ("path", "status")
)
CONNECTIONS = Family("haidang_collector_connections", "gauge", "Connections open at the agents' listener.")


class ListenerMetrics:
    def __init__(self, listener: AgentsListener) -> None:
        self._listener = listener

    def metrics(self) -> Iterator[FamilySamples]:
        yield REQUESTS.by(((path, str(status)), n) for (path, status), n in self._listener.requests.items())
        yield CONNECTIONS.of(self._listener.connections)
