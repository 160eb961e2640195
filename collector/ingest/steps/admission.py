"""Admission of a push: refuses what is no push and numbers that no later step could hold; bounds its texts and health.

What is shortened here is shortened in the body too that is stored, so that a replay reads what was taken.
"""

import math
from itertools import chain
from typing import Final

import msgspec

from collector.ingest.budgets import TOO_MANY_REASONS, AgentBudgets
from inventory.protocol.bounds import MOST
from inventory.protocol.health import FIGURES
from inventory.protocol.reasons import Phrase, in_english, is_bounded, is_packed, text_size
from inventory.protocol.records import BadRecord, checked_record
from inventory.protocol.wire import Batch, Push, Record, Run, WireError

PACKED_COSTS: Final = 4  # times what a reason of as many characters costs: it is JSON, and a record is judged twice


def admit(push: Push) -> None:
    """Raises WireError for positions that contradict each other; each number was bounded by its type."""
    if push.batch is not None:
        _admit_batch(push.batch)


def _admit_batch(batch: Batch) -> None:
    if not 1 <= batch.start <= batch.last:
        raise WireError(f"a batch of frames {batch.start} to {batch.last}")
    previous = batch.previous
    if previous is not None and previous.epoch == batch.epoch and batch.start <= previous.seq:
        raise WireError("a batch that begins before the position that it continues")


def with_bounded_texts(push: Push, agent: str, budgets: AgentBudgets) -> Push:
    """The push, or one whose reasons and records are shorter: too long ones are cut, and of new reasons the agent has
    a budget. The same object when nothing had to be changed. Raises OverBudget for more texts than are read at once."""
    if push.health and (unknown := len(push.health.keys() - FIGURES.keys())):
        budgets.exceeded["health_names"] += unknown
    batch = push.batch
    if batch is None or not (batch.reasons or batch.runs or batch.records):
        return push
    budgets.admit_texts(agent, _size_of_texts(batch, budgets.config.texts))
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


def _size_of_texts(batch: Batch, most: int) -> int:
    """What it takes to read them; past ``most`` they are not looked at."""
    size = 0
    for reason in chain((reason for _, reason in batch.reasons), (run.reason for run in batch.runs if run.reason)):
        size += text_size(reason)
        if size > most:
            return size
    for record in batch.records:
        size += len(record.kind) + sum(_cost_of(text) for text in record.data.values() if isinstance(text, str))
    return size


def _cost_of(text: str) -> int:
    return PACKED_COSTS * len(text) if is_packed(text) else len(text)


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
    """A record without what its kind does not have, its texts cut; as it is where it cannot be, to be set aside."""
    try:
        checked = checked_record(record)
    except BadRecord:
        return record
    return record if checked == record else checked


def bounded_health(health: dict[str, float]) -> dict[str, float]:
    """Finite numbers that can be, under names that are known (inventory.protocol.health)."""
    return {
        name: value
        for name, value in health.items()
        if name in FIGURES and math.isfinite(value) and -MOST <= value <= MOST
    }
