"""Jobs ping their agent: with curl, on its loopback, its socket and the LAN, wrongly and much too often."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.config import PingSettings, Settings
from agent.jobs.service import JobsService
from agent.jobs.state import JobRecord
from agent.jobs.store import MOST_BODY, JobStore, directory
from deploy.programs import free_port
from inventory.base.clock import SystemClock
from inventory.base.types import Secret
from inventory.protocol.plan import Plan, PlannedCheck
from tests.support.paths import ROOT

CURL = shutil.which("curl")
real = pytest.mark.real
RID = "6ad3ac7a-0b4e-4a1e-8c4e-1df0bbfcd0d3"


def a_plan(*jobs: str) -> Plan:
    checks = tuple(
        PlannedCheck(
            uid=f"{number:016x}", name=job, kind="job", interval=60_000, timeout=1_000, hold=121_000, recheck=5_000,
            params={"job": job},
        )
        for number, job in enumerate(jobs)
    )  # fmt: skip
    return Plan(agent="a", agency="b", site="c", checks=checks)


async def eventually(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110  # what is waited for happens in other tasks
            await asyncio.sleep(0.005)


class Place:
    """An agent's side for jobs, listening."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.port = PingSettings.address(settings.pings.listen)[1]
        self.side = JobsService(settings, SystemClock())
        self.book = JobStore(directory(settings.state_dir), SystemClock())
        self.task: asyncio.Task[None] | None = None

    async def open(self, *jobs: str) -> "Place":
        self.side.use_plan(a_plan(*jobs))
        self.task = asyncio.create_task(self.side.run())
        await eventually(lambda: self.book.listening() is not None)
        return self

    async def close(self) -> None:
        if self.task is not None:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.task

    async def raw(self, data: bytes, port: int | None = None) -> bytes:
        """What comes back for these very bytes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
        got = b""
        with contextlib.suppress(ConnectionError):
            got = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        return got

    async def status(self, path: str, method: str = "GET", *fields: str, body: bytes = b"") -> int:
        told = [f"Content-Length: {len(body)}"] if body or method == "POST" else []
        head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *fields, *told, "", ""])
        return int((await self.raw(head.encode() + body)).split(b" ", 2)[1])

    async def curl(self, *arguments: str) -> tuple[int, str]:
        """(exit code, what it printed)."""
        if CURL is None:
            pytest.skip("needs curl")
        process = await asyncio.create_subprocess_exec(
            CURL, "-sS", "-m", "15", *arguments, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, said.decode(errors="replace")

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def record(self, job: str = "db") -> JobRecord:
        found = self.book.record(job)
        assert found is not None
        return found

    def actions(self, job: str = "db") -> list[tuple[str, int | None]]:
        return [(event.action, event.exit) for event in self.record(job).events]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory whose path is short enough for a socket's."""
    with tempfile.TemporaryDirectory(prefix="hd") as made:
        yield Path(made)


@pytest.fixture
async def place(short_path: Path) -> AsyncIterator[Place]:
    made = Place(Settings(state_dir=short_path, pings=PingSettings(listen=f"127.0.0.1:{free_port()}")))
    yield await made.open("db", "files")
    await made.close()


@real
async def test_everything_a_job_says_with_curl(place: Place) -> None:
    assert await place.curl(place.url("/ping/db/start")) == (0, "OK")
    assert await place.curl("-I", place.url("/ping/db"))  # HEAD
    assert await place.curl("--data-raw", "all is well", place.url("/ping/db")) == (0, "OK")
    assert await place.curl(place.url("/ping/db/log"), "-d", "a line") == (0, "OK")
    assert await place.curl(place.url("/ping/db/fail")) == (0, "OK")
    assert await place.curl(place.url("/ping/db/0")) == (0, "OK")
    assert await place.curl(place.url("/ping/db/255/")) == (0, "OK")
    assert place.actions() == [
        ("start", None), ("success", None), ("success", None), ("log", None), ("fail", None), ("success", 0),
        ("fail", 255),
    ]  # fmt: skip
    assert place.book.body("db", 3) == b"all is well"
    assert place.book.body("db", 1) is None


@real
async def test_through_the_socket_with_curl(place: Place, short_path: Path) -> None:
    code, said = await place.curl("--unix-socket", str(short_path / "pings.sock"), "http://localhost/ping/files")
    assert (code, said) == (0, "OK")
    assert place.actions("files") == [("success", None)]


