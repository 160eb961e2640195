"""UPS: is the power behind it safe, by NUT, apcupsd or SNMP, in one model."""

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Final, Literal

from msgspec import Meta

from agent.clients.resolve import Resolver
from agent.clients.stream import connect
from agent.clients.trouble import Trouble
from agent.clients.ups import apcupsd, nut
from agent.clients.ups.model import Reading, judge
from agent.probe import Address, Look, Measure, Outcome, Probe
from inventory.states import UNKNOWN

_MARGIN: Final = 0.05  # of the time left, so that the more exact reason comes first
PORTS: Final = {"nut": nut.PORT, "apcupsd": apcupsd.PORT, "snmp": 161}
_SERVED: Final = {"nut": "upsd", "apcupsd": "apcupsd", "snmp": "the UPS's network card"}


class Ups(Probe, frozen=True, kw_only=True):
    """Asks a UPS how it is: up when it runs on mains and is healthy.

    Degraded: the load has power, but is at risk: on battery, on bypass, overloaded, a battery to be replaced or low, a
    failed self-test, an alarm. Down: the output is off or about to be, or the battery is low while the UPS runs on it.
    Unknown: there is no evidence, because nothing answers, or the one who answers has lost the UPS and only repeats
    old numbers. Boosting or trimming the mains is normal work, told by its measures (a threshold may object).

    What a UPS does not tell is left out. With SNMP the MIB is found by asking: the vendor's own goes before the
    standard one, which fills in what it does not say. The latency is that of the answer.
    """

    kind = "ups"
    target = ("way", "host", "port", "ups")
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

    host: Annotated[
        str, Meta(min_length=1, max_length=253, description="Address or name of the UPS, or of the machine it hangs on")
    ]
    way: Annotated[
        Literal["nut", "apcupsd", "snmp"],
        Meta(description="Whom to ask: NUT's upsd, apcupsd's information server, or the UPS's network card by SNMP"),
    ] = "nut"
    port: Annotated[int, Meta(ge=0, le=65535, description="Port; 0 is the way's own (3493, 3551, 161)")] = 0
    ups: Annotated[
        str,
        Meta(
            max_length=64, pattern=r"^[^\s\"\\]*$", description="Name of the UPS in upsd; may be left out if it has one"
        ),
    ] = ""
    credential: Annotated[
        str,
        Meta(max_length=64, description="Name of the credential in the agent's file: for snmp, and for nut if asked"),
    ] = ""
    version: Annotated[Literal["1", "2c", "3"], Meta(description="Version of SNMP")] = "2c"
    family: Annotated[Literal["any", "ipv4", "ipv6"], Meta(description="Which addresses of the name to use")] = "any"

    def __post_init__(self) -> None:
        if self.ups and self.way != "nut":
            raise ValueError(f"ups names a UPS in NUT; way {self.way} has no names")
        if self.way == "snmp" and not self.credential:
            raise ValueError("way snmp needs a credential: the name under which the agent's file has the community")

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return ((self.host, self.port or PORTS[self.way]),)

    async def run(self, look: Look) -> Outcome:
        try:
            async with asyncio.timeout(look.timeout):
                started = time.monotonic()
                addresses = await look.client(Resolver, Resolver).addresses(self.host, self.family)
                left = look.timeout - (time.monotonic() - started)
                reading, latency = await self._ask(look, addresses, left)
        except Trouble as trouble:
            look.client(Sources, Sources).forget(self)
            return Outcome(UNKNOWN, trouble.reason)  # the one who would tell is silent; the power may be fine
        except TimeoutError:
            look.client(Sources, Sources).forget(self)
            who = f"{_SERVED[self.way]} at {self.host} port {self.port or PORTS[self.way]}"
            return Outcome(UNKNOWN, f"{who} did not answer in full within {look.timeout:g} s")
        reading.settle()
        look.client(Sources, Sources).note(self, reading)
        state, reason = judge(reading)
        return Outcome(state, reason, latency, {} if reading.lost else reading.measures())

    async def _ask(self, look: Look, addresses: list[Address], seconds: float) -> tuple[Reading, float | None]:
        if self.way == "snmp":
            return await self._by_snmp(look, addresses[0], seconds)
        credential = look.credential(self.credential) if self.credential else {}
        stream, _ = await connect(addresses, self.port or PORTS[self.way], look.limits, seconds)
        try:
            if self.way == "nut":
                return await nut.read(stream, self.ups, credential)
            return await apcupsd.read(stream)
        finally:
            stream.close()

    async def _by_snmp(self, look: Look, address: Address, seconds: float) -> tuple[Reading, float | None]:
        from agent.clients.snmp import Snmp, Target, access_of  # only who asks by SNMP pays for it
        from agent.clients.ups.snmp import UpsMibs

        port = self.port or PORTS["snmp"]
        if forbidden := look.limits.forbids(address, port):
            raise Trouble(forbidden, UNKNOWN)
        access = access_of(self.credential, self.version, look.credential(self.credential))
        target = Target(address, port, access)
        session = await look.client(Snmp, Snmp).session(target, seconds * (1 - _MARGIN))
        return await look.client(UpsMibs, UpsMibs).read(target, session), session.latency


class Sources:
    """Since when each UPS has been on battery, or on mains, as this agent saw it change (a shared client)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: dict[Ups, tuple[bool, float | None]] = {}  # on battery?, since (monotonic) if the change was seen

    def note(self, probe: Ups, reading: Reading) -> None:
        """Take in a look, and put into it since when its source has been the same, if that is known."""
        battery = reading.flags.get("battery")
        if reading.lost or battery is None or reading.flags.get("off"):
            self.forget(probe)
            return
        now = self._clock()
        was, since = self._seen.get(probe, (battery, None))
        if was != battery:
            since = now
        self._seen[probe] = battery, since
        if since is not None:
            reading.put("on_battery_seconds" if battery else "on_mains_seconds", now - since)

    def forget(self, probe: Ups) -> None:
        """What happened meanwhile is not known."""
        self._seen.pop(probe, None)

    async def close(self) -> None:
        self._seen.clear()
