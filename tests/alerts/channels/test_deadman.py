"""The dead-man's ping: while all is well, on time, and never a reason to fall over."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from alerts.channels.config import DeadmanSettings as Settings
from alerts.channels.deadman import DeadmanPinger
from alerts.channels.health import DeliveryStats
from inventory.base.types import Secret
from tests.support.clock import FakeClock
from tests.support.web_site import FakeWebSite, site_running


@pytest.fixture
async def site() -> AsyncIterator[FakeWebSite]:
    async with site_running(FakeWebSite()) as found:
        yield found


class Ended(Exception):
    pass


class Pings:
    """``slow``: seconds that each ping takes."""

    def __init__(self, slow: float = 0.0, sleeps: int = 5) -> None:
        self.clock = FakeClock(wall=100_000, boot=100_000)
        self.slow, self.left = slow, sleeps
        self.began: list[float] = []

    def well(self) -> str:
        self.began.append(self.clock.seconds())
        self.clock.advance(seconds=self.slow)
        return ""

    async def sleep(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds + 0.003)  # no sleep is exact
        self.left -= 1
        if self.left < 0:
            raise Ended

    def deadman(self, site: FakeWebSite, well: Any = None, **fields: Any) -> DeadmanPinger:
        settings = Settings(url=Secret(f"{site.url}/ping/S3CRET"), **fields)
        return DeadmanPinger(
            settings,
            well or self.well,
            now=self.clock.wall_ms,
            monotonic=self.clock.seconds,
            sleep=self.sleep,
        )


async def test_pings_at_even_intervals_without_drift(site: FakeWebSite) -> None:
    pings = Pings(slow=7.5)
    with pytest.raises(Ended):
        await pings.deadman(site, every=60_000).run()
    assert [round(at - 100) for at in pings.began] == [0, 60, 120, 180, 240, 300]
    assert all(abs((at - 100) % 60) < 0.01 for at in pings.began)
    assert [(asked.method, asked.path) for asked in site.requests] == [("GET", "/ping/S3CRET")] * 6


async def test_one_that_comes_late_skips_and_does_not_catch_up(site: FakeWebSite) -> None:
    pings = Pings(slow=130.0, sleeps=2)
    with pytest.raises(Ended):
        await pings.deadman(site, every=60_000).run()
    assert [round(at - 100) for at in pings.began] == [0, 180, 360]


async def test_no_ping_while_not_all_is_well(site: FakeWebSite, caplog: pytest.LogCaptureFixture) -> None:
    deadman = Pings().deadman(site, lambda: "the store cannot be written")
    for _ in range(3):
        assert not await deadman.run_once()
    assert site.requests == []
    assert deadman.health.skipped == 3
    assert deadman.health.failures == 0  # that is not the address's trouble
    assert caplog.text.count("no dead-man's ping: the store cannot be written") == 1


async def test_not_knowing_is_not_being_well(site: FakeWebSite, caplog: pytest.LogCaptureFixture) -> None:
    def stumbling() -> str:
        raise RuntimeError("a mistake of ours")

    assert not await Pings().deadman(site, stumbling).run_once()
    assert site.requests == []


@pytest.mark.parametrize("fault", [500, 404, 301, "drop", "hang", "closed"])
async def test_an_address_that_fails_is_counted_and_never_raises(
    site: FakeWebSite, fault: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pings = Pings()
    deadman = pings.deadman(site, timeout=1_000)
    site.answer = fault if fault != "closed" else 200
    if fault == "closed":
        await site.close()
    assert not await deadman.run_once()
    assert deadman.health.failures == 1
    counts = DeliveryStats()
    counts.deadman = deadman.health
    assert [what for what, _ in counts.problems(pings.clock.wall_ms() + 700_000)] == ["deadman"]
    assert "S3CRET" not in caplog.text + deadman.health.error
    if fault != "closed":
        site.answer = 200
        assert await deadman.run_once()
        assert counts.problems(pings.clock.wall_ms() + 700_000) == []