@real
async def test_bodies_with_curl(place: Place, tmp_path: Path) -> None:
    """100 kB are kept of what is larger, in one piece or in chunks; 10 MB are refused, whichever way they come."""
    sizes = {"small": MOST_BODY, "large": MOST_BODY + 50_000, "huge": 10_000_000}
    for name, size in sizes.items():
        (tmp_path / name).write_bytes(os.urandom(1000) * (size // 1000))
    for name in ("small", "large"):
        for more in ([], ["-H", "Transfer-Encoding: chunked"]):
            assert await place.curl(place.url("/ping/db"), "--data-binary", f"@{tmp_path / name}", *more) == (0, "OK")
            last = place.record().events[-1]
            assert last.bytes == sizes[name]
            assert place.book.body("db", last.n) == (tmp_path / name).read_bytes()[:MOST_BODY]
    for more in (
        [],
        ["-H", "Expect:"],
        ["-H", "Transfer-Encoding: chunked"],
        ["-H", "Transfer-Encoding: chunked", "-H", "Expect:"],
    ):
        _, said = await place.curl(
            "-w", "%{http_code}", place.url("/ping/db"), "--data-binary", f"@{tmp_path / 'huge'}", *more
        )
        assert "413" in said
    assert place.record().pings == 4


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ping/db/256", 400),
        ("/ping/db/99999999999999999999", 404),
        ("/ping/db/-1", 404),
        ("/ping/db/success", 404),
        ("/ping/db/start/now", 404),
        ("/ping/db?rid=123", 400),
        (f"/ping/db?rid={RID}x", 400),
        ("/ping/nobody", 404),
        ("/ping/..%2f..%2fdb", 404),
        ("/ping/db%00", 404),
        ("/ping/", 404),
        ("/ping", 404),
        ("/", 404),
        ("/pong/db", 404),
        ("/ping/db/pause", 403),
    ],
)
async def test_what_is_no_ping_is_refused(place: Place, path: str, status: int) -> None:
    assert await place.status(path) == status
    assert place.record().pings == 0


async def test_unknown_jobs_are_counted(place: Place) -> None:
    for name in ["ghost", "ghost", *(f"g{number}" for number in range(50))]:
        assert await place.status(f"/ping/{name}") == 404
    assert place.side.stats() == {"pings_taken": 0, "pings_refused": 52, "pings_unknown": 52}
    await place.close()
    kept = place.book.listening()
    assert kept is not None
    assert kept.unknown["ghost"] == 2
    assert len(kept.unknown) == 20


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods_are_refused(place: Place, method: str) -> None:
    assert await place.status("/ping/db", method) == 405


@pytest.mark.parametrize(
    "field",
    ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin",
     "Sec-Fetch-Site: same-site", "Referer: http://evil.example/"],
)  # fmt: skip
async def test_a_web_page_cannot_ping(place: Place, field: str) -> None:
    assert await place.status("/ping/db", "GET", field) == 403
    assert place.record().pings == 0


