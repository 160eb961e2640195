"""A plan's way with its signature over TLS: a real collector, the agent's own enrolment, plan store, spool and pusher.

After a restore, at a standby, and where the authority was made anew.
"""

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from agent.spool import CheckResult, Spool
from agent.uplink import enrol, plans
from agent.uplink import identity as identities
from agent.uplink.connection import Uplink, tls_context
from agent.uplink.plans import PlanStore, SignedPlan, StoredPlan
from agent.uplink.push import Pusher
from collector.app.run import CannotStart, CollectorService
from collector.commands.backup import backup, restore
from collector.config import AgentsConfig, CollectorConfig, OperatorsConfig
from collector.ingest.plans import FOREIGN, UNSIGNED
from collector.ingest.steps.sequence import MAX_PLAN_REQUESTS
from inventory.base.clock import SystemClock
from inventory.protocol.states import UP
from inventory.protocol.wire import Ack

INVENTORY: Final = """\
province: {{id: st, name: {{vi: Tỉnh, en: Province}}}}
agencies:
  so:
    name: {{vi: Sở, en: Agency}}
    site: {{agent: so, checks: {{{checks}}}}}
"""
CHECK: Final = "{name}: {{kind: icmp, params: {{host: 192.0.2.1}}, interval: 30s}}"


def write_inventory(folder: Path, *checks: str) -> None:
    folder.mkdir(exist_ok=True)
    text = INVENTORY.format(checks=", ".join(CHECK.format(name=name) for name in checks))
    (folder / "all.yaml").write_text(text, "utf-8")


def config_of(folder: Path, *trusted: Path) -> CollectorConfig:
    return CollectorConfig(
        state_dir=folder / "state",
        inventory=folder / "inventory",
        agents=AgentsConfig(listen="127.0.0.1:0", trusted_authorities=trusted),
        operators=OperatorsConfig(listen="127.0.0.1:0"),
    )


@asynccontextmanager
async def running(config: CollectorConfig) -> AsyncIterator[CollectorService]:
    service = CollectorService(config)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


class Machine:
    """An agent's state on disk, and its duties towards a pusher."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.clock = SystemClock()
        self.store = PlanStore(folder, "so")
        self.spool: Spool
        self.trusted: list[str] = []  # further collectors' authorities, as its plan would name them
        self.at = self.clock.boot_ms() - 60_000

    async def enrol(self, service: CollectorService) -> None:
        code = enrol.parse_code(await service.registry.make_code("so", "test"))
        await enrol.enrol(self.folder, f"https://127.0.0.1:{service.listener.port}", code)

    def uplink(self, service: CollectorService) -> Uplink:
        authorities = [identities.load(self.folder).authority, *self.trusted]
        url = f"https://127.0.0.1:{service.listener.port}"
        return Uplink(url, tls_context(authorities, identities.path_in(self.folder)))

    async def fetch(self, service: CollectorService) -> StoredPlan:
        """The plan as it is now, put to work."""
        uplink = self.uplink(service)
        fetched = await plans.fetch(uplink, "so", self.store.current())
        await uplink.close()
        if fetched is not None:
            self.store.keep(fetched)
        current = self.store.current()
        assert current is not None
        return current

    def open_spool(self, plan: StoredPlan, *collectors: str) -> None:
        self.spool = Spool.open(
            self.folder / "spool", boot=self.clock.boot_id(), boot_ms=self.clock.boot_ms() - 120_000, plan=plan.digest,
            start={}, collectors=collectors, holds=lambda digest: [90_000] * 3,
        )  # fmt: skip

    def look(self, *places: int) -> None:
        self.at += 1_000
        for place in places:
            self.spool.append(CheckResult(place, self.at, UP, 100, (None,) * 8, ""))

    async def deliver(self, service: CollectorService, name: str) -> None:
        """Everything to one collector, as often as it takes."""
        pusher = Pusher(name, self.uplink(service), self.spool, self.clock, self, jitter=lambda: 0.0)
        for _ in range(MAX_PLAN_REQUESTS):
            if await pusher.attempt():
                break
        assert not self.spool.backlog(name), pusher.contact.why
        await pusher.uplink.close()

    # what the pusher asks (agent.uplink.push.PushContext)

    def present(self) -> None:
        return None

    def plan(self, digest: bytes) -> SignedPlan | None:
        return self.store.get(digest)

    def health(self, collector: str) -> dict[str, float]:
        return {}

    def acknowledged(self, collector: str, ack: Ack) -> None: ...


def seen(service: CollectorService) -> dict[str, int]:
    """Looks by the check's name."""
    checks = service.ingest.fleet.checks
    return {checks[row].name: tail.looks for row, tail in service.ingest.fleet.agents["so"].tails.items()}


async def reasons(service: CollectorService) -> set[str]:
    return {letter.reason for letter in await service.store.read(lambda tx: tx.dead_letters.newest())}


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path / "agent")
    async with AsyncExitStack() as stack:
        stack.callback(lambda: made.spool.close() if hasattr(made, "spool") else None)
        yield made


