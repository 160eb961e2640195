"""Makes batches: a range of frames becomes the batch that carries it. The same frames are the same batch."""

from collections.abc import Sequence

from agent.spool.frames import (
    FOLD,
    RESULT,
    FrameContext,
    SpoolFrame,
    StoredResult,
    decode_fold,
    decode_record,
    decode_result,
)
from inventory.protocol.wire import Batch, Position, Record, Run


def make_batch(
    context: FrameContext,
    frames: Sequence[SpoolFrame],
    *,
    previous: Position | None,
    first: int,
    last: int,
    breach: str = "",
) -> Batch:
    """Frames ``first`` to ``last`` of one context; what is not among ``frames`` is said to be missing."""
    looks: list[StoredResult] = []
    runs: list[Run] = []
    records: list[Record] = []
    for frame in frames:
        if frame.kind == RESULT:
            looks.append(decode_result(frame.body))
        elif frame.kind == FOLD:
            folded = decode_fold(frame.body)
            runs += folded.runs
            records += folded.records
        else:
            records.append(decode_record(frame.body))
    runs.sort(key=lambda run: run.check)  # stable: a check's runs stay in order of time
    looks.sort(key=lambda look: look.check)
    earliest = min((look.at for look in looks), default=None)
    if earliest is None:
        base = min((run.first for run in runs), default=min((record.at for record in records), default=context.base))
        earliest = 0
    else:
        base = context.base + earliest
    checks, counts, at = _columns(looks, earliest)
    return Batch(
        epoch=context.epoch,
        previous=previous,
        last=last,
        plan=context.plan,
        boot=context.boot,
        base=base,
        checks=checks,
        counts=counts,
        at=at,
        states=bytes([look.state for look in looks]),
        latency=[look.latency for look in looks],
        values=[value for look in looks for value in look.values],
        reasons=[(place, look.reason) for place, look in enumerate(looks) if look.reason],
        runs=runs,
        records=records,
        missing=_missing(frames, first, last),
        breach=breach,
        first=first if breach else 0,
    )


def _columns(looks: list[StoredResult], base: int) -> tuple[list[int], list[int], list[int]]:
    """Checks (delta-coded), results of each, and times: the first after ``base``, the others after the one before."""
    checks: list[int] = []
    counts: list[int] = []
    at: list[int] = []
    check = earlier = -1
    coded = 0
    for look in looks:
        if look.check != check:
            check = look.check
            checks.append(check - coded)
            coded = check
            counts.append(0)
            earlier = base
        counts[-1] += 1
        at.append(look.at - earlier)
        earlier = look.at
    return checks, counts, at


def _missing(frames: Sequence[SpoolFrame], first: int, last: int) -> list[tuple[int, int]]:
    missing: list[tuple[int, int]] = []
    expected = first
    for frame in frames:
        if frame.seq > expected:
            missing.append((expected, frame.seq - 1))
        expected = frame.last + 1
    if expected <= last:
        missing.append((expected, last))
    return missing