@pytest.mark.parametrize("path", ["/ping/db", "/ping/db/fail", "/ping/db/0", "/ping/db/start"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "192.0.2.1"])
async def test_a_name_that_somebody_pointed_here_cannot_ping(place: Place, path: str, host: str) -> None:
    """The page of that name would be of the same origin."""
    host = host.format(port=place.port)
    for method in ("GET", "POST"):
        answer = await place.raw(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 421 ") and b"pings.names" in answer
    absolute = f"GET http://{host}{path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert (await place.raw(absolute.encode())).startswith(b"HTTP/1.1 421 ")
    assert place.record().pings == 0


async def test_its_own_names_ping(place: Place) -> None:
    for host in ("127.0.0.1:{port}", "localhost:{port}", "[::1]:{port}", "localhost"):
        answer = await place.raw(f"GET /ping/db HTTP/1.1\r\nHost: {host.format(port=place.port)}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200 "), host
    assert (await place.raw(b"GET /ping/db HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.0 200 ")


async def test_names_of_the_owners_own_file_ping(short_path: Path) -> None:
    settings = PingSettings(listen=f"127.0.0.1:{free_port()}", names=("backup-host",))
    place = await Place(Settings(state_dir=short_path, pings=settings)).open("db")
    try:
        assert (await place.raw(b"GET /ping/db HTTP/1.1\r\nHost: Backup-Host:81\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        assert (await place.raw(b"GET /ping/db HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(b"HTTP/1.1 421 ")
    finally:
        await place.close()


async def test_answers_say_no_versions(place: Place) -> None:
    for data in (
        b"GET /ping/db HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\xff\r\n\r\n",
    ):
        answer = (await place.raw(data)).lower()
        assert b"\r\nserver: haidang\r\n" in answer and b"aiohttp" not in answer and b"python" not in answer


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /ping/db\r\n\r\n", 505),
        (b"GET /ping/db HTTP/2.0\r\n\r\n", 505),
        (b"GET /ping/db HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /ping/db HTTP/1.1\r\n: x\r\n\r\n", 400),
        (b"GET /ping/db HTTP/1.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 400),
        (b"POST /ping/db HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        (b"POST /ping/db HTTP/1.1\r\nHost: [::1]\r\nContent-Length: -5\r\n\r\nhello", 400),
        (b"POST /ping/db HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello", 400),
        (b"POST /ping/db HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: gzip\r\n\r\nhello", 400),
        (b"POST /ping/db HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /ping/db HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello world\r\n", 400),
        (b"POST /ping/db HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 100 + b"\r\n", 400),
        (b"POST /ping/db HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 20_000, 400),
        (b"\xff\xfe\x00\r\n\r\n", 400),
    ],
)
async def test_what_is_no_http_is_refused_and_hurts_nobody(place: Place, data: bytes, status: int) -> None:
    assert int((await place.raw(data)).split(b" ", 2)[1]) == status
    assert place.record().pings == 0
    assert await place.status("/ping/db") == 200


async def test_a_body_cut_short_is_no_ping(place: Place) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(b"POST /ping/db HTTP/1.1\r\nHost: [::1]\r\nContent-Length: 50\r\n\r\nhello")
    writer.write_eof()
    assert (await reader.read()) == b""
    writer.close()
    assert place.record().pings == 0


async def test_chunks_with_extensions_and_trailers(place: Place) -> None:
    head = b"POST /ping/db HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\n"
    data = head + b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX: y\r\n\r\n"
    assert (await place.raw(data)).startswith(b"HTTP/1.1 200 ")
    assert place.book.body("db", 1) == b"hello!"


async def test_a_flood_is_bounded_and_leaves_other_jobs_alone(place: Place) -> None:
    """However many come at once: some are taken, the rest is told to come again, and another job still gets through."""
    answers = await asyncio.gather(*(place.raw(b"GET /ping/db HTTP/1.1\r\nHost: [::1]\r\n\r\n") for _ in range(300)))
    statuses = [int(answer.split(b" ", 2)[1]) for answer in answers]
    assert set(statuses) <= {200, 429, 503}
    assert 1 <= statuses.count(200) <= 65
    assert place.record().pings == statuses.count(200)
    assert len(place.record().events) <= 30
    assert await place.status("/ping/db") == 429
    assert await place.status("/ping/files") == 200


async def test_connections_that_say_nothing_do_not_fill_the_memory(place: Place) -> None:
    """More than a few dozen at once are turned away at the door."""
    open_ones = [await asyncio.open_connection("127.0.0.1", place.port) for _ in range(40)]
    turned_away = await asyncio.wait_for(open_ones[-1][0].read(), 10)
    assert turned_away.startswith(b"HTTP/1.1 503 ")
    for _, writer in open_ones:
        writer.close()
    async with asyncio.timeout(10):
        while await place.status("/ping/db") != 200:  # noqa: ASYNC110  # another task's doing
            await asyncio.sleep(0.01)


async def test_a_ping_that_cannot_be_kept_is_not_said_to_be(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = directory(place.settings.state_dir)
    shutil.rmtree(folder)
    folder.write_bytes(b"a file in the way")
    assert await place.status("/ping/db") == 503
    folder.unlink()
    assert await place.status("/ping/db") == 200


async def test_the_lan_needs_the_token_and_may_not_pause(short_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = "canary-4b1d7c2e9f"
    caplog.set_level("DEBUG")
    local, lan = free_port(), free_port()
    settings = PingSettings(listen=f"127.0.0.1:{local}", lan=f"127.0.0.1:{lan}", token=Secret(token))
    assert list(settings.problems()) == []
    place = await Place(Settings(state_dir=short_path, pings=settings)).open("db")
    place.port = lan
    try:
        assert await place.status("/ping/db") == 401
        assert await place.status("/ping/wrong-token/db") == 401
        assert await place.status(f"/ping/{token}/db") == 200
        assert await place.status(f"/ping/{token}/db/7") == 200
        assert await place.status("/ping/db/start", "POST", f"Authorization: Bearer {token}") == 200
        assert await place.status("/ping/nobody", "GET", f"Authorization: Bearer {token}") == 404
        assert await place.status("/ping/nobody", "GET") == 401  # whether there is such a job is not for everybody
        assert await place.status(f"/ping/{token}/db/pause", "POST") == 403
        stamped = "Haidang-Ping-At: 0000000000000000 5 1790000000000"
        assert await place.status(f"/ping/{token}/db", "GET", stamped) == 400
        assert place.actions() == [("success", None), ("fail", 7), ("start", None)]
        place.port = local
        assert await place.status("/ping/db") == 200
    finally:
        await place.close()
    assert token not in caplog.text
    assert not any(token.encode() in path.read_bytes() for path in short_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (PingSettings(listen="0.0.0.0:8441"), "pings.listen"),
        (PingSettings(listen="192.0.2.1:8441"), "pings.listen"),
        (PingSettings(listen="localhost:8441"), "pings.listen"),
        (PingSettings(listen="127.0.0.1"), "pings.listen"),
        (PingSettings(listen="127.0.0.1:0"), "pings.listen"),
        (PingSettings(lan="192.0.2.1:8441"), "pings.token"),
        (PingSettings(lan="192.0.2.1:8441", token=Secret("short")), "pings.token"),
        (PingSettings(lan="here:8441", token=Secret("x" * 20)), "pings.lan"),
    ],
)
def test_doors_that_would_be_open_to_everybody_are_refused(settings: PingSettings, key: str) -> None:
    assert key in [wrong for wrong, _ in settings.problems()]


async def test_a_ping_sent_again_counts_once(place: Place) -> None:
    field = f"Haidang-Ping-Id: {uuid.uuid4()}"
    for _ in range(3):
        assert await place.status("/ping/db", "POST", field) == 200
    assert place.actions() == [("success", None)]
    assert await place.status("/ping/db", "POST", "Haidang-Ping-Id: x") == 400


async def test_a_ping_that_waited_is_put_in_its_place(place: Place) -> None:
    now = place.book.now()
    late = f"Haidang-Ping-At: {now.boot} {max(0, now.boot_ms - 60_000)} {now.wall_ms - 60_000}"
    assert await place.status("/ping/db/fail") == 200
    assert await place.status("/ping/db", "POST", late) == 200
    assert place.actions() == [("success", None), ("fail", None)]
    future = f"Haidang-Ping-At: {now.boot} {now.boot_ms + 600_000} {now.wall_ms}"
    assert await place.status("/ping/db", "POST", future) == 400
    assert await place.status("/ping/db", "POST", "Haidang-Ping-At: soon") == 400


async def test_pausing_is_by_post(place: Place) -> None:
    assert await place.status("/ping/db/pause", "POST") == 200
    assert place.record().state.status == "paused"
    assert await place.status("/ping/db/resume", "POST") == 200
    assert place.record().state.status == "new"


async def test_nobody_listens_without_jobs(short_path: Path) -> None:
    place = Place(Settings(state_dir=short_path, pings=PingSettings(listen=f"127.0.0.1:{free_port()}")))
    place.side.use_plan(a_plan())
    place.task = asyncio.create_task(place.side.run())
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", place.port)
    place.side.use_plan(a_plan("db"))
    await eventually(lambda: place.book.listening() is not None)
    assert await place.status("/ping/db") == 200
    place.side.use_plan(a_plan())
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", place.port)
            except ConnectionError:
                break
            writer.close()
            await asyncio.sleep(0.005)
    await place.close()
    assert not (short_path / "pings.sock").exists()


async def test_a_port_in_use_is_said_and_nobody_is_said_to_listen(
    short_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        place = Place(Settings(state_dir=short_path, pings=PingSettings(listen=f"127.0.0.1:{port}")))
        place.side.use_plan(a_plan("db"))
        place.task = asyncio.create_task(place.side.run())
        await eventually(lambda: "cannot be heard" in caplog.text)
        place.side.use_plan(a_plan("db"))
        await asyncio.sleep(0.05)
        assert place.book.listening() is None
        assert caplog.text.count("cannot be heard") == 1
    place.side.use_plan(a_plan("db"))
    await eventually(lambda: place.book.listening() is not None)
    await place.close()


ALONE = """
import asyncio, sys
from pathlib import Path

from agent.config import PingSettings, Settings
from agent.jobs.service import JobsService
from inventory.base.clock import SystemClock
from inventory.protocol.plan import decode

async def main(where, port):
    side = JobsService(Settings(state_dir=where, pings=PingSettings(listen=f"127.0.0.1:{port}")), SystemClock())
    side.use_plan(decode((where / "plan.json").read_bytes()))
    await side.run()

asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
"""


async def test_pings_answered_survive_a_killed_agent(short_path: Path) -> None:
    """A process that hears pings is killed at once after an answer: the ping is there."""
    port = free_port()
    (short_path / "plan.json").write_bytes(a_plan("db").encode())
    command = [sys.executable, "-c", ALONE, str(short_path), str(port)]
    for taken in range(1, 6):
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL)
        answer: Any = b""
        async with asyncio.timeout(20):
            while not answer:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
                    continue
                writer.write(b"GET /ping/db/fail HTTP/1.1\r\nHost: [::1]\r\n\r\n")
                answer = await reader.read(15)
                process.send_signal(signal.SIGKILL)
                writer.close()
        await process.wait()
        assert answer == b"HTTP/1.1 200 OK"
        record = JobStore(directory(short_path), SystemClock()).record("db")
        assert record is not None
        assert record.pings == taken
