"""Metrics of ingest: pushes, commits, the collector's trust in its clock."""

import time
from collections.abc import Iterator
from typing import Final

from collector.ingest.ingest import Ingest
from collector.ingest.quarantine import READ
from inventory.base.families import Family, FamilySamples, Histogram
from inventory.protocol.wire import Ack

PUSHES = Family("haidang_collector_pushes_total", "counter", "Pushes by verdict.", ("verdict",))
PUSH_DURATION = Family("haidang_collector_push_duration_seconds", "histogram", "Time from a push's body to its answer.")
RESULTS = Family("haidang_collector_results_total", "counter", "Results accounted for in the ledger.")
COMMITS = Family("haidang_collector_commit_groups_total", "counter", "Transactions, each of all pushes that waited.")
COMMITTED = Family("haidang_collector_commit_pushes_total", "counter", "Pushes committed.")
WAITING = Family("haidang_collector_commit_waiting", "gauge", "Pushes that wait for their commit.")
FAILURES = Family(
    "haidang_collector_commit_consecutive_failures",
    "gauge",
    "Commits failed in a row; 0 when the last one worked.",
)
DEAD_LETTERS = Family(
    "haidang_collector_dead_letters_total", "counter", "Records that could not be taken, since the start."
)
QUARANTINED = Family(
    "haidang_collector_agents_quarantined", "gauge", "Agents of which nothing is taken until a person releases them."
)
ROWS_FAILED = Family(
    "haidang_collector_rows_failed_total",
    "counter",
    "Rows of pages, answers, scrapes and evaluations that could not be made.",
    ("place",),
)
CLOCK_TRUSTED = Family("haidang_collector_clock_trusted", "gauge", "1 while the collector believes its own clock.")
DEFERRED = Family("haidang_collector_deferred_batches", "gauge", "Batches that wait for a clock that is believed.")

BOUNDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds


class IngestMetrics:
    """Takes pushes as :class:`Ingest` does, and measures how long each takes."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._push_seconds = Histogram(PUSH_DURATION, BOUNDS)

    async def push(self, agent: str, body: bytes, uploading: int) -> Ack:
        started = time.perf_counter()
        try:
            return await self._ingest.push(agent, body, uploading)
        finally:
            self._push_seconds.observe(time.perf_counter() - started)

    def metrics(self) -> Iterator[FamilySamples]:
        committer, states = self._ingest.committer, list(self._ingest.fleet.agents.values())
        yield PUSHES.by(((verdict,), count) for verdict, count in self._ingest.pushes.items())
        yield self._push_seconds.samples()
        yield RESULTS.of(sum(state.results for state in states))
        yield COMMITS.of(committer.groups)
        yield COMMITTED.of(committer.committed)
        yield WAITING.of(committer.waiting)
        yield FAILURES.of(committer.failures)
        yield DEAD_LETTERS.of(committer.dead_letters)
        quarantine = self._ingest.fleet.quarantine
        yield QUARANTINED.of(len(quarantine.agents))
        yield ROWS_FAILED.by(((place,), quarantine.rows_failed[place]) for place in sorted(READ))
        yield CLOCK_TRUSTED.of(int(self._ingest.trust.trusted))
        yield DEFERRED.of(sum(len(state.deferred) for state in states))
