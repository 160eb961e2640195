"""The IMAP probe against dovecot, and servers that misbehave in every step."""

import asyncio
import base64
import logging
import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agent import probes
from agent.clients.mail.imap import MAX_RESPONSES, ImapClient, modified_utf7, quoted_string
from agent.clients.mail.session import MAX_SAID, Login, MailServer, is_single_line
from agent.probe import Limits, Outcome, ProbeContext
from inventory.protocol.states import DOWN, UNKNOWN, UP
from tests.support.mail_servers import (
    DAY,
    NOW,
    PASSWORD,
    ConnectionHandler,
    Dovecot,
    IssuedCertificate,
    deliver_to,
    run_probe,
    running_dovecot,
    scripted,
    tcp_server,
)

HELLO = b"* OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN] here\r\n"
GO = (b"STARTTLS", b"TAG OK go\r\n")
CAN = (b"CAPABILITY", b"* CAPABILITY IMAP4rev1 AUTH=PLAIN UIDPLUS\r\nTAG OK\r\n")
IN = (b"LOGIN", b"TAG OK [CAPABILITY IMAP4rev1] in\r\n")
CLEAR = {"security": "none", "clear_password": True, "credential": "robot"}


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    yield from running_dovecot()


async def ask(port: int, timeout: float = 3.0, **params: Any) -> Outcome:
    return await run_probe("imap", timeout, **{"host": "127.0.0.1", "port": port, **params})


async def said(
    talk: ConnectionHandler, context: ssl.SSLContext | None = None, timeout: float = 0.5, **params: Any
) -> Outcome:
    async with tcp_server(talk, context) as port:
        outcome = await ask(port, timeout, **params)
        return Outcome(
            outcome.state, outcome.reason.replace(f"127.0.0.1:{port}", "HERE"), outcome.latency, outcome.measures
        )


@pytest.mark.real
@pytest.mark.parametrize("security", ["tls", "starttls"])
async def test_a_mailbox_is_opened(dovecot: Dovecot, security: str) -> None:
    dovecot.clear_mailbox()
    for _ in range(3):
        deliver_to(dovecot.maildir / "new", b"Subject: x\r\n\r\n")
    port = dovecot.imaps if security == "tls" else dovecot.imap
    params = {"authority": str(dovecot.certificate.root), "credential": "robot", "security": security}
    outcome = await ask(port, **params)
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.measures["messages"] == 3
    assert outcome.measures["certificate_expiry_timestamp_seconds"] == dovecot.certificate.ends
    phases = [outcome.measures[f"{phase}_seconds"] for phase in ("connect", "banner", "tls", "login", "select")]
    assert outcome.latency is not None
    assert 0 < sum(phases) <= outcome.latency < 2
    # a look changes nothing: the mails are as recent as they were
    assert len(list((dovecot.maildir / "new").iterdir())) == 3
    without = await ask(port, authority=str(dovecot.certificate.root), security=security)
    assert (without.state, "messages" in without.measures) == (UP, False)


@pytest.mark.real
async def test_wrong_passwords_and_mailboxes_are_told_as_such(dovecot: Dovecot) -> None:
    params = {"authority": str(dovecot.certificate.root), "credential": "robot"}
    outcome = await ask(dovecot.imaps, password="not-it", **params)
    who = f"127.0.0.1:{dovecot.imaps}"
    assert (outcome.state, outcome.reason) == (DOWN, f"{who} refuses the user or password of the credential 'robot'")
    outcome = await ask(dovecot.imaps, mailbox="Thư đi", **params)
    assert (outcome.state, f"{who} does not open the mailbox: " in outcome.reason) == (DOWN, True)
    outcome = await ask(dovecot.imap, security="none", clear_password=True, credential="robot")
    assert (outcome.state, outcome.reason) == (UP, "")  # loopback counts as secured for dovecot


@pytest.mark.real
async def test_mailboxes_with_vietnamese_names_and_every_password(dovecot: Dovecot) -> None:
    """The names and strings that we spell are those that a real server reads."""
    client = session(dovecot)
    try:
        await client.open()
        await client.login(Login("robot", "robot", PASSWORD))
        for name in ('Thư đến & "thư đi"', "a&b", "日本語", "x" * 60):
            assert (await client.command(f"CREATE {quoted_string(modified_utf7(name))}")).ok
            assert await client.select(name, read_only=True) == (0, 1)
    finally:
        client.close()
    client = session(dovecot)
    try:
        await client.open()
        client.capabilities = client.capabilities | {"LOGINDISABLED"}  # the other way to log in
        await client.login(Login("robot", "robot", PASSWORD))
        assert (await client.select("INBOX", read_only=True))[0] is not None
    finally:
        client.close()


