"""The SMTP probe against dovecot's submission, and servers that misbehave in every step."""

import asyncio
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import probes
from agent.clients.mail.session import MAX_LINE, MAX_SAID, Login
from agent.probe import Limits, Outcome
from inventory.protocol.states import DEGRADED, DOWN, UNKNOWN, UP
from tests.support.mail_servers import (
    DAY,
    NOW,
    PASSWORD,
    ConnectionHandler,
    Dovecot,
    IssuedCertificate,
    run_probe,
    running_dovecot,
    scripted,
    tcp_server,
)

HELLO = b"220 mail.example ESMTP\r\n"
CAN = (b"EHLO [127.0.0.1]", b"250-mail.example\r\n250-SIZE 1000\r\n250 STARTTLS\r\n")
PLAIN = (b"EHLO", b"250-mail.example\r\n250 AUTH PLAIN\r\n")
GO = (b"STARTTLS", b"220 go ahead\r\n")


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    yield from running_dovecot()


@pytest.fixture
def issued(tmp_path: Path) -> IssuedCertificate:
    return IssuedCertificate(tmp_path)


async def ask(port: int, timeout: float = 3.0, **params: Any) -> Outcome:
    return await run_probe("smtp", timeout, **{"host": "127.0.0.1", "port": port, **params})


async def said(
    talk: ConnectionHandler, context: ssl.SSLContext | None = None, timeout: float = 0.5, **params: Any
) -> Outcome:
    async with tcp_server(talk, context) as port:
        outcome = await ask(port, timeout, **params)
        return Outcome(
            outcome.state, outcome.reason.replace(f"127.0.0.1:{port}", "HERE"), outcome.latency, outcome.measures
        )


@pytest.mark.real
async def test_a_submission_server_with_login(dovecot: Dovecot) -> None:
    params = {"authority": str(dovecot.certificate.root), "credential": "robot"}
    outcome = await ask(dovecot.submission, **params)
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.measures.keys() == {
        "connect_seconds",
        "banner_seconds",
        "tls_seconds",
        "login_seconds",
        "certificate_expiry_timestamp_seconds",
        "chain_expiry_timestamp_seconds",
    }
    assert outcome.measures["certificate_expiry_timestamp_seconds"] == dovecot.certificate.ends
    phases = [outcome.measures[f"{phase}_seconds"] for phase in ("connect", "banner", "tls", "login")]
    assert outcome.latency is not None
    assert 0 < sum(phases) <= outcome.latency < 2
    by_name = await ask(dovecot.submission, host="localhost", family="ipv4", server_name="127.0.0.1", **params)
    assert (by_name.state, by_name.measures["resolve_seconds"] > 0) == (UP, True)


@pytest.mark.real
async def test_a_wrong_password_is_told_as_such(dovecot: Dovecot) -> None:
    wrong = {"authority": str(dovecot.certificate.root), "credential": "robot", "password": "not-it-either"}
    outcome = await ask(dovecot.submission, **wrong)
    who = f"127.0.0.1:{dovecot.submission}"
    assert (outcome.state, outcome.reason) == (
        DOWN,
        f"{who} refuses the user or password of the credential 'robot' (535)",
    )
    assert "tls_seconds" in outcome.measures
    assert "login_seconds" not in outcome.measures


@pytest.mark.real
async def test_a_certificate_that_nobody_trusts_here(dovecot: Dovecot) -> None:
    outcome = await ask(dovecot.submission, credential="robot")
    assert outcome.state == DOWN
    assert outcome.reason.startswith(("unknown issuer", "incomplete chain"))
    assert "login_seconds" not in outcome.measures
    assert (await ask(dovecot.submission, verify=False)).state == UP


@pytest.mark.parametrize(
    ("made", "words"),
    [
        ({"ends": NOW - DAY}, "expired: the certificate ended on "),
        ({"begins": NOW + DAY}, "not yet valid: the certificate begins on "),
        ({"host": "other.example"}, "wrong host: the certificate is for other.example, not for 127.0.0.1"),
        ({"trusted": False}, "unknown issuer: 'Mail Test Root' is not trusted here"),
    ],
)
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_faults_of_a_certificate_by_name(tmp_path: Path, made: dict[str, Any], words: str, security: str) -> None:
    """As the kind tls names them, behind STARTTLS too; the end of the certificate is measured all the same."""
    bad = IssuedCertificate(tmp_path, **made)
    params = {"authority": str(bad.root), "security": security}
    if security == "tls":
        outcome = await said(scripted(HELLO, PLAIN), bad.context(), 2, **params)
    else:
        outcome = await said(scripted(HELLO, CAN, GO, bad.context(), PLAIN), None, 2, **params)
    assert outcome.state == DOWN
    assert outcome.reason.startswith(words)
    assert outcome.measures["certificate_expiry_timestamp_seconds"] == bad.ends
    if "ends" in made or "begins" in made:
        talk = scripted(HELLO, CAN, GO, bad.context(), PLAIN)
        unjudged = await said(talk, None, 2, authority=str(bad.root), verify=False)
        assert (unjudged.state, unjudged.reason.startswith(words)) == (DOWN, True)


