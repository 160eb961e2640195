"""What doctor says, and what it tells people to do."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from email.utils import formatdate
from pathlib import Path

import msgspec
import pytest

from agent.cli import doctor
from agent.cli.doctor import Diagnosis
from agent.config import Settings
from agent.runtime import status
from agent.spool import Spool
from agent.uplink import identity
from agent.uplink.connection import CollectorResponse
from agent.uplink.plans import PlanStore, read
from agent.uplink.push import CollectorContact
from inventory.protocol.plan import Plan, PlannedCheck
from tests.support.clock import FakeClock
from tests.support.fake_collector import FakeAuthority, FakeCollector
from tests.support.paths import ROOT

PING = PlannedCheck(
    uid="1", name="one", kind="icmp", interval=30_000, timeout=1_000, hold=61_000, recheck=5_000,
    params={"host": "127.0.0.1"},
)  # fmt: skip
PLAN = Plan(agent="site-1", agency="a", site="s", checks=(PING,))
DAY = 86_400


def clock_off(seconds: float = 0) -> FakeClock:
    """Clocks that are off by what the test says."""
    return FakeClock(round((time.time() + seconds) * 1000), boot=10_000_000)


def said(found: list[Diagnosis], level: str = "wrong") -> str:
    return "\n".join(f"{finding.what} > {finding.advice}" for finding in found if finding.level == level)


def answer(
    status: int, body: bytes = b"", content_type: str = "application/json", date: float = 0
) -> CollectorResponse:
    return CollectorResponse(status, content_type, {"date": formatdate(date or time.time(), usegmt=True)}, body)


@pytest.mark.parametrize(
    ("got", "level", "words"),
    [
        (answer(200, b"{}"), "ok", "is reached"),
        (answer(200, b"<html>", "text/html"), "wrong", "portal"),
        (answer(302), "wrong", "portal"),
        (answer(511), "wrong", "portal"),
        (answer(401), "wrong", "Enrol again"),
        (answer(403, b'{"error":"revoked"}'), "wrong", "it was revoked"),
        (answer(403, b'{"error":"expired"}'), "wrong", "haidang-agent renew"),
        (answer(403, b'{"error":"unknown"}'), "wrong", "inventory"),
        (answer(404), "wrong", "no plan for this agent"),
        (answer(503, b'{"error":"busy"}'), "wrong", "busy"),
    ],
)
def test_every_answer_has_its_words(got: CollectorResponse, level: str, words: str) -> None:
    found = doctor.assess_answer("hub", got)
    assert found.level == level
    assert words in found.what + found.advice


@pytest.mark.parametrize(
    ("off", "words"),
    [
        (0, ""),
        (3 * DAY, "3 days ahead of the collector's"),
        (-3 * DAY, "3 days behind the collector's"),
        (-20_000 * DAY, "20000 days behind the collector's"),
        (3_700, "62 minutes ahead of"),
    ],
)
def test_a_clock_that_is_off_is_said_with_what_it_does(off: float, words: str) -> None:
    who = FakeAuthority.sample().identity("https://hub:1")
    found = list(doctor.check_dates(answer(200), who, clock_off(off)))
    if words:
        assert words in said(found)
        assert "Results are placed by the collector's time" in said(found)
    else:
        assert said(found) == ""


@pytest.mark.parametrize(("days", "words"), [(0, ""), (70, ""), (80, "was not renewed"), (91, "has expired")])
def test_a_certificate_that_ends_is_judged_by_the_collectors_time(days: int, words: str) -> None:
    who = FakeAuthority.sample().identity("https://hub:1")
    later = time.time() + days * DAY
    found = list(doctor.check_dates(answer(200, date=later), who, clock_off(days * DAY)))
    assert words in said(found)
    assert bool(said(found)) == bool(words)


def a_status(**more: object) -> status.Status:
    contact = CollectorContact("https://hub:1")
    base = status.Status(
        version="1", agent="site-1", pid=1, boot=b"bootboot".hex(), boot_ms=9_990_000, wall_ms=0, started=0, plan="",
        push_every=30_000, states={"up": 1}, troubles=[], refused=[],
        collectors=[status.CollectorStatus("hub", contact, 500)], spool={}, notes=[],
    )  # fmt: skip
    return msgspec.structs.replace(base, **more)


@pytest.mark.parametrize(
    ("spool", "level", "words"),
    [
        ({"failing": 1}, "wrong", "cannot be written"),
        ({"damaged": 3}, "wrong", "3 results on the disk were damaged"),
        ({"dropped": 9}, "wrong", "9 results were given up"),
        ({"oldest_unacked_ms": 7_200_000}, "note", "500 results wait for hub, the oldest for 2 hours"),
    ],
)
def test_the_spool_tells_of_itself(spool: dict[str, float], level: str, words: str) -> None:
    found = list(doctor.spool_notes(a_status(spool=spool)))
    assert words in said(found, level)


def test_an_agent_that_does_not_move_is_found_out() -> None:
    assert said(list(doctor.process(True, a_status(), clock_off()))) == ""
    stuck = list(doctor.process(True, a_status(boot_ms=1_000_000), clock_off()))
    assert "has not moved for 2 hours" in said(stuck)
    assert "not running" in said(list(doctor.process(False, a_status(), clock_off())))


def test_whether_it_runs_is_told_by_the_lock_alone(tmp_path: Path) -> None:
    assert not doctor.is_running(tmp_path)
    spool = Spool.open(tmp_path / "spool", boot=b"b" * 8, boot_ms=1, plan=b"p" * 8, start={}, collectors=["hub"])
    assert doctor.is_running(tmp_path)
    spool.close()
    assert not doctor.is_running(tmp_path)


def enrolled(tmp_path: Path, url: str) -> Settings:
    identity.store(tmp_path, FakeAuthority.sample().identity(url))
    PlanStore(tmp_path, "site-1").keep(read(PLAN.encode()))
    return Settings(state_dir=tmp_path)


async def test_a_collector_of_another_authority_is_told_apart_from_one_that_is_away(tmp_path: Path) -> None:
    desk = await FakeCollector(FakeAuthority()).open(tmp_path)
    settings = enrolled(tmp_path, desk.url)
    words = said(await doctor.examine(settings))
    assert "is not the collector's" in words
    assert "captive portal" in words
    assert "enrol again" in words
    await desk.close()
    words = said(await doctor.examine(settings))
    assert "connection refused" in words
    assert "Check that the collector runs" in words


async def test_a_key_that_others_can_read_is_found(tmp_path: Path) -> None:
    settings = enrolled(tmp_path, "https://127.0.0.1:1")
    identity.path_in(tmp_path).chmod(0o644)
    assert f"chmod 600 {identity.path_in(tmp_path)}" in said(await doctor.examine(settings))


async def test_a_machine_that_is_not_enrolled_is_told_how(tmp_path: Path) -> None:
    assert "haidang-agent enroll URL" in said(await doctor.examine(Settings(state_dir=tmp_path)))
    assert "is not there" in said(await doctor.examine(Settings(state_dir=tmp_path / "none")))


def test_what_is_wrong_comes_first() -> None:
    lines = doctor.report([doctor.ok("fine"), doctor.note("hm"), doctor.wrong("bad", "do this")])
    assert lines == ["WRONG  bad", "       do this", "NOTE   hm", "OK     fine"]


def as_nobody(tmp_path: Path, *before: str) -> str:
    """doctor's report as a user without rights."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv (util-linux)")
    shutil.chown(tmp_path, 65534, 65534)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 65534, 65534)
    command = [
        *before, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all",
        "--inh-caps=-all", sys.executable, "-m", "agent.cli.main", "doctor", "--state-dir", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.root
def test_a_user_without_the_right_to_ping_is_told_how_to_give_it() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own directories are closed to others
        enrolled(Path(name), "https://127.0.0.1:1")
        report = as_nobody(Path(name), "unshare", "--net")  # a namespace whose ping_group_range is the default: nobody
    assert "WRONG  this user may not send pings" in report
    assert "ping_group_range" in report
    assert "CAP_NET_RAW" in report


@pytest.mark.root
def test_a_disk_that_is_nearly_full_is_said(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs to mount a tmpfs")
    try:
        assert "MiB left" in said(list(doctor.disk(small)))
        (small / "filler").write_bytes(b"x" * ((1 << 20) - 8192))
        full = small / "more"
        try:
            full.write_bytes(b"x" * 8192)
        except OSError:
            pass
        assert "cannot be written: No space left on device" in said(list(doctor.disk(small)))
    finally:
        subprocess.run(["umount", str(small)], check=True)
