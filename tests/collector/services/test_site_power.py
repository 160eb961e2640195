"""The power of a site as a whole: from what its UPSs' ledgers say and what feeds what, counted as it settles."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from collector.ledger.power import durations_by_source, site_timeline
from collector.ledger.timeline import EXCLUDED, TimelineSegment
from collector.metrics import exposition
from collector.queries.reader import LedgerReader
from collector.services.metrics import SitePowerMetrics
from collector.services.site_power import SitePower, feeds_of, ups_of
from inventory.assembly.load import load
from inventory.assembly.planning import plan_of
from inventory.model.entities import Inventory
from inventory.protocol.plan import Column, Plan
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.ingest_world import ChainAgent, IngestWorld

M, B, N, Q = UP, DEGRADED, DOWN, UNKNOWN  # mains, battery, none, not known


@pytest.mark.parametrize(
    ("feeds", "state"),
    [
        ([[M]], M), ([[B]], B), ([[N]], N), ([[Q]], Q),
        ([[M, N]], M), ([[B, N]], B), ([[N, N]], N),  # one instead of another
        ([[M, B]], M), ([[M, Q]], M), ([[B, Q]], Q), ([[N, Q]], Q),  # who is not heard may be on mains
        ([[M], [M]], M), ([[M], [B]], B), ([[B], [N]], N), ([[M], [Q]], Q), ([[B], [Q]], Q), ([[N], [Q]], N),
        ([[M, N], [N]], N), ([[M, N], [B]], B), ([[M], [M, B], [B]], B), ([[EXCLUDED, M]], M), ([[EXCLUDED]], EXCLUDED),
    ],
)  # fmt: skip
def test_what_feeds_it_decides(feeds: list[list[int]], state: int) -> None:
    made = site_timeline([[[TimelineSegment(0, 10, ups)] for ups in feed] for feed in feeds])
    assert [segment.state for segment in made] == [state]


lines = st.lists(st.tuples(st.sampled_from([M, B, N, Q, EXCLUDED]), st.integers(1, 4)), min_size=1, max_size=5)


@given(st.lists(st.lists(lines, min_size=1, max_size=3), min_size=1, max_size=3))
def test_moment_by_moment_it_is_the_same(feeds: list[list[list[tuple[int, int]]]]) -> None:
    """Against the words of the definition, at every moment by itself."""

    def drawn(line: list[tuple[int, int]]) -> list[TimelineSegment]:
        segments, at = [], 0
        for state, length in line:
            segments.append(TimelineSegment(at, at + length, state))
            at += length
        return [*segments, TimelineSegment(at, 30, EXCLUDED)]

    timelines = [[drawn(line) for line in feed] for feed in feeds]
    made = site_timeline(timelines)
    for moment in range(30):
        now = [[next(s.state for s in line if s.start <= moment < s.end) for line in feed] for feed in timelines]
        possible = {_definition([[one for one in feed if one != EXCLUDED] for feed in now], q) for q in (M, N)}
        said = next((s.state for s in made if s.start <= moment < s.end), EXCLUDED)
        assert said == (possible.pop() if len(possible) == 1 else UNKNOWN), (moment, now)
    assert sum(durations_by_source(made)) == sum(s.end - s.start for s in made if s.state != EXCLUDED)


def _definition(feeds: list[list[int]], unknown: int) -> int:
    """With all that is not known taken for the best, or for the worst: then it is as bad as the worst feed's best."""
    present = [min(unknown if one == Q else one for one in feed) for feed in feeds if feed]
    return max(present) if present else EXCLUDED


PROVINCE = """
province: {id: p, name: P}
agencies:
  den:
    name: D
    site:
      agent: {networks: [192.0.2.0/24]}
      fed_by: %s
      devices:
        a: {kind: ups, address: 192.0.2.10}
        b: {kind: ups, address: 192.0.2.11}
        loi: {kind: network, address: 192.0.2.2%s}
      checks:
        power-a: {kind: power, params: {host: 192.0.2.10}, interval: 30s, timeout: 10s}
        nguon-b: {kind: power, params: {host: 192.0.2.11}, interval: 30s, timeout: 10s}
"""


def inventory(folder: Path, site: str, core: str = "") -> Inventory:
    folder.mkdir(exist_ok=True)
    (folder / "all.yaml").write_text(PROVINCE % (site, f", fed_by: {core}" if core else ""), "utf-8")
    return load(folder)


@pytest.mark.parametrize(
    ("site", "core", "feeds"),
    [
        ("[a]", "", [{"den-a"}]),
        ("[a]", "[a, b]", [{"den-a"}, {"den-a", "den-b"}]),
        ("[a, b]", "", [{"den-a", "den-b"}]),
        ("[]", "", [{"den-a", "den-b"}]),  # nobody said: together
        ("[]", "[b]", [{"den-b"}]),
    ],
)
def test_the_feeds_are_the_inventorys(tmp_path: Path, site: str, core: str, feeds: list[set[str]]) -> None:
    found = inventory(tmp_path, site, core)
    about = {check.key: ups_of(check, found) for check in found.checks.values()}
    assert about == {"power-a": "den-a", "nguon-b": "den-b"}, "by the address, whatever its name"
    assert feeds_of("den", about.values(), found) == feeds
    assert feeds_of("den", {"den-a"}, found) == [feed for feed in feeds if "den-a" in feed] or [{"den-a"}]


