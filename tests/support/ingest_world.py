"""A collector's ingest over a real store, on a fake clock; an agent that is only its chain of positions."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from collector.ingest.ingest import Ingest
from collector.ingest.states.state import AgentState
from collector.keys.pki import CertificateAuthority
from collector.keys.plan_signatures import PlanVerifier
from collector.ledger.state_step import LedgerTail
from collector.store.records import DeadLetter, RegisteredCheck
from collector.store.sqlite.database import Database
from collector.store.sqlite.store import SqliteStore
from inventory.protocol.plan import Column, Plan, PlannedCheck
from inventory.protocol.wire import Ack, Batch, Echo, Position, Push, Reading, encode_push
from tests.support.clock import FakeClock

T0 = 1_800_000_000_000  # collector's time at the start of every test
BOOT = b"bootboot"
AUTHORITY = CertificateAuthority.create(T0)  # whose plans count in an IngestWorld


def collector_clock(wall: int = T0) -> FakeClock:
    return FakeClock(wall, boot=5_000_000, boot_id=b"collectr")


def plan_of(agent: str = "a1", checks: int = 3, columns: int = 1, hold: int = 70_000) -> Plan:
    return Plan(
        agent=agent,
        agency="so",
        site="so",
        checks=tuple(
            PlannedCheck(
                uid=hashlib.sha256(f"{agent} {i}".encode()).hexdigest()[:16],
                name=f"{agent}/c{i}",
                kind="icmp",
                interval=30_000,
                timeout=10_000,
                hold=hold,
                recheck=5_000,
            )
            for i in range(checks)
        ),
        columns={"icmp": tuple(Column(f"m{i}", 10) for i in range(columns))},
    )


class ChainAgent:
    """An agent reduced to its chain: makes pushes, takes acks. ``boot_ms`` runs with the collector's fake clock."""

    def __init__(self, ingest: Ingest, clock: FakeClock, plan: Plan, *, epoch: int = 11, boot: bytes = BOOT) -> None:
        self.ingest = ingest
        self.clock = clock
        self.plan = plan
        self.epoch = epoch
        self.boot = boot
        self.booted_at = clock.boot_ms() - 1_000_000  # its boot clock shows a million ms
        self.seq = 0
        self.watermark: Position | None = None
        self.echo: Echo | None = None
        self.accepted_bodies: list[bytes] = []

    def now(self) -> int:
        return self.clock.boot_ms() - self.booted_at

    def reading(self) -> Reading:
        return Reading(self.boot, self.now(), 0)

    def batch(self, looks: Sequence[tuple[int, int, int]], **more: Any) -> Batch:
        """Of (place, boot ms, state), in any order; latency and values are made from the time."""
        looks = sorted(looks)
        base = min((at for _, at, _ in looks), default=self.now())
        places = sorted({place for place, _, _ in looks})
        at: list[int] = []
        before = None
        for place, when, _ in looks:
            at.append(when - before[1] if before is not None and before[0] == place else when - base)
            before = (place, when)
        width = len(self.plan.columns["icmp"])
        frames = max(1, len(looks) + len(more.get("records", ())) + len(more.get("runs", ())))
        batch = Batch(
            epoch=self.epoch,
            previous=self.watermark,
            last=self.seq + frames,
            plan=self.plan.digest,
            boot=self.boot,
            base=base,
            checks=[b - a for a, b in zip([0, *places], places, strict=False)],
            counts=[sum(1 for look in looks if look[0] == place) for place in places],
            at=at,
            states=bytes(state for _, _, state in looks),
            latency=[when % 1000 for _, when, _ in looks],
            values=[(when + j) % 97 for _, when, _ in looks for j in range(width)],
        )
        return msgspec.structs.replace(batch, **more)

    def all(self, *codes: int, at: int | None = None) -> list[tuple[int, int, int]]:
        """One look of every check now; one code stands for all."""
        codes = codes if len(codes) > 1 else codes * len(self.plan.checks)
        return [(place, self.now() if at is None else at, code) for place, code in enumerate(codes)]

    async def push(self, batch: Batch | None = None, **more: Any) -> Ack:
        push = Push(version=1, sent=self.reading(), echo=self.echo, batch=batch, **more)
        return await self.send(encode_push(push), batch)

    async def bring_plan(self, authority: CertificateAuthority | None = AUTHORITY) -> Ack:
        """Its plan, with the signature that this authority gave when it served it (None: without one)."""
        encoded = self.plan.encode()
        signatures = [authority.sign_plan(self.plan.agent, encoded)] if authority is not None else []
        return await self.push(plans=[encoded], signatures=signatures)

    async def send(self, body: bytes, batch: Batch | None = None) -> Ack:
        ack = await self.ingest.push(self.plan.agent, body)
        self.echo = Echo(ack.sent_ms, self.now())
        if ack.verdict in ("taken", "refused"):
            assert batch is not None
            self.accepted_bodies.append(body)
            self.watermark, self.seq = ack.watermark, batch.last
        return ack

    async def look_and_push(self, *codes: int, step: int = 30_000) -> Ack:
        """Time goes on; one look of every check, pushed."""
        self.clock.advance(step)
        return await self.push(self.batch(self.all(*codes)))


