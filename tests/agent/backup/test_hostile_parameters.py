"""What a plan names never becomes a connection string, an option or another place for a program of backups."""

import asyncio
import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.backup import commands
from agent.backup.facts import BackupFacts, BackupQuery
from agent.backup.repositories import bacula
from agent.backup.worker import scan
from agent.probe import Limits, ProbeContext
from agent.probes.backup import BackupProbe
from inventory.grammars.database_names import is_database_name
from inventory.protocol.states import UP
from tests.support.credentials import known
from tests.support.paths import ROOT

CANARY = "c4nary-of-soctrang"
SECRET = {"user": "postgres", "password": CANARY}

needs_psql = pytest.mark.skipif(not shutil.which("psql"), reason="needs psql (package postgresql-client)")


def facts(evidence: str, path: str, **more: Any) -> BackupFacts:
    return scan(BackupQuery(evidence=evidence, path=path, **more), time.time())


@contextmanager
def catalogue_that_asks_in_clear(family: int, where: Any) -> Iterator[tuple[Any, bytearray]]:
    """A PostgreSQL server that asks everybody for the password in clear; its address, and what it heard."""
    heard = bytearray()
    with socket.socket(family, socket.SOCK_STREAM) as server:
        server.bind(where)
        server.listen(4)
        server.settimeout(0.1)
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    visitor, _ = server.accept()
                except TimeoutError:
                    continue
                with visitor:
                    visitor.settimeout(2.0)
                    heard.extend(visitor.recv(1000) or b"somebody")
                    if heard[4:8] == struct.pack("!I", 80877103):  # TLS is asked for: no
                        visitor.sendall(b"N")
                        heard.extend(visitor.recv(1000))
                    try:
                        visitor.sendall(b"R" + struct.pack("!II", 8, 3))
                        heard.extend(visitor.recv(1000))
                    except OSError:
                        continue

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield server.getsockname(), heard
        finally:
            ended.set()
            serving.join()


DATABASES = [
    "hostaddr=HOST port=PORT dbname=x sslmode=disable", "postgresql://HOST:PORT/x?sslmode=disable",
    "postgres://HOST:PORT/x", "host=HOST port=PORT", "dbname=x hostaddr=HOST port=PORT", "service=x", "-hHOST",
    "--host=HOST", "x host=HOST", "a=b", "x\n", "x\\", "'x'", " x", "é", "x" * 64,
]  # fmt: skip


