"""An agent's ledger with a fast path: the tails, and a run of pushes that are still to be put into them.

Nearly all pushes find the same checks, one look each, no gap past a hold. Such a push costs a few comparisons of
columns; what it does to each tail is worked out when someone asks, for all pushes of the streak at once.
"""

from collections.abc import Mapping
from itertools import accumulate
from operator import sub

import msgspec

from collector.ingest.plans import CompiledPlan
from collector.ledger.steps import LedgerTail, Span, prolonged, step
from inventory.protocol.wire import Batch


class LatestResult(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A check's newest result: ``at`` as placed, latency in µs, its value columns under ``plan``, its own ``reason``.

    A span keeps the reason of its first look; "26 hours old" is not what a page is to say two days later.
    """

    at: int
    latency: int | None
    values: list[int | None]
    plan: bytes
    reason: str = ""


class FastPath(msgspec.Struct, frozen=True):
    """``looks``: pushes since the tails were last worked out. ``base``: the newest batch's, as placed; ``at``,
    ``states``, ``latency`` and ``values`` are its columns, ``reasons`` by place, ``error`` that of its placing.
    ``hold``: the least.
    """

    plan: CompiledPlan
    checks: list[int]
    states: bytes
    hold: int
    base: int
    at: list[int]
    error: int
    latency: list[int | None]
    values: list[int | None]
    reasons: Mapping[int, str]
    looks: int = 0

    def accepts(self, plan: CompiledPlan, batch: Batch, base: int) -> bool:
        """Whether a batch of one look a check, placed at ``base``, has the same checks, in order and within holds."""
        if batch.checks != self.checks or plan is not self.plan:
            return False
        gaps: list[int] = list(map(sub, batch.at, self.at))
        shift = base - self.base
        return min(gaps) + shift >= 0 and max(gaps) + shift <= self.hold


def begin_fast_path(
    plan: CompiledPlan, batch: Batch, base: int, error: int, reasons: Mapping[int, str], looks: int = 0, hold: int = 0
) -> FastPath:
    """A streak whose newest batch this is."""
    hold = hold or min(plan.holds[place] for place in batch.places())
    return FastPath(
        plan, batch.checks, batch.states, hold, base, batch.at, error, batch.latency, batch.values, reasons, looks
    )


class Ledger(msgspec.Struct, frozen=True):
    """``tails`` and ``latest`` by check's row, as they were when the streak began."""

    tails: dict[int, LedgerTail] = {}
    latest: dict[int, LatestResult] = {}
    fast_path: FastPath | None = None

    def materialized(self) -> "Ledger":
        """The same with everything in the tails."""
        fast_path = self.fast_path
        if fast_path is None or not fast_path.looks:
            return self
        tails, latest = self.tails.copy(), self.latest.copy()
        rows, holds, widths = fast_path.plan.rows, fast_path.plan.holds, fast_path.plan.widths
        value, digest, reason = 0, fast_path.plan.digest, fast_path.reasons.get
        columns = zip(accumulate(fast_path.checks), fast_path.at, fast_path.latency, strict=True)
        for i, (place, after, latency) in enumerate(columns):
            row, width, at = rows[place], widths[place], fast_path.base + after
            tails[row] = prolonged(tails[row], at, fast_path.looks, holds[place], fast_path.error)
            latest[row] = LatestResult(at, latency, fast_path.values[value : value + width], digest, reason(i, ""))
            value += width
        return Ledger(tails, latest, msgspec.structs.replace(fast_path, looks=0))

    def extended(
        self, batch: Batch, base: int, error: int, reasons: Mapping[int, str], closed: list[tuple[int, Span]]
    ) -> "Ledger":
        """After a batch that the streak reaches: the checks that changed take their step, the others wait."""
        fast_path, tails = self.fast_path, self.tails
        assert fast_path is not None
        looks, plan, before = fast_path.looks + 1, fast_path.plan, fast_path.states
        if batch.states != before:
            tails = tails.copy()
            for i, place in enumerate(batch.places()):
                if batch.states[i] == before[i]:
                    continue
                row, hold, at = plan.rows[place], plan.holds[place], base + batch.at[i]
                tail = prolonged(tails[row], fast_path.base + fast_path.at[i], fast_path.looks, hold, fast_path.error)
                spans: list[Span] = []
                step(tail, spans, batch.states[i], at, at, hold, error, 1, reasons.get(i, ""))
                closed += [(row, span) for span in spans]
                tail.looks -= looks  # the streak adds them to every check, and this one has had its own
                tails[row] = tail
        return Ledger(tails, self.latest, begin_fast_path(plan, batch, base, error, reasons, looks, fast_path.hold))
