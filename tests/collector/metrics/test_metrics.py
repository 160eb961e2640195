"""What /metrics says, checked with prometheus-client's parsers and promtool, never with our own eyes alone."""

import asyncio
import gzip
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from collector.ingest.fleet import Fleet
from collector.ingest.plans import Plans
from collector.ingest.states.fast_path import LatestResult, Ledger
from collector.ingest.states.state import AgentState, Overlay
from collector.ledger.state_step import LedgerTail
from collector.metrics import agents as agent_series
from collector.metrics import exposition, fleet, negotiation
from collector.metrics.fleet import LabelledAgent, ScrapedAgent, pieces
from collector.metrics.handler import MetricsHandler
from collector.store.records import RegisteredCheck
from inventory.base.families import Family, Histogram
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP

NOW = 1_790_000_000_000
WHO = {"agency": "so-ttt", "site": "so-ttt", "agent": "so-ttt", "kind": "icmp"}


def tail(state: int, last: int = NOW - 10_000, hold: int = 65_000, **more) -> LedgerTail:
    return LedgerTail(state, NOW - 3_600_000, NOW - 3_600_000, last, hold, settled=[3_500_000, 0, 90_250, 1], **more)


def shown(tails: dict[int, LedgerTail], agent: str = "so-ttt", **more) -> ScrapedAgent:
    checks = [(row, exposition.labels(**(WHO | {"agent": agent}), check=f"check {row}")) for row in range(1, 7)]
    latest = {row: LatestResult(NOW - 10_000, 1_234 if row % 2 else None, [], b"12345678") for row in tails}
    state = AgentState(agent=agent, stream=1, ledger=Ledger(tails, latest), contact=NOW - 2_000, backlog=7, **more)
    plans = Plans(None)
    for row, _ in checks:
        plans.checks[row] = RegisteredCheck(
            id=row, agent=agent, uid=f"{row:016x}", name=f"check {row}", kind="icmp", born=None, ended=None
        )
    fleet = Fleet(plans)
    fleet.publish(state)
    return ScrapedAgent(
        LabelledAgent(agent, exposition.labels(agency="so-ttt", site="so-ttt", agent=agent), checks), state, fleet
    )


def text(agents: list[ScrapedAgent], now: int, openmetrics: bool) -> Iterator[str]:
    yield from fleet.text(agents, now, openmetrics)
    yield from agent_series.text(agents, now, openmetrics)


def both(agents: list[ScrapedAgent], now: int = NOW) -> list[dict]:
    """Samples by (name, labels), from the classic and from the OpenMetrics text, each by its parser."""
    classic = parse_classic("".join(text(agents, now, False)))
    modern = parse_openmetrics("".join(text(agents, now, True)) + "# EOF\n")
    return [
        {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}
        for families in (classic, modern)
    ]


def one(samples: dict, name: str, **labels: str) -> float | None:
    found = [value for (n, pairs), value in samples.items() if n == name and labels.items() <= dict(pairs).items()]
    assert len(found) <= 1
    return found[0] if found else None


def test_both_formats_say_the_same_and_it_is_what_is_known():
    agents = [shown({1: tail(UP), 2: tail(DEGRADED), 3: tail(DOWN), 4: tail(UNKNOWN)}, health={"spool_bytes": 4096.0})]
    classic, modern = both(agents)
    assert classic == modern
    up = {row: one(classic, "haidang_check_up", check=f"check {row}") for row in range(1, 7)}
    assert up == {1: 1, 2: 1, 3: 0, 4: None, 5: None, 6: None}
    seconds = {s: one(classic, "haidang_check_seconds_total", check="check 3", state=s) for s in ("up", "down")}
    assert seconds == {"up": 3500.0, "down": 90.25}
    assert one(classic, "haidang_check_latency_seconds", check="check 1") == 0.001234
    assert one(classic, "haidang_check_latency_seconds", check="check 2") is None
    assert one(classic, "haidang_check_last_result_timestamp_seconds", check="check 2") == NOW / 1000 - 10
    assert one(classic, "haidang_check_settled_timestamp_seconds", check="check 2") == NOW / 1000 - 10
    assert one(classic, "haidang_agent_last_seen_timestamp_seconds") == NOW / 1000 - 2
    assert one(classic, "haidang_agent_backlog_frames") == 7
    assert one(classic, "haidang_agent_spool_bytes") == 4096


def test_a_check_that_fell_silent_is_absent_and_its_counters_stay():
    classic, _ = both([shown({1: tail(UP, last=NOW - 65_001)})])
    assert one(classic, "haidang_check_up", check="check 1") is None
    assert one(classic, "haidang_check_seconds_total", check="check 1", state="up") == 3500.0
    edge, _ = both([shown({1: tail(UP, last=NOW - 65_000)})])
    assert one(edge, "haidang_check_up", check="check 1") == 1


def test_beside_a_backlog_the_present_is_what_the_agent_says_while_it_is_fresh():
    old = tail(UP, last=NOW - 7_200_000)
    for age, state, expected in [(5_000, DOWN, 0), (5_000, UP, 1), (600_000, DOWN, None)]:
        overlay = Overlay(NOW - age, b"b" * 8, 5, {1: (state, NOW - 600_000, 20)})
        classic, _ = both([shown({1: old}, overlay=overlay)])
        assert one(classic, "haidang_check_up", check="check 1") == expected
    passed = Overlay(NOW - 20_000, b"b" * 8, 1, {1: (DOWN, 1, 1)})
    classic, _ = both([shown({1: tail(UP)}, overlay=passed)])
    assert one(classic, "haidang_check_up", check="check 1") == 1  # the ledger is past what was said


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_any_text_in_a_label_comes_back_as_it_was(values):
    pairs = {f"l{n}": value for n, value in enumerate(values)}
    line = f"haidang_check_up{{{exposition.labels(**pairs)}}} 1\n"
    (family,) = parse_classic("# TYPE haidang_check_up gauge\n" + line)
    assert family.samples[0].labels == pairs


