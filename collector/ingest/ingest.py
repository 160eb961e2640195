"""Ingest as a whole: its parts put together, started and stopped. The way of a push through it is in ``pipeline``."""

import asyncio
import logging
from collections.abc import Mapping

from collector.budgets import BudgetsConfig
from collector.ingest import garbage, recovery
from collector.ingest.budgets import AgentBudgets
from collector.ingest.clock import ClockTrust
from collector.ingest.committer import Committer
from collector.ingest.fleet import Fleet
from collector.ingest.limits import PushError, PushLimits
from collector.ingest.maintenance import Maintenance
from collector.ingest.pipeline import Pipeline
from collector.ingest.plans import Plans
from collector.ingest.quarantine import AgentQuarantine
from collector.ingest.readmission import Readmission
from collector.ingest.steps.dead_letters import DeadLetterReports
from collector.ingest.steps.decode import PushDecoder
from collector.ingest.steps.sequence import Sequencer
from collector.keys.plan_signatures import PlanVerifier
from collector.store.errors import StoreError
from collector.store.interfaces.store import Store
from collector.store.records import Lifespan
from inventory.base.clock import Clock, SystemClock
from inventory.protocol.wire import Ack

log = logging.getLogger("collector.ingest")


class Ingest:
    """Made over an opened store; :meth:`start` loads and replays, :meth:`stop` ends cleanly.

    ``verifier``: whose signature under a plan counts; without it only plans that are served here do.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock | None = None,
        budgets: BudgetsConfig | None = None,
        *,
        verifier: PlanVerifier | None = None,
    ) -> None:
        config = budgets or BudgetsConfig()
        self.clock: Clock = clock or SystemClock()
        self.store = store
        self.trust = ClockTrust(self.clock)
        self.plans = Plans(store, verifier)
        self.fleet = Fleet(self.plans, AgentQuarantine(self.clock.wall_ms))
        self.limits = PushLimits(config.decoding_memory)
        self.committer = Committer(store, self.plans, self.fleet, lambda: self.limits.bulk_in_work)
        self.budgets = AgentBudgets(config, self.plans.most_checks)
        self.pipeline = Pipeline(
            store=store,
            clock=self.clock,
            trust=self.trust,
            plans=self.plans,
            fleet=self.fleet,
            committer=self.committer,
            limits=self.limits,
            budgets=self.budgets,
            decoder=PushDecoder(self.limits, self.budgets),
            sequencer=Sequencer(store),
            reports=DeadLetterReports(),
        )
        self.maintenance = Maintenance(store, self.clock, self.trust, self.committer, self.pipeline.place_deferred)
        self.readmission = Readmission(self.pipeline)
        self.pushes: dict[str, int] = {}  # by verdict, for the metrics
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Load checkpoints, replay what is newer, and begin. Changes how often the process collects garbage."""
        self.plans.load()
        recovery.restore_trust(self.store, self.trust, self.clock)
        self.trust.recheck()
        recovery.load(self.store, self.plans, self.fleet, self.committer)
        garbage.spare_what_is_loaded()
        committing = asyncio.create_task(self.committer.run(), name="ingest-committer")
        committing.add_done_callback(self._committer_ended)
        self._tasks.append(committing)  # the first: it is not cancelled
        await self.maintenance.begin()
        self._tasks.append(asyncio.create_task(self.maintenance.run(), name="ingest-maintenance"))
        self._tasks.append(asyncio.create_task(self.readmission.run(), name="ingest-readmission"))

    def _committer_ended(self, committing: asyncio.Task[None]) -> None:
        """Without its committer no push is ever answered: the process has to end and start afresh."""
        if not committing.cancelled() and (error := committing.exception()) is not None:
            log.critical("commits have ended: %r", error)
            self.store.broken.set()

    async def stop(self) -> None:
        """After the listeners have stopped: everything into checkpoints, the clean end into the collector's life."""
        for task in self._tasks[1:]:
            task.cancel()
        self.committer.end()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self.committer.save_all()
        await self.fleet.quarantine.save(self.store)
        await self.maintenance.end()

    async def serve_plan(self, agent: str, encoded: bytes, lifespans: Mapping[str, Lifespan] | None = None) -> bytes:
        """This is the agent's plan from now on: keep it, register its checks. Gives its digest; raises PlanError."""
        plan = await self.plans.serve(agent, encoded, self.clock.wall_ms(), lifespans)
        return plan.digest

    async def push(self, agent: str, body: bytes, uploading: int = 0) -> Ack:
        """Take a push of an authenticated agent. Raises PushError; whatever returns is durable.

        ``uploading``: ms since the request's first line came. A slow line must not widen what the push says of clocks.
        """
        self.limits.begin()
        try:
            ack = await self.pipeline.push(agent, body, self.clock.wall_ms() - uploading)
        except PushError as refused:
            self._count(refused.verdict)
            raise
        except StoreError as error:
            self._count("failed")
            raise PushError(503, str(error)) from None
        finally:
            self.limits.end()
        self._count(ack.verdict)
        return ack

    def _count(self, verdict: str) -> None:
        self.pushes[verdict] = self.pushes.get(verdict, 0) + 1
