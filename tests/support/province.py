"""A busy province for boards: the example inventory, its agents over the real wire, a collector at simulated times.

Thirty days pass in a few seconds. At every step each agent pushes over mutual TLS what it saw since its last push
(folded, as a spool folds what it has no room for) and a look of every check now; the collector takes its turns, and
whoever wants to scrapes it. In the end the clock goes on as the machine's own does.
"""

import asyncio
import hashlib
import itertools
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from agent.uplink import enrol
from agent.uplink import identity as identities
from agent.uplink.connection import Uplink, tls_context
from alerts.channels.config import ChannelSettings
from alerts.incident.entities import Command
from collector.app.run import CollectorService
from collector.budgets import BudgetsConfig
from collector.config import AgentsConfig, CollectorConfig, OperatorsConfig
from collector.ingest.clock import EARLIEST_WALL
from collector.ingest.recovery import mark_restored
from collector.queries.exclusions import declare
from collector.store.opening import open_store
from inventory.model.selectors import Selector
from inventory.protocol import wire
from inventory.protocol.plan import Plan, PlannedCheck, decode
from inventory.protocol.states import DEGRADED, DOWN, UP
from inventory.protocol.wire import Ack, Batch, Echo, Position, Push, Reading, Record, Run
from tests.support.paths import ROOT
from tests.support.smtp_relay import FakeRelay, relays_running

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
INVENTORY: Final = ROOT / "inventory" / "examples" / "soctrang"
HUB_AGENT: Final = "thdl"
HUB: Final = "so-thong-tin-truyen-thong"


class SimulatedClock:
    """Stands still until it is moved; after ``go_live`` it is the machine's."""

    def __init__(self, wall: int) -> None:
        self._wall = wall
        self._booted = wall - 40 * DAY
        self._live = False

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000 if self._live else self._wall

    def boot_ms(self) -> int:
        return self.wall_ms() - self._booted

    def boot_id(self) -> bytes:
        return b"collectr"

    def move_to(self, wall: int) -> None:
        self._wall = wall

    def go_live(self) -> None:
        self._live = True


class SimulatedService(CollectorService):
    """Its background work is done when it is asked for, at simulated times; later by itself."""

    def __init__(self, config: CollectorConfig, clock: SimulatedClock) -> None:
        super().__init__(config, clock)
        self._held: list[Coroutine[Any, Any, None]] = []
        self.live = False

    def _start_task(self, job: Coroutine[Any, Any, None]) -> None:
        if self.live:
            super()._start_task(job)
        else:
            self._held.append(job)

    async def turn(self) -> None:
        """What the background would have done by now."""
        await self.exclusions.refresh()
        await self.alerting.evaluator.evaluate()
        if self.alerting.sender is not None:
            while await self.alerting.sender.run_once() == 0:
                pass
        await self.alerting.evaluator.evaluate()
        await self.inventories.refresh()
        await self.goal_cache.refresh()
        self.alerting.goal_problems.evaluated = True
        await self.site_power.refresh()
        await self.alerting.circuits.count()
        await self.availability.refresh()
        await self.enrolment_metrics.refresh()
        await self.store_metrics.refresh()

    def go_live(self) -> None:
        self.live = True
        held, self._held = self._held, []
        for job in held:
            self._start_task(job)

    async def stop(self) -> None:
        for job in self._held:
            job.close()
        self._held = []
        await super().stop()


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong from ``begin`` until ``end`` (ms before the end of the story)."""

    begin: int
    end: int
    hits: Callable[[PlannedCheck, str], bool]  # a check as its agent has it, and the agent
    state: int = DOWN
    silent: str = ""  # an agent that cannot push meanwhile, and tells of it later
    off: str = ""  # an agent that is not running, with its whole site if ``power``
    power: bool = False
    reason: str = "no answer within 5 s"


def site_line(site: str) -> Callable[[PlannedCheck, str], bool]:
    """The line's checks of both ends."""
    return lambda check, agent: (
        (agent == site and check.name in ("hub", "video", "throughput")) or check.name == f"{site}.from-hub"
    )


def own_network(site: str) -> Callable[[PlannedCheck, str], bool]:
    """All that leaves the agent's own machine, and what looks in from outside."""
    line = site_line(site)
    return lambda check, agent: line(check, agent) or (agent == site and check.kind in ("icmp", "dns", "lan"))


def from_hub(site: str) -> Callable[[PlannedCheck, str], bool]:
    return lambda check, agent: check.name == f"{site}.from-hub"


