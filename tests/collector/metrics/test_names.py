"""Names by Prometheus' conventions: of every declared family, and of all that a busy collector really exposes."""

import asyncio
import itertools
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from alerts.channels.config import (
    AlertmanagerSettings,
    ChannelSettings,
    DeadmanSettings,
    RelaySettings,
    WebhookSettings,
)
from collector.config import AgentsConfig, CollectorConfig, OperatorsConfig
from collector.metrics import exposition
from deploy.reference.metrics import sections
from inventory.base.families import Family, FamilySamples, Histogram, MetricSample
from inventory.base.types import Secret
from inventory.protocol import health, states
from inventory.protocol.plan import decode
from inventory.protocol.wire import Batch, Record
from tests.collector.web.test_api import Feeder, Running

DECLARED = {family.name: family for section in sections() for family in section.families}
NOWHERE = "127.0.0.1:9"  # where nobody listens
INVENTORY = """\
province: {id: p, name: P, push_every: 30s}
providers: {vnpt: {name: VNPT}}
agencies:
  office:
    name: {vi: Cơ quan, en: Office}
    site:
      agent: office
      links: {wan: {provider: vnpt}}
      devices: {ups: {kind: ups, address: 192.0.2.9}}
      checks:
        ping: {kind: icmp, params: {host: 192.0.2.1}}
        port: {kind: tcp, params: {host: 192.0.2.1, port: 25}}
        page: {kind: http, params: {url: "https://192.0.2.1/"}}
        secure: {kind: tls, params: {host: 192.0.2.1}}
        name: {kind: dns, params: {server: 192.0.2.1, name: example.vn}}
        time: {kind: ntp, params: {server: 192.0.2.1}}
        feed: {kind: power, params: {host: 192.0.2.9, way: nut, ups: one}}
        battery: {kind: ups, params: {host: 192.0.2.9, way: nut, ups: one}}
        device: {kind: snmp, params: {host: 192.0.2.9, version: 2c}}
        machine: {kind: host}
    backups:
      db:
        rpo: 14h
        evidence: {pings: {params: {cron: "0 23 * * *"}}, files: {params: {path: /srv/db}}, drill: {}}
goals:
  g1: {name: G1, objective: 99%, combine: mean, select: {kinds: [icmp, tcp]}, windows: [rolling-1d]}
"""


def config(tmp_path: Path) -> CollectorConfig:
    (tmp_path / "inventory").mkdir()
    (tmp_path / "inventory" / "all.yaml").write_text(INVENTORY, "utf-8")
    return CollectorConfig(
        state_dir=tmp_path / "state",
        inventory=tmp_path / "inventory",
        agents=AgentsConfig(listen="127.0.0.1:0"),
        operators=OperatorsConfig(listen="127.0.0.1:0"),
        alerts=ChannelSettings(
            from_="haidang@province.example",
            relays=(RelaySettings(host="127.0.0.1", port=9, tls="none"),),
            webhook=WebhookSettings(url=Secret(f"http://{NOWHERE}/hook")),
            deadman=DeadmanSettings(url=Secret(f"http://{NOWHERE}/ping")),
            alertmanagers=(AlertmanagerSettings(url=f"http://{NOWHERE}"),),
        ),
    )


class Office(Feeder):
    """Every check looked at once, with all of its figures, and the agent's own."""

    async def look(self) -> None:
        await self.push()
        plan = decode(self.service.inventories.plan(self.agent)[1])
        count, now = len(plan.checks), int(self.echo.boot_ms)
        start = Record(now, "start", {"wall_ms": self.boot0 + now, "version": "1", "platform": "Linux"})
        batch = Batch(
            epoch=7,
            previous=None,
            last=count + 1,
            plan=plan.digest,
            boot=b"bootboot",
            base=now,
            checks=[0, *[1] * (count - 1)],
            counts=[1] * count,
            at=[0] * count,
            states=bytes([states.UP] * count),
            latency=[1_500] * count,
            values=[column.per for check in plan.checks for column in plan.columns[check.kind]],
            records=[start],
        )
        ack = await self.push(batch, health=dict.fromkeys([*health.FIGURES, "of_a_newer_agent"], 1000.0))
        assert ack.verdict == "taken"


@pytest.fixture
async def busy(tmp_path: Path) -> AsyncIterator[Running]:
    async with Running(config(tmp_path)) as running:
        service = running.service
        await Office(service, "office").look()
        service.alerting.circuits.down = {("office-wan", "vnpt", "not known"): 60_000, ("office-wan", "vnpt", "wan"): 1}
        await service.goal_cache.refresh()
        await service.site_power.refresh()
        yield running


async def scraped(running: Running, accept: str) -> str:
    status, body = await running.get("/metrics", headers={"Accept": accept})
    assert status == 200
    return body.decode()


FOREIGN_UNITS = {"ms", "milliseconds", "minutes", "hours", "days", "kb", "mb", "percent", "expires"}


def wrong(family: Family) -> list[str]:
    """What a name breaks."""
    name, is_counter = family.name, family.type == "counter"
    words, help_ = name.split("_"), family.help
    moment = family.help.startswith("When ") and not name.startswith("process_")
    rules = {
        "a name is of lower-case words": re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) is not None,
        "a counter, and it alone, ends in _total": is_counter == name.endswith("_total"),
        "an info, and it alone, ends in _info": (family.type == "info" or name == "python_info")
        == name.endswith("_info"),
        "no word twice in a row": all(a != b for a, b in itertools.pairwise(words)),
        "a moment ends in _timestamp_seconds": not moment or name.endswith("_timestamp_seconds"),
        "a timestamp has its unit": "timestamp" not in words or name.endswith("_timestamp_seconds"),
        "base units": not FOREIGN_UNITS & {*words},
        "the duration of the last one says so": not family.help.startswith("How long the last")
        or ("_last_" in name and name.endswith("_duration_seconds")),
        "what grows since a start is a counter": is_counter or not re.search("since (the|its) (start|agent)", help_),
        "help of its own": len(family.help) > 8,
        "labels of lower-case words": all(re.fullmatch("[a-z_]+", label) for label in family.labels),
    }  # fmt: skip
    return [f"{name}: {rule}" for rule, kept in rules.items() if not kept]


