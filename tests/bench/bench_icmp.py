"""ICMP: reported round trips and CPU beside fping's, 500 targets on loopback at once.

Both ping 127.0.0.1 and on, 500 addresses, 5 times each, 200 ms apart, in turns, three rounds; the middle round counts.
"""

import asyncio
import os
import shutil
import statistics
import subprocess
import time
from typing import Any

from agent.clients.icmp.pinger import IcmpPinger
from agent.failure import ProbeFailed
from agent.probe import Limits, ProbeContext
from agent.probes.icmp import Icmp

TARGETS = [f"127.0.{place // 250}.{place % 250 + 1}" for place in range(500)]
COUNT = 5
SPACING = 0.2
ROUNDS = 3


def run() -> list[dict[str, Any]]:
    if shutil.which("fping") is None:
        return [_row("ICMP round trips and CPU", 0.0, "", None, None, "fping is not installed", False)]
    try:
        rounds = [(asyncio.run(_ours()), _fping()) for _ in range(ROUNDS)]
    except ProbeFailed as trouble:
        return [_row("ICMP round trips and CPU", 0.0, "", None, None, trouble.reason, False)]
    ours, theirs = [mine for mine, _ in rounds], [peer for _, peer in rounds]
    pairs = [_p99([abs(mine - peer) for mine, peer in zip(one[0], other[0], strict=True)]) for one, other in rounds]
    apart = statistics.median(pairs) * 1e6
    slowest = statistics.median(_p99(one[0]) for one in ours) * 1e6
    slowest_peer = statistics.median(_p99(other[0]) for other in theirs) * 1e6
    cpu = statistics.median(one[1] for one in ours)
    cpu_peer = statistics.median(other[1] for other in theirs)
    return [
        _row(
            "ICMP: p99 of a target's mean RTT, ours from fping's",
            apart,
            "µs",
            f"fping (0, its p99 {slowest_peer:.0f} µs)",
            None,
            "at most 50 µs",
            apart <= 50,
        ),
        _row(
            "ICMP: p99 of reported RTT, 500 in flight",
            slowest,
            "µs",
            f"fping {slowest_peer:.1f} µs",
            slowest / slowest_peer,
            "at most 50 µs above fping's",
            slowest - slowest_peer <= 50,
        ),
        _row(
            "ICMP: CPU for 1,000 pings",
            cpu,
            "ms",
            f"fping {cpu_peer:.1f} ms",
            cpu / cpu_peer,
            "at most 3 x fping's",
            cpu <= 3 * cpu_peer,
        ),
    ]


def _row(
    name: str, value: float, unit: str, peer: str | None, ratio: float | None, target: str, met: bool
) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": peer, "ratio": ratio, "target": target, "met": met}


async def _ours() -> tuple[list[float], float]:
    """(mean round trip of each target in seconds, CPU ms for 1,000 pings), by whole looks of the probe."""
    clients: dict[type[Any], Any] = {IcmpPinger: IcmpPinger()}
    warm = await Icmp(host="127.0.0.1", count=1).run(ProbeContext(2.0, Limits(), clients))
    if warm.latency is None:
        raise ProbeFailed(warm.reason)
    probes = [Icmp(host=target, count=COUNT, spacing=SPACING) for target in TARGETS]
    before = time.process_time()
    outcomes = await asyncio.gather(*(probe.run(ProbeContext(3.0, Limits(), clients)) for probe in probes))
    cpu = time.process_time() - before
    await clients[IcmpPinger].close()
    silent = [outcome.reason for outcome in outcomes if outcome.latency is None or outcome.measures["loss_ratio"]]
    if silent:
        raise ProbeFailed(f"loopback did not answer: {silent[0]}")
    return [outcome.latency or 0.0 for outcome in outcomes], cpu * 1e6 / (COUNT * len(TARGETS))


def _fping() -> tuple[list[float], float]:
    """The same of fping: it prints a line a target, "ADDRESS : MS MS MS MS MS"."""
    command = ["fping", "-q", "-C", str(COUNT), "-p", str(int(SPACING * 1000)), "-i", "0.01", *TARGETS]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines = process.stderr.read().splitlines()
        _pid, _status, usage = os.wait4(process.pid, 0)
        process.returncode = 0  # it has been waited for here, for its CPU time
    means = {}
    for line in lines:
        target, _, numbers = line.partition(" : ")
        if numbers and "-" not in numbers:
            means[target.strip()] = statistics.fmean(map(float, numbers.split())) / 1000
    if set(means) != set(TARGETS):
        raise ProbeFailed(f"fping did not reach every address of loopback: {lines[:1]}")
    return [means[target] for target in TARGETS], (usage.ru_utime + usage.ru_stime) * 1e6 / (COUNT * len(TARGETS))


def _p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]
