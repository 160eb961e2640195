"""Disks that were put back or copied: a restored collector, an agent's disk rolled back, an agent cloned."""

import asyncio
import shutil
import socket
import threading
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest

from collector.store.sqlite import copies
from deploy.demo.estate import DemoService, greeting, now_ms
from deploy.programs import AgentProcess, command

WATCHED = "service"
Outside = Any  # the Lab of conftest.py


@pytest.fixture
async def service() -> AsyncIterator[DemoService]:
    made = DemoService("the service is dead", greeting("ready"))
    await made.start()
    yield made
    made.stop()


def watching(service: DemoService) -> dict[str, Any]:
    return {WATCHED: {"kind": "tcp", "params": {"host": "127.0.0.1", "port": service.port, "expect": "ready"}}}


async def fresh(lab: Outside) -> int:
    """Wait for a look made after now; its time."""
    now = now_ms()
    found = await lab.until(WATCHED, lambda check: (check["last_result"] or 0) > now)
    return int(found["last_result"])


def findings(lab: Outside) -> list[tuple[str, str]]:
    with apsw.Connection(str(lab.database), flags=apsw.SQLITE_OPEN_READONLY) as db:
        return [(str(kind), str(data)) for kind, data in db.execute("SELECT kind, data FROM events WHERE finding = 1")]


async def test_a_restored_collector_gets_everything_again_and_counts_nothing_twice(
    lab: Outside, service: DemoService, tmp_path: Path
) -> None:
    lab.watch(watching(service))
    await lab.start()
    began = await fresh(lab)
    await command("collector", "backup", str(tmp_path / "copy.db"), "--config", str(lab.collector.config))
    service.die()
    await lab.until(WATCHED, lambda check: check["state"] == "down")
    await service.start()
    await lab.until(WATCHED, lambda check: check["state"] == "up")
    await fresh(lab)
    ended = now_ms()
    before = await lab.spans(WATCHED, began, ended)
    assert [span["state"] for span in before] == ["up", "down", "up"]

    await lab.collector.stop()
    await command("collector", "restore", str(tmp_path / "copy.db"), "--config", str(lab.collector.config))
    restored = now_ms()
    await lab.collector.start()
    await fresh(lab)
    again = await lab.spans(WATCHED, began, ended)
    # the agent kept what had been acknowledged, so the outage that the copy did not know is back, to the millisecond
    # up to the error that is stated; the open span's looks have gone on
    assert [span["state"] for span in again] == ["up", "down", "up"]
    for old, new in zip(before, again, strict=True):
        slack = old["error_to"] + new["error_to"] + old["error_from"] + new["error_from"] + 4
        assert abs(old["start"] - new["start"]) <= slack
    assert before[1]["looks"] == again[1]["looks"]

    async with lab.collector.session.get(f"{lab.collector.page}/metrics") as answer:
        metrics = (await answer.text()).splitlines()
    counted = sum(float(line.rsplit(" ", 1)[1]) for line in metrics if line.startswith("haidang_check_seconds_total{"))
    assert counted <= (now_ms() - restored) / 1000 + 0.1, "time before the restore is counted again"


def test_a_copy_comes_to_an_end_under_steady_writing(tmp_path: Path) -> None:
    source = tmp_path / "store.db"
    writer = apsw.Connection(str(source))
    writer.set_busy_timeout(10_000)
    writer.execute("PRAGMA page_size = 512")
    writer.execute("PRAGMA journal_mode = WAL").fetchall()
    writer.execute("CREATE TABLE incarnations (x)")
    writer.execute("INSERT INTO incarnations VALUES (zeroblob(16000000))")  # a dozen steps of copies.PAGES
    done = threading.Event()
    copying = threading.Thread(target=lambda: (copies.copy_store(source, tmp_path / "copy.db", {}), done.set()))
    copying.start()
    deadline = time.monotonic() + 20
    while not done.is_set() and time.monotonic() < deadline:
        writer.execute("INSERT INTO incarnations VALUES (1)")
    finished = done.is_set()
    copying.join()
    writer.close()
    assert finished, "each commit made the copy begin again"


