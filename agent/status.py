"""What the running agent says of itself: a file that ``status`` and ``doctor`` read, and numbers for the collector."""

import os
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from agent import files
from agent.push import Contact

FILE: Final = "status.json"


class Trouble(msgspec.Struct, frozen=True):
    """A check that is not up, since boot-time ms ``since``."""

    check: str
    state: str
    since: int
    reason: str


class CollectorStatus(msgspec.Struct, frozen=True):
    """How it stands with one collector. ``backlog``: frames that it does not have yet."""

    name: str
    contact: Contact
    backlog: int


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
    troubles: list[Trouble]
    refused: list[tuple[str, str]]
    collectors: list[CollectorStatus]
    spool: dict[str, float]
    notes: list[str]


def write(state_dir: Path, status: Status) -> None:
    """Raises OSError. Not synced: it is worth nothing after a power cut."""
    files.replace(state_dir / FILE, msgspec.json.encode(status), durable=False)


def read(state_dir: Path) -> Status | None:
    """The last one written, or None."""
    try:
        return msgspec.json.decode((state_dir / FILE).read_bytes(), type=Status)
    except (OSError, msgspec.DecodeError):
        return None


def process_numbers() -> dict[str, float]:
    """rss_bytes (where the system tells) and cpu_seconds of this process."""
    numbers = {"cpu_seconds": time.process_time()}
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
        numbers["rss_bytes"] = float(pages * os.sysconf("SC_PAGE_SIZE"))
    return numbers
