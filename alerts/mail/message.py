"""Encode one RFC 5322 message, byte by byte the same for the same input.

Headers are written here and not by ``email.message.EmailMessage``: how that folds and encodes them differs from one
version of Python to the next, and Debian 12's puts spaces into long names that are not ASCII. What may be sent twice
has to be the same bytes twice. The tests read every message with the standard library.
"""

import hashlib
import quopri
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from alerts.mail import clean

_MAX_ENCODED_WORD: Final = (
    45  # bytes in one encoded word: 60 letters of base64, 72 with its marks, of the 75 that RFC 2047 allows
)
_PLAIN = re.compile(r"[ -~]*")
_ATOMS = re.compile(r"[A-Za-z0-9 !#$%&'*+/=?^_`{|}~.-]*")
# what a mailbox may look like before it stands in a header: nothing that could begin another header or address
ADDRESS: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*",
    re.ASCII,
)
_DOMAIN = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", re.ASCII)
_IDENT = re.compile(r"[a-z0-9.-]{1,40}", re.ASCII)
_MAX_MESSAGE_ID: Final = (
    60  # characters of a Message-ID; longer ones are encoded by some programs, which breaks threads
)


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the headers."""

    ident: str
    thread: str
    domain: str
    sender_name: str
    sender: str
    to_name: str
    to: str
    subject: str
    language: str
    at: int  # ms
    zone: ZoneInfo
    incidents: tuple[str, ...] = ()
    kind: str = ""
    important: bool = False  # mail programs may show it so
    bulk: bool = False  # nothing that anybody waits for
    unsubscribe: str = ""  # the link that stops such mails, "" where there is none


def encode_message(envelope: Envelope, text: str, html: str) -> bytes:
    """The whole, with CRLF, 7-bit clean (quoted-printable), lines below 79 bytes but for encoded headers' folds."""
    boundary = "=_" + hashlib.sha256(f"{envelope.ident}\0{text}\0{html}".encode()).hexdigest()[:32]
    lines = [f"{name}: {value}" for name, value in _headers(envelope)]
    lines += ["MIME-Version: 1.0", f'Content-Type: multipart/alternative; boundary="{boundary}"', ""]
    head = "\r\n".join(lines).encode("ascii")
    parts = [_part(f"text/{kind}", body, boundary) for kind, body in (("plain", text), ("html", html))]
    return head + b"\r\n" + b"".join(parts) + f"--{boundary}--\r\n".encode()


def message_id(ident: str, domain: str) -> str:
    """``<ident@domain>``; a domain that would make it too long, or is none, is shortened to its hash."""
    if not _IDENT.fullmatch(ident):
        ident = "x" + hashlib.sha256(ident.encode("utf-8", "replace")).hexdigest()[:31]
    candidate = f"<{ident}@{domain}>"
    if _DOMAIN.fullmatch(domain) and len(candidate) <= _MAX_MESSAGE_ID:
        return candidate
    return f"<{ident}@{hashlib.sha256(domain.encode('utf-8', 'replace')).hexdigest()[:8]}.invalid>"


def _headers(envelope: Envelope) -> Iterator[tuple[str, str]]:
    domain = envelope.domain if _DOMAIN.fullmatch(envelope.domain) else "invalid"
    yield "From", _mailbox(envelope.sender_name, envelope.sender, 6)
    yield "To", _mailbox(envelope.to_name, envelope.to, 4)
    yield "Subject", _unstructured(clean.clean(envelope.subject, 200), 9)
    yield "Date", _date(envelope)
    yield "Message-ID", message_id(envelope.ident, envelope.domain)
    if envelope.thread and envelope.thread != envelope.ident:
        first = message_id(envelope.thread, envelope.domain)
        yield "In-Reply-To", first
        yield "References", first
    # RFC 3834: no vacation notices, no answers; Exchange wants its own word for it
    yield "Auto-Submitted", "auto-generated"
    yield "X-Auto-Response-Suppress", "All"
    yield "List-Id", f"Hai Dang <haidang.{domain}>"
    if envelope.bulk:
        yield "Precedence", "bulk"
    if envelope.important:
        yield "Importance", "high"
    if envelope.unsubscribe and _PLAIN.fullmatch(envelope.unsubscribe) and len(envelope.unsubscribe) < 900:
        yield "List-Unsubscribe", f"\r\n <{envelope.unsubscribe}>"
        if envelope.unsubscribe.startswith("https://"):
            yield "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"  # RFC 8058
    yield "Content-Language", envelope.language
    yield "X-Haidang-Notice", envelope.kind
    for key in envelope.incidents[:20]:
        yield "X-Haidang-Incident", re.sub(r"[^0-9A-Za-z.:_-]", "", key)[:64]


def _date(envelope: Envelope) -> str:
    try:
        return format_datetime(datetime.fromtimestamp(envelope.at // 1000, envelope.zone))
    except (ValueError, OverflowError, OSError):
        return format_datetime(datetime.fromtimestamp(0, UTC))  # a clock of another age


def _mailbox(name: str, address: str, used: int) -> str:
    """A name and an address. An address that is none leaves the field an empty group, which is valid."""
    if not ADDRESS.fullmatch(address) or len(address) > 254:
        return "undisclosed-recipients:;"
    display_name = clean.name(name)
    if not display_name:
        return f"<{address}>"
    if _ATOMS.fullmatch(display_name) and "=?" not in display_name and len(display_name) + used < 60:
        # a full stop is no atom of RFC 5322: quoted it is fine everywhere
        display_name = f'"{display_name}"' if "." in display_name else display_name
        return f"{display_name}\r\n <{address}>"
    return f"{_encoded(display_name, used)}\r\n <{address}>"


def _unstructured(text: str, used: int) -> str:
    """Unstructured text: as it is where that is plain and short, else encoded words."""
    if _PLAIN.fullmatch(text) and "=?" not in text and len(text) + used < 76:
        return text
    return _encoded(text, used)


def _encoded(text: str, used: int) -> str:
    """RFC 2047, base64: each word whole characters, one word a line."""
    chunks: list[bytes] = [b""]
    for mail in text:
        raw = mail.encode("utf-8", "replace")
        # the first word shares its line with the header's name
        if len(chunks[-1]) + len(raw) > (_MAX_ENCODED_WORD - used if len(chunks) == 1 else _MAX_ENCODED_WORD):
            chunks.append(b"")
        chunks[-1] += raw
    return "\r\n ".join(f"=?utf-8?B?{b64encode(word).decode()}?=" for word in chunks)


def _part(content_type: str, body: str, boundary: str) -> bytes:
    head = f"--{boundary}\r\nContent-Type: {content_type}; charset=utf-8\r\n"
    head += "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    raw = quopri.encodestring(body.encode("utf-8", "replace"))
    # mailboxes of the old kind take a line that begins so for the next mail
    raw = re.sub(rb"^From ", b"=46rom ", raw, flags=re.MULTILINE)
    return head.encode() + raw.replace(b"\n", b"\r\n") + b"\r\n"  # this line end is the boundary's
