"""The kind ``snmp``: does a device answer, how long has it run, how are its interfaces, resources, sensors."""

import math
import re
import time
from collections.abc import Callable
from typing import Annotated, Final, Literal

from msgspec import Meta

from agent.clients.look_memory import CheckMemory
from agent.clients.net.resolve import Resolver
from agent.clients.snmp import (
    Community,
    SnmpNoResponse,
    SnmpSession,
    SnmpTarget,
    SnmpUser,
    Value,
    access_from_credential,
    resources,
    sensors,
)
from agent.clients.snmp import SnmpClient as Client
from agent.clients.snmp.ber import encode_oid
from agent.clients.snmp.interfaces import Interfaces
from agent.clients.snmp.labels import short_list, text
from agent.clients.snmp.uptime import OIDS, UptimeTracker
from agent.failure import ProbeFailed, printable
from agent.probe import Address, CredentialUse, Destination, Measure, Outcome, Probe, ProbeContext
from inventory.base.types import Secret
from inventory.protocol.mail_words import MailWords
from inventory.protocol.reasons import Reason, joined, sentence
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

_MARGIN: Final = 0.02  # seconds before the look's end, so that the more exact reason comes first
_DECIMAL: Final = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d{1,2})?", re.ASCII)
_PUBLIC: Final = Secret("public")
_WORST_FIRST: Final = (DOWN, UNKNOWN, DEGRADED, UP)


