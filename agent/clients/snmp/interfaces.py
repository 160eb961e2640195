"""Measure a device's interfaces (RFC 2863): which are watched, are they up, how much goes through them.

Where the watched ones are is learned by walking names and aliases, and kept; a look then asks for their counters
alone. 64-bit counters (ifXTable) are preferred; with the 32-bit ones of ifTable a rate is given only if they cannot
have wrapped more than once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from agent.clients.snmp.ber import Value
from agent.clients.snmp.labels import matcher, short_list, text
from agent.clients.snmp.session import SnmpSession
from agent.failure import ProbeFailed
from inventory.protocol.reasons import sentence
from inventory.protocol.states import DEGRADED, UNKNOWN

RELEARN: Final = 900.0  # seconds after which names and aliases are read again
MOST_WATCHED: Final = 2_048
_IF, _IFX = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1"
_DESCR, _ADMIN, _OPER, _SPEED = f"{_IF}.2", f"{_IF}.7", f"{_IF}.8", f"{_IF}.5"
_NAME, _ALIAS, _HIGH_SPEED = f"{_IFX}.1", f"{_IFX}.18", f"{_IFX}.15"
_DISCONTINUITY: Final = f"{_IFX}.19"
_OCTETS_64: Final = (f"{_IFX}.6", f"{_IFX}.10")
_OCTETS_32: Final = (f"{_IF}.10", f"{_IF}.16")
_ERRORS: Final = (f"{_IF}.14", f"{_IF}.20")
_DISCARDS: Final = (f"{_IF}.13", f"{_IF}.19")
_UP, _ADMIN_UP = 1, 1
_NOT_UP: Final = frozenset((2, 3, 6, 7))  # down, testing, notPresent, lowerLayerDown; unknown and dormant are neither
_CELLS: Final = (_ADMIN, _OPER, _SPEED, _HIGH_SPEED, _DISCONTINUITY, *_ERRORS, *_DISCARDS)
SHORTEST: Final = 4.0  # seconds that a rate is taken over at least: devices renew their counters every few seconds
FASTEST: Final = 1.25e11  # bytes per second: 1 Tbit/s
FULLEST: Final = 1.5


class WatchedPort(msgspec.Struct):
    """One watched interface. ``label``: the column whose text names it, to notice when another takes its index."""

    index: str
    name: str
    alias: str
    label: str
    raw: Value | None
    wide: bool  # it has 64-bit counters
    names: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        return f"{self.name} ({self.alias})" if self.alias and self.alias != self.name else self.name


class _CounterSample(msgspec.Struct):
    """One interface's counters at one time."""

    at: float
    counters: dict[str, int]
    discontinuity: Value | None


class Traffic(msgspec.Struct):
    """What one look saw of the watched interfaces. Rates are left out (None) where there is no sound basis.

    ``up``, ``down``, ``off`` (by an administrator): of those watched, by name. ``missing``: patterns that nothing
    fits. ``into``, ``out``: bytes per second,
    ``busiest``: share of its speed of the fullest direction, ``errors``, ``discards``: per second; sums of all
    watched. ``speed``: bytes per second, where one is watched.
    """

    up: list[str] = []
    down: list[str] = []
    off: list[str] = []
    missing: list[str] = []
    into: float | None = None
    out: float | None = None
    busiest: float | None = None
    errors: float | None = None
    discards: float | None = None
    speed: float | None = None


