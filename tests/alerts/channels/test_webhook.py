"""The webhook: what goes out by it when mail does not, once, and that the mail is still sent."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from alerts.channels.config import WebhookSettings
from inventory.base.types import Secret
from tests.support.mail_servers import IssuedCertificate
from tests.support.outboxes import outgoing_mail
from tests.support.smtp_relay import FakeRelay, SenderWorld, relays_running
from tests.support.web_site import FakeWebSite, site_running


@pytest.fixture
async def relay() -> AsyncIterator[FakeRelay]:
    server = FakeRelay()
    async with relays_running(server):
        yield server


@pytest.fixture
async def site() -> AsyncIterator[FakeWebSite]:
    async with site_running(FakeWebSite()) as found:
        yield found


def hook(site: FakeWebSite, **fields: Any) -> WebhookSettings:
    return WebhookSettings(url=Secret(f"{site.url}/hook/T0PS3CRET"), header="X-Token", value=Secret("canary"), **fields)


async def test_a_critical_letter_is_posted_once_when_mail_has_failed_for_so_long(
    relay: FakeRelay, site: FakeWebSite, tmp_path: Path
) -> None:
    relay.faults["RCPT"] = "450 4.2.0 greylisted"
    desk = SenderWorld(tmp_path, relay.relay(), webhook=hook(site))
    await desk.outbox.add(outgoing_mail("hd-1"), outgoing_mail("hd-2", severity="warning"))
    await desk.send()
    await desk.advance(120)
    assert site.requests == []
    for _ in range(10):
        await desk.advance(300)
    (asked,) = site.requests
    assert (asked.method, asked.path, asked.headers["X-Token"]) == ("POST", "/hook/T0PS3CRET", "canary")
    said = json.loads(asked.body)
    assert said == {
        "version": 1,
        "id": "hd-1",
        "kind": "trouble",
        "severity": "critical",
        "contact": "operator",
        "incidents": ["00000000000000ab"],
        "made": "1970-01-01T00:16:40.000Z",
        "subject": "Mất kết nối hd-1",
        "text": "Mất kết nối hd-1\n\nSở TTTT mất kết nối WAN.",
        "mail": f"127.0.0.1:{relay.port}: recipient refused: 450 4.2.0 greylisted",
    }
    relay.faults.clear()
    await desk.advance(3600)
    assert sorted(relay.idents) == ["hd-1", "hd-2"]  # the mail goes out all the same
    await desk.close()


async def test_while_all_relays_are_down_a_new_one_does_not_wait_again(
    relay: FakeRelay, site: FakeWebSite, tmp_path: Path
) -> None:
    await relay.stop()
    desk = SenderWorld(tmp_path, relay.relay(), webhook=hook(site))
    await desk.outbox.add(outgoing_mail("hd-1", severity="warning"))
    await desk.send()
    for _ in range(4):
        await desk.advance(100)
    await desk.outbox.add(outgoing_mail("hd-2", made=desk.clock.wall_ms()))
    await desk.send()
    assert [json.loads(asked.body)["id"] for asked in site.requests] == ["hd-2"]
    await desk.close()


async def test_that_it_is_over_goes_the_way_that_the_trouble_went(
    relay: FakeRelay, site: FakeWebSite, tmp_path: Path
) -> None:
    await relay.stop()
    desk = SenderWorld(tmp_path, relay.relay(), webhook=hook(site))
    await desk.outbox.add(outgoing_mail("hd-1"))
    await desk.send()
    await desk.advance(301)
    await desk.close()
    desk.start()  # what was told is known from the journal
    over = {"severity": "warning", "kind": "recovery", "kinds": ("recovery",)}
    await desk.outbox.add(
        outgoing_mail("hd-2", made=desk.clock.wall_ms(), **over),
        outgoing_mail("hd-3", made=desk.clock.wall_ms(), incidents=("ff",), **over),
    )
    await desk.send()
    await desk.advance(301)
    assert [json.loads(asked.body)["id"] for asked in site.requests] == ["hd-1", "hd-2"]
    await desk.close()


async def test_what_is_given_up_is_posted_at_last(relay: FakeRelay, site: FakeWebSite, tmp_path: Path) -> None:
    relay.faults["RCPT"] = "550 5.1.1 no such user"
    desk = SenderWorld(tmp_path, relay.relay(), webhook=hook(site))
    await desk.outbox.add(outgoing_mail("hd-1"))
    await desk.send()
    assert desk.outbox.states() == {"hd-1": "failed"}
    assert [json.loads(asked.body)["id"] for asked in site.requests] == ["hd-1"]
    await desk.close()


async def test_a_kill_before_the_outbox_heard_of_it_posts_it_no_second_time(
    relay: FakeRelay, site: FakeWebSite, tmp_path: Path
) -> None:
    await relay.stop()
    desk = SenderWorld(tmp_path, relay.relay(), webhook=hook(site))
    await desk.outbox.add(outgoing_mail("hd-1"))
    await desk.send()
    await desk.advance(301)
    row = desk.outbox.row("hd-1")
    row.mail = outgoing_mail("hd-1", id=row.mail.id)
    assert not row.mail.hooked
    await desk.close()
    desk.start()
    await desk.advance(301)
    assert len(site.requests) == 1
    assert desk.outbox.row("hd-1").mail.hooked
    await desk.close()


@pytest.mark.parametrize("fault", [500, 302, "drop", "closed"])
async def test_a_webhook_that_fails_is_asked_again_with_back_off_and_named_without_its_address(
    relay: FakeRelay, site: FakeWebSite, tmp_path: Path, fault: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await relay.stop()
    settings = hook(site)
    if fault == "closed":
        await site.close()
    site.answer = fault
    desk = SenderWorld(tmp_path, relay.relay(), webhook=settings)
    await desk.outbox.add(outgoing_mail("hd-1"))
    await desk.send()
    for _ in range(120):
        await desk.advance(30)
    standing = desk.counts.webhook
    assert standing is not None
    assert standing.up is False
    assert 5 <= standing.failures <= 18  # in an hour: 15 s, 30 s ... 10 min
    assert all(asked.path.startswith("/hook") for asked in site.requests)  # nothing followed the redirection
    troubles = dict(desk.counts.problems(desk.clock.wall_ms()))
    assert set(troubles) == {"mail", "webhook", f"relay:127.0.0.1:{relay.port}"}
    assert "T0PS3CRET" not in caplog.text + str(troubles)
    site.answer = 204
    if fault != "closed":
        await desk.advance(601)
        assert desk.outbox.row("hd-1").mail.hooked
    await desk.close()


async def test_many_that_wait_hide_no_new_one(relay: FakeRelay, site: FakeWebSite, tmp_path: Path) -> None:
    await relay.stop()
    desk = SenderWorld(tmp_path, relay.relay(), webhook=hook(site))
    await desk.outbox.add(*(outgoing_mail(f"hd-{n}", made=1_000_000 + n) for n in range(100)))
    await desk.send()
    await desk.advance(301)
    await desk.advance(301)
    assert sorted(json.loads(asked.body)["id"] for asked in site.requests) == sorted(f"hd-{n}" for n in range(100))
    await desk.outbox.add(outgoing_mail("hd-new", made=desk.clock.wall_ms()))
    await desk.send()
    assert json.loads(site.requests[-1].body)["id"] == "hd-new"
    await desk.close()


async def test_only_over_a_verified_connection(relay: FakeRelay, tmp_path: Path) -> None:
    await relay.stop()
    certificate = IssuedCertificate(tmp_path)
    async with site_running(FakeWebSite(), certificate.context()) as site:
        for trusted in (False, True):
            settings = hook(site, ca=certificate.root if trusted else None)
            desk = SenderWorld(tmp_path / str(trusted), relay.relay(), webhook=settings)
            await desk.outbox.add(outgoing_mail("hd-1"))
            await desk.send()
            await desk.advance(301)
            standing = desk.counts.webhook
            assert standing is not None
            assert standing.up is trusted
            assert trusted or standing.error.startswith("its certificate is not to be trusted")
            await desk.close()
    assert len(site.requests) == 1


async def test_without_relays_the_webhook_is_the_way_out(site: FakeWebSite, tmp_path: Path) -> None:
    desk = SenderWorld(tmp_path, webhook=hook(site))
    await desk.outbox.add(outgoing_mail("hd-1"))
    await desk.advance(301)
    assert json.loads(site.requests[0].body)["mail"] == "no relay is named in the settings"
    await desk.close()