def test_every_declared_name_keeps_the_conventions() -> None:
    assert [broken for family in DECLARED.values() for broken in wrong(family)] == []
    assert len(DECLARED) > 200


def test_no_two_families_have_one_help_or_one_name() -> None:
    every = [family for section in sections() for family in section.families]
    assert [text for text, count in Counter(family.help for family in every).items() if count > 1] == []
    assert [name for name, count in Counter(family.name for family in every).items() if count > 1] == []


@pytest.mark.parametrize(
    "name",
    [
        Family("haidang_agent_looks", "counter", "Looks made since the start."),
        Family("haidang_agent_looks", "gauge", "Looks made since the start."),
        Family("haidang_agent_certificate_expires", "gauge", "When its certificate expires."),
        Family("haidang_collector_commit_seconds", "gauge", "How long the last commit took."),
        Family("haidang_http_http_status", "gauge", "Status code of the last answer."),
        Family("haidang_agent_spool_oldest_ms", "gauge", "Age of the oldest."),
        Family("haidang_ups_self_test_timestamp", "gauge", "Time of the last self-test."),
        Family("haidang_x", "gauge", ""),
    ],
)
def test_the_rules_find_what_they_are_for(name: Family) -> None:
    assert wrong(name)


@pytest.mark.real
async def test_promtool_finds_nothing_wrong_with_any_declared_name() -> None:
    text = "".join(exposition.text([example(family) for family in DECLARED.values()], False))
    assert len(list(parse_classic(text))) >= len(DECLARED) - 1
    await lint(text)


def example(family: Family) -> FamilySamples:
    if family.type == "histogram":
        return Histogram(family, (0.1, 1.0)).samples()
    return FamilySamples(family, [MetricSample(1, tuple("x" for _ in family.labels))])


async def lint(text: str) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    checked = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=text, capture_output=True, text=True
    )
    # of foreign names: python_info is a gauge with a suffix, as its library writes it
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.real
async def test_a_busy_collector_exposes_what_is_declared_and_nothing_else(busy: Running) -> None:
    plain = await scraped(busy, "text/plain")
    marked = await scraped(busy, "application/openmetrics-text")
    families = {metric.name: metric for metric in parse_openmetrics(marked)}
    assert {metric.name.removesuffix("_info") for metric in parse_classic(plain)} == {
        name.removesuffix("_info") for name in families
    }
    exposed = {full_name(metric): metric for metric in families.values() if metric.samples}
    assert exposed.keys() <= DECLARED.keys()  # no agent makes up a family
    for name in exposed.keys() & DECLARED.keys():
        metric, family = exposed[name], DECLARED[name]
        assert (metric.type, metric.documentation) == (family.type, family.help)
        for sample in metric.samples:
            assert set(sample.labels) - {"le"} <= set(family.labels), name
    by_kind = {
        name for name in DECLARED if re.match("haidang_(icmp|http|tls|dns|ntp|power|ups|snmp|host|backup)_", name)
    }
    parts = {name for name in DECLARED if name.startswith(("haidang_collector_", "haidang_goal_", "haidang_agent_"))}
    later = {  # nobody came by that listener, nobody was enrolled
        "haidang_collector_requests_total",
        "haidang_collector_connections_put_out_total",
        "haidang_agent_issued_certificate_expiry_timestamp_seconds",
    }
    assert (by_kind | parts) - later <= exposed.keys()
    assert exposed.keys() >= {
        "haidang_build_info", "process_cpu_seconds_total", "process_resident_memory_bytes", "python_info",
        "haidang_http_status", "haidang_backup_runs_total", "haidang_ups_self_test_timestamp_seconds",
        "haidang_agent_looks_total", "haidang_agent_cpu_seconds_total", "haidang_agent_spool_oldest_unacked_seconds",
        "haidang_site_power_seconds_total", "haidang_link_down_seconds_total", "haidang_incident_open",
        "haidang_alert_relay_mails_total", "haidang_alert_webhook_posts_total", "haidang_alert_deadman_pings_total",
    }  # fmt: skip
    await lint(plain)


def full_name(metric: Metric) -> str:
    suffix = {"counter": "_total", "info": "_info"}.get(metric.type, "")
    return f"{metric.name}{suffix}"


async def test_words_of_ours_in_labels_have_no_blanks(busy: Running) -> None:
    ours = ("cause", "verdict", "state", "source", "bound", "path", "status", "table", "kind")
    metrics = list(parse_classic(await scraped(busy, "text/plain")))
    values = {
        (name, sample.labels[name])
        for metric in metrics
        for sample in metric.samples
        for name in ours
        if name in sample.labels and (metric.name, name) != ("haidang_agency_info", "kind")  # the inventory's word
    }
    assert ("cause", "not_known") in values and ("verdict", "not_proven") in values
    assert {value for value in values if not re.fullmatch("[A-Za-z0-9_]+", value[1])} == set()


async def test_a_scraper_that_takes_neither_format_is_told_so(busy: Running) -> None:
    status, body = await busy.get("/metrics", headers={"Accept": "application/json"})
    assert status == 406
    assert b"application/openmetrics-text; version=1.0.0" in body