@pytest.mark.real
@needs_psql
@pytest.mark.parametrize("checked", [True, False], ids=["by its form", "by the way it is handed over"])
@pytest.mark.parametrize("database", DATABASES)
def test_a_databases_name_is_a_name(
    tmp_path: Path, database: str, checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not checked:
        monkeypatch.setattr(bacula, "is_database_name", lambda name: True)
    with catalogue_that_asks_in_clear(socket.AF_INET, ("127.0.0.1", 0)) as ((_, port), heard):
        name = database.replace("HOST", "127.0.0.1").replace("PORT", str(port))
        secret = {**SECRET, "port": str(port)}
        found = facts("bacula", str(tmp_path), database=name, secret=secret, timeout=10.0)
        assert found.failed
        assert not heard
        assert CANARY not in found.failed
    with pytest.raises(ValueError, match="database"):
        BackupProbe(path="/run/postgresql", evidence="bacula", database=name)


@given(st.text(max_size=80))
def test_what_is_a_name_has_nothing_that_libpq_takes_apart(text: str) -> None:
    if is_database_name(text):
        assert not re.search(r"[=:/\s'\"\\,]|^-", text)
        assert len(text.encode()) <= 63


@pytest.mark.real
@needs_psql
@pytest.mark.parametrize("trusted", [False, True])
def test_the_catalogues_password_is_for_the_servers_own_user(tmp_path: Path, trusted: bool) -> None:
    """Whoever may write to a directory could listen there."""
    folder = tmp_path / "run"
    folder.mkdir()
    with catalogue_that_asks_in_clear(socket.AF_UNIX, str(folder / ".s.PGSQL.5432")) as (_, heard):
        own = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
        secret = {**SECRET, "server_user": own} if trusted else SECRET
        if not trusted and own == "postgres":
            pytest.skip("this is the server's own user")
        found = facts("bacula", str(folder), database="bacula", secret=secret, timeout=10.0)
    assert found.failed
    assert (CANARY.encode() in heard) is trusted  # the ear works
    assert "/proc/self/fd" not in found.failed


@pytest.mark.real
@needs_psql
def test_a_list_of_hosts_is_no_directory(tmp_path: Path) -> None:
    """libpq takes commas in a host for several."""
    with catalogue_that_asks_in_clear(socket.AF_INET, ("127.0.0.1", 0)) as ((_, port), heard):
        folder = tmp_path / "x,127.0.0.1"
        folder.mkdir()
        found = facts("bacula", str(folder), database="bacula", secret={**SECRET, "port": str(port)}, timeout=10.0)
        assert found.failed
        assert not heard


REPOSITORIES = [
    "sftp:evil.example:/srv", "rest:http://evil.example/", "s3:http://evil.example/x", "rclone:x", "ssh://evil.example/x",
    "evil.example:/srv", "-oProxyCommand=touch /tmp/x", "--repo=/x", "@/x", "relative", "", "\n/srv",
]  # fmt: skip


@pytest.mark.parametrize("evidence", ["restic", "borg", "rsnapshot", "bacula", "files"])
@pytest.mark.parametrize("path", REPOSITORIES)
def test_a_repository_is_a_directory(evidence: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "run", lambda *_, **__: pytest.fail("a program was started"))
    found = facts(evidence, path, secret={"password": CANARY})
    assert found.failed or found.gone


@pytest.mark.parametrize("path", ["/srv/x::archive", "/srv/{hostname}", "//evil.example/x"])
def test_borg_is_given_nothing_that_it_takes_apart(path: str) -> None:
    with pytest.raises(ValueError, match="for more than a path"):
        BackupProbe(path=path, evidence="borg")


RUNS = {
    "agent/backup/commands.py": "restic, borg, psql, 7z, pg_restore: see the tests here",
    "agent/backup/worker_pool.py": "the agent's own program, without a word of a plan in its arguments",
    "agent/clients/tls/staple.py": "the agent's own program, its question on a pipe",
    "agent/jobs/drills/run.py": "the command of the agent's own file",
    "agent/jobs/drills/schedule.py": "the agent's own program, with the drill's name as the agent's own file has it",
    "agent/jobs/wrapper.py": "the command that somebody typed",
    "agent/runtime/certificates.py": "the agent's own program",
}


def test_every_place_that_starts_programs_is_known() -> None:
    """Of a new one: no parameter of a plan may reach its arguments unchecked; it is added here with why that holds."""
    starts = re.compile(
        r"^import subprocess|create_subprocess_(exec|shell)|os\.(exec|spawn|posix_spawn|popen|system)", re.M
    )
    found = {str(file.relative_to(ROOT)) for file in (ROOT / "agent").rglob("*.py") if starts.search(file.read_text())}
    assert found == set(RUNS)


@pytest.mark.real
@pytest.mark.parametrize("program", ["restic", "borg"])
async def test_a_credential_of_the_agents_file_opens_a_repository(tmp_path: Path, program: str) -> None:
    """As the agent's file gives it: its values are secrets, which no message between processes takes as they are."""
    if not shutil.which(program):
        pytest.skip(f"needs {program}")
    (tmp_path / "data").write_text("x" * 5000)
    repository = tmp_path / "repository"
    if program == "restic":
        environment = {**os.environ, "RESTIC_PASSWORD": CANARY, "RESTIC_REPOSITORY": str(repository)}
        steps = [
            ["restic", "-q", "--no-cache", "init"],
            ["restic", "-q", "--no-cache", "backup", str(tmp_path / "data")],
        ]
    else:
        environment = {**os.environ, "BORG_PASSPHRASE": CANARY, "BORG_BASE_DIR": str(tmp_path / "base")}
        steps = [
            ["borg", "init", "-e", "repokey", str(repository)],
            ["borg", "create", f"{repository}::one", str(tmp_path / "data")],
        ]
    for step in steps:
        await asyncio.to_thread(subprocess.run, step, check=True, capture_output=True, env=environment)
    clients: dict[type[Any], Any] = {}
    context = ProbeContext(20.0, Limits(), clients, known("repo", {"password": CANARY}), tmp_path / "store")
    probe = BackupProbe(path=str(repository), evidence=program, credential="repo", integrity=False)  # type: ignore[arg-type]
    try:
        outcome = await probe.run(context)
    finally:
        for client in clients.values():
            await client.close()
    assert (outcome.state, outcome.measures["copies"]) == (UP, 1.0)