class Snmp(Probe, frozen=True, kw_only=True):
    """Asks a device by SNMP: up when it answers, and what is looked at is as it should be.

    Always the time since it started, a reboot told apart from a counter that wraps after 497 days. On demand its
    interfaces (one that is down but switched on makes the check degraded), one interface in detail (down when that
    is), processors, memory and storages, its sensors, any one number. Rates need two looks; what a device does not
    tell is left out. One row of numbers for each port: a check for each, with ``interface``. Without ``credential``
    the community is "public". The latency is that of the first answer; in version 3 it includes our own work on it.
    """

    kind = "snmp"
    title = "device (SNMP)"
    target = ("host", "port", "interface", "oid")
    apart = (("interface", "interfaces"),)
    measures = (
        Measure("uptime_seconds", "seconds", "Since the device started (or its SNMP agent, if it tells no more)"),
        Measure("rebooted", "flag", "1 if it started anew since the last look, else 0"),
        Measure("interfaces_up", "count", "Watched interfaces that are up"),
        Measure("interfaces_down", "count", "Watched interfaces that are down, though switched on"),
        Measure("in_bytes_per_second", "bytes_per_second", "Received, by all watched interfaces together"),
        Measure("out_bytes_per_second", "bytes_per_second", "Sent, by all watched interfaces together"),
        Measure("utilisation_ratio", "ratio", "Of the fullest direction of the fullest watched interface"),
        Measure("errors_per_second", "per_second", "Damaged packets in and out, of all watched interfaces together"),
        Measure("discards_per_second", "per_second", "Packets thrown away for want of room, of all watched together"),
        Measure("speed_bytes_per_second", "bytes_per_second", "What the one watched interface could carry"),
        Measure("cpu_ratio", "ratio", "Of all processors, over the last minute"),
        Measure("memory_ratio", "ratio", "Memory in use, less what is cached"),
        Measure("storage_ratio", "ratio", "In use of the fullest watched storage"),
        Measure("temperature_celsius", "celsius", "Of the hottest sensor that works"),
        Measure("sensors_failed", "count", "Sensors that say of themselves that they do not work"),
        Measure("value", "number", "The number at the object asked for, times the scale"),
        Measure("ignored_replies", "count", "Packets that came and answered none of our questions"),
    )
    down_mail = MailWords(
        steps=(
            "The device does not say how it is, or one of its ports is off. See above which.",
            "See that the device is on and its lights are as usual.",
            "If it is a port: look at the cable and at what is connected at its other end.",
            "If the device works for everybody, its monitoring access may have been changed: tell the data centre.",
        ),
    )
    degraded_mail = MailWords(
        steps=(
            "The device works but is overloaded, too hot, restarted or has errors on a port. See above which.",
            "If it is hot: see that the air conditioning runs and nothing covers the device.",
            "If a port has errors: change its cable.",
            "If a disk or the memory is nearly full: free space or tell whoever looks after the machine.",
        ),
    )
    example = "{host: 192.0.2.9, interface: uplink}"

    host: Annotated[str, Meta(min_length=1, max_length=253, description="Host name or address")]
    port: Annotated[int, Meta(ge=1, le=65535, description="UDP port")] = 161
    version: Annotated[Literal["1", "2c", "3"], Meta(description="Version of SNMP")] = "2c"
    credential: Annotated[
        str, Meta(max_length=63, description='Name in the agent\'s own file; without, the community "public"')
    ] = ""
    interfaces: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=255)], ...],
        Meta(max_length=64, description="Names, descriptions or aliases of the interfaces that matter: Gi*, *uplink*"),
    ] = ()
    interface: Annotated[
        str, Meta(max_length=255, description="One interface in detail, by name, description or alias (a pattern)")
    ] = ""
    resources: Annotated[bool, Meta(description="Look at processors, memory and storages")] = False
    storages: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=255)], ...],
        Meta(max_length=64, description="Names of the storages that matter: /var, C:*; without, all fixed disks"),
    ] = ()
    sensors: Annotated[bool, Meta(description="Look at the device's own sensors")] = False
    oid: Annotated[str, Meta(max_length=1024, description="An object with a number, such as 1.3.6.1.2.1.1.7.0")] = ""
    scale: Annotated[float, Meta(description="What that number is multiplied by")] = 1.0
    family: Annotated[Literal["any", "ipv4", "ipv6"], Meta(description="Which addresses of the name to use")] = "any"

    def __post_init__(self) -> None:
        if self.oid:
            encode_oid(self.oid)
        if self.version == "3" and not self.credential:
            raise ValueError(sentence("version 3 needs a credential, with a user"))
        if self.interface and self.interfaces:
            raise ValueError(sentence("give interface (one, in detail) or interfaces, not both"))
        if self.storages and not self.resources:
            raise ValueError(sentence("storages are looked at with resources: true"))
        if not math.isfinite(self.scale) or self.scale == 0:
            raise ValueError(sentence("scale must be a number other than 0"))

    def credential_uses(self) -> tuple[CredentialUse, ...]:
        # a community is in clear by its nature: hosts alone bind it; version 3 never sends its passwords
        return (CredentialUse(self.credential, self.host),) if self.credential else ()

    def endpoints(self) -> tuple[tuple[str, int | None], ...]:
        return ((self.host, self.port),)

    async def run(self, context: ProbeContext) -> Outcome:
        started = time.monotonic()
        memory = context.client(CheckMemory, CheckMemory)
        try:
            addresses = await context.client(Resolver, Resolver).addresses(self.host, self.family)
            if forbidden := context.limits.forbids(addresses[0], self.port):
                return Outcome(UNKNOWN, forbidden)
            seconds = max(context.timeout - (time.monotonic() - started) - _MARGIN, _MARGIN)
            target = SnmpTarget(addresses[0], self.port, self._access(context, addresses[0]))
            session = await context.client(Client, Client).session(target, seconds)
            findings = await self._read_device(session, memory.get(self, lambda: _CheckState(self)), memory.now)
        except ProbeFailed as failure:
            return Outcome(failure.state, failure.reason)
        return findings.outcome(session)

    def _access(self, context: ProbeContext, address: Address) -> Community | SnmpUser:
        if not self.credential and self.version != "3":
            return Community(self.version, _PUBLIC)
        credential = context.credential(self.credential, Destination(self.host, address))
        return access_from_credential(self.credential, self.version, credential)

    async def _read_device(self, session: SnmpSession, state: "_CheckState", now: Callable[[], float]) -> "_Findings":
        """The device's time first, then each part that is wanted. Raises ProbeFailed if it does not answer at all."""
        findings = _Findings()
        cells = await session.get([*OIDS, *([self.oid] if self.oid else [])])
        uptime = state.uptimes.update(cells, now())
        findings.add_measures(uptime_seconds=uptime.seconds, rebooted=uptime.restarted)
        if self.oid:
            self._value(cells.get(self.oid), findings)
        try:
            if state.interfaces is not None:
                await self._interfaces(session, state.interfaces, now, uptime.restarted, findings)
            if self.resources:
                await self._resources(session, findings)
            if self.sensors:
                await self._sensors(session, findings)
        except ProbeFailed as failure:  # silence, now: the device answered, but not all that was asked
            findings.add_problem(UNKNOWN if self.interface else DEGRADED, failure.reason)
        return findings

    def _value(self, raw: Value | None, findings: "_Findings") -> None:
        if raw is None:
            findings.add_problem(DOWN, sentence("{host} has no object {oid}", host=self.host, oid=self.oid))
            return
        number = _parse_number(raw)
        if number is None:
            shown = printable(raw if isinstance(raw, bytes) else str(raw))
            findings.add_problem(
                DOWN, sentence("{host} has no number at {oid}, but {shown}", host=self.host, oid=self.oid, shown=shown)
            )
            return
        findings.add_measures(value=number * self.scale)

    async def _interfaces(
        self,
        session: SnmpSession,
        interfaces: Interfaces,
        now: Callable[[], float],
        restarted: bool | None,
        findings: "_Findings",
    ) -> None:
        try:
            traffic = await interfaces.read(session, now, restarted)
        except SnmpNoResponse:
            raise
        except ProbeFailed as failure:
            # for a check of one interface: is it there, or is nothing known of it; else: a part of the device fails
            means = {DEGRADED: UNKNOWN} if self.interface else {DOWN: DEGRADED}
            findings.add_problem(
                means.get(failure.state, failure.state),
                sentence("{host}: {reason}", host=self.host, reason=failure.reason),
            )
            return
        findings.add_measures(
            interfaces_up=len(traffic.up),
            interfaces_down=len(traffic.down),
            in_bytes_per_second=traffic.into,
            out_bytes_per_second=traffic.out,
            utilisation_ratio=traffic.busiest,
            errors_per_second=traffic.errors,
            discards_per_second=traffic.discards,
            speed_bytes_per_second=traffic.speed,
        )
        if traffic.down:
            state = DOWN if self.interface else DEGRADED
            findings.add_problem(
                state,
                sentence(
                    "{host}: {down} down: {down2}",
                    host=self.host,
                    down=_count(traffic.down),
                    down2=short_list(traffic.down),
                ),
            )
        if traffic.missing:
            findings.add_problem(
                DEGRADED,
                sentence("{host}: no interface fits {missing}", host=self.host, missing=short_list(traffic.missing)),
            )
        if traffic.off and self.interface:
            findings.add_problem(
                DOWN,
                sentence(
                    "{host}: {off} switched off by an administrator: {off2}",
                    host=self.host,
                    off=_count(traffic.off),
                    off2=short_list(traffic.off),
                ),
            )

    async def _resources(self, session: SnmpSession, findings: "_Findings") -> None:
        try:
            shares = await resources.read(session, self.storages)
        except SnmpNoResponse:
            raise
        except ProbeFailed as failure:
            findings.add_problem(failure.state, sentence("{host}: {reason}", host=self.host, reason=failure.reason))
            return
        findings.add_measures(cpu_ratio=shares.cpu, memory_ratio=shares.memory, storage_ratio=shares.storage)

    async def _sensors(self, session: SnmpSession, findings: "_Findings") -> None:
        try:
            readings = await sensors.read(session)
        except SnmpNoResponse:
            raise
        except ProbeFailed as failure:
            findings.add_problem(failure.state, sentence("{host}: {reason}", host=self.host, reason=failure.reason))
            return
        findings.add_measures(temperature_celsius=readings.hottest, sensors_failed=readings.failed)


