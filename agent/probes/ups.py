"""The kind ``ups``: is the power behind a UPS safe, by NUT, apcupsd or SNMP, in one model."""

from agent.clients.ups.health import BatteryHealth
from agent.clients.ups.model import ups_state
from agent.clients.ups.reader import UpsProbe
from agent.failure import ProbeFailed
from agent.probe import Measure, Outcome, ProbeContext
from inventory.protocol.mail_words import MailWords


class Ups(UpsProbe, frozen=True, kw_only=True):
    """Asks a UPS how it is: up when it runs on mains and is healthy.

    Degraded: the load has power, but is at risk: on battery, on bypass, overloaded, a battery to be replaced or low, a
    failed self-test, an alarm. Down: the output is off or about to be, or the battery is low while the UPS runs on it.
    Unknown: there is no evidence, because nothing answers, or the one who answers has lost the UPS and only repeats
    old numbers. Boosting or trimming the mains is normal work, told by its measures (a threshold may object).

    What a UPS does not tell is left out. With SNMP the MIB is found by asking: the vendor's own goes before the
    standard one, which fills in what it does not say. The latency is that of the answer.
    """

    kind = "ups"
    title = "UPS"
    target = ("way", "host", "port", "ups")
    about = "ups"
    measures = (
        Measure("on_mains", "flag", "1 while the load is fed from the mains, through the UPS or a bypass"),
        Measure("on_battery", "flag", "1 while the load is fed from the battery"),
        Measure("low_battery", "flag", "1 while the battery is low"),
        Measure("bypass", "flag", "1 while the load is fed past the UPS, unprotected"),
        Measure("overload", "flag", "1 while the load is more than the UPS can carry"),
        Measure("boost", "flag", "1 while the UPS raises the mains' voltage"),
        Measure("trim", "flag", "1 while the UPS lowers the mains' voltage"),
        Measure("replace_battery", "flag", "1 if the battery is to be replaced"),
        Measure("calibrating", "flag", "1 while the UPS calibrates its runtime by emptying the battery"),
        Measure("output_off", "flag", "1 while the output is off"),
        Measure("self_test_passed", "flag", "1 if the last self-test was passed, 0 if it was not"),
        Measure("self_test_timestamp", "timestamp", "When the last self-test was made"),
        Measure("charge_ratio", "ratio", "Charge of the battery"),
        Measure("runtime_seconds", "seconds", "How long the battery would carry the present load"),
        Measure(
            "runtime_kept_ratio",
            "ratio",
            "Runtime to the longest that this agent knows at a comparable load, when full",
        ),
        Measure("load_ratio", "ratio", "Load of the rated load; of several lines the most loaded"),
        Measure("input_volts", "volts", "Voltage of the mains; of several lines the lowest that is not 0"),
        Measure("output_volts", "volts", "Voltage of the output; of several lines the lowest that is not 0"),
        Measure("battery_volts", "volts", "Voltage of the battery"),
        Measure("input_hertz", "hertz", "Frequency of the mains"),
        Measure("output_hertz", "hertz", "Frequency of the output"),
        Measure("temperature_celsius", "celsius", "Temperature of the battery, else of the UPS"),
        Measure("battery_age_seconds", "seconds", "Since the battery was made or last replaced"),
        Measure("on_battery_seconds", "seconds", "Since the UPS went on battery, by its own count or this agent's"),
        Measure("on_mains_seconds", "seconds", "Since the mains came back, as this agent saw it"),
    )
    down_mail = MailWords(
        steps=(
            "The UPS is off or about to go off. Go there now, or send somebody.",
            "Read its display, and see whether the mains are there.",
            "Shut the servers that hang on it down properly while there is time.",
            "Call the UPS's service and tell them what its display shows.",
        ),
    )
    degraded_mail = MailWords(
        headline="UPS needs attention",
        explains=True,
        steps=(
            (
                "There is power, but the UPS is at risk: old battery, too much load, too hot or on bypass. See above"
                " which."
            ),
            "If it is the load: unplug what needs no UPS, such as printers, heaters and lamps.",
            "If it is the battery: order a new one now; it will not last through the next power cut.",
            "If it is hot: give it air, and see that the air conditioning runs.",
        ),
    )
    example = "{host: 192.0.2.7, way: nut, ups: rack}"

    async def run(self, context: ProbeContext) -> Outcome:
        try:
            reading, latency = await self.read_ups(context)
        except ProbeFailed as failure:
            return Outcome(failure.state, failure.reason)
        context.client(BatteryHealth, BatteryHealth).record(
            f"{self.way} {self.host} {self.port} {self.ups}", reading, context.storage
        )
        state, reason = ups_state(reading)
        return Outcome(state, reason, latency, {} if reading.lost else reading.measures())
