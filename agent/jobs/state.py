"""The state of a job after its pings: the semantics that users know from healthchecks.io.

A start opens a run; an end closes it if their ``rid`` are the same, if the end has none, or if it is a failure. A start
leaves a paused job paused; an end wakes it. A log line changes nothing.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from agent.jobs.stamp import Stamp, comes_before, restamp, seconds_between

START: Final = "start"
SUCCESS: Final = "success"
FAIL: Final = "fail"
LOG: Final = "log"
PAUSE: Final = "pause"
RESUME: Final = "resume"
ENDS: Final = (SUCCESS, FAIL)

KEPT: Final = 30  # events that are kept one by one; what comes later than these, but happened before, is only counted
LONGEST_RUN: Final = 30 * 86_400  # seconds; an end after more than that belongs to no start


class PingEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """One ping. ``id`` is the sender's, so that one sent again counts once. ``bytes``: of its body, as it came."""

    action: str
    at: Stamp
    n: int = 0  # which ping of the job it is, from 1: its body is kept under this number
    rid: str = ""
    exit: int | None = None
    bytes: int = 0
    id: str = ""


class JobState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A job after some events. ``since``: when waiting for its first end began (registered, or resumed)."""

    since: Stamp
    status: Literal["new", "up", "down", "paused"] = "new"
    start: PingEvent | None = None  # of the run in progress
    end: PingEvent | None = None  # the last success or failure
    seconds: float | None = None  # that the last run took
    success: Stamp | None = None  # the last one
    paused: Stamp | None = None
    runs: int = 0
    failures: int = 0

    def after(self, event: PingEvent) -> "JobState":
        """Having heard one more event."""
        change = msgspec.structs.replace
        if event.action == START:
            return change(self, start=event)
        if event.action == PAUSE:
            return change(self, status="paused", paused=event.at, start=None)
        if event.action == RESUME:
            if self.status != "paused":
                return self
            return change(self, status="new", paused=None, since=event.at)
        if event.action not in ENDS:
            return self
        failed = event.action == FAIL
        seconds, start = None, self.start
        if start is not None:
            if start.rid == event.rid:
                seconds, start = seconds_between(start.at, event.at), None
            elif failed or not event.rid:
                start = None
        return JobState(
            since=self.since,
            status="down" if failed else "up",
            start=start,
            end=event,
            seconds=seconds if seconds is not None and seconds <= LONGEST_RUN else None,
            success=self.success if failed else event.at,
            runs=self.runs + 1,
            failures=self.failures + failed,
        )


class JobRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is on the disk about one job: how it stood, and the events since then in the order they happened."""

    job: str
    base: JobState
    events: tuple[PingEvent, ...] = ()
    pings: int = 0
    late: int = 0  # came after KEPT newer ones: counted, no more
    version: int = 1

    @property
    def state(self) -> JobState:
        return fold(self.base, self.events)


def fold(base: JobState, events: Sequence[PingEvent]) -> JobState:
    for event in events:
        base = base.after(event)
    return base


def new_record(job: str, now: Stamp) -> JobRecord:
    return JobRecord(job, JobState(now))


def with_event(record: JobRecord, event: PingEvent, now: Stamp) -> JobRecord:
    """The record with one more event, in its place in time. The same event again changes nothing."""
    if event.id and any(earlier.id == event.id for earlier in record.events):
        return record
    event = msgspec.structs.replace(event, n=record.pings + 1)
    events = [_restamp_event(earlier, now) for earlier in record.events]
    place = len(events)
    while place and comes_before(event.at, events[place - 1].at):
        place -= 1
    if place == 0 and len(events) >= KEPT:
        return msgspec.structs.replace(record, pings=event.n, late=record.late + 1)
    events.insert(place, event)
    gone = max(0, len(events) - KEPT)
    return JobRecord(
        job=record.job,
        base=_restamp_state(fold(record.base, events[:gone]), now),
        events=tuple(events[gone:]),
        pings=event.n,
        late=record.late,
    )


def restamp_record(record: JobRecord, now: Stamp) -> JobRecord:
    """The record with this boot's stamps by the wall clock as it is now: it was set."""
    events = tuple(_restamp_event(event, now) for event in record.events)
    return msgspec.structs.replace(record, base=_restamp_state(record.base, now), events=events)


def _restamp_event(event: PingEvent, now: Stamp) -> PingEvent:
    return msgspec.structs.replace(event, at=restamp(event.at, now))


def _restamp_state(state: JobState, now: Stamp) -> JobState:
    def stamp(original: Stamp | None) -> Stamp | None:
        return restamp(original, now) if original is not None else None

    def event(original: PingEvent | None) -> PingEvent | None:
        return _restamp_event(original, now) if original is not None else None

    return msgspec.structs.replace(
        state,
        since=restamp(state.since, now),
        start=event(state.start),
        end=event(state.end),
        success=stamp(state.success),
        paused=stamp(state.paused),
    )
