"""Whose trouble a reply is: replies as they are met in the field, and what must never follow from any of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.channels.smtp_verdict import NO_REPLY, verdict


@pytest.mark.parametrize(
    ("stage", "code", "words", "expected"),
    [
        ("greeting", 554, "5.7.1 your address is on a list", "relay"),
        ("hello", 501, "5.5.4 invalid domain name", "relay"),
        ("tls", 454, "4.7.0 TLS not available due to local problem", "relay"),
        ("login", 535, "5.7.8 Error: authentication failed", "relay"),
        ("sender", 553, "5.7.1 <a@b>: Sender address rejected: not owned by user", "relay"),
        ("sender", 452, "4.3.1 Insufficient system storage", "relay"),
        ("sender", 552, "5.3.4 Message size exceeds fixed limit", "elsewhere"),
        ("recipient", 550, "5.1.1 <x@y>: Recipient address rejected: User unknown", "never"),  # postfix
        ("recipient", 550, "Unrouteable address", "never"),  # exim
        ("recipient", 550, "5.2.1 The email account that you tried to reach is disabled", "never"),
        ("recipient", 556, "5.1.10 domain does not accept mail (null MX)", "never"),
        ("recipient", 554, "5.7.1 <x@y>: Relay access denied", "later"),  # postfix
        ("recipient", 550, "relay not permitted", "later"),  # exim
        ("recipient", 550, "5.7.54 SMTP; Unable to relay recipient in non-accepted domain", "later"),  # Exchange
        ("recipient", 530, "SMTP authentication is required.", "later"),  # hMailServer
        ("recipient", 552, "too many recipients or mailbox full", "later"),
        ("recipient", 452, "4.2.2 over quota", "later"),
        ("recipient", 450, "4.2.0 Greylisted", "later"),
        ("recipient", 421, "4.3.0 closing", "later"),
        ("recipient", NO_REPLY, "connection lost", "later"),
        ("data", 354, "what", "later"),
        ("data", 451, "4.7.1 try again later", "later"),
        ("data", 452, "4.3.1 no space", "later"),
        ("data", 552, "5.2.2 mailbox full", "later"),
        ("data", 552, "5.3.4 message too big", "elsewhere"),
        ("data", 554, "5.7.1 spam", "elsewhere"),
        ("data", 550, "5.1.1 no such user", "never"),
        ("data", 503, "5.5.1 valid RCPT command must precede DATA", "later"),
    ],
)
def test_replies_from_the_field(stage: str, code: int, words: str, expected: str) -> None:
    assert verdict(stage, code, words) == expected  # type: ignore[arg-type]


@given(
    stage=st.sampled_from(["connect", "greeting", "hello", "tls", "login", "sender", "recipient", "data"]),
    code=st.integers(-1, 600),
    words=st.text(max_size=30) | st.from_regex(r"[245]\.[0-9]{1,3}\.[0-9]{1,3} [a-z ]{0,20}", fullmatch=True),
)
def test_a_letter_is_given_up_only_for_a_5xx_about_it(stage: str, code: int, words: str) -> None:
    found = verdict(stage, code, words)  # type: ignore[arg-type]
    if found in ("never", "elsewhere"):
        assert 500 <= code <= 599
        assert stage in ("sender", "recipient", "data")
        assert (stage, found) != ("sender", "never")
    if stage not in ("sender", "recipient", "data"):
        assert found == "relay"