class IngestWorld:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = collector_clock()
        self.ingest: Ingest
        self.database: Database  # what the store is kept in: tests look into it

    async def start(self) -> Ingest:
        store = SqliteStore.open(self.path)
        self.database = store.database
        self.ingest = Ingest(store, self.clock, verifier=PlanVerifier([AUTHORITY.pem]))
        await self.ingest.start()
        return self.ingest

    async def crash(self) -> Ingest:
        """As after a SIGKILL: nothing is saved, the next one finds what was committed."""
        for task in self.ingest._tasks:
            task.cancel()
        await asyncio.gather(*self.ingest._tasks, return_exceptions=True)
        await self.database.close()
        return await self.start()

    async def agent(self, plan: Plan | None = None, **more: Any) -> ChainAgent:
        plan = plan or plan_of()
        await self.ingest.serve_plan(plan.agent, plan.encode())
        agent = ChainAgent(self.ingest, self.clock, plan, **more)
        await agent.push()
        return agent

    async def spans(self) -> list[tuple[Any, ...]]:
        sql = "SELECT check_id, state, start, end, looks, reason FROM spans ORDER BY check_id, id"
        return await self.database.read(lambda db: db.execute(sql).fetchall())

    async def dead_letters(self) -> list[DeadLetter]:
        return await self.ingest.store.read(lambda tx: tx.dead_letters.newest())

    async def events(self) -> list[str]:
        rows = await self.ingest.store.read(lambda tx: tx.events.newest())
        return [event.kind for event in reversed(rows)]

    async def findings(self) -> list[str]:
        rows = await self.ingest.store.read(lambda tx: tx.events.findings_after(0))
        return [finding.kind for _, finding in rows]

    def check(self, name: str) -> RegisteredCheck:
        return next(check for check in self.ingest.fleet.checks.values() if check.name == name)

    def tail(self, name: str) -> LedgerTail:
        check = self.check(name)
        return self.ingest.fleet.agents[check.agent].tails[check.id]

    def state(self, agent: str) -> AgentState:
        return self.ingest.fleet.agents[agent]

    def replayable_state(self) -> dict[str, Any]:
        """All that a replay has to give again."""
        names = (
            "watermark",
            "batch",
            "tails",
            "latest",
            "timing",
            "results",
            "unplaceable",
            "dead",
            "recent",
            "deferred",
        )
        return {
            agent: {**{name: getattr(state, name) for name in names}, "sums": state.sums.buckets()}
            for agent, state in self.ingest.fleet.agents.items()
        }