@pytest.mark.real
async def test_only_our_own_mails_are_expunged_where_uidplus_is_missing(dovecot: Dovecot) -> None:
    dovecot.clear_mailbox()
    for subject in (b"one", b"two", b"three"):
        deliver_to(dovecot.maildir / "new", b"Subject: " + subject + b"\r\n\r\n")
    client = session(dovecot)
    try:
        await client.open()
        await client.login(Login("robot", "robot", PASSWORD))
        await client.select("INBOX", read_only=False)
        client.capabilities = client.capabilities - {"UIDPLUS"}
        (one,), (two,) = [await client.search(f"SUBJECT {subject}") for subject in ("one", "two")]
        assert await client.remove([one])
        assert len(dovecot.mails()) == 2
        (three,) = await client.search("SUBJECT three")
        await client.command(f"UID STORE {three} +FLAGS.SILENT (\\Deleted)")  # somebody else's mark
        assert not await client.remove([two])
        assert len(dovecot.mails()) == 2
    finally:
        client.close()
        dovecot.clear_mailbox()


def session(dovecot: Dovecot) -> ImapClient:
    authority = str(dovecot.certificate.root)
    door = MailServer(host="127.0.0.1", port=dovecot.imaps, security="tls", authority=authority)
    return ImapClient(door, ProbeContext(5, Limits(), {}), time.monotonic() + 5)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"ends": NOW - DAY}, "expired: the certificate ended on "),
        ({"host": "other.example"}, "wrong host: the certificate is for other.example, not for 127.0.0.1"),
        ({"trusted": False}, "unknown issuer: 'Mail Test Root' is not trusted here"),
    ],
)
async def test_faults_of_a_certificate_behind_starttls(tmp_path: Path, made: dict[str, Any], words: str) -> None:
    bad = IssuedCertificate(tmp_path, **made)
    talk = scripted(HELLO, GO, bad.context(), CAN)
    outcome = await said(talk, None, 2, authority=str(bad.root), security="starttls")
    assert outcome.state == DOWN
    assert outcome.reason.startswith(words)
    assert outcome.measures["certificate_expiry_timestamp_seconds"] == bad.ends


@pytest.mark.parametrize(
    ("talk", "params", "words"),
    [
        (scripted(b"220 mail ESMTP\r\n"), CLEAR, "HERE answers '220 mail ESMTP', which is not IMAP"),
        (scripted(b"* HELLO\r\n"), CLEAR, "HERE answers '* HELLO', which is not IMAP"),
        (scripted(b"* BYE too many\r\n"), CLEAR, "HERE takes no connections now: 'too many'"),
        (scripted(b"* PREAUTH hi\r\n"), {"security": "starttls"}, "logged in already, before any password"),
        (scripted(b"* OK her"), CLEAR, "no greeting came within 0.5 s"),
        (scripted(b"* OK here\r\n"), CLEAR, "CAPABILITY was not answered within 0.5 s"),
        (scripted(b"* OK here\r\n", (b"CAPAB", b"TAG OK\r\n")), CLEAR, "does not say what it can do"),
        (scripted(b"* OK here\r\n", (b"CAPAB", b"zz OK\r\n")), CLEAR, "HERE answers 'zz OK', which is not IMAP"),
        (scripted(b"* OK here\r\n", (b"CAPAB", b"TAG MAYBE\r\n")), CLEAR, "which is not IMAP"),
        (scripted(b"* OK here\r\n", (b"CAPAB", b"+ more\r\n")), CLEAR, "HERE answers '+ more', which is not IMAP"),
        (scripted(b"* OK here\r\n", (b"CAPAB", b"* BYE later\r\n")), CLEAR, "HERE ends the session: 'later'"),
        (scripted(b"* OK [CAPABILITY IMAP4rev1]\r\n"), {"security": "starttls"}, "does not offer STARTTLS"),
        (scripted(HELLO, (b"STARTTLS", b"TAG NO\r\n")), {"security": "starttls"}, "offers STARTTLS but refuses it"),
        (scripted(HELLO, (b"STARTTLS", b"TAG OK\r\n* OK a\r\n")), {"security": "starttls"}, "goes on talking in clear"),
        (scripted(HELLO), {}, "what answers there does not speak TLS"),
        (scripted(HELLO, (b"LOGIN", b"TAG BAD eh\r\n")), CLEAR, "HERE does not understand the login"),
        (
            scripted(HELLO, (b"LOGIN", b"TAG NO [UNAVAILABLE] x\r\n")),
            CLEAR,
            "check passwords at the moment (UNAVAILABLE)",
        ),
        (
            scripted(HELLO, (b"LOGIN", b"TAG NO [EXPIRED] x\r\n")),
            CLEAR,
            "password of the credential 'robot' has expired",
        ),
        (scripted(b"* OK [CAPABILITY LOGINDISABLED]\r\n"), CLEAR, "no way to log in that this agent knows"),
        (scripted(HELLO, (b"LOGIN", b"* 1 EXISTS\r\n")), CLEAR, "the login was not answered within 0.5 s"),
        (scripted(HELLO, IN), CLEAR, "the mailbox was not opened within 0.5 s"),
        (scripted(HELLO, IN, (b"EXAMINE", b"TAG NO no such\r\n")), CLEAR, "does not open the mailbox: 'no such'"),
        (scripted(HELLO, (b"LOGIN", b"* X {999999999}\r\n")), CLEAR, "HERE says more than 1 MiB in one IMAP session"),
        (scripted(HELLO, (b"LOGIN", b"* X\r\n" * MAX_RESPONSES)), CLEAR, f"gives more than {MAX_RESPONSES} responses"),
    ],
)
async def test_what_a_bad_server_says(talk: ConnectionHandler, params: dict[str, Any], words: str) -> None:
    outcome = await said(talk, **params)
    assert outcome.state == DOWN
    assert words in outcome.reason
    assert outcome.latency is None


