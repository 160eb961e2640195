"""The collector's process: everything built, in order; everything stopped, in the other order."""

import asyncio
import errno
import fcntl
import gc
import logging
import os
import signal
import ssl
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, TextIO

from alerts.channels.metrics import DeliveryMetrics
from collector.config import CollectorConfig, ListenAddress, parse_address
from collector.evaluator.alerting import AlertingService
from collector.evaluator.metrics import EvaluatorMetrics
from collector.ingest.ingest import Ingest
from collector.ingest.metrics import IngestMetrics
from collector.keys import files as keys_files
from collector.keys.plan_signatures import PlanVerifier
from collector.metrics.handler import MetricsHandler
from collector.metrics.labels import ExposedFleet
from collector.metrics.process import ProcessMetrics
from collector.queries.reader import LedgerReader
from collector.services.agency_availability import AgencyAvailability
from collector.services.enrolment_metrics import EnrolmentMetrics
from collector.services.goal_cache import GoalCache
from collector.services.inventories import LiveInventory
from collector.services.metrics import CircuitMetrics, GoalMetrics, InventoryMetrics, SitePowerMetrics
from collector.services.name_metrics import NameMetrics
from collector.services.present_exclusions import PresentExclusions
from collector.services.site_power import SitePower
from collector.services.state_metrics import BackupMetrics, ExclusionMetrics, LinkMetrics
from collector.store.errors import StoreError
from collector.store.metrics import StoreMetrics
from collector.store.opening import open_store
from collector.store.registry import Registry
from collector.store.revocations import Revocations
from collector.web import client_certificates, operators
from collector.web.access.guard import Guard
from collector.web.admission import agents_limits, operators_limits, raise_descriptors
from collector.web.agents import AgentsListener
from collector.web.api.audit import AuditApi
from collector.web.api.incidents import IncidentApi
from collector.web.api.status import StatusApi
from collector.web.layout import Layout
from collector.web.metrics import AccessMetrics, ListenerMetrics
from collector.web.pages import PageContext, page_groups
from inventory.base import files
from inventory.base.clock import Clock, SystemClock
from inventory.base.systemd import Notifier

log = logging.getLogger("collector")

INVENTORY_EVERY = 5.0  # seconds between two looks at the inventory's files
GOALS_EVERY = (5.0, 60.0)  # seconds, by how long an evaluation takes
KEYS_EVERY = 86_400.0


class CannotStart(Exception):
    """Why the collector cannot run, and what to do about it."""


