"""Admission of a push: refuses what is no push and numbers that no later step could hold; bounds its texts and health.

What is shortened here is shortened in the body too that is stored, so that a replay reads what was taken.
"""

import math
from typing import Final

import msgspec

from collector.ingest.budgets import TOO_MANY_REASONS, AgentBudgets
from collector.ingest.steps import examine
from collector.ingest.steps.apply import bounded_data
from inventory.protocol.health import FIGURES
from inventory.protocol.reasons import MAX_REASON, Phrase, in_english, is_bounded
from inventory.protocol.wire import Batch, Push, Record, Run, WireError

MAX_EPOCH: Final = 2**63
MAX_ABOUT: Final = 64  # characters of an agent's version and platform
ABOUT: Final = ("version", "platform")


def admit(push: Push) -> None:
    """Raises WireError for numbers that cannot be."""
    sent = push.sent
    if not (0 <= sent.boot_ms < examine.MAX_TIME and abs(sent.wall_ms) < examine.MAX_TIME and len(sent.boot) == 8):
        raise WireError("clocks that cannot be")
    if push.echo is not None and not (
        abs(push.echo.sent_ms) < examine.MAX_TIME and 0 <= push.echo.boot_ms < examine.MAX_TIME
    ):
        raise WireError("an echo that cannot be")
    if push.batch is not None:
        _admit_batch(push.batch)


def _admit_batch(batch: Batch) -> None:
    if not 0 <= batch.epoch < MAX_EPOCH or not 1 <= batch.last < examine.MAX_SEQ or len(batch.plan) != 8:
        raise WireError("a batch whose numbers cannot be")
    if not 1 <= batch.start <= batch.last:
        raise WireError(f"a batch of frames {batch.start} to {batch.last}")
    previous = batch.previous
    if previous is not None and previous.epoch == batch.epoch and batch.start <= previous.seq:
        raise WireError("a batch that begins before the position that it continues")


def with_bounded_texts(push: Push, agent: str, budgets: AgentBudgets) -> Push:
    """The push, or one whose reasons and records are shorter: too long ones are cut, and of new reasons the agent has
    a budget. The same object when nothing had to be changed."""
    if push.health and (unknown := len(push.health.keys() - FIGURES.keys())):
        budgets.exceeded["health_names"] += unknown
    batch = push.batch
    if batch is None or not (batch.reasons or batch.runs or batch.records):
        return push
    reasons = [(place, _bounded_reason(reason, agent, budgets)) for place, reason in batch.reasons]
    runs = [_bounded_run(run, agent, budgets) for run in batch.runs]
    records = [bounded_record(record) for record in batch.records]
    if (
        all(new[1] is old[1] for new, old in zip(reasons, batch.reasons, strict=True))
        and all(new is old for new, old in zip(runs, batch.runs, strict=True))
        and all(new is old for new, old in zip(records, batch.records, strict=True))
    ):
        return push
    batch = msgspec.structs.replace(batch, reasons=reasons, runs=runs, records=records)
    return msgspec.structs.replace(push, batch=batch)


def _bounded_reason(reason: str | Phrase, agent: str, budgets: AgentBudgets) -> str | Phrase:
    if not is_bounded(reason):
        reason = in_english(reason)
    if reason and budgets.is_new_reason(agent, reason) and not budgets.may_give_reason(agent):
        return TOO_MANY_REASONS
    return reason


def _bounded_run(run: Run, agent: str, budgets: AgentBudgets) -> Run:
    reason = _bounded_reason(run.reason, agent, budgets)
    return run if reason is run.reason else msgspec.structs.replace(run, reason=reason)


def bounded_record(record: Record) -> Record:
    """A record whose data is short enough to be kept: of its version and platform the beginning, and of what is longer
    than an event may be no more than its text."""
    data = record.data
    if any(len(str(data.get(name, ""))) > MAX_ABOUT for name in ABOUT):
        data = {**data, **{name: str(data[name])[:MAX_ABOUT] for name in ABOUT if name in data}}
    data = bounded_data(data)
    kind = record.kind[:MAX_REASON]
    if data is record.data and kind == record.kind:
        return record
    return msgspec.structs.replace(record, kind=kind, data=data)


def bounded_health(health: dict[str, float]) -> dict[str, float]:
    """Finite numbers under names that are known (inventory.protocol.health)."""
    return {name: value for name, value in health.items() if name in FIGURES and math.isfinite(value)}
