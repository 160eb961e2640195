"""Prometheus remote write by hand: the protobuf of a WriteRequest, in snappy's block format as literals only.

Samples of the same results that the agents push: four a result (up, latency, two measures).
"""

import struct
import time

from tests.support.push_source import PushSource

HEADERS = (
    "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\nX-Prometheus-Remote-Write-Version: 0.1.0\r\n"
)
NAMES = ("haidang_check_up", "haidang_check_latency_seconds", "haidang_icmp_loss_ratio", "haidang_icmp_jitter_seconds")


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, data: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def labels(name: str, agent: str, check: str) -> bytes:
    pairs = {"__name__": name, "agency": "so", "agent": agent, "check": check, "kind": "icmp", "site": "so"}
    return b"".join(field(1, field(1, key.encode()) + field(2, value.encode())) for key, value in pairs.items())


def sample(value: float, at_ms: int) -> bytes:
    return field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(at_ms))


def snappy(data: bytes) -> bytes:
    """Literals of at most 64 KiB each: valid, and no work to undo."""
    out = bytearray(varint(len(data)))
    for begin in range(0, len(data), 65536):
        piece = data[begin : begin + 65536]
        out += b"\xf4" + struct.pack("<H", len(piece) - 1) + piece
    return bytes(out)


class Writer:
    """Turns one agent's results into write requests."""

    def __init__(self, source: PushSource) -> None:
        self._source = source
        checks = source.plan.checks
        self._labels = [[labels(name, source.agent, check.name) for name in NAMES] for check in checks]
        self._offset = 0

    def request(self, looks: int) -> bytes:
        """The next ``looks`` looks of every check."""
        offset = int(time.time() * 1000) - self._source.now()
        series = []
        for place, times, states, latency, values in self._source.results(looks):
            columns = (
                [float(code != 2) for code in states],
                [each / 1e6 for each in latency],
                [each / 1e4 for each in values[::2]],
                [each / 1e6 for each in values[1::2]],
            )
            for head, column in zip(self._labels[place], columns, strict=True):
                samples = b"".join(sample(v, at + offset) for v, at in zip(column, times, strict=True))
                series.append(field(1, head + samples))
        return snappy(b"".join(series))
