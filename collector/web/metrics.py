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


class AccessMetrics:
    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def metrics(self) -> Iterator[FamilySamples]:
        yield FAILED_LOGINS.of(self._guard.failed.total)
        yield SESSIONS.of(len(self._guard.sessions))