def named(agent: str, *names: str) -> Callable[[PlannedCheck, str], bool]:
    return lambda check, at: at == agent and check.name in names


def kind_at(agent: str, *kinds: str) -> Callable[[PlannedCheck, str], bool]:
    return lambda check, at: at == agent and check.kind in kinds


def portal(site: str) -> Callable[[PlannedCheck, str], bool]:
    return lambda check, agent: check.name == f"{site}.portal"


STORY: Final = (
    # a month of troubles, of every cause
    *(Trouble(begin=d * DAY + 9 * HOUR, end=d * DAY + 9 * HOUR - (1 + d % 4) * HOUR, hits=site_line(site), silent=site)
      for d, site in ((27, "ke-sach"), (21, "my-tu"), (15, "vinh-chau"), (12, "so-xay-dung"),
                     (6, "long-phu"), (3, "so-y-te"))),
    *(Trouble(begin=d * DAY, end=d * DAY - 2 * HOUR, hits=from_hub(site), off=site, power=True, reason="no reply")
      for d, site in ((25, "so-tu-phap"), (18, "my-xuyen"), (9, "vinh-chau"))),
    *(Trouble(begin=d * DAY, end=d * DAY - 5 * HOUR, hits=lambda check, agent: False, off=site)
      for d, site in ((20, "so-noi-vu"), (8, "so-tai-chinh"))),
    *(Trouble(begin=d * DAY, end=d * DAY - HOUR, hits=portal(site), reason="HTTP 503")
      for d, site in ((24, "so-y-te"), (14, "ke-sach"), (5, "my-tu"), (1, "so-cong-thuong"))),
    *(Trouble(begin=d * DAY, end=d * DAY - 3 * HOUR, hits=own_network(site), silent=site, reason="no reply")
      for d, site in ((16, "so-giao-duc-dao-tao"), (4, "so-xay-dung"))),
    Trouble(begin=11 * DAY, end=11 * DAY - 40 * MINUTE, hits=kind_at(HUB_AGENT, "power", "ups"), state=DEGRADED,
            reason="on battery"),
    # the last day
    Trouble(begin=20 * HOUR, end=17 * HOUR, hits=site_line("my-tu"), silent="my-tu"),
    Trouble(begin=10 * HOUR, end=8 * HOUR, hits=portal("so-y-te"), reason="HTTP 503"),
    # and what goes on
    Trouble(begin=52 * MINUTE, end=-DAY, hits=site_line("vinh-chau"), silent="vinh-chau"),
    Trouble(begin=3 * HOUR, end=-DAY, hits=site_line("long-phu"), state=DEGRADED, reason="loss 12%, threshold 2%"),
    Trouble(begin=5 * HOUR, end=-DAY, hits=lambda check, agent: False, off="so-noi-vu"),
    Trouble(begin=25 * MINUTE, end=-DAY, hits=kind_at(HUB_AGENT, "power", "ups"), state=DEGRADED, reason="on battery"),
    Trouble(begin=90 * MINUTE, end=-DAY, hits=portal("so-cong-thuong"), reason="HTTP 503"),
    Trouble(begin=26 * HOUR, end=-DAY, hits=named("ke-sach", "data-files"), state=DEGRADED,
            reason="the newest good copy is 74 hours old"),
)  # fmt: skip


