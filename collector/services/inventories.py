"""The inventory in force: read at the start, again when its files change; a broken edit keeps the last good one."""

import asyncio
import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from pathlib import Path

from collector.ingest.ingest import Ingest
from collector.ingest.plans import PlanError
from collector.store.errors import StoreError
from collector.store.interfaces.store import Transaction
from collector.store.records import AuditFilter, Lifespan
from collector.store.revocations import Revocations
from inventory.assembly import directory, load, planning
from inventory.base.problems import Problem
from inventory.model.entities import Inventory
from inventory.protocol.plan import Plan, digest_of
from inventory.yaml.nodes import MAX_BYTES

log = logging.getLogger(__name__)

CHANGED = "change of inventory"  # in the audit
WHOSE_FILES = "the inventory's files"  # there: whoever may write them

Signature = tuple[tuple[str, int, int], ...]


class LiveInventory:
    """``current`` is in force since ``loaded`` (ms). ``problems``: what is wrong with the files as they are now.

    Plans are made for today, in the province's time zone: a check whose life begins or ends today comes or goes at
    midnight. A plan is served once the store keeps it. ``copy``: where the last good files are kept, so that a
    broken edit does no harm over a restart either.
    """

    def __init__(
        self, directory: Path, copy: Path, ingest: Ingest, revocations: Revocations, wall: Callable[[], int]
    ) -> None:
        self.current = Inventory()
        self.problems: Sequence[Problem] = ()
        self.loaded = 0
        self.version = 0  # grows with every inventory or day that comes into force
        self._directory = directory
        self._copy = copy
        self._ingest = ingest
        self._revocations = revocations
        self._wall = wall
        self._served_plans: dict[str, tuple[str, bytes]] = {}
        self._loaded_signature: Signature | None = None
        self._day: date | None = None

    def plan(self, agent: str) -> tuple[str, bytes] | None:
        """(digest in hex, canonical bytes) of an agent's plan; None when the inventory has no such agent."""
        return self._served_plans.get(agent)

    async def refresh(self) -> bool:
        """Look at the files, and load them if they or the day changed. True when something new is in force."""
        signature = await asyncio.to_thread(self._file_signature)
        changed = signature != self._loaded_signature
        if changed:
            self._loaded_signature = signature
            folder = self._directory
            inventory, problems = await asyncio.to_thread(load.load_with_problems, folder)
            self._report(problems)
            if _is_valid(inventory, problems):
                await asyncio.to_thread(self._keep_copy)
            elif not self.loaded:
                folder = self._copy
                inventory, problems = await asyncio.to_thread(load.load_with_problems, folder)
            changed = _is_valid(inventory, problems)
            if changed and inventory is not None:
                await self._note_change(folder, inventory)
                self.current = inventory
                self.loaded = self._wall()
                self._revocations.inventory = frozenset(a.id for a in inventory.agents.values() if a.revoked)
        if not self.loaded:
            return False
        today = datetime.fromtimestamp(self._wall() / 1000, self.current.province.zone).date()
        if changed or today != self._day:
            self._day = today
            await self._serve(today)
            self.version += 1
            return True
        return False

    async def watch(self, every: float, wake: asyncio.Event, then: Callable[[], None]) -> None:
        """Refresh every so many seconds, or when woken; ``then`` is called when something new is in force."""
        while True:
            try:
                async with asyncio.timeout(every):
                    await wake.wait()
            except TimeoutError:
                pass
            if wake.is_set():
                wake.clear()
                self._loaded_signature = None
            try:
                if await self.refresh():
                    then()
            except Exception:
                # the collector goes on with what it has, whatever a file does to the reader
                log.exception("the inventory could not be looked at")

    async def _note_change(self, folder: Path, inventory: Inventory) -> None:
        """A row of the audit, unless these are the files that it named last: also of what changed while nobody ran."""
        digest = await asyncio.to_thread(_digest_of, folder)
        counts = {"agencies": len(inventory.agencies), "agents": len(inventory.agents), "checks": len(inventory.checks)}
        now = self._wall()

        def work(tx: Transaction) -> None:
            last = tx.audit.newest(AuditFilter(what=CHANGED), 1)
            before = json.loads(last[0].data)["after"] if last else None
            if before != digest:
                tx.audit.add(now, WHOSE_FILES, CHANGED, {"before": before, "after": digest, **counts})

        try:
            await self._ingest.store.write(work)
        except StoreError as error:  # the change comes into force all the same; the next start finds that it is missing
            log.error("the change of the inventory could not be written into the audit: %s", error)

    def _keep_copy(self) -> None:
        """The files as they are, beside the store; a failure costs only what the copy is for."""
        fresh, old = self._copy.with_suffix(".new"), self._copy.with_suffix(".old")
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            for file in directory.files_of(self._directory):
                place = fresh / file.relative_to(self._directory)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(directory.read(self._directory, file, MAX_BYTES))
            shutil.rmtree(old, ignore_errors=True)
            if self._copy.exists():
                self._copy.rename(old)
            fresh.rename(self._copy)
            shutil.rmtree(old, ignore_errors=True)
        except (OSError, directory.NotRead) as error:
            log.warning("the last good inventory could not be copied to %s: %s", self._copy, error)

    def _file_signature(self) -> Signature:
        files = []
        for file in directory.files_of(self._directory):
            try:
                status = file.stat()
            except OSError:
                continue
            files.append((str(file), status.st_size, status.st_mtime_ns))
        return tuple(files)

    def _report(self, problems: Sequence[Problem]) -> None:
        mistakes = [problem for problem in problems if not problem.warning]
        if mistakes:
            log.error("the inventory has %d mistakes, the last good one stays in force: %s", len(mistakes), mistakes[0])
        elif any(not problem.warning for problem in self.problems):
            log.info("the inventory is in order again")
        self.problems = problems

    async def _serve(self, today: date) -> None:
        """Make today's plans, keep those that are new, end the checks of those that are gone."""
        inventory, registered = self.current, self._ingest.plans.checks
        plans = await asyncio.to_thread(_plans, inventory, today)
        ended = _ended_checks(inventory, today)
        active_agents = {check.agent for check in registered.values() if check.ended is None}
        for agent in active_agents - plans.keys():
            encoded = Plan(agent=agent, agency="", site="").encode()
            await self._ingest.serve_plan(agent, encoded, ended.get(agent))
            log.info("agent=%s is no longer in the inventory; its checks have ended", agent)
        for agent, encoded in plans.items():
            digest = digest_of(encoded).hex()
            if self._served_plans.get(agent, ("",))[0] == digest:
                continue
            try:
                await self._ingest.serve_plan(agent, encoded, ended.get(agent))
            except PlanError as error:
                log.error("agent=%s keeps its earlier plan, the new one cannot be used: %s", agent, error)
                continue
            self._served_plans[agent] = (digest, encoded)
        for agent in self._served_plans.keys() - plans.keys():
            del self._served_plans[agent]


