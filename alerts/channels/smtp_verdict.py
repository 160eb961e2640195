"""Classify an SMTP refusal: the relay's, this mail's for now, this mail's at this relay, or this mail's for ever.

A mail is given up at once only for what no relay and no patience can change: an address that does not exist. All that
may be a matter of configuration (who may relay, who may log in, who may send) is retried for days and shown.
"""

import re
from typing import Final, Literal

Stage = Literal["connect", "greeting", "hello", "tls", "login", "sender", "recipient", "data"]
Verdict = Literal["relay", "later", "elsewhere", "never"]

NO_REPLY: Final = 0  # instead of a code: the connection was lost or the reply did not come in time

_STATUS = re.compile(r"[245]\.(\d{1,3}\.\d{1,3})\b")
_RELAYING = re.compile(r"\brelay", re.IGNORECASE)
_NO_SUCH_ADDRESS = {
    "1.0",
    "1.1",
    "1.2",
    "1.3",
    "1.4",
    "1.6",
    "1.10",
    "2.1",
}  # RFC 3463; 2.1 is a mailbox put out of use
_TOO_BIG = {"3.4", "2.3"}
_MAILBOX_FULL = {"2.2", "3.1", "3.2"}
_COMMANDS = {500, 501, 502, 503, 504, 521, 530, 534, 535, 538, 555}  # we were not understood, or have to log in first


def verdict(stage: Stage, code: int, reply: str) -> Verdict:
    """``relay``: it can take nothing from us now, whatever the mail. ``later``: this mail, not now. ``elsewhere``:
    this mail never at this relay; another may take it. ``never``: the address is refused for good.

    ``code``: the reply's, or NO_REPLY; ``words``: its text, which may begin with an enhanced status code (RFC 3463).
    """
    status_match = _STATUS.match(reply.strip())
    status = status_match[1] if status_match else ""
    if stage == "sender":
        return "elsewhere" if code == 552 or (code >= 500 and status in _TOO_BIG) else "relay"
    if stage not in ("recipient", "data"):
        return "relay"
    if not 500 <= code <= 599 or code in _COMMANDS or status in _MAILBOX_FULL:
        return "later"
    if stage == "recipient":
        return _recipient_verdict(code, status, reply)
    return "never" if status in _NO_SUCH_ADDRESS else "elsewhere"


def _recipient_verdict(code: int, status: str, reply: str) -> Verdict:
    if status and status not in _NO_SUCH_ADDRESS and status != "0.0":
        return "later"  # policy (5.7), routing (5.4), the system (5.3): who runs the relay can change that
    if code == 552 or _RELAYING.search(reply):  # 552 to RCPT is a full mailbox (RFC 5321, 4.5.3.1.10)
        return "later"
    return "never"
