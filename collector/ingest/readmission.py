"""Readmission: keeps in the store who is in quarantine, and takes again whom a person has released there."""

import asyncio
import logging
from typing import Final

from collector.ingest.pipeline import Pipeline
from collector.ingest.quarantine import RECOVERY
from collector.ingest.recovery import recover_agent
from collector.store.errors import StoreError

log = logging.getLogger("collector.ingest")

EVERY: Final = 1.0  # seconds between two looks


class Readmission:
    """Over the pipeline whose agents are in quarantine."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._failing = False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.tick()
                self._failing = False
            except StoreError:  # said by others; the next second tries again
                continue
            except Exception:
                if not self._failing:  # the change, not the state
                    log.exception("agents in quarantine could not be looked at")
                self._failing = True

    async def tick(self) -> None:
        """One look. Raises StoreError."""
        pipeline = self._pipeline
        for agent in await pipeline.fleet.quarantine.released(pipeline.store):
            async with pipeline.limits.agent_lock(agent):
                self._readmit(agent)

    def _readmit(self, agent: str) -> None:
        """With its state made anew; where that fails it is in quarantine again."""
        pipeline = self._pipeline
        quarantine = pipeline.fleet.quarantine
        quarantine.lift(agent)
        state = recover_agent(pipeline.store, pipeline.plans, quarantine, agent)
        if state is None or agent in quarantine.agents:
            return
        try:
            pipeline.committer.publish(state)
        except (ValueError, TypeError) as error:
            quarantine.put(agent, RECOVERY, error)
        else:
            log.info("agent %s is out of quarantine", agent)
