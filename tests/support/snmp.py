"""SNMP devices: Debian's snmpd as a process, and one of our own that can be made to misbehave."""

import asyncio
import bisect
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent.clients.snmp import ber

Cell = tuple[int, bytes]  # a value's tag and content
TimedReplies = list[tuple[float, bytes]]  # (delay in seconds, datagram)


def integer(value: int) -> Cell:
    return 0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def unsigned(value: int, tag: int = 0x42) -> Cell:
    return tag, value.to_bytes(value.bit_length() // 8 + 1, "big")


def counter(value: int) -> Cell:
    return unsigned(value, 0x41)


def ticks(value: int) -> Cell:
    return unsigned(value, 0x43)


def counter64(value: int) -> Cell:
    return unsigned(value, 0x46)


def octets(value: str | bytes) -> Cell:
    return 0x04, value.encode() if isinstance(value, str) else value


def object_id(value: str) -> Cell:
    return 0x06, ber.encode_oid(value)


def opaque_float(value: float) -> Cell:
    return 0x44, b"\x9f\x78\x04" + struct.pack(">f", value)


class SnmpRequest:
    """A request as it came."""

    def __init__(self, packet: bytes) -> None:
        at, end = ber.expect_element(packet, 0, 0x30, len(packet))
        self.version, at = ber.read_integer(packet, at, end)
        start, at = ber.expect_element(packet, at, 0x04, end)
        self.community = packet[start:at]
        self.pdu, at, end = ber.read_element(packet, at, end)
        self.request_id, at = ber.read_integer(packet, at, end)
        self.nonrepeaters, at = ber.read_integer(packet, at, end)
        self.repetitions, at = ber.read_integer(packet, at, end)
        self.oids = [ber.oid_text(oid) for oid, _ in ber.read_varbinds(packet, at, end)]


def reply(
    request: SnmpRequest, cells: list[tuple[str, Cell]], status: int = 0, index: int = 0, *, pdu: int = ber.RESPONSE,
    request_id: int | None = None,
) -> bytes:  # fmt: skip
    """An answer with these varbinds."""
    binds = b"".join(
        ber.encode_element(0x30, ber.encode_element(0x06, ber.encode_oid(oid)) + ber.encode_element(tag, content))
        for oid, (tag, content) in cells
    )
    identity = request.request_id if request_id is None else request_id
    fields = (
        ber.encode_integer(identity)
        + ber.encode_integer(status)
        + ber.encode_integer(index)
        + ber.encode_element(0x30, binds)
    )
    head = ber.encode_integer(request.version) + ber.encode_element(0x04, request.community)
    return ber.encode_element(0x30, head + ber.encode_element(pdu, fields))


class SnmpDevice(asyncio.DatagramProtocol):
    """Answers versions 1 and 2c from ``objects``. ``twist(asked, honest answer)`` says what really goes back."""

    def __init__(self, objects: Mapping[str, Cell], community: str = "public") -> None:
        self.objects = dict(objects)
        self.community = community.encode()
        self.rewrite: Callable[[SnmpRequest, bytes], TimedReplies] = lambda asked, honest: [(0, honest)]
        self.max_objects = 1_000  # objects in one answer; more is tooBig, or cut short for GETBULK
        self.requests: list[SnmpRequest] = []
        self.port = 0
        self._ordered = (0, -1)
        self._order: list[tuple[tuple[int, ...], str]] = []
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        request = SnmpRequest(data)
        if request.community != self.community:
            return
        self.requests.append(request)
        loop = asyncio.get_running_loop()
        for delay, packet in self.rewrite(request, self.honest_reply(request)):
            if delay:
                loop.call_later(delay, self.send, packet, addr)
            else:
                self.send(packet, addr)

    def send(self, packet: bytes, addr: tuple[Any, ...]) -> None:
        if not self._transport.is_closing():
            self._transport.sendto(packet, addr)

    def honest_reply(self, request: SnmpRequest) -> bytes:
        if request.pdu == ber.GET:
            return self._get(request)
        if self._ordered != (id(self.objects), len(self.objects)):
            self._ordered = id(self.objects), len(self.objects)
            self._order = sorted((ber.decode_oid(ber.encode_oid(oid)), oid) for oid in self.objects)
        rounds = request.repetitions if request.pdu == ber.GETBULK else 1
        cells: list[tuple[str, Cell]] = []
        at = list(request.oids)
        for _ in range(max(1, rounds)):
            for place, oid in enumerate(at):
                following = self._next_oid(oid)
                if following is None and request.version == 0:
                    return reply(request, [(each, (0x05, b"")) for each in request.oids], 2, place + 1)
                if len(cells) < self.max_objects:
                    cells.append((oid, (0x82, b"")) if following is None else (following, self.objects[following]))
                at[place] = following or oid
        return reply(request, cells)

    def _next_oid(self, oid: str) -> str | None:
        place = bisect.bisect_right(self._order, (ber.decode_oid(ber.encode_oid(oid)), "~"))
        return self._order[place][1] if place < len(self._order) else None

    def _get(self, request: SnmpRequest) -> bytes:
        nothing = [(oid, (0x05, b"")) for oid in request.oids]
        if len(request.oids) > self.max_objects:
            return reply(request, nothing, 1, 0)
        if request.version == 0:
            for place, oid in enumerate(request.oids):
                if oid not in self.objects:
                    return reply(request, nothing, 2, place + 1)
        return reply(request, [(oid, self.objects.get(oid, (0x81, b""))) for oid in request.oids])


@contextlib.asynccontextmanager
async def device(objects: Mapping[str, Cell], host: str = "127.0.0.1") -> AsyncIterator[SnmpDevice]:
    loop = asyncio.get_running_loop()
    transport, fake = await loop.create_datagram_endpoint(lambda: SnmpDevice(objects), local_addr=(host, 0))
    fake.port = transport.get_extra_info("sockname")[1]
    try:
        yield fake
    finally:
        transport.close()


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Snmpd:
    """Debian's snmpd on a loopback port of its own; ``engine`` is its identity in version 3."""

    def __init__(self, folder: Path, users: str = "", engine: str = "one") -> None:
        program = shutil.which("snmpd") or shutil.which("snmpd", path="/usr/sbin")
        if program is None:
            pytest.skip("needs snmpd (Debian package snmpd)")
        self._program = program
        self.folder = folder
        self.users = users
        self.engine = engine
        self.port = free_udp_port()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Snmpd":
        config = self.folder / "snmpd.conf"
        config.write_text(
            f"agentaddress udp:127.0.0.1:{self.port},udp6:[::1]:{self.port}\nrocommunity public\nrocommunity6 public\n"
            f"engineID {self.engine}\nsysName core-switch\nsysServices 72\n{self.users}"
        )
        state_dir = self.folder / self.engine
        state_dir.mkdir(exist_ok=True)
        command = [self._program, "-f", "-Ln", "-C", "-c", str(config), "-p", str(self.folder / "pid"), "-I", "-smux"]
        environment = {**os.environ, "SNMP_PERSISTENT_DIR": str(state_dir)}
        self._process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(0.05)
            probe.connect(("127.0.0.1", self.port))
            question = ber.encode_request(1, b"public", ber.GET, 1, [ber.encode_oid("1.3.6.1.2.1.1.3.0")])
            for _ in range(200):
                try:
                    probe.send(question)
                    probe.recv(2_000)
                    return self
                except TimeoutError:
                    continue
                except ConnectionRefusedError:
                    time.sleep(0.02)
        raise RuntimeError("snmpd did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)
            self._process = None


@contextlib.contextmanager
def snmpd(folder: Path, users: str = "") -> Iterator[Snmpd]:
    server = Snmpd(folder, users).start()
    try:
        yield server
    finally:
        server.stop()


IF, IFX = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1"


def switch(ports: int, *, wide: bool = True, up: Callable[[int], bool] = lambda port: True) -> dict[str, Cell]:
    """A switch with this many ports of 1 Gbit/s, ifIndex from 1; GigabitEthernet0/1 and so on."""
    cells: dict[str, Cell] = {
        "1.3.6.1.2.1.1.1.0": octets("a switch"),
        "1.3.6.1.2.1.1.3.0": ticks(8_640_000),
        "1.3.6.1.6.3.10.2.1.3.0": integer(86_400),
    }
    for port in range(1, ports + 1):
        row = {
            f"{IF}.1": integer(port), f"{IF}.2": octets(f"GigabitEthernet0/{port}"), f"{IF}.5": unsigned(10**9),
            f"{IF}.7": integer(1), f"{IF}.8": integer(1 if up(port) else 2), f"{IF}.10": counter(1000),
            f"{IF}.13": counter(0), f"{IF}.14": counter(0), f"{IF}.16": counter(2000), f"{IF}.19": counter(0),
            f"{IF}.20": counter(0),
        }  # fmt: skip
        if wide:
            row |= {
                f"{IFX}.1": octets(f"Gi0/{port}"), f"{IFX}.6": counter64(10**12), f"{IFX}.10": counter64(2 * 10**12),
                f"{IFX}.15": unsigned(1000), f"{IFX}.18": octets(f"office {port}"), f"{IFX}.19": ticks(0),
            }  # fmt: skip
        cells |= {f"{column}.{port}": cell for column, cell in row.items()}
    return cells
