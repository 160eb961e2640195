"""The base of the probes of UPSs: their common parameters, and one reading shared by all of a UPS's checks."""

import asyncio
import ipaddress
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from agent.clients.net.resolve import Resolver
from agent.clients.net.stream import MAX_ADDRESSES, connect
from agent.clients.ups import apcupsd, nut
from agent.clients.ups.model import UpsReading
from agent.failure import ProbeFailed
from agent.probe import Address, CredentialUse, Destination, Probe, ProbeContext
from inventory.protocol.reasons import sentence
from inventory.protocol.states import UNKNOWN

_MARGIN: Final = 0.05  # of the time left, so that the more exact reason comes first
PORTS: Final = {"nut": nut.PORT, "apcupsd": apcupsd.PORT, "snmp": 161}
_SERVED: Final = {"nut": "upsd", "apcupsd": "apcupsd", "snmp": sentence("the UPS's network card")}
_EXPOSED: Final = sentence("upsd is asked without encryption")
SHARED_SECONDS: Final = (
    2.0  # seconds for which a reading serves another check: upsd asks its UPS no more often than that
)

TimedReading = tuple[UpsReading, float | None]  # what it said, and the latency of the answer in seconds


class UpsProbe(Probe, frozen=True, kw_only=True):
    """A kind of check that asks a UPS. ``reading`` is what subclasses judge."""

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
            raise ValueError(sentence("ups names a UPS in NUT; way {way} has no names", way=self.way))
        if self.way == "snmp" and not self.credential:
            raise ValueError(
                sentence("way snmp needs a credential: the name under which the agent's file has the community")
            )

    def credential_uses(self) -> tuple[CredentialUse, ...]:
        if not self.credential or self.way == "apcupsd":
            return ()
        return (CredentialUse(self.credential, self.host, _EXPOSED if self.way == "nut" else ""),)

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return ((self.host, self.port or PORTS[self.way]),)

    async def read_ups(self, context: ProbeContext) -> TimedReading:
        """What the UPS says, settled, or what it has just said to another kind of check. Raises Trouble (no evidence:
        the one who would tell is silent, the power may be fine)."""
        readings = context.client(UpsReadings, UpsReadings)
        try:
            async with asyncio.timeout(context.timeout):
                return await readings.get(self, lambda: self._read(context))
        except ProbeFailed as failure:
            raise ProbeFailed(failure.reason, UNKNOWN) from None
        except TimeoutError:
            who = sentence(
                "{served} at {host} port {port}",
                served=_SERVED[self.way],
                host=self.host,
                port=self.port or PORTS[self.way],
            )
            raise ProbeFailed(
                sentence("{who} did not answer in full within {timeout:n} s", who=who, timeout=context.timeout), UNKNOWN
            ) from None

    async def _read(self, context: ProbeContext) -> TimedReading:
        started = time.monotonic()
        addresses = await context.client(Resolver, Resolver).addresses(self.host, self.family)
        remaining = context.timeout - (time.monotonic() - started)
        if self.way == "snmp":
            return await self._by_snmp(context, addresses[0], remaining)
        asked = self.credential if self.way == "nut" else ""
        if asked:
            destinations = [Destination(self.host, address, exposed=_EXPOSED) for address in addresses[:MAX_ADDRESSES]]
            context.check_credential(asked, destinations)
        stream, _ = await connect(addresses, self.port or PORTS[self.way], context.limits, remaining)
        try:
            if self.way != "nut":
                return await apcupsd.read(stream)
            reached = ipaddress.ip_address(stream.remote_address.partition("%")[0])
            to = Destination(self.host, reached, exposed=_EXPOSED)
            return await nut.read(stream, self.ups, context.credential(asked, to) if asked else {})
        finally:
            stream.close()

    async def _by_snmp(self, context: ProbeContext, address: Address, seconds: float) -> TimedReading:
        from agent.clients.snmp import (  # only who asks by SNMP pays for it
            SnmpClient,
            SnmpTarget,
            access_from_credential,
        )
        from agent.clients.ups.snmp import UpsMibCache

        port = self.port or PORTS["snmp"]
        if forbidden := context.limits.forbids(address, port):
            raise ProbeFailed(forbidden, UNKNOWN)
        credential = context.credential(self.credential, Destination(self.host, address))
        access = access_from_credential(self.credential, self.version, credential)
        target = SnmpTarget(address, port, access)
        session = await context.client(SnmpClient, SnmpClient).session(target, seconds * (1 - _MARGIN))
        return await context.client(UpsMibCache, UpsMibCache).read(target, session), session.latency


class _SharedReading(msgspec.Struct):
    """The newest reading of one UPS. ``begun``: monotonic; ``served``: the kinds of check that have had it."""

    lock: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)
    started: float = 0.0
    reading: TimedReading | None = None
    served: set[str] = msgspec.field(default_factory=set)


class UpsReadings:
    """Readings of UPSs (a shared client): a UPS is asked once at a time, and one answer serves each kind of check once.

    A check never gets the reading of its own last look again, and none older than SHARED.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._shared: dict[tuple[object, ...], _SharedReading] = {}
        self.sources = PowerSources(clock)

    async def get(self, probe: UpsProbe, ask: Callable[[], Awaitable[TimedReading]]) -> TimedReading:
        """From ``ask`` or, if that was just asked for another kind of check, from then."""
        key = tuple(getattr(probe, name) for name in UpsProbe.__struct_fields__)
        shared = self._shared.setdefault(key, _SharedReading())
        async with shared.lock:
            fresh = self._clock() - shared.started <= SHARED_SECONDS
            if shared.reading is None or not fresh or probe.kind in shared.served:
                shared.reading, shared.started, shared.served = None, self._clock(), set()
                try:
                    answer = await ask()
                except BaseException:
                    self.sources.forget(key)
                    raise
                answer[0].normalise()
                self.sources.record(key, answer[0])
                shared.reading = answer
            shared.served.add(probe.kind)
            return shared.reading

    async def close(self) -> None:
        self._shared.clear()
        self.sources = PowerSources(self._clock)


class PowerSources:
    """Since when each UPS has been on battery, or on mains, as this agent saw it change."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._states: dict[object, tuple[bool, float | None]] = {}  # on battery?, since (monotonic) if that was seen

    def record(self, key: object, reading: UpsReading) -> None:
        """Take in a look, and put into it since when its source has been the same, if that is known."""
        on_battery = reading.flags.get("battery")
        if reading.lost or on_battery is None or reading.flags.get("off"):
            self.forget(key)
            return
        now = self._clock()
        was_on_battery, since = self._states.get(key, (on_battery, None))
        if was_on_battery != on_battery:
            since = now
        self._states[key] = on_battery, since
        if since is not None:
            reading.set_value("on_battery_seconds" if on_battery else "on_mains_seconds", now - since)

    def forget(self, key: object) -> None:
        """What happened meanwhile is not known."""
        self._states.pop(key, None)
