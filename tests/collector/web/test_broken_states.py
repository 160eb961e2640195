"""A state that cannot be, in any field: its rows break, and nothing else on any page, answer or scrape, nor in an
evaluation. The state is broken on purpose, for bounds keep such a thing from coming about."""

import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from collector.ingest.states.fast_path import LatestResult, Ledger
from collector.ingest.states.state import AgentState
from collector.ledger.state_step import LedgerTail
from inventory.protocol.states import DOWN, UP
from tests.support.collector_service import CollectorHouse, PushingAgent, evaluated

WRONG = (2**70, -63_000_000_000_000, math.nan, "x", None)
INNER = {"agent", "stream", "ledger", "sums"}  # of a state: they name it, or hold what is tried by itself
MAY_BE_NONE = {"watermark", "overlay", "started", "stopped"}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[CollectorHouse]:
    async with CollectorHouse(tmp_path / "house").running() as house:
        for agent, states in (("so-ttt", [DOWN, UP, UP]), ("so-tc", [UP])):
            pushing = PushingAgent(house, agent, agent.encode().ljust(8, b"-"))
            for _ in range(3):
                await pushing.look(states)
        await evaluated(house)
        yield house


def broken_scalars(state: AgentState) -> list[AgentState]:
    """The state with one wrong value in one field of its own."""
    names = [name for name in AgentState.__struct_fields__ if name not in INNER]
    return [
        msgspec.structs.replace(state, **{name: value})
        for name in names
        for value in WRONG
        if value is not None or name not in MAY_BE_NONE
    ]


def broken(state: AgentState) -> list[tuple[str, AgentState]]:
    """The state with one wrong value in one field of a check's tail or newest result."""
    made = []
    row = next(iter(state.tails))
    for value in WRONG:
        for name in LedgerTail.__struct_fields__:
            tail = msgspec.structs.replace(state.tails[row], **{name: value})
            ledger = Ledger({**state.tails, row: tail}, state.latest)
            made.append((f"tail.{name} = {value!r}", msgspec.structs.replace(state, ledger=ledger)))
        for name in LatestResult.__struct_fields__:
            newest = msgspec.structs.replace(state.latest[row], **{name: value})
            ledger = Ledger(state.tails, {**state.latest, row: newest})
            made.append((f"latest.{name} = {value!r}", msgspec.structs.replace(state, ledger=ledger)))
    return made


async def test_a_state_with_a_field_that_cannot_be_is_never_published(house: CollectorHouse) -> None:
    fleet = house.service.ingest.fleet
    sound = fleet.agents["so-ttt"]
    for state in broken_scalars(sound):
        with pytest.raises((ValueError, TypeError)):
            fleet.publish(state)
    assert fleet.agents["so-ttt"] is sound


async def test_no_state_breaks_more_than_its_own_rows(house: CollectorHouse) -> None:
    fleet, sound = house.service.ingest.fleet, house.service.ingest.fleet.agents["so-ttt"]
    tried, rows, wrong = broken(sound), 0, list[Any]()
    assert len(tried) > 70
    for what, state in tried:
        fleet.publish(state)
        before = fleet.quarantine.rows_failed.total()
        try:
            await evaluated(house, 1)
            await house.service.goal_cache.refresh()
        except Exception as error:
            wrong.append((what, "evaluation", repr(error)))
        wrong += [(what, answer) for answer in await house.broken_answers()]
        _, page = await house.get("/agencies/so-tc?lang=en")
        if 'class="state up"' not in page or 'class="broken"' in page:
            wrong.append((what, "another agency's page"))
        rows += fleet.quarantine.rows_failed.total() - before
        assert house.held <= {"so-ttt"}
        fleet.quarantine.lift("so-ttt")
        fleet.publish(sound)
    assert wrong == []
    assert rows > 50
    assert await house.metric("haidang_collector_rows_failed_total") >= rows


async def test_a_row_that_breaks_says_so_and_its_agent_is_in_quarantine(house: CollectorHouse) -> None:
    fleet = house.service.ingest.fleet
    state = fleet.agents["so-ttt"]
    row = next(iter(state.tails))
    tail = msgspec.structs.replace(state.tails[row], state=99)
    fleet.publish(msgspec.structs.replace(state, ledger=Ledger({**state.tails, row: tail}, state.latest)))
    for _ in range(2):
        status, page = await house.get("/agencies/so-ttt?lang=en")
        assert status == 200 and page.count('<th scope="row">') >= 2
    assert house.held == {"so-ttt"}
    _, page = await house.get("/?lang=en")
    assert "in quarantine" in page and "haidang-collector release so-ttt" in page
    _, agents = await house.get("/api/v1/agents")
    held = {one["agent"]: one["quarantine"] for one in msgspec.json.decode(agents)}
    assert held["so-tc"] is None and "could not be" in held["so-ttt"]["reason"]
    assert await house.metric("haidang_collector_agents_quarantined") == 1


async def test_a_row_that_cannot_be_drawn_is_a_line_that_says_so(
    house: CollectorHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails in the template itself, not in what it is given."""
    from alerts.language.locale import Locale

    monkeypatch.setattr(Locale, "reason", lambda self, text: 1 / 0)
    status, page = await house.get("/agencies/so-ttt?lang=en")
    assert status == 200 and page.rstrip().endswith("</html>")
    assert page.count('<tr class="broken"><td colspan="99">This row cannot be shown') == 3
