"""Commands that work on the store from the command line, beside a collector that may be running.

The ends of the ledger live in the running collector's memory; here they are made again from the checkpoints and the
batches newer than them, as after a restart.
"""

import csv
import io
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime, tzinfo

import msgspec

from collector.config import CollectorConfig, CommandFailed
from collector.ingest import recovery
from collector.ingest.committer import Committer
from collector.ingest.fleet import Fleet
from collector.ingest.plans import Plans
from collector.keys import files
from collector.ledger.figures import Figure
from collector.ledger.windows import Window, midnight, window_at
from collector.queries import availability, exclusions
from collector.queries import goals as goal_queries
from collector.queries.reader import CheckEntry, LedgerReader
from collector.store.interfaces.store import Store
from collector.store.opening import open_store
from collector.store.records import AgentMachine
from collector.store.registry import Registry
from collector.store.revocations import Revocations
from inventory.assembly import load
from inventory.model.entities import Inventory, Selector
from inventory.model.goals import select as find
from inventory.times.calendars import epoch_ms


class FileInventory(msgspec.Struct):
    """The inventory as its files are now."""

    current: Inventory
    version: int = 0


@asynccontextmanager
async def existing_store(config: CollectorConfig) -> AsyncIterator[Store]:
    """The store, when there is one."""
    if not config.database.exists():
        raise CommandFailed(f"there is no store at {config.database} yet: start the collector once, or see --config")
    store = open_store(config.database)
    try:
        yield store
    finally:
        await store.close()


async def make_code(config: CollectorConfig, agent: str, who: str, life: int) -> str:
    """A new enrolment code, valid for ``life`` ms."""
    agents = load.load(config.inventory).agents
    if agent not in agents:
        raise CommandFailed(f"the inventory has no agent {agent!r}; it has: {', '.join(agents) or 'none'}")
    if agents[agent].revoked:
        raise CommandFailed(f"the inventory says that {agent} is revoked; take revoked: true out first")
    async with existing_store(config) as store:
        return await _registry(config, store).make_code(agent, who, life)


async def revoke(config: CollectorConfig, agent: str, who: str, reason: str) -> bool:
    """Void an agent's certificates; whether the inventory marks it revoked as well."""
    inventory, _ = load.load_with_problems(config.inventory)  # even a broken inventory must not stand in the way
    agents = inventory.agents if inventory is not None else {}
    async with existing_store(config) as store:
        registry = _registry(config, store)
        if agent not in agents and agent not in await registry.certificates():
            raise CommandFailed(f"nobody knows an agent {agent!r}")
        await registry.revoke(agent, who, reason)
    return agent in agents and agents[agent].revoked


async def keep(config: CollectorConfig, agent: str, name: str, who: str) -> list[str]:
    """Keep one of the machines that run as an agent; without a ``name``, a line for each."""
    zone = load.load(config.inventory).province.zone
    async with existing_store(config) as store:
        registry = _registry(config, store)
        machines = await registry.machines(agent)
        if not machines:
            raise CommandFailed(f"several machines have not been seen as {agent!r}")
        if not name:
            return [_machine_line(machine, zone) for machine in machines]
        chosen = [machine for machine in machines if machine.ident == name]
        if len(chosen) != 1:
            names = ", ".join(machine.ident for machine in machines)
            raise CommandFailed(f"there is no machine {name!r} of {agent}; there are: {names}")
        others = [machine for machine in machines if machine.ident != name]
        await registry.keep(agent, chosen[0], others, who)
    return [
        f"{agent} stays the machine {_machine_line(chosen[0], zone)}.",
        "It renews its certificate by itself within the hour; then what the others have is void. They are refused from "
        "their next push on. If the wrong one stays, revoke the agent and enrol the right one with a new code.",
    ]