async def test_an_agents_disk_put_back_is_noticed_and_its_results_go_on(
    lab: Outside, service: DemoService, tmp_path: Path
) -> None:
    lab.watch(watching(service))
    await lab.start()
    await fresh(lab)
    await lab.agent.program.kill()
    shutil.copytree(lab.agent.state, tmp_path / "older")
    await lab.agent.start()
    await fresh(lab)  # may be the present state alone, told before the backlog
    newest = await fresh(lab)
    await lab.agent.program.kill()
    shutil.rmtree(lab.agent.state)
    shutil.copytree(tmp_path / "older", lab.agent.state)
    await lab.agent.start()
    assert await fresh(lab) > newest
    until = time.monotonic() + 20  # the present state comes before what tells of the chain
    while not any(kind == "chain broken" and "rolled back" in data for kind, data in findings(lab)):
        assert time.monotonic() < until, findings(lab)
        await asyncio.sleep(0.05)
    assert (await lab.check(WATCHED))["state"] == "up"


async def test_an_agent_cloned_to_a_second_machine_is_noticed_and_blocks_nothing(
    lab: Outside, service: DemoService, tmp_path: Path
) -> None:
    lab.watch(watching(service))
    await lab.start()
    began = await fresh(lab)
    await lab.agent.program.stop()
    clone = AgentProcess("site", tmp_path / "clone")
    shutil.copytree(lab.agent.state, clone.state)
    await lab.agent.start()
    await fresh(lab)
    await clone.start()
    try:
        for _ in range(3):
            await fresh(lab)
        await asyncio.sleep(3)
        await fresh(lab)
    finally:
        await clone.program.kill()
    assert sum(kind == "chain broken" for kind, _ in findings(lab)) >= 2, "two machines under one name go unnoticed"
    assert (await lab.check(WATCHED))["state"] == "up"
    spans = await lab.spans(WATCHED, began, now_ms())
    assert all(earlier["end"] <= later["start"] for earlier, later in pairwise(spans))
    assert not [span for span in spans if span["state"] == "down"]


async def test_of_two_machines_with_one_disk_a_person_keeps_one_without_going_there(
    lab: Outside, service: DemoService, tmp_path: Path
) -> None:
    lab.watch(watching(service))
    await lab.start()
    await fresh(lab)
    await lab.agent.program.stop()
    clone = AgentProcess("site", tmp_path / "clone")
    shutil.copytree(lab.agent.state, clone.state)
    await lab.agent.start()
    await clone.start()
    config = ("--config", str(lab.collector.config))
    try:
        until = time.monotonic() + 40
        while not any(kind == "two machines" for kind, _ in findings(lab)):
            assert time.monotonic() < until, findings(lab)
            await asyncio.sleep(0.1)
        listed = (await command("collector", "keep", "site", *config)).splitlines()
        assert len(listed) == 2, listed
        names = [line.partition(":")[0] for line in listed]
        assert all("127.0.0.1" in line and socket.gethostname() in line for line in listed)
        old = {state: (state / "identity.pem").read_bytes() for state in (lab.agent.state, clone.state)}
        assert old[lab.agent.state] == old[clone.state]
        said = await command("collector", "keep", "site", names[0], *config)
        assert names[0] in said
        while not [one for one in old if (one / "identity.pem").read_bytes() != old[one]]:
            assert time.monotonic() < until + 40, lab.agent.program.last_words() + clone.program.last_words()
            await asyncio.sleep(0.1)
        renewed = next(one for one in old if (one / "identity.pem").read_bytes() != old[one])
        stays, goes = (lab.agent, clone) if renewed == lab.agent.state else (clone, lab.agent)
        while "another machine has taken its place" not in goes.program.log.read_text():
            assert time.monotonic() < until + 80, goes.program.log.read_text()
            await asyncio.sleep(0.1)
        await fresh(lab)
        assert "another machine" not in stays.program.log.read_text()
        assert (goes.state / "identity.pem").read_bytes() == old[goes.state], "the other one gets nothing"
    finally:
        await clone.program.kill()
