"""The doors of the listeners against crowds: real connections on loopback, real processes with few descriptors."""

import asyncio
import contextlib
import logging
import resource
import subprocess
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from collector.web.admission import Door, DoorLimits, address_key, agents_limits, operators_limits
from tests.collector.commands.test_collector_cli import Place
from tests.collector.web.test_agents_listener import Collector, Machine, named, push, raw
from tests.support.paths import ROOT

CROWD = """
import socket, sys, time
port, count, source, pace = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
open_ones = []
def enter():
    one = socket.socket()
    one.bind((source, 0))
    one.settimeout(1)
    try:
        one.connect(("127.0.0.1", port))
        if len(open_ones) % 2:
            one.send(b"\\x16\\x03\\x01\\x02")  # the beginning of a handshake
        one.setblocking(False)
    except OSError:
        one.close()
        return
    open_ones.append(one)
print("there", flush=True)
while True:
    for one in list(open_ones):
        try:
            if one.recv(100) == b"":
                raise ConnectionError
        except BlockingIOError:
            pass
        except OSError:
            one.close()
            open_ones.remove(one)
    for _ in range(min(pace, count - len(open_ones))):
        enter()
    time.sleep(0.01)
"""


@contextlib.contextmanager
def crowd(port: int, count: int, source: str = "127.0.0.1", pace: int = 100) -> Iterator[None]:
    """A process with so many connections, which says nothing and opens anew what is closed, ``pace`` of
    them every 10 ms at most."""
    arguments = [str(port), str(count), source, str(pace)]
    process = subprocess.Popen([sys.executable, "-c", CROWD, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"there\n"
        yield
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def eventually(true: "object", seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # type: ignore[operator]  # noqa: ASYNC110  # another process's doing
            await asyncio.sleep(0.02)


@pytest.fixture
async def collector(tmp_path: Path) -> AsyncIterator[Collector]:
    limits = DoorLimits(total=80, strangers=24, per_address=8, per_agent=4)
    async with Collector(tmp_path, limits=limits) as running:
        yield running


async def test_a_crowd_of_strangers_moves_neither_agents_nor_each_other(
    collector: Collector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    machine = Machine(tmp_path)
    port, door = collector.listener.port, collector.listener.door
    async with collector.session(machine, collector.certificate(machine)) as session:
        assert (await push(session))[0] == 200
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.3", 0))
        with crowd(port, 300, "127.0.0.2"):
            await eventually(lambda: door.put_out["address"] > 500)
            for _ in range(20):
                assert (await push(session))[0] == 200
                assert door.strangers <= 8 + 1
                await asyncio.sleep(0.01)
            # who comes from elsewhere gets in, and sits undisturbed for as long as a stranger may
            assert not reader.at_eof()
            other = Machine(tmp_path, "other")
            async with collector.session(other, collector.certificate(other)) as second:
                assert (await push(second))[0] == 200
            assert collector.listener.connections <= 80
        assert collector.listener.door.put_out["agent"] == 0
        writer.close()
        assert (await push(session))[0] == 200

    def told() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.name == "collector.web.admission"]

    await eventually(told)
    assert len(told()) < 20 and "of an address with too many" in told()[0]


async def test_who_shares_an_address_with_a_crowd_gets_in_with_fair_odds(tmp_path: Path) -> None:
    """Agencies behind one address are not locked out by one stolen machine among them: an agent tries every few
    seconds, and every few times it is in."""
    limits = DoorLimits(total=200, strangers=64, per_address=32, per_agent=4)
    async with Collector(tmp_path, limits=limits) as collector:
        machine = Machine(tmp_path)
        certificate = collector.certificate(machine)
        with crowd(collector.listener.port, 100, pace=3):
            await eventually(lambda: collector.listener.door.put_out["address"] > 50)
            for _ in range(60):
                async with collector.session(machine, certificate) as session:
                    with contextlib.suppress(aiohttp.ClientError):
                        if (await push(session))[0] == 200:
                            break
            else:
                pytest.fail("an agent did not get in")


async def test_crowds_from_many_addresses_are_bounded_together(collector: Collector, tmp_path: Path) -> None:
    port, door = collector.listener.port, collector.listener.door
    with contextlib.ExitStack() as crowds:
        for number in range(6):
            crowds.enter_context(crowd(port, 40, f"127.0.1.{number + 1}"))
        await eventually(lambda: door.put_out["strangers"] > 20)
        assert door.strangers <= 24 + 1
        machine = Machine(tmp_path)
        async with collector.session(machine, collector.certificate(machine)) as session:
            for _ in range(60):
                with contextlib.suppress(aiohttp.ClientError):
                    if (await push(session))[0] == 200:
                        break
            else:
                pytest.fail("an agent did not get in")


async def test_an_agent_with_too_many_connections_loses_its_own_oldest(collector: Collector, tmp_path: Path) -> None:
    machine, other = Machine(tmp_path), Machine(tmp_path, "other")
    certificate = collector.certificate(machine)
    collector.plans["so-tc"] = ("00", b"{}")
    async with collector.session(other, collector.certificate(other, "so-tc")) as session:
        assert (await push(session))[0] == 200
        mine = [await raw(collector, machine, certificate) for _ in range(12)]
        for reader, _ in mine[:8]:
            assert await asyncio.wait_for(reader.read(), 5) == b""
        assert not any(reader.at_eof() for reader, _ in mine[8:])
        assert (await push(session))[0] == 200
        assert collector.listener.door.put_out == {"agent": 8}
        for _, writer in mine:
            writer.close()


async def test_a_revoked_agent_is_a_stranger(collector: Collector, tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    collector.revocations.inventory = {"so-ttt"}
    mine = [await raw(collector, machine, collector.certificate(machine)) for _ in range(3)]
    await eventually(lambda: collector.listener.door.strangers == 3)
    for _, writer in mine:
        writer.close()


async def test_too_many_bytes_of_one_agent_at_once_are_told_to_wait(tmp_path: Path) -> None:
    async with Collector(tmp_path, uploading=1_000_000) as collector:
        machine, other = Machine(tmp_path), Machine(tmp_path, "other")
        collector.plans["so-tc"] = ("00", b"{}")

        async def slowly(size: int, end: asyncio.Event) -> AsyncIterator[bytes]:
            yield bytes(size)
            await end.wait()

        end = asyncio.Event()
        headers = {"Content-Type": "application/vnd.haidang.push.v2+msgpack"}
        async with (
            collector.session(machine, collector.certificate(machine)) as session,
            collector.session(other, collector.certificate(other, "so-tc")) as second,
        ):
            first = asyncio.create_task(
                session.post("/v1/push", data=slowly(700_000, end), headers=headers, **named()).__aenter__()
            )
            await eventually(lambda: collector.listener._uploading["so-ttt"] == 700_000)
            async with session.post("/v1/push", data=bytes(400_000), headers=headers, **named()) as refused:
                assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
            assert (await push(second, bytes(400_000)))[0] == 200
            end.set()
            assert (await first).status == 200
            assert (await push(session, bytes(400_000)))[0] == 200
            (await first).release()
        assert collector.listener._uploading == {"so-ttt": 0, "so-tc": 0}


async def test_when_descriptors_run_short_nothing_is_accepted_for_a_moment(caplog: pytest.LogCaptureFixture) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text="here")

    failures: list[dict] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    server = web.Server(answer)
    many = 10_000
    door = Door("agents", server, DoorLimits(many, many, many, many))
    await door.listen("127.0.0.1", 0)
    port = door.sockets[0].getsockname()[1]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        with crowd(port, 300):
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 40, hard))
            await eventually(lambda: door.put_out["descriptors"] > 20)
            began = time.process_time()
            await asyncio.sleep(1.5)
            assert time.process_time() - began < 0.75  # it waits, instead of trying again at once
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/") as response:
            assert await response.text() == "here"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        door.close()
        await door.wait_closed()
        await server.shutdown(0.1)
    assert failures == []
    told = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(told) <= 8 and "for want of file descriptors" in told[0].getMessage()


class ShortPlace(Place):
    """A collector that may have 256 files open."""

    def start(self, **environment: str) -> None:
        command = [sys.executable, "-m", "collector.commands.main", "run", "--config", str(self.file)]
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *command],
                stderr=log,
                cwd=ROOT,
            )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                if self.get("/-/ready") == b"ready\n":
                    return
            time.sleep(0.05)
        raise AssertionError((self.directory / "log").read_text())


