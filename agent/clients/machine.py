"""Read the agent's own machine through psutil: file systems, memory, load, processors, temperatures.

Whatever may hang (a dead disk, a network file system, a slow sensor) is read in a thread of its own, never more than
one for each: the look goes on without it and says so.
"""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Final

import msgspec

from inventory.base.clock import CLOCK_FLOOR, boottime
from inventory.protocol.reasons import sentence

# images that are full by nature, and cannot be written to
_IMAGES: Final = frozenset({"squashfs", "iso9660", "udf", "erofs", "cramfs", "romfs"})
_COLDEST: Final = (
    -60.0
)  # degrees Celsius between which a sensor is believed; -128 and 127.5 are what a missing one says
_HOTTEST: Final = 125.0
_OWN_MARK: Final = (40.0, _HOTTEST)  # between which a sensor's own critical mark is believed


class Disk(msgspec.Struct, frozen=True):
    """A file system. Ratios are used / (used + free for ordinary users), as df counts.

    ``inodes``: None where the file system makes them as it needs them.
    """

    mount: str
    used: float
    free: int
    inodes: float | None


class HottestSensor(msgspec.Struct, frozen=True):
    """The hottest sensor. ``critical``: what it says itself is too hot, or None."""

    sensor: str
    celsius: float
    critical: float | None


class NotMounted(Exception):
    """Nothing is mounted there."""


class ReadTimeout(Exception):
    """It did not answer in time, and is still being waited for."""


class Machine:
    """A shared client: ``look.client(Machine, Machine)``. ``ps`` and ``statvfs`` are psutil and os.statvfs."""

    def __init__(self, ps: Any = None, statvfs: Callable[[str], Any] | None = None) -> None:
        if ps is None:
            import psutil  # only where a plan has this kind

            ps = psutil
        self._ps = ps
        self._statvfs = statvfs or getattr(os, "statvfs", None)
        self._pending: dict[str, asyncio.Future[Any]] = {}
        self._cpu_times: dict[Hashable, tuple[float, float]] = {}

    async def close(self) -> None:
        for future in self._pending.values():
            future.cancel()
        self._pending.clear()

    # what may hang

    async def disk(self, mount: str, seconds: float) -> Disk:
        """Raises NotMounted, Slow, or OSError as the system tells it."""
        disk: Disk = await self._in_thread(sentence("disk {mount}", mount=mount), lambda: self._disk(mount), seconds)
        return disk

    def _disk(self, mount: str) -> Disk:
        if mount not in {part.mountpoint for part in self._ps.disk_partitions(all=True)}:
            raise NotMounted(mount)
        usage = self._ps.disk_usage(mount)
        statistics = self._statvfs(mount) if self._statvfs is not None else None
        inodes = None
        if statistics is not None and statistics.f_files > 0:
            used = statistics.f_files - statistics.f_ffree
            inodes = used / (used + statistics.f_favail) if used + statistics.f_favail else None
        used = usage.used + usage.free
        return Disk(mount, usage.used / used if used else 1.0, usage.free, inodes)

    async def hottest_sensor(self, seconds: float) -> HottestSensor | None:
        """The hottest sensor; None when there is none, or it takes too long."""
        try:
            sensor: HottestSensor | None = await self._in_thread("sensors", self._hottest_sensor, seconds)
        except (ReadTimeout, OSError):
            return None
        return sensor

    def _hottest_sensor(self) -> HottestSensor | None:
        read = getattr(self._ps, "sensors_temperatures", None)  # not on every system
        hottest: HottestSensor | None = None
        for chip, sensors in (read() if read is not None else {}).items():
            for sensor in sensors:
                now = sensor.current
                if now is None or not _COLDEST < now < _HOTTEST:
                    continue
                mark = sensor.critical
                critical = mark if mark is not None and _OWN_MARK[0] <= mark <= _OWN_MARK[1] else None
                if hottest is None or now > hottest.celsius:
                    hottest = HottestSensor(f"{chip} {sensor.label}".strip(), now, critical)
        return hottest

    async def _in_thread(self, name: str, read: Callable[[], Any], seconds: float) -> Any:
        """What ``read`` gives, in a thread: one for each name, however long it takes."""
        future = self._pending.get(name)
        if future is None:
            future = self._pending[name] = asyncio.get_running_loop().create_future()
            threading.Thread(
                target=_read_in_thread, args=(future, future.get_loop(), read), name=name, daemon=True
            ).start()
        await asyncio.wait((future,), timeout=seconds)
        if not future.done():
            raise ReadTimeout(name)
        self._pending.pop(name, None)
        return future.result()

    # what answers at once

    def local_mounts(self) -> tuple[str, ...]:
        """Where the file systems of this machine's own disks are mounted, each disk once; images left out."""
        first: dict[str, str] = {}
        for part in self._ps.disk_partitions(all=False):
            if part.fstype in _IMAGES or "ro" in part.opts.split(","):
                continue
            mountpoint = first.get(part.device)
            if mountpoint is None or len(part.mountpoint) < len(mountpoint):
                first[part.device] = part.mountpoint  # of several bind mounts the shortest is the disk's own
        mountpoints = set(first.values())
        if os.name == "posix":
            mountpoints.add("/")  # in a container it is an overlay, on no disk of its own
        return tuple(sorted(mountpoints))

    def memory_usage(self) -> tuple[float, int]:
        """(used ratio, bytes available): what programs could still have without swapping counts as free."""
        usage = self._ps.virtual_memory()
        return 1 - usage.available / usage.total, usage.available

    def swap_used_ratio(self) -> float | None:
        """Used ratio; None without swap."""
        usage = self._ps.swap_memory()
        return float(usage.used / usage.total) if usage.total else None

    def load_per_cpu(self) -> float:
        """The load average of five minutes for each processor."""
        five: float = self._ps.getloadavg()[1]
        return five / (self._ps.cpu_count() or 1)

    def cpu_used_ratio(self, key: Hashable) -> float | None:
        """The share of time in which the processors were busy since ``key`` last asked; None the first time.

        None, too, less than a processor's second later: the kernel counts in hundredths.
        """
        times = self._ps.cpu_times()
        # guests' time is part of the user's on Linux
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        idle = times.idle + getattr(times, "iowait", 0.0)
        before = self._cpu_times.setdefault(key, (total, idle))
        if 0 <= total - before[0] < 1.0:
            return None
        self._cpu_times[key] = total, idle
        if total < before[0]:
            return None  # the counters began anew
        busy: float = 1 - (idle - before[1]) / (total - before[0])
        return min(max(busy, 0.0), 1.0)

    def process_count(self) -> int:
        return len(self._ps.pids())

    def uptime(self) -> float:
        """Seconds since the machine started, the time it slept included."""
        return boottime()

    def boot_time(self) -> float | None:
        """When the machine started, seconds since the epoch; None while its clock cannot be right."""
        now = time.time()
        return now - self.uptime() if now >= CLOCK_FLOOR else None


def _read_in_thread(future: "asyncio.Future[Any]", loop: asyncio.AbstractEventLoop, read: Callable[[], Any]) -> None:
    """In the thread: read, and tell the loop."""
    result: Any = None
    failure: BaseException | None = None
    try:
        result = read()
    except Exception as error:
        failure = error

    def deliver() -> None:
        if future.done():
            return
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)
            future.exception()  # the one who asked may be gone by now

    try:
        loop.call_soon_threadsafe(deliver)
    except RuntimeError:
        pass  # the loop has ended meanwhile
