"""Folding: raw results of a stretch of frames become runs, one for each check and unbroken state.

A run says what its looks said: state, first and last look, how many, latency as count, sum, least and most. It
never spans a gap longer than the check's hold, so the ledger comes out the same. Measures are lost, and so is the
time of each single look. A fold keeps its range of seqs and all its records.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from agent.spool.frames import (
    FOLD,
    RECORD,
    RESULT,
    Fold,
    FrameContext,
    SpoolFrame,
    decode_fold,
    decode_record,
    decode_result,
    fold_frame,
    rows_of,
    size_of,
)
from inventory.protocol.wire import Position, Record, Run

MAX_CLOSED = 500  # runs that ended inside one fold, and records: beyond that the next one is begun, so that a
# collector takes a batch of it: its budget of rows (collector.budgets) is 1,500 and 4 for each check
MAX_ROWS = 1_000  # the same of a fold of folds, besides two runs of each check

Holds = Callable[[bytes], Sequence[int] | None]


class _OpenRun:
    """A run that still grows. Its reason is its first look's, as the ledger would have it."""

    __slots__ = ("check", "count", "first", "greatest", "last", "least", "reason", "state", "sum", "timed")

    def __init__(self, run: Run) -> None:
        self.check, self.state, self.first, self.last = run.check, run.state, run.first, run.last
        self.count, self.reason = run.count, run.reason
        self.timed, self.sum, self.least, self.greatest = (
            run.latency_count,
            run.latency_sum,
            run.latency_min,
            run.latency_max,
        )

    def add_run(self, run: Run) -> None:
        if run.latency_count:
            self.least = min(self.least, run.latency_min) if self.timed else run.latency_min
            self.greatest = max(self.greatest, run.latency_max)
            self.timed += run.latency_count
            self.sum += run.latency_sum
        self.last = run.last
        self.count += run.count

    def add_result(self, at: int, latency: int | None) -> None:
        if latency is not None:
            self.least = min(self.least, latency) if self.timed else latency
            self.greatest = max(self.greatest, latency)
            self.timed += 1
            self.sum += latency
        self.last = at
        self.count += 1

    def run(self) -> Run:
        return Run(
            self.check,
            self.state,
            self.first,
            self.last,
            self.count,
            self.reason,
            self.timed,
            self.sum,
            self.least,
            self.greatest,
        )


class _Folder:
    """One stretch in the making: frames of one context, none missing between, no cursor inside."""

    def __init__(self, first: SpoolFrame, holds: Sequence[int]) -> None:
        self.context: FrameContext = first.context
        self.first = first.seq
        self.last = first.seq - 1
        self.raw: list[SpoolFrame] = []
        self.closed: list[Run] = []
        self.records: list[Record] = []
        self._holds = holds
        self._open: dict[int, _OpenRun] = {}

    def add(self, frame: SpoolFrame) -> None:
        self.raw.append(frame)
        self.last = frame.last
        if frame.kind == RESULT:
            look = decode_result(frame.body)
            at = look.at + self.context.base
            run = self._open.get(look.check)
            if run and run.state == look.state and 0 <= at - run.last <= self._hold(look.check):
                run.add_result(at, look.latency)
            else:
                timed = 0 if look.latency is None else 1
                latency = look.latency or 0
                self._begin(Run(look.check, look.state, at, at, 1, look.reason, timed, latency, latency, latency))
        elif frame.kind == RECORD:
            self.records.append(decode_record(frame.body))
        else:
            fold = decode_fold(frame.body)
            self.records += fold.records
            for each in fold.runs:
                run = self._open.get(each.check)
                if run and run.state == each.state and 0 <= each.first - run.last <= self._hold(each.check):
                    run.add_run(each)
                else:
                    self._begin(each)

    def has_room_for(self, frame: SpoolFrame) -> bool:
        rows = len(self.closed) + len(self.records)
        return rows < MAX_CLOSED and (frame.kind != FOLD or rows + rows_of(frame) <= MAX_ROWS + 2 * len(self._holds))

    def _hold(self, check: int) -> int:
        return self._holds[check] if 0 <= check < len(self._holds) else -1

    def _begin(self, run: Run) -> None:
        before = self._open.get(run.check)
        if before:
            self.closed.append(before.run())
        self._open[run.check] = _OpenRun(run)

    def frames(self) -> list[SpoolFrame]:
        """The fold, or the frames as they were where folding would not make them smaller."""
        if len(self.raw) == 1:
            return self.raw
        runs = self.closed + [run.run() for run in self._open.values()]
        runs.sort(key=_check)  # stable: a check's runs stay in order of time
        folded = fold_frame(self.context, self.first, self.last, Fold(runs, self.records))
        return [folded] if size_of(folded) < sum(map(size_of, self.raw)) else self.raw


def fold(
    frames: Iterable[SpoolFrame],
    holds: Holds,
    cuts: Collection[Position] = (),
    keep: Callable[[SpoolFrame], bool] = lambda frame: False,
) -> Iterator[SpoolFrame]:
    """Fold what can be folded. A fold ends at each position in ``cuts``; frames that ``keep`` names stay as they are.

    ``holds``: by plan digest, each check's hold in ms; None or empty where the plan is not known: its
    frames stay too.
    """
    folder: _Folder | None = None
    ends = set(cuts)
    holds_by_plan: dict[bytes, Sequence[int] | None] = {}
    for frame in frames:
        if folder and not (
            frame.seq == folder.last + 1
            and frame.context == folder.context
            and folder.has_room_for(frame)
            and Position(folder.context.epoch, folder.last) not in ends
        ):
            yield from folder.frames()
            folder = None
        plan = frame.context.plan
        if plan not in holds_by_plan:
            holds_by_plan[plan] = holds(plan) or None
        limits = holds_by_plan[plan]
        if limits is None or keep(frame):
            if folder:
                yield from folder.frames()
                folder = None
            yield frame
            continue
        if folder is None:
            folder = _Folder(frame, limits)
        folder.add(frame)
    if folder:
        yield from folder.frames()


def _check(run: Run) -> int:
    return run.check
