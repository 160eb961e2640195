"""Back-off, how a way stands, and the words for what is wrong with the ways out."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.channels.health import LATE_AFTER, Backoff, ChannelHealth, DeliveryStats, UndeliverableMail
from tests.support.outboxes import outgoing_mail
from tests.support.smtp_relay import FakeRelay, SenderWorld, relays_running

MINUTE = 60_000


@given(failures=st.integers(1, 10_000), seed=st.integers(0, 1000), first=st.floats(0.1, 60), more=st.floats(1, 1000))
def test_back_off_is_between_three_quarters_and_all_of_a_doubling_that_ends(
    failures: int, seed: int, first: float, more: float
) -> None:
    most = first * more
    full = min(first * 2.0 ** min(failures - 1, 500), most)
    wait = Backoff(first, most, random.Random(seed)).delay_after(failures)
    assert full * 0.75 <= wait <= full


def test_a_way_stands_until_it_fails_and_says_each_change_once() -> None:
    way = ChannelHealth("relay", Backoff(10, 300, random.Random(1)))
    assert way.up is None
    assert way.record_failure(1_000, 5.0, "no connection") is True
    assert way.record_failure(2_000, 20.0, "no login") is False
    assert (way.up, way.failing_since, way.error, way.ready(20.0), way.ready(41.0)) == (
        False,
        1_000,
        "no login",
        False,
        True,
    )
    assert way.record_response() is True
    assert (way.up, way.failing_since, way.last_success, way.successes) == (True, None, None, 0)
    assert way.record_success(3_000) is False
    assert (way.last_success, way.successes, way.failures, way.ready(0.0)) == (3_000, 1, 2, True)


@pytest.fixture
async def relay() -> AsyncIterator[FakeRelay]:
    server = FakeRelay()
    async with relays_running(server):
        yield server


async def test_mail_that_does_not_go_out_is_a_trouble_after_ten_minutes_until_it_does(
    relay: FakeRelay, tmp_path: Path
) -> None:
    relay.faults["MAIL"] = "550 5.7.1 not you"
    desk = SenderWorld(tmp_path, relay.relay())
    await desk.outbox.add(outgoing_mail("hd-1"), outgoing_mail("hd-2", severity="info"))
    await desk.send()
    assert desk.counts.problems(desk.clock.wall_ms()) == []
    assert (desk.counts.waiting, desk.counts.oldest_seconds(desk.clock.wall_ms())) == (2, 0)
    await desk.advance(601)
    troubles = dict(desk.counts.problems(desk.clock.wall_ms()))
    said = troubles["mail"]
    assert said.text.format(**said.values) == (
        f"Mail has not gone out for 601000: 127.0.0.1:{relay.port}: sender refused: 550 5.7.1 not you"
    )
    assert set(troubles) == {"mail", f"relay:127.0.0.1:{relay.port}"}
    assert desk.counts.oldest_seconds(desk.clock.wall_ms()) == 601
    relay.faults.clear()
    await desk.advance(300)
    assert desk.counts.problems(desk.clock.wall_ms()) == []
    assert (desk.counts.sent, desk.counts.waiting, desk.counts.oldest_seconds(desk.clock.wall_ms())) == (2, 0, 0)
    await desk.close()


async def test_a_first_relay_that_is_down_is_a_trouble_though_mail_goes_out(relay: FakeRelay, tmp_path: Path) -> None:
    other = FakeRelay()
    async with relays_running(other):
        relay.faults["connect"] = "554 no"
        desk = SenderWorld(tmp_path, relay.relay(), other.relay())
        for n in range(3):
            await desk.outbox.add(outgoing_mail(f"hd-{n}", made=desk.clock.wall_ms()))
            await desk.send()
            await desk.advance(301)
        assert [what for what, _ in desk.counts.problems(desk.clock.wall_ms())] == [f"relay:127.0.0.1:{relay.port}"]
        assert (desk.counts.sent, len(other.accepted)) == (3, 3)
        await desk.close()


def test_what_was_refused_is_shown_for_a_day_and_the_list_is_bounded() -> None:
    counts = DeliveryStats()
    for n in range(50):
        counts.undeliverable.append(UndeliverableMail(n * MINUTE, f"hd-{n}", "operator", "550 no such user"))
    ((what, said),) = counts.problems(60 * MINUTE)
    assert (what, said.values["count"]) == ("refused", 20)
    assert counts.problems(49 * MINUTE + 86_400_000) == []


def test_nothing_is_wrong_at_first() -> None:
    assert DeliveryStats().problems(LATE_AFTER * 100) == []
