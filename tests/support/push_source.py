"""Agents with their chains, whose pushes are made before the clock is started: for benchmarks and the crash tests.

Their machines have been up for 60 days and tell of the past, second after second, as a province does; 1 result in a
hundred is a change of state. Four samples a result: state, latency and two measures.
"""

import hashlib
import random
import struct
import time
from collections.abc import Iterator
from itertools import pairwise

from inventory.protocol.plan import Column, Plan, PlannedCheck
from inventory.protocol.wire import Batch, Echo, Position, Push, Reading, encode_push

CHECKS = 20
INTERVAL = 30_000  # ms
UPTIME = 60 * 86_400_000
CHANGES = 0.01  # of the results


def plan_of(agent: str) -> Plan:
    checks = tuple(
        PlannedCheck(
            uid=hashlib.sha256(f"{agent} {i}".encode()).hexdigest()[:16],
            name=f"{agent}/check-{i}",
            kind="icmp",
            interval=INTERVAL,
            timeout=5_000,
            hold=65_000,
            recheck=5_000,
            params={"host": f"192.0.2.{i}"},
        )
        for i in range(CHECKS)
    )
    columns = {"icmp": (Column("loss", 10_000), Column("jitter", 1_000_000))}
    return Plan(agent=agent, agency="so", site="so", checks=checks, columns=columns)


class PushSource:
    """One agent. ``look`` counts the looks told so far; all of its times are boot-time ms."""

    def __init__(self, number: int, seed: int = 1) -> None:
        self.agent = f"agent-{number:03d}"
        self.plan = plan_of(self.agent)
        self.boot = struct.pack(">Q", 1_000 + number)
        self.epoch = 1_000_003 * (number + 1)
        self.seq = 0
        self._random = random.Random(seed * 1_000 + number)
        self._zero = time.monotonic_ns() // 1_000_000 - UPTIME
        self._spread = [self._random.randrange(INTERVAL) for _ in range(CHECKS)]
        self._began = 0
        self._look = 0
        self._state = [0] * CHECKS
        self._latency = [self._random.randrange(300, 20_000) for _ in range(CHECKS)]

    def now(self) -> int:
        return time.monotonic_ns() // 1_000_000 - self._zero

    def hello(self) -> bytes:
        return encode_push(Push(version=1, sent=Reading(self.boot, self.now(), 0)))

    def begin(self, looks: int) -> None:
        """The story starts so long ago that ``looks`` looks of every check are over by now."""
        self._began = self.now() - (looks + 2) * INTERVAL

    def results(self, looks: int) -> Iterator[tuple[int, list[int], bytes, list[int], list[int]]]:
        """By check: (place, times, states, latencies, values) of the next looks."""
        rnd = self._random
        for place in range(CHECKS):
            start = self._began + self._look * INTERVAL + self._spread[place]
            times = [start + i * INTERVAL + rnd.randrange(4) for i in range(looks)]
            codes = bytearray()
            for _ in range(looks):
                if rnd.random() < CHANGES:
                    self._state[place] = 2 - self._state[place]
                codes.append(self._state[place])
            about = self._latency[place]
            latency = [int(rnd.gauss(about, about / 20)) for _ in range(looks)]
            values = [v for each in latency for v in (0, abs(each - about))]
            yield place, times, bytes(codes), latency, values
        self._look += looks

    def push(
        self, looks: int, echo: Echo | None, columns: list[tuple[int, list[int], bytes, list[int], list[int]]]
    ) -> Push:
        """The next batch: ``looks`` looks of every check."""
        base = min(times[0] for _, times, *_ in columns)
        at, states, latency, values = [], bytearray(), [], []
        for _, times, codes, delays, numbers in columns:
            at.append(times[0] - base)
            at += [b - a for a, b in pairwise(times)]
            states += codes
            latency += delays
            values += numbers
        previous = Position(self.epoch, self.seq) if self.seq else None
        self.seq += looks * CHECKS
        batch = Batch(
            epoch=self.epoch,
            previous=previous,
            last=self.seq,
            plan=self.plan.digest,
            boot=self.boot,
            base=base,
            checks=[0] + [1] * (CHECKS - 1),
            counts=[looks] * CHECKS,
            at=at,
            states=bytes(states),
            latency=latency,
            values=values,
        )
        return Push(version=1, sent=Reading(self.boot, self.now(), 0), echo=echo, batch=batch)
