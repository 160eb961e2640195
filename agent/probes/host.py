"""The kind ``host``: is the agent's own machine well: disks, memory, load, temperature."""

import asyncio
from typing import Annotated, Final

from msgspec import Meta

from agent.clients.machine import Disk, HottestSensor, Machine, NotMounted, ReadTimeout
from agent.failure import printable
from agent.first_steps import CALL
from agent.probe import Measure, Outcome, Probe, ProbeContext
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import Reason, Why, joined, sentence
from inventory.protocol.states import DEGRADED, DOWN, UP

_SHARE: Final = 0.8  # of the timeout that a disk or a sensor may take
_UNITS: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"))


class Host(Probe, frozen=True, kw_only=True):
    """Look at the machine that the agent runs on.

    Down: a file system that is full (98% of its space or inodes: programs begin to fail), does not answer (a dead
    disk) or, being named in ``mounts``, is not mounted. Degraded: a file system 90% full, memory 95% used (what
    programs could still have counts as free), a load of more than 4 for each processor over five minutes, a sensor
    above 90 °C or its own critical mark. Without ``mounts`` the file systems of the machine's own disks are looked
    at, network ones and read-only images left out. Swap, processors and processes are only measured: thresholds of
    the check judge them. What the machine does not have (swap, sensors) is left out.
    """

    kind = "host"
    title = "agent's machine"
    target = ()
    looks_at = "machine"
    measures = (
        Measure("disk_used_ratio", "ratio", "Used space of the fullest file system"),
        Measure("disk_free_bytes", "bytes", "Free space of the fullest file system"),
        Measure("inodes_used_ratio", "ratio", "Used inodes of the file system with the fewest left"),
        Measure("memory_used_ratio", "ratio", "Memory that programs cannot have any more"),
        Measure("memory_available_bytes", "bytes", "Memory that programs could still have without swapping"),
        Measure("swap_used_ratio", "ratio", "Used swap"),
        Measure("load_ratio", "ratio", "Load average of five minutes for each processor"),
        Measure("cpu_used_ratio", "ratio", "Busy time of all processors since the look before"),
        Measure("temperature_celsius", "celsius", "The hottest sensor"),
        Measure("processes", "count", "Processes"),
        Measure("uptime_seconds", "seconds", "Since the machine started, the time it slept included"),
        Measure("boot_timestamp_seconds", "timestamp", "When the machine started"),
    )
    down_mail = MailWords(
        steps=(
            "A disk of the agent's machine is full or broken. See above which one.",
            "Empty the recycle bin and delete downloads and old installers that nobody needs.",
            "Do not delete the folder haidang: it holds measurements that are not sent yet.",
            CALL,
        ),
    )
    degraded_mail = MailWords(
        steps=(
            "The agent's machine is short of disk, memory or computing time, or too hot. See above which.",
            "Close programs that nobody uses, and free disk space.",
            "If it is hot, take the dust off its fan and give it room.",
            "If it stays like this, restart it outside of working hours.",
        ),
    )
    example = "{disk_degraded: 0.85}"

    mounts: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=1024)], ...],
        Meta(max_length=50, description="Mount points to look at, instead of those of the machine's own disks"),
    ] = ()
    disk_degraded: Annotated[
        float, Meta(gt=0, le=1, description="Used share of space or inodes from which it is degraded")
    ] = 0.9
    disk_down: Annotated[float, Meta(gt=0, le=1, description="Used share of space or inodes from which it is down")] = (
        0.98
    )
    memory_degraded: Annotated[
        float, Meta(gt=0, le=1, description="Used share of memory from which it is degraded")
    ] = 0.95
    load_degraded: Annotated[
        float, Meta(gt=0, le=1e6, description="Load for each processor from which it is degraded")
    ] = 4.0
    temperature_degraded: Annotated[
        float, Meta(gt=0, le=1000, description="Degrees Celsius from which it is degraded")
    ] = 90.0

    def __post_init__(self) -> None:
        if self.disk_down < self.disk_degraded:
            raise ValueError(sentence("disk_down is below disk_degraded"))

    async def run(self, context: ProbeContext) -> Outcome:
        machine = context.client(Machine, Machine)
        seconds = context.timeout * _SHARE
        mounts = self.mounts or machine.local_mounts()
        *disks, sensor = await asyncio.gather(
            *(self._disk(machine, mount, seconds) for mount in mounts), machine.hottest_sensor(seconds)
        )
        assert sensor is None or isinstance(sensor, HottestSensor)
        measures = _measures(machine, self, sensor)
        readable = [disk for disk in disks if isinstance(disk, Disk)]
        if readable:
            fullest = max(readable, key=lambda disk: disk.used)
            measures.update(disk_used_ratio=fullest.used, disk_free_bytes=fullest.free)
        inodes = [disk.inodes for disk in readable if disk.inodes is not None]
        if inodes:
            measures["inodes_used_ratio"] = max(inodes)

        broken = [disk for disk in disks if isinstance(disk, Reason)]
        broken += [words for disk in readable if (words := _full_text(disk, self.disk_down))]
        degraded = [
            words for disk in readable if (words := _full_text(disk, self.disk_degraded)) and words not in broken
        ]
        degraded += self._degraded_reasons(measures, sensor)
        state = DOWN if broken else DEGRADED if degraded else UP
        return Outcome(state, joined(broken + degraded), None, measures)

    async def _disk(self, machine: Machine, mount: str, seconds: float) -> Disk | Reason:
        """A file system, or what is wrong with it."""
        try:
            return await machine.disk(mount, seconds)
        except ReadTimeout:
            return sentence("the file system at {mount} does not answer (a dead disk?)", mount=_mount_text(mount))
        except NotMounted:
            return sentence("nothing is mounted at {mount}", mount=_mount_text(mount))
        except OSError as error:
            return sentence(
                "the file system at {mount} cannot be looked at: {error}",
                mount=_mount_text(mount),
                error=error.strerror or error,
            )

    def _degraded_reasons(self, measures: dict[str, float], hottest: HottestSensor | None) -> list[Reason]:
        """What is past its mark, disks apart."""
        words: list[Reason] = []
        if measures["memory_used_ratio"] >= self.memory_degraded:
            left = _size_text(measures["memory_available_bytes"])
            words.append(
                sentence(
                    "memory is {memory_used_ratio:n} used, {left} left",
                    memory_used_ratio=f"{measures['memory_used_ratio']:.0%}",
                    left=left,
                )
            )
        if measures["load_ratio"] >= self.load_degraded:
            words.append(
                sentence("the load is {load_ratio:n} for each processor", load_ratio=f"{measures['load_ratio']:.3g}")
            )
        if hottest is not None and hottest.celsius >= min(self.temperature_degraded, hottest.critical or float("inf")):
            words.append(
                sentence(
                    "the sensor {sensor} is at {celsius:n} °C",
                    sensor=printable(hottest.sensor),
                    celsius=f"{hottest.celsius:.0f}",
                )
            )
        return words


