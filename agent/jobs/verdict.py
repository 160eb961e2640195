"""The outcome of a job by its schedule. Pure: the records, the schedule and the clocks go in.

A job is down from the very moment on that its end is overdue (due + grace), that a run has lasted as long as it may, or
that it failed. Before it was ever due, and while this agent did not listen when the ping would have come, nothing is
known: a ping that nobody heard is no missed backup.
"""

from datetime import tzinfo
from typing import Final

import msgspec

from agent.jobs.stamp import FLOOR_MS, Stamp, WallTime, time_text, to_wall_time
from agent.jobs.state import FAIL, JobRecord, JobState
from agent.jobs.store import ListeningTimes, gap_until
from agent.probe import Outcome
from inventory.base.types import duration_text
from inventory.grammars.schedule import Schedule
from inventory.protocol.reasons import Reason, Why, joined, sentence
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

_WRONG_CLOCK: Final = sentence("this machine's clock was wrong, and it was restarted since")


class JobRule(msgspec.Struct, frozen=True):
    """How a job is to be. In seconds; ``longest`` None: a run may last as long as its grace, and is not judged.

    ``rpo``: how old its last good run may be; None: however old.
    """

    schedule: Schedule
    grace: float
    longest: float | None = None
    rpo: float | None = None


class _Evaluation:
    """One judgement."""

    def __init__(self, rule: JobRule, state: JobState, listening: ListeningTimes | None, now: Stamp) -> None:
        self.rule = rule
        self.state = state
        self.now = now
        self.at = now.wall_ms / 1000
        self.zone: tzinfo | None = rule.schedule.zone
        self.gaps = _gaps(listening, now)

    def wall_time(self, then: Stamp) -> WallTime:
        return to_wall_time(self.now, then)

    def time_text(self, then: Stamp) -> str:
        wall_time = self.wall_time(then)
        at = time_text(wall_time.at, self.zone)
        return at if wall_time.sure else sentence("at the latest {at}", at=at)

    def outcome(self) -> tuple[int, Why]:
        state = self.state
        if state.status == "paused":
            return UNKNOWN, sentence(
                "paused by hand since {paused}", paused=self.time_text(state.paused or state.since)
            )
        return (
            self._overrunning(state)
            or self._failed(state)
            or self._overdue(state)
            or self._never_ended(state)
            or self._too_old(state)
            or self._too_long(state)
            or (UP, "")
        )

    def _overrunning(self, state: JobState) -> tuple[int, Why] | None:
        """A run that has lasted as long as it may."""
        if state.start is None:
            return None
        begun = self.wall_time(state.start.at)
        allowed = self.rule.grace if self.rule.longest is None else self.rule.longest
        if self.at < begun.at + allowed:
            return None
        words = sentence(
            "it started at {at} and has not ended; {allowed:d} are allowed",
            at=self.time_text(state.start.at),
            allowed=_span(allowed),
        )
        gap = self._gap(begun.at, begun.at + allowed)
        if gap is None:
            return DOWN, words
        # its end may have gone unheard: as if it had come then
        later = self._overdue_after(gap[1])
        return (
            (DOWN, sentence("{words}, and nothing came since", words=words))
            if later is not None
            else (UNKNOWN, self._unheard(gap))
        )

    def _failed(self, state: JobState) -> tuple[int, Why] | None:
        if state.status != "down" or state.end is None:
            return None
        at = self.time_text(state.end.at)
        if state.end.action == FAIL and state.end.exit is not None:
            words = sentence("it failed with exit code {exit} at {at}", exit=state.end.exit, at=at)
        else:
            words = sentence("it failed at {at}", at=at)
        if state.start is None:
            return DOWN, words
        return DOWN, joined([words, sentence("it runs again since {at}", at=self.time_text(state.start.at))])

    def _overdue(self, state: JobState) -> tuple[int, Why] | None:
        """An end that is overdue."""
        ended = state.end is not None and state.status != "new"
        last = state.end.at if state.end is not None and ended else state.since
        base = self.wall_time(last)
        if not self.rule.schedule.regular and self.now.wall_ms < FLOOR_MS:
            return UNKNOWN, sentence("this machine's clock was never set, so when it is due cannot be told")
        due = self._due_and_gap(base.at)
        if due is None:
            return None if base.sure or state.status == "new" else (UNKNOWN, _WRONG_CLOCK)
        when, gap = due
        if gap is not None:
            return UNKNOWN, self._unheard(gap)
        since = (
            sentence("no run ended since {last}", last=self.time_text(last))
            if ended
            else sentence("it has not run since it is waited for, {last}", last=self.time_text(last))
        )
        words = sentence("{since}; it was due at {when}", since=since, when=time_text(when, self.zone))
        return DOWN, self._with_grace(words)

    def _due_and_gap(self, base: float) -> tuple[float, tuple[float, float] | None] | None:
        """When it was due, if that is past; and the gap for which that is not held against it. None: not overdue."""
        due = self.rule.schedule.next_after(base)
        if due is None or self.at < due + self.rule.grace:
            return None
        # a regular job is expected around its time, one by the calendar not before it
        gap = self._gap(due - (self.rule.grace if self.rule.schedule.regular else 0), due + self.rule.grace)
        if gap is None:
            return due, None
        later = self._overdue_after(gap[1])
        return (later, None) if later is not None else (due, gap)

    def _overdue_after(self, heard_from: float) -> float | None:
        """When it was due after a gap that ended then, if that is past and no other gap explains it."""
        overdue = self._due_and_gap(heard_from)
        return overdue[0] if overdue is not None and overdue[1] is None else None

    def _never_ended(self, state: JobState) -> tuple[int, Why] | None:
        """It has never ended yet, and need not have."""
        if state.status != "new":
            return None
        if state.start is not None:
            return UNKNOWN, sentence(
                "its first run started at {at} and has not ended yet", at=self.time_text(state.start.at)
            )
        due = self.rule.schedule.next_after(self.wall_time(state.since).at)
        words = sentence("it has not run since it is waited for")
        if due is None:
            return UNKNOWN, words
        when = self._with_grace(sentence("it is due at {due}", due=time_text(due, self.zone)))
        return UNKNOWN, joined([words, when])

    def _too_old(self, state: JobState) -> tuple[int, Why] | None:
        """A good run that is older than the objective, though the schedule asks for none yet."""
        if self.rule.rpo is None or state.success is None:
            return None
        last = self.wall_time(state.success)
        if self.at <= last.at + self.rule.rpo:
            return None
        gap = self._gap(last.at, self.at)
        if gap is not None and self.at <= gap[1] + self.rule.rpo:  # one that went unheard would be young enough
            return UNKNOWN, self._unheard(gap)
        return DOWN, sentence(
            "no run ended well since {success}; the objective is {rpo:d}",
            success=self.time_text(state.success),
            rpo=_span(self.rule.rpo),
        )

    def _too_long(self, state: JobState) -> tuple[int, Why] | None:
        if self.rule.longest is None or state.seconds is None or state.seconds <= self.rule.longest:
            return None
        return DEGRADED, sentence(
            "its last run took {seconds:d}; {longest:d} are allowed",
            seconds=_span(state.seconds),
            longest=_span(self.rule.longest),
        )

    def _gap(self, start: float, end: float) -> tuple[float, float] | None:
        """The last time that nobody listened between two moments, or None."""
        overlapping = [gap for gap in self.gaps if gap[0] < end and gap[1] > start]
        return overlapping[-1] if overlapping else None

    def _unheard(self, gap: tuple[float, float]) -> Reason:
        until = sentence("from {gap} to {gap2}", gap=time_text(gap[0], self.zone), gap2=time_text(gap[1], self.zone))
        return sentence("this agent did not listen {until}: it may have run unheard", until=until)

    def _with_grace(self, words: Reason) -> Reason:
        if not self.rule.grace:
            return words
        return sentence("{so}, with {grace:d} of grace", so=words, grace=_span(self.rule.grace))


