"""A circuit's minutes down by provider and cause: against the truth, whose they were that day, and counted in steps."""

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from collector.causes.links import SettledDowntime, additions, outages, settled
from collector.causes.topology import Topology
from collector.ledger.windows import midnight
from inventory.model.entities import FormerProvider
from tests.collector.causes.test_stories import fault, hand
from tests.collector.causes.test_truth import evidence, topology
from tests.support.histories import (
    HOUR,
    LINES,
    MINUTE,
    SECOND,
    T0,
    EstateFault,
    EstateHistory,
    random_faults,
    random_world,
)

SITES = {"a": "a", "b": "b", "c-one": "c", "c-two": "c"}


def ms_of(world: EstateHistory, link: str, cause: str) -> int:
    found = outages(topology(), evidence(world), link, (world.begin, world.end))
    return sum(one.end - one.start for one in found if one.cause.cause == cause)


def test_a_cut_is_its_providers() -> None:
    world = EstateHistory([fault("line", "b", 20, 30)], HOUR, 1)
    found = outages(topology(), evidence(world), "b", (world.begin, world.end))
    assert [(one.provider, one.cause.root, len(one.checks)) for one in found] == [("p2", "wan:b", 2)]
    assert found[0].end - found[0].start == pytest.approx(10 * MINUTE, abs=30 * SECOND)
    assert found[0].cause.certainty == "sure" and found[0].cause.because
    for link in ("a", "c-one", "c-two"):
        assert outages(topology(), evidence(world), link, (world.begin, world.end)) == []


def test_power_and_the_lan_and_the_hub_are_nobodys_claim() -> None:
    world = EstateHistory(
        [fault("power", "a", 20, 30), fault("router", "b", 20, 30), fault("router", "hub", 40, 45)], HOUR, 1
    )
    for link in LINES:
        if link in SITES:
            assert ms_of(world, link, "wan") == 0
    assert ms_of(world, "a", "power") > 5 * MINUTE
    assert ms_of(world, "b", "lan") > 10 * MINUTE
    assert ms_of(world, "c-two", "lan") == pytest.approx(5 * MINUTE, abs=30 * SECOND)


def test_it_is_up_while_either_side_proves_it_up() -> None:
    """The centre's agent alone does not reach the site: its own check is at fault, not the circuit."""
    world = EstateHistory([], HOUR, 1)
    known = evidence(world)
    seen = next(check for check in world.checks if check.key == "from-hub" and check.site == "b")
    down = EstateHistory([fault("line", "b", 20, 30)], HOUR, 1).spans(seen.uid)
    mixed = replace(known, spans=lambda uid: down if uid == seen.uid else known.spans(uid))
    assert outages(topology(), mixed, "b", (world.begin, world.end)) == []


def test_an_outage_over_the_day_on_which_the_provider_changed_is_cut_there() -> None:
    inventory = topology().inventory
    zone = inventory.province.zone
    changed = (datetime.fromtimestamp(T0 / 1000, UTC).astimezone(zone) + timedelta(days=1)).date()
    turn = midnight(changed, zone)
    link = replace(inventory.links["b"], formerly=(FormerProvider(provider="p1", until=changed),))
    other = Topology.of(replace(inventory, links={**inventory.links, "b": link}))
    begin = (turn - T0) // MINUTE - 5
    world = EstateHistory([fault("line", "b", begin, begin + 12)], (begin + 60) * MINUTE, 1)
    found = outages(other, evidence(world), "b", (world.begin, world.end))
    assert [one.provider for one in found] == ["p1", "p2"]
    assert found[0].end == found[1].start == turn


def test_what_is_down_longer_than_the_truth_is_an_edge() -> None:
    """Never more than the edges allow, in a hundred random histories; and the provider pays for no other's fault."""
    for seed in range(100):
        world = random_world(seed)
        for link, place in SITES.items():
            error = 2 * max(world.errors[agent] for agent in (place, "thdl"))
            slack = 2 * (35 * SECOND + error)
            for one in outages(topology(), evidence(world), link, (world.begin, world.end)):
                if one.cause.cause == "wan" and one.cause.certainty == "sure":
                    near = [(b - slack, e + slack) for b, e in world.times("line", link)]
                    assert any(b <= one.start and one.end <= e for b, e in near), (seed, link)


