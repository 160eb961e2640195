"""``haidang-agent job NAME -- COMMAND…``: the command comes first, whatever is wrong with the agent."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest

from agent.config import PingSettings, Settings
from agent.jobs.delivery import FORGOTTEN, WaitingPing, import_stored_pings, ping, stored_pings
from agent.jobs.service import JobsService
from agent.jobs.stamp import stamp
from agent.jobs.store import MOST_BODY, JobStore, directory
from deploy.programs import free_port
from inventory.base.clock import SystemClock
from inventory.protocol.plan import Plan, PlannedCheck
from tests.support.paths import ROOT


class Machine:
    """A machine whose agent can be switched on and off, and its command line."""

    def __init__(self, place: Path, port: int) -> None:
        self.place = place
        self.state = place / "state"
        self.state.mkdir()
        self.home = place / "home"
        self.home.mkdir()
        self.port = port
        self.config = place / "agent.yaml"
        self.config.write_text(f"state_dir: {self.state}\npings: {{listen: '127.0.0.1:{port}'}}\n")
        self.settings = Settings(state_dir=self.state, pings=PingSettings(listen=f"127.0.0.1:{port}"))
        self.book = JobStore(directory(self.state), SystemClock())
        self.task: asyncio.Task[None] | None = None

    async def on(self) -> None:
        before = self.book.listening()
        side = JobsService(self.settings, SystemClock())
        check = PlannedCheck(
            uid="1", name="db", kind="job", interval=1, timeout=1, hold=1, recheck=1, params={"job": "db"}
        )
        side.use_plan(Plan(agent="a", agency="b", site="c", checks=(check,)))
        self.task = asyncio.create_task(side.run())
        async with asyncio.timeout(20):
            while self.book.listening() == before:  # noqa: ASYNC110  # another task's doing
                await asyncio.sleep(0.005)

    async def off(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task

    def environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8"}

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "agent.cli.main", *arguments]

    async def job(self, *command: str, options: tuple[str, ...] = (), name: str = "db") -> tuple[int, str, str]:
        """(exit code, output, errors)."""
        process = await asyncio.create_subprocess_exec(
            *self.command("job", name, "--config", str(self.config), *options, *(["--", *command] if command else [])),
            cwd=ROOT, env=self.environment(), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    def events(self) -> list[tuple[str, int | None]]:
        record = self.book.record("db")
        return [(event.action, event.exit) for event in record.events] if record is not None else []

    def said(self) -> bytes | None:
        record = self.book.record("db")
        return self.book.body("db", record.pings) if record is not None else None

    def waiting(self) -> list[WaitingPing]:
        directories = (*self.settings.waiting_pings, self.home / ".local" / "state" / "haidang" / "pings")
        found = [waiting for directory in directories for _, waiting in stored_pings(directory) if waiting is not None]
        return sorted(found, key=lambda waiting: waiting.at.boot_ms)


@pytest.fixture
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="hd") as made:
        yield Machine(Path(made), free_port())


@pytest.fixture
async def running(machine: Machine) -> AsyncIterator[Machine]:
    await machine.on()
    yield machine
    await machine.off()


@pytest.mark.parametrize("code", [0, 1, 3, 255])
async def test_the_exit_code_and_the_output_are_passed_on_and_kept(running: Machine, code: int) -> None:
    done = await running.job("sh", "-c", f"echo to out; echo to err >&2; exit {code}")
    assert done == (code, "to out\n", "to err\n")
    assert running.events() == [("start", None), ("fail" if code else "success", code)]
    assert sorted((running.said() or b"").splitlines()) == [b"to err", b"to out"]
    record = running.book.record("db")
    assert record is not None
    assert record.state.seconds is not None
    assert record.state.start is None


async def test_only_the_end_of_much_output_is_kept_and_all_of_it_is_passed_on(running: Machine) -> None:
    code, out, _ = await running.job("sh", "-c", "seq 1 200000")
    assert code == 0
    assert out == "".join(f"{number}\n" for number in range(1, 200_001))
    said = running.said()
    assert said is not None
    assert len(said) == MOST_BODY
    assert out.encode().endswith(said)


async def test_output_can_stay_out_of_it(running: Machine) -> None:
    assert (await running.job("echo", "a secret", options=("--no-output",)))[1] == "a secret\n"
    assert running.said() is None
    assert not any(b"a secret" in path.read_bytes() for path in running.state.rglob("*") if path.is_file())


async def test_a_commands_own_options_and_dashes_are_its_own(running: Machine) -> None:
    done = await running.job("sh", "-c", 'echo "$@"', "sh", "--", "--config", "-x", "--pause")
    assert done[:2] == (0, "-- --config -x --pause\n")


@pytest.mark.parametrize(("command", "code"), [("/no/such/thing", 127), ("/etc/passwd", 126)])
async def test_a_command_that_cannot_be_run_fails_as_in_a_shell(running: Machine, command: str, code: int) -> None:
    done = await running.job(command)
    assert done[0] == code
    assert command in done[2]
    assert running.events() == [("start", None), ("fail", code)]


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT])
async def test_signals_reach_the_command(running: Machine, sign: signal.Signals) -> None:
    """It may even go on: the wrapper dies of none of them."""
    script = f"trap 'echo caught; exit 42' {sign.name.removeprefix('SIG')}; echo ready; while :; do sleep 0.02; done"
    process = await asyncio.create_subprocess_exec(
        *running.command("job", "db", "--config", str(running.config), "--", "sh", "-c", script),
        cwd=ROOT, env=running.environment(), stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
    process.send_signal(sign)
    out, _ = await asyncio.wait_for(process.communicate(), 20)
    assert (process.returncode, out) == (42, b"caught\n")
    assert running.events()[-1] == ("fail", 42)


async def test_a_command_ended_by_a_signal_is_told_as_shells_do(running: Machine) -> None:
    assert (await running.job("sh", "-c", "kill -KILL $$"))[0] == 137
    assert running.events()[-1] == ("fail", 137)


async def test_what_runs_on_behind_the_command_is_not_waited_for(running: Machine) -> None:
    begun = time.monotonic()
    code, out, _ = await running.job("sh", "-c", "sleep 300 & echo $!")
    assert code == 0
    assert time.monotonic() - begun < 30
    os.kill(int(out), signal.SIGKILL)


async def test_who_stops_reading_is_felt_by_the_command(running: Machine) -> None:
    """As without the wrapper: yes | head ends."""
    script = f"{' '.join(running.command('job', 'db', '--config', str(running.config)))} -- yes | head -1"
    process = await asyncio.create_subprocess_exec(
        "sh", "-c", script, cwd=ROOT, env=running.environment(), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(), 30)
    assert out == b"y\n"
    assert running.events()[-1][0] == "fail"


async def test_the_command_runs_without_an_agent_and_its_pings_come_later(machine: Machine) -> None:
    code, out, err = await machine.job("sh", "-c", "echo saved; exit 7")
    assert (code, out) == (7, "saved\n")
    assert "the agent does not answer" in err
    assert [(waiting.action, waiting.exit) for waiting in machine.waiting()] == [("start", None), ("fail", 7)]
    before = stamp(SystemClock()).boot_ms
    await machine.on()
    await machine.off()
    assert machine.events() == [("start", None), ("fail", 7)]
    assert machine.said() == b"saved\n"
    assert machine.waiting() == []
    record = machine.book.record("db")
    assert record is not None
    assert all(event.at.boot_ms < before for event in record.events)  # when it was, not when it was heard


async def test_pings_wait_at_home_where_the_agents_directory_is_closed(machine: Machine) -> None:
    """The next run delivers them, before its own."""
    machine.state.rmdir()
    machine.state.write_bytes(b"in the way")  # root may write anywhere else
    assert (await machine.job("sh", "-c", "exit 5"))[0] == 5
    assert len(machine.waiting()) == 2
    machine.state.unlink()
    machine.state.mkdir()
    await machine.on()
    assert (await machine.job("true"))[0] == 0
    await machine.off()
    assert machine.events() == [("start", None), ("fail", 5), ("start", None), ("success", 0)]
    assert machine.waiting() == []


async def test_an_agent_that_hangs_delays_no_command(machine: Machine) -> None:
    """It takes the connection and never answers."""
    hung = socket.create_server(("127.0.0.1", machine.port))
    marker = machine.place / "ran"
    process = await asyncio.create_subprocess_exec(
        *machine.command("job", "db", "--config", str(machine.config), "--", "touch", str(marker)),
        cwd=ROOT, env=machine.environment(), stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    begun = time.monotonic()
    while not marker.exists():
        assert time.monotonic() - begun < 2.5, "the command waited for the agent"
        await asyncio.sleep(0.01)
    assert await asyncio.wait_for(process.wait(), 40) == 0
    assert len(machine.waiting()) == 2
    hung.close()


async def test_a_mistake_in_the_agents_file_stops_no_backup(machine: Machine) -> None:
    machine.config.write_text("pings: {listen: [\n")
    code, out, err = await machine.job("echo", "saved")
    assert (code, out) == (0, "saved\n")
    assert str(machine.config) in err


async def test_a_job_that_the_plan_does_not_have_runs_all_the_same(running: Machine) -> None:
    done = await running.job("echo", "saved", name="other")
    assert done[:2] == (0, "saved\n")
    assert "no job 'other' in this agent's plan" in done[2]
    assert running.waiting() == []


async def test_pause_resume_and_show(running: Machine) -> None:
    assert (await running.job("sh", "-c", "echo what it said; exit 9"))[0] == 9
    assert (await running.job(options=("--pause",)))[0] == 0
    assert (await running.job(options=("--resume",)))[0] == 0
    assert [action for action, _ in running.events()] == ["start", "fail", "pause", "resume"]
    code, out, _ = await running.job(options=("--show",))
    assert code == 0
    assert "fail 9" in out
    assert out.endswith("-- what it said last (ping 2):\nwhat it said\n\n")
    assert (await running.job())[0] == 2
    assert (await running.job("true", options=("--pause",)))[0] == 2
    await running.off()
    code, _, err = await running.job(options=("--pause",))
    assert code == 1
    assert "does not answer" in err


async def test_the_lines_that_a_job_is_given_work(running: Machine) -> None:
    """As a person copies them: the second into the job's own script, where the job ends well."""
    code, out, _ = await running.job(options=("--show",))
    wrapper, line, *_ = out.splitlines()
    assert (code, wrapper) == (0, "haidang-agent job db -- COMMAND...")
    assert line == f"curl -fsS -m 10 --retry 3 http://127.0.0.1:{running.port}/ping/db"
    process = await asyncio.create_subprocess_shell(line, stdout=asyncio.subprocess.PIPE)
    assert (await process.communicate())[0] == b"OK"
    assert running.events() == [("success", None)]
    code, out, _ = await running.job(options=("--show",), name="nobody")
    assert code == 1 and "/ping/nobody" in out