def _machine_line(machine: AgentMachine, zone: tzinfo) -> str:
    since, last = (
        datetime.fromtimestamp(at / 1000, zone).strftime("%Y-%m-%d %H:%M:%S") for at in (machine.since, machine.last)
    )
    name, boot = machine.name or "(no name)", machine.boot[:8] or "?"
    return f"{machine.ident}: {name} at {machine.address}, boot {boot}, seen {since} to {last}"


async def goals(config: CollectorConfig, day: str) -> list[str]:
    """A line a goal and window."""
    async with existing_store(config) as store:
        reader = await _reader(config, store)
        at = None
        if day:
            try:
                at = midnight(date.fromisoformat(day), reader.inventory.province.zone) + 86_400_000 - 1
            except ValueError:
                raise CommandFailed(f"{day!r} is not a day; write it like 2026-10-31") from None
        evaluated = await goal_queries.evaluations(reader, at)
    lines = [f"{'goal':12} {'window':12} {'objective':>9} {'best':>9} {'proven':>9} {'possible':>9}  verdict"]
    for one in evaluated:
        figures = "".join(f" {percent(value):>9}" for value in (one.objective, one.best, one.lower, one.upper))
        lines.append(f"{one.goal:12} {one.window.name:12}{figures}  {one.sentence()}")
    return lines if evaluated else ["The inventory has no goals."]


async def report(config: CollectorConfig, month: str, *, csv: bool, agency: str) -> list[str]:
    """Availability of every check over a calendar month, by agency."""
    async with existing_store(config) as store:
        reader = await _reader(config, store)
        if agency and agency not in reader.inventory.agencies:
            raise CommandFailed(f"the inventory has no agency {agency!r}")
        window = _month(month, reader)
        chosen = [
            one for one in reader.all_checks() if one.check is not None and (not agency or one.check.agency == agency)
        ]
        figures = await availability.figures(reader, chosen, [(window.start, window.end)])
    table = [(one, figures[one.row][0]) for one in chosen if figures[one.row][0].total]
    return _as_csv(table, window) if csv else _as_text(table, window, reader.inventory)


async def exclude(
    config: CollectorConfig, select: Mapping[str, tuple[str, ...]], begins: str, ends: str | None, reason: str, who: str
) -> list[str]:
    """Declare an exclusion."""
    inventory = load.load(config.inventory)
    zone = inventory.province.zone
    try:
        span = [epoch_ms(datetime.fromisoformat(text), zone) for text in (begins, ends or "")]
    except ValueError:
        raise CommandFailed("give two local times, like '2026-11-30 17:30' '2026-11-30 19:00'") from None
    selector = Selector(**dict(select))
    for kind, defined in (
        ("agencies", inventory.agencies),
        ("sites", inventory.sites),
        ("agents", inventory.agents),
    ):
        for name in select[kind]:
            if name not in defined:
                raise CommandFailed(f"the inventory has no {name!r} among its {kind}")
    chosen = find(selector, inventory)
    if not chosen:
        raise CommandFailed("this selects no check")
    async with existing_store(config) as store:
        now = time.time_ns() // 1_000_000
        try:
            number = await store.write(lambda tx: exclusions.declare(tx, selector, span[0], span[1], reason, who, now))
        except ValueError as error:
            raise CommandFailed(str(error)) from None
    return [f"Exclusion {number}: {len(chosen)} checks, {begins} to {ends}. Figures leave this time out from now on."]


async def withdraw(config: CollectorConfig, number: int, who: str) -> list[str]:
    """Take an exclusion back."""
    async with existing_store(config) as store:
        now = time.time_ns() // 1_000_000
        if not await store.write(lambda tx: exclusions.withdraw(tx, number, who, now)):
            raise CommandFailed(f"there is no exclusion {number} in force")
    return [f"Exclusion {number} no longer counts."]