async def test_results_under_a_plan_that_a_restored_collector_forgot_are_taken(
    tmp_path: Path, machine: Machine
) -> None:
    config, copy = config_of(tmp_path), tmp_path / "copy.db"
    write_inventory(config.inventory, "one")
    async with running(config) as service:
        await machine.enrol(service)
        machine.open_spool(await machine.fetch(service), "hub")
        backup(config, copy)
        write_inventory(config.inventory, "one", "two")
        assert await service.inventories.refresh()
        machine.spool.use_plan((await machine.fetch(service)).digest)
        machine.look(0, 1)
        await machine.deliver(service, "hub")
        assert seen(service) == {"one": 1, "two": 1}
    write_inventory(config.inventory, "one", "two", "three")
    shutil.rmtree(config.keys)  # the machine is lost; the authority comes with the copy
    restore(config, copy)
    async with running(config) as service:
        machine.look(0, 1)
        await machine.deliver(service, "hub")
        assert seen(service) == {"one": 2, "two": 2}
        assert await reasons(service) == set()


async def test_a_standby_with_an_authority_of_its_own_takes_what_the_primary_served(
    tmp_path: Path, machine: Machine
) -> None:
    primary, other = config_of(tmp_path / "primary"), tmp_path / "standby"
    for folder in (primary.inventory.parent, other):
        folder.mkdir()
    write_inventory(primary.inventory, "one", "two")
    standby = config_of(other, primary.keys / "ca.pem")
    write_inventory(standby.inventory, "one")  # it is behind: its own plan is another
    async with running(primary) as first, running(standby) as second:
        await machine.enrol(first)
        machine.open_spool(await machine.fetch(first), "hub", "standby")
        machine.trusted = [second.authority.pem]
        machine.look(0, 1)
        await machine.deliver(first, "hub")
        await machine.deliver(second, "standby")
        assert seen(first) == seen(second) == {"one": 1, "two": 1}
        assert await reasons(second) == set()
        assert (await machine.fetch(second)).plan == first_plan(second)  # as where the authority is not reached


def first_plan(service: CollectorService) -> object:
    served = service.inventories.plan("so")
    assert served is not None
    return plans.read(served[1]).plan


@pytest.mark.parametrize("trusted", [False, True])
async def test_where_the_authority_was_made_anew_its_predecessor_counts_if_it_is_trusted(
    tmp_path: Path, machine: Machine, trusted: bool
) -> None:
    config, kept = config_of(tmp_path), tmp_path / "former.pem"
    write_inventory(config.inventory, "one", "two")
    async with running(config) as service:
        await machine.enrol(service)
        machine.open_spool(await machine.fetch(service), "hub")
        machine.look(0, 1)
    shutil.copy(config.keys / "ca.pem", kept)
    shutil.rmtree(config.state_dir)
    write_inventory(config.inventory, "one")
    async with running(config_of(tmp_path, *([kept] if trusted else []))) as service:
        await machine.enrol(service)
        await machine.deliver(service, "hub")
        assert seen(service) == ({"one": 1, "two": 1} if trusted else {})
        refused = {FOREIGN, "a batch set aside: its plan is not known"}
        assert await reasons(service) == (set() if trusted else refused)
        machine.spool.use_plan((await machine.fetch(service)).digest)
        machine.look(0)
        await machine.deliver(service, "hub")  # and goes on
        assert seen(service)["one"] == 1 + trusted


async def test_an_agent_of_before_has_no_signature_and_is_served_where_the_plan_is_known(
    tmp_path: Path, machine: Machine
) -> None:
    config = config_of(tmp_path)
    write_inventory(config.inventory, "one", "two")
    async with running(config) as service:
        await machine.enrol(service)
        plan = await machine.fetch(service)
        (machine.folder / "plans" / f"{plan.digest.hex()}.sig").unlink()
        machine.open_spool(plan, "hub")
        machine.look(0, 1)
        await machine.deliver(service, "hub")
        assert seen(service) == {"one": 1, "two": 1}
    shutil.rmtree(config.state_dir / "inventory.good")
    for file in config.state_dir.glob("collector.db*"):
        file.unlink()
    async with running(config) as service:  # a new store makes the plan of today from its inventory
        machine.look(0, 1)
        await machine.deliver(service, "hub")
        assert seen(service) == {"one": 2, "two": 2}
        assert (await machine.fetch(service)).signature  # today's is signed with the next answer
        assert UNSIGNED not in await reasons(service)


async def test_a_trusted_authority_that_is_none_is_said_at_the_start(tmp_path: Path) -> None:
    write_inventory(tmp_path / "inventory", "one")
    for name, text in (("missing.pem", None), ("empty.pem", ""), ("rubbish.pem", "-----BEGIN CERTIFICATE-----\n")):
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(CannotStart, match=rf"agents\.trusted_authorities: .*{name} .*pki/ca\.pem"):
            async with running(config_of(tmp_path, tmp_path / name)):
                pass