# -- the directory where pings wait


def wait_in(directory: Path, name: str, content: bytes) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.ping"
    path.write_bytes(content)
    return path


def test_what_is_left_there_by_anybody_does_no_harm(machine: Machine) -> None:
    """Rubbish, links, pipes, too much, jobs that are none, the future: taken away or let be, never followed."""
    place = machine.place / "shared"
    now = stamp(SystemClock())
    good = ping("db", "success", now)
    secret = machine.place / "secret"
    secret.write_bytes(msgspec.json.encode(good))
    later = msgspec.structs.replace(now, boot_ms=now.boot_ms + 10**7, wall_ms=now.wall_ms + 10**7)
    wait_in(place, "rubbish", b"\xff\x00{")
    wait_in(place, "large", b" " * 300_000 + msgspec.json.encode(good))
    wait_in(place, "path", msgspec.json.encode(msgspec.structs.replace(good, job="../../x")))
    wait_in(place, "code", msgspec.json.encode(msgspec.structs.replace(good, exit=256)))
    wait_in(place, "future", msgspec.json.encode(ping("db", "success", later)))
    foreign = wait_in(place, "foreign", msgspec.json.encode(ping("other", "success", now)))
    (place / "link.ping").symlink_to(secret)
    os.mkfifo(place / "pipe.ping")
    (place / "other.txt").write_bytes(b"not ours")
    assert import_stored_pings(machine.book, [place, machine.place / "none"], {"db"}) == 0
    assert machine.events() == []
    assert {path.name for path in place.iterdir()} == {"foreign.ping", "link.ping", "other.txt"}
    assert foreign.exists()  # a plan may yet have it
    wait_in(place, "good", msgspec.json.encode(good))
    wait_in(place, "twice", msgspec.json.encode(good))
    assert import_stored_pings(machine.book, [place], {"db"}) == 2
    assert machine.events() == [("success", None)]


def test_pings_for_a_job_that_no_plan_ever_has_are_forgotten(machine: Machine) -> None:
    old = stamp(SystemClock())
    old = msgspec.structs.replace(old, boot="ff" * 8, wall_ms=old.wall_ms - round(FORGOTTEN * 1000) - 1000)
    path = wait_in(machine.place / "w", "old", msgspec.json.encode(ping("gone", "success", old)))
    assert import_stored_pings(machine.book, [path.parent], {"db"}) == 0
    assert not path.exists()


def test_a_waiting_ping_is_readable_for_its_user_alone(machine: Machine) -> None:
    from agent.jobs.delivery import store_ping

    made = ping("db", "fail", stamp(SystemClock()), body=b"what it said")
    own, shared = machine.place / "own", machine.place / "shared"
    shared.mkdir()
    path = store_ping(made, [own])
    assert path is not None
    assert path.stat().st_mode & 0o077 == 0
    there = store_ping(made, [shared], shared=shared)
    assert there is not None
    assert b"body" in there.read_bytes()
    assert json.loads(there.read_bytes())["body"] == ""
    assert store_ping(made, [machine.place / "agent.yaml"]) is None
