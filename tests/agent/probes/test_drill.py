"""The kind ``drill``, and the drills behind it: real processes that restore, overstep, linger and are stopped."""

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from agent import config, probes
from agent.config import DrillSettings, Settings
from agent.jobs.drills import run as drills
from agent.jobs.drills.run import DrillNotStarted
from agent.jobs.drills.schedule import DrillScheduler, is_due
from agent.jobs.drills.store import KEPT, DrillResult, DrillStore, directory
from agent.jobs.stamp import Stamp
from agent.jobs.store import ClockClient
from agent.jobs.tree import measure_tree
from agent.probe import Limits, Outcome, ProbeContext
from inventory.base.clock import SystemClock
from inventory.base.problems import Invalid
from inventory.protocol.states import DOWN, UNKNOWN, UP
from tests.support.clock import DAY, HOUR, FakeClock
from tests.support.paths import ROOT


class Site:
    """An agent's directory, with clocks that are set by hand."""

    def __init__(self, place: Path) -> None:
        self.state = place / "state"
        self.state.mkdir()
        self.clock = FakeClock()
        self.book = DrillStore(directory(self.state), self.clock)

    def look(self, **params: object) -> Outcome:
        probe = probes.build("drill", {"drill": "db", "time_zone": "UTC", **params})
        look = ProbeContext(1.0, Limits(), {ClockClient: ClockClient(self.clock)}, None, directory(self.state))
        return asyncio.run(probe.run(look))

    def ended(self, ok: bool, **more: object) -> None:
        self.book.record_result("db", DrillResult(at=self.book.now(), ok=ok, **more))  # type: ignore[arg-type]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


# -- how a drill stands


def test_a_drill_is_unknown_until_one_is_due_and_down_from_then_on(site: Site) -> None:
    assert site.look().reason == "this agent has not waited for the drill db yet"
    site.book.register("db")
    assert (site.look().state, site.look().reason) == (UNKNOWN, "no restore was tried yet; one is wanted every 92d")
    site.clock.advance(seconds=92 * DAY - 0.001)
    assert site.look().state == UNKNOWN
    site.clock.advance(seconds=0.001)
    assert (site.look().state, site.look().reason) == (
        DOWN, "no restore was tried since it is waited for, 2026-11-22 23:00 +00; one is wanted every 92d"
    )  # fmt: skip


def test_a_drill_that_worked_is_up_until_it_is_too_old(site: Site) -> None:
    site.ended(True, seconds=12.5, files=3, bytes=4096)
    site.clock.advance(seconds=DAY)
    assert site.look() == Outcome(UP, "", None, {
        "restores": 1, "restore_failures": 0, "restore_age_seconds": DAY, "restore_duration_seconds": 12.5,
        "restored_files": 3, "restored_bytes": 4096,
        "last_restore_timestamp_seconds": site.look().measures["last_restore_timestamp_seconds"],
    })  # fmt: skip
    assert site.look(max_age="1d").state == DOWN
    assert site.look(max_age="1d1s").state == UP
    site.clock.step_wall(seconds=-50 * 365 * DAY)
    assert (site.look().state, site.look().measures["restore_age_seconds"]) == (UP, DAY)


def test_a_failed_drill_is_down_with_its_note_until_one_works(site: Site) -> None:
    site.ended(True)
    site.clock.advance(seconds=HOUR)
    site.ended(False, by="hand", note="the tape is torn")
    seen = site.look()
    assert (seen.state, seen.reason) == (DOWN, "the restore drill of 2026-11-23 00:00 +00 failed: the tape is torn")
    assert (seen.measures["restore_age_seconds"], seen.measures["restore_failures"]) == (HOUR, 1)
    site.ended(True)
    assert site.look().state == UP


def test_how_old_it_is_after_a_reboot_with_a_wrong_clock_is_not_made_up(site: Site) -> None:
    site.ended(True)
    site.clock.reboot()
    assert site.look().state == UP
    site.clock.set_wall(50_000)
    assert site.look().state == UNKNOWN
    assert "restore_age_seconds" not in site.look().measures


