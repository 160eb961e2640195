"""Series end with what they speak of: a result's with its hold, an agent's with its voice; and come back with it."""

from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from collector.metrics import agents as agent_series
from collector.metrics import fleet, measured
from collector.metrics.exposition import labels
from collector.metrics.fleet import LabelledAgent, ScrapedAgent
from inventory.protocol import kinds, states
from inventory.protocol.plan import Column
from inventory.protocol.wire import Present, Record
from tests.support.ingest_world import ChainAgent, IngestWorld, plan_of

HOLD = 70_000  # of the checks of plan_of
PRESENT = {"haidang_check_up", "haidang_check_latency_seconds", "haidang_icmp_loss_ratio"}
LASTING = {
    "haidang_check_seconds_total",
    "haidang_check_last_result_timestamp_seconds",
    "haidang_check_settled_timestamp_seconds",
}
VOICE = {
    "haidang_agent_backlog_frames",
    "haidang_agent_spool_bytes",
    "haidang_agent_looks_total",
    "haidang_agent_started_timestamp_seconds",
}
KNOWN = {
    "haidang_agent_up",
    "haidang_agent_last_seen_timestamp_seconds",
    "haidang_agent_results_taken_total",
    "haidang_agent_results_unplaceable_total",
    "haidang_agent_dead_letters_total",
}


class Page:
    """A collector with an agent of two checks, one look and its figures; and what /metrics says of it."""

    def __init__(self, world: IngestWorld, agent: ChainAgent) -> None:
        self.world = world
        self.agent = agent

    def samples(self) -> dict[str, float]:
        """Of the first check, and of the agent, by name."""
        published, now = self.world.ingest.fleet, self.world.clock.wall_ms()
        first = next(check for check in published.checks.values() if check.agent == "a1")
        checks = [(first.id, labels(check=first.name))]
        shown = [ScrapedAgent(LabelledAgent("a1", labels(agent="a1"), checks), published.agents["a1"], published)]
        text = chain(
            fleet.text(shown, now, False),
            agent_series.text(shown, now, False),
            measured.text(shown, now, kinds.load(), False),
        )
        return {sample.name: sample.value for family in parse("".join(text)) for sample in family.samples}

    async def look(self, state: int = states.UP) -> None:
        await self.agent.look_and_push(state, state, step=0)


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    world = IngestWorld(tmp_path / "collector.db")
    await world.start()
    plan = msgspec.structs.replace(plan_of(checks=2, hold=HOLD), columns={"icmp": (Column("loss_ratio", 10_000),)})
    page = Page(world, await world.agent(plan))
    start = Record(page.agent.now(), "start", {"wall_ms": world.clock.wall_ms(), "version": "1", "platform": "Linux"})
    health = {"spool_bytes": 4096.0, "looks": 7.0}
    await page.agent.push(page.agent.batch(page.agent.all(states.UP), records=[start]), health=health)
    yield page
    await world.ingest.stop()
    await world.ingest.store.close()


async def test_a_results_series_end_with_its_hold_and_come_back_with_the_next(page: Page) -> None:
    first = page.samples()
    assert first.keys() >= PRESENT | LASTING
    page.world.clock.advance(HOLD)
    assert page.samples().keys() >= PRESENT
    page.world.clock.advance(1)
    silent = page.samples()
    assert not silent.keys() & PRESENT
    assert {name: silent[name] for name in LASTING} == {name: first[name] for name in LASTING}
    await page.look()
    assert page.samples().keys() >= PRESENT | LASTING


async def test_the_present_state_beside_a_backlog_brings_no_old_figures_back(page: Page) -> None:
    """The agent says that the check is up; its results of now are still to come."""
    page.world.clock.advance(3_600_000)
    agent, now = page.agent, page.agent.now()
    present = Present(agent.plan.digest, agent.boot, now, bytes([states.UP] * 2), [now - 1_000] * 2, [20] * 2)
    await agent.push(backlog=500, present=present)
    assert page.samples().keys() & PRESENT == {"haidang_check_up"}


async def test_a_look_that_could_not_be_made_has_no_figures(page: Page) -> None:
    await page.look(states.UNKNOWN)
    assert not page.samples().keys() & PRESENT


async def test_what_a_silent_agent_said_of_itself_ends_and_comes_back(page: Page) -> None:
    heard = page.samples()
    assert heard.keys() >= VOICE | KNOWN
    assert heard["haidang_agent_up"] == 1
    page.world.clock.advance(fleet.PATIENCE + 1)
    silent = page.samples()
    assert not silent.keys() & VOICE
    assert silent["haidang_agent_up"] == 0
    assert {name: silent[name] for name in KNOWN - {"haidang_agent_up"}} == {
        name: heard[name] for name in KNOWN - {"haidang_agent_up"}
    }
    await page.look()
    back = page.samples()
    assert back.keys() >= VOICE | KNOWN
    assert back["haidang_agent_up"] == 1
