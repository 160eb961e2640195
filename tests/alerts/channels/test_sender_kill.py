"""A real sender process is killed at every stage and at random, against a relay that counts: no letter is lost, and a
kill lets at most the one letter under way go out twice."""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.outboxes import FileOutbox, outgoing_mail
from tests.support.paths import ROOT
from tests.support.sender_process import POINTS
from tests.support.smtp_relay import FakeRelay, relays_running

LETTERS = 4
BEFORE_THE_TEXT = ("connect", "EHLO", "MAIL", "RCPT")


@pytest.fixture
async def relay() -> AsyncIterator[FakeRelay]:
    server = FakeRelay()
    async with relays_running(server):
        yield server


async def begin(directory: Path, relay: FakeRelay, *fuse: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.sender_process", str(directory), str(relay.port), *fuse, cwd=ROOT
    )


async def put(directory: Path, count: int) -> list[str]:
    box = FileOutbox(directory / "outbox")
    made = time.time_ns() // 1_000_000 - count
    idents = [f"hd-{n}" for n in range(count)]
    await box.add(*(outgoing_mail(ident, made=made + n) for n, ident in enumerate(idents)))
    return idents


async def until_sent(directory: Path) -> None:
    deadline = time.monotonic() + 30
    while set(FileOutbox(directory / "outbox").states().values()) != {"sent"}:
        assert time.monotonic() < deadline, FileOutbox(directory / "outbox").states()
        await asyncio.sleep(0.02)


async def finish(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


@pytest.mark.parametrize("stage", [*BEFORE_THE_TEXT, "DATA", "after"])
async def test_killed_while_it_talks(relay: FakeRelay, tmp_path: Path, stage: str) -> None:
    idents = await put(tmp_path, LETTERS)
    doomed = await begin(tmp_path, relay)
    wanted = 1 if stage in ("connect", "EHLO") else 2

    def seen(met: str) -> None:
        if met == stage and relay.stages.count(stage) == wanted:
            doomed.kill()

    relay.on_stage = seen
    await doomed.wait()
    second = await begin(tmp_path, relay)
    try:
        await until_sent(tmp_path)
    finally:
        await finish(second)
    taken = Counter(relay.idents)
    assert set(taken) == set(idents)
    assert sum(taken.values()) - LETTERS == (0 if stage in BEFORE_THE_TEXT else 1)


@pytest.mark.parametrize("point", POINTS)
async def test_killed_between_the_relays_yes_and_the_outbox(relay: FakeRelay, tmp_path: Path, point: str) -> None:
    idents = await put(tmp_path, LETTERS)
    doomed = await begin(tmp_path, relay, point, "2")
    assert await doomed.wait() == -9
    second = await begin(tmp_path, relay)
    try:
        await until_sent(tmp_path)
    finally:
        await finish(second)
    taken = Counter(relay.idents)
    assert set(taken) == set(idents)
    # once the line is in the file, even a kill before its sync repeats nothing: only a power cut could
    assert sum(taken.values()) - LETTERS == (1 if point in ("journal-before", "journal-torn") else 0)


async def test_killed_again_and_again(relay: FakeRelay, tmp_path: Path) -> None:
    dice = random.Random(21)
    idents = await put(tmp_path, 60)
    kills = 0
    while FileOutbox(tmp_path / "outbox").states() != dict.fromkeys(idents, "sent"):
        enough, wanted = asyncio.Event(), len(relay.accepted) + dice.randint(1, 15)

        def seen(stage: str, enough: asyncio.Event = enough, wanted: int = wanted) -> None:
            if len(relay.accepted) >= wanted:
                enough.set()

        relay.on_stage = seen
        doomed = await begin(tmp_path, relay)
        # the last one may have had nothing left to send but what it did not get to say
        watch = [asyncio.create_task(enough.wait()), asyncio.create_task(until_sent(tmp_path))]
        await asyncio.wait(watch, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(dice.uniform(0, 0.02))
        await finish(doomed)
        for task in watch:
            task.cancel()
        await asyncio.gather(*watch, return_exceptions=True)
        kills += 1
    taken = Counter(relay.idents)
    assert set(taken) == set(idents)
    assert sum(taken.values()) - len(idents) <= kills
    assert kills >= 4
