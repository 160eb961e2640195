"""haidang_alert_* as Prometheus reads it."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from alerts.channels.health import ChannelHealth
from alerts.channels.metrics import DeliveryMetrics
from collector.metrics import exposition
from tests.support.outboxes import outgoing_mail
from tests.support.smtp_relay import FakeRelay, SenderWorld, relays_running


async def test_figures_of_every_way(tmp_path: Path) -> None:
    server, other = FakeRelay(), FakeRelay()
    server.faults["connect"] = "554 no"
    async with relays_running(server, other):
        desk = SenderWorld(tmp_path, server.relay(), other.relay())
        other.faults["RCPT"] = [None, "550 5.1.1 no such user", "450 4.2.0 greylisted"]
        await desk.outbox.add(outgoing_mail("a"), outgoing_mail("b"), outgoing_mail("c"))
        await desk.send()
        desk.clock.step_wall(5_000)
        counts = desk.counts
        counts.deadman, counts.alertmanagers = ChannelHealth("deadman"), [ChannelHealth("http://am.example:9093")]
        counts.deadman.skipped = 2
        counts.alertmanagers[0].record_success(desk.clock.wall_ms())
        text = "".join(exposition.text(DeliveryMetrics(counts, desk.clock.wall_ms).metrics(), False))
        await desk.close()
    found = {
        (sample.name.removeprefix("haidang_alert_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    first, second = f"127.0.0.1:{server.port}", f"127.0.0.1:{other.port}"
    assert found == {
        ("mails_sent_total",): 1,
        ("mails_failed_total",): 1,
        ("mails_retried_total",): 1,
        ("repeats_saved_total",): 0,
        ("outbox_waiting",): 1,
        ("oldest_waiting_seconds",): 5,
        ("journal_up",): 1,
        ("relay_up", first): 0,
        ("relay_up", second): 1,
        ("relay_mails_total", first): 0,
        ("relay_mails_total", second): 1,
        ("relay_failures_total", first): 1,
        ("relay_failures_total", second): 0,
        ("relay_last_success_timestamp_seconds", second): 1_000,
        ("deadman_pings_total",): 0,
        ("deadman_failures_total",): 0,
        ("deadman_held_back_total",): 2,
        ("alertmanager_up", "http://am.example:9093"): 1,
        ("alertmanager_posts_total", "http://am.example:9093"): 1,
        ("alertmanager_failures_total", "http://am.example:9093"): 0,
        ("alertmanager_last_success_timestamp_seconds", "http://am.example:9093"): 1_005,
    }
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs promtool (prometheus)")
    checked = await asyncio.to_thread(
        subprocess.run, [promtool, "check", "metrics"], input=text.encode(), capture_output=True
    )
    assert checked.returncode == 0, checked.stderr.decode()
