"""An agent's ledger with a fast path: the tails, and a run of pushes that are still to be put into them.

Nearly all pushes find the same checks, one look each, no gap past a hold. Such a push costs a few comparisons of
columns; what it does to each tail is worked out when someone asks, for all pushes of the run at once.
"""

from collections.abc import Mapping
from itertools import accumulate
from operator import sub

import msgspec

from collector.ingest.plans import CompiledPlan
from collector.ledger.state_step import LedgerTail, Span, prolonged, step
from inventory.protocol.wire import Batch


class LatestResult(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A check's newest result."""

    at: int  # ms, as placed
    latency: int | None  # µs
    values: list[int | None]  # its value columns
    plan: bytes  # digest: names them
    reason: str = ""  # its own; a span keeps that of its first look, and "26 hours old" is not to stand for days


class FastPath(msgspec.Struct, frozen=True):
    """A run of equal pushes: the newest batch, and how many since the tails were last worked out."""

    plan: CompiledPlan
    batch: Batch  # one look of each of its checks
    base: int  # ms: its base, as placed
    error: int  # ms: of its placement
    reasons: Mapping[int, str]  # its reasons, by place
    hold: int  # ms: the least of its checks' holds
    looks: int = 0  # of each check, still to be put into its tail

    def accepts(self, plan: CompiledPlan, batch: Batch, base: int) -> bool:
        """Whether a batch of one look a check, placed at ``base``, has the same checks, in order and within holds."""
        if batch.checks != self.batch.checks or plan is not self.plan:
            return False
        gaps: list[int] = list(map(sub, batch.at, self.batch.at))
        shift = base - self.base
        return min(gaps) + shift >= 0 and max(gaps) + shift <= self.hold


def begin_fast_path(plan: CompiledPlan, batch: Batch, base: int, error: int, reasons: Mapping[int, str]) -> FastPath:
    """A run that begins with this batch, whose looks are in the tails already."""
    return FastPath(plan, batch, base, error, reasons, min(plan.holds[place] for place in batch.places()))


class Ledger(msgspec.Struct, frozen=True):
    """An agent's ledger: what its checks' tails were when the fast path began, and the fast path."""

    tails: dict[int, LedgerTail] = {}  # by check's row
    latest: dict[int, LatestResult] = {}  # by check's row
    fast_path: FastPath | None = None

    def materialized(self) -> "Ledger":
        """The same with everything in the tails."""
        fast_path = self.fast_path
        if fast_path is None or not fast_path.looks:
            return self
        tails, latest = self.tails.copy(), self.latest.copy()
        plan, batch, looks, error = fast_path.plan, fast_path.batch, fast_path.looks, fast_path.error
        rows, holds, widths = plan.rows, plan.holds, plan.widths
        value, digest, reason = 0, plan.digest, fast_path.reasons.get
        columns = zip(accumulate(batch.checks), batch.at, batch.latency, strict=True)
        for i, (place, after, latency) in enumerate(columns):
            row, width, at = rows[place], widths[place], fast_path.base + after
            tails[row] = prolonged(tails[row], at, looks, holds[place], error)
            latest[row] = LatestResult(at, latency, batch.values[value : value + width], digest, reason(i, ""))
            value += width
        return Ledger(tails, latest, msgspec.structs.replace(fast_path, looks=0))

    def extended(
        self, batch: Batch, base: int, error: int, reasons: Mapping[int, str], closed: list[tuple[int, Span]]
    ) -> "Ledger":
        """After a batch that the fast path accepts: the checks that changed take their step, the others wait."""
        fast_path, tails = self.fast_path, self.tails
        assert fast_path is not None
        looks, plan, before = fast_path.looks + 1, fast_path.plan, fast_path.batch
        if batch.states != before.states:
            tails = tails.copy()
            for i, place in enumerate(batch.places()):
                if batch.states[i] == before.states[i]:
                    continue
                row, hold, at = plan.rows[place], plan.holds[place], base + batch.at[i]
                tail = prolonged(tails[row], fast_path.base + before.at[i], fast_path.looks, hold, fast_path.error)
                spans: list[Span] = []
                step(tail, spans, batch.states[i], at, at, hold, error, 1, reasons.get(i, ""))
                closed += [(row, span) for span in spans]
                tail.looks -= looks  # the fast path adds them to every check, and this one has had its own
                tails[row] = tail
        return Ledger(tails, self.latest, FastPath(plan, batch, base, error, reasons, fast_path.hold, looks))
