"""Thresholds, and rounding to what the wire carries: from a probe's outcome to what is recorded."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from agent.probe import Outcome
from inventory.protocol import states
from inventory.protocol.plan import Column, Threshold
from inventory.protocol.reasons import Reason, Why, bounded, joined, sentence

MAX_NUMBER: Final = 2**53  # past this a measure is a fault of the device, not a value
MAX_LATENCY: Final = 86_400.0  # seconds


def state_and_reason(outcome: Outcome, thresholds: Sequence[Threshold]) -> tuple[int, Why]:
    """The state after the thresholds, which can only make a look that worked worse; the reasons that made it so."""
    state, reasons = outcome.state, [outcome.reason] if outcome.reason else []
    if state in (states.UP, states.DEGRADED):
        for threshold in thresholds:
            violation = _violation(threshold, outcome)
            if violation:
                state = max(state, states.CODES[threshold.state])
                reasons.append(violation)
    return state, bounded(joined(reasons)) if state != states.UP else ""


def _violation(threshold: Threshold, outcome: Outcome) -> Why:
    """Why this threshold was passed, or ""; a measure that was not seen passes none."""
    value = outcome.latency if threshold.measure == "latency" else outcome.measures.get(threshold.measure)
    if value is None or math.isnan(value):
        return ""
    measured = Reason(f"{threshold.measure} {{value:n}}", (f"{value:.4g}",))
    if threshold.above is not None and value > threshold.above:
        return sentence("{measure} is above {above:n}", measure=measured, above=threshold.above)
    if threshold.below is not None and value < threshold.below:
        return sentence("{measure} is below {below:n}", measure=measured, below=threshold.below)
    return ""


def microseconds(latency: float | None) -> int | None:
    """Seconds as microseconds; None for what no clock can have measured."""
    if latency is None or not 0 <= latency <= MAX_LATENCY:  # NaN compares false
        return None
    return round(latency * 1_000_000)


def integers(measures: Mapping[str, float], columns: Sequence[Column]) -> tuple[int | None, ...]:
    """A look's measures in the order of the plan's columns; None where missing, not finite or absurdly large."""
    return tuple(_integer(measures.get(column.name), column.per) for column in columns)


def _integer(value: float | None, per: int) -> int | None:
    if value is None or not -MAX_NUMBER <= value <= MAX_NUMBER:  # NaN compares false
        return None
    scaled = value * per
    return round(scaled) if abs(scaled) <= MAX_NUMBER else None
