"""UPSs by SNMP: a network card of our own on loopback that serves what real ones of each family do."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agent.clients.ups.mib import AlarmTableRow, BitStringRow, CodesRow, Mib, NumberListRow
from agent.clients.ups.mibs import STANDARD, VENDORS
from agent.clients.ups.model import FLAG_FAULTS, FLAG_MEASURES
from agent.clients.ups.snmp import RELEARN, UpsMibCache
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes.ups import Ups
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.credentials import known

COMMUNITY = "tr4m-bien-ap-canary"

# ---- a card: versions 1 and 2c, GET, GETNEXT, GETBULK, written from RFC 3416 and not from the client's codec ----


def ber(tag: int, content: bytes) -> bytes:
    if len(content) < 128:
        return bytes((tag, len(content))) + content
    size = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 128 | len(size))) + size + content


def ber_int(number: int, tag: int = 2) -> bytes:
    return ber(tag, number.to_bytes(max(1, (number.bit_length() + 8) // 8), "big", signed=True))


def ber_oid(numbers: tuple[int, ...]) -> bytes:
    content = b""
    for number in (numbers[0] * 40 + numbers[1], *numbers[2:]):
        septets = [number & 127]
        while number := number >> 7:
            septets.append(128 | number & 127)
        content += bytes(reversed(septets))
    return ber(6, content)


def unber(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 128:
            count = size & 127
            size, at = int.from_bytes(data[at : at + count], "big"), at + count
        found.append((tag, data[at : at + size]))
        at += size
    return found


def unoid(content: bytes) -> tuple[int, ...]:
    numbers, number = [], 0
    for octet in content:
        number = number << 7 | octet & 127
        if octet < 128:
            numbers.append(number)
            number = 0
    return (numbers[0] // 40, numbers[0] % 40, *numbers[1:])


def oid(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def cell(kind: str, text: str) -> bytes:
    """A value as snmpsim's recordings write it: the type's number, ``x`` for hexadecimal."""
    if kind.endswith("x"):
        return ber(int(kind[:-1]), bytes.fromhex(text))
    tag = int(kind)
    if tag == 4:
        return ber(4, text.encode())
    if tag == 6:
        return ber_oid(oid(text))
    if tag == 64:
        return ber(64, bytes(map(int, text.split("."))))
    return ber_int(int(text), tag)


class Card(asyncio.DatagramProtocol):
    """Serves ``rows``; silent when it is told to be. ``asked``: the objects of each request."""

    def __init__(self, rows: str, community: str = COMMUNITY) -> None:
        self._community = community.encode()
        self.silent = False
        self.asked: list[list[tuple[int, ...]]] = []
        self.rows: dict[tuple[int, ...], bytes] = {}
        self.set(rows)

    def set(self, rows: str) -> None:
        for line in rows.split("\n"):
            if line := line.strip():
                name, kind, text = line.split("|", 2)
                self.rows[oid(name)] = cell(kind, text)
        self._order = sorted(self.rows)

    def drop(self, name: str) -> None:
        del self.rows[oid(name)]
        self._order = sorted(self.rows)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        (_, version), (_, community), (pdu, body) = unber(unber(data)[0][1])
        (_, request_id), (_, _), (_, repetitions), (_, binds) = unber(body)
        if self.silent or community != self._community:
            return
        names = [unoid(unber(bind)[0][1]) for _, bind in unber(binds)]
        self.asked.append(names)
        status = index = 0
        if pdu == 0xA0:
            found = [(name, self.rows.get(name, b"\x80\x00")) for name in names]
        else:
            rounds = int.from_bytes(repetitions, "big") if pdu == 0xA5 else 1
            found, at = [], names
            for _ in range(rounds):
                step = [self._next(name) for name in at]
                found += step
                at = [name for name, _ in step]
        if version == b"\x00":
            missing = [place for place, (_, value) in enumerate(found, 1) if value[0] in (0x80, 0x82)]
            if missing:
                status, index, found = 2, missing[0], [(name, b"\x05\x00") for name in names]
        answered = b"".join(ber(0x30, ber_oid(name) + value) for name, value in found)
        content = ber(2, request_id) + ber_int(status) + ber_int(index) + ber(0x30, answered)
        self.transport.sendto(ber(0x30, ber(2, version) + ber(4, community) + ber(0xA2, content)), addr)

    def _next(self, name: tuple[int, ...]) -> tuple[tuple[int, ...], bytes]:
        for candidate in self._order:
            if candidate > name:
                return candidate, self.rows[candidate]
        return name, b"\x82\x00"


@asynccontextmanager
async def served(card: Card) -> AsyncIterator[int]:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: card, local_addr=("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def looks(limits: Limits | None = None, timeout: float = 3.0, community: str = COMMUNITY) -> ProbeContext:
    return ProbeContext(timeout, limits or Limits(), {}, known("ups", {"community": community}))


async def close(look: ProbeContext) -> None:
    for client in look._clients.values():
        await client.close()


async def seen(rows: str, version: Any = "2c", **rest: Any) -> Outcome:
    look = looks()
    async with served(Card(rows)) as port:
        try:
            return await Ups(host="127.0.0.1", port=port, way="snmp", version=version, credential="ups", **rest).run(
                look
            )
        finally:
            await close(look)


def under(root: str, *rows: str) -> str:
    return "\n".join(f"{root}.{row}" for row in rows)


# ---- what cards of each family answer, with their quirks; serials and names are nobody's ----

RFC1628 = "1.3.6.1.2.1.33.1"
STANDARD_CARD = under(
    RFC1628,
    "2.1.0|2|2",
    "2.2.0|2|0",
    "2.3.0|2|135",
    "2.4.0|2|100",
    "2.5.0|2|1225",
    "2.6.0|2|-1",
    "2.7.0|2|37",
    "3.2.0|2|3",
    "3.3.1.2.1|2|501",
    "3.3.1.2.2|2|0",
    "3.3.1.3.1|2|242",
    "3.3.1.3.2|2|0",
    "4.1.0|2|3",
    "4.2.0|2|501",
    "4.4.1.2.1|2|231",
    "4.4.1.2.2|2|0",
    "4.4.1.5.1|2|8",
    "4.4.1.5.2|2|43",
    "6.1.0|66|0",
    "7.3.0|2|6",
)
APC = (
    under("1.3.6.1.2.1.1", "2.0|6|1.3.6.1.4.1.318.1.3.2.7")
    + "\n"
    + under(
        "1.3.6.1.4.1.318.1.1.1",
        "2.1.1.0|2|2",
        "2.1.2.0|67|0",
        "2.1.3.0|4|04/30/25",
        "2.2.1.0|66|99",
        "2.2.3.0|67|438000",
        "2.2.4.0|2|1",
        "2.3.1.0|66|1000",
        "2.3.2.0|66|369",
        "2.3.4.0|2|-1",
        "2.2.8.0|2|27",
        "3.3.1.0|66|2433",
        "3.3.4.0|66|500",
        "4.1.1.0|2|2",
        "4.3.1.0|66|2433",
        "4.3.3.0|66|227",
        "7.2.3.0|2|1",
        "7.2.4.0|4|02/14/2026",
        "8.1.0|2|1",
    )
)
XUPS = (
    under("1.3.6.1.2.1.1", "2.0|6|1.3.6.1.4.1.534.1")
    + "\n"
    + under(
        "1.3.6.1.4.1.534.1",
        "2.1.0|2|8620",
        "2.2.0|2|78",
        "2.4.0|2|100",
        "2.5.0|2|4",
        "2.6.0|4|2001-01-01",
        "3.1.0|2|500",
        "3.4.1.2.1|2|232",
        "3.4.1.2.2|2|228",
        "3.4.1.2.3|2|231",
        "4.1.0|2|25",
        "4.2.0|2|500",
        "4.4.1.2.1|2|230",
        "4.5.0|2|3",
        "6.1.0|2|29",
        "7.1.0|66|0",
        "8.2.0|2|2",
    )
)
# a standard MIB that is served beside the vendor's, in part and wrong
MGE = (
    under("1.3.6.1.2.1.1", "2.0|6|1.3.6.1.4.1.705.1")
    + "\n"
    + under(
        "1.3.6.1.4.1.705.1",
        "5.1.0|2|2594",
        "5.2.0|2|100",
        "5.5.0|2|810",
        "5.9.0|2|2",
        "5.11.0|2|2",
        "5.14.0|2|2",
        "6.2.1.2.1.0|2|2290",
        "6.2.1.2.2.0|2|0",
        "6.2.1.3.1.0|2|500",
        "7.2.1.2.1|2|2300",
        "7.2.1.3.1|2|500",
        "7.2.1.4.1|2|59",
        "7.3.0|2|2",
        "7.4.0|2|2",
        "7.7.0|2|2",
        "7.8.0|2|2",
        "7.9.0|2|1",
        "7.10.0|2|2",
        "7.12.0|2|2",
    )
    + "\n"
    + under(RFC1628, "2.1.0|2|2", "2.3.0|2|43", "2.4.0|2|7", "4.1.0|2|1", "4.4.1.5.1|2|99", "7.3.0|2|1")
)
CYBERPOWER = (
    under("1.3.6.1.2.1.1", "2.0|6|1.3.6.1.4.1.3808")
    + "\n"
    + under(
        "1.3.6.1.4.1.3808.1.1.1",
        "2.1.1.0|2|2",
        "2.2.1.0|66|100",
        "2.2.2.0|2|240",
        "2.2.3.0|4|NULL",
        "2.2.4.0|67|120000",
        "2.2.5.0|2|1",
        "3.2.1.0|66|2230",
        "3.2.4.0|66|499",
        "4.1.1.0|2|2",
        "4.2.1.0|66|2230",
        "4.2.2.0|66|0",
        "4.2.3.0|66|24",
    )
)
DELL = (
    under("1.3.6.1.2.1.1", "2.0|6|1.3.6.1.4.1.674.10902.2")
    + "\n"
    + under("1.3.6.1.4.1.674.10902.2", "110.1.0|2|3", "120.5.2.0|2|1", "120.5.3.0|2|1889")
    + "\n"
    + under(RFC1628, "2.1.0|2|2", "2.3.0|2|31", "2.4.0|2|98", "2.5.0|2|38", "2.7.0|2|0", "4.1.0|2|3", "4.4.1.5.1|2|26")
)
SOCOMEC = (
    under("1.3.6.1.2.1.1", "2.0|6|1.3.6.1.4.1.4555.1.1.7")
    + "\n"
    + under(
        "1.3.6.1.4.1.4555.1.1.7.1",
        "2.1.0|2|3",
        "2.2.0|2|0",
        "2.3.0|2|65535",
        "2.4.0|2|100",
        "2.5.0|2|542",
        "2.6.0|2|0",
        "3.2.0|2|500",
        "3.3.1.2.1|2|2400",
        "3.3.1.3.1|2|655350",
        "4.1.0|2|3",
        "4.2.0|2|500",
        "4.4.1.2.1|2|2300",
        "4.4.1.4.1|2|12",
        "6.3.2.0|2|0",
        "6.3.15.0|2|0",
        "6.3.19.0|2|0",
        "6.3.55.0|2|0",
    )
)
MEGATEC = (
    under("1.3.6.1.2.1.1", "2.0|6|1.3.6.1.4.1.935.10.1.1")
    + "\n"
    + under(
        "1.3.6.1.4.1.935.1.1.1",
        "2.1.1.0|2|2",
        "2.2.1.0|2|100",
        "2.2.2.0|2|547",
        "2.2.3.0|2|260",
        "2.2.4.0|2|1800",
        "2.2.5.0|2|1",
        "3.2.1.0|2|2198",
        "3.2.4.0|2|500",
        "4.1.1.0|2|2",
        "4.2.1.0|2|2309",
        "4.2.2.0|2|500",
        "4.2.3.0|2|7",
    )
)
TRIPPLITE = (
    under("1.3.6.1.2.1.1", "2.0|6|1.3.6.1.4.1.850.1.1.1")
    + "\n"
    + under(
        "1.3.6.1.4.1.850.1.1.3.1",
        "2.1.1.5.1|4|UNKNOWN",
        "2.1.1.6.1|2|1",
        "2.1.1.7.1|2|220",
        "3.1.1.1.1.1|2|2",
        "3.1.1.1.2.1|66|0",
        "3.1.1.1.3.1|66|72",
        "3.1.1.1.4.1|2|100",
        "3.1.2.1.1.1|66|821",
        "3.1.5.1.1.1.1|2|1",
        "3.1.5.1.2.1.1|66|4294964565",
        "3.1.5.1.5.1.1|4|2023-03-08",
        "3.2.2.1.2.1.1|66|600",
        "3.2.2.1.3.1.1|66|2109",
        "3.3.1.1.1.1|2|9",
        "3.3.1.1.3.1|66|600",
        "3.3.2.1.2.1.1|66|2101",
        "3.3.2.1.5.1.1|2|10",
    )
    + "\n"
    + under(RFC1628, "2.1.0|2|2", "2.2.0|2|0", "2.7.0|2|-273", "4.1.0|2|1")
)
VERTIV = (
    under("1.3.6.1.2.1.1", "2.0|6|1.3.6.1.4.1.476.1.42")
    + "\n"
    + under(
        "1.3.6.1.4.1.476.1.42.3",
        "5.1.18.0|2|47",
        "5.1.19.0|2|100",
        "5.3.55.0|2|3",
        "9.20.1.20.1.2.1.4096|4|229.7",
        "9.20.1.20.1.2.1.4105|4|50.0",
        "9.20.1.20.1.2.1.4148|4|163.9",
        "9.20.1.20.1.2.1.4385|4|230.0",
        "9.20.1.20.1.2.1.5861|4|31",
        "9.20.1.20.1.2.1.4150|4|Unavailable",
    )
)
HUAWEI = (
    under("1.3.6.1.2.1.1", "2.0|6|1.3.6.1.4.1.8072.3.2.10")
    + "\n"
    + under(
        "1.3.6.1.4.1.2011.6.174.1",
        "2.101.1.1.1|2|3",
        "2.101.1.3.1|2|4",
        "3.100.1.1.1|2|2301",
        "3.100.1.2.1|2|2254",
        "3.100.1.3.1|2|2310",
        "3.100.1.4.1|2|4998",
        "4.100.1.1.1|2|2200",
        "4.100.1.2.1|2|2201",
        "4.100.1.3.1|2|2202",
        "4.100.1.7.1|2|5000",
        "4.100.1.14.1|2|120",
        "4.100.1.15.1|2|315",
        "4.100.1.16.1|2|2147483647",
        "6.100.1.1.1|2|4321",
        "6.100.1.3.1|2|98",
        "6.100.1.4.1|2|5400",
    )
)
NUMBERS = {
    "standard": (STANDARD_CARD, "UPS-MIB", {
        "runtime_seconds": 8100, "charge_ratio": 1, "battery_volts": 122.5, "temperature_celsius": 37,
        "input_hertz": 50.1, "input_volts": 242, "output_hertz": 50.1, "output_volts": 231, "load_ratio": 0.43,
    }),
    "apc": (APC, "PowerNet-MIB", {
        "runtime_seconds": 4380, "charge_ratio": 1, "battery_volts": 27, "temperature_celsius": 36.9,
        "input_volts": 243.3, "input_hertz": 50, "output_volts": 243.3, "load_ratio": 0.227,
        "self_test_passed": 1, "self_test_timestamp": 1_771_027_200,
    }),
    "xups": (XUPS, "XUPS-MIB", {
        "runtime_seconds": 8620, "charge_ratio": 1, "battery_volts": 78, "temperature_celsius": 29, "input_volts": 228,
        "input_hertz": 50, "output_volts": 230, "output_hertz": 50, "load_ratio": 0.25, "self_test_passed": 1,
    }),
    "mge": (MGE, "MG-SNMP-UPS-MIB UPS-MIB", {
        "runtime_seconds": 2594, "charge_ratio": 1, "battery_volts": 81, "input_volts": 229, "input_hertz": 50,
        "output_volts": 230, "output_hertz": 50, "load_ratio": 0.59, "self_test_passed": 1,
    }),
    "cyberpower": (CYBERPOWER, "CPS-MIB", {
        "runtime_seconds": 1200, "charge_ratio": 1, "battery_volts": 24, "input_volts": 223, "input_hertz": 49.9,
        "output_volts": 223, "load_ratio": 0.24,
    }),
    "dell": (DELL, "DELL-SNMP-UPS-MIB UPS-MIB", {
        "runtime_seconds": 1889, "charge_ratio": 0.98, "battery_volts": 38, "load_ratio": 0.26, "self_test_passed": 1,
    }),
    "socomec": (SOCOMEC, "SOCOMECUPS-MIB", {
        "charge_ratio": 1, "battery_volts": 54.2, "input_volts": 240, "input_hertz": 50, "output_volts": 230,
        "output_hertz": 50, "load_ratio": 0.12,
    }),
    "megatec": (MEGATEC, "XPPC-MIB", {
        "runtime_seconds": 1800, "charge_ratio": 1, "battery_volts": 54.7, "temperature_celsius": 26,
        "input_volts": 219.8, "input_hertz": 50, "output_volts": 230.9, "output_hertz": 50, "load_ratio": 0.07,
    }),
    "tripplite": (TRIPPLITE, "TRIPPLITE-PRODUCTS UPS-MIB", {
        "runtime_seconds": 4320, "charge_ratio": 1, "battery_volts": 82.1, "temperature_celsius": 22,
        "input_volts": 210.9, "input_hertz": 60, "output_volts": 210.1, "output_hertz": 60, "load_ratio": 0.1,
        "self_test_passed": 1,
    }),
    "vertiv": (VERTIV, "LIEBERT-GP-POWER-MIB", {
        "runtime_seconds": 2820, "charge_ratio": 1, "battery_volts": 163.9, "input_volts": 229.7, "input_hertz": 50,
        "output_volts": 230, "load_ratio": 0.31,
    }),
    "huawei": (HUAWEI, "HUAWEI-UPS-MIB", {
        "runtime_seconds": 5400, "charge_ratio": 0.98, "battery_volts": 432.1, "input_volts": 225.4,
        "input_hertz": 49.98, "output_volts": 220, "output_hertz": 50, "load_ratio": 0.315,
    }),
}  # fmt: skip
AGED = {"apc", "tripplite"}  # which know how old their battery is


@pytest.mark.parametrize("version", ["1", "2c"])
@pytest.mark.parametrize("family", NUMBERS)
async def test_numbers_come_out_in_base_units(family: str, version: Any) -> None:
    rows, mibs, expected = NUMBERS[family]
    shared = looks()
    async with served(Card(rows)) as port:
        outcome = await Ups(host="127.0.0.1", port=port, way="snmp", version=version, credential="ups").run(shared)
        (target,) = shared.client(UpsMibCache, UpsMibCache)._devices
        assert " ".join(shared.client(UpsMibCache, UpsMibCache).names(target)) == mibs
        await close(shared)
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.latency is not None
    flags = set(FLAG_MEASURES.values()) - {"self_test_passed"}
    told = {name: value for name, value in outcome.measures.items() if name not in flags}
    assert ("battery_age_seconds" in told) == (family in AGED)
    told.pop("battery_age_seconds", None)
    assert told == pytest.approx(expected)
    assert (outcome.measures["on_mains"], outcome.measures["on_battery"]) == (1, 0)


APC_ROOT, XUPS_ROOT, MGE_ROOT = "1.3.6.1.4.1.318.1.1.1", "1.3.6.1.4.1.534.1", "1.3.6.1.4.1.705.1"
CPS_ROOT, SOCOMEC_ROOT, XPPC_ROOT = "1.3.6.1.4.1.3808.1.1.1", "1.3.6.1.4.1.4555.1.1.7.1", "1.3.6.1.4.1.935.1.1.1"
TRIPP_ROOT, VERTIV_ROOT, HUAWEI_ROOT = "1.3.6.1.4.1.850.1.1.3.1", "1.3.6.1.4.1.476.1.42.3", "1.3.6.1.4.1.2011.6.174.1"
BYPASSED, OFF, REPLACE = "on bypass, the load is not protected", "its output is off", "the battery is to be replaced"


def alarm(table: str, name: str, number: int) -> str:
    return f"{table}.7|6|{name}.{number}"


def letters(*places: int) -> str:
    return "".join("1" if place in (4, 6, 19, *places) else "0" for place in range(1, 65))


@pytest.mark.parametrize(
    ("card", "changes", "state", "reason"),
    [
        (STANDARD_CARD, under(RFC1628, "4.1.0|2|5", "2.2.0|2|190"),
         DEGRADED, "on battery for 3 min, charge 100%, runtime 2 h 15 min"),
        (STANDARD_CARD, under(RFC1628, "4.1.0|2|5", "2.1.0|2|3", "2.4.0|2|9"),
         DOWN, "its battery is low: on battery, charge 9%, runtime 2 h 15 min"),
        (STANDARD_CARD, under(RFC1628, "2.1.0|2|4"), DEGRADED, "its battery is low and would not carry an outage"),
        (STANDARD_CARD, under(RFC1628, "4.1.0|2|4"), DEGRADED, BYPASSED),
        (STANDARD_CARD, under(RFC1628, "4.1.0|2|2"), DOWN, OFF),
        (STANDARD_CARD, under(RFC1628, "4.1.0|2|6"), UP, ""),
        (STANDARD_CARD, under(RFC1628, "4.1.0|2|7"), UP, ""),
        (STANDARD_CARD, under(RFC1628, "4.1.0|2|1"), UP, ""),  # it counts no seconds on battery
        (STANDARD_CARD, under(RFC1628, "7.3.0|2|3"), DEGRADED, "the last self-test was not passed"),
        (STANDARD_CARD, under(RFC1628, "6.1.0|66|1", alarm("6.2.1.2", RFC1628 + ".6.3", 1)), DEGRADED, REPLACE),
        (STANDARD_CARD, under(RFC1628, "6.1.0|66|1", alarm("6.2.1.2", RFC1628 + ".6.3", 8)), DEGRADED, "overloaded"),
        (STANDARD_CARD, under(RFC1628, "6.1.0|66|1", alarm("6.2.1.2", RFC1628 + ".6.3", 20)),
         UNKNOWN, "its network card has lost the UPS; its numbers are old"),
        (STANDARD_CARD, under(RFC1628, "6.1.0|66|1", "6.2.1.2.7|6|1.3.6.1.4.1.9999.1.1"), UP, ""),
        (APC, under(APC_ROOT, "4.1.1.0|2|3", "2.1.2.0|67|4500"),
         DEGRADED, "on battery for 45 s, charge 100%, runtime 73 min"),
        (APC, under(APC_ROOT, "4.1.1.0|2|3", "2.1.1.0|2|3", "2.3.1.0|66|90"),
         DOWN, "its battery is low: on battery, charge 9%, runtime 73 min"),
        (APC, under(APC_ROOT, "4.1.1.0|2|10"), DEGRADED, f"{BYPASSED}; it reports a fault"),
        (APC, under(APC_ROOT, "4.1.1.0|2|9"), DEGRADED, BYPASSED),
        (APC, under(APC_ROOT, "4.1.1.0|2|7"), DOWN, OFF),
        (APC, under(APC_ROOT, "4.1.1.0|2|4"), UP, ""),
        (APC, under(APC_ROOT, "4.1.1.0|2|12"), UP, ""),
        (APC, under(APC_ROOT, "2.2.4.0|2|2"), DEGRADED, REPLACE),
        (APC, under(APC_ROOT, "2.1.1.0|2|5"), DEGRADED, "no battery is connected"),
        (APC, under(APC_ROOT, "8.1.0|2|2"), UNKNOWN, "its network card has lost the UPS; its numbers are old"),
        (APC, under(APC_ROOT, "7.2.3.0|2|2"), DEGRADED, "the last self-test was not passed"),
        (APC, under(APC_ROOT, f"11.1.1.0|4|{letters()}"), UP, ""),
        (APC, under(APC_ROOT, f"11.1.1.0|4|{letters(9)}"), DEGRADED, "overloaded"),
        (APC, under(APC_ROOT, "4.1.1.0|2|1", f"11.1.1.0|4|{letters(2)}"),
         DEGRADED, "on battery, charge 100%, runtime 73 min"),
        (APC, under(APC_ROOT, f"11.1.1.0|4|{letters(5, 7)}"), DEGRADED, REPLACE),
        (APC, under(APC_ROOT, "7.2.6.0|2|3", "4.1.1.0|2|3"),
         DEGRADED, "on battery, charge 100%, runtime 73 min (calibrating)"),
        (XUPS, under(XUPS_ROOT, "4.5.0|2|5", "2.5.0|2|2"), DEGRADED, "on battery, charge 100%, runtime 2 h 23 min"),
        (XUPS, under(XUPS_ROOT, "4.5.0|2|5", "7.1.0|66|1", alarm("7.2.1.2", XUPS_ROOT + ".7", 4)),
         DOWN, "its battery is low: on battery, charge 100%, runtime 2 h 23 min"),
        (XUPS, under(XUPS_ROOT, "7.1.0|66|1", alarm("7.2.1.2", XUPS_ROOT + ".7", 7)), DEGRADED, "overloaded"),
        (XUPS, under(XUPS_ROOT, "7.1.0|66|1", alarm("7.2.1.2", XUPS_ROOT + ".7", 23)), DEGRADED, REPLACE),
        (XUPS, under(XUPS_ROOT, "4.5.0|2|11"), DEGRADED, BYPASSED),
        (XUPS, under(XUPS_ROOT, "4.5.0|2|2"), DOWN, OFF),
        (XUPS, under(XUPS_ROOT, "4.5.0|2|10"), UP, ""),
        (XUPS, under(XUPS_ROOT, "8.2.0|2|3"), DEGRADED, "the last self-test was not passed"),
        (MGE, under(MGE_ROOT, "7.3.0|2|1"), DEGRADED, "on battery, charge 100%, runtime 43 min"),
        (MGE, under(MGE_ROOT, "7.3.0|2|1", "7.7.0|2|1"), DEGRADED, "on battery, charge 100%, runtime 43 min"),
        (MGE, under(MGE_ROOT, "7.3.0|2|1", "5.14.0|2|1"),
         DOWN, "its battery is low: on battery, charge 100%, runtime 43 min"),
        (MGE, under(MGE_ROOT, "7.4.0|2|1"), DEGRADED, BYPASSED),
        (MGE, under(MGE_ROOT, "7.7.0|2|1"), DOWN, OFF),
        (MGE, under(MGE_ROOT, "7.10.0|2|1", "5.11.0|2|1"), DEGRADED, f"overloaded; {REPLACE}"),
        (MGE, under(MGE_ROOT, "7.8.0|2|1"), UP, ""),
        (CYBERPOWER, under(CPS_ROOT, "4.1.1.0|2|3", "2.1.2.0|67|1500"),
         DEGRADED, "on battery for 15 s, charge 100%, runtime 20 min"),
        (CYBERPOWER, under(CPS_ROOT, "4.1.1.0|2|3", "2.1.1.0|2|3"),
         DOWN, "its battery is low: on battery, charge 100%, runtime 20 min"),
        (CYBERPOWER, under(CPS_ROOT, "4.1.1.0|2|9"), DEGRADED, BYPASSED),
        (CYBERPOWER, under(CPS_ROOT, "4.1.1.0|2|11"), DEGRADED, "overloaded"),
        (CYBERPOWER, under(CPS_ROOT, "2.2.5.0|2|2"), DEGRADED, REPLACE),
        (CYBERPOWER, under(CPS_ROOT, "4.1.1.0|2|6"), DOWN, OFF),
        (DELL, under(RFC1628, "4.1.0|2|5"), DEGRADED, "on battery, charge 98%, runtime 31 min"),
        (DELL, under("1.3.6.1.4.1.674.10902.2", "110.1.0|2|6"), DEGRADED, "it reports a fault"),
        (DELL, under("1.3.6.1.4.1.674.10902.2", "110.1.0|2|5"), DEGRADED, "it reports a fault"),
        (DELL, under("1.3.6.1.4.1.674.10902.2", "110.1.0|2|4", "120.4.2.0|4|57,43"),
         DOWN, "its battery is low: on battery, charge 98%, runtime 31 min"),
        (DELL, under("1.3.6.1.4.1.674.10902.2", "110.1.0|2|4", "120.4.2.0|4|"), UP, ""),
        (XUPS, under(XUPS_ROOT, "4.5.0|2|1", "2.5.0|2|2"), UP, ""),  # no alarm of it: a test that draws on the battery
        (XUPS, under(XUPS_ROOT, "4.5.0|2|1", "2.5.0|2|3"), UP, ""),
        (HUAWEI, under(HUAWEI_ROOT, "2.101.1.1.1|2|255", "2.101.1.3.1|2|6"),
         DEGRADED, "on battery, charge 98%, runtime 90 min"),
        (VERTIV, under(VERTIV_ROOT, "9.20.1.20.1.2.100.4162|4|Active Alarm", "5.3.55.0|2|5"),
         DOWN, "its battery is low: on battery, charge 100%, runtime 47 min"),
        (VERTIV, under(VERTIV_ROOT, "9.20.1.20.1.2.100.5806|4|Active Warning"), DEGRADED, "overloaded"),
        (VERTIV, under(VERTIV_ROOT, "9.20.1.20.1.2.100.5806|4|Inactive Event"), UP, ""),
        (MEGATEC, under(XPPC_ROOT, "4.1.1.0|2|1", "8.5.5.0|2|4"),
         DEGRADED, "on battery, charge 100%, runtime 30 min"),
        (MEGATEC, under(XPPC_ROOT, "8.6.2.0|2|8"), DEGRADED, BYPASSED),
        (MEGATEC, under(XPPC_ROOT, "8.5.2.0|2|16", "8.7.7.0|2|14"), DEGRADED, "it reports a fault"),
        (SOCOMEC, under(SOCOMEC_ROOT, "2.1.0|2|5", "2.2.0|2|61", "2.3.0|2|22"),
         DEGRADED, "on battery for 61 s, charge 100%, runtime 22 min"),
        (SOCOMEC, under(SOCOMEC_ROOT, "6.3.15.0|2|1"), DEGRADED, "on battery, charge 100%"),
        (SOCOMEC, under(SOCOMEC_ROOT, "2.1.0|2|6", "2.2.0|2|900", "2.3.0|2|2"),
         DOWN, "its battery is low: on battery for 15 min, charge 100%, runtime 2 min"),
        (SOCOMEC, under(SOCOMEC_ROOT, "4.1.0|2|6"), DEGRADED, BYPASSED),
        (SOCOMEC, under(SOCOMEC_ROOT, "6.3.2.0|2|1", "6.3.19.0|2|1"), DEGRADED, f"overloaded; {REPLACE}"),
        (SOCOMEC, under(SOCOMEC_ROOT, "4.1.0|2|8"), DOWN, OFF),
        (MEGATEC, under(XPPC_ROOT, "4.1.1.0|2|3"), DEGRADED, "on battery, charge 100%, runtime 30 min"),
        (MEGATEC, under(XPPC_ROOT, "4.1.1.0|2|3", "2.1.1.0|2|3"),
         DOWN, "its battery is low: on battery, charge 100%, runtime 30 min"),
        (MEGATEC, under(XPPC_ROOT, "4.1.1.0|2|6"), DEGRADED, BYPASSED),
        (MEGATEC, under(XPPC_ROOT, "4.1.1.0|2|9"), UP, ""),
        (MEGATEC, under(XPPC_ROOT, "2.2.5.0|2|2"), DEGRADED, REPLACE),
        (TRIPPLITE, under(TRIPP_ROOT, "3.3.1.1.1.1|2|5", "3.1.1.1.2.1|66|130"),
         DEGRADED, "on battery for 2 min, charge 100%, runtime 72 min"),
        (TRIPPLITE, under(TRIPP_ROOT, "3.3.1.1.1.1|2|5", "3.1.1.1.1.1|2|4"),
         DOWN, "its battery is low: on battery, charge 100%, runtime 72 min"),
        (TRIPPLITE, under(TRIPP_ROOT, "3.1.5.1.1.1.1|2|3"), DEGRADED, REPLACE),
        (TRIPPLITE, under(TRIPP_ROOT, "3.3.1.1.1.1|2|4"), DEGRADED, BYPASSED),
        (VERTIV, under(VERTIV_ROOT, "5.3.55.0|2|5"), DEGRADED, "on battery, charge 100%, runtime 47 min"),
        (VERTIV, under(VERTIV_ROOT, "5.3.55.0|2|4"), DEGRADED, BYPASSED),
        (HUAWEI, under(HUAWEI_ROOT, "2.101.1.1.1|2|4", "2.101.1.3.1|2|6"),
         DEGRADED, "on battery, charge 98%, runtime 90 min"),
        (HUAWEI, under(HUAWEI_ROOT, "2.101.1.1.1|2|2"), DEGRADED, BYPASSED),
        (HUAWEI, under(HUAWEI_ROOT, "2.101.1.1.1|2|1"), DOWN, OFF),
    ],
)  # fmt: skip
async def test_what_can_become_of_it(card: str, changes: str, state: int, reason: str) -> None:
    outcome = await seen(f"{card}\n{changes}")
    assert (outcome.state, outcome.reason) == (state, reason)
    if state == UNKNOWN:
        assert not outcome.measures, "old numbers are no evidence"


async def test_indexes_and_scales_that_are_not_the_standards() -> None:
    """Rows indexed n.0, tenths of volts where the standard has volts, whole volts where it has tenths."""
    rows = ("4.1.0|2|3", "2.5.0|66|54", "3.3.1.2.1.0|2|5000", "3.3.1.3.1.0|66|2353", "4.4.1.2.1.0|66|2306")
    outcome = await seen(under(RFC1628, *rows, "4.4.1.5.1.0|66|8", "4.4.1.5.2.0|66|11"))
    values = {name: value for name, value in outcome.measures.items() if name not in FLAG_MEASURES.values()}
    assert values == pytest.approx(
        {"battery_volts": 54, "input_hertz": 50, "input_volts": 235.3, "output_volts": 230.6, "load_ratio": 0.11}
    )


async def test_a_device_with_no_ups_in_it() -> None:
    outcome = await seen(under("1.3.6.1.2.1.1", "1.0|4|a switch", "2.0|6|1.3.6.1.4.1.9.1.1208"))
    assert outcome.state == UNKNOWN
    assert outcome.reason.startswith("the device has none of the UPS MIBs known here (UPS-MIB, PowerNet-MIB, ")


@pytest.mark.parametrize("version", ["1", "2c"])
@pytest.mark.parametrize("identity", ["1.3.6.1.4.1.534.1", "1.3.6.1.4.1.9.1.1208"])
async def test_a_part_without_any_usual_object_is_found_by_its_root(version: Any, identity: str) -> None:
    rows = under(XUPS_ROOT, "3.1.0|2|500", "3.4.1.2.1|2|0", "3.4.1.2.2|2|231")
    outcome = await seen(f"1.3.6.1.2.1.1.2.0|6|{identity}\n{rows}", version)
    assert (outcome.state, outcome.reason) == (UNKNOWN, "it does not say what it runs on")
    assert outcome.measures == {"input_hertz": 50, "input_volts": 231}


async def test_whose_mib_it_is_matters_more_than_whose_device() -> None:
    """A card that names itself by its SNMP agent, and serves a corner of another vendor's MIB."""
    corner = under(XUPS_ROOT, "6.1.0|2|0", "6.5.0|2|33")
    outcome = await seen(f"{MGE}\n{corner}".replace("1.3.6.1.4.1.705.1\n", "1.3.6.1.4.1.8072.3.2.10\n"))
    assert (outcome.state, outcome.measures["load_ratio"]) == (UP, 0.59)


