"""From facts to a state: sizes beside those before them, reasons in words, nothing made up."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.backup.facts import BROKEN, CANNOT, GOOD, SUSPECT, BackupCopy, BackupFacts, ReadVerdict, RepositoryLock
from agent.backup.verdict import BackupPolicy, duration_text, evaluate_backup, usual_size
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

NOW = 1_795_000_000.0
HOUR = 3600.0
DAY = 86_400.0


def copy(age: float = HOUR, verdict: str = "", **more: object) -> BackupCopy:
    judged = ReadVerdict(state=verdict, reason="why", at=NOW - 60, seconds=1.0) if verdict else None
    made = BackupCopy(name=f"copy-{age:.0f}".encode(), at=NOW - age, size=1000, verdict=judged)
    return msgspec.structs.replace(made, **more)


def facts(*copies: BackupCopy, **more: object) -> BackupFacts:
    return msgspec.structs.replace(
        BackupFacts(now=NOW, began=NOW - DAY, copies=list(copies), count=len(copies)), **more
    )


WANTED = BackupPolicy(rpo=26 * HOUR, verified_within=45 * DAY, lock_age=12 * HOUR)


class TestSizes:
    def test_shrunk_to_half(self) -> None:
        usual = usual_size([100, 101, 99, 103, 102, 100], 50)
        assert usual is not None
        assert usual[0] == pytest.approx(100.5, abs=1)
        assert usual[1] > 50

    def test_a_full_after_incrementals_and_one_after_a_full(self) -> None:
        week = [100_000, 900, 1100, 1000, 1200, 800, 950] * 6
        for size in (100_000, 1000, 1300, 95_000):
            usual = usual_size(week, size)
            assert usual is not None and size >= usual[1], size
        half = usual_size(week, 50_000)
        assert half is not None and half[1] > 50_000, "half a full is noticed among incrementals"

    def test_a_database_that_grows_or_sways(self) -> None:
        growing = [1000 + 30 * day for day in range(60)]
        usual = usual_size(growing, 2830)
        assert usual is not None and usual[1] < 2830
        chance = random.Random(3)
        swaying = [int(1000 * 2 ** chance.uniform(-1, 1)) for _ in range(40)]
        usual = usual_size(swaying, 520)
        assert usual is not None and usual[1] < 520, "it always swayed so"

    def test_too_few_or_without_any_rule(self) -> None:
        assert usual_size([100, 100, 100], 1) is None
        assert usual_size([10**n for n in range(12)], 5) is None

    @given(st.lists(st.integers(0, 10**13), max_size=80), st.integers(0, 10**13))
    def test_bounds(self, before: list[int], size: int) -> None:
        usual = usual_size(before, size)
        if usual is not None:
            middle, least = usual
            assert 0 < least < middle
            assert least <= middle * 0.6 + 1e-6
            assert min(one for one in before[-60:] if one) <= middle * 1.0001

    @given(st.integers(1000, 10**9), st.floats(1.0, 1.05), st.integers(4, 40))
    def test_steady_sizes_are_never_suspicious(self, size: int, sway: float, count: int) -> None:
        before = [int(size * (sway if place % 2 else 1)) for place in range(count)]
        usual = usual_size(before, size)
        assert usual is not None and size >= usual[1]


class TestStates:
    def test_up(self) -> None:
        outcome = evaluate_backup(facts(copy(verdict=GOOD)), WANTED)
        assert (outcome.state, outcome.reason) == (UP, "")
        assert outcome.measures["verified_age_seconds"] == 60
        assert "size_ratio" not in outcome.measures, "what is not known is left out"

    def test_at_the_objective_exactly(self) -> None:
        assert evaluate_backup(facts(copy(26 * HOUR)), WANTED).state == UP
        assert evaluate_backup(facts(copy(26 * HOUR + 1)), WANTED).state == DOWN

    def test_no_evidence(self) -> None:
        outcome = evaluate_backup(facts(failed="the mount hangs"), WANTED)
        assert (outcome.state, outcome.reason, outcome.measures) == (UNKNOWN, "the mount hangs", {})
        old = facts(copy(40 * HOUR), unreadable=1, why_unreadable="x: may not")
        assert evaluate_backup(old, WANTED).state == UNKNOWN, "a newer one may lie where one cannot look"
        assert evaluate_backup(facts(unreadable=1, why_unreadable="x: may not"), WANTED).state == UNKNOWN
        assert evaluate_backup(facts(copy(), unreadable=1, why_unreadable="x: may not"), WANTED).state == DEGRADED

    @pytest.mark.parametrize(
        ("found", "state", "words"),
        [
            (facts(copy(HOUR, BROKEN), copy(20 * HOUR)), DEGRADED, "'copy-3600' is broken: why"),
            (facts(copy(HOUR, BROKEN), copy(30 * HOUR)), DOWN, "newest good backup is 30 hours old"),
            (facts(copy(HOUR, BROKEN)), DOWN, "there is no good backup: 'copy-3600' is broken: why"),
            (facts(copy(HOUR, SUSPECT)), DEGRADED, "'copy-3600': why"),
            (facts(copy(HOUR, CANNOT)), UP, ""),
            (facts(copy(HOUR, CANNOT), began=NOW - 50 * DAY), DEGRADED, "has not been read through in 50 days: why"),
            (
                facts(copy(), locks=[RepositoryLock("locks/ab", NOW - DAY)]),
                DEGRADED,
                "lock locks/ab has been there for 24 hours",
            ),
            (facts(copy(), locks=[RepositoryLock("locks/ab", NOW - HOUR)]), UP, ""),
            (facts(copy(), missing=["there is no backup of x"]), DOWN, "there is no backup of x"),
            (facts(missing=["there is no backup of x"]), DOWN, "there is no backup of x"),
            (facts(copy(), check=ReadVerdict(state=BROKEN, reason="r", at=NOW)), DOWN, "the repository is damaged: r"),
            (facts(copy(), notes=["daily.0 lacks y"]), DEGRADED, "daily.0 lacks y"),
            (facts(copy(size=0), copy(2 * HOUR)), DEGRADED, "is empty"),
            (facts(copy(wrong="failed"), copy(2 * HOUR)), DEGRADED, "'copy-3600' failed"),
            (facts(gone="there is no directory /x"), DOWN, "there is no directory /x"),
            (facts(outside=2), DOWN, "there is no backup at all (2 links lead out of the directory)"),
        ],
    )
    def test_reasons(self, found: BackupFacts, state: int, words: str) -> None:
        outcome = evaluate_backup(found, WANTED)
        assert outcome.state == state
        assert words in outcome.reason
        assert bool(outcome.reason) == (state != UP)

    def test_the_worst_comes_first(self) -> None:
        found = facts(copy(HOUR, BROKEN), copy(30 * HOUR), locks=[RepositoryLock("l", NOW - DAY)])
        assert evaluate_backup(found, WANTED).reason.startswith("the newest good backup is 30 hours old")

    def test_names_fit_a_sentence(self) -> None:
        outcome = evaluate_backup(facts(copy(verdict=BROKEN, name=b"\xff\n" + b"x" * 500), copy(2 * HOUR)), WANTED)
        assert outcome.reason.isprintable()
        assert len(outcome.reason) < 200


def test_spans() -> None:
    assert [duration_text(one) for one in (5, 119, 600, 31 * HOUR, 9 * DAY)] == [
        "5 s",
        "119 s",
        "10 minutes",
        "31 hours",
        "9 days",
    ]