def _is_valid(inventory: Inventory | None, problems: Sequence[Problem]) -> bool:
    return inventory is not None and all(problem.warning for problem in problems)


def _digest_of(base: Path) -> str:
    """Of the inventory's files, by their names and content: SHA-256 in hex. One that is not read counts as empty."""
    digest = hashlib.sha256()
    for file in directory.files_of(base):
        try:
            content = directory.read(base, file, MAX_BYTES)
        except directory.NotRead:
            content = b""
        name = str(file.relative_to(base)).encode(errors="replace")
        digest.update(b"%d %d " % (len(name), len(content)) + name + content)
    return digest.hexdigest()


def _ended_checks(inventory: Inventory, today: date) -> dict[str, dict[str, Lifespan]]:
    """By agent and uid, when checks ended whose life in the inventory is over."""
    ended: dict[str, dict[str, Lifespan]] = {}
    for check in inventory.checks.values():
        if check.ends is not None and check.ends <= today:
            at = datetime.combine(check.ends, time(), inventory.province.zone)
            ended.setdefault(check.agent, {})[check.uid] = (None, int(at.timestamp() * 1000))
    return ended


def _plans(inventory: Inventory, today: date) -> dict[str, bytes]:
    """Today's plans of all agents that are there today, encoded (the listener turns revoked ones away)."""
    plans = planning.plans_of(inventory, today)
    return {agent.id: plans[agent.id].encode() for agent in inventory.agents.values() if agent.on(today)}
