"""The agent's status file, which ``status`` and ``doctor`` read, and its process numbers for the collector."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from agent.runtime.scheduler import ScheduledCheck
from agent.uplink.push import CollectorContact
from inventory.base import files
from inventory.protocol import states
from inventory.protocol.reasons import english

FILE: Final = "status.json"


class UnhealthyCheck(msgspec.Struct, frozen=True):
    """A check that is not up."""

    check: str
    state: str
    since: int  # boot-time ms
    reason: str


class CollectorStatus(msgspec.Struct, frozen=True):
    """How it stands with one collector."""

    name: str
    contact: CollectorContact
    backlog: int  # frames that it does not have yet


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Written at every tick of the push interval. Times are boot-time ms of the boot named, but for ``wall_ms``."""

    version: str
    agent: str
    pid: int
    boot: str
    boot_ms: int
    wall_ms: int
    started: int
    plan: str
    push_every: int
    states: dict[str, int]
    troubles: list[UnhealthyCheck]
    refused: list[tuple[str, str]]
    collectors: list[CollectorStatus]
    spool: dict[str, float]
    notes: list[str]


def write(state_dir: Path, status: Status) -> None:
    """Raises OSError. Not synced: it is worth nothing after a power cut."""
    files.replace(state_dir / FILE, msgspec.json.encode(status, enc_hook=english), durable=False)


def read(state_dir: Path) -> Status | None:
    """The last one written, or None."""
    try:
        return msgspec.json.decode(files.read(state_dir / FILE), type=Status)
    except (OSError, msgspec.DecodeError):
        return None


def state_counts(checks: Sequence[ScheduledCheck]) -> dict[str, int]:
    """How many checks are in each state."""
    totals = dict.fromkeys(states.NAMES, 0)
    for check in checks:
        totals[states.NAMES[states.UNKNOWN if check.state is None else check.state]] += 1
    return totals


def unhealthy_checks(checks: Sequence[ScheduledCheck]) -> list[UnhealthyCheck]:
    """The checks that were looked at and are not up."""
    return [
        UnhealthyCheck(check.check.name, states.NAMES[check.state], check.since, check.reason)
        for check in checks
        if check.state is not None and check.state != states.UP
    ]


def process_numbers() -> dict[str, float]:
    """rss_bytes (where the system tells) and cpu_seconds of this process."""
    numbers = {"cpu_seconds": time.process_time()}
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        numbers["rss_bytes"] = float(pages * os.sysconf("SC_PAGE_SIZE"))
    return numbers


def lines(status: Status, running: bool) -> list[str]:
    """For a terminal."""
    counts = ", ".join(f"{count} {name}" for name, count in status.states.items() if count) or "no checks"
    output = [
        f"agent {status.agent}: {'running' if running else 'NOT running; this is how it was last'}",
        f"checks: {counts}",
    ]
    output += [
        f"  {one.state} for {_span(status.boot_ms - one.since)}: {one.check}: {one.reason}" for one in status.troubles
    ]
    output += [f"  refused: {name}: {why}" for name, why in status.refused]
    for collector in status.collectors:
        contact = collector.contact
        last_answer = "never" if contact.last_ack is None else f"{_span(status.boot_ms - contact.last_ack)} before"
        output.append(
            f"collector {collector.name} ({contact.url}): last answer {last_answer}, {collector.backlog} results wait"
        )
        if contact.why:
            output.append(f"  {contact.why}")
    output.append(f"spool: {status.spool.get('frames', 0):.0f} results, {status.spool.get('bytes', 0) / 1024:.0f} KiB")
    return output + [f"note: {one}" for one in status.notes]


def _span(ms: int) -> str:
    seconds = ms // 1000
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
