"""A battery that grows old: what the UPS promises at a comparable load, against what it once did."""

from pathlib import Path

import pytest

from agent.clients.ups.health import MEAN_SAMPLES, WRITE_INTERVAL, BatteryHealth
from agent.clients.ups.model import UpsReading
from agent.probe import Limits, ProbeContext
from agent.probes.ups import Ups
from tests.support.nut import MAINS, nut_server


class Battery:
    """One UPS of a ``capacity`` in seconds at full load, asked every 30 s."""

    def __init__(self, storage: Path | None = None) -> None:
        self.now = 0.0
        self.storage = storage
        self.health = BatteryHealth(lambda: self.now)

    def ask(self, capacity: float = 1200.0, load: float = 0.42, times: int = 1, **flags: bool) -> float | None:
        for _ in range(times):
            self.now += 30
            values = {"load_ratio": load, "runtime_seconds": capacity / load, "charge_ratio": 1.0}
            reading = UpsReading({"mains": True, **flags}, values)
            self.health.record("ups", reading, self.storage)
        return reading.values.get("runtime_kept_ratio")

    def restart(self) -> None:
        self.health = BatteryHealth(lambda: self.now)


def test_a_battery_that_loses_runtime_is_told_before_it_is_needed() -> None:
    battery = Battery()
    assert battery.ask(times=MEAN_SAMPLES - 1) is None, "too few looks to compare with"
    assert battery.ask() == pytest.approx(1.0)
    assert battery.ask(900, times=10 * MEAN_SAMPLES) == pytest.approx(0.75, abs=0.001)
    assert battery.ask(2400, times=10 * MEAN_SAMPLES) == pytest.approx(1.0), "a new battery"
    assert battery.ask(1200, times=10 * MEAN_SAMPLES) == pytest.approx(0.5, abs=0.001)


def test_only_comparable_looks_are_compared() -> None:
    battery = Battery()
    battery.ask(times=MEAN_SAMPLES)
    assert battery.ask(600, load=0.8) is None, "nothing is known of this load"
    assert battery.ask(60, calibrating=True) is None
    assert battery.ask(60, mains=False, battery=True) is None
    assert battery.ask(60, testing=True) is None
    assert battery.ask() == pytest.approx(1.0), "and none of these counted"
    for missing in ("load_ratio", "runtime_seconds", "charge_ratio"):
        values = {"load_ratio": 0.42, "runtime_seconds": 10.0, "charge_ratio": 1.0}
        del values[missing]
        reading = UpsReading({"mains": True}, values)
        battery.health.record("ups", reading, None)
        assert "runtime_kept_ratio" not in reading.values
    reading = UpsReading({"mains": True}, {"load_ratio": 0.42, "runtime_seconds": 2000.0, "charge_ratio": 0.8})
    battery.health.record("ups", reading, None)
    assert "runtime_kept_ratio" not in reading.values, "after an outage the battery is not full"


def test_it_outlives_a_restart_and_a_damaged_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    battery = Battery(tmp_path / "ups")
    battery.ask(times=MEAN_SAMPLES + int(WRITE_INTERVAL / 30))
    battery.restart()
    assert battery.ask(600) == pytest.approx(1 - 0.5 / MEAN_SAMPLES)
    (record,) = (tmp_path / "ups").iterdir()
    record.write_bytes(record.read_bytes()[:-3])
    battery.restart()
    assert battery.ask(600) is None and "begins anew" in caplog.text
    battery.ask(600, times=int(WRITE_INTERVAL / 30))
    battery.restart()
    assert battery.ask(600) == pytest.approx(1.0)


def test_a_disk_that_takes_nothing_only_costs_the_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    battery = Battery(tmp_path / "file" / "ups")
    assert battery.ask(times=MEAN_SAMPLES + int(WRITE_INTERVAL / 30)) == pytest.approx(1.0)
    assert "cannot keep the record" in caplog.text or "cannot be used" in caplog.text


async def test_the_kind_ups_tells_it() -> None:
    async with nut_server(tram=MAINS) as served:
        look = ProbeContext(3.0, Limits(), {})
        probe = Ups(host="127.0.0.1", port=served.port)
        for _ in range(MEAN_SAMPLES):
            outcome = await probe.run(look)
        assert outcome.measures["runtime_kept_ratio"] == pytest.approx(1.0)