def test_of_two_sides_the_one_that_knows_tells_the_cause() -> None:
    """The site's times may be off by ten minutes, in which the hub's router was dead once: its own check knows nothing
    of why. The centre's does."""
    at = hand(120)
    at.looks("thdl", "gateway", "U" * 60 + "D" * 4 + "U" * 56)
    at.looks("thdl", "b.from-hub", "U" * 44 + "D" * 8 + "U" * 8 + "D" * 4 + "U" * 56)
    at.looks("b", "gateway", "U" * 120, error=10 * MINUTE)
    at.looks("b", "hub", "U" * 44 + "D" * 8 + "U" * 68, error=10 * MINUTE)
    assert [cause for _, _, cause, _ in at.said("b", "hub")] == ["not known"]
    found = outages(at.topology, at.evidence(), "b", (0, 58 * at.every))
    assert [(one.cause.cause, one.cause.certainty) for one in found] == [("wan", "sure")]


# -- counted in steps


def told_by(world: EstateHistory, told: dict[str, int]) -> SettledDowntime:
    return additions(topology(), evidence(world, told, max(told.values())), "b", world.begin)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 400),
    st.sampled_from(("a", "b", "c-one", "c-two")),
    st.lists(st.tuples(st.sampled_from(("a", "b", "c", "thdl")), st.integers(1, 40)), max_size=25),
)
def test_however_time_is_cut_into_steps_the_additions_come_to_the_same(
    seed: int, link: str, steps: list[tuple[str, int]]
) -> None:
    """Each agent tells in its own time; after every batch what has settled is added. In the end all is told at once."""
    dice = Random(seed)
    cut = EstateFault("line", link, T0 + 30 * MINUTE, T0 + dice.randrange(32, 80) * MINUTE)
    errors = {agent: dice.choice((0, 200, 2_000, 20_000)) for agent in ("a", "b", "c", "thdl")}
    world = EstateHistory([cut, *random_faults(dice, 2 * HOUR)], 2 * HOUR, seed, errors)
    told = dict.fromkeys(world.received, world.begin + MINUTE)
    at, total = world.begin, dict[tuple[str, str], int]()
    for agent, minutes in (*steps, *((agent, 300) for agent in world.received)):
        told[agent] = min(told[agent] + minutes * MINUTE, world.end)
        step = additions(topology(), evidence(world, told, max(told.values())), link, at)
        assert step.until >= at
        at = step.until
        for key, ms in step.down.items():
            assert ms > 0
            total[key] = total.get(key, 0) + ms
    everything = dict.fromkeys(world.received, world.end)
    whole = additions(topology(), evidence(world, everything, world.end), link, world.begin)
    assert (at, total) == (whole.until, whole.down)
    assert total or whole.until < cut.end + HOUR


def test_an_outage_is_counted_once_it_is_over_and_both_sides_have_told_it() -> None:
    world = EstateHistory([fault("line", "b", 20, 30)], HOUR, 1)
    behind = dict.fromkeys(world.received, world.end) | {"b": T0 + 19 * MINUTE}
    early = told_by(world, behind)
    assert early.down == {} and early.until <= T0 + 19 * MINUTE
    late = told_by(world, dict.fromkeys(world.received, world.end))
    assert late.until > T0 + 30 * MINUTE
    assert late.down.keys() == {("p2", "wan")}


def test_an_end_that_will_never_tell_more_holds_nothing_up() -> None:
    """An agent that has ended its life: all that it had to say is in."""
    world = EstateHistory([fault("line", "b", 20, 30)], HOUR, 1)
    ended = additions(topology(), evidence(world), "b", world.begin)
    assert ended.until == world.end - 10 * MINUTE and ended.down.keys() == {("p2", "wan")}
    nobody = replace(evidence(world), spans=lambda uid: [])
    assert settled(topology(), nobody, "b") == 0


def test_what_has_settled_moves_on_while_nothing_is_wrong() -> None:
    world = EstateHistory([], HOUR, 1)
    everything = dict.fromkeys(world.received, world.end)
    known = evidence(world, everything, world.end)
    assert world.end - 15 * MINUTE < settled(topology(), known, "b") < world.end
    going_on = EstateHistory([EstateFault("line", "b", T0 + 40 * MINUTE, T0 + 2 * HOUR)], HOUR, 1)
    begun = settled(topology(), evidence(going_on, everything, world.end), "b")
    assert T0 + 39 * MINUTE < begun <= T0 + 40 * MINUTE + 30 * SECOND
