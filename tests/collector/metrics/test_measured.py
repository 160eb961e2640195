"""The kinds' measures as series: real plans and pushes through ingest, read back with prometheus-client's parsers."""

import asyncio
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from collector.ingest.ingest import Ingest
from collector.metrics import measured
from collector.metrics.exposition import labels
from collector.metrics.fleet import LabelledAgent, ScrapedAgent
from collector.store.opening import open_store
from inventory.protocol import kinds, states
from inventory.protocol.plan import Plan, PlannedCheck
from inventory.protocol.wire import Batch, Push, Reading, encode_push

BOOT = b"bootboot"
KINDS = kinds.load()
LOOKED_AT = ("icmp", "mail", "ups", "ups", "backup", "job", "drill")


def planned(kind: str, place: int) -> PlannedCheck:
    return PlannedCheck(
        uid=f"{place:016x}",
        name=f"{kind}-{place}",
        kind=kind,
        interval=30_000,
        timeout=5_000,
        hold=65_000,
        recheck=5_000,
    )


def values(kind: str, **known: float) -> list[int | None]:
    """A result's columns; what is not given is missing."""
    columns = KINDS[kind].columns
    assert known.keys() <= {column.name for column in columns}
    return [round(known[c.name] * c.per) if c.name in known else None for c in columns]


@pytest.fixture
async def scraped(tmp_path: Path):
    """Text of a fleet with a UPS, a second one that could not be asked, a ping, a mail round trip, and backups."""
    plan = Plan(
        agent="thdl",
        agency="so-ttt",
        site="thdl",
        checks=tuple(planned(kind, place) for place, kind in enumerate(LOOKED_AT)),
        columns={kind: KINDS[kind].columns for kind in LOOKED_AT},
    )
    store = open_store(tmp_path / "collector.db")
    ingest = Ingest(store)
    await ingest.start()
    await ingest.serve_plan("thdl", plan.encode())
    row = [
        values("icmp", loss_ratio=0.3333, rtt_min_seconds=0.001, jitter_seconds=0.0125),
        values("mail", transit_seconds=1.5),
        values("ups", charge_ratio=0.87, runtime_seconds=1260, on_battery=1, input_volts=0),
        values("ups"),
        values("backup", age_seconds=7200, size_bytes=1 << 40, rpo_met=1, last_verified_timestamp_seconds=1.79e9),
        values("job", age_seconds=3600, rpo_met=0, duration_seconds=12.5),
        values("drill", restore_age_seconds=86_400, last_restore_timestamp_seconds=1.78e9),
    ]
    batch = Batch(
        epoch=7, previous=None, last=7, plan=plan.digest, boot=BOOT, base=1_000_000, checks=[0, *[1] * 6],
        counts=[1] * 7, at=[0] * 7, latency=[2_000, *[None] * 6],
        states=bytes([states.UP, states.UP, states.DEGRADED, states.UNKNOWN, states.UP, states.DOWN, states.UP]),
        values=[value for one in row for value in one],
    )  # fmt: skip
    now = time.time_ns() // 1_000_000
    push = Push(version=1, sent=Reading(BOOT, 1_000_500, now), batch=batch)
    while (ack := await ingest.push("thdl", encode_push(push))).verdict == "reposition":
        pass  # the collector asks once for a second exchange of clocks
    assert ack.verdict == "taken"
    checks = [
        (check.id, labels(agent="thdl", check=check.name))
        for check in ingest.fleet.checks.values()
        if check.agent == "thdl"
    ]
    named = LabelledAgent("thdl", labels(agent="thdl"), checks)
    shown = [ScrapedAgent(named, ingest.fleet.agents["thdl"], ingest.fleet)]
    now = ingest.clock.wall_ms()
    yield lambda modern, at=now: "".join(measured.text(shown, at, KINDS, modern))
    await ingest.stop()
    await store.close()


async def test_values_come_out_in_base_units_and_what_is_missing_is_absent(scraped) -> None:
    classic = {s.name: (s.labels, s.value) for family in parse_classic(scraped(False)) for s in family.samples}
    modern = parse_openmetrics(scraped(True) + "# EOF\n")
    assert classic == {s.name: (s.labels, s.value) for family in modern for s in family.samples}
    assert classic["haidang_ups_charge_ratio"] == ({"agent": "thdl", "check": "ups-2"}, 0.87)
    assert classic["haidang_ups_runtime_seconds"][1] == 1260
    assert classic["haidang_ups_on_battery"][1] == 1
    assert classic["haidang_ups_input_volts"][1] == 0, "a measured 0 is not a missing value"
    assert classic["haidang_mail_transit_seconds"][1] == 1.5
    assert classic["haidang_icmp_jitter_seconds"][1] == 0.0125
    assert "haidang_icmp_rtt_min_seconds" not in classic, "of the many only what people alert on"
    assert "haidang_ups_load_ratio" not in classic, "nobody said it"


async def test_backups_are_one_family_whichever_kind_brought_the_evidence(scraped) -> None:
    families = {family.name: family for family in parse_classic(scraped(False))}
    ages = {sample.labels["check"]: sample.value for sample in families["haidang_backup_age_seconds"].samples}
    assert ages == {"backup-4": 7200, "job-5": 3600}
    assert [s.value for s in families["haidang_backup_rpo_met"].samples] == [1, 0]
    assert [s.labels["check"] for s in families["haidang_backup_last_restore_timestamp_seconds"].samples] == ["drill-6"]
    assert families["haidang_backup_size_bytes"].samples[0].value == 1 << 40
    assert not [name for name in families if name.startswith(("haidang_job", "haidang_drill"))]


async def test_what_is_unknown_or_silent_has_no_values(scraped) -> None:
    assert "ups-3" not in scraped(False)
    later = time.time_ns() // 1_000_000 + 70_000
    assert scraped(False, later) == ""


@pytest.mark.real
async def test_promtool_finds_nothing_wrong(scraped) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    run = subprocess.run
    checked = await asyncio.to_thread(
        run, [promtool, "check", "metrics"], input=scraped(False), capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_kind_that_is_selected_from_exists_with_these_measures() -> None:
    for kind in KINDS.values():
        assert set(kind.exported) <= set(kind.measures)
