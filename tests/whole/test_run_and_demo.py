"""The two things a newcomer starts: scripts/run and scripts/demo, as processes, to their end."""

import asyncio
import re
import signal
import socket
import sys
from pathlib import Path

import msgspec
import pytest

from deploy.demo.estate import DemoService, greeting, now_ms
from deploy.local import main, starter
from deploy.local.surroundings import StarterCheck
from deploy.local.table import Table, ago, line


async def started(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )


async def line_with(process: asyncio.subprocess.Process, pattern: str) -> str:
    """The next line that it prints of this form."""
    assert process.stdout is not None
    while text := (await asyncio.wait_for(process.stdout.readline(), 30)).decode():
        if re.search(pattern, text):
            return text
    raise AssertionError(f"it ended without saying {pattern}")


async def interrupted(process: asyncio.subprocess.Process) -> str:
    """What it prints after Ctrl-C."""
    process.send_signal(signal.SIGINT)
    out, _ = await asyncio.wait_for(process.communicate(), 25)
    assert process.returncode == 0, out.decode()
    return out.decode()


async def ran(*arguments: str) -> str:
    process = await started(*arguments)
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def test_run_watches_this_machine_sees_what_breaks_and_goes_on_from_its_state(tmp_path: Path) -> None:
    service = DemoService("dead", greeting("ready"))
    await service.start()
    starter.write(
        tmp_path / "inventory" / "starter.yaml",
        [StarterCheck("service", "Dịch vụ", "Service", "tcp", {"host": "127.0.0.1", "port": service.port})],
    )
    first = await started("deploy.local.main", "--state", str(tmp_path))
    assert re.fullmatch(r"Page: +http://127\.0\.0\.1:\d+/\n", await line_with(first, "^Page"))
    assert re.fullmatch(r"Metrics: http://127\.0\.0\.1:\d+/metrics\n", await line_with(first, "^Metrics"))
    await line_with(first, r"^\d\d:\d\d:\d\d service +up ")
    service.die()
    assert "refused" in await line_with(first, r"^\d\d:\d\d:\d\d service +down ")
    out = await interrupted(first)
    service.stop()
    assert re.search(r"^service +down ", out, re.M)
    assert re.search(r"^Goal all-day \(day\): ", out, re.M)
    assert "Traceback" not in out

    # its own port is taken when it starts again; what it knows is still there
    ports = msgspec.json.decode((tmp_path / "ports.json").read_bytes(), type=main.Ports)
    with socket.create_server(("127.0.0.1", ports.operators)):
        again = await ran("deploy.local.main", "--for", "4", "--state", str(tmp_path))
    assert f"Port {ports.operators} is in use; the operators' listener takes" in again
    assert "starter inventory" not in again
    assert "agent stopped" in again or "down" in again


@pytest.mark.alone
@pytest.mark.timeout(300)
async def test_the_demos_truth_and_the_ledger_agree() -> None:
    out = await ran("deploy.demo.main", "--pace", "0.7")
    assert "Truth, ledger and mails agree." in out
    assert "agency A's line is cut" in out
    assert "[Nghiêm trọng] Mất đường truyền: Sở Nội vụ" in out


def test_a_line_says_state_since_and_bounds() -> None:
    check = {
        "check": "gateway", "uid": "1", "state": "down", "since": now_ms() - 65_000, "latency": 0.0012,
        "reason": "refused", "figure": {"best": 0.5, "lower": 0.4, "upper": 0.625},
    }  # fmt: skip
    text = line(check)
    assert "1 min" in text
    assert "1.20 ms" in text
    assert "50.00%" in text
    assert "40.0% to 62.5%" in text
    assert "\x1b" not in text
    assert "\x1b[31mdown" in line(check, colour=True)


def test_a_reason_is_cut_for_a_terminal_alone() -> None:
    reason = "this machine does not let the agent ping: give its service CAP_NET_RAW, or open ping_group_range"
    figure = {"best": None, "lower": None, "upper": None}
    check = {"check": "x", "state": "unknown", "since": None, "latency": None, "reason": reason, "figure": figure}
    assert line(check).endswith(reason)
    assert line(check, room=20).endswith(f"  {reason[:20].rstrip()}")


def test_without_a_terminal_only_changes_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(sys.stdout)
    figure = {"best": None, "lower": None, "upper": None}
    check = {"check": "x", "uid": "1", "state": "up", "since": None, "latency": None, "reason": "", "figure": figure}
    table.show([check])
    table.show([check])
    table.show([{**check, "state": "down"}])
    assert len(capsys.readouterr().out.splitlines()) == 2


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (59.9, "59 s"), (3_599, "59 min"), (3_700, "1 h 01 min"), (90_000, "1 d 1 h")]
)
def test_ago(seconds: float, words: str) -> None:
    assert ago(seconds) == words
