"""The agent's smaller parts: its own file, its clocks, its log lines."""

import json
import logging
import socket
import time
from pathlib import Path

import pytest

from agent import config
from agent.runtime.step_watch import StepWatch
from inventory.base import logs
from inventory.base.clock import SystemClock
from inventory.base.problems import Invalid
from inventory.base.systemd import Notifier
from inventory.protocol.wire import Record
from tests.support.clock import FakeClock


def test_no_file_is_fine(tmp_path: Path) -> None:
    found = config.load(None, tmp_path)
    assert found.state_dir == tmp_path
    assert found.limits.parsed().networks == ()


def test_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(
        "state_dir: state\n"
        "limits: {networks: [10.0.0.0/8, '2001:db8::/32'], ports: [22, 443], directories: [/srv/backup]}\n"
        "log: {level: debug, format: json}\nspool: {limit: 64MiB}\npings: {listen: '127.0.0.1:8441'}\n"
    )
    found = config.load(file)
    assert found.state_dir == tmp_path / "state"
    assert [str(network) for network in found.limits.parsed().networks] == ["10.0.0.0/8", "2001:db8::/32"]
    assert found.spool.limit == 64 << 20


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("stat_dir: x\n", "agent.yaml:1: stat_dir"),
        ("limits:\n  ports: [0]\n", "agent.yaml:2: limits.ports[0]"),
        (
            "limits:\n  networks:\n    - 10.0.0.0/8\n    - 10.0.0.1/8\n    - nonsense\n",
            "agent.yaml:4: limits.networks[1]",
        ),
        ("log: {level: loud}\n", "agent.yaml:1: log.level"),
    ],
)
def test_mistakes_name_file_line_and_key(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(text)
    with pytest.raises(Invalid) as found:
        config.load(file)
    assert words in str(found.value)


@pytest.mark.parametrize("step", [3_600_000, -3_600_000, -1_790_000_000_000, 1_001])
def test_a_step_of_the_wall_clock_is_a_record_once(step: int) -> None:
    clock = FakeClock(wall=1_790_000_000_000, boot=1_000)
    watch = StepWatch(clock)
    clock.advance(30_000)
    clock.step_wall(step)
    assert watch.check() == Record(31_000, "clock", {"wall_ms": clock.wall_ms(), "step_ms": step})
    clock.advance(30_000)
    assert watch.check() is None


def test_drift_and_sleep_are_no_steps() -> None:
    clock = FakeClock(wall=1_790_000_000_000, boot=1_000)
    watch = StepWatch(clock)
    for _ in range(100):
        clock.advance(30_000)
        clock.step_wall(15)  # 500 ppm
        assert watch.check() is None
    clock.advance(36_000_000)  # asleep: both go on
    assert watch.check() is None


def test_the_systems_clock(tmp_path: Path) -> None:
    clock = SystemClock()
    with socket.socket():
        before = clock.boot_ms()
    assert 0 <= clock.boot_ms() - before < 10_000
    assert abs(clock.wall_ms() - time.time() * 1000) < 5_000
    assert len(clock.boot_id()) == 8
    assert clock.boot_id() == SystemClock().boot_id()
    (tmp_path / "id").write_text("another boot\n")
    assert SystemClock(tmp_path / "id").boot_id() != clock.boot_id()
    assert len(SystemClock(tmp_path / "none").boot_id()) == 8


def test_a_notifier_without_a_listener_is_silent(tmp_path: Path) -> None:
    Notifier({}).notify("READY=1")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "none")}).notify("READY=1")
    assert Notifier({"WATCHDOG_USEC": "1000000"}).every is None
    assert Notifier({"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "3000000"}).every == 1.5


def test_json_logs_are_one_line_an_event() -> None:
    record = logging.LogRecord("agent.x", logging.ERROR, "", 0, "check %s\nis down", ("a",), None)
    event = json.loads(logs.JsonLines().format(record))
    assert event["message"] == "check a\\nis down"
    assert event["level"] == "error"
    assert "\n" not in logs.JsonLines().format(record)