class _CheckState:
    """What one check remembers."""

    def __init__(self, probe: Snmp) -> None:
        patterns = (probe.interface,) if probe.interface else probe.interfaces
        self.uptimes = UptimeTracker()
        self.interfaces = Interfaces(patterns) if patterns else None


class _Findings:
    """What one look has seen so far."""

    def __init__(self) -> None:
        self._measures: dict[str, float] = {}
        self._problems: list[tuple[int, str]] = []

    def add_measures(self, **measures: float | None) -> None:
        self._measures.update({name: float(value) for name, value in measures.items() if value is not None})

    def add_problem(self, state: int, reason: str) -> None:
        self._problems.append((state, reason))

    def outcome(self, session: SnmpSession) -> Outcome:
        self.add_measures(ignored_replies=session.ignored)
        states = {state for state, _ in self._problems} | {UP}
        worst = next(state for state in _WORST_FIRST if state in states)
        return Outcome(worst, joined(reason for _, reason in self._problems), session.latency, self._measures)


def _parse_number(raw: Value) -> float | None:
    """A number, or a text that is one, as some devices have it."""
    if isinstance(raw, int | float):
        return float(raw) if math.isfinite(raw) else None
    written = text(raw)
    return float(written) if len(written) <= 32 and _DECIMAL.fullmatch(written) else None


def _count(names: list[str]) -> Reason:
    return sentence("1 interface is") if len(names) == 1 else sentence("{names} interfaces are", names=len(names))
