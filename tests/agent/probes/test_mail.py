"""The round trip of a mail through Debian's dovecot: submission with login, a relay, IMAP."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from agent import probes
from agent.clients.mail.trip import FIELD, MailRoundTrip
from agent.probe import Limits, Outcome
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.mail_servers import (
    PASSWORD,
    DeliveringRelay,
    Dovecot,
    deliver_to,
    run_probe,
    running_dovecot,
    tcp_server,
)

pytestmark = pytest.mark.real
RECIPIENT = "robot@mail.example"
OTHER = b"From: a@b.example\r\nSubject: not ours\r\n\r\nhello\r\n"


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    yield from running_dovecot()


@pytest.fixture
async def relay(dovecot: Dovecot) -> AsyncIterator[DeliveringRelay]:
    made = DeliveringRelay(dovecot.maildir / "new")
    async with tcp_server(made.talk, port=dovecot.relay):
        yield made
    dovecot.clear_mailbox()


def params(dovecot: Dovecot, **other: Any) -> dict[str, Any]:
    return {
        "smtp_host": "127.0.0.1",
        "smtp_port": dovecot.submission,
        "smtp_credential": "robot",
        "imap_port": dovecot.imaps,
        "credential": "robot",
        "recipient": RECIPIENT,
        "authority": str(dovecot.certificate.root),
        **other,
    }


async def trip(dovecot: Dovecot, timeout: float = 5.0, **other: Any) -> Outcome:
    return await run_probe("mail", timeout, **params(dovecot, **other))


async def test_a_mail_goes_round_and_is_gone(dovecot: Dovecot, relay: DeliveringRelay) -> None:
    deliver_to(dovecot.maildir / "new", OTHER)
    outcome = await trip(dovecot)
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.latency == outcome.measures["transit_seconds"]
    assert 0 < outcome.measures["transit_seconds"] < 2
    assert outcome.measures["handover_seconds"] > 0
    assert outcome.measures["mailbox_seconds"] > 0
    assert outcome.measures["leftovers"] == 0
    for name in ("smtp", "imap"):
        assert outcome.measures[f"{name}_certificate_expiry_timestamp_seconds"] == dovecot.certificate.ends
    assert dovecot.mails() == [OTHER]
    (mail,) = relay.mails
    assert mail.count(FIELD.encode()) == 1
    assert b"Auto-Submitted: auto-generated" in mail
    assert f"To: {RECIPIENT}".encode() in mail


async def test_by_starttls_on_both_sides_and_with_another_sender(dovecot: Dovecot, relay: DeliveringRelay) -> None:
    ways = {"imap_security": "starttls", "imap_port": dovecot.imap, "sender": "agent@site.example"}
    outcome = await trip(dovecot, **ways)
    assert (outcome.state, outcome.reason) == (UP, "")
    assert b"From: agent@site.example" in relay.mails[0]


async def test_the_transit_time_is_the_relays(dovecot: Dovecot, relay: DeliveringRelay) -> None:
    relay.delay = 0.6
    outcome = await trip(dovecot)
    assert outcome.state == UP
    assert 0.6 <= outcome.measures["transit_seconds"] < 1.2


async def test_a_mail_that_does_not_come(dovecot: Dovecot, relay: DeliveringRelay) -> None:
    relay.lose = True
    outcome = await trip(dovecot, timeout=1.0)
    assert outcome.state == DOWN
    who = f"127.0.0.1:{dovecot.submission}"
    words = rf"{who} took the mail \('250 2.0.0 .*'\), but it was not in the mailbox 0.\d+ s later"
    assert re.fullmatch(words, outcome.reason)
    assert "transit_seconds" not in outcome.measures
    assert outcome.latency is None


async def test_one_that_comes_late_is_removed_by_the_next_look(dovecot: Dovecot, relay: DeliveringRelay) -> None:
    relay.delay = 1.0
    assert (await trip(dovecot, timeout=0.8)).state == DOWN
    await relay.delivered.wait()
    deliver_to(dovecot.maildir / "new", OTHER)
    relay.delay = 0.0
    outcome = await trip(dovecot)
    assert (outcome.state, outcome.measures["leftovers"]) == (UP, 1)
    assert dovecot.mails() == [OTHER]


async def test_mails_of_other_checks_and_machines_stay(dovecot: Dovecot, relay: DeliveringRelay) -> None:
    """Another agent's mail may be on its way; another way's leftovers are that check's."""
    probe = probes.build("mail", params(dovecot))
    same = MailRoundTrip(f"{probe.endpoints()} INBOX", RECIPIENT, RECIPIENT)
    for mark in (
        f"{same.route_mark}.{'0' * 16}.{'1' * 16}",
        f"{'2' * 16}.{same.machine_mark.partition('.')[2]}.{'1' * 16}",
    ):
        deliver_to(dovecot.maildir / "new", f"{FIELD}: {mark}\r\nSubject: x\r\n\r\n".encode())
    deliver_to(dovecot.maildir / "new", f"{FIELD}: {same.mark}\r\nSubject: x\r\n\r\n".encode())
    outcome = await trip(dovecot)
    assert (outcome.state, outcome.measures["leftovers"]) == (UP, 1)
    left = b"".join(dovecot.mails())
    assert len(dovecot.mails()) == 2
    assert b"0" * 16 in left
    assert b"2" * 16 in left