async def list_exclusions(config: CollectorConfig) -> list[str]:
    """The exclusions that people declared."""
    async with existing_store(config) as store:
        declarations = await store.read(lambda tx: tx.exclusions.in_force())
    zone = load.load(config.inventory).province.zone

    def local(ms: int) -> str:
        return datetime.fromtimestamp(ms / 1000, zone).strftime("%Y-%m-%d %H:%M")

    lines = []
    for one in declarations:
        chosen = msgspec.to_builtins(one.select)
        selection = "; ".join(f"{name} {', '.join(values)}" for name, values in chosen.items() if values)
        lines.append(
            f"{one.id}: {local(one.begins)} to {local(one.ends)}, {selection or 'all'}: {one.reason} ({one.who})"
        )
    return lines or ["Nobody has declared an exclusion; those of the inventory are in its files."]


def percent(ratio: float | None) -> str:
    """Cut off, not rounded."""
    return "-" if ratio is None else f"{int(ratio * 100_000 + 1e-9) / 1000:.3f}%"


def _registry(config: CollectorConfig, store: Store) -> Registry:
    try:
        authority = files.authority(config.keys, time.time_ns() // 1_000_000)
    except files.KeysBroken as error:
        raise CommandFailed(str(error)) from None
    days = config.agents.certificate_life / 86_400_000
    revocations = Revocations(config.revocations_file)
    return Registry(store, authority, revocations, wall=lambda: time.time_ns() // 1_000_000, days=days)


async def _reader(config: CollectorConfig, store: Store) -> LedgerReader:
    plans = Plans(store)
    plans.load()
    fleet = Fleet(plans)
    recovery.load(store, plans, fleet, Committer(store, plans, fleet))
    return LedgerReader(
        store, fleet, FileInventory(load.load(config.inventory)), lambda: time.time_ns() // 1_000_000, live=False
    )


def _month(text: str, reader: LedgerReader) -> Window:
    zone = reader.inventory.province.zone
    if not text:
        return window_at("month", reader.wall(), zone)
    try:
        return window_at("month", midnight(date.fromisoformat(f"{text}-01"), zone), zone)
    except ValueError:
        raise CommandFailed(f"{text!r} is not a month; write it like 2026-10") from None


_COLUMNS = ("agency", "site", "agent", "check", "kind", "best", "lower", "upper", "coverage")
_SECONDS = ("up", "degraded", "down", "unknown", "excluded")


def _as_csv(table: Sequence[tuple[CheckEntry, Figure]], window: Window) -> list[str]:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_COLUMNS, *(f"{name}_seconds" for name in _SECONDS), "from_ms", "to_ms"])
    for one, figure in table:
        assert one.check is not None
        ratios = [getattr(figure, name) for name in _COLUMNS[5:]]
        writer.writerow(
            [
                *(_plain(text) for text in (one.check.agency, one.check.site, one.agent, one.name, one.kind)),
                *("" if value is None else f"{value:.9f}" for value in ratios),
                *(getattr(figure, name) / 1000 for name in _SECONDS),
                window.start,
                window.end,
            ]
        )
    return out.getvalue().splitlines()


def _plain(text: str) -> str:
    """A cell that a spreadsheet will not run as a formula."""
    return f"'{text}" if text[:1] in "=+-@" else text


def _as_text(table: Sequence[tuple[CheckEntry, Figure]], window: Window, inventory: Inventory) -> list[str]:
    zone = inventory.province.zone
    first, last = (datetime.fromtimestamp(at / 1000, zone) for at in (window.start, window.end - 1))
    lines = [f"Availability from {first:%Y-%m-%d} to {last:%Y-%m-%d}: best [proven to possible], share of time seen"]
    agency = ""
    for one, figure in table:
        assert one.check is not None
        if one.check.agency != agency:
            agency = one.check.agency
            name = inventory.agencies[agency].name
            lines += ["", name.in_("en") or agency]
        bounds = f"[{percent(figure.lower)} to {percent(figure.upper)}]"
        down = f"down {figure.down / 60_000:.1f} min"
        lines.append(
            f"  {one.name:32} {percent(figure.best):>9} {bounds:24} seen {percent(figure.coverage):>8}  {down}"
        )
    return lines if table else [*lines, "", "Nothing was looked at in this time."]
