"""The host probe on this machine, on file systems made full for it, and on machines that are only described."""

import asyncio
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from agent import probes
from agent.clients import machine as machines
from agent.clients.machine import Machine
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes.host import Host
from inventory.protocol.states import DEGRADED, DOWN, UP
from tests.support.paths import ROOT


def thing(**fields: Any) -> Any:
    return SimpleNamespace(**fields)


class Described:
    """A machine as psutil would describe it: well, unless the test says otherwise."""

    def __init__(self) -> None:
        self.parts = [self.part("/dev/sda1", "/"), self.part("/dev/sdb1", "/srv")]
        self.usage = {"/": (50, 50), "/srv": (10, 90)}  # used, free
        self.available = 60
        self.swapped = (0, 0)
        self.load = (9.9, 0.5, 9.9)
        self.sensors: dict[str, list[Any]] = {}
        self.times = thing(user=100.0, system=0.0, idle=300.0, iowait=0.0, guest=0.0)

    @staticmethod
    def part(device: str, mountpoint: str, fstype: str = "ext4", opts: str = "rw,relatime") -> Any:
        return thing(device=device, mountpoint=mountpoint, fstype=fstype, opts=opts)

    def disk_partitions(self, all: bool) -> list[Any]:
        return self.parts

    def disk_usage(self, mount: str) -> Any:
        used, free = self.usage[mount]
        return thing(used=used, free=free)

    def virtual_memory(self) -> Any:
        return thing(total=100, available=self.available)

    def swap_memory(self) -> Any:
        return thing(used=self.swapped[0], total=self.swapped[1])

    def getloadavg(self) -> Sequence[float]:
        return self.load

    def cpu_count(self) -> int:
        return 1

    def cpu_times(self) -> Any:
        class Times(tuple):  # type: ignore[type-arg]
            __slots__ = ()
            idle, iowait, guest = self.times.idle, self.times.iowait, self.times.guest

        return Times(vars(self.times).values())

    def pids(self) -> list[int]:
        return [1, 2, 3]

    def sensors_temperatures(self) -> dict[str, list[Any]]:
        return self.sensors


def statvfs(_: str) -> Any:
    return thing(f_files=100, f_ffree=80, f_favail=60)


async def look(ps: Any = None, stat: Any = statvfs, timeout: float = 2.0, **params: Any) -> Outcome:
    machine = Machine(ps, stat) if ps is not None else Machine()
    try:
        return await probes.build("host", params).run(ProbeContext(timeout, Limits(), {Machine: machine}))
    finally:
        await machine.close()


async def test_this_machine() -> None:
    before = psutil.boot_time()
    generous = {"disk_degraded": 1, "disk_down": 1, "memory_degraded": 1, "load_degraded": 1000}
    outcome = await look(**generous, temperature_degraded=200)
    measures = outcome.measures
    assert measures["memory_available_bytes"] == pytest.approx(psutil.virtual_memory().available, rel=0.2)
    assert 0 < measures["memory_used_ratio"] < 1
    assert 0 <= measures["load_ratio"] < 1000
    assert measures["processes"] >= 1
    assert measures["boot_timestamp_seconds"] == pytest.approx(before, abs=2)
    assert measures["uptime_seconds"] == pytest.approx(time.time() - before, abs=3)
    assert ("swap_used_ratio" in measures) == bool(psutil.swap_memory().total)
    assert "cpu_used_ratio" not in measures
    assert outcome.latency is None
    assert "disk_used_ratio" in measures


@pytest.mark.skipif(shutil.which("df") is None, reason="needs df")
def test_the_same_figures_as_df() -> None:
    outcome = asyncio.run(look(mounts=["/"], disk_degraded=1, disk_down=1))
    told = subprocess.run(["df", "-Pk", "/"], capture_output=True, text=True, check=True).stdout.split("\n")[1].split()
    used, free = int(told[2]), int(told[3])
    assert outcome.measures["disk_used_ratio"] == pytest.approx(used / (used + free), abs=0.01)
    assert outcome.measures["disk_free_bytes"] == pytest.approx(free * 1024, rel=0.05)


FULL = """
import asyncio, sys
from agent.probe import Limits, ProbeContext
from agent.probes.host import Host
for probe in (Host(mounts=("/mnt",)), Host(mounts=("/mnt", "/media"))):
    outcome = asyncio.run(probe.run(ProbeContext(5.0, Limits(), {})))
    print(outcome.state, outcome.reason, outcome.measures["disk_used_ratio"], outcome.measures["inodes_used_ratio"])
"""