async def test_what_was_found_is_remembered_and_asked_anew() -> None:
    card, shared = Card(APC), looks(timeout=0.4)
    now = [5000.0]
    shared.client(UpsMibCache, lambda: UpsMibCache(lambda: now[0]))
    async with served(card) as port:
        probe = Ups(host="127.0.0.1", port=port, way="snmp", credential="ups")

        async def asked() -> int:
            card.asked.clear()
            assert (await probe.run(shared)).state == UP
            return len(card.asked)

        first = await asked()
        assert first > 2
        assert await asked() == 1
        now[0] += RELEARN + 1
        assert await asked() == first
        assert await asked() == 1
        card.drop(f"{APC_ROOT}.2.1.3.0")  # one object is gone
        assert await asked() == first + 1
        assert await asked() == 1
        card.silent = True
        outcome = await probe.run(shared)
        assert outcome.state == UNKNOWN
        assert "did not answer" in outcome.reason
        card.silent = False
        card.rows.clear()
        card.set(CYBERPOWER)  # another UPS in its place
        assert await asked() > 2
    await close(shared)


async def test_a_wrong_community_is_silence_and_does_not_leak(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shared = looks(timeout=0.3, community="wr0ng-canary")
    async with served(Card(APC)) as port:
        outcome = await Ups(host="127.0.0.1", port=port, way="snmp", credential="ups").run(shared)
        await close(shared)
    assert outcome.state == UNKNOWN
    assert "wrong community" in outcome.reason
    good = await seen(APC)
    assert "canary" not in f"{outcome} {good} {caplog.text}"


async def test_a_credential_without_a_community() -> None:
    shared = ProbeContext(1.0, Limits(), {}, known("phong-may", {"user": "u"}))
    outcome = await Ups(host="127.0.0.1", way="snmp", credential="phong-may").run(shared)
    await close(shared)
    assert outcome == Outcome(UNKNOWN, "the credential 'phong-may' has no community (community_file)")


async def test_nonsense_of_every_type_trips_nothing() -> None:
    for text in (
        "4|",
        "4|NULL",
        "4|N/A",
        "4x|ff00fe",
        "6|1.3.6.1",
        "64|10.0.0.1",
        "2|-2147483648",
        "66|4294967295",
    ):
        rows = "\n".join(f"{line.split('|')[0]}|{text}" for line in APC.splitlines())
        outcome = await seen(rows)
        assert outcome.state == UNKNOWN, text
        assert not outcome.measures, text


@pytest.mark.parametrize("mib", [STANDARD, *VENDORS], ids=lambda mib: mib.name)
def test_tables_say_only_what_the_model_knows(mib: Mib) -> None:
    known = {*FLAG_MEASURES, *FLAG_FAULTS, "testing", "ending", "discharging", "test_failed", "lost"}
    known |= {"utility_off", "inverter_off", "deep"}
    objects = [name for row in mib.rows for name in (*row.objects, *row.columns)]
    for row in mib.rows:
        if isinstance(row, (CodesRow, BitStringRow, NumberListRow, AlarmTableRow)):
            assert {word for words in row.words.values() for word in words.split()} <= known
    for marker in mib.markers:
        assert any(marker == name or marker.startswith(f"{name}.") for name in objects), marker


# ---- cards that do not behave ----


class Wire:
    """In the place of a card's transport: ``twist`` says what really goes out for an answer, and after how long."""

    def __init__(self, transport: Any, twist: Any) -> None:
        self._transport, self._twist = transport, twist

    def sendto(self, packet: bytes, addr: Any) -> None:
        for delay, sent in self._twist(packet):
            asyncio.get_running_loop().call_later(delay, self._send, sent, addr)

    def _send(self, packet: bytes, addr: Any) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(packet, addr)


def foreign(packet: bytes) -> bytes:
    """The same answer to a question that nobody asked."""
    (_, version), (_, community), (_, body) = unber(unber(packet)[0][1])
    (_, request_id), *rest = unber(body)
    other = int.from_bytes(request_id, "big") ^ 1
    content = ber_int(other) + b"".join(ber(tag, inner) for tag, inner in rest)
    return ber(0x30, ber(2, version) + ber(4, community) + ber(0xA2, content))


HONEST = "up"
TWISTS: dict[str, tuple[Any, str]] = {
    "twice": (lambda packet: [(0, packet), (0, packet), (0.01, packet)], HONEST),
    "late": (lambda packet: [(0.15, packet)], HONEST),
    "another's first": (lambda packet: [(0, foreign(packet)), (0, packet)], HONEST),
    "noise first": (lambda packet: [(0, b"\x30\x84\xff\xff\xff\xff" + b"\0" * 60_000)] * 20 + [(0.01, packet)], HONEST),
    "another's only": (lambda packet: [(0, foreign(packet))], "did not answer within"),
    "cut short": (lambda packet: [(0, packet[:-3])], "did not answer within"),
    "a question": (lambda packet: [(0, packet.replace(b"\xa2", b"\xa0", 1))], "did not answer within"),
    "too late": (lambda packet: [(1.5, packet)], "did not answer within"),
}


@pytest.mark.parametrize("how", TWISTS)
async def test_answers_that_are_none_are_told_from_those_that_are(how: str) -> None:
    twist, expected = TWISTS[how]
    card, shared = Card(APC), looks(timeout=1.0 if expected == HONEST else 0.4)
    async with served(card) as port:
        card.transport = Wire(card.transport, twist)
        outcome = await Ups(host="127.0.0.1", port=port, way="snmp", credential="ups").run(shared)
        await close(shared)
    if expected == HONEST:
        assert (outcome.state, outcome.measures["charge_ratio"], outcome.measures["on_mains"]) == (UP, 1, 1)
    else:
        assert outcome.state == UNKNOWN and expected in outcome.reason and not outcome.measures


async def test_an_answer_from_another_port_is_none() -> None:
    card, other, shared = Card(APC), Card(APC), looks(timeout=0.4)
    async with served(card) as port, served(other):
        card.transport = other.transport
        outcome = await Ups(host="127.0.0.1", port=port, way="snmp", credential="ups").run(shared)
        await close(shared)
    assert outcome.state == UNKNOWN
    assert "from another address or port" in outcome.reason


async def test_a_table_of_alarms_of_ten_megabytes() -> None:
    """A card that has more alarms than anybody could read: the first of them count, and nobody waits for the rest."""
    card, shared = Card(STANDARD_CARD), looks()
    card.set(under(RFC1628, "6.1.0|66|100000", f"6.2.1.2.1|6|{RFC1628}.6.3.8"))
    words = cell("6", f"{RFC1628}.6.3.24." + ".".join(["4294967295"] * 15))
    table = {oid(f"{RFC1628}.6.2.1.2.{row}"): words for row in range(2, 100_002)}
    assert sum(len(word) for word in table.values()) + 20 * len(table) > 10_000_000
    card.rows |= table
    card._order = sorted(card.rows)
    async with served(card) as port:
        outcome = await Ups(host="127.0.0.1", port=port, way="snmp", credential="ups").run(shared)
        await close(shared)
    assert (outcome.state, outcome.reason) == (DEGRADED, "overloaded")