class Place:
    """A collector's world with one agent at the site, and the site's power counted over it."""

    def __init__(self, world: IngestWorld, found: Inventory) -> None:
        self.world = world
        self.source = SimpleNamespace(current=found, version=1)  # what the inventories are to a reader
        self.plan = _plan(found)
        self.begin()

    def begin(self) -> None:
        ingest = self.world.ingest
        self.reader = LedgerReader(ingest.store, ingest.fleet, self.source, self.world.clock.wall_ms)
        self.power = SitePower(ingest.store, self.reader)

    async def agent(self) -> ChainAgent:
        return await self.world.agent(self.plan)

    async def seconds(self) -> dict[str, float]:
        await self.power.refresh()
        counted = list(SitePowerMetrics(self.power, self.reader).metrics())
        classic, modern = ("".join(exposition.text(counted, openmetrics)) for openmetrics in (False, True))
        samples = [s for family in parse(classic) for s in family.samples]
        assert samples == [s for family in parse_openmetrics(modern + "# EOF\n") for s in family.samples]
        assert all((s.labels["agency"], s.labels["site"]) == ("den", "den") for s in samples)
        return {s.labels["source"]: s.value for s in samples}


def _plan(found: Inventory) -> Plan:
    """Checks in the order of their names: nguon-b, then power-a."""
    made = plan_of(found, "den")
    return msgspec.structs.replace(made, columns={kind: (Column("m0", 10),) for kind in ("icmp", "power")})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[IngestWorld]:
    made = IngestWorld(tmp_path / "collector.db")
    await made.start()
    yield made
    await made.ingest.stop()
    await made.ingest.store.close()


async def told(agent: ChainAgent, *looks: tuple[int, int], times: int = 4) -> None:
    for b, a in looks:
        for _ in range(times):
            assert (await agent.look_and_push(b, a)).verdict == "taken"


async def test_a_redundant_site_has_power_while_one_ups_has(world: IngestWorld, tmp_path: Path) -> None:
    place = Place(world, inventory(tmp_path / "inventory", "[a, b]"))
    assert await place.seconds() == {}, "nothing before the first look"
    agent = await place.agent()
    await told(agent, (M, M), (M, N), (B, N), (N, N), (M, M))
    # 20 looks, 30 s apart; each edge lies in the middle between two looks
    assert await place.seconds() == {"mains": 105 + 120 + 105, "battery": 120, "none": 120, "unknown": 0}
    await told(agent, (M, M), times=2)
    again = await place.seconds()
    assert again == {"mains": 390, "battery": 120, "none": 120, "unknown": 0}
    assert await place.seconds() == again, "counting again without news changes nothing"


async def test_a_site_is_as_well_off_as_its_worst_feed(world: IngestWorld, tmp_path: Path) -> None:
    place = Place(world, inventory(tmp_path / "inventory", "[a]", "[b]"))
    await told(await place.agent(), (M, M), (B, M), (B, N), (Q, M))
    # a's power is back 15 s before b says nothing any more
    assert await place.seconds() == {"mains": 105, "battery": 120 + 15, "none": 120, "unknown": 90}


async def test_it_goes_on_after_a_restart_and_never_back_when_the_wiring_changes(
    world: IngestWorld, tmp_path: Path
) -> None:
    place = Place(world, inventory(tmp_path / "inventory", "[a]"))
    agent = await place.agent()
    await told(agent, (N, M))
    before = await place.seconds()
    assert before == {"mains": 90, "battery": 0, "none": 0, "unknown": 0}
    await place.power.save()
    await told(agent, (N, M), times=2)
    await world.crash()
    agent.ingest = world.ingest
    place.source.current = inventory(tmp_path / "inventory", "[b]")  # from now on it hangs on the one without power
    place.begin()
    await place.power.load()
    assert {source: ms for source, ms in (await place.seconds()).items() if ms} == {"mains": 90, "none": 60}
    await told(agent, (N, M), times=2)
    assert {source: ms for source, ms in (await place.seconds()).items() if ms} == {"mains": 90, "none": 120}


async def test_a_new_incarnation_starts_at_0(world: IngestWorld, tmp_path: Path) -> None:
    place = Place(world, inventory(tmp_path / "inventory", "[a]"))
    agent = await place.agent()
    await told(agent, (M, M))
    await place.seconds()
    await place.power.save()
    now = world.clock.wall_ms()
    await world.ingest.store.write(lambda tx: tx.incarnations.begin("restored", now))
    await world.crash()
    agent.ingest = world.ingest
    place.begin()
    await place.power.load()
    assert place.power.counters == {}
    await told(agent, (M, M), times=2)
    assert await place.seconds() == {"mains": 60, "battery": 0, "none": 0, "unknown": 0}


async def test_it_waits_for_the_one_that_may_still_send_its_past(world: IngestWorld, tmp_path: Path) -> None:
    """Two agents look at the two UPSs; one is cut off, and brings what it saw later."""
    place = Place(world, inventory(tmp_path / "inventory", "[a, b]"))
    agent = await place.agent()
    await told(agent, (M, M))
    world.clock.advance(30_000)
    only_a: Any = [(1, agent.now(), N)]
    assert (await agent.push(agent.batch(only_a))).verdict == "taken"
    assert (await place.seconds())["mains"] == 90, "b's ledger ends before"
