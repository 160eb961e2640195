"""Enrolled agents that do harm, for the benchmark: all that they send is made before they begin.

    python -m tests.bench.hostile_agents DIRECTORY PORT FIRST COUNT ATTACK CORE

Agents number FIRST and on. Says "there" when it is ready, begins with the next line of its standard input, goes on
until that ends, and says by status how many answers it had, as a line of JSON.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from inventory.protocol.wire import (
    MAX_BODY,
    PUSH_TYPE,
    Batch,
    Echo,
    Position,
    Push,
    Reading,
    Record,
    Run,
    decode_ack,
    encode_push,
)
from tests.bench.bench_ingest import Wire, connect, request_for
from tests.support.hostile_pushes import Sender, bombs
from tests.support.push_source import PushSource

LARGEST = (16 << 20) - 4_000  # bytes to which a body inflates: what any could before there were budgets
JUST_WITHIN = (640 << 10) - 4_000  # and what one may now
PUSHES = 40  # made for each agent; then it begins again with the first, which is a repeat
HEADERS = f"Content-Type: {PUSH_TYPE}\r\n"


def sender(source: PushSource) -> Sender:
    return Sender(source.boot, source.now(), source.epoch, source.plan.digest)


def of_size(size: int, only: str = "") -> Callable[[PushSource, Echo], Sequence[bytes]]:
    """Each agent all kinds of bodies, in an order of its own."""

    bodies: list[bytes] = []

    def made(source: PushSource, echo: Echo) -> Sequence[bytes]:
        if not bodies:  # whoever sends them, they are not taken
            bodies.extend(body for name, body in bombs(sender(source), size) if only in ("", name))
        return random.Random(source.agent).sample(bodies, len(bodies))

    return made


def chained(make: Callable[[PushSource, int], dict[str, object]]) -> Callable[[PushSource, Echo], Sequence[bytes]]:
    """Batches that are taken: as many rows as may be, each of which costs the most."""

    def made(source: PushSource, echo: Echo) -> Sequence[bytes]:
        bodies, last, previous = [], 0, None
        for number in range(PUSHES):
            columns = make(source, number)
            last += 4_000
            batch = Batch(
                epoch=source.epoch, previous=previous, last=last, plan=source.plan.digest, boot=source.boot,
                base=source.now() - 40 * 86_400_000 + number * 10_000_000, **columns,  # type: ignore[arg-type]
            )  # fmt: skip
            push = Push(version=1, sent=Reading(source.boot, source.now(), 0), echo=echo, batch=batch)
            bodies.append(encode_push(push))
            previous = Position(source.epoch, last)
        return bodies

    return made


def results(source: PushSource, number: int) -> dict[str, object]:
    count = 2_500
    return {
        "checks": [0], "counts": [count], "at": [0, *[1_000] * (count - 1)], "states": b"\0\2" * (count // 2),
        "latency": [5] * count, "values": [1, 2] * count,
        "reasons": [(place, f"reason {source.agent} {number} {place}") for place in range(count)],
    }  # fmt: skip


def runs(source: PushSource, number: int) -> dict[str, object]:
    base = source.now() - 40 * 86_400_000 + number * 10_000_000
    made = [Run(0, 2 * (n % 2), base + n * 5_000, base + n * 5_000 + 4_000, 5, f"{number} {n}") for n in range(1_500)]
    return {"runs": made}


def records(source: PushSource, number: int) -> dict[str, object]:
    base = source.now() - 40 * 86_400_000 + number * 10_000_000
    return {
        "records": [Record(base + n, "clock", {"wall_ms": n, "step_ms": n, "why": "x" * 200}) for n in range(1_500)]
    }


def noise(source: PushSource, echo: Echo) -> Sequence[bytes]:
    return [random.Random(source.agent).randbytes(MAX_BODY - 10)]


ATTACKS: dict[str, Callable[[PushSource, Echo], Sequence[bytes]]] = {
    "inflate to 16 MiB": of_size(LARGEST),
    "inflate to what may be": of_size(JUST_WITHIN),
    "nested reasons": of_size(JUST_WITHIN, "phrases"),
    "results with reasons": chained(results),
    "folded runs": chained(runs),
    "records": chained(records),
    "1 MiB of noise": noise,
}


async def main(directory: Path, port: int, numbers: range, attack: str) -> None:
    sources = [PushSource(number) for number in numbers]
    wires = await connect(directory, port, sources)
    bodies = []
    for source, wire in zip(sources, wires, strict=True):
        status, answer = await wire.ask(request_for(source.hello(), "/v1/push", HEADERS))
        assert status == 200, answer
        made = ATTACKS[attack](source, Echo(decode_ack(answer).sent_ms, source.now()))
        bodies.append([request_for(body, "/v1/push", HEADERS) for body in made])
    loop, end, statuses = asyncio.get_running_loop(), asyncio.Event(), Counter[int]()
    print("there", flush=True)
    await loop.run_in_executor(None, sys.stdin.readline)

    async def attacking(number: int) -> None:
        source, wire, turn = sources[number], wires[number], 0
        while not end.is_set():
            try:
                status, _ = await wire.ask(bodies[number][turn % len(bodies[number])])
            except (ConnectionError, AssertionError):
                statuses[0] += 1
                with contextlib.suppress(OSError):
                    (wire,) = await connect(directory, port, [source])
                await asyncio.sleep(0.01)
                continue
            statuses[status] += 1
            turn += 1

    tasks = [asyncio.create_task(attacking(number)) for number in range(len(sources))]
    await loop.run_in_executor(None, sys.stdin.read)
    end.set()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(statuses), flush=True)
    for wire in wires:
        if isinstance(wire, Wire) and wire.transport is not None:
            wire.transport.abort()


if __name__ == "__main__":
    os.sched_setaffinity(0, {int(sys.argv[6])})
    first, count = int(sys.argv[3]), int(sys.argv[4])
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), range(first, first + count), sys.argv[5]))