class CollectorService:
    """One collector, from its configuration and a clock. Use :func:`serve`; tests use it piece by piece."""

    def __init__(self, config: CollectorConfig, clock: Clock | None = None) -> None:
        self.config = config
        self.clock: Clock = clock or SystemClock()
        self.stopping = asyncio.Event()
        self.reload = asyncio.Event()
        self.notifier = Notifier()
        self.ready = "starting"
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Raises CannotStart; what was begun is undone."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        config, stack = self.config, self._stack
        try:
            files.make_directory(config.state_dir)
            files.remove_left_over(config.state_dir)
            stack.callback(_lock(config).close)
        except OSError as error:
            raise CannotStart(f"{config.state_dir} cannot be used for the state: {error.strerror}") from None
        try:
            self.authority = keys_files.authority(config.keys, self.clock.wall_ms())
            # whose certificates make an agent, and whose signature makes a plan one that was served
            self.trusted_authorities = [self.authority.pem, *keys_files.trusted(config.agents.trusted_authorities)]
            self.store = open_store(config.database)
        except (keys_files.KeysBroken, StoreError) as error:
            raise CannotStart(str(error)) from None
        stack.push_async_callback(self.store.close)
        self.ingest = Ingest(
            self.store, self.clock, budgets=config.budgets, verifier=PlanVerifier(self.trusted_authorities)
        )
        await self.ingest.start()
        stack.push_async_callback(self.ingest.stop)
        self.ingest_metrics = IngestMetrics(self.ingest)
        self.store_metrics = StoreMetrics(self.store)
        revocations = Revocations(config.revocations_file)
        days = config.agents.certificate_life / 86_400_000
        renewals = config.agents.renewals_per_day
        self.registry = Registry(
            self.store, self.authority, revocations, wall=self.clock.wall_ms, days=days, renewals=renewals
        )
        await self.registry.load()
        copy = config.state_dir / "inventory.good"
        self.inventories = LiveInventory(config.inventory, copy, self.ingest, revocations, self.clock.wall_ms)
        self.reader = LedgerReader(self.store, self.ingest.fleet, self.inventories, self.clock.wall_ms)
        self.goal_cache = GoalCache(self.reader)
        self.site_power = SitePower(self.store, self.reader)
        await self.site_power.load()
        self.exclusions = PresentExclusions(self.reader)
        self.availability = AgencyAvailability(self.reader)
        self.enrolment_metrics = EnrolmentMetrics(self.registry, self.reader)
        await self.inventories.refresh()
        await self.exclusions.refresh()
        await self.enrolment_metrics.refresh()
        if not self.inventories.loaded:
            log.error("there is no inventory to go by yet; see the page, or haidang-inventory check")
        await self._start_alerting()
        self.guard = Guard(config, self.store, self.clock.wall_ms)
        await self.guard.sessions.load()
        stack.push_async_callback(self.guard.failed.flush)
        # in the journal, which is another place than the store: what was there before can be proven against it
        log.info("the audit ends at %s", self.store.read_now(lambda tx: tx.audit.head()))
        await self._listen_for_agents()
        await self._listen_for_operators()
        for job in (
            *self.alerting.jobs(),
            self.inventories.watch(INVENTORY_EVERY, self.reload, self.goal_cache.wake.set),
            self.goal_cache.run(*GOALS_EVERY),
            self.site_power.run(),
            self.exclusions.run(),
            self.availability.run(),
            self.enrolment_metrics.run(),
            self.store_metrics.run(),
            self._renew_keys(),
            self.guard.run(),
            self.notifier.keep_alive(),
        ):
            self._start_task(job)
        self.ready = ""

    async def stop(self) -> None:
        """Listeners first, so that what was acknowledged is all there is."""
        self.ready = "stopping"
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._stack.aclose()

    async def _start_alerting(self) -> None:
        """What tells people: before the listeners, so that what an earlier life of the store told is known."""
        try:
            self.alerting = AlertingService(
                self.config,
                self.store,
                self.ingest,
                self.inventories,
                self.reader,
                lambda: self.goal_cache.evaluations,
            )
            await self.alerting.start()
        except OSError as error:
            raise CannotStart(f"the journal of sent mails cannot be used: {error.strerror or error}") from None

    async def _listen_for_agents(self) -> None:
        address = parse_address(self.config.agents.listen)
        budgets = self.config.budgets
        self.listener = AgentsListener(
            self.registry,
            self.inventories,
            self.ingest_metrics.push,
            wall=self.clock.wall_ms,
            may_push=self._may_push,
            limits=agents_limits(
                budgets.strangers,
                budgets.strangers_per_address,
                budgets.connections_per_agent,
                budgets.operator_connections,
            ),
            uploading=budgets.uploading,
        )
        names = self.config.agents.names
        try:
            pair = keys_files.server(self.config.keys, self.authority, names, self.clock.wall_ms())
            self._tls = client_certificates.tls_context("\n".join(self.trusted_authorities), *pair)
            await self.listener.start(address.host, address.port, self._tls)
        except OSError as error:
            raise CannotStart(_port_words(address, "agents", error)) from None
        self._stack.push_async_callback(self.listener.stop)

    async def _listen_for_operators(self) -> None:
        settings = self.config.operators
        api = StatusApi(self.reader, self.registry)
        incidents = IncidentApi(self.reader, self.alerting)
        audit = AuditApi(self.store)
        layout = Layout(
            self.reader, self.goal_cache, self.inventories, lambda: self.ingest.trust.trusted, self.alerting
        )
        pages = page_groups(PageContext(self.reader, self.registry, self.alerting, layout, self.guard))
        self._gather_metrics()
        app = operators.application(
            self.guard, self.reader, (api, incidents, audit), pages, self.metrics_handler.handle, lambda: self.ready
        )
        try:
            limits = operators_limits(self.config.budgets.operator_connections)
            self.operators_runner = await operators.start(app, settings, limits)
        except ssl.SSLError as error:
            raise CannotStart(f"operators: the certificate and key cannot be used: {error.reason}") from None
        except OSError as error:
            raise CannotStart(_port_words(parse_address(settings.listen), "operators", error)) from None
        self._stack.push_async_callback(self.operators_runner.cleanup)
        self.operators_port = int(self.operators_runner.addresses[0][1])

    def _may_push(self, agent: str) -> bool:
        """Whether an agent may push: in the inventory, or gone from it with results still to come."""
        return self.inventories.plan(agent) is not None or agent in self.ingest.fleet.agents

    def _gather_metrics(self) -> None:
        """Each part tells its own."""
        self.metrics_handler = MetricsHandler(ExposedFleet(self.reader, self.exclusions).agents, self.clock.wall_ms)
        self._stack.callback(self.metrics_handler.close)
        self.metrics_handler.register(
            self.ingest_metrics,
            self.store_metrics,
            ListenerMetrics(self.listener),
            InventoryMetrics(self.inventories),
            GoalMetrics(self.goal_cache),
            SitePowerMetrics(self.site_power, self.reader),
            CircuitMetrics(self.alerting.circuits, self.reader),
            EvaluatorMetrics(self.alerting),
            DeliveryMetrics(self.alerting.counts, self.clock.wall_ms),
            self.availability,
            self.enrolment_metrics,
            NameMetrics(self.reader),
            ExclusionMetrics(self.exclusions),
            AccessMetrics(self.guard),
            ProcessMetrics(),
        )
        self.metrics_handler.register_slow(
            BackupMetrics(self.reader, self.exclusions, self.clock.wall_ms),
            LinkMetrics(self.reader, self.exclusions, self.clock.wall_ms),
        )

    async def _renew_keys(self) -> None:
        """New connections get the new certificate; agents that are connected need none."""
        while True:
            await asyncio.sleep(KEYS_EVERY)
            try:
                self._tls.load_cert_chain(
                    *keys_files.server(self.config.keys, self.authority, self.config.agents.names, self.clock.wall_ms())
                )
            except OSError as error:
                log.warning("the listener's certificate could not be renewed: %s", error)

    def _start_task(self, job: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(job))


