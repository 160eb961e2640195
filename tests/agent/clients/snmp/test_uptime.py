"""Uptime: a counter that wraps after 497 days is not a reboot, and a reboot is."""

from hypothesis import given
from hypothesis import strategies as st

from agent.clients.look_memory import FORGET_AFTER, CheckMemory
from agent.clients.snmp.uptime import ENGINE_TIME, HOST_TIME, UP_TIME, WRAP, Uptime, UptimeTracker

DAY = 86_400.0


def told(seconds: float, *, engine: bool = False, host: float | None = None) -> dict[str, int]:
    """What a device says that has run for so long (its machine: ``host``)."""
    found = {UP_TIME: int(seconds * 100) % (1 << 32)}
    if engine:
        found[ENGINE_TIME] = int(seconds)
    if host is not None:
        found[HOST_TIME] = int(host * 100) % (1 << 32)
    return found


def test_the_counters_wrap() -> None:
    made = UptimeTracker()
    before = made.update(told(WRAP - 30), 1_000.0)
    after = made.update(told(WRAP + 30), 1_060.0)
    assert (before.restarted, after.restarted) == (None, False)
    assert after.seconds is not None
    assert abs(after.seconds - (WRAP + 30)) < 0.1


def test_a_reboot() -> None:
    made = UptimeTracker()
    made.update(told(400 * DAY), 1_000.0)
    assert made.update(told(20), 1_060.0) == Uptime(20, True)
    assert made.update(told(80), 1_120.0) == Uptime(80, False)


def test_a_reboot_just_before_the_counter_would_have_wrapped() -> None:
    made = UptimeTracker()
    made.update(told(WRAP - 30), 1_000.0)
    assert made.update(told(10), 1_060.0) == Uptime(10, True)


def test_a_first_look_at_a_counter_that_has_wrapped_before() -> None:
    assert UptimeTracker().update(told(600 * DAY), 0.0).seconds == told(600 * DAY)[UP_TIME] / 100
    seconds = UptimeTracker().update(told(1_200 * DAY, engine=True), 0.0).seconds
    assert seconds is not None
    assert abs(seconds - 1_200 * DAY) < 1


def test_an_engine_time_that_does_not_agree_is_not_believed() -> None:
    for nonsense in (5, 2**31 - 1, int(300 * DAY)):
        made = UptimeTracker().update({**told(100 * DAY), ENGINE_TIME: nonsense}, 0.0)
        assert made.seconds == 100 * DAY


def test_the_machine_counts_more_than_its_snmp_agent() -> None:
    made = UptimeTracker()
    assert made.update(told(50 * DAY, host=90 * DAY), 0.0).seconds == 90 * DAY
    # the agent alone was started anew
    assert made.update(told(5, host=90 * DAY + 60), 60.0) == Uptime(90 * DAY + 60, False)
    assert made.update(told(10, host=15), 120.0) == Uptime(15, True)


def test_a_machine_younger_than_its_snmp_agent_is_not_believed() -> None:
    made = UptimeTracker()
    assert made.update(told(50 * DAY, host=12), 0.0).seconds == 50 * DAY
    assert made.update(told(50 * DAY + 60, host=12), 60.0) == Uptime(50 * DAY + 60, False)


def test_a_device_that_does_not_tell() -> None:
    assert UptimeTracker().update({}, 0.0) == Uptime(None, None)
    assert UptimeTracker().update({UP_TIME: b"long", ENGINE_TIME: "1.3"}, 0.0) == Uptime(None, None)
    assert UptimeTracker().update({UP_TIME: -1}, 0.0) == Uptime(None, None)


@given(
    st.floats(0, 1_500 * DAY),
    st.lists(st.tuples(st.floats(1, 3_600), st.one_of(st.none(), st.floats(0, 1))), max_size=30),
    st.floats(-0.005, 0.005),
    st.booleans(),
)
def test_any_life(start: float, looks: list[tuple[float, float | None]], drift: float, host: bool) -> None:
    """Looks at a device whose clock drifts; between two looks it may start anew, at any moment. Truth is known."""
    made, now, truth = UptimeTracker(), 0.0, start

    def look() -> Uptime:
        ticking = truth * (1 + drift)
        found = told(ticking, engine=True, host=ticking if host else None)
        return made.update(found, now)

    look()
    for passed, reboot in looks:
        now += passed
        before, truth = truth, truth + passed if reboot is None else passed * reboot
        seen = look()
        assert seen.seconds is not None
        distinguishable = abs((before + passed - truth) % WRAP) > 2 * (5 + passed * 0.05)
        if reboot is None or distinguishable:
            assert seen.restarted is (reboot is not None)
            if not host:
                assert abs(seen.seconds - truth * (1 + drift)) < 1


def test_what_a_check_remembers_is_kept_while_it_is_looked_at_and_dropped_after_a_day() -> None:
    clock = [0.0]
    memory = CheckMemory(lambda: clock[0])
    kept = memory.get("a", UptimeTracker)
    gone = memory.get("b", UptimeTracker)
    for _ in range(30):
        clock[0] += 3_601.0
        assert memory.get("a", UptimeTracker) is kept
    assert clock[0] > FORGET_AFTER
    assert memory.get("b", UptimeTracker) is not gone
