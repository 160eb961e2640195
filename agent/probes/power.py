"""The kind ``power``: what the load behind a UPS runs on, so that the check's ledger is the ledger of its power."""

from typing import Final

from agent.clients.ups.asking import UpsProbe
from agent.clients.ups.model import power_source
from agent.failure import ProbeFailed
from agent.probe import Measure, Outcome, ProbeContext

MEASURED: Final[tuple[str, ...]] = (
    "charge_ratio",
    "runtime_seconds",
    "load_ratio",
    "input_volts",
    "on_battery_seconds",
)


class Power(UpsProbe, frozen=True, kw_only=True):
    """Asks a UPS what its load runs on: up is on mains, degraded on battery, down without power.

    On mains are also bypass, boost and trim; a test or calibration on battery is on battery. Unknown: nobody tells, or
    old numbers. Whether the UPS itself is well is for the kind ``ups`` to say, which takes the same parameters; where
    looks of both meet, the UPS is asked once. Give this kind no thresholds: degraded is to mean the battery alone. When
    the agent's own machine was last seen on battery and then boots anew, the collector counts the silence between as
    without power.
    """

    kind = "power"
    target = ("way", "host", "port", "ups")
    measures = (
        Measure("charge_ratio", "ratio", "Charge of the battery"),
        Measure("runtime_seconds", "seconds", "How long the battery would carry the present load"),
        Measure("load_ratio", "ratio", "Load of the rated load; of several lines the most loaded"),
        Measure("input_volts", "volts", "Voltage of the mains; of several lines the lowest that is not 0"),
        Measure("on_battery_seconds", "seconds", "Since the UPS went on battery, by its own count or this agent's"),
    )

    async def run(self, context: ProbeContext) -> Outcome:
        try:
            reading, latency = await self.read_ups(context)
        except ProbeFailed as failure:
            return Outcome(failure.state, failure.reason)
        state, reason = power_source(reading)
        measures = {} if reading.lost else {name: reading.values[name] for name in MEASURED if name in reading.values}
        return Outcome(state, reason, latency, measures)
