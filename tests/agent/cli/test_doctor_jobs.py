"""What doctor says of backups: directories that nobody watches, pings that nobody expects."""

import os
from pathlib import Path

import msgspec
import pytest

from agent.cli import doctor
from agent.config import LimitsSettings, Settings
from agent.jobs.candidates import MOST_NAMES, candidates
from agent.jobs.state import SUCCESS, PingEvent
from agent.jobs.store import JobStore, directory
from agent.uplink.plans import StoredPlan, read
from inventory.protocol.plan import Plan, PlannedCheck
from tests.support.clock import BEGIN, DAY, FakeClock

NOW = BEGIN.timestamp()


def plan(*checks: tuple[str, dict[str, str]]) -> Plan:
    made = tuple(
        PlannedCheck(uid=f"{n:x}", name=str(n), kind=kind, interval=1, timeout=1, hold=1, recheck=1, params=params)
        for n, (kind, params) in enumerate(checks)
    )
    return Plan(agent="a", agency="b", site="c", checks=made)


def kept(made: Plan) -> StoredPlan:
    return read(made.encode())


def fill(place: Path, names: list[str], *, days: float = 1, newest: float = 0.5) -> Path:
    """Files made one after the other, ``days`` apart, the last ``newest`` days ago."""
    place.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(reversed(names)):
        (place / name).write_bytes(b"x")
        when = NOW - (newest + number * days) * DAY
        os.utime(place / name, (when, when))
    return place


DUMPS = [f"db-{number}.sql.gz" for number in range(5)]
DATED = [f"office_2026-11-{day:02}" for day in range(10, 20)]


def found(place: Path, made: Plan | None = None) -> list[tuple[str, int]]:
    return [(os.path.relpath(one.path, place), one.files) for one in candidates(made, [str(place)], NOW)]


def test_directories_that_grow_backups_are_found(tmp_path: Path) -> None:
    fill(tmp_path / "a", DUMPS)
    fill(tmp_path / "deep" / "er" / "b", DATED)
    fill(tmp_path / "weekly", DUMPS, days=7, newest=6)
    assert found(tmp_path) == [("a", 5), ("weekly", 5), ("deep/er/b", 10)]


@pytest.mark.parametrize(
    ("names", "days", "newest"),
    [
        (DUMPS[:2], 1, 0.5),  # too few
        (DUMPS, 0.001, 0.5),  # all of one day: a copy, not a habit
        (DUMPS, 1, 60),  # long over
        (["letter.odt", "photo.jpg", "notes.txt", "table.ods"], 1, 0.5),
        (["dpkg.status.1.gz", "dpkg.status.2.gz", "apt.extended_states.1.gz", "alternatives.tar.1.gz"], 1, 0.5),
        (["report-20269911", "120260101", "a-2026-13-01", "b-2026-00-10"], 1, 0.5),  # no dates
    ],
)
def test_others_are_not(tmp_path: Path, names: list[str], days: float, newest: float) -> None:
    fill(tmp_path / "a", names, days=days, newest=newest)
    assert found(tmp_path) == []


@pytest.mark.parametrize("watched", ["a", "a/b", ".", "a/b/c"])
def test_what_a_check_looks_at_is_no_candidate(tmp_path: Path, watched: str) -> None:
    fill(tmp_path / "a" / "b", DUMPS)
    assert found(tmp_path, plan(("backup", {"path": str(tmp_path / watched)}))) == []
    assert found(tmp_path, plan(("backup", {"path": str(tmp_path / "a" / "bc")}))) == [("a/b", 5)]
    assert found(tmp_path, plan(("http", {"path": str(tmp_path / watched)}))) == [("a/b", 5)]


def test_links_lead_nowhere_and_much_is_bounded(tmp_path: Path) -> None:
    outside = fill(tmp_path / "outside", DUMPS)
    place = tmp_path / "in"
    place.mkdir()
    (place / "link").symlink_to(outside)
    for name in DUMPS:
        (place / name).symlink_to(outside / name)
    (place / "loop").symlink_to(place)
    os.mkfifo(place / "2026-11-01")
    assert found(place) == []
    assert candidates(None, [str(tmp_path / "gone")], NOW) == []
    many = tmp_path / "many"
    many.mkdir()
    for number in range(MOST_NAMES + 10):
        (many / f"{number}.gz").touch()
        os.utime(many / f"{number}.gz", (NOW - number * 600, NOW - number * 600))
    assert found(many) == [(".", MOST_NAMES)]


def test_doctor_says_so(tmp_path: Path) -> None:
    fill(tmp_path / "dumps", DUMPS)
    settings = Settings(state_dir=tmp_path, limits=LimitsSettings(directories=(tmp_path,)))
    said = [finding.what for finding in doctor.unwatched_backups(settings, None, FakeClock())]
    assert said == [f"{tmp_path}/dumps has 5 files like backups, the newest 12 hours old, and no check looks at it"]


def test_pings_that_are_not_heard_or_not_expected(tmp_path: Path) -> None:
    clock = FakeClock()
    settings, jobs = Settings(state_dir=tmp_path), kept(plan(("job", {"job": "db"})))
    silent = list(doctor.ping_notes(settings, jobs, True, clock))
    assert [(one.level, one.what) for one in silent] == [("wrong", "pings of jobs are not heard at 127.0.0.1:8441")]
    assert list(doctor.ping_notes(settings, jobs, False, clock)) == []
    assert list(doctor.ping_notes(settings, kept(plan()), True, clock)) == []
    book = JobStore(directory(tmp_path), clock)
    book.record_listening()
    clock.advance(seconds=90)
    assert [one.level for one in doctor.ping_notes(settings, jobs, True, clock)] == ["ok"]
    book.register(["db"])
    heard, never = doctor.ping_notes(settings, jobs, True, clock)
    assert (heard.level, never.level, never.what) == ("ok", "note", "the job db has never pinged")
    assert "haidang-agent job db -- COMMAND; or let its script end with: curl " in never.advice
    assert never.advice.endswith(" http://127.0.0.1:8441/ping/db")
    book.add_ping("db", PingEvent(action=SUCCESS, at=book.now()))
    assert [one.level for one in doctor.ping_notes(settings, jobs, True, clock)] == ["ok"]
    clock.advance(seconds=600)
    assert [one.level for one in doctor.ping_notes(settings, jobs, True, clock)] == ["wrong"]
    book.record_listening(lambda listening: msgspec.structs.replace(listening, unknown={"ghost": 3}))
    assert [one.what for one in doctor.ping_notes(settings, jobs, True, clock)][1:] == [
        "3 pings came for a job 'ghost' that the plan does not have"
    ]