def test_what_is_kept_of_drills_is_bounded_but_the_last_good_one_stays(site: Site) -> None:
    site.ended(True, files=7)
    for _ in range(KEPT + 5):
        site.ended(False, note="x" * 5_000)
    record = site.book.record("db")
    assert record is not None
    assert (len(record.results), record.runs, record.failures) == (KEPT, KEPT + 6, KEPT + 5)
    assert record.success is not None
    assert record.success.files == 7
    assert (directory(site.state) / "db.json").stat().st_size < 60_000


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"drill": 1}'])
def test_a_damaged_record_is_begun_anew(site: Site, content: bytes) -> None:
    site.ended(True)
    (directory(site.state) / "db.json").write_bytes(content)
    assert site.look().state == UNKNOWN
    site.ended(True)
    assert site.look().state == UP


# -- running one


def run(site: Site, *command: str, limits: dict[str, str] | None = None, least_files: int = 1) -> DrillResult:
    """In a process of its own, as the agent runs it."""
    drill = {"command": command, "limits": limits or {}, "least_files": least_files}
    config_file = site.state / "agent.yaml"
    config_file.write_bytes(msgspec.json.encode({"state_dir": str(site.state), "drills": {"db": drill}}))
    environment = {**os.environ, "HAIDANG_CANARY": "secret"}
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli.main", "drill", "db", "run", "--config", str(config_file)],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    record = site.book.record("db")
    assert record is not None, done.stderr
    assert record.last is not None, done.stderr
    assert done.returncode == (0 if record.last.ok else 1)
    assert record.attempt is None
    scratch = directory(site.state) / "scratch"
    assert list(scratch.iterdir()) == [], "the scratch directory is gone, whatever came"
    assert not [process for process in psutil.process_iter() if _below(process, scratch)], "and so is what ran there"
    return record.last


def _below(process: psutil.Process, scratch: Path) -> bool:
    try:
        return str(scratch) in process.environ().get("HAIDANG_RESTORE_TO", "")
    except psutil.Error:
        return False


def sh(site: Site, script: str, **more: Any) -> DrillResult:
    return run(site, "sh", "-c", script, **more)


def test_what_came_back_is_counted_and_summed(site: Site) -> None:
    """Twice the same restore is twice the same checksum; another byte or another name is another."""
    script = "mkdir -p a/b; printf hello > a/b/one; printf world > two; ln -s two three; echo done"
    first = sh(site, script)
    assert (first.ok, first.exit, first.files, first.bytes, first.note) == (True, 0, 3, 10, "")
    assert len(first.checksum) == 64
    assert first.output == "done\n"
    assert first.seconds is not None
    assert sh(site, script).checksum == first.checksum
    for other in ("s/hello/hellp/", "s/one/eno/", "s/two three/one three/", "s/$/; touch four/"):
        assert sh(site, subprocess.check_output(["sed", other], input=script, text=True)).checksum != first.checksum


def test_the_command_has_a_place_of_its_own_and_nothing_else_of_the_agents(site: Site) -> None:
    result = sh(site, 'env > env; pwd >> env; touch "$TMPDIR/x" "$HOME/y"; cat env; cat >&2; ulimit -c; nice')
    assert result.ok
    assert result.files == 1
    assert "secret" not in result.output
    assert "HAIDANG_DRILL=db" in result.output
    assert f"HAIDANG_RESTORE_TO={site.state}" in result.output
    assert result.output.splitlines()[-2:] == ["0", "10"]


@pytest.mark.parametrize(
    ("script", "note"),
    [
        ("touch x; exit 3", "it ended with exit code 3"),
        ("touch x; kill -SEGV $$", "it was ended by signal 11"),
        ("true", "it brought back 0 files, at least 1 are wanted"),
    ],
)
def test_a_drill_that_fails_says_why(site: Site, script: str, note: str) -> None:
    result = sh(site, script)
    assert (result.ok, result.note) == (False, note)
    assert site.book.record("db").last == result  # type: ignore[union-attr]  # it was recorded


def test_a_command_that_is_not_there(site: Site) -> None:
    assert run(site, "/no/such/thing").note == "/no/such/thing cannot be run: No such file or directory"


def test_a_drill_that_restores_into_a_database_need_bring_back_no_files(site: Site) -> None:
    assert sh(site, "true", least_files=0).ok


def test_too_long_is_stopped_with_everything_it_started(site: Site) -> None:
    """Children, children in sessions of their own, what ignores signals, and what is orphaned."""
    script = """
        touch x
        for how in "" setsid "setsid nohup"; do $how sh -c 'trap "" TERM INT HUP; while :; do sleep 1; done' & done
        (setsid sh -c 'sh -c "while :; do sleep 1; done" & exit' &)
        while :; do sleep 1; done
    """
    begun = time.monotonic()
    result = sh(site, script, limits={"time": "1s"})
    assert (result.ok, result.note) == (False, "it did not end within 1s")
    assert time.monotonic() - begun < 15


