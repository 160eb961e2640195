"""haidang-alerts test: what it says when mail goes out, and at each place where it may stop."""

import argparse
import email
import email.policy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alerts.channels.config import (
    AlertmanagerSettings,
    ChannelSettings,
    DeadmanSettings,
    RelaySettings,
    WebhookSettings,
)
from alerts.cli import delivery_test
from inventory.base.types import Secret
from tests.support.mail_servers import IssuedCertificate
from tests.support.postfix import MAILBOX, PASSWORD, USER, Postfix, running_postfix
from tests.support.smtp_relay import DROP, FakeRelay, relays_running
from tests.support.web_site import FakeWebSite, site_running

FROM = "haidang@province.example"


async def attempt(ways: ChannelSettings, address: str = "operator@province.example", **options: Any) -> tuple[int, str]:
    lines: list[str] = []
    code = await delivery_test.try_channels(ways, address, report=lines.append, **options)
    return code, "\n".join(lines)


async def test_says_what_went_at_each_relay_in_turn(tmp_path: Path) -> None:
    certificate = IssuedCertificate(tmp_path)
    first, second = FakeRelay(certificate, login=True), FakeRelay()
    async with relays_running(first, second):
        code, said = await attempt(ChannelSettings(from_=FROM, relays=(first.relay(), second.relay())))
    assert code == 0
    assert f"127.0.0.1:{first.port} (starttls, as haidang)\n  connected and greeted in " in said
    assert "encrypted (TLSv1.3) in " in said
    assert "logged in in " in said
    assert f"127.0.0.1:{second.port} (none)\n" in said
    assert said.count("accepted for operator@province.example in ") == 2
    assert said.count("queued as 4F1") == 2
    (_, _, text) = first.accepted[0]
    mail = email.message_from_bytes(text, policy=email.policy.default)
    assert (mail["From"], mail["To"]) == (FROM, "operator@province.example")
    assert mail["Subject"] == "Hải Đăng: thư thử / test mail"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "Nếu bạn đọc được thư này" in mail.get_content()
    assert text.isascii()


@pytest.mark.parametrize(
    ("faults", "stopped", "to_do"),
    [
        ({"connect": "554 go away"}, "turned away: 554 go away", "ask who runs it to let this address in"),
        ({"connect": DROP}, "no connection", "check host and port"),
        ({"MAIL": "550 5.7.1 null sender refused"}, "sender refused: 550", "set bounce"),
        ({"MAIL": "530 5.7.0 log in first"}, "sender refused: 530", "give the relay user and password"),
        ({"RCPT": "550 5.1.1 unknown user"}, "recipient refused: 550", "the address is not known there"),
        ({"RCPT": "554 5.7.1 relay access denied"}, "recipient refused: 554", "let this machine relay"),
        ({"DATA": "554 5.7.1 spam"}, "letter refused: 554 5.7.1 spam", "see its log"),
    ],
)
async def test_says_where_it_stops_and_what_to_do(faults: dict[str, str], stopped: str, to_do: str) -> None:
    broken, fine = FakeRelay(), FakeRelay()
    broken.faults = dict(faults)
    async with relays_running(broken, fine):
        code, said = await attempt(ChannelSettings(from_=FROM, relays=(broken.relay(), fine.relay())))
    assert code == 1
    assert stopped in said
    assert to_do in said.partition("What to do: ")[2].partition("\n")[0]
    assert len(fine.accepted) == 1  # the others are tried all the same


async def test_a_server_that_is_not_there_and_a_name_that_is_none() -> None:
    server = FakeRelay()
    await server.start()
    await server.stop()
    relays = (server.relay(), RelaySettings(host="no-such-host.invalid", tls="none"))
    code, said = await attempt(ChannelSettings(from_=FROM, relays=relays))
    assert code == 1
    assert "nothing listens at that port" in said
    assert "the name is not known here" in said


async def test_without_relays_that_is_what_it_says() -> None:
    assert await attempt(ChannelSettings()) == (1, "No relay is named under alerts.relays, so no mail goes out.")


async def test_all_tries_the_other_ways_too() -> None:
    server = FakeRelay()
    async with relays_running(server), site_running(FakeWebSite()) as site:
        ways = ChannelSettings(
            from_=FROM,
            relays=(server.relay(),),
            webhook=WebhookSettings(url=Secret(f"{site.url}/hook")),
            deadman=DeadmanSettings(url=Secret(f"{site.url}/ping")),
            alertmanagers=(AlertmanagerSettings(url=f"{site.url}/am"),),
        )
        assert (await attempt(ways))[0] == 0
        assert site.requests == []
        code, said = await attempt(ways, everything=True)
        assert code == 0
        assert [(each.method, each.path) for each in site.requests] == [
            ("POST", "/hook"),
            ("POST", "/am/api/v2/alerts"),
            ("GET", "/ping"),
        ]
        assert said.count("  taken in ") == 3
        site.answer = 403
        code, said = await attempt(ways, everything=True)
        assert code == 1
        assert said.count("FAILED after ") == 3
        assert f"{site.url}/hook" not in said


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    delivery_test.add_arguments(parser)
    return parser.parse_args(arguments)


def test_the_command_reads_the_collectors_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "collector.yaml"
    file.write_text("state_dir: /x\noperators: {listen: '127.0.0.1:1'}\nalerts: {relays: [{host: h, prt: 1}]}\n")
    assert delivery_test.run(parsed("a@b.example", "--config", str(file))) == 1
    assert "collector.yaml:3: alerts.relays[0].prt: is not a key known here" in capsys.readouterr().err
    assert delivery_test.run(parsed("nobody", "--config", str(file))) == 2
    assert delivery_test.run(parsed("a@b.example", "--config", str(tmp_path / "none.yaml"))) == 1
    file.write_text("alerts: {}\n")
    assert delivery_test.run(parsed("a@b.example", "--config", str(file))) == 1
    assert "No relay is named" in capsys.readouterr().out


@pytest.fixture
def postfix() -> Iterator[Postfix]:
    yield from running_postfix()


@pytest.mark.real
@pytest.mark.root
async def test_against_a_real_postfix(postfix: Postfix) -> None:
    good = RelaySettings(
        host="127.0.0.1", port=postfix.starttls, ca=postfix.certificate.root, user=USER, password=Secret(PASSWORD)
    )
    wrong = RelaySettings(
        host="127.0.0.1", port=postfix.tls, tls="tls", ca=postfix.certificate.root, user=USER, password=Secret("no")
    )
    code, said = await attempt(ChannelSettings(from_=FROM, relays=(good, wrong)), MAILBOX)
    assert code == 1
    assert "logged in in" in said
    assert f"accepted for {MAILBOX} in" in said
    assert "queued as" in said
    assert "login refused: 535 5.7.8" in said
    assert "What to do: check user and password" in said
    assert b"N=E1=BA=BFu b=E1=BA=A1n" in postfix.wait_for_mails(1)[0]
