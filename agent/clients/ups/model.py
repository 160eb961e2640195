"""A UPS's reading in one model, and the state that it means for those who depend on it.

Units: volts, hertz, degrees Celsius, seconds, ratios (1.0 is full charge, or the rated load). Devices have many ways
of saying "I do not know" (65535, -1, an empty text); none of them becomes a number here.
"""

import math
import re
from dataclasses import dataclass, field
from typing import Final

from agent.failure import printable
from inventory.protocol.reasons import Reason, Why, joined, sentence
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

# What a device answers where it has no value: all ones in 16 and 32 bits, signed and not, and what vendors chose.
SENTINELS: Final = frozenset(
    (-1, 32_767, -32_767, -32_768, 65_534, 65_535, 655_350, -9_999, -99_998, -99_999, 2**31 - 1, 1 - 2**31, -(2**31),
     2**32 - 1, 2**32 - 2)
)  # fmt: skip
_NO_VALUE: Final = frozenset(("", "n/a", "na", "n.a.", "null", "none", "nan", "unknown", "unavailable", "-", "--", "?"))
_NUMBER: Final = re.compile(r"\s*([-+]?\d+(?:[.,]\d+)?)(?![\d./:-])")

# measure -> the smallest and the largest value that a UPS can have; what lies outside is no measurement
PLAUSIBLE: Final = {
    "charge_ratio": (0.0, 1.1),
    "runtime_seconds": (0.0, 6 * 86_400.0),  # 9999 minutes are no runtime, but another word for none
    "load_ratio": (0.0, 3.0),
    "input_volts": (0.0, 1000.0),
    "output_volts": (0.0, 1000.0),
    "battery_volts": (1.0, 1000.0),
    "input_hertz": (10.0, 100.0),
    "output_hertz": (10.0, 100.0),
    "temperature_celsius": (-40.0, 120.0),
    "battery_age_seconds": (0.0, 20 * 365.25 * 86_400),  # older than any battery gets: a card's default date
    "self_test_timestamp": (946_684_800.0, 4_102_444_800.0),  # 2000 to 2100
    "runtime_kept_ratio": (0.0, 1.0),
    "on_battery_seconds": (0.0, 30 * 86_400.0),
    "on_mains_seconds": (0.0, 100 * 365.25 * 86_400),
}

# flag -> the measure that carries it, 0 or 1
FLAG_MEASURES: Final = {
    "mains": "on_mains",
    "battery": "on_battery",
    "low": "low_battery",
    "bypass": "bypass",
    "overload": "overload",
    "boost": "boost",
    "trim": "trim",
    "replace": "replace_battery",
    "calibrating": "calibrating",
    "off": "output_off",
    "test_passed": "self_test_passed",
}
# further flags and what they say; they make a UPS that works degraded
FLAG_FAULTS: Final = {
    "bypass": sentence("on bypass, the load is not protected"),
    "overload": sentence("overloaded"),
    "replace": sentence("the battery is to be replaced"),
    "no_battery": sentence("no battery is connected"),
    "battery_fault": sentence("the battery is faulty"),
    "charger_fault": sentence("the charger is faulty"),
    "hot": sentence("its temperature is out of bounds"),
    "fault": sentence("it reports a fault"),
}
SOURCES: Final = ("mains", "battery", "off")


