"""Which condition holds for what, and whether what is seen meets it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from alerts.incident.problem import Subject
from alerts.notify.conditions import condition_for, condition_of, condition_state, duration_state
from inventory.model.alerting import MINUTE, Alerting, Condition
from inventory.model.selectors import Selector
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP, CheckStatus
from tests.support.conditions import DEFAULT_CONDITIONS
from tests.support.incident_world import START, check, province

DOWN_3 = next(condition for condition in DEFAULT_CONDITIONS if condition.id == "down")
SLOW = next(condition for condition in DEFAULT_CONDITIONS if condition.id == "degraded")


def seen(state: int, looks: int, lasted: int = 0) -> CheckStatus:
    since = START - lasted
    return CheckStatus(
        state=state, since=since, first_look=since, last_look=START, last_state=state, looks=looks, reason=""
    )


class TestWhich:
    @pytest.mark.parametrize(
        ("kind", "on", "found"),
        [
            ("tcp", "down", "down"),
            ("job", "down", "backup-missed"),
            ("power", "down", "no-power"),
            ("power", "degraded", "on-battery"),
            ("ups", "degraded", "ups"),
            ("tls", "degraded", "certificate"),
            ("tls", "down", "down"),
            ("icmp", "degraded", "degraded"),
        ],
    )
    def test_of_the_defaults(self, kind, on, found):
        condition = condition_of(province(), check("x", "north", kind), on)
        assert condition is not None and condition.id == found

    def test_the_inventorys_own_come_first_and_may_switch_off(self):
        own = (
            Condition(id="dns", on="down", select=Selector(tags=("dns",)), looks=1, out_of=1),
            Condition(id="never", on="down", select=Selector(sites=("south",)), off=True),
        )
        inventory = province(Alerting(conditions=(*own, *DEFAULT_CONDITIONS)))

        def of(uid: str) -> str | None:
            condition = condition_of(inventory, inventory.checks[uid], "down")
            return condition and condition.id

        assert (of("north-dns"), of("north-web"), of("south-web"), of("south-dns")) == ("dns", "down", None, "dns")
        assert of("north-dns") == "dns"  # and again, from memory

    def test_one_inventory_is_not_taken_for_another(self):
        off = tuple(replace(condition, off=True) for condition in DEFAULT_CONDITIONS)
        quiet, usual = province(Alerting(conditions=off)), province()
        one = usual.checks["north-web"]
        for _ in range(2):
            assert condition_of(quiet, one, "down") is None
            assert condition_of(usual, one, "down") is DOWN_3

    def test_none_where_the_inventory_has_none(self):
        assert condition_of(province(Alerting(conditions=())), check("x", "north"), "down") is None

    def test_of_agents_goals_findings_and_the_collector(self):
        own = (
            Condition(id="far", on="silent", select=Selector(sites=("south",)), for_ms=MINUTE),
            Condition(id="letters", on="finding", names=("dead letters",), severity="critical"),
        )
        inventory = province(Alerting(conditions=(*own, *DEFAULT_CONDITIONS)))
        south = Subject(agency="south", site="south", agent="south")

        def found(on, subject, name=""):
            condition = condition_for(inventory, on, subject, name)
            return condition and condition.id

        assert found("silent", south) == "far"
        assert found("silent", Subject(agency="north", site="north", agent="north")) == "silent"
        assert found("clock", south) == "clock" and found("risk", Subject(goal="g1")) == "risk"
        assert found("finding", south, "dead letters") == "letters"
        assert found("finding", south, "agent start") == "finding"
        assert found("collector", Subject(), "disk") == "collector"


class TestMet:
    @pytest.mark.parametrize(("looks", "standing"), [(1, "doubtful"), (2, "doubtful"), (3, "met"), (50, "met")])
    def test_three_of_three_looks(self, looks, standing):
        assert condition_state(DOWN_3, seen(DOWN, looks)) == standing

    @pytest.mark.parametrize(
        ("state", "looks", "standing"),
        [(UP, 1, "doubtful"), (UP, 2, "clear"), (DEGRADED, 2, "clear"), (UNKNOWN, 9, "doubtful")],
    )
    def test_it_is_over_after_two_better_ones(self, state, looks, standing):
        assert condition_state(DOWN_3, seen(state, looks)) == standing

    def test_up_and_degraded_are_both_better_than_down(self):
        assert condition_state(DOWN_3, seen(UP, 1), (DOWN, DOWN, DEGRADED, UP)) == "clear"
        assert condition_state(DOWN_3, seen(UP, 1), (DOWN, DOWN, DOWN, UP)) == "doubtful"
        assert condition_state(DOWN_3, seen(UP, 1), (DEGRADED, UNKNOWN, UP)) == "doubtful"

    @pytest.mark.parametrize(
        ("recent", "standing"),
        [
            ((DOWN, UP, DOWN), "met"),
            ((UP, UP, DOWN), "doubtful"),
            ((DOWN, DOWN, UP, UP, DOWN), "doubtful"),
            ((DOWN, DOWN, UP), "doubtful"),
        ],
    )
    def test_two_of_the_last_three(self, recent, standing):
        condition = replace(DOWN_3, looks=2, out_of=3)
        assert condition_state(condition, seen(recent[-1], 1), recent) == standing

    def test_for_as_long_as_there_is_evidence(self):
        assert condition_state(SLOW, seen(DEGRADED, 20, lasted=15 * MINUTE)) == "met"
        assert condition_state(SLOW, seen(DEGRADED, 20, lasted=15 * MINUTE - 1)) == "doubtful"
        assert condition_state(SLOW, seen(DEGRADED, 2, lasted=20 * MINUTE)) == "doubtful"

    def test_what_was_degraded_and_is_down_is_not_better(self):
        assert condition_state(SLOW, seen(DOWN, 20, lasted=20 * MINUTE)) == "doubtful"
        assert condition_state(SLOW, seen(UP, 1)) == "doubtful" and condition_state(SLOW, seen(UP, 2)) == "clear"

    @given(
        st.lists(st.sampled_from([UP, DEGRADED, DOWN]), min_size=1, max_size=12), st.integers(1, 4), st.integers(0, 3)
    )
    def test_it_is_as_counting_the_looks_says(self, states, looks, more):
        condition = replace(DOWN_3, looks=looks, out_of=looks + more)
        run = next((n for n, state in enumerate(reversed(states)) if state != states[-1]), len(states))
        standing = condition_state(condition, seen(states[-1], run), tuple(states))
        window = states[-(looks + more) :]
        if states[-1] == DOWN:
            assert standing == ("met" if window.count(DOWN) >= looks else "doubtful")
        else:
            better = next((n for n, state in enumerate(reversed(states)) if state == DOWN), len(states))
            assert standing == ("clear" if better >= condition.recover else "doubtful")

    def test_silence_and_clocks_by_their_length(self):
        silent = Condition(id="s", on="silent", for_ms=3 * MINUTE)
        clock = Condition(id="c", on="clock", for_ms=MINUTE)
        assert [duration_state(silent, ms) for ms in (0, 179_999, 180_000)] == ["clear", "clear", "met"]
        assert [duration_state(clock, ms) for ms in (0, 29_999, 30_000, 59_999, 60_000)] == [
            "clear",
            "clear",
            "doubtful",
            "doubtful",
            "met",
        ]
