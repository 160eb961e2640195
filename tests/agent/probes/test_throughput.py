"""The throughput probe: real transfers over a link of known speed, servers that misbehave, and its rationing."""

import asyncio
import ctypes
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent import probes
from agent.clients.rationing import DAY, RunQuota, parse_hours
from agent.clients.tls.contexts import TlsContexts
from agent.probe import Limits, Outcome, ProbeContext
from agent.probes.throughput import Throughput
from inventory.protocol.states import DOWN, UNKNOWN, UP
from tests.support.clock import FakeClock

NEW_NETWORK = 0x40000000  # CLONE_NEWNET
MB = 1_000_000


def in_namespace(commands: str, work: Callable[[], Awaitable[Any]]) -> Any:
    """Run ``work`` on a loop in a thread that has a network of its own, prepared by shell commands."""
    box: list[Any] = []

    def thread() -> None:
        try:
            if ctypes.CDLL(None, use_errno=True).unshare(NEW_NETWORK) != 0:
                raise OSError(ctypes.get_errno(), "no network namespace")
            subprocess.run(["sh", "-ec", f"ip link set lo up\n{commands}"], check=True, timeout=20)
            box.append(asyncio.run(work()))  # type: ignore[arg-type]
        except BaseException as error:
            box.append(error)

    runner = threading.Thread(target=thread)
    runner.start()
    runner.join(60)
    if isinstance(box[0], BaseException):
        raise box[0]
    return box[0]