@dataclass(slots=True)
class UpsReading:
    """What one look found. A flag or value that is not there was not said.

    ``flags``: by the names in MEASURED and TROUBLES, and ``testing`` (a self-test is running), ``ending`` (about to
    cut its output), ``discharging`` (the battery is, which tells the source if nothing else does). ``lost``: why what
    is said is no evidence (old numbers), or "". ``notes``: alarms in its words.
    """

    flags: dict[str, bool] = field(default_factory=dict)
    values: dict[str, float] = field(default_factory=dict)
    lost: Why = ""
    notes: list[str] = field(default_factory=list)

    def set_flag(self, flag: str, value: bool) -> None:
        """Take in a flag; one place that says yes outweighs others that say no."""
        self.flags[flag] = value or self.flags.get(flag, False)

    def set_value(self, measure: str, value: float | None) -> None:
        """Take in a value unless it is missing, implausible, or already there (a 0 makes way for more than 0)."""
        if value is None or not math.isfinite(value) or self.values.get(measure):
            return
        value = _in_range(measure, value)
        low, high = PLAUSIBLE[measure]
        if measure == "temperature_celsius" and value == 0:
            return  # no sensor: cards put 0 there
        if low <= value <= high and not (value == 0 and measure in self.values):
            self.values[measure] = min(value, 1.0) if measure == "charge_ratio" else value

    def fill_from(self, other: "UpsReading") -> None:
        """What only the other one says. The power's source is taken from one of them, whole."""
        has_source = any(self.flags.get(source) for source in SOURCES)
        for flag, flag_value in other.flags.items():
            if flag in SOURCES:
                if not has_source:
                    self.set_flag(flag, flag_value)
            else:
                self.flags.setdefault(flag, flag_value)
        for measure, value in other.values.items():
            self.values.setdefault(measure, value)
        self.lost = self.lost or other.lost
        self.notes += [note for note in other.notes if note not in self.notes]

    def normalise(self) -> "UpsReading":
        """Drop what contradicts the rest, complete what follows from it. Call once everything is taken in."""
        flags, values = self.flags, self.values
        discharging = flags.pop("discharging", None)
        if not any(flags.get(source) for source in SOURCES):
            if "on_battery_seconds" in values:
                flags["battery"] = values["on_battery_seconds"] > 0  # devices count them only then
            elif discharging is not None and "battery" not in flags:
                flags["battery"] = discharging
        if flags.get("off"):
            flags["mains"] = flags["battery"] = False
        elif flags.get("battery"):
            flags["mains"] = flags["off"] = False
        elif flags.get("mains"):
            flags["battery"] = flags["off"] = False
        if flags.get("mains"):
            self._drop_implausible("input_volts")
            values.pop("on_battery_seconds", None)
        if flags.get("battery") is False and not flags.get("low"):
            if values.get("runtime_seconds") == 0:
                del values["runtime_seconds"]  # computed only while on battery
            if values.get("charge_ratio") == 0 and "low" in flags:
                del values["charge_ratio"]  # an empty battery would be low
        if values.get("on_battery_seconds") == 0:
            del values["on_battery_seconds"]  # it does not count them, or has just begun
        if not flags.get("off"):
            self._drop_implausible("output_volts")
        if values.get("load_ratio", 0) > 1:
            flags.setdefault("overload", True)
        return self

    def _drop_implausible(self, measure: str) -> None:
        """A line that feeds the load cannot be at 0 volts; at a tenth of a line's, it was divided once too often."""
        value = self.values.get(measure)
        if value is not None and value < 9:
            del self.values[measure]
        elif value is not None and value < 48:
            self.values[measure] = value * 10

    def measures(self) -> dict[str, float]:
        """Everything that was said, by the measures' names."""
        flag_measures = {
            FLAG_MEASURES[flag]: float(value) for flag, value in self.flags.items() if flag in FLAG_MEASURES
        }
        return {**self.values, **flag_measures}


def _in_range(measure: str, value: float) -> float:
    """Undo a power of ten that only a wrong scale explains: tenths of volts or degrees, hundredths of hertz."""
    if measure in ("input_volts", "output_volts"):
        while value >= 1000:
            value /= 10
    elif measure.endswith("_hertz"):
        while value > 100:
            value /= 10
        if 4.5 <= value <= 6.5:
            value *= 10
    elif measure == "temperature_celsius" and 120 < value < 1200:
        value /= 10
    return value


def parse_number(raw: object) -> float | None:
    """What a device sent as a number; None for everything that says that there is none. Units after it are cut off."""
    if isinstance(raw, bool) or raw is None:
        return None
    if isinstance(raw, bytes):
        raw = raw.decode("latin-1")
    if isinstance(raw, str):
        text = raw.strip().strip("\0").strip()
        matched = _NUMBER.match(text)
        if text.lower() in _NO_VALUE or matched is None:
            return None
        raw = float(matched[1].replace(",", "."))
    if not isinstance(raw, (int, float)) or not math.isfinite(raw) or raw in SENTINELS:
        return None
    return float(raw)


