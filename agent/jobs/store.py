"""The store of job records on the disk: ``JOB.json`` replaced at every ping, and the last bodies beside it.

The listener writes, the probe reads; both may be in other processes than this. A record is whole and synced when a
ping is answered, so that neither a restart nor a power cut loses one that was.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from agent.jobs import JOB
from agent.jobs.stamp import Stamp, stamp, to_wall_time
from agent.jobs.state import JobRecord, PingEvent, new_record, restamp_record, with_event
from inventory.base import files
from inventory.base.clock import Clock, SystemClock
from inventory.grammars.job_names import is_name

MOST_BODY: Final = 100_000  # bytes of a body that are kept
BODIES: Final = 10  # a job, the last ones
LISTENING: Final = "listening.state"
MOST_GAPS: Final = 20
BEAT_MS: Final = 60_000
FORGIVEN_MS: Final = 90_000  # not listening for so long is a restart: pings are sent again, jobs are not missed

T = TypeVar("T")


class ListeningTimes(msgspec.Struct, frozen=True, omit_defaults=True):
    """When somebody listened: until ``alive``, but for the gaps. ``unknown``: pings for jobs that no plan has."""

    since: Stamp
    alive: Stamp
    gaps: tuple[tuple[Stamp, Stamp], ...] = ()
    taken: int = 0
    refused: int = 0
    unknown: dict[str, int] = {}
    version: int = 1


class JobStore:
    """All records below one directory. Every method may raise OSError."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._writing = threading.Lock()

    def now(self) -> Stamp:
        return stamp(self._clock)

    def record(self, job: str) -> JobRecord | None:
        """None: nothing was ever kept. A file that is no record counts as none: it is damaged, and begun anew."""
        return _read(self._directory / f"{job}.json", JobRecord) if is_name(job) else None

    def names(self) -> list[str]:
        """The jobs of which there are records."""
        return sorted(
            path.stem for path in self._directory.glob("*.json") if path.name != LISTENING and is_name(path.stem)
        )

    def register(self, jobs: Iterable[str]) -> None:
        """From now on pings of these are waited for."""
        with self._writing:
            for job in jobs:
                if self.record(job) is None:
                    self._save(new_record(job, self.now()))

    def add_ping(self, job: str, event: PingEvent, body: bytes = b"") -> JobRecord:
        """Keep one ping and what it said; on the disk when this returns."""
        with self._writing:
            now = self.now()
            before = self.record(job) or new_record(job, now)
            record = with_event(before, event, now)
            if record is not before:
                if body:
                    self._save_body(job, record.pings, body)
                self._save(record)
        return record

    def body(self, job: str, number: int) -> bytes | None:
        """What ping ``number`` said, if that is among the last ones kept."""
        try:
            content = files.read(self._directory / f"{job}.body.{number % BODIES}")
        except FileNotFoundError:
            return None
        written, _, body = content.partition(b"\n")
        return body if written == str(number).encode() else None

    def clock_was_set(self) -> None:
        """Correct what was stamped in this boot, before a reboot makes that impossible."""
        with self._writing:
            for job in self.names():
                record = self.record(job)
                if record is not None and (right := restamp_record(record, self.now())) != record:
                    self._save(right)

    def listening(self) -> ListeningTimes | None:
        return _read(self._directory / LISTENING, ListeningTimes)

    def record_listening(self, change: Callable[[ListeningTimes], ListeningTimes] | None = None) -> ListeningTimes:
        """Somebody listens now; what lies between the last time and this, if it is long, is a gap."""
        now = self.now()
        listening = self.listening() or ListeningTimes(now, now)
        if gap := gap_until(listening, now):
            gaps = (*listening.gaps, gap)[-MOST_GAPS:]
            listening = msgspec.structs.replace(listening, gaps=gaps, since=now)
        listening = msgspec.structs.replace(listening, alive=now)
        if change is not None:
            listening = change(listening)
        files.make_directory(self._directory)
        # worth little after a power cut: the gap is then a minute longer
        files.replace(self._directory / LISTENING, msgspec.json.encode(listening), mode=0o600, durable=False)
        return listening

    def _save(self, record: JobRecord) -> None:
        files.make_directory(self._directory)
        files.replace(self._directory / f"{record.job}.json", msgspec.json.encode(record), mode=0o600)

    def _save_body(self, job: str, number: int, body: bytes) -> None:
        files.make_directory(self._directory)
        path = self._directory / f"{job}.body.{number % BODIES}"
        # what a job said must not cost the ping itself
        with contextlib.suppress(OSError):
            files.replace(path, b"%d\n%b" % (number, body[:MOST_BODY]), mode=0o600, durable=False)


class ClockClient:
    """The machine's clocks as a client that looks share."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()

    async def close(self) -> None:
        """Nothing is open."""


def directory(state_dir: Path) -> Path:
    """Where pings are kept: the storage of the kind ``job``."""
    return state_dir / "probes" / JOB


def gap_until(listening: ListeningTimes, now: Stamp) -> tuple[Stamp, Stamp] | None:
    """The time up to ``now`` in which nobody listened, if it is long enough to matter."""
    last = to_wall_time(now, listening.alive)
    passed = now.wall_ms - last.at_ms
    return (listening.alive, now) if passed > BEAT_MS + FORGIVEN_MS or not last.sure else None


def _read(path: Path, type_: type[T]) -> T | None:
    try:
        return msgspec.json.decode(files.read(path), type=type_)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
