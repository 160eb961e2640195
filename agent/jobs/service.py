"""The agent's service for jobs and drills: listens while the plan has jobs, records when, starts due drills.

One task of the agent. Nothing of it is loaded before it is needed; what goes wrong with a door is said once and tried
again every minute, and the checks of the jobs say that nobody listened.
"""

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from agent.config import Settings
from agent.jobs import DRILL, JOB
from inventory.base.clock import Clock
from inventory.protocol.plan import Plan

if TYPE_CHECKING:
    from agent.jobs.drills.schedule import DrillScheduler
    from agent.jobs.listener import Listener
    from agent.jobs.store import JobStore

log = logging.getLogger("agent.jobs")

EVERY: Final = 60.0  # seconds
LONGEST_PATH: Final = 100  # bytes of a Unix socket's path


class JobsService:
    """Given each plan by ``use``; ``run`` goes on until it is cancelled."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._job_names: frozenset[str] = frozenset()
        self._drill_names: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._store: JobStore | None = None
        self._listener: Listener | None = None
        self._servers: dict[str, asyncio.Server] = {}
        self._last_warnings: dict[str, str] = {}
        self._drill_scheduler: DrillScheduler | None = None

    def use_plan(self, plan: Plan) -> None:
        """Another plan: its jobs are listened for from now on."""
        self._job_names = frozenset(_names_of_kind(plan, JOB))
        self._drill_names = frozenset(_names_of_kind(plan, DRILL))
        self._changed.set()

    def clock_was_set(self) -> None:
        """The wall clock was set: what was stamped in this boot is corrected with it."""
        if self._store is not None:
            with contextlib.suppress(OSError):
                self._store.clock_was_set()

    def stats(self) -> dict[str, float]:
        """For the collector, among the agent's numbers about itself; empty while nobody listens."""
        if self._listener is None:
            return {}
        counts = self._listener.counts
        return {
            "pings_taken": float(counts.accepted),
            "pings_refused": float(counts.refused),
            "pings_unknown": float(counts.unknown_total),
        }

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                self._changed.clear()
                if self._job_names:
                    await self._listen()
                elif self._servers:
                    await self._close()
                if self._settings.drills or self._drill_names:
                    await self._tick_drills()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(EVERY if self._job_names or self._settings.drills else None):
                        await self._changed.wait()
        finally:
            if self._listener is not None and self._servers:
                self._record_alive()
            await self._close()
            if self._drill_scheduler is not None:
                await self._drill_scheduler.stop()

    async def _listen(self) -> None:
        from agent.jobs.delivery import import_stored_pings
        from agent.jobs.listener import Listener
        from agent.jobs.store import JobStore, directory

        if self._store is None or self._listener is None:
            self._store = JobStore(directory(self._settings.state_dir), self._clock)
            self._listener = Listener(
                self._store, lambda: self._job_names, self._settings.pings.token, self._settings.pings.names
            )
        try:
            self._store.register(self._job_names)
            await asyncio.to_thread(import_stored_pings, self._store, self._settings.waiting_pings, self._job_names)
            self._warn_once("records", "")
        except OSError as error:
            self._warn_once("records", f"the records of pings cannot be kept: {error}")
        if await self._open_servers(self._listener):
            self._record_alive()

    def _record_alive(self) -> None:
        """Somebody listens: remembered every minute."""
        if self._store is None or self._listener is None:
            return
        counts = self._listener.counts

        try:
            self._store.record_listening(
                lambda listening: msgspec.structs.replace(
                    listening, taken=counts.accepted, refused=counts.refused, unknown=dict(counts.unknown)
                )
            )
        except OSError as error:
            self._warn_once("beat", f"that pings are listened for cannot be kept: {error}")

    async def _open_servers(self, listener: "Listener") -> bool:
        """Open what is not open yet; True when all of it is."""
        pings, loop = self._settings.pings, asyncio.get_running_loop()
        local, lan = (listener.protocol_factory(guarded=guarded) for guarded in (False, True))
        host, port = pings.address(pings.listen)
        await self._open(pings.listen, loop.create_server(local, host, port))
        if pings.lan:
            host, port = pings.address(pings.lan)
            await self._open(pings.lan, loop.create_server(lan, host, port))
        if hasattr(socket, "AF_UNIX") and (path := self._settings.ping_socket) is not None:
            if len(os.fsencode(path)) > LONGEST_PATH:
                self._warn_once(str(path), f"no socket for pings at {path}: the path is too long")
            elif str(path) not in self._servers:
                _remove_stale(path)
                await self._open(str(path), loop.create_unix_server(local, path))
                with contextlib.suppress(OSError):
                    path.chmod(0o666)  # who may go into its directory may ping
        return pings.listen in self._servers and (not pings.lan or pings.lan in self._servers)

    async def _open(self, name: str, opening: Coroutine[Any, Any, asyncio.Server]) -> None:
        if name in self._servers:
            opening.close()
            return
        try:
            self._servers[name] = await opening
        except OSError as error:
            self._warn_once(name, f"pings of jobs cannot be heard at {name}: {error.strerror or error}")
        else:
            self._warn_once(name, "")
            log.info("pings of jobs are heard at %s", name)

    async def _close(self) -> None:
        for name, server in self._servers.items():
            server.close()
            if name == str(self._settings.ping_socket):
                _remove_stale(Path(name))
        self._servers.clear()

    async def _tick_drills(self) -> None:
        from agent.jobs.drills.schedule import DrillScheduler

        if self._drill_scheduler is None:
            self._drill_scheduler = DrillScheduler(self._settings, self._clock)
        try:
            self._drill_scheduler.tick(self._drill_names)
            self._warn_once("drills", "")
        except OSError as error:
            self._warn_once("drills", f"the records of drills cannot be kept: {error}")

    def _warn_once(self, what: str, message: str) -> None:
        """Once, until it changes."""
        if message and self._last_warnings.get(what) != message:
            log.warning("%s", message)
        self._last_warnings[what] = message


def _names_of_kind(plan: Plan, kind: str) -> Iterable[str]:
    for check in plan.checks:
        if check.kind == kind and isinstance(name := check.params.get(kind), str):
            yield name


def _remove_stale(path: Path) -> None:
    """A socket that was left behind; nothing else is touched."""
    with contextlib.suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode):
            path.unlink()