class ProvinceAgent:
    """One agent of the inventory: its identity, its chain, and what it sees by the story."""

    def __init__(self, world: "Province", name: str) -> None:
        self.world = world
        self.name = name
        self.boot = hashlib.sha256(name.encode()).digest()[:8]
        self.booted = world.clock.wall_ms() - 20 * DAY
        self.seq = 0
        self.at: Position | None = None
        self.echo: Echo | None = None
        self.told_until = world.clock.wall_ms()
        self.restarted = True
        self.uplink: Uplink | None = None
        self.plan: Plan | None = None

    async def enrol(self, url: str) -> None:
        code = await self.world.service.registry.make_code(self.name, "test")
        await enrol.enrol(self.state_dir, url, enrol.parse_code(code))
        self.connect(url)

    @property
    def state_dir(self) -> Path:
        return self.world.directory / "agents" / self.name

    def connect(self, url: str) -> None:
        identity = identities.load(self.state_dir)
        self.uplink = Uplink(url, tls_context([identity.authority], identities.path_in(self.state_dir)))

    async def close(self) -> None:
        if self.uplink is not None:
            await self.uplink.close()

    def now(self) -> int:
        return self.world.clock.wall_ms() - self.booted

    async def step(self) -> None:
        """What was seen since the last push, and how all is now; nothing while the story says so."""
        now = self.world.clock.wall_ms()
        trouble = [one for one in self.world.story if self.world.goes_on(one, now)]
        if any(one.off == self.name for one in trouble):
            self.told_until, self.restarted = now, True
            return
        if any(one.silent == self.name for one in trouble):
            return
        if self.plan is None:
            assert self.uplink is not None
            self.plan = decode((await self.uplink.request("GET", "/v1/plan")).body)
            await self._push(None)
        await self._push(self._batch(self.plan, now))
        self.told_until, self.restarted = now, False

    async def _push(self, batch: Batch | None) -> None:
        assert self.uplink is not None
        for _ in range(3):  # after a long while the clocks have to be compared first
            wall = self.world.clock.wall_ms()
            ack = await self._pushed(self.uplink, batch, wall)
            self.echo = Echo(ack.sent_ms, self.now())
            if batch is None or ack.verdict == "taken":
                break
        assert batch is None or ack.verdict == "taken", ack
        if batch is not None:
            self.at, self.seq = ack.watermark, batch.last

    async def _pushed(self, uplink: Uplink, batch: Batch | None, wall: int) -> Ack:
        health = {
            "cpu_seconds_total": wall / 1e7 % 1e5, "rss_bytes": 48e6, "spool_bytes": 2e6 + 9e6 * _noise(self.name, 0),
            "checks": 10.0, "certificate_expiry": wall / 1000 + 60 * 86_400,
        }  # fmt: skip
        push = Push(version=1, sent=Reading(self.boot, self.now(), wall), echo=self.echo, batch=batch, health=health)
        answer = await uplink.request("POST", "/v1/push", wire.encode_push(push), {"Content-Type": wire.PUSH_TYPE})
        return wire.decode_ack(answer.body)

    def _batch(self, plan: Plan, now: int) -> Batch:
        runs = [
            Run(place, state, begin - self.booted, end - self.booted, max(2, (end - begin) // check.interval), reason)
            for place, check in enumerate(plan.checks)
            for state, begin, end, reason in self._stretches(check, self.told_until, now)
        ]
        records = []
        if self.restarted:
            records = [Record(self.now(), "start", {"wall_ms": now, "version": "1.0", "platform": "Linux"})]
        states, latency, values, reasons = bytearray(), [], [], []
        for number, check in enumerate(plan.checks):
            state, reason = self.world.state_of(check, self.name, now)
            states.append(state)
            latency.append(None if state == DOWN else self.world.latency_of(check, self.name, now))
            if state == DOWN:
                values += [None] * len(plan.columns[check.kind])
            else:
                values += [
                    self.world.measure_of(check, self.name, column.name, column.per, now)
                    for column in plan.columns[check.kind]
                ]
            if reason:
                reasons.append((number, reason))
        count = len(plan.checks)
        return Batch(
            epoch=5,
            previous=self.at,
            last=self.seq + count + len(runs) + len(records),
            plan=plan.digest,
            boot=self.boot,
            base=self.now(),
            checks=[0, *([1] * (count - 1))],
            counts=[1] * count,
            at=[0] * count,
            states=bytes(states),
            latency=latency,
            values=values,
            reasons=reasons,
            runs=runs,
            records=records,
        )

    def _stretches(self, check: PlannedCheck, begin: int, end: int) -> Iterator[tuple[int, int, int, str]]:
        """(state, first look, last look, reason) of each stretch of one state between two moments."""
        edges = {
            self.world.end - at for one in self.world.story if one.hits(check, self.name) for at in (one.begin, one.end)
        }
        cuts = [begin, *sorted(edge for edge in edges if begin < edge < end), end]
        for first, last in itertools.pairwise(cuts):
            until = last - check.interval // 2
            if until > first:
                yield (*self.world.state_of(check, self.name, first)[:1], first + 1, until,
                       self.world.state_of(check, self.name, first)[1])  # fmt: skip


class Province:
    """The collector, its agents, and the time that passes."""

    def __init__(self, directory: Path, end: int | None = None, story: tuple[Trouble, ...] = STORY) -> None:
        self.directory = directory
        self.end = end if end is not None else time.time_ns() // 1_000_000
        # no collector believes a clock from before it was made
        self.span = min(30 * DAY, self.end - EARLIEST_WALL - HOUR)
        self.clock = SimulatedClock(self.end - self.span)
        self.story = story
        self.relay = FakeRelay()
        self.agents: dict[str, ProvinceAgent] = {}
        self._relays = relays_running(self.relay)

    async def __aenter__(self) -> "Province":
        await self._relays.__aenter__()
        # counters count from when the store began, which was a month ago
        (self.directory / "state").mkdir()
        await open_store(self.database).close()
        mark_restored(self.database, "simulated", now_ms=self.clock.wall_ms())
        await self._open()
        agents = list(self.service.reader.inventory.agents)
        self.never_enrolled = agents[-1]
        for name in agents[:-1]:
            agent = self.agents[name] = ProvinceAgent(self, name)
            await agent.enrol(self.url)
        return self

    async def _open(self) -> None:
        self.service = SimulatedService(
            CollectorConfig(
                state_dir=self.directory / "state",
                inventory=INVENTORY,
                agents=AgentsConfig(listen="127.0.0.1:0"),
                operators=OperatorsConfig(listen="127.0.0.1:0"),
                alerts=ChannelSettings(from_="haidang@soctrang.example", relays=(self.relay.relay(),)),
                budgets=BudgetsConfig(strangers_per_address=100),  # all agents come from one address here, at once
            ),
            self.clock,
        )
        await self.service.start()
        self.session = aiohttp.ClientSession(f"http://127.0.0.1:{self.service.operators_port}")

    async def _close(self) -> None:
        await self.session.close()
        for agent in self.agents.values():
            await agent.close()
        await self.service.stop()

    async def __aexit__(self, *_: object) -> None:
        await self._close()
        await self._relays.__aexit__(None, None, None)

    async def restart(self) -> None:
        """The collector was off for a while: nothing of that time is missing later."""
        await self._close()
        await self._open()
        for agent in self.agents.values():
            agent.connect(self.url)

    @property
    def database(self) -> Path:
        return self.directory / "state" / "collector.db"

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.service.listener.port}"

    @property
    def metrics_address(self) -> str:
        return f"127.0.0.1:{self.service.operators_port}"

    def goes_on(self, trouble: Trouble, at: int) -> bool:
        return self.end - trouble.begin <= at < self.end - trouble.end

    async def pass_time(self, moments: list[int], then: Callable[[int], Awaitable[None]] | None = None) -> None:
        """To each moment (ms before the end), with pushes and the collector's turns; ``then`` after each."""
        for before in moments:
            if before >= self.span:
                continue
            since = self.clock.wall_ms()
            self.clock.move_to(self.end - before)
            await self.step()
            if self._changes(since, self.clock.wall_ms()):
                # incidents are confirmed, mailed and over within minutes
                for _ in range(2):
                    self.clock.move_to(self.clock.wall_ms() + 61 * SECOND)
                    await self.step()
                    await self.service.turn()
            await self.service.turn()
            if then is not None:
                await then(self.clock.wall_ms())

    def _changes(self, begin: int, end: int) -> bool:
        """Whether something of the story begins or ends."""
        return any(begin <= self.end - at < end for one in self.story for at in (one.begin, one.end))

    async def step(self) -> None:
        await asyncio.gather(*(agent.step() for agent in self.agents.values()))

    async def people_act(self) -> None:
        """Somebody takes an incident, and somebody declares maintenance."""
        now = self.clock.wall_ms()
        for incident in list(self.service.alerting.evaluator.incidents.open.values())[:2]:
            evaluator = self.service.alerting.evaluator
            task = asyncio.ensure_future(
                evaluator.command(Command(incident=incident.key, what="acknowledge", who="an", at=now))
            )
            await asyncio.sleep(0)
            await evaluator.evaluate()
            await task
        select = Selector(agencies=("so-xay-dung",))
        await self.service.store.write(
            lambda tx: declare(tx, select, now - HOUR, now + 2 * HOUR, "Thay bộ định tuyến", "an", now)
        )
        await self.service.exclusions.refresh()

    def go_live(self) -> None:
        self.clock.go_live()
        self.service.go_live()

    async def scrape(self) -> str:
        async with self.session.get("/metrics", headers={"Accept": "application/openmetrics-text"}) as response:
            return await response.text()

    # -- what there is to see

    def state_of(self, check: PlannedCheck, agent: str, at: int) -> tuple[int, str]:
        for one in self.story:
            if self.goes_on(one, at) and one.hits(check, agent):
                return one.state, one.reason
        return UP, ""

    def latency_of(self, check: PlannedCheck, agent: str, at: int) -> int:
        """Microseconds: a level of its own, a daily wave, some noise."""
        level = 3_000 + _noise(check.uid, 0) * 40_000
        if check.kind in ("http", "smtp", "imap", "mail"):
            level = 60_000 + _noise(check.uid, 0) * 300_000
        wave = 1 + 0.4 * math.sin(2 * math.pi * (at % DAY) / DAY - 1)
        return int(level * wave * (0.9 + 0.2 * _noise(check.uid, at)))

    def measure_of(self, check: PlannedCheck, agent: str, name: str, per: float, at: int) -> int | None:
        value = self._measure(check, agent, name, at)
        return None if value is None else int(value * per)

    def _measure(self, check: PlannedCheck, agent: str, name: str, at: int) -> float | None:
        own, noise = _noise(check.uid, 0), _noise(check.uid, at)
        state, _ = self.state_of(check, agent, at)
        battery = check.kind in ("ups", "power") and state == DEGRADED
        lost = check.kind in ("icmp", "path") and state == DEGRADED
        seconds, working = at / 1000, _office(at)
        on_battery = next(
            (
                (at - self.end + one.begin) / 1000
                for one in self.story
                if self.goes_on(one, at) and one.hits(check, agent)
            ),
            0.0,
        )
        age = (seconds + own * 86_400) % (13 * 3600)
        if state == DEGRADED and check.kind == "backup":
            age = 74 * 3600.0
        known: dict[str, float | None] = {
            "loss_ratio": 0.12 + 0.03 * noise if lost else (0.001 if noise > 0.8 else 0.0),
            "jitter_seconds": 0.001 + 0.004 * noise,
            "mos_score": 2.6 + noise / 5 if lost else 4.1 + noise / 5,
            "rtt_avg_seconds": self.latency_of(check, agent, at) / 1e6,
            "hosts_seen": round((5 + 25 * own) * (0.85 + 0.1 * noise if working else 0.15)),
            "share_ratio": 0.85 if working else 0.15,
            "download_bytes_per_second": 1.1e6 * (0.7 + 0.3 * noise),
            "http_status": 200,
            "certificate_expiry_timestamp_seconds": self.end / 1000 + (12 + 300 * own) * 86_400,
            "chain_expiry_timestamp_seconds": self.end / 1000 + 900 * 86_400,
            "age_seconds": age,
            "rpo_met": float(state == UP),
            "size_bytes": (1 + 9 * own) * 1e9 * (0.97 + 0.06 * noise),
            "size_ratio": 0.97 + 0.06 * noise,
            "copies": 14,
            "bad_copies": 0,
            "verified_age_seconds": age + 3600,
            "restore_age_seconds": seconds % (20 * 86_400),
            "restore_duration_seconds": 240 + 600 * own,
            "restored_files": 1_200 + round(9_000 * own),
            "restores": 3,
            "restore_failures": 0,
            "disk_used_ratio": 0.3 + 0.6 * own,
            "memory_used_ratio": 0.4 + 0.2 * own + 0.05 * noise,
            "cpu_used_ratio": 0.1 + 0.3 * noise,
            "load_ratio": 0.2 + 0.3 * noise,
            "on_mains": float(not battery),
            "on_battery": float(battery),
            "charge_ratio": max(0.2, 1 - on_battery / 4_000) if battery else 1.0,
            "runtime_seconds": max(300.0, 3_600 - on_battery) if battery else 3_600.0,
            "load_ratio_": 0.4,
            "temperature_celsius": 27 + 6 * noise,
            "replace_battery": 0,
            "input_volts": 0 if battery else 225 + 6 * noise,
            "uptime_seconds": 60 * 86_400 + seconds % 1e6,
            "interfaces_up": 20,
            "interfaces_down": float(own > 0.7),
            "in_bytes_per_second": 2e6 * (0.4 + noise) * (2 if working else 1),
            "out_bytes_per_second": 1e6 * (0.4 + noise) * (2 if working else 1),
            "utilisation_ratio": 0.2 + 0.4 * noise,
            "errors_per_second": 0.0,
            "stratum": 2,
            "answers": 1,
        }
        return known.get(name)


def _noise(uid: str, at: int) -> float:
    """Between 0 and 1, the same for the same."""
    return int.from_bytes(hashlib.blake2s(f"{uid} {at}".encode(), digest_size=4).digest()) / 2**32


def _office(at: int) -> bool:
    hour = (at // HOUR + 7) % 24
    return 7 <= hour < 17 and (at // DAY + 4) % 7 < 5
