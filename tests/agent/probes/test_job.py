"""The kind ``job``: how a job stands by its pings, its schedule and the clocks."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import probes
from agent.jobs.stamp import Stamp, to_wall_time
from agent.jobs.state import (
    FAIL,
    KEPT,
    LOG,
    PAUSE,
    RESUME,
    START,
    SUCCESS,
    JobRecord,
    JobState,
    PingEvent,
    fold,
    new_record,
    with_event,
)
from agent.jobs.store import LISTENING, ClockClient, JobStore
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes.job import Job
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.clock import BEGIN, DAY, HOUR, MINUTE, FakeClock

RID = ("6ad3ac7a-0b4e-4a1e-8c4e-1df0bbfcd0d3", "00000000-0000-4000-8000-000000000000")


class Scene:
    """One job at one agent that listens."""

    def __init__(self, directory: Path, **params: object) -> None:
        self.clock = FakeClock()
        self.book = JobStore(directory, self.clock)
        self.params = {"job": "db", **params}
        self.directory = directory
        self.book.record_listening()
        self.book.register(["db"])

    def ping(self, action: str = SUCCESS, *, rid: str = "", exit: int | None = None) -> None:
        self.book.add_ping("db", PingEvent(action=action, at=self.book.now(), rid=rid, exit=exit))

    def on(self, seconds: float, *, listening: bool = True) -> "Scene":
        """Time passes; somebody listens meanwhile, or not."""
        self.clock.advance(seconds=seconds)
        if listening:
            found = self.book.listening()
            assert found is not None
            kept = msgspec.structs.replace(found, alive=self.book.now())
            (self.directory / LISTENING).write_bytes(msgspec.json.encode(kept))
        return self

    def look(self, **params: object) -> Outcome:
        probe = probes.build("job", {"time_zone": "UTC", **self.params, **params})
        look = ProbeContext(1.0, Limits(), {ClockClient: ClockClient(self.clock)}, None, self.directory)
        return asyncio.run(probe.run(look))

    def state(self, **params: object) -> int:
        return self.look(**params).state


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    yield Scene(tmp_path / "job", period="1d", grace="1h")


# -- a period and its grace


def test_a_new_job_is_unknown_until_it_is_due(scene: Scene) -> None:
    assert scene.look() == Outcome(
        UNKNOWN, "it has not run since it is waited for; it is due at 2026-11-23 23:00 +00, with 1h of grace", None,
        {"runs": 0, "failures": 0, "pings": 0},
    )  # fmt: skip
    scene.on(DAY + HOUR - 0.001)
    assert scene.state() == UNKNOWN
    scene.on(0.001)
    seen = scene.look()
    assert seen.state == DOWN
    assert seen.reason == (
        "it has not run since it is waited for, 2026-11-22 23:00 +00; "
        "it was due at 2026-11-23 23:00 +00, with 1h of grace"
    )


def test_a_job_is_up_through_its_grace_and_down_at_its_very_end(scene: Scene) -> None:
    scene.ping()
    assert scene.look() == Outcome(UP, "", None, {
        "runs": 1, "failures": 0, "pings": 1, "age_seconds": 0.0, "last_success_timestamp_seconds": BEGIN.timestamp(),
    })  # fmt: skip
    scene.on(DAY + HOUR - 0.001)
    assert scene.state() == UP
    scene.on(0.001)
    seen = scene.look()
    assert (seen.state, seen.measures["age_seconds"]) == (DOWN, DAY + HOUR)
    assert seen.reason == (
        "no run ended since 2026-11-22 23:00 +00; it was due at 2026-11-23 23:00 +00, with 1h of grace"
    )
    scene.ping()
    assert scene.state() == UP


def test_a_failure_is_down_at_once_with_its_exit_code(scene: Scene) -> None:
    scene.ping()
    scene.on(HOUR)
    scene.ping(FAIL, exit=3)
    seen = scene.look()
    assert (seen.state, seen.reason) == (DOWN, "it failed with exit code 3 at 2026-11-23 00:00 +00")
    assert (seen.measures["exit_code"], seen.measures["failures"], seen.measures["age_seconds"]) == (3, 1, HOUR)
    scene.ping(START)
    assert scene.look().reason.endswith("; it runs again since 2026-11-23 00:00 +00")
    scene.ping(LOG)
    assert scene.state() == DOWN
    scene.ping(exit=0)
    assert (scene.state(), scene.look().measures["exit_code"]) == (UP, 0)


# -- runs


def test_a_start_without_an_end_is_down_at_the_very_end_of_its_grace(scene: Scene) -> None:
    scene.ping()
    scene.ping(START)
    scene.on(HOUR - 0.001)
    assert (scene.state(), scene.look().measures["running_seconds"]) == (UP, HOUR - 0.001)
    scene.on(0.001)
    seen = scene.look()
    assert (seen.state, seen.reason) == (
        DOWN, "it started at 2026-11-22 23:00 +00 and has not ended; 1h are allowed"
    )  # fmt: skip
    assert scene.state(max_duration="2h") == UP
    scene.ping()
    assert (scene.state(), scene.look().measures["duration_seconds"]) == (UP, HOUR)
    assert "running_seconds" not in scene.look().measures


def test_a_run_that_took_too_long_but_ended_is_degraded(scene: Scene) -> None:
    scene.ping(START)
    scene.on(90)
    scene.ping()
    assert scene.look(max_duration="1m") == Outcome(
        DEGRADED, "its last run took 1m30s; 1m are allowed", None, scene.look().measures
    )
    assert scene.state(max_duration="90s") == UP
    scene.ping()  # a run that told no start
    assert scene.state(max_duration="1m") == UP
    assert "duration_seconds" not in scene.look().measures


def test_an_end_with_another_rid_closes_no_run(scene: Scene) -> None:
    scene.ping()
    scene.ping(START, rid=RID[0])
    scene.on(MINUTE)
    scene.ping(rid=RID[1])
    assert scene.look().measures["running_seconds"] == MINUTE
    assert "duration_seconds" not in scene.look().measures
    scene.on(HOUR)
    assert scene.state() == DOWN
    scene.ping(rid=RID[0])
    assert (scene.state(), scene.look().measures["duration_seconds"]) == (UP, HOUR + MINUTE)


def test_an_end_without_a_rid_or_a_failure_closes_any_run(scene: Scene) -> None:
    for end in ({}, {"action": FAIL, "rid": RID[1]}):
        scene.ping(START, rid=RID[0])
        scene.ping(**end)  # type: ignore[arg-type]  # of different types
        seen = scene.look()
        assert "running_seconds" not in seen.measures
        assert "duration_seconds" not in seen.measures


def test_a_paused_job_stays_paused_on_start_and_wakes_with_an_end(scene: Scene) -> None:
    scene.ping()
    scene.ping(PAUSE)
    scene.on(3 * DAY)
    assert scene.look().reason == "paused by hand since 2026-11-22 23:00 +00"
    scene.ping(START)
    scene.on(3 * HOUR)
    assert scene.state() == UNKNOWN
    scene.ping()
    assert scene.state() == UP


def test_a_resumed_job_is_waited_for_anew(scene: Scene) -> None:
    scene.ping(PAUSE)
    scene.on(3 * DAY)
    scene.ping(RESUME)
    assert "it is due at 2026-11-26 23:00 +00" in scene.look().reason
    scene.on(DAY + HOUR)
    assert scene.state() == DOWN


# -- the calendar


def test_a_job_by_the_clock_is_due_by_the_clock(scene: Scene) -> None:
    night = {"cron": "30 23 * * 1-5", "grace": "30m", "time_zone": "Asia/Ho_Chi_Minh"}
    scene.on(17 * HOUR)  # Monday 23:00 in Viet Nam
    assert scene.state(**night) == UNKNOWN
    scene.on(45 * MINUTE)
    scene.ping()
    scene.on(DAY + 14 * MINUTE + 59)  # Tuesday, a second before midnight
    assert scene.state(**night) == UP
    scene.on(1)
    assert scene.look(**night).reason == (
        "no run ended since 2026-11-23 23:45 +07; it was due at 2026-11-24 23:30 +07, with 30m of grace"
    )
    assert scene.state(**{**night, "cron": "", "oncalendar": "Mon..Fri 23:30"}) == DOWN
    assert scene.state(**{**night, "cron": "", "oncalendar": "Mon,Thu 23:30"}) == UP


def test_a_job_that_is_never_due_again_is_up(scene: Scene) -> None:
    scene.ping()
    scene.on(90 * DAY)
    assert scene.state(oncalendar="2026-11-22 22:00") == UP


# -- who was there to hear


def test_what_nobody_could_hear_is_not_missed(scene: Scene) -> None:
    """The agent was off when the ping would have come: nothing is known until the job is due again."""
    scene.ping()
    scene.on(DAY - HOUR)
    scene.on(3 * HOUR, listening=False)
    scene.book.record_listening()
    seen = scene.look()
    assert (seen.state, seen.reason) == (
        UNKNOWN,
        "this agent did not listen from 2026-11-23 22:00 +00 to 2026-11-24 01:00 +00: it may have run unheard",
    )
    scene.on(DAY + HOUR - 1)
    assert scene.state() == UNKNOWN
    scene.on(1)
    assert scene.state() == DOWN


def test_a_pause_at_another_time_of_the_day_excuses_nothing(scene: Scene) -> None:
    scene.ping()
    scene.on(6 * HOUR)
    scene.on(4 * HOUR, listening=False)
    scene.book.record_listening()
    scene.on(15 * HOUR - 1)
    assert scene.state() == UP
    scene.on(1)
    assert scene.state() == DOWN
    assert scene.state(cron="0 23 * * *") == DOWN


def test_a_restart_of_the_agent_excuses_nothing(scene: Scene) -> None:
    scene.ping()
    scene.on(DAY)
    scene.on(MINUTE, listening=False)
    scene.on(HOUR)
    assert scene.state() == DOWN


def test_an_agent_that_is_off_now_knows_nothing(scene: Scene) -> None:
    """``once`` beside an agent that does not run."""
    scene.ping()
    scene.on(2 * DAY, listening=False)
    assert scene.state() == UNKNOWN


def test_a_good_run_older_than_its_objective_is_down_though_none_is_due(scene: Scene) -> None:
    weekly = {"cron": "0 23 * * 0", "rpo": "30h"}
    scene.ping()  # a Sunday
    scene.on(30 * HOUR)
    seen = scene.look(**weekly)
    assert (seen.state, seen.measures["rpo_met"]) == (UP, 1)
    scene.on(0.001)
    seen = scene.look(**weekly)
    assert (seen.state, seen.measures["rpo_met"]) == (DOWN, 0)
    assert seen.reason == "no run ended well since 2026-11-22 23:00 +00; the objective is 1d6h"
    assert "rpo_met" not in scene.look(cron="0 23 * * 0").measures


def test_a_run_that_went_unheard_would_have_been_young_enough(scene: Scene) -> None:
    weekly = {"cron": "0 23 * * 0", "rpo": "30h"}
    scene.ping()
    scene.on(10 * HOUR)
    scene.on(HOUR, listening=False)
    scene.book.record_listening()
    scene.on(20 * HOUR)
    assert scene.state(**weekly) == UNKNOWN
    scene.on(10 * HOUR)
    assert scene.state(**weekly) == UNKNOWN
    scene.on(1)
    assert scene.state(**weekly) == DOWN


def test_the_end_of_a_run_that_nobody_could_hear(scene: Scene) -> None:
    scene.ping()
    scene.ping(START)
    scene.on(10 * MINUTE)
    scene.on(2 * HOUR, listening=False)
    scene.book.record_listening()
    assert scene.state() == UNKNOWN
    scene.on(DAY + HOUR)
    assert scene.state() == DOWN


# -- clocks


@pytest.mark.parametrize("step", [-DAY * 365 * 50, -HOUR, HOUR, DAY * 40])
def test_a_wall_clock_that_is_set_moves_no_age(scene: Scene, step: float) -> None:
    scene.ping()
    scene.on(10 * HOUR)
    scene.clock.step_wall(seconds=step)
    scene.book.clock_was_set()
    assert (scene.state(), scene.look().measures["age_seconds"]) == (UP, 10 * HOUR)
    scene.on(15 * HOUR)
    assert scene.state() == DOWN


def test_an_age_goes_on_over_a_reboot(scene: Scene) -> None:
    scene.ping()
    scene.on(10 * HOUR)
    scene.clock.reboot(off=30)
    assert (scene.state(), scene.look().measures["age_seconds"]) == (UP, 10 * HOUR + 60)


def test_a_clock_of_1970_that_was_set_right_in_time_is_corrected(scene: Scene) -> None:
    right = scene.clock.wall_ms()
    scene.clock.set_wall(5_000)
    scene.ping()
    scene.on(HOUR)
    scene.clock.set_wall(right)
    scene.book.clock_was_set()
    scene.on(HOUR)
    scene.clock.reboot()
    scene.book.record_listening()
    seen = scene.look()
    assert (seen.state, seen.measures["age_seconds"]) == (UP, 2 * HOUR + 90)


def test_an_age_that_no_clock_tells_is_not_made_up(scene: Scene) -> None:
    """It was stamped by a wall clock of 1970 and the machine was restarted: down only once it must be."""
    scene.clock.set_wall(5_000)
    scene.ping()
    scene.clock.set_wall(int(BEGIN.timestamp()) * 1000)
    scene.clock.reboot()
    seen = scene.look()
    assert "age_seconds" not in seen.measures
    assert "last_success_timestamp_seconds" not in seen.measures
    scene.book.record_listening()
    scene.on(DAY + 2 * HOUR)
    assert scene.state() == DOWN
    assert "at the latest" in scene.look().reason


def test_by_a_clock_that_was_never_set_no_calendar_is_judged(scene: Scene) -> None:
    scene.clock.set_wall(5_000)
    scene.ping()
    assert "never set" in scene.look(cron="0 23 * * *").reason
    assert scene.state(period="1d") == UP


# -- the records


def test_what_was_never_waited_for(tmp_path: Path) -> None:
    look = ProbeContext(1.0, Limits(), {}, None, tmp_path / "job")
    seen = asyncio.run(Job(job="db").run(look))
    assert (seen.state, seen.reason) == (UNKNOWN, "this agent has not waited for pings of db yet")
    assert asyncio.run(Job(job="db").run(ProbeContext(1.0, Limits(), {}))).state == UNKNOWN


@pytest.mark.parametrize("content", [b"", b"{", b"null", b'{"job": 5}', b"\xff" * 100, b"[" * 5000])
def test_a_damaged_record_is_begun_anew(scene: Scene, content: bytes) -> None:
    scene.ping()
    (scene.directory / "db.json").write_bytes(content)
    (scene.directory / "listening.state").write_bytes(content)
    assert scene.state() == UNKNOWN
    scene.ping()
    assert scene.state() == UP


def test_records_that_may_not_be_read(scene: Scene) -> None:
    (scene.directory / "db.json").unlink()
    (scene.directory / "db.json").mkdir()
    assert scene.look().reason.startswith("the records of pings cannot be read: ")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"job": "a/b"}, "job"),
        ({"job": "../x"}, "job"),
        ({"job": "start"}, "nothing can be called 'start'"),
        ({"job": "255"}, "nothing can be called '255'"),
        ({"period": "0s"}, "due at some time"),
        ({"period": "daily"}, "period"),
        ({"grace": ""}, "grace"),
        ({"cron": "61 * * * *"}, "not a cron expression"),
        ({"oncalendar": "someday"}, "'someday' is not"),
        ({"cron": "0 1 * * *", "oncalendar": "daily"}, "not both"),
        ({"time_zone": "Asia/Soctrang"}, "no time zone"),
        ({"max_duration": "long"}, "max_duration"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(params: dict[str, str], words: str) -> None:
    with pytest.raises(probes.BadProbe, match=words):
        probes.build("job", {"job": "db", **params})


# -- properties

A_BOOT = "00" * 8
events = st.builds(
    PingEvent,
    action=st.sampled_from((START, SUCCESS, FAIL, LOG, PAUSE, RESUME)),
    at=st.integers(0, 10**6).map(lambda ms: Stamp(A_BOOT, ms, 1_790_000_000_000 + ms)),
    rid=st.sampled_from(("", *RID)),
)
NOW = Stamp(A_BOOT, 2 * 10**6, 1_790_000_000_000 + 2 * 10**6)


@given(st.lists(events, max_size=KEPT, unique_by=lambda event: event.at), st.randoms())
def test_the_order_in_which_pings_come_in_does_not_matter(told: list[PingEvent], random: object) -> None:
    shuffled = list(told)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    in_order, mixed = new_record("db", NOW), new_record("db", NOW)
    for event in sorted(told, key=lambda event: event.at.boot_ms):
        in_order = with_event(in_order, event, NOW)
    for event in shuffled:
        mixed = with_event(mixed, event, NOW)
    assert plain(in_order.state) == plain(mixed.state)
    assert in_order.pings == mixed.pings == len(told)


@given(st.lists(events, max_size=3 * KEPT, unique_by=lambda event: event.at))
def test_what_is_kept_is_bounded_and_says_the_same_as_all_of_it(told: list[PingEvent]) -> None:
    record = new_record("db", NOW)
    in_order = sorted(told, key=lambda event: event.at.boot_ms)
    for event in in_order:
        record = with_event(record, event, NOW)
        assert len(record.events) <= KEPT
    assert plain(record.state) == plain(fold(JobState(NOW), in_order))


def plain(state: JobState) -> tuple[object, ...]:
    """Without the pings' numbers, which are the order they came in."""
    start = state.start and (state.start.at, state.start.rid)
    end = state.end and (state.end.at, state.end.action)
    return state.since, state.status, start, end, state.seconds, state.success, state.paused, state.runs, state.failures


@given(st.integers(0, 10**9), st.integers(-(10**12), 10**13), st.integers(0, 10**9), st.integers(0, 10**13))
def test_what_was_in_an_earlier_boot_is_never_after_this_one_began(
    boot: int, wall: int, now_boot: int, now_wall: int
) -> None:
    now = Stamp("now", now_boot, now_wall)
    assert to_wall_time(now, Stamp("before", boot, wall)).at_ms <= now_wall - now_boot


def test_a_record_survives_being_written_and_read(scene: Scene) -> None:
    for action in (START, SUCCESS, FAIL, LOG, PAUSE, START):
        scene.on(10)
        scene.ping(action, rid=RID[0])
    kept = scene.book.record("db")
    assert isinstance(kept, JobRecord)
    assert kept.pings == 6
    assert [event.n for event in kept.events] == [1, 2, 3, 4, 5, 6]
    assert (scene.directory / "db.json").stat().st_mode & 0o077 == 0