@pytest.mark.root
@pytest.mark.parametrize(
    ("prepare", "state", "words"),
    [
        ("true", UP, ""),
        ("head -c 965000 /dev/zero >/mnt/a", DEGRADED, "the file system at /mnt is 9"),
        (
            "head -c 2000000 /dev/zero >/mnt/a 2>/dev/null || true",
            DOWN,
            "the file system at /mnt is 100.0% full, 0 kB left",
        ),
        ("touch $(seq -f /mnt/%g 90)", DEGRADED, "the file system at /mnt has 9"),
        ("touch $(seq -f /mnt/%g 200) 2>/dev/null || true", DOWN, "has 100.0% of its inodes used"),
    ],
)
def test_a_real_file_system_that_fills_up(prepare: str, state: int, words: str) -> None:
    shell = (
        f'mount -t tmpfs -o size=1m,nr_inodes=100 none /mnt && {{ {prepare}; }} && exec {sys.executable} -c "$SCRIPT"'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", shell],
        cwd=ROOT,
        env={"SCRIPT": FULL, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    alone, with_another = done.stdout.splitlines()
    assert alone.startswith(f"{state} {words}" if words.startswith("the") else f"{state} ")
    assert words in alone
    assert with_another.startswith(f"{DOWN} nothing is mounted at /media")


async def test_a_machine_that_is_well() -> None:
    ps = Described()
    outcome = await look(ps)
    assert (outcome.state, outcome.reason) == (UP, "")
    measures = dict(outcome.measures)
    assert measures.pop("uptime_seconds") > 0
    assert measures.pop("boot_timestamp_seconds") > 1.7e9
    assert measures == {
        "disk_used_ratio": 0.5,
        "disk_free_bytes": 50,
        "inodes_used_ratio": 0.25,
        "memory_used_ratio": 0.4,
        "memory_available_bytes": 60,
        "load_ratio": 0.5,
        "processes": 3,
    }


async def test_what_is_not_there_is_left_out() -> None:
    ps = Described()
    without = await look(ps, lambda _: thing(f_files=0, f_ffree=0, f_favail=0))
    assert not {"inodes_used_ratio", "swap_used_ratio", "temperature_celsius"} & without.measures.keys()
    ps.swapped = (25, 100)
    assert (await look(ps)).measures["swap_used_ratio"] == 0.25


def heat(*sensors: tuple[str, float, float | None]) -> dict[str, list[Any]]:
    return {"chip": [thing(label=label, current=now, high=None, critical=mark) for label, now, mark in sensors]}


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({"usage": {"/": (92, 8), "/srv": (1, 9)}}, DEGRADED, "the file system at / is 92.0% full, 0.008 kB left"),
        ({"usage": {"/": (1, 9), "/srv": (99, 1)}}, DOWN, "the file system at /srv is 99.0% full, 0.001 kB left"),
        ({"available": 4}, DEGRADED, "memory is 96% used, 0.004 kB left"),
        ({"load": (0, 4.5, 0)}, DEGRADED, "the load is 4.5 for each processor"),
        ({"sensors": heat(("Core 0", 91.0, None))}, DEGRADED, "the sensor 'chip Core 0' is at 91 °C"),
        ({"sensors": heat(("", 71.0, 70.0))}, DEGRADED, "the sensor 'chip' is at 71 °C"),
        ({"sensors": heat(("a", 127.5, None), ("b", -128.0, None), ("c", 65262.0, 0.0), ("d", 40.0, 0.0))}, UP, ""),
    ],
)
async def test_a_machine_that_is_not_well(change: dict[str, Any], state: int, words: str) -> None:
    ps = Described()
    for name, value in change.items():
        setattr(ps, name, value)
    outcome = await look(ps)
    assert (outcome.state, outcome.reason) == (state, words)


async def test_the_worst_is_named_first_and_the_marks_can_be_moved() -> None:
    ps = Described()
    ps.usage, ps.available = {"/": (92, 8), "/srv": (99, 1)}, 2
    outcome = await look(ps)
    assert outcome.state == DOWN
    assert [word in outcome.reason.split("; ")[place] for place, word in enumerate(("/srv", "at / is", "memory"))] == [
        True
    ] * 3
    assert outcome.measures["disk_used_ratio"] == 0.99
    moved = {"disk_degraded": 0.995, "disk_down": 0.999, "memory_degraded": 0.99}
    assert (await look(ps, **moved)).state == UP