class Origin:
    """A server of our own: what it does is in the path, ``/how/bytes``. ``got``: bytes of content posted to it."""

    def __init__(self) -> None:
        self.port = 0
        self.asked: list[str] = []
        self.got = 0
        self.gone = asyncio.Event()  # the probe has left

    def url(self, path: str, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}/{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            method, path, _ = head.split(" ", 2)
            self.asked.append(f"{method} {path}")
            how, _, size = path[1:].partition("/")
            if method == "POST":
                await self._post(how, reader, writer)
            else:
                await self._get(how, int(size or 0), head, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the probe has left
        finally:
            writer.close()
            self.gone.set()

    async def _get(self, how: str, size: int, head: str, writer: asyncio.StreamWriter) -> None:
        status, fields = "200 OK", [f"Content-Length: {size}"]
        if how == "range":
            last = int(head.partition("Range: bytes=0-")[2].split("\r\n")[0])
            size = min(size, last + 1)
            status, fields = "206 Partial Content", [f"Content-Length: {size}"]
        elif how in ("chunked", "cut-chunks", "open-chunks"):
            fields = ["Transfer-Encoding: chunked"]
        elif how == "close":
            fields = []
        elif how == "late":
            fields.append(f"Date: {formatdate(time.time() + 3 * 3600, usegmt=True)}")
        elif how == "right":
            fields.append(f"Date: {formatdate(usegmt=True)}")
        elif how == "lies":
            fields = ["Content-Length: many"]
        elif how.isdigit():
            status = f"{how} As Asked"
        writer.write(f"HTTP/1.1 {status}\r\n{''.join(field + chr(13) + chr(10) for field in fields)}\r\n".encode())
        if how == "silent":
            await asyncio.Event().wait()
        sent = 0
        while sent < size and not (how in ("short", "cut-chunks", "stall") and sent >= size // 2):
            piece = bytes(min(50_000, size - sent))
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if "chunk" in how else piece)
            await writer.drain()
            sent += len(piece)
        if how in ("chunked", "open-chunks"):
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        if how in ("stall", "open-chunks"):
            await asyncio.Event().wait()

    async def _post(self, how: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if how in ("refuse", "refuse-quietly"):
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            if how == "refuse":
                return
            await asyncio.Event().wait()
        if how == "deaf":
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await asyncio.Event().wait()
        while size := int(await reader.readline(), 16):
            await reader.readexactly(size + 2)
            self.got += size
        if how != "hangs-up":
            writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()


@asynccontextmanager
async def origin(context: ssl.SSLContext | None = None) -> AsyncIterator[Origin]:
    made = Origin()
    serving: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        serving.add(asyncio.create_task(made.serve(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=context)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0.01)  # the transports end


def probe(url: str, **params: Any) -> Throughput:
    """One that may run now."""
    return Throughput(url=url, **{"hours": ("00:00-24:00",), "at_start": True, "max_seconds": 1.0, **params})


def look(
    timeout: float = 5.0, clients: dict[type[Any], Any] | None = None, limits: Limits | None = None
) -> ProbeContext:
    return ProbeContext(timeout, limits or Limits(), {} if clients is None else clients)


# 8 Mbit/s of frames of 1,514 bytes that carry 1,448 of content: 956,000 bytes of content a second
SLOW = """
ip link set lo mtu 1500
tc qdisc add dev lo root tbf rate 8mbit burst 8k latency 300ms
"""


@pytest.mark.root
@pytest.mark.parametrize("way", ["down", "up"])
@pytest.mark.parametrize(("most", "seconds"), [(2 * MB, 10.0), (50 * MB, 2.0)], ids=["by-bytes", "by-time"])
def test_the_rate_is_the_links(way: str, most: int, seconds: float) -> None:
    async def work() -> tuple[Outcome, Origin]:
        async with origin() as server:
            url = server.url(f"plain/{50 * MB}")
            outcome = await probe(url, way=way, max_bytes=most, max_seconds=seconds).run(look(15))
            return outcome, server

    outcome, _ = in_namespace(SLOW, work)
    name = "download" if way == "down" else "upload"
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.measures.keys() == {f"{name}_bytes_per_second", f"{name}_bytes", f"{name}_seconds"}
    assert 0.85 * MB < outcome.measures[f"{name}_bytes_per_second"] < 1.0 * MB
    assert outcome.measures[f"{name}_bytes"] <= most
    assert outcome.measures[f"{name}_seconds"] == pytest.approx(2.1, abs=0.3)
    assert outcome.latency is not None
    assert outcome.latency < 0.1


@pytest.mark.parametrize("how", ["plain", "range", "chunked", "open-chunks", "close", "right"])
async def test_all_ways_in_which_content_ends(how: str) -> None:
    async with origin() as server:
        begun = time.monotonic()
        outcome = await probe(server.url(f"{how}/{3 * MB}"), max_bytes=10 * MB).run(look())
        assert time.monotonic() - begun < 0.9  # it did not wait for more
        assert (outcome.state, outcome.reason) == (UP, "")
        assert outcome.measures["download_bytes"] == pytest.approx(3 * MB, rel=0.001)
        took = outcome.measures["download_seconds"]
        assert 0 < outcome.measures["download_bytes_per_second"] * took <= 3 * MB


@pytest.mark.parametrize("how", ["plain", "range", "chunked", "close"])
async def test_no_more_is_read_than_allowed(how: str) -> None:
    async with origin() as server:
        outcome = await probe(server.url(f"{how}/{80 * MB}"), max_bytes=1 * MB).run(look())
        await asyncio.wait_for(server.gone.wait(), 5)  # it hung up on the rest
    assert (outcome.state, outcome.measures["download_bytes"]) == (UP, 1 * MB)


async def test_both_ways_one_after_the_other() -> None:
    async with origin() as server:
        url, back = server.url(f"plain/{MB}"), server.url("sink")
        outcome = await probe(url, way="both", upload_url=back, max_bytes=2 * MB).run(look())
        assert server.asked == [f"GET /plain/{MB}", "POST /sink"]
        assert server.got == 2 * MB
    assert outcome.state == UP
    assert (outcome.measures["download_bytes"], outcome.measures["upload_bytes"]) == (MB, 2 * MB)
    assert len(outcome.measures) == 6


@pytest.mark.parametrize(
    ("how", "state", "words"),
    [
        (f"short/{2 * MB}", DOWN, "the content ended after 1000000 bytes, before its end"),
        (f"cut-chunks/{2 * MB}", DOWN, "bytes, before its end"),
        ("plain/0", DOWN, "sent no content"),
        (f"silent/{MB}", DOWN, "sent no content within 1 s"),
        ("plain/5000", UNKNOWN, "only 5000 bytes came in"),
        (f"404/{MB}", DOWN, "status 404 instead of 200 or 206"),
        (f"302/{MB}", DOWN, "status 302 instead of 200 or 206"),
        (f"lies/{MB}", DOWN, "the answer gives 'many' as the length of its content"),
        (f"late/{MB}", UNKNOWN, "this machine's clock is 180 minutes behind the server's: whether it may measure now"),
    ],
)
async def test_answers_that_tell_no_rate(how: str, state: int, words: str) -> None:
    async with origin() as server:
        outcome = await probe(server.url(how)).run(look())
    assert outcome.state == state
    assert words in outcome.reason
    assert outcome.measures == {}
    assert not outcome.skipped


async def test_a_transfer_that_stalls_is_slow_not_fast() -> None:
    async with origin() as server:
        outcome = await probe(server.url(f"stall/{2 * MB}")).run(look())
    assert outcome.state == UP
    assert outcome.measures["download_bytes"] == MB
    assert outcome.measures["download_seconds"] == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("refuse", "status 413 instead of 200 to the upload"),
        ("refuse-quietly", "status 413 instead of 200 to the upload"),
        ("hangs-up", "the answer is empty"),
    ],
)
async def test_uploads_that_are_not_taken(how: str, words: str) -> None:
    async with origin() as server:
        outcome = await probe(server.url(how), way="up", max_bytes=60 * MB).run(look())
    assert (outcome.state, outcome.measures) == (DOWN, {})
    # a server that closes with unread content may reset the connection before its answer is read
    assert words in outcome.reason or (how == "refuse" and "connection" in outcome.reason)


async def test_what_a_deaf_server_did_not_take_is_not_counted() -> None:
    """Its kernel takes some and acknowledges it; what waits in ours counts for nothing."""
    async with origin() as server:
        outcome = await probe(server.url("deaf"), way="up", max_bytes=1 << 30).run(look())
    assert outcome.state == UP
    assert outcome.measures["upload_seconds"] == pytest.approx(1.0, abs=0.2)
    assert outcome.measures["upload_bytes"] < 20 * MB


async def test_nobody_there_costs_nothing(free_port: int) -> None:
    clients: dict[type[Any], Any] = {}
    made = probe(f"http://127.0.0.1:{free_port}/", per_day=1)
    for _ in range(2):
        outcome = await made.run(look(clients=clients))
        assert outcome == Outcome(DOWN, f"127.0.0.1:{free_port} refused the connection")


async def test_tls_is_judged_and_measured(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x"
    asked = [*made.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    process = await asyncio.create_subprocess_exec(*asked, stderr=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    clients: dict[type[Any], Any] = {}
    async with origin(context) as server:
        url = server.url(f"plain/{MB}", "https")
        distrusted = await probe(url).run(look(clients=clients))
        good = await probe(url, way="both", authority=str(certificate), max_bytes=MB).run(look(clients=clients))
    assert distrusted.reason.startswith("self-signed")
    assert (good.state, good.reason) == (UP, "")
    assert good.measures["upload_bytes"] == good.measures["download_bytes"] == MB
    assert TlsContexts in clients


async def test_the_agents_limits_hold() -> None:
    async with origin() as server:
        made = probe(server.url(f"plain/{MB}"), upload_url="http://10.1.2.3:99/", way="both")
        outcome = await made.run(look(limits=Limits(networks=(ip_network("10.0.0.0/8"),))))
        assert (outcome.state, outcome.reason) == (UNKNOWN, "127.0.0.1 is outside the networks this agent may probe")
        assert server.asked == []
        assert made.endpoints() == (("127.0.0.1", server.port), ("10.1.2.3", 99))


async def test_a_timeout_too_short_to_measure_in_says_so() -> None:
    async with origin() as server:
        outcome = await probe(server.url(f"plain/{MB}"), max_seconds=10.0).run(look(1.0))
    assert outcome == Outcome(UNKNOWN, "no time is left to measure in: this check's timeout is 1 s", outcome.latency)


def at(seconds: float) -> FakeClock:
    """A machine just started, at so many seconds since 1970."""
    return FakeClock(round(seconds * 1000), boot=0)


def ration_by(clock: FakeClock) -> RunQuota:
    return RunQuota(clock.seconds, clock.wall_seconds, time.gmtime)


MONDAY = 1_795_392_000.0  # 23 November 2026, 00:00 UTC


async def test_one_run_in_each_part_of_the_day_and_skipped_looks_in_between() -> None:
    clock = at(MONDAY - 3600)  # the agent starts an hour before midnight
    clients: dict[type[Any], Any] = {RunQuota: ration_by(clock)}
    runs, why = [], {}
    async with origin() as server:
        made = Throughput(url=server.url(f"plain/{MB}"), per_day=2, hours=("18:00-06:00",))
        for _ in range(3 * 48):
            outcome = await made.run(look(clients=clients))
            assert outcome.skipped == (outcome.state == UNKNOWN)
            if outcome.skipped:
                why[outcome.reason] = why.get(outcome.reason, 0) + 1
            else:
                runs.append((clock.wall_seconds() - MONDAY) / 3600)
            clock.advance(seconds=1800)
        assert len(server.asked) == len(runs)
    assert runs == [0, 18, 24, 42, 48, 66]
    assert why.pop("not due: it may have run in this part of the day before this agent's records begin") == 2
    assert why.pop("not due: this part of the day has had its run") == 6 * 11 - 2
    assert "not due: it is 06:00 here, the hours for it are 00:00-06:00, 18:00-24:00" in why


async def test_a_clock_that_was_never_set_allows_nothing() -> None:
    clients: dict[type[Any], Any] = {RunQuota: ration_by(at(86_400.0))}
    async with origin() as server:
        outcome = await probe(server.url(f"plain/{MB}")).run(look(clients=clients))
        assert server.asked == []
    words = "this machine's clock is wrong: whether it may measure now cannot be told"
    assert outcome == Outcome(UNKNOWN, words)  # to be recorded: somebody has to set it


async def test_two_do_not_measure_each_other() -> None:
    clients: dict[type[Any], Any] = {}
    async with origin() as server:
        url = server.url(f"stall/{MB}")
        first = asyncio.create_task(probe(url).run(look(clients=clients)))
        await asyncio.sleep(0)
        second = await probe(server.url(f"plain/{MB}")).run(look(clients=clients))
        assert second.skipped
        assert second.reason == f"{url} is being measured just now"
        assert (await first).state == UP
        assert (await probe(server.url(f"plain/{MB}")).run(look(clients=clients))).state == UP


def test_the_ration_is_kept_over_restarts_and_reboots(tmp_path: Path) -> None:
    """A part in which it ran stays used, one in which the agent restarted does not count as used."""
    clock, allowed, runs = at(MONDAY - 60), parse_hours(("00:00-24:00",)), []
    for tick in range(2 * 48):
        if tick % 20 == 0:  # a reboot: the boot-time clock begins anew
            clock.reboot(off=0, up=5)
        ration = ration_by(clock)  # restarts at every tick
        ration.load_from(tmp_path / "throughput")
        if ration.why_not_due("x", 2, allowed, False) == "":
            ration.record_run("x")
            runs.append(tick / 2)
        clock.advance(seconds=1800)
    assert runs == [0.5, 12.5, 24.5, 36.5]
    assert [path.name for path in (tmp_path / "throughput").iterdir()] == ["runs.json"]


async def test_an_agent_with_a_place_to_keep_things_keeps_its_records_there(tmp_path: Path) -> None:
    async with origin() as server:
        given = look()
        given.storage = tmp_path / "throughput"
        assert (await probe(server.url(f"plain/{MB}"), per_day=1).run(given)).state == UP
        again = look()  # of another process
        again.storage = given.storage
        outcome = await probe(server.url(f"plain/{MB}"), per_day=1).run(again)
    assert outcome.skipped
    assert outcome.reason == "not due: this part of the day has had its run"


@pytest.mark.parametrize("content", [b"", b"{", b'{"since":"x","runs":{}}', b"\xff" * 100, None])
def test_records_that_cannot_be_read_begin_anew(tmp_path: Path, content: bytes | None) -> None:
    (tmp_path / "runs.json").mkdir() if content is None else (tmp_path / "runs.json").write_bytes(content)
    clock = at(MONDAY + 10)
    ration, allowed = ration_by(clock), parse_hours(("00:00-24:00",))
    ration.load_from(tmp_path)
    assert ration.why_not_due("x", 2, allowed, False) != ""
    clock.advance(seconds=DAY / 2)
    assert ration.why_not_due("x", 2, allowed, False) == ""
    ration.record_run("x")
    assert ration.why_not_due("x", 2, allowed, False) != ""


def test_records_of_a_clock_that_was_ahead_stop_nothing_for_long(tmp_path: Path) -> None:
    ahead = at(MONDAY + 1000 * DAY)
    ration = ration_by(ahead)
    ration.load_from(tmp_path)
    ration.record_run("x")
    clock, allowed = at(MONDAY), parse_hours(("00:00-24:00",))
    ration = ration_by(clock)
    ration.load_from(tmp_path)
    assert ration.why_not_due("x", 1, allowed, False) != ""
    clock.advance(seconds=DAY + 1.0)
    assert ration.why_not_due("x", 1, allowed, False) == ""


def test_the_ration_survives_a_change_of_the_plan() -> None:
    clock = at(MONDAY - DAY)
    ration = ration_by(clock)
    clock.advance(seconds=DAY + 600.0)
    night = parse_hours(("00:00-06:00",))
    assert ration.why_not_due("x", 1, night, False) == ""
    ration.record_run("x")
    clock.advance(seconds=3600)
    for per_day, allowed in [
        (1, night),
        (1, parse_hours(("00:00-24:00",))),
        (2, night),
        (1, parse_hours(("00:30-06:00",))),
    ]:
        assert ration.why_not_due("x", per_day, allowed, False) != ""
    assert ration.why_not_due("y", 1, night, False) == ""  # another target has its own


Event = st.one_of(
    st.tuples(st.just("wait"), st.integers(1, 40_000)),
    st.tuples(st.just("restart"), st.just(0)),
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(Event, max_size=60),
    st.integers(1, 12),
    st.sampled_from([("00:00-24:00",), ("18:00-06:00",), ("11:30-13:30", "17:00-07:30"), ("23:59-00:01",)]),
    st.integers(0, DAY),
)
@example(  # a restart in a gap of the hours, with the part that began before it still to end
    [("wait", 74_000), ("wait", 40_800), ("restart", 0), ("wait", 3_600)], 1, ("11:30-13:30", "17:00-07:30"), 12_920
)
def test_no_number_of_restarts_makes_more_runs_than_the_plan_allows(
    events: list[tuple[str, int]], per_day: int, parts: tuple[str, ...], begin: int
) -> None:
    clock, allowed = at(MONDAY + begin), parse_hours(parts)
    ration, runs = ration_by(clock), []
    for kind, seconds in events:
        clock.advance(seconds=seconds)
        if kind == "restart":
            ration = ration_by(clock)
        elif ration.why_not_due("x", per_day, allowed, False) == "":
            ration.record_run("x")
            runs.append(clock.wall_seconds())
    for run in runs:
        assert sum(1 for other in runs if other // DAY == run // DAY) <= per_day
        assert any(start <= run % DAY < end for start, end in allowed.ranges)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 20_000), st.integers(-DAY, DAY)), max_size=80), st.integers(1, 6))
def test_no_stepping_of_the_clock_makes_many_runs(steps: list[tuple[int, int]], per_day: int) -> None:
    clock = at(MONDAY)
    ration, runs = ration_by(clock), []
    for seconds, step in steps:
        clock.advance(seconds=seconds)
        clock.step_wall(seconds=max(step, MONDAY - (clock.wall_seconds() - clock.seconds())))
        if ration.why_not_due("x", per_day, parse_hours(("00:00-24:00",)), True) == "":
            ration.record_run("x")
            runs.append(clock.seconds())
    for run in runs:
        assert sum(1 for other in runs if run <= other < run + DAY / 2) <= per_day


@given(st.lists(st.tuples(st.integers(0, 1439), st.integers(1, 1440)), min_size=1, max_size=4))
def test_hours_are_what_they_say(pairs: list[tuple[int, int]]) -> None:
    texts = tuple(f"{a // 60:02}:{a % 60:02}-{b // 60:02}:{b % 60:02}" for a, b in pairs)

    def within(minute: int) -> int:
        return sum((a <= minute < b) if a < b else (minute >= a or minute < b) for a, b in pairs)

    overlaps = any(within(minute) > 1 for minute in range(1440))
    if overlaps or any(a == b for a, b in pairs):
        with pytest.raises(ValueError, match=r"overlap|no time at all"):
            parse_hours(texts)
        return
    made = parse_hours(texts)
    open_minutes = [minute for minute in range(1440) if made.within(minute * 60)]
    assert open_minutes == [minute for minute in range(1440) if within(minute)]
    assert [made.elapsed(minute * 60) for minute in open_minutes] == [60 * n for n in range(len(open_minutes))]
    assert made.total == 60 * len(open_minutes)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"url": "ftp://a.example/"}, "throughput: the URL must begin with http:// or https://"),
        ({"url": "http://me:pw@a.example/"}, "throughput: the URL must not carry a user name or password"),
        ({"way": "up", "upload_url": "nowhere"}, "throughput: the URL must begin with http:// or https://"),
        ({"hours": ["evening"]}, "throughput: 'evening' is not a part of the day such as '17:30-06:30'"),
        ({"hours": ["18:00-24:30"]}, "throughput: '18:00-24:30' ends after 24:00"),
        ({"hours": ["18:00-20:00", "19:00-21:00"]}, "throughput: the parts of the day overlap at 19:00"),
        ({"hours": []}, "throughput: hours: expected array of length >= 1"),
        ({"per_day": 0}, "throughput: per_day: expected int >= 1"),
        ({"max_bytes": 1 << 40}, "throughput: max_bytes: expected int <= 1073741824"),
    ],
)
def test_parameters_that_are_wrong_are_named(params: dict[str, Any], words: str) -> None:
    with pytest.raises(probes.BadProbe) as refused:
        probes.build("throughput", {"url": "http://a.example/", **params})
    assert str(refused.value) == words


def test_working_hours_are_out_unless_said_otherwise() -> None:
    made = parse_hours(Throughput(url="http://a.example/").hours)
    assert not any(made.within(minute * 60) for minute in range(7 * 60, 17 * 60 + 30))
