"""The store of restore drill records on the disk, ``DRILL.json`` each, and the outcome of a drill by its record."""

import contextlib
import os
from collections.abc import Iterator
from datetime import tzinfo
from pathlib import Path
from typing import Final, Literal

import msgspec

from agent.jobs import DRILL
from agent.jobs.stamp import FLOOR_MS, Stamp, seconds_between, stamp, time_text, to_wall_time
from agent.probe import Outcome
from inventory.base import files
from inventory.base.clock import Clock
from inventory.base.types import duration_text
from inventory.grammars.job_names import is_name
from inventory.protocol.reasons import Why, sentence
from inventory.protocol.states import DOWN, UNKNOWN, UP

KEPT: Final = 50  # results of one drill
MOST_NOTE: Final = 500  # characters
UNFINISHED: Final = 86_400.0  # seconds after which a drill that was cut off is tried again

try:
    import fcntl
except ImportError:  # Windows has no drills of its own; what is done by hand is kept all the same
    fcntl = None  # type: ignore[assignment]


class DrillResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """One drill. What came back: ``files`` of ``bytes`` in all, ``checksum`` over their names and contents (SHA-256).

    ``at``: when it began. ``output``: what the command said last; it stays at this agent.
    """

    at: Stamp
    ok: bool
    by: Literal["agent", "hand"] = "agent"
    note: str = ""
    seconds: float | None = None
    exit: int | None = None
    files: int | None = None
    bytes: int | None = None
    checksum: str = ""
    output: str = ""


class DrillRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is on the disk about one drill. ``attempt``: a run that began and has no result yet."""

    drill: str
    since: Stamp
    results: tuple[DrillResult, ...] = ()
    attempt: Stamp | None = None
    runs: int = 0
    failures: int = 0
    success: DrillResult | None = None  # the last one, however long ago
    version: int = 1

    @property
    def last(self) -> DrillResult | None:
        return self.results[-1] if self.results else None


class DrillStore:
    """All records of drills below one directory. Every method may raise OSError."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.directory = directory
        self._clock = clock

    def now(self) -> Stamp:
        return stamp(self._clock)

    def record(self, drill: str) -> DrillRecord | None:
        if not is_name(drill):
            return None
        try:
            return msgspec.json.decode(files.read(self.directory / f"{drill}.json"), type=DrillRecord)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def register(self, drill: str) -> DrillRecord:
        """From now on this drill is waited for."""
        with self._writing():
            return self.record(drill) or self._save(DrillRecord(drill, self.now()))

    def record_start(self, drill: str, at: Stamp) -> None:
        with self._writing():
            self._save(msgspec.structs.replace(self._record_or_new(drill), attempt=at))

    def record_abort(self, drill: str) -> None:
        """It was stopped from outside, and is due as before."""
        with self._writing():
            self._save(msgspec.structs.replace(self._record_or_new(drill), attempt=None))

    def record_result(self, drill: str, result: DrillResult) -> None:
        result = msgspec.structs.replace(result, note=result.note[:MOST_NOTE])
        with self._writing():
            before = self._record_or_new(drill)
            record = msgspec.structs.replace(
                before,
                results=(*before.results, result)[-KEPT:],
                attempt=None if result.by == "agent" else before.attempt,
                runs=before.runs + 1,
                failures=before.failures + (not result.ok),
                success=result if result.ok else before.success,
            )
            self._save(record)

    def _record_or_new(self, drill: str) -> DrillRecord:
        return self.record(drill) or DrillRecord(drill, self.now())

    def _save(self, record: DrillRecord) -> DrillRecord:
        files.replace(self.directory / f"{record.drill}.json", msgspec.json.encode(record), mode=0o600)
        return record

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One writer at a time, the agent and whoever records a drill by hand."""
        files.make_directory(self.directory)
        with os.fdopen(files.open_to_append(self.directory / ".lock"), "ab") as lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def directory(state_dir: Path) -> Path:
    """Where drills are kept: the storage of the kind ``drill``."""
    return state_dir / "probes" / DRILL


def drill_outcome(record: DrillRecord, max_age: float, now: Stamp, zone: tzinfo | None = None) -> Outcome:
    """How a drill stands: see the kind ``drill``."""
    state, reason = _state(record, max_age, now, zone)
    return Outcome(state, reason, None, _measures(record, now))


def _state(record: DrillRecord, max_age: float, now: Stamp, zone: tzinfo | None) -> tuple[int, Why]:
    requirement = sentence("one is wanted every {max_age:d}", max_age=duration_text(round(max_age) * 1000))
    last = record.last
    if last is not None and not last.ok:
        note = f": {last.note}" if last.note else ""
        return DOWN, sentence(
            "the restore drill of {at} failed{note}", at=time_text(to_wall_time(now, last.at).at, zone), note=note
        )
    if record.success is None:
        since = to_wall_time(now, record.since)
        if now.wall_ms / 1000 < since.at + max_age:
            return UNKNOWN, sentence("no restore was tried yet; {requirement}", requirement=requirement)
        return DOWN, sentence(
            "no restore was tried since it is waited for, {at}; {requirement}",
            at=time_text(since.at, zone),
            requirement=requirement,
        )
    best = to_wall_time(now, record.success.at)
    if now.wall_ms / 1000 >= best.at + max_age:
        return DOWN, sentence(
            "the last restore that worked was {at}; {requirement}", at=time_text(best.at, zone), requirement=requirement
        )
    if not best.sure:
        return UNKNOWN, sentence("how long ago a restore worked cannot be told: this machine's clock was or is wrong")
    return UP, ""


def _measures(record: DrillRecord, now: Stamp) -> dict[str, float]:
    measures: dict[str, float] = {"restores": record.runs, "restore_failures": record.failures}
    best, last = record.success, record.last
    if best is not None:
        moment = to_wall_time(now, best.at)
        if moment.sure:
            measures["restore_age_seconds"] = (now.wall_ms - moment.at_ms) / 1000
        if moment.sure and moment.at_ms >= FLOOR_MS:
            measures["last_restore_timestamp_seconds"] = moment.at_ms // 1000
    if last is not None:
        optional = {
            "restore_duration_seconds": last.seconds,
            "restored_files": last.files,
            "restored_bytes": last.bytes,
        }
        measures |= {name: value for name, value in optional.items() if value is not None}
    return measures


def retry_at(record: DrillRecord, now: Stamp) -> bool:
    """A run that left no result, long enough ago to be tried again."""
    if record.attempt is None:
        return False
    passed = seconds_between(record.attempt, now)
    return passed is None or passed >= UNFINISHED
