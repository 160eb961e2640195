"""A real conversation with a real mail server: Debian's postfix, its TLS, its logins, its own words of refusal."""

import email
import email.policy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alerts.channels.config import RelaySettings
from inventory.base.types import Secret
from tests.support.outboxes import outgoing_mail
from tests.support.postfix import MAILBOX, PASSWORD, USER, Postfix, running_postfix
from tests.support.smtp_relay import SenderWorld

pytestmark = [pytest.mark.real, pytest.mark.root]


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    yield from running_postfix()


def relay(postfix: Postfix, **fields: Any) -> RelaySettings:
    usual = {
        "host": "127.0.0.1",
        "port": postfix.starttls,
        "ca": postfix.certificate.root,
        "user": USER,
        "password": Secret(PASSWORD),
        "timeout": 10_000,
    }
    return RelaySettings(**{**usual, **fields})


async def test_letters_arrive_whole_over_starttls_and_over_tls(postfix: Postfix, tmp_path: Path) -> None:
    ways = {"starttls": relay(postfix), "tls": relay(postfix, port=postfix.tls, tls="tls")}
    for name, way in ways.items():
        desk = SenderWorld(tmp_path / name, way)
        await desk.outbox.add(*(outgoing_mail(f"{name}-{n}", address=MAILBOX) for n in range(3)))
        await desk.send()
        assert set(desk.outbox.states().values()) == {"sent"}, desk.counts.last_delay_reason
        assert desk.sender.connections[0].tls == "TLSv1.3"
        await desk.close()
    mails = postfix.wait_for_mails(6)
    assert sorted(email.message_from_bytes(mail)["Subject"] for mail in mails) == sorted(
        f"{name}-{n}" for name in ways for n in range(3)
    )
    for mail in mails:
        assert mail.startswith(b"Return-Path: <>")
        assert b"\n.a line that begins with a dot\n" in mail
        (received,) = email.message_from_bytes(mail, policy=email.policy.default).get_all("Received")
        assert "with ESMTPSA" in received  # TLS and a login
    postfix.wait_for_log(f"sasl_username={USER}", 6)
    postfix.wait_for_log("ehlo=2 starttls=1 auth=1 mail=3 rcpt=3 data=3 quit=1")  # one connection for the burst
    postfix.wait_for_log("ehlo=1 auth=1 mail=3 rcpt=3 data=3 quit=1")
    assert PASSWORD not in postfix.log()


@pytest.mark.parametrize(
    ("fields", "words", "state"),
    [
        ({"address": "nobody-here@province.example"}, "5.1.1", "failed"),
        ({"body": b"Subject: too much\r\n\r\n" + b"x" * 78 + b"\r\n" * 120_000}, "552", "failed"),
    ],
)
async def test_its_refusals_of_a_letter_are_for_good(
    postfix: Postfix, tmp_path: Path, fields: dict[str, Any], words: str, state: str
) -> None:
    desk = SenderWorld(tmp_path, relay(postfix))
    await desk.outbox.add(
        outgoing_mail("bad", **{"address": MAILBOX, **fields}), outgoing_mail("good", address=MAILBOX)
    )
    await desk.send()
    assert desk.outbox.states() == {"bad": state, "good": "sent"}
    assert words in desk.outbox.row("bad").mail.last_error
    assert desk.counts.relays[0].up is True
    await desk.close()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"password": Secret("wrong")}, "login refused: 535 5.7.8"),
        ({"ca": None}, "no TLS: its certificate is not to be trusted: unable to get local issuer certificate"),
        ({"tls": "tls"}, "no TLS: wrong version number"),
        (
            {"user": "", "password": Secret("")},
            "recipient refused: 554 5.7.1 <x@elsewhere.example>: Relay access denied",
        ),
    ],
)
async def test_what_is_wrong_with_the_settings_loses_no_letter(
    postfix: Postfix, tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    desk = SenderWorld(tmp_path, relay(postfix, **fields))
    await desk.outbox.add(outgoing_mail("hd-1", address="x@elsewhere.example"))
    await desk.send()
    assert desk.outbox.states() == {"hd-1": "waiting"}
    assert desk.counts.last_delay_reason.startswith(f"127.0.0.1:{postfix.starttls}: {words}")
    await desk.close()
