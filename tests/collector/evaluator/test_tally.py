"""Incidents counted for good: opened, taken, over, told; across restarts, crashes and what is known better later."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alerts.incident.entities import Command
from alerts.incident.tally import IncidentTally
from inventory.protocol.states import DOWN, UP
from tests.support.evaluator_world import HOUR, MINUTE, SECOND, EvaluatorWorld


@pytest.fixture
async def centre(tmp_path: Path) -> AsyncIterator[EvaluatorWorld]:
    world = EvaluatorWorld(tmp_path)
    await world.start()
    await world.step(2 * MINUTE)
    yield world
    await world.stop()


def tally(world: EvaluatorWorld) -> IncidentTally:
    return world.evaluator.incidents.tally


async def test_an_outage_is_counted_once_whatever_happens_to_the_collector(centre: EvaluatorWorld) -> None:
    await centre.step(3 * MINUTE, web=DOWN)
    incident = centre.only_incident()
    assert tally(centre).opened == {incident.cause.cause: {incident.severity: 1}}
    await centre.restart()
    await centre.step(1 * MINUTE)
    task = asyncio.ensure_future(
        centre.evaluator.command(Command(incident=incident.key, what="acknowledge", who="an", at=centre.now))
    )
    await asyncio.sleep(0)
    await centre.step(30 * SECOND)
    await task
    await centre.step(5 * MINUTE, web=UP)
    assert centre.open == []
    counted = tally(centre)
    assert counted.opened == {incident.cause.cause: {incident.severity: 1}}
    assert (sum(counted.acknowledge.counts), sum(counted.recover.counts)) == (1, 1)
    assert 60 < counted.acknowledge.sum < 240
    assert 240 < counted.recover.sum < 360
    await centre.restart()
    assert tally(centre) == counted
    await centre.step(2 * HOUR)
    assert tally(centre) == counted  # revised or digested or not
    await centre.step(3 * MINUTE, web=DOWN)
    assert sum(sum(one.values()) for one in tally(centre).opened.values()) == 2


async def test_mails_that_a_relay_took_are_counted_by_the_time_since_the_fault(tmp_path: Path) -> None:
    told: list[float] = []

    def accepted() -> list[float]:
        taken = told[:]
        told.clear()
        return taken

    world = EvaluatorWorld(tmp_path, accepted=accepted)
    await world.start()
    await world.step(10 * SECOND)
    told.extend([42.0, 900.5])
    await world.step(5 * SECOND)
    assert (sum(tally(world).mail.counts), tally(world).mail.sum) == (2, 942.5)
    await world.restart()
    assert tally(world).mail.sum == 942.5
    await world.stop()
