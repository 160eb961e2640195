"""``haidang-agent once`` as a person runs it: a plan with every kind in it, real services, the right values."""

import time
from collections.abc import Mapping
from typing import Any

import psutil
import pytest

from agent import probes
from inventory.protocol.kinds import load
from tests.support.site import (
    BLOB,
    CANARIES,
    ON_BATTERY,
    ON_MAINS,
    LiveSite,
    ResultsByCheck,
    live_site,
    mail,
    network,
    power,
    records,
    web,
)

pytestmark = [pytest.mark.real, pytest.mark.root]


def close(**expected: float) -> Mapping[str, Any]:
    return {name: pytest.approx(value) for name, value in expected.items()}


async def test_every_kind_prints_the_right_values() -> None:
    async with live_site(network, web, mail, power, records) as made:
        code, said = await made.run_program("agent.cli.main", "drill", "db", "ok", "--config", str(made.configure()))
        assert code == 0, said
        judge(made, *await made.once())


def judge(made: LiveSite, code: int, seen: ResultsByCheck, said: str) -> None:
    # all that the site has a service for (each is judged below); a further kind is run by its own test
    assert {one["kind"] for one in seen.values()} <= set(probes.names()) == set(load())
    assert seen.keys() == made.checks.keys()
    not_up = {name: one["reason"] for name, one in seen.items() if one["state"] != "up" and name != "host"}
    assert not_up == dict.fromkeys(("ups-3", "power-3"), "on battery for 95 s, charge 88%, runtime 26 min")
    assert code == 1
    assert not [secret for secret in CANARIES if secret in said]
    measures = {name: one["measures"] for name, one in seen.items()}
    ends = made.certificate.ends
    right: dict[str, Mapping[str, Any]] = {
        "icmp": close(loss_ratio=0, duplicates=0),
        "path": close(loss_ratio=0, packets=20),
        "lan": close(hosts_seen=5, share_ratio=1.25, hosts_pinged=5),
        "dns": close(answers=2, ttl_seconds=60, ignored_replies=0),
        "ntp": close(stratum=5, leap_indicator=0),
        "tls": close(certificate_expiry_timestamp_seconds=ends),
        "http": close(http_status=200, redirects=1, certificate_expiry_timestamp_seconds=ends),
        "throughput": close(download_bytes=BLOB),
        "imap": close(messages=1),
        "mail": close(leftovers=0),
        "snmp": close(value=36, interfaces_up=1, interfaces_down=0),
        "snmp-3": close(value=88, uptime_seconds=86_400.5),
        "ups-nut": close(charge_ratio=0.97, runtime_seconds=2460, load_ratio=0.24, input_volts=228.4, on_mains=1),
        "power-nut": close(charge_ratio=0.97, runtime_seconds=2460, load_ratio=0.24, input_volts=228.4),
        "ups-2c": close(**ON_MAINS.measures),
        "ups-3": close(**ON_BATTERY.measures),
        "power-3": close(charge_ratio=0.88, runtime_seconds=1560, load_ratio=0.22, on_battery_seconds=95),
        "backup": close(rpo_met=1, copies=1, size_bytes=(made.backups / "db-2.sql.gz").stat().st_size),
        "job": close(runs=1, failures=0),
        "drill": close(restores=1, restore_failures=0),
    }
    for name, expected in right.items():
        assert {key: measures[name].get(key) for key in expected} == expected, name
    assert 3.6 < measures["path"]["mos_score"] < 4.41
    assert abs(measures["ntp"]["offset_seconds"]) < 0.05, "both read one clock"
    assert 3600 <= measures["backup"]["age_seconds"] < 3700
    assert 0 <= measures["job"]["age_seconds"] < 100 and 0 <= measures["drill"]["restore_age_seconds"] < 100
    assert measures["smtp"]["certificate_expiry_timestamp_seconds"] > time.time()
    assert 0 < measures["mail"]["transit_seconds"] < 10
    assert measures["throughput"]["download_bytes_per_second"] > 1e6
    assert measures["host"]["boot_timestamp_seconds"] == pytest.approx(psutil.boot_time(), abs=5)
    assert seen["host"]["state"] in ("up", "degraded"), "this machine may be busy"
    assert seen["tcp"]["latency_seconds"] < 1 and measures["icmp"]["rtt_avg_seconds"] < 0.5