def test_hostile_names_from_an_agent_do_not_break_the_page():
    bad = {"spool bytes": 1.0, "x\n# EOF": 2.0, "": 3.0, "ß": 4.0, "fine": float("nan"), "backlog_frames": 9.0}
    bad["checks"] = 5.0
    classic, _ = both([shown({1: tail(UP)}, health=bad, about={"version": 'a"\n', "platform": ["x"]})])
    assert {name for name, _ in classic} >= {"haidang_agent_checks", "haidang_agent_info"}
    assert "haidang_agent_fine" not in {name for name, _ in classic}  # a name from nowhere is no family
    assert one(classic, "haidang_agent_backlog_frames") == 7


def test_each_family_is_whole_and_in_one_place_for_many_agents():
    agents = [shown({row: tail(UP) for row in range(1, 7)}, agent=f"agent-{n}") for n in range(300)]
    text_ = "".join(text(agents, NOW, False))
    heads = [line.split()[2] for line in text_.splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))
    families = list(parse_classic(text_))
    assert sum(len(family.samples) for family in families) >= 300 * 6 * 7


@pytest.mark.parametrize("openmetrics", [False, True])
def test_pieces_are_the_text_plain_and_compressed(openmetrics):
    agents = [shown({row: tail(UP) for row in range(1, 7)}, agent=f"agent-{n}") for n in range(400)]
    whole = "".join(text(agents, NOW, openmetrics)).encode()
    breaths = []
    plain = list(pieces(text(agents, NOW, openmetrics), negotiation.Format(openmetrics, False), breathe=breaths.append))
    assert b"".join(plain) == whole
    assert len(plain) > 3
    assert breaths
    packed = b"".join(
        pieces(text(agents, NOW, openmetrics), negotiation.Format(openmetrics, True), breathe=breaths.append)
    )
    assert gzip.decompress(packed) == whole
    assert len(zlib.compress(whole, 1)) * 1.5 > len(packed)


def test_the_parts_families_parse_and_a_histogram_adds_up():
    duration = Family("haidang_collector_push_duration_seconds", "histogram", "Time to an answer.")
    histogram = Histogram(duration, (0.1, 1.0))
    for seconds in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(seconds)
    collected = [
        histogram.samples(),
        Family("haidang_collector_commits_total", "counter", "Commits.").of(3),
        Family("haidang_collector_nothing", "gauge", "Nothing yet.").of(None),
        Family("haidang_collector_requests_total", "counter", "Requests.", ("path", "status")).by(
            [(("push", "200"), 5), (("plan", "304"), None)]
        ),
    ]
    plain, marked = ("".join(exposition.text(collected, openmetrics)) for openmetrics in (False, True))
    classic, modern = (
        {(s.name, tuple(s.labels.values())): s.value for family in families for s in family.samples}
        for families in (parse_classic(plain), parse_openmetrics(marked + "# EOF\n"))
    )
    assert classic == modern
    assert classic["haidang_collector_push_duration_seconds_bucket", ("0.1",)] == 2
    assert classic["haidang_collector_push_duration_seconds_bucket", ("+Inf",)] == 4
    assert classic["haidang_collector_push_duration_seconds_sum", ()] == 7.65
    assert classic["haidang_collector_requests_total", ("push", "200")] == 5
    assert {name for name, _ in classic if "nothing" in name} == set()
    assert ("haidang_collector_requests_total", ("plan", "304")) not in classic


@pytest.mark.real
def test_promtool_has_nothing_to_say():
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool (Debian: prometheus)")
    own = exposition.text([Family("haidang_collector_commits_total", "counter", "Commits.").of(3)], False)
    agents = [shown({1: tail(UP), 3: tail(DOWN)}, health={"spool_bytes": 1.0}, about={"version": "0.1.0"}, started=NOW)]
    whole = "".join([*text(agents, NOW, False), *own])
    told = subprocess.run(["promtool", "check", "metrics"], input=whole.encode(), capture_output=True, timeout=30)
    assert (told.returncode, told.stdout, told.stderr) == (0, b"", b"")


async def test_a_scrape_that_is_not_read_holds_up_nobody_else() -> None:
    """Somebody looks at the first page of a long /metrics and leaves it so; Prometheus goes on."""

    async def nobody() -> list[ScrapedAgent]:
        return []

    filling = Family("haidang_filling", "gauge", "16 MiB: more than any socket takes unread.", ("number",))
    samples = filling.by([((f"{number:040}",), 1.0) for number in range(1 << 18)])
    scrape = MetricsHandler(nobody, lambda: NOW)
    scrape.register(SimpleNamespace(metrics=lambda: iter([samples])))
    app = web.Application()
    app.router.add_get("/metrics", scrape.handle)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        try:
            writer.write(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            async with asyncio.timeout(20), session.get(server.make_url("/metrics")) as answer:
                assert len(await answer.read()) > 1 << 24
            counted = {collected.family.name: collected.samples for collected in scrape.metrics()}
            assert counted["haidang_collector_scrapes_total"][0].value == 1, "the first was read to its end after all"
        finally:
            writer.transport.abort()
            scrape.close()