class Interfaces:
    """One check's interfaces from look to look."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = patterns
        self._ports: list[WatchedPort] = []
        self._missing: list[str] = []
        self._learned: float | None = None
        self._before: dict[str, _CounterSample] = {}

    async def read(self, session: SnmpSession, now: Callable[[], float], restarted: bool | None) -> Traffic:
        """``now``: seconds on a clock that does not stop. Raises Trouble: DOWN when there are no such interfaces,
        DEGRADED when the device could not tell, UNKNOWN when it was asked for too much.
        """
        fresh = self._learned is None or restarted is True or now() - self._learned > RELEARN
        if fresh:
            await self._learn(session, now())
        cells = await session.get(self._oids())
        if not fresh and any(cells.get(f"{port.label}.{port.index}") != port.raw for port in self._ports):
            await self._learn(session, now())  # ports were renumbered or renamed
            cells = await session.get(self._oids())
        if restarted:
            self._before.clear()
        return self._traffic(cells, now())

    async def _learn(self, session: SnmpSession, now: float) -> None:
        walk = await session.walk(_NAME, _DESCR, _ALIAS, _OCTETS_64[0])
        if walk.cut:
            raise ProbeFailed(sentence("its interfaces cannot be told: {cut}", cut=walk.cut), DEGRADED)
        names, descriptions, aliases, octets = walk.columns
        fits = matcher(self._patterns)
        if not descriptions and not names:
            raise ProbeFailed(sentence("it tells of no interfaces"))
        ports = []
        for index in descriptions or names:
            label = _NAME if text(names.get(index)) else _DESCR
            raw = (names if label == _NAME else descriptions).get(index)
            port = WatchedPort(
                index,
                text(raw) or sentence("interface {index}", index=index),
                text(aliases.get(index)),
                label,
                raw,
                index in octets,
            )
            port.names = (text(names.get(index)), text(descriptions.get(index)), port.alias)
            if fits(port.names):
                ports.append(port)
        if not ports:
            names_there = short_list([text(name) for name in (names or descriptions).values() if text(name)])
            raise ProbeFailed(
                sentence(
                    "no interface fits {patterns}; there are: {names_there}",
                    patterns=short_list(self._patterns),
                    names_there=names_there,
                )
            )
        if len(ports) > MOST_WATCHED:
            raise ProbeFailed(
                sentence(
                    "{ports} interfaces fit; at most {most_watched} can be watched by one check",
                    ports=len(ports),
                    most_watched=MOST_WATCHED,
                ),
                UNKNOWN,
            )
        matchers = {pattern: matcher((pattern,)) for pattern in self._patterns}
        self._missing = [
            pattern for pattern, matches in matchers.items() if not any(matches(port.names) for port in ports)
        ]
        self._ports, self._learned = ports, now

    def _oids(self) -> list[str]:
        columns = {wide: (*_CELLS, *(_OCTETS_64 if wide else _OCTETS_32)) for wide in (True, False)}
        return [f"{column}.{port.index}" for port in self._ports for column in (port.label, *columns[port.wide])]

    def _traffic(self, cells: Mapping[str, Value], now: float) -> Traffic:
        traffic = Traffic(missing=self._missing)
        rates: dict[str, float] = {}
        for port in self._ports:
            self._state(port, cells, traffic)
            speed = _speed(port, cells)
            if len(self._ports) == 1:
                traffic.speed = speed
            port_rates = self._rates(port, cells, now, speed)
            for name, rate in port_rates.items():
                rates[name] = rates.get(name, 0.0) + rate
            directions = [port_rates[name] for name in ("into", "out") if name in port_rates]
            # tunnels and the like carry many times what they say they could: no share of that
            if speed and directions and (share := max(directions) / speed) <= FULLEST:
                traffic.busiest = max(traffic.busiest or 0.0, share)
        for name, rate in rates.items():
            setattr(traffic, name, rate)
        return traffic

    def _state(self, port: WatchedPort, cells: Mapping[str, Value], traffic: Traffic) -> None:
        oper, admin = cells.get(f"{_OPER}.{port.index}"), cells.get(f"{_ADMIN}.{port.index}")
        if oper == _UP:
            traffic.up.append(port.shown)
        elif isinstance(admin, int) and admin != _ADMIN_UP:
            traffic.off.append(port.shown)
        elif oper in _NOT_UP:
            traffic.down.append(port.shown)

    def _rates(
        self, port: WatchedPort, cells: Mapping[str, Value], now: float, speed: float | None
    ) -> dict[str, float]:
        """Of this port, by the names of Traffic's fields; what has no sound basis is left out."""
        octets = _OCTETS_64 if port.wide else _OCTETS_32
        counters = {column: cells.get(f"{column}.{port.index}") for column in (*octets, *_ERRORS, *_DISCARDS)}
        numbers = {column: count for column, count in counters.items() if isinstance(count, int)}
        reading = _CounterSample(now, numbers, cells.get(f"{_DISCONTINUITY}.{port.index}"))
        before = self._before.get(port.index)
        if before is not None and before.discontinuity == reading.discontinuity and now - before.at < SHORTEST:
            return {}  # a re-look: the next one has the longer time
        self._before[port.index] = reading
        if before is None or before.discontinuity != reading.discontinuity:
            return {}
        passed = now - before.at
        rates: dict[str, float] = {}
        for name, column in zip(("into", "out"), octets, strict=True):
            bits = 64 if port.wide else 32
            if bits == 32 and (speed is None or speed * passed >= 1 << 32):
                continue  # it may have wrapped more than once
            rate = _rate(before.counters.get(column), numbers.get(column), bits, passed)
            if rate is not None and rate <= FASTEST:  # more is a counter that was set anew
                rates[name] = rate
        for name, columns in (("errors", _ERRORS), ("discards", _DISCARDS)):
            parts = [_rate(before.counters.get(column), numbers.get(column), 32, passed) for column in columns]
            measured = [part for part in parts if part is not None]
            if measured:
                rates[name] = sum(measured)
        return rates


def _rate(before: int | None, now: int | None, bits: int, passed: float) -> float | None:
    """Per second. A 32-bit counter that is less than before has wrapped if that makes a small difference."""
    if before is None or now is None:
        return None
    difference = now - before
    if difference < 0 and bits == 32:
        difference += 1 << 32
        if difference > 1 << 31:
            return None
    return difference / passed if difference >= 0 else None


def _speed(port: WatchedPort, cells: Mapping[str, Value]) -> float | None:
    """Bytes per second; ifSpeed stands at its largest for everything from 4.3 Gbit/s on."""
    high, low = cells.get(f"{_HIGH_SPEED}.{port.index}"), cells.get(f"{_SPEED}.{port.index}")
    if isinstance(high, int) and high > 0:
        return high * 1e6 / 8
    return low / 8 if isinstance(low, int) and 0 < low < (1 << 32) - 1 else None
