"""Read a device's own sensors (ENTITY-SENSOR-MIB, RFC 3433): the highest temperature, and how many have failed."""

from typing import Final

import msgspec

from agent.clients.snmp.ber import Value
from agent.clients.snmp.session import SnmpSession
from agent.failure import ProbeFailed
from inventory.protocol.reasons import sentence
from inventory.protocol.states import DEGRADED

_ENTRY: Final = "1.3.6.1.2.1.99.1.1.1"
_CELSIUS, _OK, _FAILED = 8, 1, 3
_UNITS: Final = 9  # of the scale: 1 is 10^-24, 9 is 1, 17 is 10^24
_OVERFLOW: Final = 1_000_000_000  # a value at this, of either sign, stands for out of range
_MOST: Final = 2_048  # sensors


class Sensors(msgspec.Struct, frozen=True):
    """``hottest``: degrees Celsius, None where no thermometer works. ``failed``: sensors that say so of themselves."""

    hottest: float | None
    failed: int


async def read(session: SnmpSession) -> Sensors:
    """Raises Trouble when the device has no sensors."""
    walk = await session.walk(*(f"{_ENTRY}.{column}" for column in range(1, 6)), rows=_MOST)
    if walk.cut:
        raise ProbeFailed(sentence("its sensors cannot be told: {cut}", cut=walk.cut), DEGRADED)
    types, scales, precisions, values, states = walk.columns
    if not types:
        raise ProbeFailed(sentence("it tells of no sensors"), DEGRADED)
    hottest = None
    for index, kind in types.items():
        if kind == _CELSIUS and states.get(index, _OK) == _OK:
            celsius = _scaled(values.get(index), scales.get(index), precisions.get(index))
            if celsius is not None:
                hottest = celsius if hottest is None else max(hottest, celsius)
    return Sensors(hottest, sum(state == _FAILED for state in states.values()))


def _scaled(value: Value | None, scale: Value | None, precision: Value | None) -> float | None:
    """A sensor's value in its unit."""
    if not isinstance(value, int) or abs(value) >= _OVERFLOW:
        return None
    power = scale if isinstance(scale, int) and 1 <= scale <= 17 else _UNITS
    decimals = precision if isinstance(precision, int) and -8 <= precision <= 9 else 0
    return float(value * 10.0 ** (3 * (power - _UNITS) - decimals))