async def test_a_certificate_near_its_end_degrades(issued: IssuedCertificate) -> None:
    talk = scripted(HELLO, CAN, GO, issued.context(), PLAIN)
    outcome = await said(talk, None, 2, authority=str(issued.root), warn_days=91)
    assert outcome.state == DEGRADED
    assert outcome.reason.startswith("the certificate expires in ")
    assert outcome.latency is not None


@pytest.mark.parametrize(
    ("talk", "params", "words"),
    [
        (scripted(b"SSH-2.0-OpenSSH_9\r\n"), {}, "HERE answers 'SSH-2.0-OpenSSH_9', which is not SMTP"),
        (scripted(b"\xff\xfe\x00\x1b[2J\r\n"), {}, "which is not SMTP"),
        (scripted(b"220-one\r\n250 two\r\n"), {}, "HERE answers '250 two', which is not SMTP"),
        (scripted(b"2201 mail\r\n"), {}, "HERE answers '2201 mail', which is not SMTP"),
        (scripted(b"554 5.7.1 go away\r\n"), {}, "HERE does not take mail now: 554 '5.7.1 go away'"),
        (scripted(b"421-busy\r\n421 later\r\n"), {}, "HERE does not take mail now: 421 'busy later'"),
        (scripted(b"220 mail"), {}, "no greeting came within 0.5 s"),
        (scripted(), {}, "no greeting came within 0.5 s"),
        (scripted(b"220-" + b"x" * MAX_LINE), {}, "HERE sends a line of more than 8 KiB, which is not SMTP"),
        (scripted(b"220-more\r\n" * 200), {}, "HERE answers with more than 100 lines"),
        (scripted(HELLO), {}, "EHLO was not answered within 0.5 s"),
        (scripted(HELLO, (b"EHLO", b"550 no\r\n")), {}, "HERE refuses this machine's EHLO: 550 'no'"),
        (scripted(HELLO, PLAIN), {}, "HERE does not offer STARTTLS (not set up there, or taken out on the way)"),
        (scripted(HELLO, CAN, (b"STARTTLS", b"454 no TLS\r\n")), {}, "offers STARTTLS but refuses it: 454 'no TLS'"),
        (scripted(HELLO, CAN, (b"STARTTLS", b"220 go\r\n250-AUTH\r\n")), {}, "HERE goes on talking in clear after it"),
        (scripted(HELLO, CAN, (b"STARTTLS", b"220 go\r\n")), {}, "the TLS handshake did not end within 0.5 s"),
        (scripted(HELLO), {"security": "tls"}, "TLS with HERE failed: what answers there does not speak TLS"),
    ],
)
async def test_what_a_bad_server_says(talk: ConnectionHandler, params: dict[str, Any], words: str) -> None:
    outcome = await said(talk, **params)
    assert outcome.state == DOWN
    assert words in outcome.reason
    assert outcome.latency is None


async def test_one_that_hangs_up() -> None:
    async def leaves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mai")
        await writer.drain()

    outcome = await said(leaves)
    assert (outcome.state, outcome.reason) == (
        DOWN,
        "HERE closed the SMTP connection after '220 mai': no greeting came",
    )


async def test_one_that_never_stops_talking() -> None:
    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"x" * 8000)
            await writer.drain()

    outcome = await said(floods, None, 5)
    assert "sends a line of more than 8 KiB" in outcome.reason


async def test_a_small_device_that_knows_only_helo() -> None:
    talk = scripted(HELLO, (b"EHLO", b"502 what?\r\n"), (b"HELO agent.site.example", b"250 hi\r\n"))
    outcome = await said(talk, security="none", helo="agent.site.example")
    assert (outcome.state, outcome.reason) == (UP, "")


async def test_login_by_the_old_way() -> None:
    talk = scripted(
        HELLO,
        (b"EHLO", b"250-x\r\n250 AUTH CRAM-MD5 LOGIN\r\n"),
        (b"AUTH LOGIN", b"334 VXNlcm5hbWU6\r\n"),
        (b"cm9ib3Q=\r\n", b"334 UGFzc3dvcmQ6\r\n"),
        (b"c2VjcmV0\r\n", b"235 welcome\r\n"),
    )
    outcome = await said(talk, security="none", credential="robot", clear_password=True, password="secret")
    assert (outcome.state, outcome.reason) == (UP, "")
    assert outcome.measures["login_seconds"] > 0


