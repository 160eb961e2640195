"""The kind ``power``: what the load behind a UPS runs on, so that the check's ledger is the ledger of its power."""

from typing import Final

from agent.clients.ups.model import power_source
from agent.clients.ups.reader import UpsProbe
from agent.failure import ProbeFailed
from agent.probe import Measure, Outcome, ProbeContext
from inventory.protocol.mail_words import MailWords

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
    title = "power source"
    target = ("way", "host", "port", "ups")
    about = "power"
    measures = (
        Measure("charge_ratio", "ratio", "Charge of the battery"),
        Measure("runtime_seconds", "seconds", "How long the battery would carry the present load"),
        Measure("load_ratio", "ratio", "Load of the rated load; of several lines the most loaded"),
        Measure("input_volts", "volts", "Voltage of the mains; of several lines the lowest that is not 0"),
        Measure("on_battery_seconds", "seconds", "Since the UPS went on battery, by its own count or this agent's"),
    )
    down_mail = MailWords(
        headline="No power",
        steps=(
            "The UPS gives no power: what hangs on it is off. Go there now, or send somebody.",
            "Is the mains there? Look at the lights of the room and at the circuit breaker.",
            "Read the UPS's display. If the mains are there, press its power button for 3 seconds.",
            "Switch the devices on one after the other, servers last.",
            "If the UPS stays off, plug the most important device into the mains directly, and call its service.",
        ),
    )
    degraded_mail = MailWords(
        headline="Running on battery",
        explains=True,
        steps=(
            "The mains have failed and the UPS runs on its battery: it may last only minutes. See above how long.",
            "Look whether only this room is dark: then look at the circuit breaker and at the UPS's plug.",
            "If the area is dark, ask the electricity company how long; start the generator if there is one.",
            "If the power will not be back in time, shut the servers down properly now, the most important one last.",
        ),
    )
    example = "{host: 192.0.2.7, way: nut, ups: rack}"

    async def run(self, context: ProbeContext) -> Outcome:
        try:
            reading, latency = await self.read_ups(context)
        except ProbeFailed as failure:
            return Outcome(failure.state, failure.reason)
        state, reason = power_source(reading)
        measures = {} if reading.lost else {name: reading.values[name] for name in MEASURED if name in reading.values}
        return Outcome(state, reason, latency, measures)
