"""Metrics of the two listeners."""

from collections.abc import Iterator

from collector.web.access.guard import Guard
from collector.web.agents import AgentsListener
from inventory.base.families import Family, FamilySamples

REQUESTS = Family(
    "haidang_collector_requests_total", "counter", "Requests at the agents' listener.", ("path", "status")
)
FAILED_LOGINS = Family(
    "haidang_collector_failed_logins_total", "counter", "Wrong passwords and tokens of people and programs."
)
SESSIONS = Family("haidang_collector_sessions", "gauge", "People who are logged in, by their sessions.")
CONNECTIONS = Family("haidang_collector_connections", "gauge", "Connections open at the agents' listener.")


class ListenerMetrics:
    def __init__(self, listener: AgentsListener) -> None:
        self._listener = listener

    def metrics(self) -> Iterator[FamilySamples]:
        yield REQUESTS.by(((path, str(status)), n) for (path, status), n in self._listener.requests.items())
        yield CONNECTIONS.of(self._listener.connections)


class AccessMetrics:
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def metrics(self) -> Iterator[FamilySamples]:
        yield FAILED_LOGINS.of(self._guard.failed.total)
        yield SESSIONS.of(len(self._guard.sessions))