def tune_interpreter() -> None:
    """After the start, before the work: what is here now stays.

    The states of 100,000 checks are millions of objects; looking through them for cycles, of which they have none,
    stops everything for half a second. And a thread that makes text must not hold the interpreter for 5 ms at a time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    sys.setswitchinterval(0.001)


async def serve(config: CollectorConfig) -> int:
    """Run until SIGTERM or SIGINT; answers the exit code. Raises CannotStart."""
    raise_descriptors()
    service = CollectorService(config)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.stopping.set)
    loop.add_signal_handler(signal.SIGHUP, service.reload.set)
    await service.start()
    tune_interpreter()
    service.notifier.notify("READY=1")
    log.info("agents at %s, pages and metrics at %s", config.agents.listen, config.operators.listen)
    broken = asyncio.create_task(service.store.broken.wait())
    stopping = asyncio.create_task(service.stopping.wait())
    await asyncio.wait({broken, stopping}, return_when=asyncio.FIRST_COMPLETED)
    service.notifier.notify("STOPPING=1")
    failed = broken.done()
    for task in (broken, stopping):
        task.cancel()
    if failed:
        log.critical("a sync of the store failed: what the disk holds is not known, so this process ends")
        os._exit(1)  # nothing may be written any more, not even a clean end
    await service.stop()
    log.info("stopped")
    return 0


def _lock(config: CollectorConfig) -> TextIO:
    """One collector a state directory. Raises CannotStart, OSError."""
    file = os.fdopen(files.open_to_append(config.state_dir / "lock"), "a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise CannotStart(f"another collector is running with the state in {config.state_dir}") from None
    return file


def _port_words(address: ListenAddress, section: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {address.port} is in use already: stop what listens there, or give {section}.listen another port"
    if error.errno == errno.EACCES:
        return f"this user may not listen at {address}: give {section}.listen a port above 1023"
    return f"cannot listen at {address} ({section}.listen): {error.strerror or error}"