def job_outcome(rule: JobRule, record: JobRecord, listening: ListeningTimes | None, now: Stamp) -> Outcome:
    """The state of a job, the reason, and what is measured: see the kind ``job``."""
    state = record.state
    result, reason = _Evaluation(rule, state, listening, now).outcome()
    return Outcome(result, reason, None, _measures(rule, state, record, now))


def _measures(rule: JobRule, state: JobState, record: JobRecord, now: Stamp) -> dict[str, float]:
    measures: dict[str, float] = {"runs": state.runs, "failures": state.failures, "pings": record.pings}
    if state.success is not None:
        last = to_wall_time(now, state.success)
        if last.sure:
            measures["age_seconds"] = (now.wall_ms - last.at_ms) / 1000
            if rule.rpo is not None:
                measures["rpo_met"] = float(measures["age_seconds"] <= rule.rpo)
        if last.sure and last.at_ms >= FLOOR_MS:
            measures["last_success_timestamp_seconds"] = last.at_ms // 1000
    if state.seconds is not None:
        measures["duration_seconds"] = state.seconds
    if state.start is not None and (begun := to_wall_time(now, state.start.at)).sure:
        measures["running_seconds"] = (now.wall_ms - begun.at_ms) / 1000
    if state.end is not None and state.end.exit is not None:
        measures["exit_code"] = state.end.exit
    return measures


def _gaps(listening: ListeningTimes | None, now: Stamp) -> list[tuple[float, float]]:
    """On the wall clock as it is now, the one that is not over yet included."""
    if listening is None:
        return []
    open_one = gap_until(listening, now)
    stamps = [*listening.gaps, *([open_one] if open_one else [])]
    return [(to_wall_time(now, start).at, to_wall_time(now, end).at) for start, end in stamps]


def _span(seconds: float) -> str:
    return duration_text(round(seconds) * 1000)