@pytest.mark.parametrize(
    ("auth", "reply", "words"),
    [
        (b"PLAIN", b"535 5.7.8 no", "refuses the user or password of the credential 'robot' (535)"),
        (b"PLAIN", b"534 too weak", "refuses the user or password of the credential 'robot' (534)"),
        (b"PLAIN", b"454 later", "cannot check passwords at the moment (454)"),
        (b"PLAIN", b"538 encrypt", "refuses the login (538)"),
        (b"PLAIN", b"334 more", "refuses the login (334)"),
        (b"CRAM-MD5 NTLM", b"", "no way to log in that this agent knows (PLAIN, LOGIN): only CRAM-MD5, NTLM"),
        (b"", b"", "no way to log in that this agent knows (PLAIN, LOGIN): none"),
    ],
)
async def test_logins_that_fail(auth: bytes, reply: bytes, words: str) -> None:
    talk = scripted(HELLO, (b"EHLO", b"250-x\r\n250 AUTH " + auth + b"\r\n"), (b"AUTH", reply + b"\r\n"))
    outcome = await said(talk, security="none", credential="robot", clear_password=True)
    assert outcome.state == DOWN
    assert words in outcome.reason


async def test_what_was_offered_before_tls_does_not_count(issued: IssuedCertificate) -> None:
    """Who sits in between could offer a way to log in that the server does not have."""
    before = (b"EHLO", b"250-x\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n")
    talk = scripted(HELLO, before, GO, issued.context(), (b"EHLO", b"250 x\r\n"), (b"AUTH", b"235 caught\r\n"))
    outcome = await said(talk, None, 2, authority=str(issued.root), credential="robot")
    assert (outcome.state, "offers no way to log in" in outcome.reason) == (DOWN, True)


async def test_no_password_in_clear_and_none_shown(issued: IssuedCertificate, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    heard = bytearray()

    async def listens(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HELLO)
        while line := await reader.readline():
            heard.extend(line)
            writer.write(b"250-x\r\n250 AUTH PLAIN\r\n" if line.startswith(b"EHLO") else b"535 you said " + line)

    stripped = await said(listens, credential="robot")
    assert "does not offer STARTTLS" in stripped.reason
    assert b"AUTH" not in heard
    echoed = await said(listens, credential="robot", security="none", clear_password=True)
    assert b"AUTH" in heard  # it is what the server gives back
    coded = Login("robot", "robot", PASSWORD).plain
    for shown in (repr((stripped, echoed)), caplog.text, repr(Login("robot", "robot", PASSWORD))):
        assert "Canary" not in shown
        assert coded not in shown


async def test_addresses_and_limits(free_port: int) -> None:
    outcome = await ask(free_port)
    assert (outcome.state, outcome.reason) == (DOWN, f"127.0.0.1:{free_port} refused the connection")
    outcome = await run_probe("smtp", limits=Limits(ports=(26,)), host="127.0.0.1", port=25)
    assert outcome == Outcome(UNKNOWN, "port 25 is not one this agent may probe", None, {})
    outcome = await ask(free_port, credential="nobody")
    assert outcome.state == UNKNOWN
    assert "there is no credential 'nobody'" in outcome.reason


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"host": "a\r\nQUIT"}, "is not a host name"),
        ({"helo": "a b"}, "helo"),
        ({"helo": "a\r\nMAIL"}, "helo"),
        ({"server_name": "a b"}, "is not a host name"),
        ({"security": "none", "credential": "robot"}, "a password would go over the network in clear"),
        ({"security": "ssl"}, "security cannot be 'ssl'"),
    ],
)
def test_parameters_that_are_wrong(params: dict[str, Any], words: str) -> None:
    with pytest.raises(probes.BadProbe, match=words):
        probes.build("smtp", {"host": "mail.example", **params})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from([b"220", b"250", b"-", b" ", b"\r\n", b"\n", b"STARTTLS", b"x" * 99, b"\xff"])))
async def test_any_bytes_give_an_outcome(pieces: list[bytes]) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"".join(pieces))
        await writer.drain()

    outcome = await said(talk, timeout=2, security="none")
    assert outcome.state in (UP, DOWN)
    assert outcome.state == UP or outcome.reason
    assert len(b"".join(pieces)) < MAX_SAID
