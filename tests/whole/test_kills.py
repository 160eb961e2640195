"""Two hundred kills of real processes: nothing that was acknowledged is lost, nothing is counted twice.

A collector and an agent with twenty checks a second, over mutual TLS. One of the two, drawn at random, is killed with
SIGKILL at a random moment, often before it is ready, and started again. At the end the agent's own spool (which keeps
what was acknowledged) is held against the collector's batches and ledger.
"""

import asyncio
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from agent.spool import Spool
from collector.ingest.states.state import decode_state
from deploy.programs import ProgramFailed
from inventory.protocol.wire import Batch, Position, decode_push

ROUNDS = 200
CHECKS = 20
Look = tuple[int, int, int, int]  # epoch, place in the plan, boot ms, state


@pytest.mark.timeout(600)
async def test_no_kill_loses_or_doubles_what_was_acknowledged(lab: Any, tmp_path: Path) -> None:
    dice = random.Random(20101102)
    watched = await asyncio.start_server(lambda reader, writer: writer.close(), "0.0.0.0", 0)
    collector, agent = lab.collector, lab.agent
    port = watched.sockets[0].getsockname()[1]
    lab.watch(
        {f"tcp-{n}": {"kind": "tcp", "params": {"host": f"127.0.0.{n + 1}", "port": port}} for n in range(CHECKS)}
    )
    try:
        began = time.monotonic()
        await lab.start()
        await answering(lab)
        ready = time.monotonic() - began  # both starts and an enrolment: kills fall before and after a start
        for _ in range(ROUNDS):
            program = dice.choice((collector.program, agent.program))
            await asyncio.sleep(dice.uniform(0.0, max(0.7, ready / 4)))
            await program.kill()
            await program.start()
        await answering(lab)
        await asyncio.sleep(1.5)
        await agent.program.stop()
        assert (await collector.ask("/api/v1/agents"))[0]["backlog"] == 0
    finally:
        await agent.program.kill()
        await collector.stop()
        watched.close()

    taken = list(batches_of(lab.database))
    assert_one_chain(taken)
    kept = list(kept_by(agent.state / "spool", tmp_path / "copy"))
    looks = Counter(look for batch in taken for look in looks_of(batch))
    assert max(looks.values()) == 1, "a result was taken twice"
    ours = Counter(look for batch in kept for look in looks_of(batch))
    assert looks == ours, "the collector has other results than the agent kept"
    assert len(looks) > ROUNDS
    assert ledger_looks(lab.database) == len(looks)


async def answering(lab: Any) -> None:
    """Wait until the collector answers and the agent has no backlog."""
    async with asyncio.timeout(60):
        while True:
            try:
                if any(agent["backlog"] == 0 for agent in await lab.collector.ask("/api/v1/agents")):
                    return
            except ProgramFailed:
                pass  # it is starting
            await asyncio.sleep(0.02)


def batches_of(database: Path) -> Iterator[Batch]:
    with apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY) as db:
        for (body,) in db.execute("SELECT body FROM batches ORDER BY id"):
            batch = decode_push(body).batch
            assert batch is not None
            yield batch


def assert_one_chain(batches: list[Batch]) -> None:
    """Each batch continues the one before; nothing is declared missing, for nothing synced was lost."""
    end: Position | None = None
    for batch in batches:
        assert batch.previous == end
        assert batch.breach == ""
        assert batch.missing == []
        assert batch.start == (end.seq + 1 if end and end.epoch == batch.epoch else 1)
        end = Position(batch.epoch, batch.last)


def kept_by(spool: Path, copy: Path) -> Iterator[Batch]:
    """Everything the agent's disk still holds, read as if for a collector that has nothing."""
    shutil.copytree(spool, copy)
    reader = Spool.open(copy, boot=b"auditing", boot_ms=1, plan=b"nothing!", start={}, collectors=["audit"])
    own = reader.epoch
    while (batch := reader.next_batch("audit")) is not None and batch.epoch != own:
        yield batch
        reader.acknowledged("audit", Position(batch.epoch, batch.last))
    reader.close()


def looks_of(batch: Batch) -> Iterator[Look]:
    at = 0
    for place, count in zip(batch.places(), batch.counts, strict=True):
        when = batch.base
        for i in range(at, at + count):
            when += batch.at[i]
            yield batch.epoch, place, when, batch.states[i]
        at += count


def ledger_looks(database: Path) -> int:
    """How many looks the ledger speaks of: in closed spans, and in what is open. The clean stop is one a check."""
    with apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY) as db:
        closed = db.execute("SELECT coalesce(sum(looks), 0) FROM spans WHERE reason != 'agent stopped'").get
        (stream, batch, body), *others = db.execute("SELECT id, batch, body FROM streams").fetchall()
    assert not others
    tails = decode_state("site", stream, batch, body).tails.values()
    assert isinstance(closed, int)
    return closed + sum(tail.looks for tail in tails if tail.reason != "agent stopped")
