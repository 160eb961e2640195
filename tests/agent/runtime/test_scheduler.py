"""The schedule on a clock of its own: hours pass in milliseconds, and the machine can fall asleep."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from ipaddress import ip_network
from itertools import pairwise
from typing import Any, ClassVar

import msgspec
import pytest

from agent.probe import Limits, Outcome, Probe, ProbeContext, skipped, unknown
from agent.runtime.run_once import ProbeRunner
from agent.runtime.scheduler import MAX_SLOTS, MIN_SLOTS, Scheduler, outside_limits, slots_for
from agent.runtime.ticks import FIRST_WITHIN
from agent.spool import CheckResult
from inventory.protocol.plan import Column, Plan, PlannedCheck
from inventory.protocol.states import DOWN, UNKNOWN, UP
from tests.support.loop import SkippingLoop
from tests.support.outcomes import down, up


@pytest.fixture
def world() -> Iterator[SkippingLoop]:
    loop = SkippingLoop()
    yield loop
    loop.close()


Behaviour = Callable[[ProbeContext], Awaitable[Outcome]]


class Scripted(Probe):
    """A probe that does what the test says."""

    kind: ClassVar[str] = "scripted"
    target: ClassVar[tuple[str, ...]] = ("host",)
    host: str = "192.0.2.1"
    port: int | None = None

    async def run(self, look: ProbeContext) -> Outcome:
        return await BEHAVIOURS[self.host](look)

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return ((self.host, self.port),)


BEHAVIOURS: dict[str, Behaviour] = {}


def build(kind: str, params: Mapping[str, Any]) -> Probe:
    if kind != "scripted":
        raise ValueError(f"there is no kind of probe {kind!r}")
    return msgspec.convert(dict(params), Scripted)


def check(
    number: int = 0, *, host: str = "", interval: int = 30_000, timeout: int = 10_000, **more: Any
) -> PlannedCheck:
    uid = f"{number * 7_919:016x}"
    return PlannedCheck(
        uid=uid, name=f"check-{number}", kind=more.pop("kind", "scripted"), interval=interval, timeout=timeout,
        hold=2 * interval + timeout, recheck=more.pop("recheck", 5_000),
        params={"host": host or f"192.0.2.{number}", **more.pop("params", {})}, **more,
    )  # fmt: skip


def plan(*checks: PlannedCheck, columns: tuple[Column, ...] = ()) -> Plan:
    return Plan(agent="a", agency="a", site="a", checks=checks, columns={"scripted": columns})


class Taken:
    """What the schedule recorded."""

    def __init__(self) -> None:
        self.results: list[CheckResult] = []
        self.news: list[CheckResult] = []

    def __call__(self, result: CheckResult, news: bool) -> None:
        self.results.append(result)
        if news:
            self.news.append(result)

    @property
    def changes(self) -> list[CheckResult]:
        """The news that is a change of state."""
        before: dict[int, int] = {}
        found = []
        for result in self.news:
            if before.get(result.check) != result.state:
                found.append(result)
            before[result.check] = result.state
        return found

    def of(self, place: int) -> list[CheckResult]:
        return [result for result in self.results if result.check == place]

    def gaps(self, place: int = 0) -> list[int]:
        at = [result.at for result in self.of(place)]
        return [after - before for before, after in pairwise(at)]


def play(world: SkippingLoop, story: Callable[[Scheduler, Taken], Coroutine[Any, Any, None]], **options: Any) -> Taken:
    """Run a story with a scheduler in a world, to its end."""
    taken = Taken()

    async def told() -> None:
        scheduler = Scheduler(clock=world, build=build, on_result=taken, **options)
        try:
            await story(scheduler, taken)
            if scheduler.failed.done():
                scheduler.failed.result()
        finally:
            await scheduler.stop()
            scheduler.failed.cancel()

    world.run_until_complete(told())
    return taken


def always(outcome: Outcome, takes: float = 0.01) -> Behaviour:
    async def run(look: ProbeContext) -> Outcome:
        await asyncio.sleep(takes)
        return outcome

    return run


def down_between(world: SkippingLoop, begin: int, end: int, takes: float = 0.01) -> Behaviour:
    async def run(look: ProbeContext) -> Outcome:
        state = down("refused") if begin <= world.boot_ms() < end else up(0.001)
        await asyncio.sleep(takes)
        return state

    return run


def test_ticks_are_steady_over_a_day(world: SkippingLoop) -> None:
    BEHAVIOURS["192.0.2.1"] = always(up(), takes=3.7)

    async def day(scheduler: Scheduler, taken: Taken) -> None:
        scheduler.apply_plan(plan(check(1)))
        await asyncio.sleep(86_400)

    taken = play(world, day)
    assert set(taken.gaps()[1:]) == {30_000}
    assert taken.gaps()[0] <= 45_000
    assert {result.at % 30_000 for result in taken.results[1:]} == {7_919}


def test_starts_are_spread(world: SkippingLoop) -> None:
    checks = [check(number, host="192.0.2.1", interval=60_000) for number in range(300)]
    BEHAVIOURS["192.0.2.1"] = always(up())

    async def minutes(scheduler: Scheduler, taken: Taken) -> None:
        scheduler.apply_plan(plan(*checks))
        await asyncio.sleep(300)

    taken = play(world, minutes)
    first = [taken.of(place)[0].at for place in range(300)]
    assert max(first) - min(first) <= FIRST_WITHIN
    per_second = [0] * 60
    for result in taken.results:
        if result.at >= 1_000_000 + 120_000:
            per_second[result.at % 60_000 // 1000] += 1
    assert max(per_second) <= 4 * sum(per_second) / 60


def test_a_hanging_check_delays_no_other_and_does_not_overlap_itself(world: SkippingLoop) -> None:
    inside = 0

    async def hang(look: ProbeContext) -> Outcome:
        nonlocal inside
        inside += 1
        assert inside == 1
        try:
            await asyncio.sleep(1e6)
        finally:
            try:
                await asyncio.sleep(1e4)  # will not go when told to
            finally:
                inside -= 1
        raise AssertionError

    BEHAVIOURS["192.0.2.1"] = hang
    BEHAVIOURS["192.0.2.2"] = always(up())

    async def hour(scheduler: Scheduler, taken: Taken) -> None:
        scheduler.apply_plan(plan(check(1), check(2)))
        await asyncio.sleep(3_600)

    taken = play(world, hour)
    assert set(taken.gaps(1)[1:]) == {30_000}
    assert len(taken.of(0)) == 1  # one look, then none while its probe is still at it
    assert taken.of(0)[0].state == UNKNOWN
    assert "did not end within 10 s" in taken.of(0)[0].reason


def test_a_full_outage_keeps_every_check_within_its_hold(world: SkippingLoop) -> None:
    """300 checks that all run into their timeout: no queue may stretch their gaps past the hold."""
    checks = [check(number, host="192.0.2.1") for number in range(300)]

    async def timeout(look: ProbeContext) -> Outcome:
        await asyncio.sleep(look.timeout)
        return down("no answer within 10 s")

    BEHAVIOURS["192.0.2.1"] = timeout

    async def minutes(scheduler: Scheduler, taken: Taken) -> None:
        scheduler.apply_plan(plan(*checks))
        await asyncio.sleep(600)

    taken = play(world, minutes)
    assert max(max(taken.gaps(place)) for place in range(300)) <= 15_000


def test_no_more_looks_at_once_than_slots_and_the_clock_starts_with_the_slot(world: SkippingLoop) -> None:
    at_once = most = 0

    async def busy(look: ProbeContext) -> Outcome:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(5)
        at_once -= 1
        return up()

    BEHAVIOURS["192.0.2.1"] = busy
    one = check(1, interval=600_000, recheck=60_000)
    checks = [msgspec.structs.replace(one, uid=f"{number * FIRST_WITHIN:016x}") for number in range(120)]

    async def minute(scheduler: Scheduler, taken: Taken) -> None:
        scheduler.apply_plan(plan(*checks))
        await asyncio.sleep(28)

    taken = play(world, minute)
    assert most == MIN_SLOTS == slots_for(tuple(checks))
    assert len({result.at for result in taken.results}) >= 3  # the later ones say when they really began


def test_an_outage_has_its_end_known_within_recheck_and_its_beginning_within_an_interval(world: SkippingLoop) -> None:
    begin, end = 1_000_000 + 1_234_567, 1_000_000 + 9_876_543
    BEHAVIOURS["192.0.2.1"] = down_between(world, begin, end)

    async def story(scheduler: Scheduler, taken: Taken) -> None:
        scheduler.apply_plan(plan(check(1)))
        await world.until(end + 3_600_000)

    taken = play(world, story)
    assert [result.state for result in taken.changes] == [DOWN, UP]
    looks = taken.results
    fell, rose = (looks.index(change) for change in taken.changes)
    assert begin <= looks[fell].at <= begin + 30_000
    assert looks[rose].at - looks[rose - 1].at <= 10_000
    middle = (looks[rose].at + looks[rose - 1].at) / 2
    assert abs(middle - end) <= 5_000
    after = [result.at for result in looks[rose:]]
    gaps = [late - early for early, late in pairwise(after)]
    assert gaps[:5] == [5_000, 7_500, 11_250, 16_875, 25_312]
    assert set(gaps[6:]) == {30_000}


def test_after_a_sleep_there_is_no_burst_and_the_look_across_it_is_no_evidence(world: SkippingLoop) -> None:
    async def slept_through(look: ProbeContext) -> Outcome:
        await asyncio.sleep(1)
        if 1_000_000 + 95_000 <= world.boot_ms() <= 1_000_000 + 130_000 and not world.asleep_ms:
            world.asleep_ms = 3_600_000
            return down("the connection broke")
        return up()

    BEHAVIOURS["192.0.2.1"] = slept_through

    async def story(scheduler: Scheduler, taken: Taken) -> None:
        scheduler.apply_plan(plan(check(1)))
        await asyncio.sleep(600)

    taken = play(world, story)
    assert [result.state for result in taken.changes] == [UNKNOWN, UP]
    assert "asleep" in taken.changes[0].reason
    assert 3_600_000 - 30_000 < max(taken.gaps()) < 3_600_000 + 45_000
    assert min(taken.gaps()) >= 5_000


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (ValueError("x"), "the probe failed: ValueError: x"),
        ("up", "not an outcome"),
        (Outcome(9), "not an outcome"),
    ],
)
def test_a_bug_in_a_probe_is_unknown_and_told_once(
    world: SkippingLoop, outcome: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(look: ProbeContext) -> Outcome:
        if isinstance(outcome, Exception):
            raise outcome
        found: Outcome = outcome
        return found

    BEHAVIOURS["192.0.2.1"] = broken

    async def story(scheduler: Scheduler, taken: Taken) -> None:
        scheduler.apply_plan(plan(check(1)))
        await asyncio.sleep(600)

    taken = play(world, story)
    assert len(taken.results) > 10
    assert {result.state for result in taken.results} == {UNKNOWN}
    assert words in taken.results[0].reason
    assert sum("a fault in it" in record.message for record in caplog.records) == 1


def test_measures_that_are_no_numbers_end_nothing(world: SkippingLoop) -> None:
    BEHAVIOURS["192.0.2.1"] = always(Outcome(UP, "", 0.1, {"m": "many"}))  # type: ignore[dict-item]
    BEHAVIOURS["192.0.2.2"] = always(up(m=3))

    async def story(scheduler: Scheduler, taken: Taken) -> None:
        scheduler.apply_plan(plan(check(1), check(2), columns=(Column("m", 1),)))
        await asyncio.sleep(100)

    taken = play(world, story)
    assert {(result.state, result.values) for result in taken.of(0)} == {(UNKNOWN, (None,))}
    assert {(result.state, result.values) for result in taken.of(1)} == {(UP, (3,))}


def test_a_new_plan_leaves_shared_checks_their_rhythm_and_state(world: SkippingLoop) -> None:
    for host in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        BEHAVIOURS[host] = always(up())

    async def story(scheduler: Scheduler, taken: Taken) -> None:
        scheduler.apply_plan(plan(check(1), check(2)))
        await asyncio.sleep(100)
        before = scheduler.present(b"")
        scheduler.apply_plan(plan(check(3), check(1)))
        now = scheduler.present(b"")
        assert (now.states[1], now.since[1], now.looks[1]) == (UP, before.since[0], before.looks[0])
        assert (now.states[0], now.looks[0]) == (UNKNOWN, 0)
        taken.results.append(CheckResult(99, 0, UP, None, ()))  # the border between the plans
        await asyncio.sleep(100)

    taken = play(world, story)
    border = next(place for place, result in enumerate(taken.results) if result.check == 99)
    old, new = taken.results[:border], taken.results[border + 1 :]
    first = [result.at for result in old if result.check == 0] + [result.at for result in new if result.check == 1]
    assert {after - before for before, after in pairwise(first[1:])} == {30_000}
    gone_after = max(result.at for result in old if result.check == 1)
    assert all(result.at > gone_after or result.check != 1 for result in new)
    assert {result.check for result in new} == {0, 1}


def test_a_new_interval_counts_at_once(world: SkippingLoop) -> None:
    BEHAVIOURS["192.0.2.1"] = always(up())

    async def story(scheduler: Scheduler, taken: Taken) -> None:
        scheduler.apply_plan(plan(check(1, interval=3_600_000)))
        await asyncio.sleep(120)
        taken.results.clear()
        scheduler.apply_plan(plan(check(1, interval=10_000)))
        await asyncio.sleep(100)
        assert scheduler.present(b"").looks[0] == len(taken.results) + 1

    assert len(play(world, story).results) == 10


def test_what_is_outside_the_agents_own_limits_never_runs(world: SkippingLoop) -> None:
    ran: list[float] = []

    async def run(look: ProbeContext) -> Outcome:
        ran.append(look.timeout)
        return up()

    BEHAVIOURS["192.0.2.1"] = BEHAVIOURS["198.51.100.1"] = run
    limits = Limits(networks=(ip_network("198.51.100.0/24"),), ports=(80, 443))
    refused: list[tuple[str, str]] = []

    async def story(scheduler: Scheduler, taken: Taken) -> None:
        refused.extend(
            scheduler.apply_plan(
                plan(
                    check(1, host="192.0.2.1", timeout=1_000),
                    check(2, host="198.51.100.1", timeout=2_000, params={"port": 22}),
                    check(3, host="198.51.100.1", timeout=3_000, params={"port": 443}),
                    check(4, kind="nonesuch"),
                    check(5, params={"nonesuch": 1}),
                    check(6, timeout=0),
                )
            )
        )
        await asyncio.sleep(120)

    taken = play(world, story, limits=limits)
    assert set(ran) == {3.0}
    assert {result.check for result in taken.results} == {2}
    assert [uid for uid, _ in refused] == [check(number).uid for number in (1, 2, 4, 5, 6)]
    reasons = " ".join(why for _, why in refused)
    assert "192.0.2.1 is outside the networks" in reasons
    assert "port 22" in reasons
    assert "nonesuch" in reasons


def test_a_name_is_judged_by_its_port_and_an_ipv6_literal_by_its_address() -> None:
    limits = Limits(networks=(ip_network("2001:db8::/32"),), ports=(443,))
    assert outside_limits(Scripted(host="example.org", port=443), limits) == ""
    assert "port 80" in outside_limits(Scripted(host="example.org", port=80), limits)
    assert outside_limits(Scripted(host="[2001:db8::1]", port=443), limits) == ""
    assert "outside" in outside_limits(Scripted(host="fe80::1%eth0", port=443), limits)


def test_nothing_is_recorded_after_the_stop(world: SkippingLoop) -> None:
    BEHAVIOURS["192.0.2.1"] = always(up(), takes=9)

    async def story() -> int:
        taken = Taken()
        scheduler = Scheduler(clock=world, build=build, on_result=taken)
        scheduler.apply_plan(plan(check(1)))
        await asyncio.sleep(70)
        await scheduler.stop()
        scheduler.failed.cancel()
        count = len(taken.results)
        await asyncio.sleep(100)
        assert len(taken.results) == count
        return count

    assert world.run_until_complete(story()) >= 1


def test_a_spool_that_breaks_ends_the_schedule(world: SkippingLoop) -> None:
    BEHAVIOURS["192.0.2.1"] = always(up())

    def broken(result: CheckResult, changed: bool) -> None:
        raise OSError("the disk is gone")

    async def story() -> None:
        scheduler = Scheduler(clock=world, build=build, on_result=broken)
        scheduler.apply_plan(plan(check(1)))
        with pytest.raises(OSError, match="the disk is gone"):
            await scheduler.failed
        await scheduler.stop()

    world.run_until_complete(story())


def test_a_probe_that_cancels_itself_is_unknown(world: SkippingLoop) -> None:
    async def gives_up(look: ProbeContext) -> Outcome:
        raise asyncio.CancelledError

    BEHAVIOURS["192.0.2.1"] = gives_up
    look = ProbeContext(1.0, Limits(), {})
    found = world.run_until_complete(ProbeRunner(world).run("x", Scripted(host="192.0.2.1"), look))
    assert found == unknown("the probe gave up by itself, a fault in it")


def test_slots_grow_with_what_may_hang_at_once_and_stay_bounded() -> None:
    many = tuple(check(number) for number in range(2_000))
    assert slots_for(many[:10]) == MIN_SLOTS
    assert slots_for(many[:200]) == 200
    assert slots_for(many) == MAX_SLOTS


def test_the_looks_that_confirm_a_change_are_news_and_no_others(world: SkippingLoop) -> None:
    """Each is pushed at once: an incident needs three looks, and must not wait for the next push for two of them."""
    BEHAVIOURS["192.0.2.1"] = down_between(world, 1_600_000, 2_000_000)

    async def hour(scheduler: Scheduler, taken: Taken) -> None:
        scheduler.apply_plan(plan(check(1)))
        await asyncio.sleep(3_600)

    taken = play(world, hour)
    assert [result.state for result in taken.news] == [DOWN] * 3 + [UP] * 3
    fell = taken.results.index(taken.news[0])
    assert taken.news[:3] == taken.results[fell : fell + 3]
    assert taken.news[2].at - taken.news[0].at <= 15_000


def test_a_look_that_was_not_due_is_not_recorded_and_changes_nothing(world: SkippingLoop) -> None:
    """Measured once in three hours, after a first failure; in between nothing is due."""

    begin = world.boot_ms()

    async def run(look: ProbeContext) -> Outcome:
        hour, minute = divmod((world.boot_ms() - begin) // 60_000, 60)
        if minute >= 10 or hour % 3:
            return skipped("not due")
        return down("refused") if hour == 0 and minute < 5 else up()

    BEHAVIOURS["192.0.2.1"] = run

    async def hours(scheduler: Scheduler, taken: Taken) -> None:
        scheduler.apply_plan(plan(check(1, interval=600_000, recheck=60_000)))
        await asyncio.sleep(9.5 * 3600)
        (watched,) = scheduler.checks()
        assert (watched.state, watched.reason) == (UP, "")

    taken = play(world, hours)
    assert [result.state for result in taken.changes] == [DOWN, UP]
    assert {(result.at - begin) // 3_600_000 for result in taken.results} == {0, 3, 6, 9}
    assert {result.state for result in taken.results} == {DOWN, UP}