async def test_which_file_systems_are_looked_at() -> None:
    ps = Described()
    part = ps.part
    ps.parts = [
        part("/dev/sda1", "/etc/hosts"),
        part("/dev/sda1", "/srv"),
        part("/dev/loop0", "/snap/core", "squashfs"),
        part("/dev/sr0", "/media/cd", "iso9660"),
        part("/dev/sdc1", "/usr", "ext4", "ro,relatime"),
        part("overlay", "/"),
    ]
    assert Machine(ps).local_mounts() == ("/", "/srv")


async def test_a_file_system_that_hangs_holds_nothing_else_up() -> None:
    """One thread waits for it, however often it is looked at; when it answers again, so do we."""
    ps, answers = Described(), threading.Event()
    asked = []

    def hangs(mount: str) -> Any:
        if mount == "/srv":
            asked.append(mount)
            answers.wait(30)
        return statvfs(mount)

    machine = Machine(ps, hangs)
    for _ in range(3):
        outcome = await Host().run(ProbeContext(0.1, Limits(), {Machine: machine}))
        assert (outcome.state, outcome.reason) == (DOWN, "the file system at /srv does not answer (a dead disk?)")
        assert outcome.measures["disk_used_ratio"] == 0.5
    assert asked == ["/srv"]
    answers.set()
    assert (await Host().run(ProbeContext(2.0, Limits(), {Machine: machine}))).state == UP
    assert (await Host().run(ProbeContext(2.0, Limits(), {Machine: machine}))).state == UP
    await machine.close()


async def test_a_sensor_that_hangs_is_left_out() -> None:
    ps, answers = Described(), threading.Event()
    ps.sensors_temperatures = lambda: answers.wait(30) or {}  # type: ignore[method-assign]
    outcome = await look(ps, timeout=0.1)
    answers.set()
    assert (outcome.state, "temperature_celsius" in outcome.measures) == (UP, False)


async def test_a_disk_that_fails() -> None:
    def fails(_: str) -> Any:
        raise OSError(5, "Input/output error")

    outcome = await look(Described(), fails, mounts=["/"])
    assert (outcome.state, outcome.reason) == (
        DOWN,
        "the file system at / cannot be looked at: Input/output error",
    )
    assert "disk_used_ratio" not in outcome.measures


async def test_processors_are_measured_from_look_to_look() -> None:
    ps = Described()
    machine = Machine(ps, statvfs)

    async def busy() -> float | None:
        return (await Host().run(ProbeContext(1.0, Limits(), {Machine: machine}))).measures.get("cpu_used_ratio")

    assert await busy() is None
    ps.times.user += 0.5
    assert await busy() is None  # too soon to tell
    ps.times.user += 24.5
    ps.times.guest += 10  # part of the user's
    ps.times.idle += 50
    ps.times.iowait += 25
    assert await busy() == pytest.approx(0.25)
    ps.times.idle += 10
    assert await busy() == 0
    ps.times.user = 0  # the counters began anew
    assert await busy() is None
    ps.times.user += 10
    assert await busy() == 1
    await machine.close()


async def test_a_clock_of_1970_gives_no_boot_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines.time, "time", lambda: 1000.0)
    outcome = await look(Described())
    assert "boot_timestamp_seconds" not in outcome.measures
    assert outcome.measures["uptime_seconds"] > 0


async def test_an_agent_that_ends_meanwhile(caplog: pytest.LogCaptureFixture) -> None:
    answers = threading.Event()

    def hangs(mount: str) -> Any:
        answers.wait(30)
        return statvfs(mount)

    machine = Machine(Described(), hangs)
    looking = asyncio.create_task(Host(mounts=("/",)).run(ProbeContext(5.0, Limits(), {Machine: machine})))
    await asyncio.sleep(0.01)
    looking.cancel()
    await machine.close()
    answers.set()
    with pytest.raises(asyncio.CancelledError):
        await looking
    assert not caplog.records


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"disk_degraded": 0.99}, "disk_down is below disk_degraded"),
        ({"disk_down": 1.5}, "disk_down: expected float <= 1"),
        ({"mounts": [""]}, "mounts"),
    ],
)
def test_parameters_that_are_wrong(params: dict[str, Any], words: str) -> None:
    with pytest.raises(probes.BadProbe, match=words):
        probes.build("host", params)