async def test_a_count_that_is_not_said_stays_missing() -> None:
    outcome = await said(scripted(HELLO, IN, (b"EXAMINE", b"* OK [UIDNEXT x]\r\nTAG OK\r\n")), None, 2, **CLEAR)
    assert (outcome.state, outcome.reason) == (UP, "")
    assert "messages" not in outcome.measures


async def test_floods_of_literals_do_not_hold_the_loop() -> None:
    """A response of many small literals is read in time in proportion to its size."""

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK here\r\n")
        await reader.readline()
        writer.write(b"* X " + b"{1}\r\nx" * (MAX_SAID // 4))
        await writer.drain()

    started = time.process_time()
    outcome = await said(floods, None, 10, security="none")
    assert outcome.reason == "HERE says more than 1 MiB in one IMAP session"
    assert time.process_time() - started < 5


async def test_a_password_given_back_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def parrot(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO)
        line = await reader.readline()
        writer.write(b"* BYE " + line.upper())

    for password in ("canary-7", PASSWORD, PASSWORD * 3):
        outcome = await said(parrot, **CLEAR, password=password)
        assert outcome.reason == "HERE ends the session: '(not shown: it contains the password)'"
    coded = base64.b64encode(b"\0robot\0canary-7")
    talk = scripted(HELLO, IN, (b"EXAMINE", b"TAG NO " + coded + b"\r\n"))
    second = await said(talk, **CLEAR, password="canary-7")
    for shown in (repr(outcome), repr(second), caplog.text):
        assert "canary" not in shown.lower()
        assert coded.decode() not in shown


async def test_limits_and_credentials(free_port: int) -> None:
    outcome = await run_probe("imap", limits=Limits(ports=(1,)), host="127.0.0.1", port=993)
    assert outcome == Outcome(UNKNOWN, "port 993 is not one this agent may probe", None, {})
    outcome = await ask(free_port, credential="nobody")
    assert (outcome.state, "there is no credential 'nobody'" in outcome.reason) == (UNKNOWN, True)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"mailbox": "a\r\nb"}, "mailbox has a line break"),
        ({"mailbox": ""}, "mailbox: expected str of length >= 1"),
        ({"security": "none", "credential": "robot"}, "a password would go over the network in clear"),
        ({"host": "a b"}, "is not a host name"),
    ],
)
def test_parameters_that_are_wrong(params: dict[str, Any], words: str) -> None:
    with pytest.raises(probes.BadProbe, match=words):
        probes.build("imap", {"host": "mail.example", **params})


@given(st.text(max_size=40))
@example("Thư đến")
@example("&")
def test_a_mailbox_name_is_spelled_so_that_it_reads_back(name: str) -> None:
    """RFC 3501, 5.1.3, undone by what the standard library knows of UTF-7."""
    if any("\ud800" <= c <= "\udfff" for c in name):
        return
    spelled = modified_utf7(name)
    assert spelled.isascii()
    assert is_single_line(spelled)
    undone = re.sub(r"&([^-]*)-", lambda found: _plain(found[1]), spelled)
    assert undone == name


def _plain(coded: str) -> str:
    return base64.b64decode(coded.replace(",", "/") + "===").decode("utf-16-be") if coded else "&"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_a_string_for_a_command_cannot_end_early(text: str) -> None:
    whole = quoted_string(text)
    assert re.fullmatch(r'"(?:[^"\\]|\\["\\])*"', whole)
    assert re.sub(r"\\(.)", r"\1", whole[1:-1]) == text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([b"* OK", b"a1", b" ", b"{3}", b"\r\n", b"[CAPABILITY", b"]", b"NO", b"CAPABILITY A"])))
async def test_any_bytes_give_an_outcome(pieces: list[bytes]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(pieces))
        await writer.drain()

    outcome = await said(talk, timeout=2, security="none")
    assert outcome.state in (UP, DOWN)
    assert outcome.state == UP or outcome.reason