def ups_state(reading: UpsReading) -> tuple[int, Why]:
    """The state of the power behind this UPS, and why.

    Down: it gives no power, is about to stop, or its battery is low while it runs on it. Degraded: it gives power
    that is not safe: on battery, on bypass, overloaded, a battery that would not carry an outage. Up: on mains and
    healthy; raising or lowering the mains' voltage (boost, trim) is its work, told by its measures. Unknown: it does
    not say what it runs on, or what it says is old.
    """
    flags = reading.flags
    if reading.lost:
        return UNKNOWN, reading.lost
    if flags.get("off"):
        return DOWN, sentence("its output is off")
    if flags.get("ending"):
        words = sentence("it is about to cut its output")
        if flags.get("battery"):
            words = sentence("{words}: {reading}", words=words, reading=_battery_text(reading))
        return DOWN, words
    if flags.get("low") and flags.get("battery"):
        low = sentence("its battery is low")
        return DOWN, sentence("{words}: {reading}", words=low, reading=_battery_text(reading))
    faults: list[Reason] = []
    if flags.get("battery"):
        faults.append(_why_on_battery(flags, _battery_text(reading)))
    elif flags.get("low"):
        faults.append(sentence("its battery is low and would not carry an outage"))
    faults += [words for flag, words in FLAG_FAULTS.items() if flags.get(flag)]
    if flags.get("calibrating") and not flags.get("battery"):
        faults.append(sentence("calibrating its battery"))
    if flags.get("test_passed") is False and not flags.get("testing"):
        faults.append(sentence("the last self-test was not passed"))
    faults += [sentence("it says {note}", note=printable(note, 60)) for note in reading.notes]
    if faults:
        return DEGRADED, joined(faults)
    if flags.get("mains") or flags.get("battery") is False:
        return UP, ""
    return UNKNOWN, sentence("it does not say what it runs on")


def power_source(reading: UpsReading) -> tuple[int, Why]:
    """What the load runs on, whatever state the UPS is in: up is the mains, degraded the battery, down nothing."""
    flags = reading.flags
    if reading.lost:
        return UNKNOWN, reading.lost
    if flags.get("off"):
        return DOWN, sentence("no power: the output is off")
    if flags.get("battery"):
        words = _why_on_battery(flags, _battery_text(reading))
        return DEGRADED, sentence("{so}, about to cut its output", so=words) if flags.get("ending") else words
    if flags.get("mains") or flags.get("bypass") or flags.get("battery") is False:
        return UP, ""
    return UNKNOWN, sentence("it does not say what it runs on")


def _why_on_battery(flags: dict[str, bool], words: Reason) -> Reason:
    if flags.get("calibrating"):
        return sentence("{so} (calibrating)", so=words)
    return sentence("{so} (a self-test)", so=words) if flags.get("testing") else words


def _battery_text(reading: UpsReading) -> Reason:
    """``on battery for 3 min, charge 80%, runtime 12 min``, as far as it is known."""
    values = reading.values
    parts = [sentence("on battery")]
    if "on_battery_seconds" in values:
        lasted = duration_text(values["on_battery_seconds"])
        parts[0] = sentence("{so} for {on_battery_seconds:d}", so=parts[0], on_battery_seconds=lasted)
    if "charge_ratio" in values:
        parts.append(sentence("charge {charge_ratio:n}", charge_ratio=f"{values['charge_ratio']:.0%}"))
    if "runtime_seconds" in values:
        parts.append(sentence("runtime {runtime_seconds:d}", runtime_seconds=duration_text(values["runtime_seconds"])))
    return joined(parts, ", ")


def duration_text(seconds: float) -> str:
    """A duration for a sentence: 45 s, 12 min, 1 h 20 min, 2 d 3 h."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
