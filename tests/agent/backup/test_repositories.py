"""rsnapshot's trees and Bacula's catalogue, by real programs where there are any."""

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.backup import commands
from agent.backup.facts import BackupFacts, BackupQuery
from agent.backup.repositories import restic
from agent.backup.verdict import BackupPolicy, evaluate_backup
from agent.backup.worker import scan
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

HOUR = 3600.0
WANTED = BackupPolicy(rpo=26 * HOUR, lock_age=12 * HOUR)


def facts(evidence: str, path: Path, **more: Any) -> BackupFacts:
    return scan(BackupQuery(evidence=evidence, path=str(path), **more), time.time())


class TestRsnapshot:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        """Three nightly runs of rsnapshot itself, of two backup points."""
        if not shutil.which("rsnapshot"):
            pytest.skip("needs rsnapshot (package rsnapshot)")
        for name in ("web", "mail"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "data").write_text(name)
        lines = [
            ("config_version", "1.2"), ("snapshot_root", f"{tmp_path}/root/"), ("cmd_rsync", "/usr/bin/rsync"),
            ("cmd_cp", "/bin/cp"), ("cmd_rm", "/bin/rm"), ("retain", "daily", "7"), ("retain", "weekly", "4"),
            ("lockfile", f"{tmp_path}/lock"), ("backup", f"{tmp_path}/web/", "web/"),
            ("backup", f"{tmp_path}/mail/", "mail/"),
        ]  # fmt: skip
        (tmp_path / "conf").write_text("".join("\t".join(line) + "\n" for line in lines))
        for _ in range(3):
            subprocess.run(["rsnapshot", "-c", str(tmp_path / "conf"), "daily"], check=True, capture_output=True)
        return tmp_path / "root"

    @pytest.mark.real
    def test_the_newest_tree(self, root: Path) -> None:
        found = facts("rsnapshot", root)
        assert [copy.name for copy in found.copies] == [b"daily.0", b"daily.1", b"daily.2"]
        outcome = evaluate_backup(found, WANTED)
        assert (outcome.state, outcome.measures["copies"]) == (UP, 3)
        for number in range(3):
            os.utime(root / f"daily.{number}", (time.time() - (30 + 24 * number) * HOUR,) * 2)
        assert "30 hours old" in evaluate_backup(facts("rsnapshot", root), WANTED).reason

    @pytest.mark.real
    def test_one_that_did_not_come_along(self, root: Path) -> None:
        shutil.rmtree(root / "daily.0/mail")
        outcome = evaluate_backup(facts("rsnapshot", root), WANTED)
        assert (outcome.state, outcome.reason) == (DEGRADED, "daily.0 lacks mail")
        outcome = evaluate_backup(facts("rsnapshot", root, sources=("web", "mail")), WANTED)
        assert (outcome.state, outcome.reason) == (DOWN, "daily.0 lacks mail")
        for child in (root / "daily.0").iterdir():
            shutil.rmtree(child)
        now = time.time()
        os.utime(root / "daily.0", (now, now))
        outcome = evaluate_backup(facts("rsnapshot", root), WANTED)
        assert outcome.state == DEGRADED
        assert "'daily.0' is empty" in outcome.reason

    @pytest.mark.real
    def test_an_interrupted_deletion(self, root: Path) -> None:
        (root / "_delete.4711").mkdir()
        os.utime(root / "_delete.4711", (time.time() - 20 * HOUR,) * 2)
        assert "_delete.4711 has been there for 20 hours" in evaluate_backup(facts("rsnapshot", root), WANTED).reason

    def test_nothing_there(self, tmp_path: Path) -> None:
        assert evaluate_backup(facts("rsnapshot", tmp_path), WANTED).state == DOWN


SCHEMA = """
CREATE TABLE Client (ClientId INTEGER PRIMARY KEY, Name TEXT NOT NULL);
CREATE TABLE Job (JobId INTEGER PRIMARY KEY, Job TEXT NOT NULL, Name TEXT NOT NULL, Type CHAR(1) NOT NULL,
  Level CHAR(1) NOT NULL, ClientId INTEGER DEFAULT 0, JobStatus CHAR(1) NOT NULL, StartTime {time}, EndTime {time},
  JobFiles INTEGER DEFAULT 0, JobBytes BIGINT DEFAULT 0);
INSERT INTO Client VALUES (1, 'alpha-fd'), (2, 'beta-fd');
"""


