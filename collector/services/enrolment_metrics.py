"""Metrics of the agents' identities: who was never enrolled, and whose certificate ends when."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import Final

from collector.queries.reader import LedgerReader
from collector.store.records import RegisteredCertificate
from collector.store.registry import Registry
from inventory.base.families import Family, FamilySamples
from inventory.protocol.health import LABELS

log = logging.getLogger("collector.enrolment")

EVERY: Final = 15.0  # seconds between two looks at the register

ENROLLED = Family("haidang_agent_enrolled", "gauge", "1 once the agent was enrolled, 0 while it never was.", LABELS)
EXPIRY = Family(
    "haidang_agent_issued_certificate_expiry_timestamp_seconds",
    "gauge",
    "When the newest certificate that was issued to the agent expires, whatever the agent says.",
    LABELS,
)


class EnrolmentMetrics:
    """Of every agent of the inventory, from the register as it was read last."""

    def __init__(self, registry: Registry, reader: LedgerReader) -> None:
        self._registry = registry
        self._reader = reader
        self._certificates: Mapping[str, RegisteredCertificate] = {}

    async def run(self) -> None:
        while True:
            try:
                await self.refresh()
            except Exception:
                log.exception("the register of agents could not be read")
            await asyncio.sleep(EVERY)

    async def refresh(self) -> None:
        self._certificates = await self._registry.certificates()

    def metrics(self) -> Iterator[FamilySamples]:
        known = self._certificates
        agents = [((one.agency, one.site, one.id), one.id) for one in self._reader.inventory.agents.values()]
        yield ENROLLED.by((who, int(agent in known)) for who, agent in agents)
        yield EXPIRY.by((who, known[agent].not_after / 1000) for who, agent in agents if agent in known)
