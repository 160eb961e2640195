"""``haidang-alerts test ADDRESS``: send a test mail by each relay and say where it stops and what to do."""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path
from secrets import token_hex
from typing import Final

from alerts.channels import alertmanager, config
from alerts.channels.config import ChannelSettings
from alerts.channels.http import DeliveryFailed, HttpClient
from alerts.channels.outbox import OutgoingMail
from alerts.channels.smtp import SmtpConnection, SmtpRefusal
from alerts.channels.smtp_verdict import NO_REPLY
from alerts.channels.webhook import WebhookSender
from inventory.base.problems import Invalid

EXIT_OK, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
DEFAULT_CONFIG: Final = Path("/etc/haidang/collector.yaml")
SUBJECT: Final = "Hải Đăng: thư thử / test mail"
TEXT: Final = """Đây là thư thử của Hải Đăng, gửi qua máy chủ {relay} lúc {time}.
Nếu bạn đọc được thư này thì cảnh báo cũng sẽ đến được đây. Không cần trả lời.

This is a test mail of Hải Đăng, sent through {relay} at {time}.
If you can read it, alerts will get here, too. No answer is needed.
"""

Report = Callable[[str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the command ``test``, without ``--config`` where the parser has that already."""
    parser.add_argument("address", metavar="ADDRESS", help="whom to send a test mail")
    parser.add_argument(
        "--all", action="store_true", help="also try the webhook, the Alertmanagers and the dead-man's ping"
    )
    if not any("--config" in action.option_strings for action in parser._actions):
        parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, metavar="FILE", help=f"({DEFAULT_CONFIG})")


def run(arguments: argparse.Namespace) -> int:
    """0: everything went out; 1: something did not, or the settings are wrong; 2: not an address."""
    if not config.ADDRESS.fullmatch(arguments.address):
        print(f"haidang-alerts: {arguments.address!r} is not a mail address", file=sys.stderr)
        return EXIT_USAGE
    try:
        settings = config.read_settings(arguments.config)
    except Invalid as invalid:
        print(invalid, file=sys.stderr)
        return EXIT_FAILED
    return asyncio.run(try_channels(settings, arguments.address, everything=arguments.all))


async def try_channels(
    settings: ChannelSettings, address: str, *, everything: bool = False, report: Report = print
) -> int:
    """Try the ways one after the other; the exit code."""
    results = [await _try_relay(settings, index, address, report) for index in range(len(settings.relays))]
    if not settings.relays:
        report("No relay is named under alerts.relays, so no mail goes out.")
        results.append(False)
    if everything:
        results += await _try_other_channels(settings, address, report)
    return EXIT_OK if all(results) else EXIT_FAILED


async def _try_relay(settings: ChannelSettings, index: int, address: str, report: Report) -> bool:
    relay = settings.relays[index]
    line = SmtpConnection(relay, settings.message_id_domain, settings.bounce)
    report(f"{relay.name} ({relay.tls}{f', as {relay.user}' if relay.user else ''})")
    started = time.monotonic()
    try:
        await line.open()
        _report_steps(line, report)
        started = time.monotonic()
        answer = await line.send(_test_mail(settings, relay.name, address), max(line.timeout, 120.0))
        report(f"  accepted for {address} in {time.monotonic() - started:.2f} s: {answer or '(no words)'}")
        return True
    except SmtpRefusal as refusal:
        if refusal.stage not in ("sender", "recipient", "data"):
            _report_steps(line, report)
        report(f"  FAILED after {time.monotonic() - started:.2f} s: {refusal}")
        report(f"  What to do: {hint(refusal, bounce=settings.bounce)}")
        return False
    finally:
        await line.close()


def _report_steps(line: SmtpConnection, report: Report) -> None:
    names = {"connect": "connected and greeted", "hello": "", "tls": "encrypted", "login": "logged in"}
    for stage, seconds in line.steps:
        if stage_text := names[stage]:
            version = f" ({line.tls})" if line.tls and (stage == "tls" or line.relay.tls == "tls") else ""
            report(f"  {stage_text}{version} in {seconds:.2f} s")


def hint(refusal: SmtpRefusal, *, bounce: str = "") -> str:
    """What to do about it, in plain words."""
    error_text = str(refusal).lower()
    if refusal.stage == "connect":
        if "connection refused" in error_text:
            return "nothing listens at that port: check port, and whether the mail server runs"
        if "name or service" in error_text or "no address" in error_text or "name resolution" in error_text:
            return "the name is not known here: check host, and this machine's resolver"
        return "check host and port, and whether a firewall lets this machine out to it"
    if refusal.stage == "tls":
        if "certificate" in error_text:
            return "use the host name that is in the server's certificate, or name its authority's PEM file as ca"
        if "not supported" in error_text:
            return "the server offers no STARTTLS on this port: tls: tls with port 465, or none (without a password)"
        return "check that tls fits the port: starttls for 587 and 25, tls for 465"
    if refusal.stage == "login":
        if "extension is not supported" in error_text:
            return "the server asks for no login on this port: leave user and password out, or use port 587"
        return "check user and password; some providers want a password made for programs"
    if refusal.stage in ("greeting", "hello"):
        return "the server does not talk to this machine: ask who runs it to let this address in, or set helo"
    if refusal.stage == "sender":
        if refusal.code == 530:
            return "the server wants a login: give the relay user and password"
        return (
            f"the server does not take {bounce} as sender: use an address that it knows as bounce"
            if bounce
            else "the server wants a sender that it knows: set bounce, for most the same address as from"
        )
    if refusal.stage == "recipient":
        if refusal.verdict == "never":
            return "the address is not known there: check it"
        return (
            "the server does not deliver to that address for us: ask who runs it to let this machine relay, or log in"
        )
    if refusal.code == NO_REPLY:
        return "the server took the letter and said nothing: give it a longer timeout, and see its log"
    return "the server does not take the letter itself: see its log (spam filter, size, sender policy)"


async def _try_other_channels(settings: ChannelSettings, address: str, report: Report) -> list[bool]:
    results = []
    if settings.webhook is not None:
        hook = WebhookSender(settings.webhook)
        mail = _test_mail(settings, "webhook", address)
        results.append(await _try_web("webhook", lambda: hook.post(mail, "a test; mail was not tried"), report))
    for manager in settings.alertmanagers:
        web = alertmanager.client_for(manager)
        data = alertmanager.resolved_alert(time.time_ns() // 1_000_000)

        async def post(web: HttpClient = web, data: bytes = data) -> None:
            await web.request("POST", alertmanager.PATH, data)

        results.append(await _try_web(f"Alertmanager {manager.url}", post, report))
    if settings.deadman is not None:
        ping = HttpClient(str(settings.deadman.url), settings.deadman.timeout, settings.deadman.ca)
        results.append(await _try_web("dead-man's ping", lambda: ping.request("GET"), report))
    return results


async def _try_web(name: str, request: Callable[[], Awaitable[object]], report: Report) -> bool:
    started = time.monotonic()
    try:
        await request()
    except DeliveryFailed as error:
        report(f"{name}\n  FAILED after {time.monotonic() - started:.2f} s: {error}")
        report("  What to do: check its address, its token or password, and the way out to it")
        return False
    report(f"{name}\n  taken in {time.monotonic() - started:.2f} s")
    return True


def _test_mail(settings: ChannelSettings, channel: str, address: str) -> OutgoingMail:
    now = datetime.now(UTC)
    ident = f"test.{now:%Y%m%d%H%M%S}.{token_hex(4)}"
    text = TEXT.format(relay=channel, time=f"{now:%Y-%m-%d %H:%M:%S} UTC")
    mail = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    mail["From"] = settings.from_
    mail["To"] = address
    mail["Subject"] = SUBJECT
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{ident}@{settings.message_id_domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(text, cte="quoted-printable")
    return OutgoingMail(
        id=0,
        ident=ident,
        contact="test",
        address=address,
        kind="test",
        severity="info",
        incidents=(),
        made=int(now.timestamp() * 1000),
        subject=SUBJECT,
        text=text,
        body=mail.as_bytes(),
    )