def test_what_a_drill_leaves_running_ends_with_it(site: Site) -> None:
    result = sh(site, "touch x; (setsid sleep 300 &); sleep 300 & exit 0")
    assert result.ok


def test_too_much_cpu_is_stopped_also_in_many_processes(site: Site) -> None:
    script = "touch x; for n in 1 2 3 4; do sh -c 'while :; do :; done' & done; wait"
    result = sh(site, script, limits={"cpu": "1s", "time": "1m"})
    assert (result.ok, result.note) == (False, "it used more than 1s of CPU time")


@pytest.mark.parametrize(
    "script",
    [
        "while :; do head -c 100000 /dev/zero >> $HAIDANG_RESTORE_TO/$$; done",
        "n=0; while :; do head -c 100000 /dev/zero > $TMPDIR/$((n=n+1)); done",
    ],
    ids=["one file", "many files"],
)
def test_too_much_space_is_stopped(site: Site, script: str) -> None:
    result = sh(site, f"touch x; {script}", limits={"space": "3000000", "time": "1m"})
    assert (result.ok, result.note) == (False, "it took more than 3000000 bytes of space")


def test_only_the_end_of_what_it_says_is_kept(site: Site) -> None:
    result = sh(site, "touch x; seq 1 100000")
    assert len(result.output) <= 4_000
    assert result.output.endswith("99999\n100000\n")


def test_what_may_not_be_read_or_written_is_removed_all_the_same(site: Site) -> None:
    assert sh(site, "mkdir -p a/b; touch a/b/c; chmod 0 a/b/c a/b a").exit == 0


def test_one_at_a_time(site: Site) -> None:
    made = DrillSettings(command=("true",))
    with drills._exclusive(directory(site.state), "db"), pytest.raises(DrillNotStarted, match="runs already"):
        drills.run("db", made, site.book, site.clock)
    assert sh(site, "touch x").ok


def test_names_of_any_bytes_and_what_is_no_file(tmp_path: Path) -> None:
    root = tmp_path / "r"
    root.mkdir()
    empty = measure_tree(root, time.monotonic() + 10)
    assert empty == (0, 0, "")
    (Path(os.fsdecode(os.fsencode(root) + b"/\xff\n\x01"))).write_bytes(b"12")
    os.mkfifo(root / "pipe")
    (root / "gone").symlink_to("/nonexistent")
    (root / "out").symlink_to("/etc")
    count, size, checksum = measure_tree(root, time.monotonic() + 10)
    assert (count, size, len(checksum)) == (3, 2, 64)
    assert measure_tree(root, time.monotonic() - 1) == (3, 2, "")


# -- by hand, and on its schedule


