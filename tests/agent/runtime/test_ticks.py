"""When a check is looked at next, whatever it answers and however long that takes."""

from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.ticks import FIRST_WITHIN, Ticks
from inventory.protocol.plan import PlannedCheck
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP


@given(
    interval=st.integers(1_000, 3_600_000), timeout=st.integers(100, 60_000), recheck=st.integers(1_000, 60_000),
    uid=st.integers(0, 2**64 - 1), now=st.integers(0, 2**40),
    looks=st.lists(st.tuples(st.sampled_from((UP, DEGRADED, DOWN, UNKNOWN)), st.integers(0, 200_000)), max_size=60),
)  # fmt: skip
def test_the_rhythm_never_bursts_and_never_outlasts_the_hold(
    interval: int, timeout: int, recheck: int, uid: int, now: int, looks: list[tuple[int, int]]
) -> None:
    planned = PlannedCheck(
        uid=f"{uid:016x}", name="c", kind="icmp", interval=interval, timeout=timeout, hold=2 * interval + timeout,
        recheck=recheck,
    )  # fmt: skip
    rhythm = Ticks(planned, now)
    assert now <= rhythm.due < now + min(interval, FIRST_WITHIN)
    before = None
    for state, took in looks:
        started = rhythm.due
        ended = started + min(took, timeout)
        changed = state != before
        rhythm.record(state, changed, started, ended)
        assert rhythm.due > ended
        assert rhythm.due >= started + min(interval // 2, recheck, 1_000)
        assert rhythm.due <= max(started + 1.5 * interval, ended + interval)
        assert rhythm.due <= started + planned.hold
        if state == DOWN or (changed and 2 * recheck <= interval):
            assert rhythm.due <= max(started + 2 * recheck, ended + 1_000)
        before = state
