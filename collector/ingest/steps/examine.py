"""Examines a batch: first its shape (or it cannot be read at all), then each result.

A batch whose shape is wrong is refused whole. A bad result goes alone: the batch goes on without it, and there is a
dead letter with the reason. The checks that every batch passes run in C over whole columns.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from collector.ingest.plans import CompiledPlan
from collector.ingest.steps.dead_letters import bounded_letters, dead_letter
from collector.ingest.steps.effect import NewDeadLetter
from inventory.protocol.bounds import BOOT_BYTES, BOOT_MS, LATENCY_US, VALUE, NumberLimits
from inventory.protocol.records import BadRecord, checked_record
from inventory.protocol.states import UNKNOWN
from inventory.protocol.wire import Batch, Reading, Record, Run

FUTURE_TOLERANCE: Final = 1_000  # ms that a result may be later than the push that brings it


class ExaminedBatch(msgspec.Struct, frozen=True):
    """A batch as read by its plan."""

    batch: Batch  # without its bad results, unless it is refused whole
    plan: CompiledPlan | None  # that it was made under; None: it is not known
    refused: str = ""  # why it is refused whole
    dead_letters: list[NewDeadLetter] = []  # the results that are set aside, or the batch
    unaccounted: int = 0  # frames of which nothing is said


def examine(batch: Batch, plan: CompiledPlan | None, sent: Reading) -> ExaminedBatch:
    """What of a batch can be taken, by its plan (None: it is not known); ``sent``: the clocks of the push it came in.

    Nothing is changed here, so whether the batch is taken at all may be decided later.
    """
    fault = "its plan is not known" if plan is None else _shape_fault(batch, plan)
    if plan is None or fault:
        letter = dead_letter(f"a batch set aside: {fault}", batch, len(batch.states))
        return ExaminedBatch(batch, plan, refused=fault, dead_letters=[letter])
    latest = sent.boot_ms + FUTURE_TOLERANCE if batch.boot == sent.boot else BOOT_MS.most
    unaccounted = _unaccounted(batch)
    if _is_clean(batch, plan, latest):
        return ExaminedBatch(batch, plan, unaccounted=unaccounted)
    cleaned, letters = _clean(batch, plan, latest)
    return ExaminedBatch(cleaned, plan, dead_letters=letters, unaccounted=unaccounted)


def _shape_fault(batch: Batch, plan: CompiledPlan) -> str:
    """Why the batch cannot be read, or ""."""
    total = len(batch.states)
    start, places = batch.start, batch.places()
    if not BOOT_MS.hold(batch.base) or len(batch.boot) != BOOT_BYTES:
        return "a boot or a time base that cannot be"
    if len(batch.checks) != len(batch.counts) or sum(batch.counts) != total or len(batch.at) != total:
        return "columns of different lengths"
    if len(batch.latency) != total:
        return "as many latencies as results are needed"
    if batch.counts and (min(batch.counts) < 1 or batch.checks[0] < 0 or min(batch.checks[1:], default=1) < 1):
        return "checks that are not in order"
    widths, check_count = plan.widths, len(plan.rows)
    if total == len(places) == check_count:  # one look of every check
        expected = plan.width
    else:
        expected = sum(widths[place] * n for place, n in zip(places, batch.counts, strict=True) if place < check_count)
    if len(batch.values) != expected and (not places or places[-1] < check_count or len(batch.values) < expected):
        return f"{len(batch.values)} values where the plan has {expected}"
    if any(not start <= first <= last <= batch.last for first, last in batch.missing):
        return "missing frames outside of it"
    if total + len(batch.records) + _missing(batch) > batch.last - start + 1 and not batch.runs:
        return f"{total} results in {batch.last - start + 1} frames"
    return ""


def _unaccounted(batch: Batch) -> int:
    """Frames of which nothing is said. Of folded ones that cannot be told."""
    if batch.runs:
        return 0
    return batch.last - batch.start + 1 - len(batch.states) - len(batch.records) - _missing(batch)


def _missing(batch: Batch) -> int:
    return sum(last - first + 1 for first, last in batch.missing)


def _is_clean(batch: Batch, plan: CompiledPlan, latest: int) -> bool:
    """Whether every result can be taken as it is; ``latest``: the boot ms that none may be past."""
    if batch.runs or batch.records or batch.reasons:
        if any(_run_fault(run, plan, latest) for run in batch.runs):
            return False
        if any(not 0 <= place < len(batch.states) for place, _ in batch.reasons):
            return False
        if batch.records:  # few, and each is made anew
            return False
    if not batch.states:
        return True
    if max(batch.states) > UNKNOWN or batch.places()[-1] >= len(plan.rows):
        return False
    if not _within(batch.latency, LATENCY_US) or not _within(batch.values, VALUE):
        return False
    if len(batch.counts) == len(batch.states):
        return min(batch.at) >= 0 and batch.base + max(batch.at) <= latest
    begin = 0
    for n in batch.counts:
        times = batch.at[begin : begin + n]
        if min(times) < 0 or batch.base + sum(times) > latest:
            return False
        begin += n
    return True


def _within(column: Sequence[int | None], limits: NumberLimits) -> bool:
    least, most = limits
    try:
        return least <= min(column, default=least) and max(column, default=most) <= most  # type: ignore[type-var, operator]
    except TypeError:  # there is a None
        return _within([value for value in column if value is not None], limits)


def _clean(batch: Batch, plan: CompiledPlan, latest: int) -> tuple[Batch, list[NewDeadLetter]]:
    """The batch without its bad results, runs and records, and a letter for each of those."""
    letters: list[NewDeadLetter] = []
    reasons = {place: text for place, text in batch.reasons if 0 <= place < len(batch.states)}
    kept: dict[str, list[Any]] = {name: [] for name in ("checks", "counts", "at", "latency", "values", "reasons")}
    states = bytearray()
    at = value = before = 0
    for place, n in zip(batch.places(), batch.counts, strict=True):
        in_plan = place < len(plan.rows)
        width = plan.widths[place] if in_plan else 0
        accepted, previous, when = 0, 0, 0
        for i in range(at, at + n):
            when += batch.at[i]
            values = batch.values[value : value + width]
            value += width
            fault = "a check that its plan does not have" if not in_plan else ""
            fault = fault or _time_fault(batch, i, when, previous if accepted else 0, latest)
            fault = fault or _number_fault(batch.latency[i], values)
            if fault:
                look = (place, batch.base + when, batch.states[i], batch.latency[i], values)
                letters.append(dead_letter(fault, look))
                continue
            if i in reasons:
                kept["reasons"].append((len(states), reasons[i]))
            states.append(batch.states[i])
            kept["at"].append(when - previous if accepted else when)
            kept["latency"].append(batch.latency[i])
            kept["values"].extend(values)
            previous, accepted = when, accepted + 1
        at += n
        if accepted:
            kept["checks"].append(place - before)
            kept["counts"].append(accepted)
            before = place
    runs, records = [], []
    for run in batch.runs:
        fault = _run_fault(run, plan, latest)
        if fault:
            letters.append(dead_letter(fault, run))
        else:
            runs.append(run)
    for record in batch.records:
        try:
            records.append(_checked(record, latest))
        except BadRecord as bad:
            letters.append(dead_letter(str(bad), record))
    changed = msgspec.structs.replace(batch, states=bytes(states), runs=runs, records=records, **kept)
    return changed, bounded_letters(letters)


def _time_fault(batch: Batch, i: int, when: int, previous: int, latest: int) -> str:
    if batch.states[i] > UNKNOWN:
        return f"state {batch.states[i]} does not exist"
    if when < previous or when < 0:
        return "out of order"
    if batch.base + when > latest:
        return "from the future"
    return ""


def _number_fault(latency: int | None, values: Sequence[int | None]) -> str:
    if not _within([latency], LATENCY_US) or not _within(values, VALUE):
        return "a number that cannot be"
    return ""


def _run_fault(run: Run, plan: CompiledPlan, latest: int) -> str:
    if not 0 <= run.check < len(plan.rows):
        return "a check that its plan does not have"
    if not 0 <= run.state <= UNKNOWN:
        return f"state {run.state} does not exist"
    if not 0 <= run.first <= run.last or run.count < 1:
        return "a run that ends before it begins"
    if run.last > latest:
        return "from the future"
    return "" if _run_can_be(run) else "a number that cannot be"


def _run_can_be(run: Run) -> bool:
    """Two looks of a check are at least a ms apart, and what they measured lies between the least and the most."""
    if not 0 <= run.latency_count <= run.count <= run.last - run.first + 1:
        return False
    if not run.latency_count:
        return run.latency_sum == run.latency_min == run.latency_max == 0
    least, most = run.latency_min, run.latency_max
    return (
        LATENCY_US.least <= least <= most <= LATENCY_US.most
        and least * run.latency_count <= run.latency_sum <= most * run.latency_count
    )


def _checked(record: Record, latest: int) -> Record:
    """The record as it may be kept. Raises BadRecord."""
    if not BOOT_MS.least <= record.at <= latest:
        raise BadRecord("from the future, or before its machine started")
    return checked_record(record)