def _measures(machine: Machine, key: Host, hottest: HottestSensor | None) -> dict[str, float]:
    """Everything but the disks; what the machine does not have is left out."""
    memory, available = machine.memory_usage()
    maybe = {
        "swap_used_ratio": machine.swap_used_ratio(),
        "cpu_used_ratio": machine.cpu_used_ratio(key),
        "temperature_celsius": hottest.celsius if hottest is not None else None,
        "boot_timestamp_seconds": machine.boot_time(),
    }
    return {
        "memory_used_ratio": memory,
        "memory_available_bytes": available,
        "load_ratio": machine.load_per_cpu(),
        "processes": machine.process_count(),
        "uptime_seconds": machine.uptime(),
        **{name: value for name, value in maybe.items() if value is not None},
    }


def _full_text(disk: Disk, mark: float) -> Why:
    """What is used up to the mark, or ""."""
    if disk.used >= mark:
        return sentence(
            "the file system at {mount} is {used:n} full, {free} left",
            mount=_mount_text(disk.mount),
            used=f"{disk.used:.1%}",
            free=_size_text(disk.free),
        )
    if disk.inodes is not None and disk.inodes >= mark:
        return sentence(
            "the file system at {mount} has {inodes:n} of its inodes used",
            mount=_mount_text(disk.mount),
            inodes=f"{disk.inodes:.1%}",
        )
    return ""


def _mount_text(mount: str) -> str:
    return printable(mount, 60).strip("'")


def _size_text(size: float) -> str:
    for unit, name in _UNITS:
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size / 1e3:.3g} kB"