def cli(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "agent.cli.main", *arguments, "--config", str(place / "agent.yaml")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    (tmp_path / "agent.yaml").write_text(
        f"state_dir: {tmp_path / 'state'}\n"
        "drills:\n"
        "  db:\n"
        "    command: [sh, -c, 'printf restored > db.sql; echo so it was']\n"
        "    oncalendar: 'Sun *-*-1..7 03:00'\n"
        "    time_zone: Asia/Ho_Chi_Minh\n"
        "    limits: {time: 10m, cpu: 5m, space: 1GiB}\n"
        "  bad: {command: [sh, -c, 'echo no tape; exit 4']}\n"
    )
    return tmp_path


def test_a_drill_by_hand(place: Path) -> None:
    done = cli(place, "drill", "db", "run")
    digest = hashlib.sha256(b"restored").digest()
    checksum = hashlib.sha256(b"6:db.sql8:32:" + digest).hexdigest()
    assert (done.returncode, done.stdout) == (
        0, f"restore drill db: ok, 1 files of 8 bytes came back, SHA-256 {checksum[:16]}...\n"
    )  # fmt: skip
    assert cli(place, "drill", "db", "failed", "--note", "the tape is torn").returncode == 0
    done = cli(place, "drill", "bad", "run")
    assert done.returncode == 1
    assert done.stdout.startswith("restore drill bad: FAILED, it ended with exit code 4")
    assert done.stdout.endswith("no tape\n\n")
    done = cli(place, "drill", "db", "show")
    assert [line.split("  ")[1].split(",")[0] for line in done.stdout.splitlines()[:2]] == [
        "by agent: ok", "by hand: FAILED"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("drill", "ghost", "ok"), 1),
        (("drill", "ghost", "run"), 2),
        (("drill", "../x", "ok"), 2),
        (("drill", "db", "perhaps"), 2),
        (("drill", "db", "show"), 1),
        (("drill", "db", "ok", "--", "sh"), 2),
    ],
)
def test_what_is_no_drill(place: Path, arguments: tuple[str, ...], code: int) -> None:
    done = cli(place, arguments[0], *arguments[1:]) if "--" not in arguments else subprocess.run(
        [sys.executable, "-m", "agent.cli.main", "drill", "db", "ok",
         "--config", str(place / "agent.yaml"), "--", "sh"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code
    assert not list((place / "state").rglob("*.json"))


def test_a_stopped_drill_is_cleaned_up_and_due_as_before(place: Path) -> None:
    text = (place / "agent.yaml").read_text().replace("printf restored", "echo $$ > pid; sleep 300; printf restored")
    (place / "agent.yaml").write_text(text)
    process = subprocess.Popen(
        [sys.executable, "-m", "agent.cli.main", "drill", "db", "run", "--config", str(place / "agent.yaml")],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    scratch = directory(place / "state") / "scratch"
    pid = wait_for(lambda: next((int(found.read_text() or 0) for found in scratch.glob("*/restored/pid")), 0))
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "it is due as before" in out
    wait_for(lambda: gone(pid))
    assert list(scratch.iterdir()) == []
    record = DrillStore(directory(place / "state"), SystemClock()).record("db")
    assert record is not None
    assert (record.attempt, record.results) == (None, ())


def test_a_killed_drill_takes_its_command_along_and_is_swept_up(place: Path) -> None:
    text = (place / "agent.yaml").read_text()
    slow = text.replace("printf restored", "echo $$ > pid; sleep 300; printf restored")
    (place / "agent.yaml").write_text(slow)
    process = subprocess.Popen(
        [sys.executable, "-m", "agent.cli.main", "drill", "db", "run", "--config", str(place / "agent.yaml")], cwd=ROOT
    )
    scratch = directory(place / "state") / "scratch"
    pid = wait_for(lambda: next((int(found.read_text() or 0) for found in scratch.glob("*/restored/pid")), 0))
    process.kill()
    process.wait()
    wait_for(lambda: gone(pid))
    (place / "agent.yaml").write_text(text)
    assert cli(place, "drill", "db", "run").returncode == 0
    assert list(scratch.iterdir()) == []


def gone(pid: int) -> bool:
    """Whether it is dead, also where nobody has reaped it yet: an orphan is init's, which takes its time."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_for(true: Callable[[], int | bool]) -> int:
    until = time.monotonic() + 30
    while not (found := true()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return int(found)


SUNDAY = DrillSettings(command=("true",), oncalendar="Sun *-*-1..7 03:00", time_zone="UTC")
MONTHLY = DrillSettings(command=("true",), every="30d")


def test_drills_are_due_by_their_schedule(site: Site) -> None:
    record = site.book.register("db")
    assert not is_due(MONTHLY, record, site.book.now())
    site.clock.advance(seconds=13 * DAY + 4 * HOUR - 1)  # Sunday 6 December, 2:59:59
    assert not is_due(SUNDAY, record, site.book.now())
    site.clock.advance(seconds=1)
    assert is_due(SUNDAY, record, site.book.now())
    assert not is_due(MONTHLY, record, site.book.now())
    site.ended(True)
    record = site.book.register("db")
    assert not is_due(SUNDAY, record, site.book.now())
    site.clock.advance(seconds=16 * DAY)
    assert not is_due(MONTHLY, record, site.book.now())
    site.clock.advance(seconds=14 * DAY)
    assert is_due(MONTHLY, record, site.book.now())


def test_by_a_clock_that_was_never_set_no_drill_begins_by_the_calendar(site: Site) -> None:
    site.clock.set_wall(5_000)
    record = site.book.register("db")
    site.clock.advance(seconds=400 * DAY)
    assert not is_due(SUNDAY, record, site.book.now())
    assert is_due(MONTHLY, record, site.book.now())


def test_a_drill_that_was_cut_off_is_tried_again_a_day_later_not_at_once(site: Site) -> None:
    site.book.record_start("db", site.book.now())
    record = site.book.register("db")
    site.clock.advance(seconds=DAY - 1)
    assert not is_due(SUNDAY, record, site.book.now())
    site.clock.advance(seconds=1)
    assert is_due(SUNDAY, record, site.book.now())


async def test_the_agent_runs_what_is_due_and_records_it(place: Path) -> None:
    """A real process of its own, started by the agent's side; one that is not planned is left alone."""
    settings = config.load(place / "agent.yaml")
    clock = FakeClock()
    book = DrillStore(directory(settings.state_dir), clock)
    made = DrillScheduler(settings, clock)
    made.tick(["by-hand"])
    assert book.record("by-hand") is not None
    assert made._task is None
    clock.advance(seconds=60 * DAY)
    made.tick([])
    assert made._task is not None
    async with asyncio.timeout(60):
        await made._task
    record = book.record("db")
    assert record is not None
    assert record.last is not None
    assert (record.last.ok, record.last.by, record.last.output) == (True, "agent", "so it was\n")
    bad = book.record("bad")
    assert bad is not None
    assert bad.results == ()


async def test_a_drill_whose_process_dies_has_failed(place: Path) -> None:
    text = (place / "agent.yaml").read_text()
    (place / "agent.yaml").write_text(text.replace("printf restored", "kill -KILL $PPID; sleep 60"))
    clock = FakeClock()
    made = DrillScheduler(config.load(place / "agent.yaml"), clock)
    made.tick([])
    clock.advance(seconds=60 * DAY)
    made.tick([])
    assert made._task is not None
    async with asyncio.timeout(60):
        await made._task
    record = DrillStore(directory(place / "state"), clock).record("db")
    assert record is not None
    assert record.last is not None
    assert (record.last.ok, record.last.note) == (False, "the drill was cut off (its process ended with -9)")
    assert not is_due(SUNDAY, record, Stamp(record.last.at.boot, record.last.at.boot_ms, record.last.at.wall_ms + 1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("drills: {db: {}}", "needs the key command"),
        ("drills: {db: {command: []}}", "drills.db.command: what is to be run is missing"),
        ("drills: {start: {command: [x]}}", "nothing can be called 'start'"),
        ("drills: {a/b: {command: [x]}}", "no name"),
        ("drills: {db: {command: [x], every: soon}}", "drills.db.every: 'soon' is not a duration"),
        ("drills: {db: {command: [x], cron: '61 * * * *'}}", "not a cron expression"),
        ("drills: {db: {command: [x], oncalendar: '*-02-30'}}", "drills.db.oncalendar: '*-02-30' never comes"),
        ("drills: {db: {command: [x], cron: '1 * * * *', oncalendar: daily}}", "not both"),
        ("drills: {db: {command: [x], limits: {time: 0s}}}", "drills.db.limits.time: has to be more than 0"),
        ("drills: {db: {command: [x], limits: {memory: 5}}}", "memory"),
        ("drills: {db: {command: x}}", "drills.db.command"),
        ("pings: {listen: '0.0.0.0:8441'}", ":1: pings.listen: "),
        ("pings: {lan: '192.0.2.1:8441'}", ":1: pings.token: "),
    ],
)
def test_mistakes_in_the_agents_file_are_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(text + "\n")
    with pytest.raises(Invalid) as caught:
        config.load(file)
    assert words in str(caught.value)
    assert str(file) in str(caught.value)


def test_a_drill_cannot_come_from_a_plan() -> None:
    with pytest.raises(probes.BadProbe, match="there is no parameter command"):
        probes.build("drill", {"drill": "db", "command": ["sh"]})


def test_settings_without_drills_or_jobs_load_nothing_of_theirs() -> None:
    script = (
        "import sys\nfrom agent import config\nfrom agent.runtime import service\nfrom agent.cli import main\n"
        "print(*(name for name in sys.modules if name.startswith(('agent.jobs.', 'cronsim', 'zoneinfo', 'psutil', "
        "'inventory.grammars.schedule', 'inventory.grammars.oncalendar', 'inventory.grammars.file_patterns', "
        "'inventory.grammars.job_names'))))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"inventory.grammars.job_names"}
    assert Settings().drills == {}