async def test_a_hundred_leftovers_a_look_at_most(dovecot: Dovecot, relay: DeliveringRelay) -> None:
    probe = probes.build("mail", params(dovecot))
    for _ in range(120):
        mark = MailRoundTrip(f"{probe.endpoints()} INBOX", RECIPIENT, RECIPIENT).mark
        deliver_to(dovecot.maildir / "new", f"{FIELD}: {mark}\r\nSubject: x\r\n\r\n".encode())
    assert (await trip(dovecot)).measures["leftovers"] == 100
    assert (await trip(dovecot)).measures["leftovers"] == 20
    assert dovecot.mails() == []


async def test_nothing_is_sent_when_the_mailbox_cannot_be_opened(dovecot: Dovecot, relay: DeliveringRelay) -> None:
    outcome = await trip(dovecot, mailbox="Không có")
    assert outcome.state == DOWN
    assert "does not open the mailbox" in outcome.reason
    outcome = await run_probe("mail", password="wrong", **params(dovecot))
    assert outcome.state == DOWN
    assert outcome.reason == f"IMAP: 127.0.0.1:{dovecot.imaps} refuses the user or password of the credential 'robot'"
    assert relay.mails == []


async def test_a_mail_that_is_refused(dovecot: Dovecot, relay: DeliveringRelay) -> None:
    relay.refuse = b"550 5.1.1 no such user here\r\n"
    outcome = await trip(dovecot)
    assert outcome.state == DOWN
    assert outcome.reason.startswith(f"SMTP: 127.0.0.1:{dovecot.submission} refuses the recipient: 550 '")
    assert outcome.reason.endswith("5.1.1 no such user here'")
    assert "imap_certificate_expiry_timestamp_seconds" in outcome.measures


async def test_sending_that_hangs_is_told_as_such(dovecot: Dovecot, relay: DeliveringRelay) -> None:
    async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n250")
        await reader.read()

    async with tcp_server(hangs) as port:
        outcome = await trip(dovecot, 1.0, smtp_port=port, smtp_security="none", smtp_credential="")
    assert (outcome.state, outcome.reason) == (
        DOWN,
        f"SMTP with 127.0.0.1:{port}: EHLO was not answered within 1 s",
    )


async def test_a_certificate_near_its_end_degrades(dovecot: Dovecot, relay: DeliveringRelay) -> None:
    outcome = await trip(dovecot, warn_days=100)
    assert outcome.state == DEGRADED
    assert re.fullmatch(r"SMTP: the certificate expires in (89\.9|90\.0) days", outcome.reason)
    assert "transit_seconds" in outcome.measures


async def test_no_password_anywhere(dovecot: Dovecot, relay: DeliveringRelay, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    relay.refuse = f"550 you said {PASSWORD}\r\n".encode()
    outcomes = [await trip(dovecot), await run_probe("mail", password=PASSWORD + "x", **params(dovecot))]
    assert [outcome.state for outcome in outcomes] == [DOWN, DOWN]
    assert "(not shown: it contains the password)" in outcomes[0].reason
    for shown in (repr(outcomes), caplog.text):
        assert "Canary" not in shown


async def test_credentials_that_do_not_do(dovecot: Dovecot) -> None:
    outcome = await trip(dovecot, credential="nobody")
    assert (outcome.state, "there is no credential 'nobody'" in outcome.reason) == (UNKNOWN, True)
    outcome = await trip(dovecot, credential="half")
    assert (outcome.state, "'half' in the agent's file has no password" in outcome.reason) == (UNKNOWN, True)
    outcome = await run_probe("mail", extra={"hosts": "mail.example, other.example"}, **params(dovecot))
    assert (outcome.state, "127.0.0.1 is none of its hosts" in outcome.reason) == (UNKNOWN, True)
    outcome = await run_probe("mail", password="a\r\nb", **params(dovecot))
    assert (outcome.state, outcome.reason.endswith("line break or another control character")) == (UNKNOWN, True)


async def test_the_agents_limits_hold(dovecot: Dovecot, relay: DeliveringRelay) -> None:
    outcome = await run_probe("mail", limits=Limits(networks=(ip_network("10.0.0.0/8"),)), **params(dovecot))
    assert outcome.state == UNKNOWN
    outcome = await run_probe("mail", limits=Limits(ports=(dovecot.imaps,)), **params(dovecot))
    assert outcome == Outcome(UNKNOWN, f"SMTP: port {dovecot.submission} is not one this agent may probe",
                              None, outcome.measures)  # fmt: skip
    assert relay.mails == []
    probe = probes.build("mail", {**params(dovecot), "imap_host": "imap.example"})
    assert probe.endpoints() == (("127.0.0.1", dovecot.submission), ("imap.example", dovecot.imaps))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"recipient": "robot"}, "recipient is not a mail address of plain letters"),
        ({"recipient": "a@b.example>\r\nRCPT TO:<c@d.example"}, "recipient is not a mail address"),
        ({"sender": "a b@c.example"}, "sender is not a mail address"),
        ({"mailbox": "a\r\nb"}, "mailbox has a line break"),
        ({"smtp_security": "none"}, "a password would go over the network in clear"),
        ({"imap_security": "none"}, "a password would go over the network in clear"),
        ({"smtp_host": "a\r\nb"}, "is not a host name"),
    ],
)
def test_parameters_that_are_wrong(wrong: dict[str, Any], words: str) -> None:
    good = {"smtp_host": "mail.example", "smtp_credential": "robot", "credential": "robot", "recipient": RECIPIENT}
    assert probes.build("mail", good).endpoints() == (("mail.example", 25), ("mail.example", 993))
    with pytest.raises(probes.BadProbe, match=words):
        probes.build("mail", {**good, **wrong})
