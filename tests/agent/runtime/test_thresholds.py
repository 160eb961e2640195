"""Thresholds, and numbers as the wire carries them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.probe import Outcome, unknown
from agent.runtime.thresholds import integers, microseconds, state_and_reason
from inventory.protocol.plan import Column, Threshold
from inventory.protocol.reasons import bounded
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.outcomes import down, up


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (up(0.1), (UP, "")),
        (up(0.3), (DEGRADED, "latency 0.3 is above 0.2")),
        (up(0.3, loss=0.5), (DOWN, "latency 0.3 is above 0.2; loss 0.5 is above 0.4")),
        (up(0.1, charge=9.0), (DEGRADED, "charge 9 is below 10")),
        (up(0.1, loss=0.5, charge=9.0), (DOWN, "loss 0.5 is above 0.4; charge 9 is below 10")),
        (up(0.1, charge=float("nan")), (UP, "")),
        (down("refused", 0.3), (DOWN, "refused")),
        (unknown("no right"), (UNKNOWN, "no right")),
        (Outcome(DEGRADED, "slow", 0.3), (DEGRADED, "slow; latency 0.3 is above 0.2")),
    ],
)
def test_thresholds_make_a_look_that_worked_worse(outcome: Outcome, expected: tuple[int, str]) -> None:
    thresholds = (
        Threshold("latency", above=0.2),
        Threshold("loss", "down", above=0.4),
        Threshold("charge", below=10),
    )
    assert state_and_reason(outcome, thresholds) == expected


@given(st.floats() | st.none())
def test_latency_is_whole_microseconds_or_nothing(latency: float | None) -> None:
    found = microseconds(latency)
    if latency is not None and 0 <= latency <= 86_400:
        assert found is not None
        assert abs(found - latency * 1e6) <= 0.51
    else:
        assert found is None


@given(st.floats() | st.integers(), st.sampled_from([1, 10, 10_000, 1_000_000]))
def test_measures_are_integers_that_fit_or_nothing(value: float, per: int) -> None:
    (found,) = integers({"m": value}, (Column("m", per),))
    assert found is None or (abs(found) <= 2**53 and abs(found - value * per) <= max(0.51, abs(found) * 1e-9))
    if found is None:
        assert not abs(value * per) <= 2**52


def test_measures_follow_the_plans_columns() -> None:
    columns = (Column("b", 10), Column("a", 1), Column("c", 1))
    assert integers({"a": 1, "b": 2.55, "other": 3}, columns) == (26, 1, None)


def test_a_reason_is_one_short_line() -> None:
    assert bounded("a\n  b\tc") == "a b c"
    assert len(bounded("x" * 999)) == 200
    assert bounded("a\udc80b").encode() == b"a?b"