def jobs(*rows: tuple[str, int, str, float, int]) -> str:
    """SQL of jobs: name, client, status, hours ago, bytes. The newest last."""
    made = []
    for number, (name, client, status, ago, size) in enumerate(rows, 1):
        begun, ended = (
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - ago * HOUR - s)) for s in (600, 0)
        )
        made.append(f"INSERT INTO Job VALUES ({number}, '{name}.{number}', '{name}', 'B', 'F', {client}, '{status}', "
                    f"'{begun}', '{ended}', 5, {size});")  # fmt: skip
    made.append("INSERT INTO Job VALUES (999, 'r', 'Restore', 'R', 'F', 1, 'T', NULL, NULL, 0, 0);")
    return "\n".join(made)


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    """A PostgreSQL server on a socket of its own; the socket's directory."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found or os.geteuid() != 0:
        pytest.skip("needs root and PostgreSQL's server (package postgresql)")
    home = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    shutil.chown(home, "postgres", "postgres")
    as_postgres = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": home}
    password = home / "password"
    password.write_text("canary-catalogue\n")
    password.chmod(0o644)
    subprocess.run(
        [*as_postgres, str(found[-1]), "-D", str(home / "data"), "-A", "scram-sha-256", "-N", f"--pwfile={password}"],
        **quiet,
    )
    control = [*as_postgres, str(found[-1].with_name("pg_ctl")), "-D", str(home / "data"), "-w"]
    subprocess.run([*control, "-l", str(home / "log"), "-o", f"-c listen_addresses='' -k {home}", "start"], **quiet)
    try:
        yield home
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], **quiet)
        shutil.rmtree(home)


SECRET = {"user": "postgres", "password": "canary-catalogue"}


class Catalogue:
    """A catalogue of either sort."""

    def __init__(self, kind: str, tmp_path: Path, server: Path | None) -> None:
        self.kind = kind
        self.path = tmp_path / "bacula.db" if server is None else server
        self.more: dict[str, Any] = {} if server is None else {"database": "bacula", "secret": SECRET, "timeout": 10.0}

    def fill(self, text: str) -> None:
        if self.kind == "sqlite":
            self.path.unlink(missing_ok=True)
            database = sqlite3.connect(self.path)
            database.executescript(SCHEMA.format(time="TEXT") + text)
            database.close()
            return
        anew = "DROP DATABASE IF EXISTS bacula;\nCREATE DATABASE bacula;"
        for name, script in (("postgres", anew), ("bacula", SCHEMA.format(time="TIMESTAMP") + text)):
            subprocess.run(
                ["psql", "-X", "-q", "-h", str(self.path), "-U", "postgres", "-d", name, "-v", "ON_ERROR_STOP=1"],
                input=script, text=True, check=True, capture_output=True,
                env={**os.environ, "PGPASSWORD": SECRET["password"]},
            )  # fmt: skip

    def facts(self, **more: Any) -> BackupFacts:
        return facts("bacula", self.path, **{**self.more, **more})


@pytest.fixture(params=["sqlite", "postgres"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Catalogue:
    return Catalogue(
        request.param, tmp_path, request.getfixturevalue("server") if request.param == "postgres" else None
    )


@pytest.mark.root
@pytest.mark.real
class TestBacula:
    def test_jobs_that_ended_well(self, catalogue: Catalogue) -> None:
        catalogue.fill(jobs(("Nightly", 1, "T", 30, 5000), ("Nightly", 1, "T", 6, 5100), ("Nightly", 2, "W", 5, 700)))
        outcome = evaluate_backup(catalogue.facts(), WANTED)
        assert (outcome.state, outcome.reason) == (UP, "")
        assert outcome.measures["age_seconds"] == pytest.approx(5 * HOUR, abs=60)
        assert outcome.measures["duration_seconds"] == 600
        assert outcome.measures["copies"] == 3

    def test_each_host_has_to_have_one(self, catalogue: Catalogue) -> None:
        catalogue.fill(jobs(("Nightly", 2, "T", 40, 700), ("Nightly", 1, "T", 6, 5100), ("Nightly", 2, "f", 5, 0)))
        assert evaluate_backup(catalogue.facts(hosts=("alpha-fd",)), WANTED).state == UP
        outcome = evaluate_backup(catalogue.facts(hosts=("alpha-fd", "beta-fd")), WANTED)
        assert outcome.state == DOWN
        assert "40 hours old" in outcome.reason
        assert "the last run of Nightly of beta-fd failed" in outcome.reason
        assert "no backup of Weekly" in evaluate_backup(catalogue.facts(sources=("Weekly",)), WANTED).reason

    def test_failed_and_running(self, catalogue: Catalogue) -> None:
        catalogue.fill(jobs(("Nightly", 1, "T", 20, 5000), ("Nightly", 1, "E", 2, 100), ("Nightly", 1, "R", 0, 0)))
        outcome = evaluate_backup(catalogue.facts(), WANTED)
        assert outcome.state == DEGRADED
        assert "'2 alpha-fd Nightly' ended with errors" in outcome.reason
        assert outcome.measures["age_seconds"] == pytest.approx(20 * HOUR, abs=60)
        assert outcome.measures["growing"] == 1

    def test_none(self, catalogue: Catalogue) -> None:
        catalogue.fill(jobs())
        assert evaluate_backup(catalogue.facts(), WANTED).state == DOWN

    def test_no_catalogue(self, server: Path, tmp_path: Path) -> None:
        assert facts("bacula", tmp_path / "gone.db").gone
        (tmp_path / "text.db").write_text("no database at all, but long enough to be read as if it were one" * 20)
        assert "cannot be read" in facts("bacula", tmp_path / "text.db").failed
        wrong = {**SECRET, "password": "another"}
        found = facts("bacula", server, database="postgres", secret=wrong, timeout=10.0)
        assert evaluate_backup(found, WANTED).state == UNKNOWN
        assert "password authentication failed" in found.failed
        assert "another" not in found.failed
        assert "cannot be read" in facts("bacula", server, database="postgres", secret=SECRET, timeout=10.0).failed


class TestCommands:
    def test_ended_with_all_it_started(self, tmp_path: Path) -> None:
        script = f"sleep 300 & echo $! > {tmp_path}/child; wait"
        with pytest.raises(commands.CommandTimeout):
            commands.run(["/bin/sh", "-c", script], seconds=0.5)
        child = int((tmp_path / "child").read_text())
        until = time.monotonic() + 5
        while Path(f"/proc/{child}").exists() and time.monotonic() < until:
            if b" Z " in Path(f"/proc/{child}/stat").read_bytes().replace(b")", b" "):
                break
        state = Path(f"/proc/{child}/stat")
        assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"

    def test_output_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(commands, "MOST_OUTPUT", 100_000)
        with pytest.raises(commands.CommandOutputTooLarge):
            commands.run(["/bin/sh", "-c", "cat /dev/zero"], seconds=20)
        ran = commands.run(["/bin/sh", "-c", "seq 100000 >&2; exit 3"], seconds=20)
        assert (ran.code, ran.last_error) == (3, "100000")
        assert len(ran.words) <= commands.MOST_WORDS

    def test_no_terminal_no_input_no_environment(self) -> None:
        ran = commands.run(["/bin/sh", "-c", "cat; env; pwd"], seconds=5, environment={"A": "b"})
        assert {line.partition("=")[0] for line in ran.out.decode().splitlines()} == {
            "PATH",
            "LC_ALL",
            "HOME",
            "A",
            "PWD",
            "/",
        }


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:00Z", 0.0),
        ("1970-01-01T07:00:00.123456789+07:00", 0.0),
        ("1969-12-31T19:30:00.5-04:30", 0.0),
        ("2026-11-23T08:00:00.1+07:00", 1_795_395_600.0),
    ],
)
def test_restics_times(text: str, seconds: float) -> None:
    assert restic._parse_time(text) == seconds
