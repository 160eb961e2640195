"""Letters and relays: what goes out, by which, and what becomes of a letter that is refused, at every stage."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.mail_servers import IssuedCertificate
from tests.support.outboxes import outgoing_mail
from tests.support.smtp_relay import DROP, HANG, FakeRelay, SenderWorld, relays_running

HOUR = 3600


@pytest.fixture
async def relay() -> AsyncIterator[FakeRelay]:
    server = FakeRelay()
    async with relays_running(server):
        yield server


@pytest.fixture
async def other() -> AsyncIterator[FakeRelay]:
    server = FakeRelay()
    async with relays_running(server):
        yield server


async def test_a_letter_goes_out_as_it_is_and_is_journalled(relay: FakeRelay, tmp_path: Path) -> None:
    desk = SenderWorld(tmp_path, relay.relay())
    await desk.outbox.add(outgoing_mail("hd-1"))
    await desk.send()
    ((sender, recipients, text),) = relay.accepted
    assert (sender, recipients) == ("<>", ["operator@province.example"])
    assert text == outgoing_mail("hd-1").body
    assert desk.outbox.states() == {"hd-1": "sent"}
    assert desk.outbox.row("hd-1").channel == f"127.0.0.1:{relay.port}"
    (entry,) = desk.sender.notification_log.mail_entries()
    assert (entry.ident, entry.roots, entry.opened, entry.at) == ("hd-1", ("wan:so-ttt",), (990_000,), 1_000_000)
    await desk.close()


async def test_the_time_from_fault_to_mail_is_of_first_mails_that_a_relay_took(
    relay: FakeRelay, tmp_path: Path
) -> None:
    desk = SenderWorld(tmp_path, relay.relay())
    relay.faults["RCPT"] = ["450 4.2.0 greylisted"]
    await desk.outbox.add(outgoing_mail("hd-1"))
    await desk.send()
    assert desk.counts.take_fault_to_mail() == []  # not taken yet
    desk.clock.advance(seconds=HOUR)
    await desk.outbox.add(
        outgoing_mail("hd-2", kind="recovery", kinds=("recovery",)),
        outgoing_mail("hd-3", kind="group", kinds=("update", "trouble"), opened=(1_000, 980_000)),
    )
    await desk.send()
    assert desk.outbox.states() == dict.fromkeys(("hd-1", "hd-2", "hd-3"), "sent")
    assert sorted(desk.counts.take_fault_to_mail()) == [HOUR + 10, HOUR + 20]
    assert desk.counts.take_fault_to_mail() == []
    await desk.close()


async def test_a_burst_goes_over_one_connection_critical_first(relay: FakeRelay, tmp_path: Path) -> None:
    desk = SenderWorld(tmp_path, relay.relay(), bounce="bounces@province.example")
    await desk.outbox.add(
        *(outgoing_mail(f"hd-{n}", severity="critical" if n % 3 == 0 else "warning") for n in range(60))
    )
    await desk.send()
    assert relay.connections == 1
    assert relay.idents == [f"hd-{n}" for n in [*range(0, 60, 3), *(n for n in range(60) if n % 3)]]
    assert {sender for sender, _, _ in relay.accepted} == {"bounces@province.example"}
    assert not any(line.connected for line in desk.sender.connections)
    await desk.close()


async def test_tls_and_a_login(tmp_path: Path) -> None:
    certificate = IssuedCertificate(tmp_path)
    first, second = FakeRelay(certificate, login=True), FakeRelay(certificate, login=True, tls=True)
    async with relays_running(first, second):
        for server in (first, second):
            desk = SenderWorld(tmp_path / str(server.port), server.relay())
            await desk.outbox.add(outgoing_mail("hd-1"))
            await desk.send()
            assert server.idents == ["hd-1"], desk.counts.last_delay_reason
            assert desk.sender.connections[0].tls == "TLSv1.3"
            await desk.close()


@pytest.mark.parametrize(
    ("stage", "fault", "words"),
    [
        ("connect", "554 go away", "turned away: 554"),
        ("connect", "421 too busy", "turned away: 421"),
        ("connect", DROP, "no connection"),
        ("EHLO", "421 4.3.2 going down", "greeting refused: 421"),
        ("EHLO", DROP, "greeting refused: "),
        ("MAIL", "550 5.7.1 sender not allowed", "sender refused: 550"),
        ("MAIL", "451 later", "sender refused: 451"),
        ("MAIL", "530 5.7.0 authentication required", "sender refused: 530"),
    ],
)
async def test_a_relays_own_trouble_costs_no_letter_anything(
    relay: FakeRelay, other: FakeRelay, tmp_path: Path, stage: str, fault: str, words: str
) -> None:
    relay.faults[stage] = fault
    desk = SenderWorld(tmp_path, relay.relay(), other.relay())
    await desk.outbox.add(outgoing_mail("hd-1"), outgoing_mail("hd-2"))
    await desk.send()
    assert other.idents == ["hd-1", "hd-2"]  # by the next one, at once
    assert relay.connections == 1  # and the first was left alone
    assert desk.counts.relays[0].up is False
    assert desk.counts.relays[0].error.startswith(words)
    relay.faults.clear()
    await desk.outbox.add(outgoing_mail("hd-3", made=desk.clock.wall_ms() + 15_000))
    await desk.advance(15)
    assert relay.idents == ["hd-3"]  # and then tried again
    assert desk.counts.relays[0].up is True
    await desk.close()


async def test_alone_it_waits_for_the_relay_and_loses_nothing(relay: FakeRelay, tmp_path: Path) -> None:
    relay.faults["MAIL"] = "550 5.7.1 sender not allowed"
    desk = SenderWorld(tmp_path, relay.relay())
    await desk.outbox.add(*(outgoing_mail(f"hd-{n}") for n in range(30)))
    await desk.send()
    for _ in range(48):
        await desk.advance(HOUR / 2)
    assert set(desk.outbox.states().values()) == {"waiting"}
    relay.faults.clear()
    await desk.advance(301)
    assert sorted(relay.idents) == sorted(f"hd-{n}" for n in range(30))
    assert set(desk.outbox.states().values()) == {"sent"}
    await desk.close()


@pytest.mark.parametrize("reply", ["550 5.1.1 no such user", "550 no such user", "551 moved", "553 bad address"])
async def test_an_address_that_does_not_exist_is_given_up_and_nothing_else(
    relay: FakeRelay, other: FakeRelay, tmp_path: Path, reply: str
) -> None:
    relay.faults["RCPT"] = [None, reply, None]
    desk = SenderWorld(tmp_path, relay.relay(), other.relay())
    await desk.outbox.add(outgoing_mail("hd-1"), outgoing_mail("hd-2"), outgoing_mail("hd-3"))
    await desk.send()
    assert desk.outbox.states() == {"hd-1": "sent", "hd-2": "failed", "hd-3": "sent"}
    assert relay.connections == 1
    assert other.accepted == []
    assert desk.counts.relays[0].up is True
    ((what, said),) = desk.counts.problems(desk.clock.wall_ms())
    assert (what, said.values["count"], said.values["contact"]) == ("refused", 1, "operator")
    assert str(said.values["reason"]).endswith(reply)
    await desk.close()


@pytest.mark.parametrize(
    ("stage", "reply"),
    [
        ("RCPT", "450 4.2.0 greylisted"),
        ("RCPT", "452 4.2.2 mailbox full"),
        ("RCPT", "552 5.2.2 mailbox full"),
        ("RCPT", "554 5.7.1 relay access denied"),
        ("RCPT", "550 relaying denied"),
        ("DATA", "451 4.7.1 try again"),
        ("DATA", "452 4.3.1 no space"),
        ("DATA", DROP),
    ],
)
async def test_what_may_pass_is_retried_with_back_off_and_holds_up_no_other(
    relay: FakeRelay, tmp_path: Path, stage: str, reply: str
) -> None:
    relay.faults[stage] = [reply]
    desk = SenderWorld(tmp_path, relay.relay())
    await desk.outbox.add(outgoing_mail("hd-1"), outgoing_mail("hd-2"))
    await desk.send()
    assert relay.idents == ["hd-2"]
    await desk.advance(44)
    assert relay.idents == ["hd-2"]
    await desk.advance(17)
    assert relay.idents == ["hd-2", "hd-1"]
    assert desk.outbox.calls == [("later", "hd-1"), ("sent", "hd-2"), ("sent", "hd-1")]
    await desk.close()


async def test_the_back_off_grows_to_an_hour_and_ends_after_days(relay: FakeRelay, tmp_path: Path) -> None:
    relay.faults["RCPT"] = "450 4.2.0 greylisted"
    desk = SenderWorld(tmp_path, relay.relay())
    await desk.outbox.add(outgoing_mail("hd-1"))
    await desk.send()
    gaps = []
    while desk.outbox.states() == {"hd-1": "waiting"}:
        gap = (desk.outbox.row("hd-1").due - desk.clock.wall_ms()) / 1000
        gaps.append(gap)
        await desk.advance(gap)
    full = [min(60 * 2**n, HOUR) for n in range(len(gaps))]
    assert all(whole * 0.75 <= gap <= whole + 0.01 for gap, whole in zip(gaps, full, strict=True))
    assert len(set(gaps[10:])) > 10  # never in step
    assert 120 < len(gaps) < 180
    assert desk.outbox.states() == {"hd-1": "failed"}
    assert desk.clock.wall_ms() - 1_000_000 >= 5 * 24 * HOUR * 1000
    assert desk.outbox.row("hd-1").mail.last_error.startswith(
        f"given up after 5d: 127.0.0.1:{relay.port}: recipient refused: 450 4.2.0 greylisted"
    )
    await desk.close()


async def test_a_text_that_one_relay_refuses_goes_by_the_next(
    relay: FakeRelay, other: FakeRelay, tmp_path: Path
) -> None:
    relay.faults["DATA"] = "554 5.7.1 this is spam"
    other.faults["DATA"] = [None, "552 5.3.4 too big"]
    desk = SenderWorld(tmp_path, relay.relay(), other.relay())
    await desk.outbox.add(outgoing_mail("hd-1"), outgoing_mail("hd-2"))
    await desk.send()
    assert other.idents == ["hd-1"]
    assert desk.outbox.states() == {"hd-1": "sent", "hd-2": "failed"}  # the second is refused by both, for good
    await desk.close()


async def test_a_text_is_not_given_up_while_a_relay_has_not_seen_it(
    relay: FakeRelay, other: FakeRelay, tmp_path: Path
) -> None:
    relay.faults["DATA"] = "554 5.7.1 this is spam"
    await other.stop()
    desk = SenderWorld(tmp_path, relay.relay(), other.relay())
    await desk.outbox.add(outgoing_mail("hd-1"))
    await desk.send()
    assert desk.outbox.states() == {"hd-1": "waiting"}
    await other.start()
    await desk.advance(61)
    assert other.idents == ["hd-1"]
    await desk.close()


async def test_a_relay_that_hangs_holds_the_loop_for_its_timeout_once(
    relay: FakeRelay, other: FakeRelay, tmp_path: Path
) -> None:
    for stage in ("connect", "EHLO", "MAIL"):
        relay.faults = {stage: HANG}
        desk = SenderWorld(tmp_path / stage, relay.relay(timeout=1_000), other.relay())
        await desk.outbox.add(*(outgoing_mail(f"{stage}-{n}") for n in range(10)))
        begun = time.monotonic()
        await desk.send()
        assert time.monotonic() - begun < 2.5, stage
        assert set(desk.outbox.states().values()) == {"sent"}
        await desk.close()
    assert len(other.accepted) == 30


async def test_after_two_letters_that_hang_the_relay_is_left_alone(
    relay: FakeRelay, other: FakeRelay, tmp_path: Path
) -> None:
    relay.faults["DATA"] = HANG
    desk = SenderWorld(tmp_path, relay.relay(timeout=1_000), other.relay())
    await desk.outbox.add(*(outgoing_mail(f"hd-{n}") for n in range(10)))
    begun = time.monotonic()
    await desk.send()
    assert time.monotonic() - begun < 4
    assert len(other.accepted) == 10
    assert relay.stages.count("DATA") == 2
    assert desk.counts.relays[0].error == "letter refused: no answer within 1 s"
    await desk.close()


async def test_a_slow_relay_gets_a_letter_twice_at_most(relay: FakeRelay, tmp_path: Path) -> None:
    """It takes 1.5 s to say yes, longer than it is given at first, and keeps the mail all the same."""

    class Slow(FakeRelay):
        async def handle_DATA(self, *arguments: object) -> str:
            answer = await super().handle_DATA(*arguments)  # type: ignore[arg-type]
            await asyncio.sleep(1.5)
            return answer

    slow = Slow()
    async with relays_running(slow):
        desk = SenderWorld(tmp_path, slow.relay(timeout=1_000))
        await desk.outbox.add(outgoing_mail("hd-1"))
        await desk.send()
        for _ in range(5):
            await desk.advance(100)
        assert slow.idents == ["hd-1", "hd-1"]
        assert desk.outbox.states() == {"hd-1": "sent"}
        await desk.close()


async def test_an_answer_that_is_lost_is_no_answer(relay: FakeRelay, other: FakeRelay, tmp_path: Path) -> None:
    relay.faults["after"] = [DROP]
    desk = SenderWorld(tmp_path, relay.relay(), other.relay())
    await desk.outbox.add(outgoing_mail("hd-1"))
    await desk.send()
    assert (relay.idents, other.idents) == (["hd-1"], ["hd-1"])  # once more rather than not at all
    await desk.close()


async def test_a_connection_that_ends_after_a_letter_is_no_trouble(relay: FakeRelay, tmp_path: Path) -> None:
    relay.faults["after"] = ["closes", None, "closes"]
    desk = SenderWorld(tmp_path, relay.relay())
    await desk.outbox.add(*(outgoing_mail(f"hd-{n}") for n in range(5)))
    await desk.send()
    assert relay.idents == [f"hd-{n}" for n in range(5)]
    assert relay.connections == 3
    assert desk.counts.retried == 0
    assert desk.counts.relays[0].failures == 0
    await desk.close()


async def test_a_relay_that_closes_after_so_many_letters_says_so(relay: FakeRelay, tmp_path: Path) -> None:
    relay.faults["MAIL"] = [None, None, "421 4.7.0 too many letters in one session", None]
    desk = SenderWorld(tmp_path, relay.relay())
    await desk.outbox.add(*(outgoing_mail(f"hd-{n}") for n in range(5)))
    await desk.send()
    assert relay.idents == [f"hd-{n}" for n in range(5)]
    assert (relay.connections, desk.counts.retried) == (2, 0)
    await desk.close()


@pytest.mark.parametrize("how", ["not trusted", "another name", "no TLS", "wrong password"])
async def test_no_letter_and_no_password_goes_to_a_server_that_is_not_the_right_one(tmp_path: Path, how: str) -> None:
    certificate = IssuedCertificate(
        tmp_path, host="elsewhere.example" if how == "another name" else "127.0.0.1", trusted=how != "not trusted"
    )
    server = FakeRelay(None if how == "no TLS" else certificate, login=how == "wrong password")
    async with relays_running(server):
        relay = server.relay(tls="starttls", ca=certificate.root)
        if how == "wrong password":
            relay = server.relay(password="wrong")
        desk = SenderWorld(tmp_path, relay)
        await desk.outbox.add(outgoing_mail("hd-1"))
        await desk.send()
        assert server.accepted == []
        assert "MAIL" not in server.stages
        assert desk.outbox.states() == {"hd-1": "waiting"}
        words = {
            "not trusted": "no TLS: its certificate is not to be trusted: ",
            "another name": "no TLS: its certificate is not to be trusted: IP address mismatch",
            "no TLS": "no TLS: SMTP STARTTLS extension not supported",
            "wrong password": "login refused: 535",
        }
        assert desk.counts.relays[0].error.startswith(words[how])
        await desk.close()


async def test_an_unverified_server_is_taken_only_when_told_to(tmp_path: Path) -> None:
    server = FakeRelay(IssuedCertificate(tmp_path, trusted=False))
    async with relays_running(server):
        desk = SenderWorld(tmp_path, server.relay(verify=False, ca=None))
        await desk.outbox.add(outgoing_mail("hd-1"))
        await desk.send()
        assert server.idents == ["hd-1"]
        await desk.close()


@pytest.mark.parametrize("address", ["a b@province.example", "x@y\r\nRCPT TO:<z@z>", "", "@", "nobody"])
async def test_what_is_no_address_is_refused_here(relay: FakeRelay, tmp_path: Path, address: str) -> None:
    desk = SenderWorld(tmp_path, relay.relay())
    await desk.outbox.add(outgoing_mail("hd-1", address=address), outgoing_mail("hd-2"))
    await desk.send()
    assert desk.outbox.states() == {"hd-1": "failed", "hd-2": "sent"}
    assert [recipients for _, recipients, _ in relay.accepted] == [["operator@province.example"]]
    await desk.close()


async def test_a_letter_that_we_stumble_over_holds_up_no_other(
    relay: FakeRelay, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = SenderWorld(tmp_path, relay.relay())
    await desk.outbox.add(outgoing_mail("hd-1", body=None), outgoing_mail("hd-2"))
    await desk.send()
    assert desk.outbox.states() == {"hd-1": "waiting", "hd-2": "sent"}
    assert "hd-1 to operator cannot be sent" in caplog.text
    await desk.close()


async def test_more_urgent_letters_overtake_a_long_page(relay: FakeRelay, tmp_path: Path) -> None:
    desk = SenderWorld(tmp_path, relay.relay())
    await desk.outbox.add(*(outgoing_mail(f"hd-{n}", severity="warning") for n in range(10)))
    await desk.outbox.add(outgoing_mail("urgent", made=desk.clock.wall_ms() + 1))
    take = relay.handle_DATA

    async def watching(*arguments: object) -> str:
        answer = await take(*arguments)  # type: ignore[arg-type]
        if len(relay.accepted) == 3:
            desk.clock.step_wall(1)
            desk.sender.wake()
        return answer

    relay.handle_DATA = watching  # type: ignore[method-assign]
    await desk.send()
    assert relay.idents.index("urgent") == 3
    await desk.close()


async def test_the_loop_is_woken_and_stops_without_a_loose_end(relay: FakeRelay, tmp_path: Path) -> None:
    desk = SenderWorld(tmp_path, relay.relay())
    running = asyncio.create_task(desk.sender.run())
    await asyncio.sleep(0.05)
    await desk.outbox.add(outgoing_mail("hd-1"))
    begun = time.monotonic()
    desk.sender.wake()
    await relay.mail_arrived.wait()
    assert time.monotonic() - begun < 1  # not at the next look in 5 s
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert running.cancelled()


async def test_a_stop_lets_the_letter_under_way_end_well(relay: FakeRelay, tmp_path: Path) -> None:
    """Else every stop of the collector in a burst would send one letter twice."""
    desk = SenderWorld(tmp_path, relay.relay())
    await desk.outbox.add(outgoing_mail("hd-1"), outgoing_mail("hd-2"))
    take, met = relay.handle_DATA, asyncio.Event()

    async def slow(*arguments: object) -> str:
        met.set()
        await asyncio.sleep(0.3)
        return await take(*arguments)  # type: ignore[arg-type]

    relay.handle_DATA = slow  # type: ignore[method-assign]
    running = asyncio.create_task(desk.sender.run())
    await met.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert relay.idents == ["hd-1"]
    assert desk.outbox.states() == {"hd-1": "sent", "hd-2": "waiting"}


async def test_a_store_that_fails_is_outlived(
    relay: FakeRelay, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = SenderWorld(tmp_path, relay.relay())
    await desk.outbox.add(outgoing_mail("hd-1"))
    sent = desk.outbox.sent

    async def broken(*arguments: object) -> None:
        raise RuntimeError("the disk is full")

    desk.outbox.sent = broken  # type: ignore[method-assign]
    assert await desk.sender._run_once_guarded() > 0
    assert await desk.sender._run_once_guarded() > 0
    assert caplog.text.count("the outbox cannot be worked on") == 1
    desk.outbox.sent = sent  # type: ignore[method-assign]
    await desk.send()
    assert relay.idents == ["hd-1"]  # the journal knew
    assert desk.outbox.states() == {"hd-1": "sent"}
    assert desk.counts.duplicates_avoided == 1
    await desk.close()
