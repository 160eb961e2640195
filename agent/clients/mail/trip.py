"""A test mail's round trip: sent with a mark, found by it, removed; earlier trips' leftovers are removed too."""

import asyncio
import hashlib
import os
import socket
import time
from email.utils import formatdate
from pathlib import Path
from typing import Final

from agent.clients.mail.imap import ImapClient, quoted_string
from agent.clients.mail.smtp import SmtpClient, SmtpReply
from inventory.base.clock import CLOCK_FLOOR
from inventory.protocol.reasons import sentence

FIELD: Final = "X-Haidang-Trip"
MOST_REMOVED: Final = 100  # leftovers in one look
_LEFTOVER_AGE: Final = 2 * 86_400  # seconds after which marked mails from any machine are leftovers
_SHORTEST_PAUSE: Final = 0.05  # seconds between looks into the mailbox
_LONGEST_PAUSE: Final = 2.0
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

BODY: Final = """\
This mail was sent by a monitoring agent (Hai Dang) to see that mail works.
It is deleted as soon as it has been found. Nobody needs to read or answer it.
"""


class MailRoundTrip:
    """One trip. ``way`` names the servers and the mailbox.

    All trips of one way between the same addresses share the first part of their mark, those from one machine the
    first two.
    """

    def __init__(self, route: str, sender: str, recipient: str) -> None:
        self.sender = sender
        self.recipient = recipient
        self.route_mark = hashlib.sha256(f"{route} {sender} {recipient}".encode()).hexdigest()[:16]
        self.machine_mark = f"{self.route_mark}.{hashlib.sha256(_machine_id().encode()).hexdigest()[:16]}"
        self.mark = f"{self.machine_mark}.{os.urandom(8).hex()}"

    def message(self) -> bytes:
        head = {
            "From": self.sender,
            "To": self.recipient,
            "Subject": "Hai Dang: mail test",
            "Date": formatdate(),
            "Message-ID": f"<{self.mark}@{self.sender.rpartition('@')[2]}>",
            "Auto-Submitted": "auto-generated",
            "X-Auto-Response-Suppress": "All",
            "MIME-Version": "1.0",
            "Content-Type": "text/plain; charset=us-ascii",
            FIELD: self.mark,
        }
        return ("".join(f"{name}: {value}\n" for name, value in head.items()) + "\n" + BODY).encode("ascii")

    async def remove_leftovers(self, imap: ImapClient) -> int:
        """Remove what earlier trips left: this machine's, and any machine's older than two days. How many."""
        imap.waiting = sentence("the mailbox was not searched for earlier mails")
        uids = await imap.search(_search_criteria(self.machine_mark))
        now = time.time()
        if now >= CLOCK_FLOOR:
            day = time.gmtime(now - _LEFTOVER_AGE)
            date = f"{day.tm_mday}-{_MONTHS[day.tm_mon - 1]}-{day.tm_year}"
            uids += await imap.search(f"BEFORE {date} {_search_criteria(self.route_mark)}")
        leftovers = sorted(set(uids))[:MOST_REMOVED]
        return len(leftovers) if await imap.remove(leftovers) else 0

    async def send(self, smtp: SmtpClient) -> SmtpReply:
        return await smtp.send_mail(self.sender, self.recipient, self.message())

    async def wait_for_arrival(self, imap: ImapClient, following: int | None, until: float) -> list[int]:
        """The UIDs under which the mail is in the mailbox, or none by ``until`` (time.monotonic()).

        ``following``: the first UID that it can have. The pauses between looks are a quarter of the time waited so
        far, between 0.05 and 2 s: that is how far off the arrival's time may be.
        """
        imap.waiting = sentence("the mailbox was not searched for the mail")
        started = time.monotonic()
        newer = f"UID {following}:* " if following else ""
        while not (uids := await imap.search(newer + _search_criteria(self.mark))):
            now = time.monotonic()
            if now >= until:
                break
            await asyncio.sleep(min(max(_SHORTEST_PAUSE, (now - started) / 4), _LONGEST_PAUSE, until - now))
        return uids


def _search_criteria(mark: str) -> str:
    return f"HEADER {FIELD} {quoted_string(mark)}"


def _machine_id() -> str:
    """What tells this machine from others; stays over a restart where it can."""
    try:
        return Path("/etc/machine-id").read_text("ascii").strip() or socket.gethostname()
    except (OSError, UnicodeDecodeError):
        return socket.gethostname()
