"""apcupsd client: a UPS's state from its network information server (port 3551).

Records with a length of two bytes before each, an empty one at the end; the answer to ``status`` is one
``NAME : value`` a record. A daemon that has lost its UPS goes on serving the last numbers, marked COMMLOST: they are
no evidence.
"""

import time
from collections.abc import Mapping
from typing import Final

from agent.clients.net.stream import TcpStream
from agent.clients.ups.dates import parse_date
from agent.clients.ups.model import UpsReading, parse_number
from agent.failure import ProbeFailed, printable
from inventory.protocol.reasons import sentence
from inventory.protocol.states import UNKNOWN

PORT: Final = 3551
MOST_RECORDS: Final = 500
LONGEST: Final = 1024  # bytes of a record

# bits of STATFLAG, from apcupsd's manual
_BITS: Final = {
    0x01: "calibrating",
    0x02: "trim",
    0x04: "boost",
    0x08: "mains",
    0x10: "battery",
    0x20: "overload",
    0x40: "low",
    0x80: "replace",
}
_COMMLOST: Final = 0x100
_SHUTDOWN: Final = 0x200
_SLAVEDOWN: Final = 0x800
_STATUS_WORDS: Final = {
    "CAL": "calibrating",
    "TRIM": "trim",
    "BOOST": "boost",
    "ONLINE": "mains",
    "ONBATT": "battery",
    "OVERLOAD": "overload",
    "LOWBATT": "low",
    "REPLACEBATT": "replace",
    "NOBATT": "no_battery",
}
# measure -> (field, scale)
_VALUES: Final = {
    "charge_ratio": ("BCHARGE", 0.01),
    "runtime_seconds": ("TIMELEFT", 60.0),
    "load_ratio": ("LOADPCT", 0.01),
    "input_volts": ("LINEV", 1.0),
    "output_volts": ("OUTPUTV", 1.0),
    "battery_volts": ("BATTV", 1.0),
    "input_hertz": ("LINEFREQ", 1.0),
}


async def read(stream: TcpStream) -> tuple[UpsReading, float]:
    """What apcupsd says of its UPS, and how long the answer took, in seconds. Raises Trouble for anything else."""
    started = time.monotonic()
    await stream.send(b"\x00\x06status")
    fields = await _read_fields(stream)
    elapsed = time.monotonic() - started
    if "STATUS" not in fields and "STATFLAG" not in fields:
        raise ProbeFailed(sentence("{who} does not answer like apcupsd: there is no STATUS", who=stream.who), UNKNOWN)
    return to_reading(fields, time.time()), elapsed


async def _read_fields(stream: TcpStream) -> dict[str, str]:
    buffer = b""
    fields: dict[str, str] = {}

    async def read_exactly(size: int) -> bytes:
        nonlocal buffer
        while len(buffer) < size:
            more = await stream.receive()
            if not more:
                raise ProbeFailed(
                    sentence("{who} closed the connection in the middle of an answer", who=stream.who), UNKNOWN
                )
            buffer += more
        record, buffer = buffer[:size], buffer[size:]
        return record

    for _ in range(MOST_RECORDS):
        size = int.from_bytes(await read_exactly(2), "big")
        if size == 0:
            return fields
        if size > LONGEST:
            raise ProbeFailed(
                sentence("{who} does not answer like apcupsd: a record of {size} bytes", who=stream.who, size=size),
                UNKNOWN,
            )
        name, colon, value = (await read_exactly(size)).decode("utf-8", "replace").partition(":")
        if not colon:
            raise ProbeFailed(
                sentence("{who} does not answer like apcupsd: {name}", who=stream.who, name=printable(name)), UNKNOWN
            )
        fields[name.strip()] = value.strip()
    raise ProbeFailed(
        sentence(
            "{who} does not answer like apcupsd: more than {most_records} records",
            who=stream.who,
            most_records=MOST_RECORDS,
        ),
        UNKNOWN,
    )


def to_reading(fields: Mapping[str, str], now: float) -> UpsReading:
    """The model of apcupsd's fields. ``now``: Unix time, for the battery's age."""
    reading = UpsReading()
    _status(reading, fields.get("STATUS", "").upper(), _bits(fields.get("STATFLAG", "")))
    for measure, (name, scale) in _VALUES.items():
        value = parse_number(fields.get(name))
        reading.set_value(measure, None if value is None else value * scale)
    if reading.flags.get("battery"):  # else it is 0, or old
        reading.set_value("on_battery_seconds", parse_number(fields.get("TONBATT")))
    reading.set_value("temperature_celsius", _celsius(fields.get("ITEMP", "")))
    manufactured = parse_date(fields.get("BATTDATE", ""))
    reading.set_value("battery_age_seconds", None if manufactured is None else now - manufactured)
    result = fields.get("SELFTEST", "").upper()
    if result in ("OK", "BT", "NG"):  # BT: the battery's capacity was too low, NG: failed otherwise
        reading.set_flag("test_passed", result == "OK")
        reading.set_value("self_test_timestamp", parse_date(fields.get("LASTSTEST", "")))
    if result == "IP":
        reading.set_flag("testing", True)
    return reading


def _status(reading: UpsReading, status: str, bits: int | None) -> None:
    """STATFLAG says it all; without it (apcupsd before 3.10) the words of STATUS do."""
    if "COMMLOST" in status or "NETWORK ERROR" in status or (bits is not None and bits & _COMMLOST):
        reading.lost = sentence("apcupsd has lost its UPS (COMMLOST); its numbers are old")
    words = status.split()
    for bit, flag in _BITS.items():
        reading.set_flag(flag, bits is not None and bool(bits & bit))
    for word, flag in _STATUS_WORDS.items():
        if word in words:
            reading.set_flag(flag, True)
    if bits is not None and "NOBATT" not in words:
        reading.set_flag("no_battery", False)
    shutting = "SHUTTING" in status or (bits is not None and bool(bits & (_SHUTDOWN | _SLAVEDOWN)))
    reading.set_flag("ending", shutting and bool(reading.flags.get("battery")))
    if not reading.flags["mains"] and not reading.flags["battery"]:
        if bits is not None and {"BOOST", "TRIM"} & set(words):
            reading.flags["mains"] = True
        else:
            del reading.flags["mains"], reading.flags["battery"]


def _bits(text: str) -> int | None:
    try:
        return int(text.split()[0], 16)
    except (ValueError, IndexError):
        return None


def _celsius(text: str) -> float | None:
    value = parse_number(text)
    if value is not None and " F" in text.upper():
        return (value - 32) * 5 / 9
    return value
