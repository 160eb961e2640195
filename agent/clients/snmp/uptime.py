"""How long a device has been running; tells a reboot from a counter that wraps every 497 days.

sysUpTime and hrSystemUptime count hundredths of a second in 32 bits: after 497.1 days they begin again at 0, like
after a reboot. Between two looks of one agent the difference is plain: a counter that wrapped is where it ought to
be after the time that went by, one that started anew is not. For a first look, snmpEngineTime (seconds, 31 bits) tells
how often sysUpTime has wrapped, where it is sound: devices whose two figures do not agree are not believed.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

from agent.clients.snmp.ber import Value

UP_TIME: Final = "1.3.6.1.2.1.1.3.0"
ENGINE_TIME: Final = "1.3.6.1.6.3.10.2.1.3.0"
HOST_TIME: Final = "1.3.6.1.2.1.25.1.1.0"  # the machine's; sysUpTime is that of its SNMP agent
OIDS: Final = (UP_TIME, ENGINE_TIME, HOST_TIME)

WRAP: Final = (1 << 32) / 100  # seconds
AGREE: Final = 120.0  # seconds by which two counters of one device may differ
DRIFT: Final = 0.02  # of the time between two looks, that a device's clock may be off by


class _Counter(msgspec.Struct):
    """One counter at one time. ``seconds``: unwrapped as far as is known."""

    at: float
    ticks: int
    seconds: float


class Uptime(msgspec.Struct, frozen=True):
    """``seconds``: since the device started, or its SNMP agent where it does not tell. None: it does not say.

    ``restarted``: since the last look; None where there is no last look to compare with.
    """

    seconds: float | None
    restarted: bool | None


class UptimeTracker:
    """One device's counters from look to look."""

    def __init__(self) -> None:
        self._before: dict[str, _Counter] = {}

    def update(self, cells: Mapping[str, Value], now: float) -> Uptime:
        """``found``: what the device answered to OIDS; ``now``: seconds on a clock that does not stop."""
        agent_counter = self._counter(UP_TIME, cells, now)
        host = self._counter(HOST_TIME, cells, now)
        engine = cells.get(ENGINE_TIME)
        if agent_counter is not None and isinstance(engine, int):
            wraps = round((engine - agent_counter[0].ticks / 100) / WRAP)
            if wraps >= 0 and abs(agent_counter[0].ticks / 100 + wraps * WRAP - engine) <= AGREE:
                agent_counter[0].seconds = max(agent_counter[0].seconds, agent_counter[0].ticks / 100 + wraps * WRAP)
        chosen = agent_counter
        if host is not None and (agent_counter is None or host[0].seconds >= agent_counter[0].seconds - AGREE):
            chosen = host  # a machine does not start after its own SNMP agent: one that says so is not believed
        if chosen is None:
            return Uptime(None, None)
        return Uptime(chosen[0].seconds, chosen[1])

    def _counter(self, oid: str, cells: Mapping[str, Value], now: float) -> tuple[_Counter, bool | None] | None:
        """(the counter now, has it started anew), or None when the device does not have it."""
        ticks = cells.get(oid)
        if not isinstance(ticks, int) or not 0 <= ticks < 1 << 32:
            return None
        counter = _Counter(now, ticks, ticks / 100)
        before = self._before.get(oid)
        self._before[oid] = counter
        if before is None:
            return counter, None
        passed = now - before.at
        expected = before.ticks / 100 + passed
        off = counter.seconds - expected
        wraps = round(-off / WRAP)
        if wraps >= 0 and abs(off + wraps * WRAP) <= 5 + passed * DRIFT:
            counter.seconds = before.seconds + (counter.seconds + wraps * WRAP - before.ticks / 100)
            return counter, False
        return counter, counter.seconds <= passed * (1 + DRIFT) + 5
