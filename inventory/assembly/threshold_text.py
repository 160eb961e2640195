"""Parse thresholds as people write them, in the units of their measures."""

import re

from inventory.assembly.file_schema import ThresholdShape
from inventory.base.problems import Problem
from inventory.base.types import duration_ms
from inventory.protocol.kinds import Kind
from inventory.protocol.plan import Threshold
from inventory.yaml.nodes import ScalarNode
from inventory.yaml.scalars import NUMBER, describe

_RATE = re.compile(r"(?:(\d+(?:\.\d+)?)% of )?(\d+(?:\.\d+)?) ?([kMG])bit/s", re.ASCII)
_BITS = {"k": 1e3, "M": 1e6, "G": 1e9}


def threshold_of(shape: ThresholdShape, kind: Kind, problems: list[Problem]) -> Threshold | None:
    unit = kind.units.get(shape.measure)
    if unit is None:
        measures = ", ".join(kind.units)
        problems.append(
            shape.at.problem("measure", f"{kind.name} does not measure {shape.measure}; it has: {measures}")
        )
        return None
    limits: dict[str, float] = {}
    for key in ("above", "below"):
        node = getattr(shape, key)
        if node is None:
            continue
        value = quantity(node.text, unit) if isinstance(node, ScalarNode) else None
        if value is None:
            problems.append(shape.at.problem(key, f"ought to be a number ({unit}), found {describe(node)}"))
            return None
        limits[key] = value
    if not limits:
        problems.append(shape.at.problem("", "needs above or below"))
        return None
    return Threshold(measure=shape.measure, state=shape.state, **limits)


def quantity(text: str, unit: str) -> float | None:
    """A limit in a measure's unit: 200ms for seconds, 5% for a ratio (0.05) or percent (5), 10 Mbit/s or 80% of 10
    Mbit/s for bytes per second, else a plain number."""
    if NUMBER.fullmatch(text):
        return float(text)
    if unit in ("ratio", "percent") and text.endswith("%") and NUMBER.fullmatch(text[:-1]):
        return float(text[:-1]) / (100 if unit == "ratio" else 1)
    if unit == "bytes_per_second" and (rate := _RATE.fullmatch(text)) is not None:
        share = float(rate[1]) / 100 if rate[1] else 1.0
        return share * float(rate[2]) * _BITS[rate[3]] / 8
    if unit == "seconds":
        try:
            return duration_ms(text) / 1000
        except ValueError:
            return None
    return None