@pytest.fixture
def short(tmp_path: Path) -> Iterator[ShortPlace]:
    made = ShortPlace(tmp_path / "place")
    yield made
    if made.process is not None:
        made.process.kill()
        made.process.wait()


def slowest_answer(short: ShortPlace, seconds: float) -> tuple[float, int]:
    """Of /-/healthy: the longest wait, and how many answers there were."""
    slowest, answers, end = 0.0, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.monotonic()
        with urllib.request.urlopen(f"http://127.0.0.1:{short.operators}/-/healthy", timeout=5) as answer:
            assert answer.read() == b"healthy\n"
        slowest, answers = max(slowest, time.monotonic() - began), answers + 1
        time.sleep(0.02)
    return slowest, answers


@pytest.mark.parametrize("door", ["agents", "operators"])
def test_more_connections_than_files(short: ShortPlace, door: str) -> None:
    """700 connections to a collector that may have 256 files open, opened anew whenever they are closed: it says that
    it is healthy throughout, and the log does not grow."""
    short.start()
    # at the operators' listener the crowd comes from another address, as it does where it is not on loopback
    source = "127.0.0.1" if door == "agents" else "127.0.0.2"
    with crowd(short.agents if door == "agents" else short.operators, 700, source):
        slowest, answers = slowest_answer(short, 4)
    assert slowest < 2.0 and answers >= 3, (slowest, answers)
    log = (short.directory / "log").read_text()
    assert "out of system resource" not in log and "Traceback" not in log
    assert len(log.splitlines()) < 30, log[-2_000:]
    assert short.stop() == 0


def test_what_counts_as_one_address() -> None:
    assert address_key(("192.0.2.1", 5)) == address_key(("::ffff:192.0.2.1", 9, 0, 0)) == "192.0.2.1"
    assert address_key(("2001:db8::1", 5, 0, 0)) == address_key(("2001:db8::ffff:2", 5, 0, 0))
    assert address_key(("2001:db8::1", 5, 0, 0)) != address_key(("2001:db8:0:1::1", 5, 0, 0))
    assert address_key(("fe80::1%eth0", 5, 0, 2)) == "fe80::/64"
    assert address_key("") == "local"


def test_limits_leave_descriptors_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    for files in (256, 1_024, 65_536):
        monkeypatch.setattr("collector.web.admission.descriptors", lambda files=files: files)
        operators = operators_limits(128)
        agents = agents_limits(256, 32, 8, operators.total)
        assert agents.total + operators.total + 64 <= files
        assert agents.per_address < agents.strangers < agents.total


def test_the_crowd_can_have_so_many_files() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == resource.RLIM_INFINITY or soft >= 800, "these tests need more open files: ulimit -n"
